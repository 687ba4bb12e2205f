//! API keys: a stable id, what it allows, and one or two live secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger::api_key::{KeyPrefix, NewKey};
use claviger::clock::UnixMillis;
use claviger::directory::{Annotated, State};
use claviger::grants::Grants;
use claviger::id::{Environment, KeyId, OrgId, PlanName, TenantId};
use claviger::network::Networks;
use serde_json::json;

use super::key_authority::{Authority, KEY_BEYOND, KeyManager, Power};
pub use super::key_secrets::SecretView;
use super::key_secrets::{KEY_SECRETS_REVOKE, add_secret, networks, secrets};
use crate::backend::Tx;
use crate::credentials::held_keys;
use crate::error::StoreError;
use crate::noun::{Feed, Index, Noun, Rights, STATE, int, text, uuid};
use crate::page::After;
use crate::parts::inner::Inner;
use crate::parts::tenant_store::TenantStore;
use crate::state;
use crate::statement::statements;
use crate::tenancy::{orgs, tenants};
use crate::value::{Row, values};
use crate::versions;

/// The rows of keys.
pub(crate) static KEY_ROWS: Noun = Noun {
    table: "api_key",
    about: "`networks` NULL is from anywhere, an empty text from nowhere. A disabled key is suspended, a revoked one deleted.",
    columns: &[
        uuid("tenant_id"),
        uuid("key_id"),
        uuid("org_id"),
        text("name"),
        text("prefix"),
        text("environment").is("IN ('live', 'test')"),
        text("grants"),
        text("networks").optional(),
        STATE,
        int("expires_at").optional(),
        int("created_at"),
        int("tenant_credentials").or("1"),
        int("org_credentials").or("1"),
    ],
    key: &["tenant_id", "key_id"],
    references: &[(&["tenant_id", "org_id"], "organization (tenant_id, org_id)")],
    indices: &[
        Index::Plain("api_key_by_org", "tenant_id, org_id, created_at"),
        Index::Plain("api_key_by_time", "tenant_id, created_at, key_id"),
        Index::Plain("api_key_by_name", "tenant_id, name"),
    ],
    tenant: Rights::CHANGE,
    jobs: Rights::SEE,
    // A key and its secrets are read together, so that a change of the key is one of each of its secrets.
    feed: Feed::Through {
        table: "key_secret",
        by: &["tenant_id", "key_id"],
        function: "raise_secret_versions",
    },
    fixed_but: None,
    grows_by: None,
};

