//! Organizations within a tenant, each with its own members.

use claviger::clock::UnixMillis;
use claviger::directory::{OrgRecord, State};
use claviger::id::{AccountId, OrgId, RoleName, TenantId};
use serde_json::json;

use crate::backend::Tx;
use crate::ends::{self, Ends, FLOOR, floor_after};
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Feed, Index, Noun, Recorded, Rights, Rows, STATE, int, text, uuid};
use crate::page::{After, PAGE, limited};
use crate::parts::tenant_store::TenantStore;
use crate::state;
use crate::statement::{Statement, statements};
use crate::tenancy::tenants;
use crate::value::{Columns, Row, Value, values};

/// The rows of organizations.
pub(crate) static ORG_ROWS: Noun = Noun {
    table: "organization",
    about: "A part of a tenant with members of its own.",
    columns: &[
        uuid("tenant_id"),
        uuid("org_id"),
        text("name"),
        STATE,
        int("created_at"),
        FLOOR[0],
        FLOOR[1],
        FLOOR[2],
    ],
    key: &["tenant_id", "org_id"],
    references: &[(&["tenant_id"], "tenant (tenant_id)")],
    indices: &[Index::Plain("organization_by_name", "tenant_id, name")],
    tenant: Rights::CHANGE,
    jobs: Rights::SEE,
    feed: Feed::Tells { kind: "org", id: &["tenant_id", "org_id"], only: None, since: 1 },
    fixed_but: None,
    grows_by: None,
};

impl Recorded for OrgRecord {
    type Name = (TenantId, OrgId);

    const ROWS: Rows = Rows {
        noun: &ORG_ROWS,
        columns: "r.state, r.generation, r.tokens_from, r.credentials",
        with: "",
        only: "",
    };

