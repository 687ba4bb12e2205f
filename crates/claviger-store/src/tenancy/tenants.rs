//! Tenants: one customer's isolated workspace each.

use claviger::clock::UnixMillis;
use claviger::directory::{State, TenantRecord};
use claviger::id::{AccountId, PlanName, RealmName, TenantId};
use serde_json::json;

use crate::backend::Tx;
use crate::ends::{self, Ends, FLOOR, floor_after};
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Columns, Feed, Index, Noun, Recorded, Rights, Rows, STATE, blob, int, text, truth, uuid};
use crate::page::{After, limited};
use crate::parts::operator::Operator;
use crate::parts::tenant_store::TenantStore;
use crate::state;
use crate::statement::statements;
use crate::value::{self, Row, values};

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
        truth("requires_direct_sign_in"),
        uuid("owner_id").optional(),
    ],
    key: &["tenant_id"],
    references: &[(&["realm"], "realm (name)"), (&["realm", "plan"], "plan (realm, name)")],
    indices: &[
        Index::Plain("tenant_by_realm", "realm, created_at, tenant_id"),
        Index::Plain("tenant_by_name", "realm, name"),
    ],
    tenant: Rights::CHANGE,
    // After a restore every tenant's sessions and tokens are ended.
    jobs: Rights { update: Columns::These(&["generation", "tokens_from"]), ..Rights::SEE },
    feed: Feed::Tells { kind: "tenant", id: &["tenant_id"], only: None, since: 1 },
    fixed_but: None,
    grows_by: None,
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
    TENANT_OWNER: Tenant [Uuid, Uuid] grants
        "UPDATE tenant SET owner_id = $2 WHERE tenant_id = $1 AND state <> 'deleted' RETURNING tenant_id";
    TENANT: Tenant [Uuid]
        "SELECT tenant_id, realm, name, state, generation, plan, requires_identity_headers, requires_direct_sign_in,
             owner_id, created_at
         FROM tenant WHERE tenant_id = $1";
    TENANT_PAGE: System [Text, Int, Uuid, Int]
        "SELECT tenant_id, realm, name, state, generation, plan, requires_identity_headers, requires_direct_sign_in,
             owner_id, created_at
         FROM tenant WHERE realm = $1 AND (created_at, tenant_id) > ($2, $3) ORDER BY created_at, tenant_id LIMIT $4";
    TENANTS_NAMED: System [Text, Text, Int]
        "SELECT tenant_id FROM tenant WHERE name = $1 AND realm = $2 AND state <> 'deleted' LIMIT $3";
    TENANT_UPDATE: Tenant [Uuid, Text, Text, Int, Int]
        "UPDATE tenant SET name = coalesce($2, name), plan = coalesce($3, plan),
             requires_identity_headers = coalesce($4, requires_identity_headers),
             requires_direct_sign_in = coalesce($5, requires_direct_sign_in)
         WHERE tenant_id = $1 AND state <> 'deleted' RETURNING tenant_id";
    /// An organization of the tenant that the account is an active member of.
    MEMBER_SOMEWHERE: Tenant [Uuid, Uuid]
        "SELECT org_id FROM member WHERE tenant_id = $1 AND account_id = $2 AND state = 'active' LIMIT 1";
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
    /// Whether people come in by signing in there, and not by switching from another tenant.
    pub requires_direct_sign_in: bool,
    /// Whose it is: who may do what is about all of it.
    pub owner: Option<AccountId>,
    /// Since when it is there.
    pub created_at: UnixMillis,
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
    /// Whether people come in by signing in there, and not by switching from another tenant.
    pub requires_direct_sign_in: Option<bool>,
    /// Whose it is: an account that is a member of it.
    pub owner: Option<AccountId>,
}

impl From<&TenantView> for After {
    fn from(last: &TenantView) -> Self {
        Self { created_at: last.created_at, id: *last.tenant.as_bytes() }
    }
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
        requires_direct_sign_in: columns.truth()?,
        owner: columns.maybe_parse()?,
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

impl Operator {
    /// At most `limit` (500) tenants of the realm after `after`, the oldest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn tenant_list(
        &self,
        realm: &RealmName,
        after: Option<After>,
        limit: u16,
    ) -> Result<Vec<TenantView>, StoreError> {
        let realm = realm.clone();
        let (at, id) = After::parameters(after);
        self.read(async move |tx: &mut Tx<'_>| {
            let page = values![realm.as_str(), at, id.clone(), limited(limit)];
            let rows = tx.run(&TENANT_PAGE, page).await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }
}

impl Operator {
    /// The realm's tenants that are called so and not deleted, `limit` at most.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn tenants_named(
        &self,
        realm: &RealmName,
        name: &str,
        limit: i64,
    ) -> Result<Vec<TenantId>, StoreError> {
        let (realm, name) = (realm.clone(), name.to_owned());
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&TENANTS_NAMED, values![&name, realm.as_str(), limit]).await?;
            rows.into_iter().map(|row| row.read().parse()).collect()
        })
        .await
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
            "requires_direct_sign_in": update.requires_direct_sign_in, "owner": update.owner.map(|owner| owner.to_string()),
        });
        let entry = self.entry("TENANT_SETTINGS_UPDATED", ("tenant", tenant.to_string()), details);
        self.write(async move |tx: &mut Tx<'_>| {
            let plan = update.plan.as_ref().map(PlanName::as_str);
            let (headers, direct) = (update.requires_identity_headers, update.requires_direct_sign_in);
            let params = values![tenant, name.as_deref(), plan, headers, direct];
            tx.run_one(&TENANT_UPDATE, params).await?.ok_or(StoreError::NotFound { what: "tenant" })?;
            if let Some(owner) = update.owner {
                let member = tx.run_one(&MEMBER_SOMEWHERE, values![tenant, owner]).await?;
                member.ok_or(StoreError::NotFound { what: "membership" })?;
                tx.run(&TENANT_OWNER, values![tenant, owner]).await?;
            }
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
