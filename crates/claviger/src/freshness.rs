//! Whether what the directory remembers may be believed.

use crate::clock::Clock;
use crate::directory::{Directory, DirectoryError, Freshness};

/// Proof that the directory was fresh, or has caught up, for this one decision.
#[derive(Debug)]
pub(crate) struct Fresh(());

impl Fresh {
    /// A directory whose feed has been silent for too long is asked to catch up, or is not believed.
    ///
    /// # Errors
    /// If it could not catch up.
    pub(crate) async fn of(directory: &dyn Directory, clock: &dyn Clock) -> Result<Self, DirectoryError> {
        match directory.freshness(clock.boot()) {
            Freshness::Fresh => {}
            Freshness::Stale(catch_up) => catch_up.await?,
        }
        Ok(Self(()))
    }
}
