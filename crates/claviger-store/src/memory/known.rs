//! All that is remembered, and the only ways in and out of it.
//!
//! Look-ups read here without a lock. The loader brings in what it read, and the feed and the store's follower
//! take out what has changed; both go through the [`Ring`], which decides between them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use claviger::clock::{BootMillis, Clock, UnixMillis};
use claviger::directory::{self, DirectoryError, Version};

use super::absences::Absences;
use super::figures::{Counts, MemoryFigures};
use super::pulse::{Beat, Pulse};
use super::revoked::RevokedTokens;
use super::ring::{Moment, Ring, RingLimits, Verdict};
use super::settings::{MemorySettings, millis};
use super::shelf::{Before, state};
use super::shelves::{Remembered, Shelves};
use super::store_time::{StoreClock, StoreTime};
use crate::feed::source::Forget;
use crate::subject::{Change, Loaded, Record, Subject};

/// How many locks the ring's subjects are spread over.
const RING_STRIPES: usize = 64;
/// How many differences found on reading again wait for the feed to explain them.
const MAX_SUSPICIONS: usize = 1024;

/// What was known of something that did not exist.
const NEVER_WAS: Before = Before { version: i64::MIN, agrees: false };

/// What the node remembers.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) settings: MemorySettings,
    pub(super) pulse: Pulse,
    pub(super) shelves: Shelves,
    pub(super) absences: Absences,
    pub(super) revoked: RevokedTokens,
    pub(super) ring: Ring,
    pub(super) counts: Counts,
    pub(super) clock: Arc<StoreClock>,
    pub(super) is_outdated: AtomicBool,
    /// Whether others write to the store by now, though this process was to be the only one.
    others_write: AtomicBool,
    /// Peppers that others have and this node lacks.
    lacking_peppers: Mutex<Vec<String>>,
    /// Why the store is not to be believed, if it said so last.
    distrusted: Mutex<Option<String>>,
    jitter: AtomicU64,
    suspicions: Mutex<Vec<Suspicion>>,
}

/// An entry was read again and differed. Either the change is on its way to us, or nobody will tell us.
#[derive(Debug)]
struct Suspicion {
    subject: Subject,
    believed: i64,
    since: BootMillis,
}

impl Known {
    /// Knows nothing.
    pub(super) fn new(node: Arc<dyn Clock>, settings: MemorySettings) -> Self {
        let limits = RingLimits {
            span_millis: millis(settings.ring_span),
            changes: settings.max_ring,
            stripes: RING_STRIPES,
        };
        Self {
            pulse: Pulse::new(node.boot(), settings.max_staleness),
            shelves: Shelves::new(),
            absences: Absences::new(settings.max_absences),
            revoked: RevokedTokens::default(),
            ring: Ring::new(limits),
            counts: Counts::default(),
            clock: Arc::new(StoreClock { node, store: Arc::new(StoreTime::default()) }),
            is_outdated: AtomicBool::new(false),
            others_write: AtomicBool::new(false),
            lacking_peppers: Mutex::default(),
            distrusted: Mutex::default(),
            jitter: AtomicU64::new(0),
            suspicions: Mutex::default(),
            settings,
        }
    }

    /// Whether there is nothing to poll for.
    pub(super) fn follows_by_itself(&self) -> bool {
        self.settings.follows_by_itself && !self.others_write.load(Ordering::SeqCst)
    }

    /// From now on there is, and nothing is believed before a poll.
    pub(super) fn others_write(&self) {
        self.others_write.store(true, Ordering::SeqCst);
        self.pulse.doubt();
    }

    /// The boot clock. Whoever reads it lets all look-ups know.
    pub(super) fn boot(&self) -> BootMillis {
        let now = self.clock.boot();
        self.pulse.tell_time(now);
        now
    }

    /// What is known of `subject`, if anything: a record, or that there is none. Does not count as a use.
    pub(super) fn peek(&self, subject: &Subject) -> Option<Option<Remembered>> {
        let beat = self.pulse.beat();
        let record = self.shelves.peek(subject.lend(), beat);
        record.map(Some).or_else(|| self.absences.contain(subject, beat).then_some(None))
    }

    /// The state of `subject` as far as it is remembered.
    pub(super) fn version_of(&self, subject: directory::Subject<'_>) -> Option<Version> {
        if let directory::Subject::RevokedToken(tenant, token) = subject {
            // Held in full, and never un-revoked.
            let is_revoked = self.revoked.contain(tenant, token);
            return Some(if is_revoked { state(0, 0) } else { Version::ABSENT });
        }
        let beat = self.pulse.beat();
        let version = self.shelves.version(subject, beat);
        version.or_else(|| self.absences.contain(&subject.into(), beat).then_some(Version::ABSENT))
    }

