//! The part of the store for sign-up, sign-in and refresh: before it is known which tenant somebody is in.

use std::sync::Arc;

use super::inner::Inner;
use crate::actor::Actor;
use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;

/// The part of the store for sign-up, sign-in and refresh.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub(crate) inner: Arc<Inner>,
    pub(crate) actor: Actor,
}

impl Accounts {
    pub(crate) fn new(inner: Arc<Inner>, actor: Actor) -> Self {
        Self { inner, actor }
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
