//! What the memory counts.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How the memory is doing, at one moment. Counts are since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryFigures {
    /// Look-ups answered from memory, absences included.
    pub hits: u64,
    /// Look-ups that had to ask.
    pub misses: u64,
    /// Look-ups refused because too many were under way.
    pub refused: u64,
    /// Subjects read from the store, repetitions included.
    pub loads: u64,
    /// Reads of the store, each of one or more subjects.
    pub batches: u64,
    /// Subjects whose look-up failed.
    pub load_failures: u64,
    /// Subjects read again because what was read first was older than a change.
    pub rereads: u64,
    /// Entries that differed when they were read again although no change had been heard. Anything but 0 is a
    /// fault: a change that the feed did not tell of.
    pub reread_differences: u64,
    /// Commits that were announced and then neither confirmed nor withdrawn. Anything but 0 is a fault.
    pub lost_commits: u64,
    /// Polls of the feed that failed.
    pub poll_failures: u64,
    /// How often everything was forgotten.
    pub forgotten: u64,
    /// Changes applied.
    pub changes: u64,
    /// Entries dropped for want of room.
    pub evicted: u64,
    /// Records held.
    pub entries: usize,
    /// Absences held.
    pub absences: usize,
    /// Revoked tokens held.
    pub revoked_tokens: usize,
    /// Changes kept to judge reads by.
    pub ring: usize,
    /// Milliseconds since the last good poll was sent; `None` before the first, 0 if there is nothing to poll.
    pub revision_lag_millis: Option<u64>,
}

/// A count that some cores add to at every request: a cell per thread, more or less, and none shared often.
#[derive(Debug, Default)]
pub(super) struct Tally([Cell64; CELLS]);

const CELLS: usize = 32;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell64(AtomicU64);

thread_local! {
    static CELL: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl Tally {
    /// Adds one.
    pub(super) fn count(&self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let at = CELL.with(|cell| {
            if cell.get() == usize::MAX {
                cell.set(NEXT.fetch_add(1, Ordering::Relaxed) % CELLS);
            }
            cell.get()
        });
        if let Some(cell) = self.0.get(at) {
            cell.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The sum.
    pub(super) fn sum(&self) -> u64 {
        self.0.iter().map(|cell| cell.0.load(Ordering::Relaxed)).sum()
    }
}

/// A count that the background work alone adds to, or that is rare.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds.
    pub(super) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// The sum.
    pub(super) fn sum(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts behind [`MemoryFigures`], under the same names.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) hits: Tally,
    pub(super) misses: Tally,
    pub(super) refused: Count,
    pub(super) loads: Count,
    pub(super) batches: Count,
    pub(super) load_failures: Count,
    pub(super) rereads: Count,
    pub(super) reread_differences: Count,
    pub(super) lost_commits: Count,
    pub(super) poll_failures: Count,
    pub(super) forgotten: Count,
    pub(super) changes: Count,
    pub(super) evicted: Count,
}