statements! { "API key";
    KEY_ADD: Tenant [Uuid, Uuid, Uuid, Text, Text, Text, Text, Text, Int, Int] grants
        "INSERT INTO api_key (tenant_id, key_id, org_id, name, prefix, environment, grants, networks, expires_at, created_at,
             tenant_credentials, org_credentials)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, t.credentials, o.credentials
         FROM organization AS o JOIN tenant AS t ON t.tenant_id = o.tenant_id WHERE o.tenant_id = $1 AND o.org_id = $3
         RETURNING key_id";
    KEY: Tenant [Uuid, Uuid]
        "SELECT key_id, org_id, name, environment, grants, networks, state, expires_at, created_at, prefix
         FROM api_key WHERE tenant_id = $1 AND key_id = $2";
    /// Holds the row until the transaction ends, so that two rotations take turns.
    KEY_HELD: Tenant [Uuid, Uuid]
        "SELECT key_id, org_id, name, environment, grants, networks, state, expires_at, created_at, prefix
         FROM api_key WHERE tenant_id = $1 AND key_id = $2"
        postgres "SELECT key_id, org_id, name, environment, grants, networks, state, expires_at, created_at, prefix
         FROM api_key WHERE tenant_id = $1 AND key_id = $2 FOR UPDATE";
    KEY_PAGE: Tenant [Uuid, Uuid, Int, Uuid, Int, Int]
        "SELECT key_id, org_id, name, environment, grants, networks, state, expires_at, created_at, prefix
         FROM api_key WHERE tenant_id = $1 AND org_id = $2 AND (created_at, key_id) > ($3, $4)
             AND (state <> 'deleted' OR $6 = 1)
         ORDER BY created_at, key_id LIMIT $5";
    KEY_PAGE_OF_TENANT: Tenant [Uuid, Int, Uuid, Int, Int]
        "SELECT key_id, org_id, name, environment, grants, networks, state, expires_at, created_at, prefix
         FROM api_key WHERE tenant_id = $1 AND (created_at, key_id) > ($2, $3) AND (state <> 'deleted' OR $5 = 1)
         ORDER BY created_at, key_id LIMIT $4";
    KEYS_NAMED: Tenant [Uuid, Text, Int]
        "SELECT key_id FROM api_key WHERE tenant_id = $1 AND name = $2 AND state <> 'deleted' LIMIT $3";
    KEY_UPDATE: Tenant [Uuid, Uuid, Text, Text, Int, Text, Int, Int] grants
        "UPDATE api_key SET name = coalesce($3, name), grants = coalesce($4, grants),
             networks = CASE WHEN $5 = 1 THEN $6 ELSE networks END,
             expires_at = CASE WHEN $7 = 1 THEN $8 ELSE expires_at END
         WHERE tenant_id = $1 AND key_id = $2 AND state <> 'deleted' RETURNING key_id";
    /// Those that may be used, now or once they are enabled again.
    KEYS_LIVE: Tenant [Uuid, Text, Int]
        "SELECT CAST(count(*) AS bigint) FROM api_key
         WHERE tenant_id = $1 AND environment = $2 AND state <> 'deleted' AND (expires_at IS NULL OR expires_at > $3)";
    KEY_STATE: Tenant [Uuid, Uuid, Text] withdraws
        "UPDATE api_key SET state = $3 WHERE tenant_id = $1 AND key_id = $2 AND state <> 'deleted' RETURNING org_id";
}

/// What a key is made of.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// The organization it belongs to.
    pub org: OrgId,
    /// What people call it.
    pub name: String,
    /// What its API's keys begin with.
    pub prefix: KeyPrefix,
    /// Live or sandbox.
    pub environment: Environment,
    /// What it allows.
    pub grants: Grants,
    /// From where it may be used; `None` is from anywhere, an empty list from nowhere.
    pub networks: Option<Networks>,
    /// When it ends, if it does.
    pub expires_at: Option<UnixMillis>,
}

/// What to change of a key; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiKeyUpdate {
    /// What people call it.
    pub name: Option<String>,
    /// What it allows.
    pub grants: Option<Grants>,
    /// From where it may be used; within it, `None` is from anywhere.
    pub networks: Option<Option<Networks>>,
    /// When it ends; within it, `None` is never.
    pub expires_at: Option<Option<UnixMillis>>,
}

/// A key, as its organization sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// Its id.
    pub key: KeyId,
    /// The organization it belongs to.
    pub org: OrgId,
    /// What people call it.
    pub name: String,
    /// Live or sandbox.
    pub environment: Environment,
    /// What it allows.
    pub grants: Grants,
    /// From where it may be used; `None` is from anywhere, an empty list from nowhere.
    pub networks: Option<Networks>,
    /// A disabled key is suspended, a revoked one deleted.
    pub state: State,
    /// When it ends, if it does.
    pub expires_at: Option<UnixMillis>,
    /// Since when it is there.
    pub created_at: UnixMillis,
    /// What its secrets begin with: `sk`.
    pub prefix: KeyPrefix,
    /// The secrets that are not revoked or past their grace, the oldest first.
    pub secrets: Vec<SecretView>,
}

/// A key together with a secret that is shown this once.
#[derive(Debug)]
pub struct ShownKey {
    /// The key as it is now.
    pub view: KeyView,
    /// The secret.
    pub key: NewKey,
}

/// Why no key is made.
pub const PLAN_IS_FULL: &str =
    "the tenant's plan allows no more live keys: end one first, or take another plan";

/// What somebody wants of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// See it, or take away what it may do.
    Look,
    /// Get hold of what it may do.
    Manage,
}

