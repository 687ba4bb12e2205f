//! What is being done for operators and people: a server that gives its store up lets it come to its end, and begins nothing more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::{Failure, FailureKind};

/// How much may be done at once: more than connections ask for.
const MOST: u32 = 1 << 20;
/// How long what was begun may take before it is not waited for any more.
const TO_ITS_END: Duration = Duration::from_secs(5);

/// What is under way. Clones know of the same.
#[derive(Debug, Clone)]
pub struct AtWork(Arc<Semaphore>);

impl Default for AtWork {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST as usize)))
    }
}

impl AtWork {
    /// Begins something, which is under way until what this gives is dropped.
    ///
    /// # Errors
    /// If nothing is begun any more.
    pub(crate) fn begin(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.0.clone().try_acquire_owned().map_err(|_| {
            Failure::of(FailureKind::Unavailable, "this server is about to stop, and begins nothing more")
                .hint("nothing was changed; ask again in a moment")
                .after(1)
        })
    }

    /// Lets nothing more begin, and what was begun come to its end; gives whether it has.
    pub(crate) async fn finish(&self) -> bool {
        self.finish_within(TO_ITS_END).await
    }

    async fn finish_within(&self, time: Duration) -> bool {
        let all = tokio::time::timeout(time, self.0.acquire_many(MOST)).await;
        self.0.close();
        all.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_begun_ends_before_it_is_finished_and_nothing_begins_meanwhile() {
        let work = AtWork::default();
        let (one, other) = (work.begin().unwrap(), work.begin().unwrap());
        drop(other);
        let finishing = tokio::spawn({
            let work = work.clone();
            async move { work.finish().await }
        });
        // Until it is heard that it finishes.
        while work.begin().is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(work.begin().unwrap_err().kind, FailureKind::Unavailable);
        assert!(!finishing.is_finished());
        drop(one);
        assert!(finishing.await.unwrap());
        assert!(work.begin().is_err());
    }

    #[tokio::test]
    async fn what_does_not_end_is_not_waited_for_without_end() {
        let work = AtWork::default();
        let _stays = work.begin().unwrap();
        assert!(!work.finish_within(Duration::from_millis(1)).await);
        assert!(work.begin().is_err());
    }
}
