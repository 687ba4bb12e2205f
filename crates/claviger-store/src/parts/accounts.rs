//! The part of the store for sign-up, sign-in and refresh: before it is known which tenant somebody is in.

use std::sync::Arc;

use super::inner::Inner;
use crate::actor::Actor;
use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;
use crate::parts::wrote::Wrote;

/// The part of the store for sign-up, sign-in and refresh.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub(crate) inner: Arc<Inner>,
    pub(crate) actor: Actor,
    wrote: Wrote,
}

impl Accounts {
    pub(crate) fn new(inner: Arc<Inner>, actor: Actor) -> Self {
        Self { inner, actor, wrote: Wrote::default() }
    }

    /// The same part, which tells there when something was written by it.
    #[must_use]
    pub(crate) fn telling(self, wrote: &Wrote) -> Self {
        Self { wrote: wrote.clone(), ..self }
    }

    /// Writes where it is bound to.
    pub(crate) async fn write_in<T, F>(&self, bound: Bound, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.wrote.note(self.inner.run(bound, Mode::Write, work).await)
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
        self.inner.run(Bound::System("accounts"), Mode::Read, work).await
    }
}