/// Whether a key is there for whoever manages keys, and does not exceed them.
///
/// # Errors
/// If not: a key that is not there for them sounds as if there were none.
pub(super) async fn manageable(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    (manager, key): (Option<&KeyManager>, &KeyView),
    wish: Wish,
) -> Result<(), StoreError> {
    let Some(authority) = Authority::of(tx, tenant, manager).await? else { return Ok(()) };
    if !authority.sees(key.org, key.environment) {
        return Err(StoreError::NotFound { what: "API key" });
    }
    let (grants, networks, expires_at) = (&key.grants, key.networks.as_ref(), key.expires_at);
    match wish {
        Wish::Look => Ok(()),
        Wish::Manage => authority.covers(Power { grants, networks, expires_at }),
    }
}

/// Whether a key is there for whoever manages keys, and does not exceed them.
///
/// # Errors
/// As [`manageable`]; or if there is none.
pub(crate) async fn manages(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    manager: Option<&KeyManager>,
    key: KeyId,
) -> Result<(), StoreError> {
    if manager.is_none() {
        return Ok(());
    }
    let row = tx.run_one(&KEY, values![tenant, key]).await?;
    let key = read(row.ok_or(StoreError::NotFound { what: "API key" })?)?;
    manageable(tx, tenant, (manager, &key), Wish::Manage).await
}

/// As the `networks` column holds them.
fn networks_text(networks: &Networks) -> String {
    networks.iter().collect::<Vec<_>>().join(" ")
}

impl From<&KeyView> for After {
    fn from(last: &KeyView) -> Self {
        Self { created_at: last.created_at, id: *last.key.as_bytes() }
    }
}

pub(super) fn read(row: Row) -> Result<KeyView, StoreError> {
    let mut columns = row.read();
    Ok(KeyView {
        key: columns.key_id()?,
        org: columns.parse()?,
        name: columns.text()?,
        environment: columns.parse()?,
        grants: columns.parse()?,
        networks: networks(&mut columns)?,
        state: columns.state("API key")?,
        expires_at: columns.maybe_time()?,
        created_at: columns.time()?,
        prefix: columns.parse()?,
        secrets: Vec::new(),
    })
}

pub(super) async fn view(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    key: KeyId,
    now: UnixMillis,
) -> Result<KeyView, StoreError> {
    let row = tx.run_one(&KEY, values![tenant, key]).await?;
    let found = read(row.ok_or(StoreError::NotFound { what: "API key" })?)?;
    let secrets = secrets(tx, tenant, key, now).await?;
    Ok(KeyView { secrets: secrets.into_iter().map(|secret| secret.view).collect(), ..found })
}

/// Whether the key may act.
///
/// # Errors
/// If there is none.
pub(crate) async fn place_and_state(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    key: KeyId,
) -> Result<(OrgId, State), StoreError> {
    let row = tx.run_one(&KEY, values![tenant, key]).await?;
    let key = read(row.ok_or(StoreError::NotFound { what: "API key" })?)?;
    Ok((key.org, key.state))
}

pub(super) async fn generate(
    tx: &mut Tx<'_>,
    inner: &Inner,
    prefix: &KeyPrefix,
    environment: Environment,
) -> Result<NewKey, StoreError> {
    let peppers = held_keys::peppers(tx, &inner.keyring).await?;
    Ok(NewKey::generate(prefix, environment, &peppers, inner.random.as_ref()))
}

impl TenantStore {
    /// Makes a key. Its secret is shown this once.
    ///
    /// # Errors
    /// If the organization is not there, the name is not one, or the key would have ended already.
    pub async fn key_create(&self, new: NewApiKey) -> Result<ShownKey, StoreError> {
        self.key_create_under(new, BTreeMap::new()).await
    }