    fn read((tenant, org): &Self::Name, columns: &mut Columns, _: &Keyring) -> Result<Self, StoreError> {
        Ok(Self {
            tenant: *tenant,
            org: *org,
            state: columns.state("organization")?,
            floor: ends::floor(columns)?,
        })
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_of(&self, (tenant, org): &Self::Name) -> bool {
        self.tenant == *tenant && self.org == *org
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self == other
    }
}

statements! { "organization";
    ORG_ADD: Tenant [Uuid, Uuid, Text, Int]
        "INSERT INTO organization (tenant_id, org_id, name, created_at) VALUES ($1, $2, $3, $4)";
    ORG: Tenant [Uuid, Uuid]
        "SELECT org_id, name, state, generation, created_at FROM organization WHERE tenant_id = $1 AND org_id = $2";
    FIRST_MEMBER: Tenant [Uuid, Uuid, Uuid, Text, Int] grants
        "INSERT INTO member (tenant_id, org_id, account_id, role, state, created_at) VALUES ($1, $2, $3, $4, 'active', $5)";
    ORG_PAGE: Tenant [Uuid, Int, Uuid, Int]
        "SELECT org_id, name, state, generation, created_at FROM organization
         WHERE tenant_id = $1 AND state <> 'deleted' AND (created_at, org_id) > ($2, $3)
         ORDER BY created_at, org_id LIMIT $4";
    /// Those that the account acts in.
    ORGS_OF: Tenant [Uuid, Uuid]
        "SELECT o.org_id, o.name, o.state, o.generation, o.created_at
         FROM member AS m JOIN organization AS o ON o.tenant_id = m.tenant_id AND o.org_id = m.org_id
         WHERE m.tenant_id = $1 AND m.account_id = $2 AND m.state = 'active' AND o.state <> 'deleted'
         ORDER BY o.created_at, o.org_id";
    ORGS_NAMED: Tenant [Uuid, Text, Int]
        "SELECT org_id FROM organization WHERE tenant_id = $1 AND name = $2 AND state <> 'deleted' LIMIT $3";
    ORG_RENAME: Tenant [Uuid, Uuid, Text]
        "UPDATE organization SET name = $3 WHERE tenant_id = $1 AND org_id = $2 AND state <> 'deleted' RETURNING generation";
    ORG_STATE: Tenant [Uuid, Uuid, Text] withdraws
        "UPDATE organization SET state = $3 WHERE tenant_id = $1 AND org_id = $2 AND state <> 'deleted' RETURNING generation";
    /// Holds the row, so that the time taken after it is not before what happens meanwhile.
    ORG_HOLD: Tenant [Uuid, Uuid] "SELECT generation FROM organization WHERE tenant_id = $1 AND org_id = $2"
        postgres "SELECT generation FROM organization WHERE tenant_id = $1 AND org_id = $2 FOR UPDATE";
    ORG_END_ALL: Tenant [Uuid, Uuid, Int, Int] withdraws
        "UPDATE organization SET generation = generation + 1, credentials = credentials + $4,
             tokens_from = CASE WHEN tokens_from > $3 THEN tokens_from ELSE $3 END
         WHERE tenant_id = $1 AND org_id = $2 RETURNING generation";
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgView {
    /// Its id.
    pub org: OrgId,
    /// What people call it.
    pub name: String,
    /// Whether it may act.
    pub state: State,
    /// Sessions made under a lower number are ended.
    pub generation: i64,
    /// Since when it is there.
    pub created_at: UnixMillis,
}

impl From<&OrgView> for After {
    fn from(last: &OrgView) -> Self {
        Self { created_at: last.created_at, id: *last.org.as_bytes() }
    }
}

fn read(row: Row) -> Result<OrgView, StoreError> {
    let mut columns = row.read();
    Ok(OrgView {
        org: columns.parse()?,
        name: columns.text()?,
        state: columns.state("organization")?,
        generation: columns.int()?,
        created_at: columns.time()?,
    })
}

pub(crate) async fn add(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    org: OrgId,
    name: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    tx.run(&ORG_ADD, values![tenant, org, name, now]).await.map(drop)
}

pub(crate) async fn view(tx: &mut Tx<'_>, tenant: TenantId, org: OrgId) -> Result<OrgView, StoreError> {
    read(tx.run_one(&ORG, values![tenant, org]).await?.ok_or(StoreError::NotFound { what: "organization" })?)
}

/// Holds the organization's row until the transaction ends.
pub(crate) async fn hold(tx: &mut Tx<'_>, tenant: TenantId, org: OrgId) -> Result<(), StoreError> {
    let held = tx.run_one(&ORG_HOLD, values![tenant, org]).await?;
    held.map(drop).ok_or(StoreError::NotFound { what: "organization" })
}

/// The organization, if something may still be added to it.
pub(crate) async fn not_deleted(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    org: OrgId,
) -> Result<OrgView, StoreError> {
    let found = view(tx, tenant, org).await?;
    if found.state == State::Deleted {
        return Err(StoreError::NotFound { what: "organization" });
    }
    Ok(found)
}

impl TenantStore {
    /// Makes an organization without members.
    ///
    /// # Errors
    /// If the name is not one, or the tenant is deleted.
    pub async fn org_create(&self, name: &str) -> Result<OrgView, StoreError> {
        let (tenant, org) = (self.tenant, OrgId::generate(self.inner.random.as_ref()));
        let name = state::display_name(name)?;
        let entry =
            self.entry("ORGANIZATION_CREATED", ("organization", org.to_string()), json!({ "name": name }));
        self.write(async move |tx: &mut Tx<'_>| {
            if tenants::view(tx, tenant).await?.state == State::Deleted {
                return Err(StoreError::NotFound { what: "tenant" });
            }
            let now = tx.now().await?;
            add(tx, tenant, org, &name, now).await?;
            entry.write(tx).await?;
            view(tx, tenant, org).await
        })
        .await
    }

    /// Makes an organization with its first member, in this role: all of it or nothing.
    ///
    /// # Errors
    /// If the name is not one, or tenant or account are deleted.
    pub async fn org_create_with(
        &self,
        name: &str,
        member: AccountId,
        role: &RoleName,
    ) -> Result<OrgView, StoreError> {
        let (tenant, org) = (self.tenant, OrgId::generate(self.inner.random.as_ref()));
        let (name, role) = (state::display_name(name)?, role.clone());
        let details = json!({ "name": name, "member": member.to_string(), "role": role });
        let entry = self.entry("ORGANIZATION_CREATED", ("organization", org.to_string()), details);
        self.write(async move |tx: &mut Tx<'_>| {
            if tenants::view(tx, tenant).await?.state == State::Deleted {
                return Err(StoreError::NotFound { what: "tenant" });
            }
            let now = tx.now().await?;
            add(tx, tenant, org, &name, now).await?;
            tx.run(&FIRST_MEMBER, values![tenant, org, member, role.as_str(), now]).await?;
            entry.write(tx).await?;
            view(tx, tenant, org).await
        })
        .await
    }

