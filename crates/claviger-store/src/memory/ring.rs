//! What changed lately, and whether something just read may be believed in the light of it.
//!
//! A record that was read before a change and arrives after it must neither be answered nor remembered. The ring
//! keeps the latest changes of each subject and the moment they were heard. [`Ring::admit`] compares what a
//! read found with them and, if it holds, puts it on the shelf under the same lock under which
//! [`Ring::changed`] and [`Ring::about_to_commit`] take things off: nothing can come between the comparison and
//! the act. Those who only look at the shelf take no lock and do not come here.
//!
//! What must stay true, and is model-checked next door with the primitives replaced:
//! * once a commit has been announced, what is older than it is not on the shelf, and is not put there, until
//!   it is withdrawn;
//! * once a change has been heard, what is older than it is not on the shelf and is not put there.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use claviger::clock::BootMillis;

use crate::subject::{Change, Subject};

/// A place in the order in which this node heard of changes and sent reads. A read whose moment is not before
/// that of a change saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// What became of something that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds, and is on the shelf.
    Admitted,
    /// It is older than a change that was heard: read again.
    Outdated,
    /// It may be older than a commit under way: read again in a little while.
    Undecided,
}

/// The lock and the counter the ring stands on, so that a model checker can put its own in their place.
pub(super) trait Primitives {
    /// A lock round a `T`.
    type Lock<T: Send>: Lock<T>;
    /// A counter.
    type Counter: Counter;
}

/// Mutual exclusion.
pub(super) trait Lock<T> {
    /// A lock round `value`.
    fn around(value: T) -> Self;
    /// Runs `act` alone.
    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R;
}

/// A number that grows.
pub(super) trait Counter: Default {
    /// What it stands at.
    fn value(&self) -> u64;
    /// Adds one and gives the sum.
    fn next(&self) -> u64;
}

/// The primitives of the standard library.
#[derive(Debug)]
pub(super) struct Real;

impl Primitives for Real {
    type Lock<T: Send> = Mutex<T>;
    type Counter = AtomicU64;
}

impl<T> Lock<T> for Mutex<T> {
    fn around(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        // Each step leaves the stripe whole, so a panic elsewhere under the lock takes nothing from it.
        act(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counter for AtomicU64 {
    fn value(&self) -> u64 {
        self.load(Ordering::SeqCst)
    }

    fn next(&self) -> u64 {
        self.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// How much the ring keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingLimits {
    /// How long a change is kept, in milliseconds.
    pub(super) span_millis: u64,
    /// How many changes are kept at most. Those that make room early cost reads under way a second try.
    pub(super) changes: usize,
    /// How many locks the subjects are spread over.
    pub(super) stripes: usize,
}

/// The latest changes.
pub(super) struct Ring<P: Primitives = Real> {
    stripes: Box<[P::Lock<Stripe>]>,
    moments: P::Counter,
    hasher: RandomState,
    limits: RingLimits,
}

#[derive(Default)]
struct Stripe {
    heard: HashMap<Subject, Heard>,
    /// The changes in the order they were heard. A subject heard again has its earlier places here too.
    order: VecDeque<(Moment, BootMillis, Subject)>,
    announced: HashMap<Subject, Vec<Announced>>,
    /// Reads sent before this moment may have missed a change that is no longer kept.
    horizon: u64,
}

/// What was heard of one subject.
struct Heard {
    /// The highest version known to be committed; `i64::MIN` if none is.
    committed: i64,
    /// The highest version that was committed or may have been.
    highest: i64,
    /// When the last of it was heard. What a read sent later finds is the outcome.
    at: Moment,
}

/// A commit under way.
struct Announced {
    version: i64,
    at: BootMillis,
}

impl<P: Primitives> std::fmt::Debug for Ring<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<P: Primitives> Ring<P> {
    /// An empty ring.
    pub(super) fn new(limits: RingLimits) -> Self {
        let stripes = (0..limits.stripes.max(1)).map(|_| P::Lock::around(Stripe::default())).collect();
        Self { stripes, moments: P::Counter::default(), hasher: RandomState::new(), limits }
    }

    /// The present moment, to be taken *before* a read is sent.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.moments.value())
    }

    /// Judges what a read sent at `sent` found of `subject`: a row of `version`, or none. If it holds, runs
    /// `put`, which is to shelve it, before any change of the subject can come in.
    pub(super) fn admit(
        &self,
        subject: &Subject,
        sent: Moment,
        version: Option<i64>,
        put: impl FnOnce(),
    ) -> Verdict {
        self.stripe(subject, |stripe| {
            let verdict = stripe.judge(subject, sent, version);
            if verdict == Verdict::Admitted {
                put();
            }
            verdict
        })
    }

    /// What [`Ring::admit`] would say now. By the time it is read it may be wrong.
    #[cfg(test)]
    pub(super) fn judge(&self, subject: &Subject, sent: Moment, version: Option<i64>) -> Verdict {
        self.stripe(subject, |stripe| stripe.judge(subject, sent, version))
    }

    /// Forgets every change and leaves reads under way unjudged: what [`Ring::prune`] must not do.
    #[cfg(test)]
    pub(super) fn forget_without_distrust(&self) {
        for stripe in &self.stripes {
            stripe.with(|stripe| stripe.heard.clear());
        }
    }

    /// A commit is about to be tried. `take_off` is to take everything off the shelf that is not of this or a
    /// later version.
    pub(super) fn about_to_commit(&self, change: &Change, now: BootMillis, take_off: impl FnOnce()) {
        self.stripe(&change.subject, |stripe| {
            let announced = Announced { version: change.version, at: now };
            stripe.announced.entry(change.subject.clone()).or_default().push(announced);
            take_off();
        });
    }

    /// A change is known to be committed. If that is news, runs `take_off`, which is to take everything off the
    /// shelf that is older. Says whether it was news.
    pub(super) fn changed(&self, change: &Change, now: BootMillis, take_off: impl FnOnce()) -> bool {
        self.stripe(&change.subject, |stripe| {
            let heard = stripe.heard.get(&change.subject);
            let known = heard.is_some_and(|heard| heard.committed >= change.version);
            // Whoever announced this version, it is decided.
            stripe.withdraw(&change.subject, change.version, usize::MAX);
            if known {
                return false;
            }
            let at = Moment(self.moments.next());
            stripe.hear(change, change.version, at, now);
            stripe.shrink_to(self.limits.changes / self.stripes.len());
            take_off();
            true
        })
    }

    /// A commit that was announced did not happen, or nobody knows. `take_off` is to take everything of the
    /// subject off the shelf. Only a read sent from now on knows what came of it.
    pub(super) fn not_committed(&self, change: &Change, now: BootMillis, take_off: impl FnOnce()) {
        self.stripe(&change.subject, |stripe| {
            // One only: after a rollback the next writer of the row announces the same version again.
            stripe.withdraw(&change.subject, change.version, 1);
            let at = Moment(self.moments.next());
            stripe.hear(change, i64::MIN, at, now);
            take_off();
        });
    }

    /// Changes may have been missed: no read sent until now is admitted any more.
    pub(super) fn distrust_reads_under_way(&self) {
        for stripe in &self.stripes {
            stripe.with(|stripe| stripe.horizon = self.moments.next());
        }
    }

    /// Forgets which versions there were, and distrusts the reads under way: what was heard of may never have happened.
    /// Commits under way stay announced: whoever announced them says what became of them.
    pub(super) fn begin_anew(&self) {
        for stripe in &self.stripes {
            stripe.with(|stripe| {
                stripe.heard.clear();
                stripe.order.clear();
                stripe.horizon = self.moments.next();
            });
        }
    }

    /// Forgets the changes heard longer ago than the ring's span, and gives up on commits announced longer ago.
    /// Answers how many of those there were: there should be none.
    pub(super) fn prune(&self, now: BootMillis) -> usize {
        let span = self.limits.span_millis;
        self.stripes
            .iter()
            .map(|stripe| {
                stripe.with(|stripe| {
                    while stripe.order.front().is_some_and(|(_, heard_at, _)| now.since(*heard_at) > span) {
                        stripe.forget_oldest();
                    }
                    let mut given_up = 0;
                    stripe.announced.retain(|_, announced| {
                        let before = announced.len();
                        announced.retain(|announced| now.since(announced.at) <= span);
                        given_up += before - announced.len();
                        !announced.is_empty()
                    });
                    given_up
                })
            })
            .sum()
    }

    /// The highest version of `subject` that is known to be committed, as far as the ring remembers.
    pub(super) fn committed(&self, subject: &Subject) -> Option<i64> {
        self.stripe(subject, |stripe| stripe.heard.get(subject).map(|heard| heard.committed))
    }

    /// How many changes the ring keeps.
    pub(super) fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.with(|stripe| stripe.order.len())).sum()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "there is at least one stripe, and the index is taken modulo their number"
    )]
    fn stripe<R>(&self, subject: &Subject, act: impl FnOnce(&mut Stripe) -> R) -> R {
        // One stripe needs no hash; a model checker depends on that, for the hash is seeded at random.
        let at = match self.stripes.len() {
            1 => 0,
            stripes => (self.hasher.hash_one(subject) % stripes as u64) as usize,
        };
        self.stripes[at].with(act)
    }
}

