//! The one place that knows there are two databases.
//!
//! A unit of work is one asynchronous closure over a [`Tx`], the same for both. It runs beside the engine, never
//! on the caller's thread: callers wait for an answer that may be awaited on any runtime, and a caller who goes
//! away leaves the unit to end by itself, so that no transaction is ever left half open.

pub(crate) mod bound;
#[cfg(test)]
mod lanes;
pub(crate) mod postgres;
pub(crate) mod sqlite;
pub(crate) mod tx;
pub(crate) mod unit;
#[cfg(test)]
mod units;

use std::sync::Arc;

use claviger::clock::Clock;
use tokio::sync::oneshot;

pub(crate) use bound::{Bound, DIRECTORY, FEED, FollowerSlot, Lane, Mode};
pub(crate) use tx::Tx;
use unit::{Job, Typed};

use crate::error::StoreError;

/// Either database.
#[derive(Debug)]
pub(crate) enum Backend {
    Sqlite(Box<sqlite::Sqlite>),
    Postgres(postgres::Postgres),
}

impl Backend {
    /// Runs `work` in a transaction of its own, and answers when it is durable.
    pub(crate) async fn run<T, F>(
        &self,
        bound: Bound,
        mode: Mode,
        clock: Arc<dyn Clock>,
        work: F,
    ) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.run_in(Lane::of(bound), bound, mode, clock, work).await
    }

    /// The same in a lane of its own.
    pub(crate) async fn run_in<T, F>(
        &self,
        lane: Lane,
        bound: Bound,
        mode: Mode,
        clock: Arc<dyn Clock>,
        work: F,
    ) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(Typed::new(work, reply));
        let job = Job { lane, bound, mode, clock, work };
        match self {
            Self::Sqlite(sqlite) => sqlite.submit(job).await?,
            Self::Postgres(postgres) => postgres.submit(job).await?,
        }
        answer.await.unwrap_or(Err(match mode {
            Mode::Read => StoreError::unavailable("the store was closed"),
            Mode::Write => StoreError::UnknownOutcome,
        }))
    }

    /// Whether the database is this process's alone.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Ends the engine's threads and gives the files free. Work under way is finished first.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(postgres) => postgres.close().await,
        }
    }
}