    /// The organizations that the account is an active member of, the oldest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn orgs_of(&self, account: AccountId) -> Result<Vec<OrgView>, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&ORGS_OF, values![tenant, account]).await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// At most `limit` ([`PAGE`]) organizations that are not deleted, the oldest first, after `after`.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn org_page(&self, after: Option<After>, limit: u16) -> Result<Vec<OrgView>, StoreError> {
        let tenant = self.tenant;
        let (at, id) = After::parameters(after);
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&ORG_PAGE, values![tenant, at, id.clone(), limited(limit)]).await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// The organizations that are not deleted, the oldest first: page by page, so that nobody waits for a long list.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn org_list(&self) -> Result<Vec<OrgView>, StoreError> {
        let mut all: Vec<OrgView> = Vec::new();
        loop {
            let page = self.org_page(all.last().map(After::from), PAGE).await?;
            let is_last = page.len() < usize::from(PAGE);
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The organizations that are called so and not deleted, `limit` at most.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn orgs_named(&self, name: &str, limit: i64) -> Result<Vec<OrgId>, StoreError> {
        let (tenant, name) = (self.tenant, name.to_owned());
        self.read(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&ORGS_NAMED, values![tenant, &name, limit]).await?;
            rows.into_iter().map(|row| row.read().parse()).collect()
        })
        .await
    }

    /// One organization.
    ///
    /// # Errors
    /// If there is none.
    pub async fn org_view(&self, org: OrgId) -> Result<OrgView, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| view(tx, tenant, org).await).await
    }

    /// Gives an organization another name.
    ///
    /// # Errors
    /// If there is none, or the name is not one.
    pub async fn org_rename(&self, org: OrgId, name: &str) -> Result<(), StoreError> {
        let name = state::display_name(name)?;
        let details = json!({ "name": name });
        self.org_change(org, "ORGANIZATION_RENAMED", details, &ORG_RENAME, Some(name)).await.map(drop)
    }

    /// Lets nobody act in the organization until it is resumed.
    ///
    /// # Errors
    /// If there is none.
    pub async fn org_suspend(&self, org: OrgId) -> Result<(), StoreError> {
        let state = Some(state::text(State::Suspended).to_owned());
        self.org_change(org, "ORGANIZATION_SUSPENDED", json!({}), &ORG_STATE, state).await.map(drop)
    }

    /// Ends a suspension.
    ///
    /// # Errors
    /// If there is none.
    pub async fn org_resume(&self, org: OrgId) -> Result<(), StoreError> {
        let state = Some(state::text(State::Active).to_owned());
        self.org_change(org, "ORGANIZATION_RESUMED", json!({}), &ORG_STATE, state).await.map(drop)
    }

    /// Ends the organization. Its rows stay.
    ///
    /// # Errors
    /// If there is none.
    pub async fn org_delete(&self, org: OrgId) -> Result<(), StoreError> {
        let state = Some(state::text(State::Deleted).to_owned());
        self.org_change(org, "ORGANIZATION_DELETED", json!({}), &ORG_STATE, state).await.map(drop)
    }

    /// Ends all that is held in the organization: see [`Ends`]. Gives the new generation.
    ///
    /// # Errors
    /// If there is none.
    pub async fn org_revoke(&self, org: OrgId, ends: Ends) -> Result<i64, StoreError> {
        let tenant = self.tenant;
        let entity = ("organization", org.to_string());
        let entry = self.entry("ORGANIZATION_TOKENS_REVOKED", entity, ends.details());
        self.write(async move |tx: &mut Tx<'_>| {
            let held = tx.run_one(&ORG_HOLD, values![tenant, org]).await?;
            held.ok_or(StoreError::NotFound { what: "organization" })?;
            let floor = floor_after(tx.now().await?);
            let row = tx.run_one(&ORG_END_ALL, values![tenant, org, floor, ends.credentials()]).await?;
            entry.write(tx).await?;
            row.ok_or(StoreError::NotFound { what: "organization" })?.read().int()
        })
        .await
    }

    async fn org_change(
        &self,
        org: OrgId,
        action: &'static str,
        details: serde_json::Value,
        statement: &'static Statement,
        value: Option<String>,
    ) -> Result<i64, StoreError> {
        let tenant = self.tenant;
        let entry = self.entry(action, ("organization", org.to_string()), details);
        self.write(async move |tx: &mut Tx<'_>| {
            let mut params: Vec<Value> = vec![tenant.into(), org.into()];
            params.extend(value.as_deref().map(Value::from));
            let row =
                tx.run_one(statement, &params).await?.ok_or(StoreError::NotFound { what: "organization" })?;
            entry.write(tx).await?;
            row.read().int()
        })
        .await
    }
}
