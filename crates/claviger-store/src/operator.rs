//! The operator's part: realms, plans, tenants, and the way into each tenant.

use std::sync::Arc;

use claviger::id::{PlanName, RealmName, TenantId};

use crate::accounts::Accounts;
use crate::actor::Actor;
use crate::audit::Entry;
use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;
use crate::noun::{Feed, Noun, Rights, int, text};
use crate::statement::statements;
use crate::store::Inner;
use crate::tenant_store::TenantStore;
use crate::value::values;

/// The rows of realms.
pub(crate) static REALM_ROWS: Noun = Noun {
    table: "realm",
    about: "A population of tenants and accounts, and what they sign in to.",
    columns: &[text("name"), int("created_at")],
    key: &["name"],
    references: &[],
    indices: &[],
    tenant: Rights::SEE,
    jobs: Rights::ADD,
    feed: Feed::Silent,
    fixed_but: None,
};

/// The rows of plans.
pub(crate) static PLAN_ROWS: Noun = Noun {
    table: "plan",
    about: "A realm's tariffs.",
    columns: &[text("realm"), text("name"), int("created_at")],
    key: &["realm", "name"],
    references: &[(&["realm"], "realm (name)")],
    indices: &[],
    tenant: Rights::SEE,
    jobs: Rights::ADD,
    feed: Feed::Silent,
    fixed_but: None,
};

statements! { "realm or plan";
    REALM_ADD: System [Text, Int]
        "INSERT INTO realm (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING name";
    REALM_LIST: System [] "SELECT name FROM realm ORDER BY name";
    PLAN_ADD: System [Text, Text, Int]
        "INSERT INTO plan (realm, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (realm, name) DO NOTHING
         RETURNING name";
    PLAN_LIST: System [Text] "SELECT name FROM plan WHERE realm = $1 ORDER BY name";
}

/// The operator's part of the store.
#[derive(Debug, Clone)]
pub struct Operator {
    pub(crate) inner: Arc<Inner>,
    pub(crate) actor: Actor,
}

impl Operator {
    pub(crate) fn new(inner: Arc<Inner>, actor: Actor) -> Self {
        Self { inner, actor }
    }

    /// The same part, with what `actor` adds in its audit: an address, a credential.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// The part of one tenant. What is changed there is audited there, under the operator's name.
    pub fn tenant(&self, tenant: TenantId) -> TenantStore {
        TenantStore::new(Arc::clone(&self.inner), tenant, self.actor.clone())
    }

    /// The accounts' part, under the operator's name.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(Arc::clone(&self.inner), self.actor.clone())
    }

    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run(Bound::System("operator"), Mode::Read, work).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.inner.run(Bound::System("operator"), Mode::Write, work).await
    }

    fn entry(&self, action: &'static str, entity: (&'static str, String)) -> Entry {
        Entry::new(&self.inner, None, &self.actor, action, entity, &serde_json::json!({}))
    }

    /// Makes the realm if there is none of the name. Gives whether there was none.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn realm_ensure(&self, realm: &RealmName) -> Result<bool, StoreError> {
        let (entry, realm) = (self.entry("REALM_CREATED", ("realm", realm.to_string())), realm.clone());
        self.write(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let made = tx.run_one(&REALM_ADD, values![realm.as_str(), now]).await?.is_some();
            if made {
                entry.write(tx).await?;
            }
            Ok(made)
        })
        .await
    }

    /// The realms, by name.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn realm_list(&self) -> Result<Vec<RealmName>, StoreError> {
        self.read(async |tx: &mut Tx<'_>| {
            tx.run(&REALM_LIST, &[]).await?.into_iter().map(|row| row.read().parse()).collect()
        })
        .await
    }

    /// Makes the plan if the realm has none of the name. Gives whether there was none.
    ///
    /// # Errors
    /// If there is no such realm, or the store does not answer.
    pub async fn plan_ensure(&self, realm: &RealmName, plan: &PlanName) -> Result<bool, StoreError> {
        let entry = self.entry("PLAN_CREATED", ("plan", format!("{realm}/{plan}")));
        let (realm, plan) = (realm.clone(), plan.clone());
        self.write(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let made = tx.run_one(&PLAN_ADD, values![realm.as_str(), plan.as_str(), now]).await?.is_some();
            if made {
                entry.write(tx).await?;
            }
            Ok(made)
        })
        .await
    }

    /// The realm's plans, by name.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn plan_list(&self, realm: &RealmName) -> Result<Vec<PlanName>, StoreError> {
        let realm = realm.clone();
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&PLAN_LIST, values![realm.as_str()]).await?;
            rows.into_iter().map(|row| row.read().parse()).collect()
        })
        .await
    }
}
