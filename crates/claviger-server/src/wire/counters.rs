//! What happened on the wire, as numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts of all cores together. They touch no request that goes well.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: Count,
    /// Connections closed at once because there were too many in all.
    pub over_total: Count,
    /// Connections closed at once because their address had too many.
    pub over_address: Count,
    /// Pauses in accepting because no more files could be opened.
    pub accept_paused: Count,
    /// TLS handshakes that failed or took too long.
    pub handshake_failed: Count,
    /// Requests refused because they could not be read (400 and 431).
    pub malformed: Count,
    /// Connections ended because no request, or no complete head, came in time.
    pub overdue: Count,
    /// Connections ended because the client did not read its answer.
    pub stalled: Count,
    /// Connections ended because a permission was withdrawn.
    pub withdrawn: Count,
    /// Connections cut when the time to finish was over.
    pub cut: Count,
}
