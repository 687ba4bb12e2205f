//! The ring, model-checked: every claim is tried under many interleavings of the threads that meet there, and
//! for each rule a variant that breaks it is shown to be caught.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use claviger::api_key::KeyDigest;
use claviger::clock::BootMillis;
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use shuttle::thread;

use super::ring::{Counter, Lock, Primitives, Ring, RingLimits, Verdict};
use crate::subject::{Change, Subject};

struct Modelled;

impl Primitives for Modelled {
    type Lock<T: Send> = Mutex<T>;
    type Counter = AtomicU64;
}

impl<T> Lock<T> for Mutex<T> {
    fn around(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.lock().unwrap())
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

/// A rule that is left out, to see that its absence is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Judge under the lock and shelve after it.
    ShelveLater,
    /// Take the moment of a read when it comes back.
    MomentAfterRead,
    /// Take the entry off the shelf before the commit without announcing it.
    CommitUnannounced,
    /// Take the entry off the shelf after the commit alone.
    TakeOffAfterCommit,
    /// Take an unknown outcome for one that did not happen.
    ForgetUnknownOutcome,
    /// Forget what changed without distrusting the reads under way.
    ForgetWithoutDistrust,
}

/// One subject: its row in the store, its place on the shelf, and what has been answered about it.
struct World {
    flaw: Flaw,
    ring: Ring<Modelled>,
    subject: Subject,
    /// The committed version; 0 is no row.
    row: AtomicI64,
    /// The version on the shelf; 0 is a known absence.
    shelf: Mutex<Option<i64>>,
    /// The newest version of which somebody was told that it holds.
    told: AtomicI64,
}

impl World {
    fn new(flaw: Flaw, row: i64, shelf: Option<i64>) -> Arc<Self> {
        let limits = RingLimits { span_millis: 60_000, changes: 64, stripes: 1 };
        Arc::new(Self {
            flaw,
            ring: Ring::new(limits),
            subject: Subject::Key(KeyDigest::from_bytes(&[7; 32]).unwrap()),
            row: AtomicI64::new(row),
            shelf: Mutex::new(shelf),
            told: AtomicI64::new(0),
        })
    }

    fn change(&self, version: i64) -> Change {
        Change { subject: self.subject.clone(), version }
    }

    fn take_off(&self, older_than: Option<i64>) {
        let mut shelf = self.shelf.lock().unwrap();
        if shelf.is_some_and(|version| older_than.is_none_or(|newer| version < newer)) {
            *shelf = None;
        }
    }

    /// A commit of this node.
    fn commit(&self, version: i64) {
        let change = self.change(version);
        match self.flaw {
            Flaw::CommitUnannounced => self.take_off(Some(version)),
            Flaw::TakeOffAfterCommit => {}
            _ => self.ring.about_to_commit(&change, BootMillis(0), || self.take_off(Some(version))),
        }
        self.row.store(version, Ordering::SeqCst);
        // From here on others may see it: if it is a withdrawal, so must everybody on this node.
        self.told.fetch_max(version, Ordering::SeqCst);
        self.ring.changed(&change, BootMillis(0), || self.take_off(Some(version)));
    }

    /// A commit of another node, and the poll that tells of it.
    fn commit_elsewhere(&self, version: i64) {
        self.row.store(version, Ordering::SeqCst);
        self.ring.changed(&self.change(version), BootMillis(0), || self.take_off(Some(version)));
        self.told.fetch_max(version, Ordering::SeqCst);
    }

    /// A look-up: reads, and reads again while it is told to, at most `tries` times. Somebody who was told of a
    /// change joins while the read is under way.
    fn look_up(&self, tries: usize) {
        for _ in 0..tries {
            let mut sent = self.ring.moment();
            let row = self.row.load(Ordering::SeqCst);
            let told = self.told.load(Ordering::SeqCst);
            if self.flaw == Flaw::MomentAfterRead {
                sent = self.ring.moment();
            }
            let version = (row > 0).then_some(row);
            let put = || *self.shelf.lock().unwrap() = Some(row);
            let verdict = if self.flaw == Flaw::ShelveLater {
                let verdict = self.ring.judge(&self.subject, sent, version);
                if verdict == Verdict::Admitted {
                    put();
                }
                verdict
            } else {
                self.ring.admit(&self.subject, sent, version, put)
            };
            if verdict == Verdict::Admitted {
                assert!(row >= told, "somebody was told of {told} and is answered {row}");
                return;
            }
        }
    }

    /// A decision answered from the shelf by somebody who may have been told of a change.
    fn use_shelf(&self) {
        let told = self.told.load(Ordering::SeqCst);
        let found = *self.shelf.lock().unwrap();
        assert!(found.is_none_or(|version| version >= told), "told {told}, served {found:?}");
    }

    fn settle(&self) {
        let (row, shelf) = (self.row.load(Ordering::SeqCst), *self.shelf.lock().unwrap());
        assert!(shelf.is_none_or(|version| version == row), "{shelf:?} stays on the shelf, the row is {row}");
        // Nothing is held up for ever.
        let sent = self.ring.moment();
        let verdict = self.ring.admit(&self.subject, sent, (row > 0).then_some(row), || ());
        assert_eq!(verdict, Verdict::Admitted);
    }
}

