//! What a node knows of a failover.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which timeline this node believes, and for which it has done its part.
#[derive(Debug, Default)]
pub(crate) struct Failover(Mutex<Known>);

#[derive(Debug, Default)]
pub(super) struct Known {
    /// The origin at which its own withdrawals were last done again.
    pub(super) at: Option<String>,
    /// For which timeline they have been.
    pub(super) done: Option<String>,
    /// Which one is believed.
    pub(super) believed: Option<String>,
    /// Since when it waits for the others, by its boot clock.
    pub(super) waiting_since: Option<u64>,
}

impl Failover {
    /// What a node says of itself in its row: for which timeline it has done its part, and which one it believes.
    pub(crate) fn told(&self) -> (Option<String>, Option<String>) {
        let known = self.known();
        (known.done.clone(), known.believed.clone())
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
