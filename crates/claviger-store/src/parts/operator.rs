//! The operator's part: realms, plans, tenants, and the way into each tenant.

use std::sync::Arc;

use claviger::directory::Annotated;
use claviger::id::TenantId;

use super::accounts::Accounts;
use super::inner::Inner;
use super::tenant_store::TenantStore;
use crate::actor::Actor;
use crate::audit::entry::Entry;
use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;
use crate::parts::wrote::Wrote;
use crate::versions::{Unedited, Version};

/// The operator's part of the store.
#[derive(Debug, Clone)]
pub struct Operator {
    pub(crate) inner: Arc<Inner>,
    pub(crate) actor: Actor,
    unedited: Option<Unedited>,
    /// Told when something was written.
    wrote: Wrote,
}

impl Operator {
    pub(crate) fn new(inner: Arc<Inner>, actor: Actor) -> Self {
        Self { inner, actor, unedited: None, wrote: Wrote::default() }
    }

    /// The same part, with what `actor` adds in its audit: an address, a credential.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// The same part, which tells there when something was written by it, or by what it opens.
    #[must_use]
    pub fn telling(self, wrote: &Wrote) -> Self {
        Self { wrote: wrote.clone(), ..self }
    }

    /// The part of one tenant. What is changed there is audited there, under the operator's name.
    pub fn tenant(&self, tenant: TenantId) -> TenantStore {
        TenantStore::new(Arc::clone(&self.inner), tenant, self.actor.clone()).telling(&self.wrote)
    }

    /// The accounts' part, under the operator's name.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(Arc::clone(&self.inner), self.actor.clone()).telling(&self.wrote)
    }

    /// The same part, which changes what the operator calls a tenant only if that was not edited since this version.
    #[must_use]
    pub fn unless_edited(self, tenant: TenantId, since: Option<Version>) -> Self {
        let about = Annotated::Tenant(tenant);
        Self { unedited: since.map(|since| Unedited { about, since }), ..self }
    }

    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run(Bound::System("operator"), Mode::Read, work).await
    }

    /// As [`read`](Self::read), in the lane of rows that grow or count.
    pub(crate) async fn read_in_growth<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run_in_growth(Bound::System("operator"), Mode::Read, work).await
    }

    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let unedited = self.unedited;
        let held = async move |tx: &mut Tx<'_>| {
            if let Some(unedited) = unedited {
                unedited.hold_for_operator(tx).await?;
            }
            work(tx).await
        };
        self.wrote.note(self.inner.run(Bound::System("operator"), Mode::Write, held).await)
    }

    /// How far the store's changes have come: what was written before is in it. Opaque; a server that has applied it has applied
    /// that too.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn revision(&self) -> Result<String, StoreError> {
        self.read(async move |tx: &mut Tx<'_>| Ok(crate::feed::position(tx).await?.0)).await
    }

    /// An entry of the operator's audit.
    pub(crate) fn entry(&self, action: &'static str, entity: (&'static str, String)) -> Entry {
        Entry::new(&self.inner, None, &self.actor, action, entity, &serde_json::json!({}))
    }
}
