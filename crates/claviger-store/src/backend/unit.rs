//! A unit of work, on its way to whichever engine it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use claviger::clock::Clock;
use tokio::sync::oneshot;

use super::bound::{Bound, Lane, Mode};
use super::tx::Tx;
use crate::error::StoreError;

/// A unit of work whose types are forgotten. It can be attempted again if its transaction was lost.
pub(crate) trait Work: Send {
    fn attempt<'a>(
        &'a mut self,
        tx: &'a mut Tx<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>;

    /// Tells the caller what the last attempt gave, or that it failed. Later answers are not heard.
    fn answer(&mut self, end: Result<(), StoreError>);
}

pub(super) struct Typed<F, T> {
    work: F,
    outcome: Option<T>,
    reply: Option<oneshot::Sender<Result<T, StoreError>>>,
}

impl<F, T> Typed<F, T> {
    /// Answers with what the unit's last attempt gave.
    pub(super) fn new(work: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { work, outcome: None, reply: Some(reply) }
    }
}

impl<F, T> Work for Typed<F, T>
where
    F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn attempt<'a>(
        &'a mut self,
        tx: &'a mut Tx<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>> {
        Box::pin(async move {
            self.outcome = Some((self.work)(tx).await?);
            Ok(())
        })
    }

    fn answer(&mut self, end: Result<(), StoreError>) {
        let Some(reply) = self.reply.take() else { return };
        let answer = end.and_then(|()| self.outcome.take().ok_or(StoreError::UnknownOutcome));
        // A caller who has gone away does not want the answer; the unit is complete all the same.
        let _ = reply.send(answer);
    }
}

/// A unit of work on its way to an engine.
pub(crate) struct Job {
    pub(crate) lane: Lane,
    pub(crate) bound: Bound,
    pub(crate) mode: Mode,
    /// The clock of an embedded store.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) work: Box<dyn Work>,
}