/// Runs `acts` as threads of one world.
fn run(world: Arc<World>, acts: &'static [fn(&World)]) {
    let threads: Vec<_> = acts
        .iter()
        .map(|act| {
            let world = Arc::clone(&world);
            thread::spawn(move || act(&world))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    world.settle();
}

/// Runs them under many schedules: evenly random ones, and ones with few but unkind switches of threads.
fn holds(row: i64, shelf: Option<i64>, acts: &'static [fn(&World)]) {
    shuttle::check_random(move || run(World::new(Flaw::None, row, shelf), acts), 1_000);
    shuttle::check_pct(move || run(World::new(Flaw::None, row, shelf), acts), 1_000, 3);
}

/// Whether some schedule finds the flaw, and none finds one where there is none.
fn is_caught(flaw: Flaw, row: i64, shelf: Option<i64>, acts: &'static [fn(&World)]) -> bool {
    holds(row, shelf, acts);
    let flawed = move || run(World::new(flaw, row, shelf), acts);
    catch_unwind(AssertUnwindSafe(|| shuttle::check_random(flawed, 10_000))).is_err()
}

const REVOKED_HERE: &[fn(&World)] =
    &[|w| w.commit(2), |w| w.look_up(3), |w| w.use_shelf(), |w| w.use_shelf()];
const REVOKED_ELSEWHERE: &[fn(&World)] = &[|w| w.commit_elsewhere(2), |w| w.look_up(3), |w| w.use_shelf()];
const CREATED_ELSEWHERE: &[fn(&World)] = &[|w| w.commit_elsewhere(1), |w| w.look_up(3), |w| w.use_shelf()];
const CHANGED_TWICE: &[fn(&World)] = &[
    |w| {
        w.commit(2);
        w.commit_elsewhere(3);
    },
    |w| w.look_up(4),
    |w| w.use_shelf(),
];
const UNKNOWN_OUTCOME: &[fn(&World)] = &[
    |w| {
        // The COMMIT goes through, and its answer is lost.
        w.ring.about_to_commit(&w.change(2), BootMillis(0), || w.take_off(Some(2)));
        w.row.store(2, Ordering::SeqCst);
        if w.flaw == Flaw::ForgetUnknownOutcome {
            // As if nothing had been announced: the mark goes, and no read is distrusted.
            w.ring.prune(BootMillis(1_000_000));
            w.take_off(None);
        } else {
            w.ring.not_committed(&w.change(2), BootMillis(0), || w.take_off(None));
        }
    },
    |w| w.look_up(4),
];
const ROLLED_BACK: &[fn(&World)] = &[
    |w| {
        w.ring.about_to_commit(&w.change(2), BootMillis(0), || w.take_off(Some(2)));
        w.ring.not_committed(&w.change(2), BootMillis(0), || w.take_off(None));
    },
    |w| w.look_up(4),
    |w| w.use_shelf(),
];
const CHANGE_FORGOTTEN: &[fn(&World)] = &[
    |w| {
        w.commit_elsewhere(2);
        if w.flaw == Flaw::ForgetWithoutDistrust {
            w.ring.forget_without_distrust();
        } else {
            w.ring.prune(BootMillis(1_000_000));
        }
    },
    |w| w.look_up(3),
    |w| w.use_shelf(),
];

#[test]
fn shelving_outside_the_lock_is_caught() {
    assert!(is_caught(Flaw::ShelveLater, 1, Some(1), REVOKED_HERE));
    assert!(is_caught(Flaw::ShelveLater, 1, None, REVOKED_ELSEWHERE));
}

#[test]
fn a_withdrawal_that_is_not_announced_before_the_commit_is_caught() {
    assert!(is_caught(Flaw::CommitUnannounced, 1, Some(1), REVOKED_HERE));
    assert!(is_caught(Flaw::TakeOffAfterCommit, 1, Some(1), REVOKED_HERE));
}

#[test]
fn dating_a_read_by_its_answer_is_caught() {
    // A record has a version; it is the absence whose age only the moment tells.
    assert!(is_caught(Flaw::MomentAfterRead, 0, None, CREATED_ELSEWHERE));
    assert!(is_caught(Flaw::MomentAfterRead, 0, Some(0), CREATED_ELSEWHERE));
}

#[test]
fn taking_an_unknown_outcome_for_a_rollback_is_caught() {
    assert!(is_caught(Flaw::ForgetUnknownOutcome, 1, Some(1), UNKNOWN_OUTCOME));
    assert!(is_caught(Flaw::ForgetUnknownOutcome, 0, None, UNKNOWN_OUTCOME));
}

#[test]
fn forgetting_a_change_that_a_read_under_way_has_missed_is_caught() {
    assert!(is_caught(Flaw::ForgetWithoutDistrust, 1, Some(1), CHANGE_FORGOTTEN));
}

#[test]
fn records_and_absences_stay_true_under_changes_from_both_sides() {
    for (row, shelf) in [(1, Some(1)), (1, None), (0, Some(0)), (0, None)] {
        holds(row, shelf, CHANGED_TWICE);
        holds(row, shelf, ROLLED_BACK);
    }
}
