//! Waiting on the background runtime, with an end to it.

use claviger::directory::DirectoryError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::feed::source::SourceFuture;

/// Runs what `ask` gives on a task of its own: if it panics or hangs, that is one failure and nothing else.
///
/// # Errors
/// If it fails, panics, or is not done at `deadline`.
pub(super) async fn by_deadline<T: Send + 'static>(
    deadline: Instant,
    ask: impl FnOnce() -> SourceFuture<T> + Send + 'static,
) -> Result<T, DirectoryError> {
    // Dropping the set ends the task.
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { ask().await });
    match tokio::time::timeout_at(deadline, tasks.join_next()).await {
        Ok(Some(Ok(outcome))) => outcome,
        Ok(_) => Err(DirectoryError::Unavailable("the store's answer broke off".to_owned())),
        Err(_) => Err(DirectoryError::Unavailable("the store did not answer in time".to_owned())),
    }
}

/// Waits until `time`; for ever if there is none.
pub(super) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
