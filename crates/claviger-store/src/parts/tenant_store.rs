//! One tenant's part of the store. Every row function of a tenant hangs off it, in the file of its noun.

use std::sync::Arc;

use claviger::directory::Annotated;
use claviger::id::TenantId;

use crate::actor::Actor;
use crate::audit::entry::Entry;
use crate::backend::{Bound, Mode, Tx};
use crate::credentials::key_authority::KeyManager;
use crate::error::StoreError;
use crate::parts::inner::Inner;
use crate::parts::wrote::Wrote;
use crate::versions::{self, Unedited, Version};

/// One tenant's part of the store.
#[derive(Debug, Clone)]
pub struct TenantStore {
    pub(crate) inner: Arc<Inner>,
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
    unedited: Option<Unedited>,
    wrote: Wrote,
    /// Who manages keys, if it is somebody within the tenant.
    pub(crate) key_manager: Option<KeyManager>,
}

impl TenantStore {
    pub(crate) fn new(inner: Arc<Inner>, tenant: TenantId, actor: Actor) -> Self {
        Self { inner, tenant, actor, unedited: None, wrote: Wrote::default(), key_manager: None }
    }

    /// The tenant whose part this is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The same part, which tells there when something was written by it.
    #[must_use]
    pub(crate) fn telling(self, wrote: &Wrote) -> Self {
        Self { wrote: wrote.clone(), ..self }
    }

    /// The same part, with `actor` in its audit.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// The same part, for somebody within the tenant who manages its keys: only those that are there for them, and none that may do more than
    /// they.
    #[must_use]
    pub fn managed_by(self, manager: KeyManager) -> Self {
        Self { key_manager: Some(manager), ..self }
    }

    /// The present version of something. To be read before the thing itself, so that what is seen is no older.
    ///
    /// # Errors
    /// If there is no such thing.
    pub async fn version(&self, about: Annotated) -> Result<Version, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| versions::seen(tx, tenant, about).await).await
    }

    /// The same part, which changes something only if this was not edited since that version of it, if one is given.
    #[must_use]
    pub fn unless_edited(self, about: Annotated, since: Option<Version>) -> Self {
        Self { unedited: since.map(|since| Unedited { about, since }), ..self }
    }

    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run(Bound::Tenant(self.tenant), Mode::Read, work).await
    }

    /// As [`read`](Self::read), in the lane of rows that grow or count.
    pub(crate) async fn read_in_growth<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run_in_growth(Bound::Tenant(self.tenant), Mode::Read, work).await
    }

    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let (tenant, unedited) = (self.tenant, self.unedited);
        let held = async move |tx: &mut Tx<'_>| {
            if let Some(unedited) = unedited {
                unedited.hold(tx, tenant).await?;
            }
            work(tx).await
        };
        self.wrote.note(self.inner.run(Bound::Tenant(tenant), Mode::Write, held).await)
    }

    /// An entry of the tenant's audit, to be written in the transaction of the change it tells of.
    pub(crate) fn entry(
        &self,
        action: &'static str,
        entity: (&'static str, String),
        details: serde_json::Value,
    ) -> Entry {
        Entry::new(&self.inner, Some(self.tenant), &self.actor, action, entity, &details)
    }
}