    /// Brings in what a read sent at `sent` found, unless it is older than what is known.
    pub(super) fn admit(&self, loaded: &Loaded, sent: Moment) -> Verdict {
        let subject = &loaded.subject;
        let now = self.boot();
        let mut before = None;
        let version = loaded.found.as_ref().map(|(version, _)| *version);
        let verdict = self.ring.admit(subject, sent, version, || {
            // The beat is read under the ring's lock: see `forget`.
            before = self.put(subject, loaded.found.as_ref(), self.pulse.beat());
        });
        if let Some(before) = before {
            self.compare(subject, before, version, now);
        }
        verdict
    }

    fn put(&self, subject: &Subject, found: Option<&(i64, Record)>, beat: Beat) -> Option<Before> {
        match (subject, found) {
            (Subject::RevokedToken(tenant, token), Some((_, Record::RevokedToken { expires_at }))) => {
                self.revoked.insert(*tenant, *token, *expires_at);
                None
            }
            (Subject::RevokedToken(tenant, token), _) => {
                self.revoked.remove(*tenant, *token);
                None
            }
            (_, Some((version, record))) => {
                let was_absent = self.absences.remove(subject, beat).then_some(NEVER_WAS);
                // What finds no room is answered all the same.
                let most = self.settings.max_entries;
                let has_room = self.shelves.len() < most.saturating_add(most / 16).max(1);
                if !has_room && !self.shelves.hold(subject.lend()) {
                    return was_absent;
                }
                self.shelves.put(subject, *version, record, beat, self.due(beat)).or(was_absent)
            }
            (_, None) => {
                let before = self.shelves.take_off(subject.lend(), None, beat);
                self.absences.insert(subject, beat, self.due(beat));
                before
            }
        }
    }

