//! How the directory's memory behaves.

use std::time::Duration;

/// Settings of [`Memory`](super::Memory). The default is right for a store that other nodes write to as well.
#[derive(Debug, Clone)]
pub struct MemorySettings {
    /// Whether every change comes in through [`Follower`](crate::feed::follower::Follower), so that there is nothing
    /// to poll for and the memory is never stale: true for a store that this process alone writes to.
    pub follows_by_itself: bool,
    /// How long the feed may be silent before nothing remembered is believed.
    pub max_staleness: Duration,
    /// From the sending of one poll to that of the next.
    pub poll_every: Duration,
    /// How long a poll may take while the memory is believed.
    pub poll_deadline: Duration,
    /// How long the shared poll of those who found the memory stale may take.
    pub shared_poll_deadline: Duration,
    /// How long a look-up may take, its repetitions included.
    pub ask_deadline: Duration,
    /// How many look-ups may be under way; the next is refused as too many.
    pub max_asks: usize,
    /// How many subjects one read asks for. A source takes 256 at most.
    pub batch_size: usize,
    /// How long a look-up waits for others to share its read with.
    pub batch_window: Duration,
    /// How many reads may be under way at once.
    pub max_batches: usize,
    /// How old an entry may grow before it is read again when used, give or take a fifth, so that entries loaded
    /// together do not come back together.
    pub reread_after: Duration,
    /// How many entries to hold. A sixteenth more may be held for a moment.
    pub max_entries: usize,
    /// How many absences to hold.
    pub max_absences: usize,
    /// How long a change is kept to judge reads by. Must be longer than any read can take.
    pub ring_span: Duration,
    /// How many changes are kept at most to judge reads by.
    pub max_ring: usize,
    /// How often expired tokens, old changes and surplus entries are cleared away.
    pub tidy_every: Duration,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            follows_by_itself: false,
            max_staleness: Duration::from_secs(5),
            poll_every: Duration::from_millis(75),
            poll_deadline: Duration::from_secs(2),
            shared_poll_deadline: Duration::from_millis(500),
            ask_deadline: Duration::from_secs(5),
            max_asks: 32_768,
            batch_size: 256,
            batch_window: Duration::from_millis(1),
            max_batches: 8,
            reread_after: Duration::from_mins(15),
            max_entries: 4_000_000,
            max_absences: 32_768,
            ring_span: Duration::from_secs(60),
            max_ring: 262_144,
            tidy_every: Duration::from_secs(1),
        }
    }
}

impl MemorySettings {
    /// For a store that only this process writes to.
    pub fn following_by_itself() -> Self {
        Self { follows_by_itself: true, ..Self::default() }
    }
}

/// Whole milliseconds of `duration`.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