impl Stripe {
    fn judge(&self, subject: &Subject, sent: Moment, version: Option<i64>) -> Verdict {
        if sent.0 < self.horizon {
            return Verdict::Outdated;
        }
        let heard = self.heard.get(subject);
        if let Some(heard) = heard {
            let sent_later = sent >= heard.at;
            let holds = match version {
                // A version lower than one that was committed never holds, whenever it was read: versions of a
                // subject do not start again, not even when its row was deleted and made anew.
                Some(version) => version >= heard.committed && (sent_later || version >= heard.highest),
                // That there is no row has no version: only the order of the read and the change tells whether
                // the row was not there yet or is there no more.
                None => sent_later,
            };
            if !holds {
                return Verdict::Outdated;
            }
        }
        let announced = self.announced.get(subject).map(Vec::as_slice).unwrap_or_default();
        if announced.iter().any(|announced| version.is_none_or(|version| version < announced.version)) {
            return Verdict::Undecided;
        }
        Verdict::Admitted
    }

    fn hear(&mut self, change: &Change, committed: i64, at: Moment, now: BootMillis) {
        let heard = self.heard.entry(change.subject.clone()).or_insert(Heard {
            committed,
            highest: change.version,
            at,
        });
        heard.committed = heard.committed.max(committed);
        heard.highest = heard.highest.max(change.version);
        heard.at = at;
        self.order.push_back((at, now, change.subject.clone()));
    }

    /// Strikes out announcements of `version`, at most `most` of them.
    fn withdraw(&mut self, subject: &Subject, version: i64, mut most: usize) {
        if let Some(announced) = self.announced.get_mut(subject) {
            announced.retain(|announced| {
                let strike = announced.version == version && most > 0;
                most -= usize::from(strike);
                !strike
            });
            if announced.is_empty() {
                self.announced.remove(subject);
            }
        }
    }

    fn shrink_to(&mut self, most: usize) {
        while self.order.len() > most.max(1) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((at, _, subject)) = self.order.pop_front() {
            self.horizon = self.horizon.max(at.0);
            if self.heard.get(&subject).is_some_and(|heard| heard.at == at) {
                self.heard.remove(&subject);
            }
        }
    }
}
