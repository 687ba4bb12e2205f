//! What every look-up reads first: the second, and whether the feed is alive.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use claviger::clock::BootMillis;

use super::settings::millis;

/// The time as far as entries care about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beat {
    /// Seconds since the memory began.
    pub(super) second: u32,
    /// How often everything was forgotten; an entry of an earlier life is not believed.
    pub(super) life: u16,
}

impl Beat {
    /// The time in steps of 16 seconds, never 0: what an entry notes when it is used. It comes round after
    /// twelve days, which may keep an entry that should have gone, and harms nothing else.
    pub(super) fn used(self) -> u16 {
        ((self.second >> 4) as u16).max(1)
    }
}

/// A few numbers that all look-ups share. They are written some times a second at most.
#[derive(Debug)]
pub(super) struct Pulse {
    began: BootMillis,
    max_staleness: u64,
    second: AtomicU32,
    life: AtomicU16,
    /// When the last good poll was sent, plus one; 0 if there was none.
    polled: AtomicU64,
    version: AtomicU64,
}

impl Pulse {
    /// The pulse of a memory that begins at `now`, and must not be believed yet.
    pub(super) fn new(now: BootMillis, max_staleness: Duration) -> Self {
        Self {
            began: now,
            max_staleness: millis(max_staleness),
            second: AtomicU32::new(0),
            life: AtomicU16::new(0),
            polled: AtomicU64::new(0),
            version: AtomicU64::new(1),
        }
    }

    /// The present beat, as of the last [`Pulse::tell_time`].
    pub(super) fn beat(&self) -> Beat {
        // Acquire: whoever sees a new life sees that the reads of the one before are distrusted.
        let life = self.life.load(Ordering::Acquire);
        Beat { second: self.second.load(Ordering::Relaxed), life }
    }

    /// Notes what time it is. Whoever has just read the clock should say so: nobody else reads it for a look-up.
    pub(super) fn tell_time(&self, now: BootMillis) {
        let second = u32::try_from(now.since(self.began) / 1000).unwrap_or(u32::MAX);
        if self.second.load(Ordering::Relaxed) < second {
            self.second.fetch_max(second, Ordering::Relaxed);
        }
    }

    /// Begins the next life: no entry made until now is believed any more.
    pub(super) fn forget_all(&self) {
        self.life.fetch_add(1, Ordering::SeqCst);
    }

    /// A poll that was sent at `sent` was good, and what it told has been applied.
    pub(super) fn polled(&self, sent: BootMillis) {
        self.polled.fetch_max(sent.0.saturating_add(1), Ordering::SeqCst);
    }

    /// From now on nothing has to be polled for.
    pub(super) fn follow_by_itself(&self) {
        self.polled.store(u64::MAX, Ordering::SeqCst);
    }

    /// Something may have been missed: not to be believed before the next good poll.
    pub(super) fn doubt(&self) {
        self.polled.store(0, Ordering::SeqCst);
    }

    /// When the last good poll was sent.
    pub(super) fn last_poll(&self) -> Option<BootMillis> {
        self.polled.load(Ordering::SeqCst).checked_sub(1).map(BootMillis)
    }

    /// Whether what is remembered may be believed at `now`.
    pub(super) fn is_fresh(&self, now: BootMillis) -> bool {
        self.last_poll().is_some_and(|sent| now.since(sent) <= self.max_staleness)
    }

    /// The version of what is remembered.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Something that was remembered is not any more. To be called after it was taken off, so that whoever
    /// reads the new version does not read what was.
    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }
}
