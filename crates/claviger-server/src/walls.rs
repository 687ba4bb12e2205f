//! Whether the walls of the store still stand while a server runs: whoever may change them may do so at any time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claviger::danger::SystemPermit;
use claviger_store::{Store, StoreError};

/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// What was found at the last look.
#[derive(Debug, Default)]
pub(crate) struct Walls(Mutex<Option<String>>);

impl Walls {
    /// Looks every now and then, until the task is dropped. The store has looked when it was opened.
    pub(crate) async fn watch(self: Arc<Self>, store: Store) {
        let mut interval = tokio::time::interval(LOOK_EVERY);
        interval.tick().await;
        loop {
            interval.tick().await;
            self.look(&store).await;
        }
    }

    /// Looks at them. A store that does not answer tells nothing.
    #[expect(clippy::disallowed_methods, reason = "the catalogue is no tenant's")]
    async fn look(&self, store: &Store) {
        let found = match store.system(&SystemPermit::for_job("walls")).walls_stand().await {
            Ok(()) => None,
            Err(StoreError::Setup(what)) => Some(what),
            Err(error) => {
                tracing::warn!(%error, "the walls of the store could not be looked at");
                return;
            }
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&found, &*last) {
            (Some(what), _) => tracing::error!("{what}"),
            (None, Some(_)) => tracing::info!("the walls of the store stand again"),
            (None, None) => {}
        }
        *last = found;
    }

    /// Whether they stood at the last look.
    ///
    /// # Errors
    /// If not, with what differed.
    pub(crate) fn stand(&self) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}