    /// As [`key_create`](Self::key_create), if with it there are no more live keys than the tenant's plan allows on that side of the sandbox: as
    /// many as `most` says, or any number on a plan that it does not name.
    ///
    /// # Errors
    /// As there, or [`PLAN_IS_FULL`].
    pub async fn key_create_under(
        &self,
        new: NewApiKey,
        most: BTreeMap<PlanName, u64>,
    ) -> Result<ShownKey, StoreError> {
        let tenant = self.tenant;
        let id = KeyId::generate(self.inner.random.as_ref());
        let name = state::display_name(&new.name)?;
        let (environment, grants) = (new.environment, new.grants.to_string());
        let org = new.org.to_string();
        let details =
            json!({ "name": name, "environment": environment, "grants": grants, "organization": org });
        let entry = self.entry("KEY_CREATED", ("key", id.to_string()), details);
        let (inner, manager) = (Arc::clone(&self.inner), self.key_manager.clone());
        self.write(async move |tx: &mut Tx<'_>| {
            orgs::not_deleted(tx, tenant, new.org).await?;
            let now = tx.now().await?;
            let (mut within, mut expires_at) = (new.networks.clone(), new.expires_at);
            if let Some(authority) = Authority::of(tx, tenant, manager.as_ref()).await? {
                if !authority.sees(new.org, new.environment) {
                    return Err(StoreError::Refused { why: KEY_BEYOND });
                }
                (within, expires_at) = authority.narrowed(within, expires_at);
                authority.covers(Power { grants: &new.grants, networks: within.as_ref(), expires_at })?;
            }
            if expires_at.is_some_and(|end| end <= now) {
                return Err(StoreError::Invalid("a key must end in the future".into()));
            }
            if !most.is_empty() {
                // One at a time in a tenant: of many at once no more than there is room for.
                versions::hold(tx, tenant, Annotated::Tenant(tenant)).await?;
                let plan = tenants::view(tx, tenant).await?.plan;
                let row = tx.run_one(&KEYS_LIVE, values![tenant, new.environment.as_str(), now]).await?;
                let live = row.ok_or(StoreError::Corrupt { what: "API key" })?.read().int()?;
                if most.get(&plan).is_some_and(|most| u64::try_from(live).is_ok_and(|live| live >= *most)) {
                    return Err(StoreError::Refused { why: PLAN_IS_FULL });
                }
            }
            let (prefix, environment) = (new.prefix.as_str(), new.environment.as_str());
            let networks = within.as_ref().map(networks_text);
            let grants = new.grants.to_string();
            let row =
                values![tenant, id, new.org, &name, prefix, environment, grants, networks, expires_at, now];
            tx.run_one(&KEY_ADD, row).await?.ok_or(StoreError::NotFound { what: "organization" })?;
            let key = generate(tx, &inner, &new.prefix, new.environment).await?;
            add_secret(tx, tenant, id, &key, now).await?;
            entry.write(tx).await?;
            Ok(ShownKey { view: view(tx, tenant, id, now).await?, key })
        })
        .await
    }

    /// One key, revoked or not.
    ///
    /// # Errors
    /// If there is none.
    pub async fn key_view(&self, key: KeyId) -> Result<KeyView, StoreError> {
        let (tenant, manager) = (self.tenant, self.key_manager.clone());
        self.read(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let found = view(tx, tenant, key, now).await?;
            manageable(tx, tenant, (manager.as_ref(), &found), Wish::Look).await?;
            Ok(found)
        })
        .await
    }

    /// Changes what `update` names. It holds for what is asked from now on, and for what is open.
    ///
    /// # Errors
    /// If there is no such key, it is revoked or past its end, the name is not one, or it would have ended already.
    pub async fn key_update(&self, key: KeyId, update: ApiKeyUpdate) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let name = update.name.as_deref().map(state::display_name).transpose()?;
        let grants = update.grants.as_ref().map(ToString::to_string);
        let networks = update.networks.as_ref().map(|networks| networks.as_ref().map(networks_text));
        let mut details = json!({});
        if let Some(details) = details.as_object_mut() {
            details.extend(name.as_ref().map(|name| ("name".into(), json!(name))));
            details.extend(grants.as_ref().map(|grants| ("grants".into(), json!(grants))));
            details.extend(networks.as_ref().map(|networks| ("networks".into(), json!(networks))));
            details.extend(update.expires_at.map(|end| ("expires_at".into(), json!(end.map(|end| end.0)))));
        }
        let entry = self.entry("KEY_UPDATED", ("key", key.to_string()), details);
        let manager = self.key_manager.clone();
        self.write(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&KEY_HELD, values![tenant, key]).await?;
            let held = read(row.ok_or(StoreError::NotFound { what: "API key" })?)?;
            manageable(tx, tenant, (manager.as_ref(), &held), Wish::Manage).await?;
            let after = KeyView {
                grants: update.grants.clone().unwrap_or_else(|| held.grants.clone()),
                networks: update.networks.clone().unwrap_or_else(|| held.networks.clone()),
                expires_at: update.expires_at.unwrap_or(held.expires_at),
                ..held.clone()
            };
            manageable(tx, tenant, (manager.as_ref(), &after), Wish::Manage).await?;
            let now = tx.now().await?;
            if held.state == State::Deleted {
                return Err(StoreError::Refused { why: "the key is revoked, and stays so" });
            }
            if held.expires_at.is_some_and(|end| end <= now) {
                return Err(StoreError::Refused { why: "a key past its end is not changed" });
            }
            if update.expires_at.flatten().is_some_and(|end| end <= now) {
                return Err(StoreError::Invalid("a key must end in the future".into()));
            }
            let row = values![
                tenant,
                key,
                name.as_deref(),
                grants.as_deref(),
                networks.is_some(),
                networks.clone().flatten(),
                update.expires_at.is_some(),
                update.expires_at.flatten()
            ];
            tx.run_one(&KEY_UPDATE, row).await?.ok_or(StoreError::NotFound { what: "API key" })?;
            entry.within(held.org).write(tx).await
        })
        .await
    }

    /// Lets nobody use the key until it is enabled.
    ///
    /// # Errors
    /// If there is no such key, or it is revoked.
    pub async fn key_disable(&self, key: KeyId) -> Result<(), StoreError> {
        self.key_state(key, State::Suspended, "KEY_DISABLED").await
    }

    /// Lets the key be used again.
    ///
    /// # Errors
    /// If there is no such key, or it is revoked.
    pub async fn key_enable(&self, key: KeyId) -> Result<(), StoreError> {
        self.key_state(key, State::Active, "KEY_ENABLED").await
    }

    /// Ends the key and all its secrets. Twice is as good as once.
    ///
    /// # Errors
    /// If there is no such key.
    pub async fn key_revoke(&self, key: KeyId) -> Result<(), StoreError> {
        self.key_state(key, State::Deleted, "KEY_REVOKED").await
    }

    /// As [`KEY_STATE`] found none that is not revoked: whether there is one at all.
    async fn revoked_or_none(
        tx: &mut Tx<'_>,
        tenant: TenantId,
        key: KeyId,
        to: State,
    ) -> Result<(), StoreError> {
        let known = tx.run_one(&KEY, values![tenant, key]).await?;
        known.ok_or(StoreError::NotFound { what: "API key" })?;
        match to {
            // Revoked twice is revoked.
            State::Deleted => Ok(()),
            State::Active | State::Suspended => {
                Err(StoreError::Refused { why: "the key is revoked, and stays so" })
            }
        }
    }

    async fn key_state(&self, key: KeyId, state: State, action: &'static str) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let entry = self.entry(action, ("key", key.to_string()), json!({}));
        let manager = self.key_manager.clone();
        self.write(async move |tx: &mut Tx<'_>| {
            if manager.is_some() {
                let row = tx.run_one(&KEY_HELD, values![tenant, key]).await?;
                let held = read(row.ok_or(StoreError::NotFound { what: "API key" })?)?;
                // Whoever lets it in again gives what it may do; to take that away is everybody's who sees it.
                let wish = if state == State::Active { Wish::Manage } else { Wish::Look };
                manageable(tx, tenant, (manager.as_ref(), &held), wish).await?;
            }
            let row = tx.run_one(&KEY_STATE, values![tenant, key, state::text(state)]).await?;
            let Some(row) = row else { return Self::revoked_or_none(tx, tenant, key, state).await };
            if state == State::Deleted {
                tx.run(&KEY_SECRETS_REVOKE, values![tenant, key]).await?;
            }
            entry.within(row.read().parse()?).write(tx).await
        })
        .await
    }
}
