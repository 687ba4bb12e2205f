//! The time of day as the store has it.
//!
//! Each poll brings the store's clock. It was read at some moment between the sending of the poll and its
//! answer, so the offset is known to half of that time. The sharpest recent reading is kept.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use claviger::clock::{BootMillis, Clock, UnixMillis};

/// A reading older than this gives way to any newer one: clocks drift.
const READING_LASTS_MILLIS: u64 = 10_000;

/// One reading of the store's clock.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The store's time of day less this node's boot clock.
    offset: i64,
    /// How far the offset may be off, either way.
    doubt: i64,
    at: BootMillis,
}

/// What is known of the store's clock.
#[derive(Debug, Default)]
pub(super) struct StoreTime {
    reading: Mutex<Option<Reading>>,
    is_known: AtomicBool,
    offset: AtomicI64,
}

impl StoreTime {
    /// The store's clock stood at `store_now` some time between `sent` and `answered`.
    pub(super) fn read(&self, store_now: UnixMillis, sent: BootMillis, answered: BootMillis) {
        let took = signed(answered.since(sent));
        let middle = signed(sent.0).saturating_add(took / 2);
        let new = Reading { offset: store_now.0.saturating_sub(middle), doubt: took / 2 + 1, at: answered };
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = reading.is_some_and(|old| {
            let agree = old.offset.abs_diff(new.offset) <= old.doubt.saturating_add(new.doubt).unsigned_abs();
            agree && old.doubt < new.doubt && answered.since(old.at) <= READING_LASTS_MILLIS
        });
        if !keep {
            *reading = Some(new);
            self.offset.store(new.offset, Ordering::Relaxed);
            self.is_known.store(true, Ordering::Release);
        }
    }

    /// The store's time of day at `boot`; `None` before the first reading.
    pub(super) fn at(&self, boot: BootMillis) -> Option<UnixMillis> {
        let known = self.is_known.load(Ordering::Acquire);
        known.then(|| UnixMillis(signed(boot.0).saturating_add(self.offset.load(Ordering::Relaxed))))
    }
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// A clock whose time of day is the store's. Before the store was asked for the first time, and where the store
/// is this process, it is the node's own.
#[derive(Debug)]
pub struct StoreClock {
    pub(super) node: Arc<dyn Clock>,
    pub(super) store: Arc<StoreTime>,
}

impl Clock for StoreClock {
    fn now(&self) -> UnixMillis {
        self.store.at(self.node.boot()).unwrap_or_else(|| self.node.now())
    }

    fn boot(&self) -> BootMillis {
        self.node.boot()
    }

    fn time_of_day(&self) -> UnixMillis {
        self.node.time_of_day()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sharp_reading_stands_against_a_blurred_one_for_a_while() {
        let time = StoreTime::default();
        time.read(UnixMillis(1_000_010), BootMillis(1000), BootMillis(1020));
        assert_eq!(time.at(BootMillis(1010)), Some(UnixMillis(1_000_010)));
        time.read(UnixMillis(1_001_300), BootMillis(2000), BootMillis(3000));
        assert_eq!(time.at(BootMillis(1010)), Some(UnixMillis(1_000_010)));
        time.read(UnixMillis(1_020_700), BootMillis(21_500), BootMillis(22_000));
        assert_eq!(time.at(BootMillis(21_750)), Some(UnixMillis(1_020_700)));
    }

    #[test]
    fn a_clock_that_was_turned_is_believed_at_once() {
        let time = StoreTime::default();
        time.read(UnixMillis(50_000), BootMillis(1000), BootMillis(1000));
        time.read(UnixMillis(90_000), BootMillis(1100), BootMillis(1500));
        assert_eq!(time.at(BootMillis(1300)), Some(UnixMillis(90_000)));
    }
}
