//! Tenants: one customer's isolated workspace each.

use std::sync::Arc;

use claviger::clock::UnixMillis;
use claviger::directory::{State, TenantRecord};
use claviger::id::{AccountId, OrgId, PlanName, RealmName, RoleName, TenantId};
use claviger::secret::Secret;
use serde_json::json;

use crate::accounts::{self, Accounts, Wanted};
use crate::actor::Actor;
use crate::audit::Entry;
use crate::backend::{Bound, Mode, Tx};
use crate::email::Email;
use crate::ends::{self, Ends, FLOOR, floor_after};
use crate::error::StoreError;
use crate::held_keys;
use crate::keyring::{DataKey, Keyring};
use crate::noun::{Columns, Feed, Index, Noun, Recorded, Rights, Rows, STATE, blob, int, text, truth, uuid};
use crate::operator::Operator;
use crate::state;
use crate::statement::statements;
use crate::store::Inner;
use crate::tenant_store::TenantStore;
use crate::value::{self, Row, Value, values};
use crate::{members, orgs};

/// The rows of tenants.
pub(crate) static TENANT_ROWS: Noun = Noun {
    table: "tenant",
    about: "One customer. `data_key` is sealed under the keyring.",
    columns: &[
        uuid("tenant_id"),
        text("realm"),
        text("name"),
        STATE,
        text("plan"),
        truth("requires_identity_headers"),
        blob("data_key"),
        int("created_at"),
        FLOOR[0],
        FLOOR[1],
        FLOOR[2],
    ],
    key: &["tenant_id"],
    references: &[(&["realm"], "realm (name)"), (&["realm", "plan"], "plan (realm, name)")],
    indices: &[Index::Plain("tenant_by_realm", "realm, created_at, tenant_id")],
    tenant: Rights::CHANGE,
    // After a restore every tenant's sessions and tokens are ended.
    jobs: Rights { update: Columns::These(&["generation", "tokens_from"]), ..Rights::SEE },
    feed: Feed::Tells { kind: "tenant", id: &["tenant_id"], only: None },
    fixed_but: None,
};

impl Recorded for TenantRecord {
    type Name = (TenantId,);

    const ROWS: Rows = Rows {
        noun: &TENANT_ROWS,
        columns: "r.realm, r.state, r.generation, r.tokens_from, r.credentials, r.plan, r.requires_identity_headers",
        with: "",
        only: "",
    };

    fn read((tenant,): &Self::Name, columns: &mut value::Columns, _: &Keyring) -> Result<Self, StoreError> {
        Ok(Self {
            tenant: *tenant,
            realm: columns.parse()?,
            state: columns.state("tenant")?,
            floor: ends::floor(columns)?,
            plan: columns.parse()?,
            requires_identity_headers: columns.truth()?,
        })
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_of(&self, (tenant,): &Self::Name) -> bool {
        self.tenant == *tenant
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self == other
    }
}

statements! { "tenant";
    TENANT_ADD: Tenant [Uuid, Text, Text, Text, Blob, Int] grants
        "INSERT INTO tenant (tenant_id, realm, name, plan, data_key, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    TENANT: Tenant [Uuid]
        "SELECT tenant_id, realm, name, state, generation, plan, requires_identity_headers, created_at
         FROM tenant WHERE tenant_id = $1";
    TENANT_PAGE: System [Text, Int, Uuid, Int]
        "SELECT tenant_id, realm, name, state, generation, plan, requires_identity_headers, created_at
         FROM tenant WHERE realm = $1 AND (created_at, tenant_id) > ($2, $3) ORDER BY created_at, tenant_id LIMIT $4";
    TENANT_UPDATE: Tenant [Uuid, Text, Text, Int]
        "UPDATE tenant SET name = coalesce($2, name), plan = coalesce($3, plan),
             requires_identity_headers = coalesce($4, requires_identity_headers)
         WHERE tenant_id = $1 AND state <> 'deleted' RETURNING tenant_id";
    TENANT_STATE: Tenant [Uuid, Text] withdraws
        "UPDATE tenant SET state = $2 WHERE tenant_id = $1 AND state <> 'deleted' RETURNING tenant_id";
    /// Holds the row, so that the time taken after it is not before what happens meanwhile.
    TENANT_HOLD: Tenant [Uuid] "SELECT generation FROM tenant WHERE tenant_id = $1"
        postgres "SELECT generation FROM tenant WHERE tenant_id = $1 FOR UPDATE";
    TENANT_END_ALL: Tenant [Uuid, Int, Int] withdraws
        "UPDATE tenant SET generation = generation + 1, credentials = credentials + $3,
             tokens_from = CASE WHEN tokens_from > $2 THEN tokens_from ELSE $2 END
         WHERE tenant_id = $1 RETURNING generation";
    /// As [`TENANT_END_ALL`], of the `$3` tenants after `$2`, sessions and tokens.
    TENANTS_END: System [Int, Uuid, Int]
        "UPDATE tenant SET generation = generation + 1, tokens_from = CASE WHEN tokens_from > $1 THEN tokens_from ELSE $1 END
         WHERE tenant_id IN (SELECT t.tenant_id FROM tenant AS t WHERE t.tenant_id > $2 AND t.state <> 'deleted'
             ORDER BY t.tenant_id LIMIT $3)
         RETURNING tenant_id";
    TENANT_DATA_KEY: Tenant [Uuid] "SELECT data_key FROM tenant WHERE tenant_id = $1";
}

/// The longest page.
const PAGE: u16 = 500;

/// A tenant, as the operator and its members see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantView {
    /// Its id.
    pub tenant: TenantId,
    /// The realm it belongs to.
    pub realm: RealmName,
    /// What people call it.
    pub name: String,
    /// Whether it may act.
    pub state: State,
    /// Sessions made under a lower number are ended.
    pub generation: i64,
    /// Its tariff.
    pub plan: PlanName,
    /// Whether it demands the identity headers everywhere.
    pub requires_identity_headers: bool,
    /// Since when it is there.
    pub created_at: UnixMillis,
}