    /// The second in which something learnt now is to be read again: each a little different.
    fn due(&self, beat: Beat) -> u32 {
        let after = u32::try_from(self.settings.reread_after.as_secs()).unwrap_or(u32::MAX / 2).max(1);
        // The step of a Weyl sequence: any run of it is spread evenly.
        let even = self.jitter.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) >> 32;
        let spread = u64::from(after) * 2 / 5;
        let jitter = u32::try_from((even * spread) >> 32).unwrap_or(0);
        beat.second.saturating_add(after - after / 5).saturating_add(jitter).max(beat.second + 1)
    }

    /// Something was read again that had not been taken off: it should be what it was.
    fn compare(&self, subject: &Subject, before: Before, version: Option<i64>, now: BootMillis) {
        if before.agrees && version == Some(before.version) {
            return;
        }
        self.pulse.changed();
        if version == Some(before.version) {
            self.report_difference(subject);
            return;
        }
        let mut suspicions = self.suspicions.lock().unwrap_or_else(PoisonError::into_inner);
        if suspicions.len() < MAX_SUSPICIONS {
            suspicions.push(Suspicion { subject: subject.clone(), believed: before.version, since: now });
        }
    }

    /// Looks whether the feed has explained what differed on reading again.
    pub(super) fn settle_suspicions(&self) {
        let Some(polled) = self.pulse.last_poll() else { return };
        let mut suspicions = self.suspicions.lock().unwrap_or_else(PoisonError::into_inner);
        suspicions.retain(|suspicion| {
            let heard = self.ring.committed(&suspicion.subject);
            if heard.is_some_and(|version| version > suspicion.believed) {
                return false;
            }
            // A poll sent after the difference was seen would have brought the change.
            if polled <= suspicion.since {
                return true;
            }
            self.report_difference(&suspicion.subject);
            false
        });
    }

    fn report_difference(&self, subject: &Subject) {
        self.counts.reread_differences.add(1);
        tracing::error!(
            kind = subject.kind(),
            "a record differs from what was remembered, and no change was heard"
        );
    }

    /// Holds a token that the store says is revoked.
    ///
    /// # Errors
    /// If `loaded` is something else.
    pub(super) fn hold_revoked(&self, loaded: &Loaded) -> Result<(), DirectoryError> {
        match (&loaded.subject, &loaded.found) {
            (Subject::RevokedToken(tenant, token), Some((_, Record::RevokedToken { expires_at }))) => {
                self.revoked.insert(*tenant, *token, *expires_at);
                Ok(())
            }
            _ => Err(DirectoryError::Unavailable(
                "the store listed something else as a revoked token".to_owned(),
            )),
        }
    }

    /// Changes that were told of: applies those that are news.
    pub(super) fn changed(&self, changes: &[Change]) {
        let now = self.boot();
        for change in changes {
            let take_off = || self.take_off(&change.subject, Some(change.version));
            if self.ring.changed(change, now, take_off) {
                self.counts.changes.add(1);
                self.pulse.changed();
            }
        }
    }

    /// Changes that this node is about to commit.
    pub(super) fn about_to_commit(&self, changes: &[Change]) {
        let now = self.boot();
        for change in changes {
            self.ring.about_to_commit(change, now, || self.take_off(&change.subject, Some(change.version)));
            self.pulse.changed();
        }
    }

    /// Changes that this node meant to commit and did not, or may not have.
    pub(super) fn not_committed(&self, changes: &[Change]) {
        let now = self.boot();
        for change in changes {
            self.ring.not_committed(change, now, || self.take_off(&change.subject, None));
            self.pulse.changed();
        }
    }

    fn take_off(&self, subject: &Subject, older_than: Option<i64>) {
        if let Subject::RevokedToken(tenant, token) = subject {
            self.revoked.suspect(*tenant, *token);
            return;
        }
        let beat = self.pulse.beat();
        self.shelves.take_off(subject.lend(), older_than, beat);
        self.absences.remove(subject, beat);
    }

    /// Forgets everything but the revoked tokens, which are never un-revoked.
    pub(super) fn forget(&self, what: Forget) {
        // In this order: a read under way either finds itself distrusted, or was put on its shelf before that,
        // and so in the life that ends here.
        match what {
            Forget::Nothing => return,
            Forget::Everything => self.ring.distrust_reads_under_way(),
            Forget::Origin => self.ring.begin_anew(),
        }
        self.pulse.forget_all();
        self.pulse.changed();
        self.counts.forgotten.add(1);
    }

    /// Notes which peppers others have and this node lacks.
    pub(super) fn note_lacking(&self, names: Vec<String>) {
        let mut lacking = self.lacking_peppers.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.is_empty() && *lacking != names {
            tracing::error!(
                peppers = names.join(" "),
                "other servers have peppers that this one lacks: give it their keyring, and start it again"
            );
        }
        *lacking = names;
    }

    /// Whether this node lacks the pepper of this name.
    pub(super) fn lacks_pepper(&self, name: &str) -> bool {
        let lacking = self.lacking_peppers.lock().unwrap_or_else(PoisonError::into_inner);
        lacking.iter().any(|lacking| lacking == name)
    }

    /// Notes why the store is not to be believed, or that it is.
    pub(super) fn distrust(&self, why: Option<String>) {
        if why.is_some() {
            // At once, and not only when the last good poll is too old.
            self.pulse.doubt();
        }
        *self.distrusted.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why the store is not to be believed, if so.
    pub(super) fn distrusted(&self) -> Option<String> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the feed has told of something that this program should understand and does not. Once told, it stays so.
    pub(super) fn note_outdated(&self, is_outdated: bool) {
        if is_outdated && !self.is_outdated.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the change feed tells of something that this program does not understand; update it"
            );
        }
    }

    /// How far this node's time of day is behind the store's, in milliseconds.
    pub(super) fn store_time_offset_millis(&self) -> Option<i64> {
        let store: UnixMillis = self.clock.store.at(self.clock.boot())?;
        Some(store.0.saturating_sub(self.clock.node.time_of_day().0))
    }

    /// What was counted, and how much there is.
    pub(super) fn figures(&self) -> MemoryFigures {
        let counts = &self.counts;
        let now = self.clock.boot();
        MemoryFigures {
            hits: counts.hits.sum(),
            misses: counts.misses.sum(),
            refused: counts.refused.sum(),
            loads: counts.loads.sum(),
            batches: counts.batches.sum(),
            load_failures: counts.load_failures.sum(),
            rereads: counts.rereads.sum(),
            reread_differences: counts.reread_differences.sum(),
            lost_commits: counts.lost_commits.sum(),
            poll_failures: counts.poll_failures.sum(),
            forgotten: counts.forgotten.sum(),
            changes: counts.changes.sum(),
            evicted: counts.evicted.sum(),
            entries: self.shelves.len(),
            absences: self.absences.len(),
            revoked_tokens: self.revoked.len(),
            ring: self.ring.len(),
            revision_lag_millis: self.pulse.last_poll().map(|sent| now.since(sent)),
        }
    }
}
