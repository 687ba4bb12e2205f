//! The part of the store for named jobs, which act on every tenant.

use std::sync::Arc;

use crate::actor::Actor;
use crate::audit::entry::Entry;
use crate::backend::postgres::check;
use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;
use crate::parts::inner::Inner;

/// The part of the store for a named job.
#[derive(Debug, Clone)]
pub struct SystemStore {
    pub(crate) inner: Arc<Inner>,
    job: &'static str,
    actor: Actor,
}

impl SystemStore {
    pub(crate) fn new(inner: Arc<Inner>, job: &'static str) -> Self {
        Self { inner, job, actor: Actor::named(format!("job:{job}")) }
    }

    /// The same part, with `actor` in the operator's audit.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run(Bound::System(self.job), Mode::Read, work).await
    }

    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run(Bound::System(self.job), Mode::Write, work).await
    }

    /// As [`read`](Self::read), in the lane of rows that grow or count.
    pub(crate) async fn read_in_growth<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run_in_growth(Bound::System(self.job), Mode::Read, work).await
    }

    /// As [`write`](Self::write), in the lane of rows that grow or count.
    pub(crate) async fn write_in_growth<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run_in_growth(Bound::System(self.job), Mode::Write, work).await
    }

    /// Whether the walls stand that the store was opened behind: whoever may change them may do so while a server runs.
    ///
    /// # Errors
    /// If one does not, which; or if the store does not answer.
    pub async fn walls_stand(&self) -> Result<(), StoreError> {
        if self.inner.backend.is_embedded() {
            // Those of SQLite are this process's own connections, which nobody else reaches.
            return Ok(());
        }
        self.read(async |tx: &mut Tx<'_>| check::walls_stand(tx).await).await
    }

    /// An entry of the operator's audit.
    pub(crate) fn entry(
        &self,
        action: &'static str,
        entity: (&'static str, String),
        details: serde_json::Value,
    ) -> Entry {
        Entry::new(&self.inner, None, &self.actor, action, entity, &details)
    }
}