/// What a new tenant is made of.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// The realm, which must exist.
    pub realm: RealmName,
    /// What people call it.
    pub name: String,
    /// Its tariff, one of the realm's.
    pub plan: PlanName,
    /// What its first organization is called.
    pub organization: String,
    /// Whose it is: an account of the realm, which is made if there is none.
    pub owner: Email,
    /// The hash of the owner's password, for an account that is made. An account that exists keeps its own.
    pub password_hash: Option<Secret>,
}

/// The ids of what was made with a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedTenant {
    /// The tenant.
    pub tenant: TenantId,
    /// Its first organization.
    pub org: OrgId,
    /// The owner, ADMIN there.
    pub account: AccountId,
    /// Whether the owner's account was made with it.
    pub account_is_new: bool,
}

/// What to change of a tenant; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct TenantUpdate {
    /// What people call it.
    pub name: Option<String>,
    /// Its tariff, one of the realm's.
    pub plan: Option<PlanName>,
    /// Whether it demands the identity headers everywhere.
    pub requires_identity_headers: Option<bool>,
}

fn read(row: Row) -> Result<TenantView, StoreError> {
    let mut columns = row.read();
    Ok(TenantView {
        tenant: columns.parse()?,
        realm: columns.parse()?,
        name: columns.text()?,
        state: columns.state("tenant")?,
        generation: columns.int()?,
        plan: columns.parse()?,
        requires_identity_headers: columns.truth()?,
        created_at: columns.time()?,
    })
}

/// The tenant's row, which every change of the tenant's rows needs to be there.
pub(crate) async fn view(tx: &mut Tx<'_>, tenant: TenantId) -> Result<TenantView, StoreError> {
    read(tx.run_one(&TENANT, values![tenant]).await?.ok_or(StoreError::NotFound { what: "tenant" })?)
}

/// The tenant's data key, still sealed.
pub(crate) async fn data_key(tx: &mut Tx<'_>, tenant: TenantId) -> Result<Vec<u8>, StoreError> {
    let row = tx.run_one(&TENANT_DATA_KEY, values![tenant]).await?;
    row.ok_or(StoreError::NotFound { what: "tenant" })?.read().blob()
}

/// Tenant, organization, owner and membership in one transaction, or none of them.
async fn create(
    inner: &Inner,
    actor: &Actor,
    new: NewTenant,
    owner: Owner,
) -> Result<CreatedTenant, StoreError> {
    let random = inner.random.as_ref();
    let (tenant, org, fresh) =
        (TenantId::generate(random), OrgId::generate(random), AccountId::generate(random));
    let data_key = DataKey::generate(random);
    let (keyring, source) = (inner.keyring.clone(), Arc::clone(&inner.random));
    let (name, organization) = (state::display_name(&new.name)?, state::display_name(&new.organization)?);
    let admin: RoleName = "ADMIN".parse().map_err(|_| StoreError::Corrupt { what: "role" })?;
    let entry = Entry::new(
        inner,
        Some(tenant),
        actor,
        "TENANT_CREATED",
        ("tenant", tenant.to_string()),
        &json!({ "realm": new.realm, "plan": new.plan, "organization": org.to_string() }),
    );
    let wanted =
        Wanted { fresh, realm: new.realm.clone(), email: new.owner, password_hash: new.password_hash };
    let (realm, plan) = (new.realm, new.plan);
    let work = async move |tx: &mut Tx<'_>| {
        let under = held_keys::encryption_key(tx, &keyring).await?;
        let data_key = data_key.sealed(tenant, (&keyring, &under), source.as_ref())?;
        let now = tx.now().await?;
        let row = values![tenant, realm.as_str(), &name, plan.as_str(), data_key.as_slice(), now];
        tx.run(&TENANT_ADD, row).await?;
        orgs::add(tx, tenant, org, &organization, now).await?;
        let account = accounts::ensure(tx, &wanted).await?;
        if account != fresh && owner == Owner::New {
            return Err(StoreError::AlreadyExists { what: "account" });
        }
        members::add(tx, tenant, org, account, &admin, now).await?;
        entry.write(tx).await?;
        Ok(CreatedTenant { tenant, org, account, account_is_new: account == fresh })
    };
    inner.run(Bound::Tenant(tenant), Mode::Write, work).await
}

