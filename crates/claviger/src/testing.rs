//! Clocks, randomness and directories for tests (feature `testing`).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::{BootMillis, Clock, UnixMillis};
use crate::random::Random;

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

/// Bytes that are different each time and the same in each run.
#[derive(Debug, Default)]
pub struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // The mixing step of splitmix64: neighbours differ in about half of their bits.
            let mut z =
                self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let mixed = (z ^ (z >> 31)).to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(mixed) {
                *to = from;
            }
        }
    }
}
