//! A clock for tests.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::{BootMillis, Clock, UnixMillis};

/// A clock that goes only where it is told.
#[derive(Debug)]
pub struct FixedClock {
    now: AtomicI64,
    boot: AtomicU64,
}

impl FixedClock {
    /// A clock that stands at `now`, on a machine that has just started.
    pub fn at(now: UnixMillis) -> Self {
        Self { now: AtomicI64::new(now.0), boot: AtomicU64::new(1_000_000) }
    }

    /// Moves both clocks forward.
    pub fn advance_millis(&self, millis: u64) {
        self.now.fetch_add(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.boot.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the time of day alone, as somebody who turns the clock does.
    pub fn set_now(&self, now: UnixMillis) {
        self.now.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.now.load(Ordering::SeqCst))
    }

    fn boot(&self) -> BootMillis {
        BootMillis(self.boot.load(Ordering::SeqCst))
    }
}