/// Whose a tenant may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Anybody's.
    Any,
    /// Nobody's who has an account: at sign-up nobody has proved to be that person.
    New,
}

impl Operator {
    /// Makes a tenant with its first organization and its owner, ADMIN there.
    ///
    /// # Errors
    /// If the realm or the plan does not exist, or a name is not one. Then nothing is made.
    pub async fn tenant_create(&self, new: NewTenant) -> Result<CreatedTenant, StoreError> {
        create(&self.inner, &self.actor, new, Owner::Any).await
    }

    /// At most `limit` (500) tenants of the realm after `after`, the oldest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn tenant_list(
        &self,
        realm: &RealmName,
        after: Option<&TenantView>,
        limit: u16,
    ) -> Result<Vec<TenantView>, StoreError> {
        let realm = realm.clone();
        let after = after.map_or((UnixMillis(i64::MIN), Value::Uuid([0; 16])), |last| {
            (last.created_at, last.tenant.into())
        });
        self.read(async move |tx: &mut Tx<'_>| {
            let limit = i64::from(limit.min(PAGE));
            let rows = tx.run(&TENANT_PAGE, values![realm.as_str(), after.0, after.1.clone(), limit]).await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }
}

impl Accounts {
    /// Sign-up: as [`Operator::tenant_create`], for somebody who has no account in the realm yet.
    ///
    /// # Errors
    /// If the address has an account, the realm or the plan does not exist, or a name is not one. Then nothing is
    /// made.
    pub async fn sign_up(&self, new: NewTenant) -> Result<CreatedTenant, StoreError> {
        create(&self.inner, &self.actor, new, Owner::New).await
    }
}

impl TenantStore {
    /// The tenant itself.
    ///
    /// # Errors
    /// If there is none.
    pub async fn tenant_view(&self) -> Result<TenantView, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| view(tx, tenant).await).await
    }

    /// Changes what `update` names.
    ///
    /// # Errors
    /// If there is no such tenant or plan, or the name is not one.
    pub async fn tenant_update(&self, update: TenantUpdate) -> Result<TenantView, StoreError> {
        let tenant = self.tenant;
        let name = update.name.as_deref().map(state::display_name).transpose()?;
        let details = json!({
            "name": name, "plan": update.plan, "requires_identity_headers": update.requires_identity_headers,
        });
        let entry = self.entry("TENANT_SETTINGS_UPDATED", ("tenant", tenant.to_string()), details);
        self.write(async move |tx: &mut Tx<'_>| {
            let plan = update.plan.as_ref().map(PlanName::as_str);
            let params = values![tenant, name.as_deref(), plan, update.requires_identity_headers];
            tx.run_one(&TENANT_UPDATE, params).await?.ok_or(StoreError::NotFound { what: "tenant" })?;
            entry.write(tx).await?;
            view(tx, tenant).await
        })
        .await
    }

    /// Lets nobody of the tenant act until it is resumed.
    ///
    /// # Errors
    /// If there is no such tenant.
    pub async fn tenant_suspend(&self) -> Result<(), StoreError> {
        self.tenant_state(State::Suspended, "TENANT_SUSPENDED").await
    }

    /// Ends a suspension.
    ///
    /// # Errors
    /// If there is no such tenant.
    pub async fn tenant_resume(&self) -> Result<(), StoreError> {
        self.tenant_state(State::Active, "TENANT_RESUMED").await
    }

    /// Ends the tenant: its credentials are refused as unknown from now on. Its rows stay.
    ///
    /// # Errors
    /// If there is no such tenant.
    pub async fn tenant_delete(&self) -> Result<(), StoreError> {
        self.tenant_state(State::Deleted, "TENANT_DELETED").await
    }

    async fn tenant_state(&self, state: State, action: &'static str) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let entry = self.entry(action, ("tenant", tenant.to_string()), json!({}));
        self.write(async move |tx: &mut Tx<'_>| {
            let changed = tx.run_one(&TENANT_STATE, values![tenant, state::text(state)]).await?;
            changed.ok_or(StoreError::NotFound { what: "tenant" })?;
            entry.write(tx).await
        })
        .await
    }

    /// Ends all that is held in the tenant: see [`Ends`]. Gives the new generation.
    ///
    /// # Errors
    /// If there is no such tenant.
    pub async fn tenant_revoke(&self, ends: Ends) -> Result<i64, StoreError> {
        let tenant = self.tenant;
        let entry = self.entry("TENANT_TOKENS_REVOKED", ("tenant", tenant.to_string()), ends.details());
        self.write(async move |tx: &mut Tx<'_>| {
            let held = tx.run_one(&TENANT_HOLD, values![tenant]).await?;
            held.ok_or(StoreError::NotFound { what: "tenant" })?;
            let floor = floor_after(tx.now().await?);
            let row = tx.run_one(&TENANT_END_ALL, values![tenant, floor, ends.credentials()]).await?;
            entry.write(tx).await?;
            row.ok_or(StoreError::NotFound { what: "tenant" })?.read().int()
        })
        .await
    }
}
