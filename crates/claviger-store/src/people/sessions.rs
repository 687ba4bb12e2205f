//! Sessions: somebody signed in, in one organization. Every identity token names one.

use claviger::clock::UnixMillis;
use claviger::directory::{Generations, SessionRecord};
use claviger::id::{AccountId, OrgId, SessionId, TenantId};
use serde_json::json;

use crate::actor::Actor;
use crate::audit::entry::Entry;
use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Feed, Index, Noun, Recorded, Rights, Rows, int, truth, uuid};
use crate::parts::accounts::Accounts;
use crate::parts::inner::Inner;
use crate::parts::tenant_store::TenantStore;
use crate::statement::statements;
use crate::value::{Columns, values};

/// The rows of sessions.
pub(crate) static SESSION_ROWS: Noun = Noun {
    table: "session",
    about: "Somebody is signed in, in one organization, under the generations of that moment.",
    columns: &[
        uuid("tenant_id"),
        uuid("session_id"),
        uuid("org_id"),
        uuid("account_id"),
        truth("ended"),
        int("expires_at"),
        int("tenant_generation"),
        int("org_generation"),
        int("account_generation"),
        int("member_generation"),
        int("created_at"),
    ],
    key: &["tenant_id", "session_id"],
    references: &[(&["tenant_id", "org_id", "account_id"], "member (tenant_id, org_id, account_id)")],
    indices: &[Index::Plain("session_by_account", "tenant_id, account_id")],
    tenant: Rights::CHANGE,
    jobs: Rights::SEE,
    feed: Feed::Tells { kind: "session", id: &["tenant_id", "session_id"], only: None, since: 1 },
    fixed_but: None,
    grows_by: None,
};

impl Recorded for SessionRecord {
    type Name = (TenantId, SessionId);

    const ROWS: Rows = Rows {
        noun: &SESSION_ROWS,
        columns:
            "r.tenant_id, r.session_id, r.org_id, r.account_id, r.ended, r.expires_at, r.tenant_generation,
             r.org_generation, r.account_generation, r.member_generation",
        with: "",
        only: "",
    };

    fn read(_: &Self::Name, columns: &mut Columns, _: &Keyring) -> Result<Self, StoreError> {
        read(columns)
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn is_of(&self, (tenant, session): &Self::Name) -> bool {
        self.tenant == *tenant && self.session == *session
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self == other
    }
}

statements! { "session";
    /// `$7` is the account's number that must hold still: what was proven before it grew is proven no more.
    SESSION_ADD: Tenant [Uuid, Uuid, Uuid, Uuid, Int, Int, Int] grants
        "INSERT INTO session (tenant_id, session_id, org_id, account_id, expires_at, created_at, tenant_generation,
             org_generation, account_generation, member_generation)
         SELECT m.tenant_id, $2, m.org_id, m.account_id, $5, $6, t.generation, o.generation, a.generation, m.generation
         FROM member AS m
         JOIN tenant AS t ON t.tenant_id = m.tenant_id
         JOIN organization AS o ON o.tenant_id = m.tenant_id AND o.org_id = m.org_id
         JOIN account AS a ON a.account_id = m.account_id
         WHERE m.tenant_id = $1 AND m.org_id = $3 AND m.account_id = $4 AND m.state <> 'removed'
             AND t.state <> 'deleted' AND o.state <> 'deleted' AND a.state <> 'deleted'
             AND a.generation = coalesce($7, a.generation)
         RETURNING tenant_id, session_id, org_id, account_id, ended, expires_at, tenant_generation, org_generation,
             account_generation, member_generation";
    SESSION: Tenant [Uuid, Uuid]
        "SELECT tenant_id, session_id, org_id, account_id, ended, expires_at, tenant_generation, org_generation,
             account_generation, member_generation
         FROM session WHERE tenant_id = $1 AND session_id = $2";
    SESSION_LIST: Tenant [Uuid, Uuid, Int]
        "SELECT tenant_id, session_id, org_id, account_id, ended, expires_at, tenant_generation, org_generation,
             account_generation, member_generation
         FROM session WHERE tenant_id = $1 AND account_id = $2 AND ended = 0 AND expires_at > $3
         ORDER BY created_at, session_id";
    SESSION_STAY: Tenant [Uuid, Uuid, Int] grants
        "UPDATE session SET account_generation = $3
         WHERE tenant_id = $1 AND session_id = $2 AND ended = 0 AND account_generation = $3 - 1 RETURNING session_id";
    SESSION_END: Tenant [Uuid, Uuid] withdraws
        "UPDATE session SET ended = 1 WHERE tenant_id = $1 AND session_id = $2 AND ended = 0 RETURNING org_id";
}

/// A session, from the columns that every statement of one selects.
pub(crate) fn read(columns: &mut Columns) -> Result<SessionRecord, StoreError> {
    Ok(SessionRecord {
        tenant: columns.parse()?,
        session: columns.parse()?,
        org: columns.parse()?,
        account: columns.parse()?,
        ended: columns.truth()?,
        expires_at: columns.time()?,
        made_under: Generations {
            tenant: columns.int()?,
            org: columns.int()?,
            account: columns.int()?,
            member: columns.int()?,
        },
    })
}

/// Adds a session of the account in the organization; only while the account's generation is `under`, if that is said.
pub(crate) async fn add(
    tx: &mut Tx<'_>,
    (tenant, session, org, account): (TenantId, SessionId, OrgId, AccountId),
    (now, expires_at): (UnixMillis, UnixMillis),
    under: Option<i64>,
) -> Result<SessionRecord, StoreError> {
    let row = values![tenant, session, org, account, expires_at, now, under];
    let row = tx.run_one(&SESSION_ADD, row).await?;
    read(&mut row.ok_or(StoreError::NotFound { what: "membership" })?.read())
}

/// Lets a session go on under the account's generation `now_under`, that is one above the one it was made under.
pub(crate) async fn stay(
    accounts: &Accounts,
    (tenant, session): (TenantId, SessionId),
    now_under: i64,
) -> Result<(), StoreError> {
    let work = async move |tx: &mut Tx<'_>| {
        tx.run(&SESSION_STAY, values![tenant, session, now_under]).await.map(drop)
    };
    accounts.write_in(Bound::Tenant(tenant), work).await
}

/// One session, ended or not.
pub(crate) async fn view(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    session: SessionId,
) -> Result<SessionRecord, StoreError> {
    let row = tx.run_one(&SESSION, values![tenant, session]).await?;
    read(&mut row.ok_or(StoreError::NotFound { what: "session" })?.read())
}

async fn create(
    inner: &Inner,
    actor: &Actor,
    tenant: TenantId,
    org: OrgId,
    account: AccountId,
    lifetime_seconds: i64,
) -> Result<SessionRecord, StoreError> {
    let session = SessionId::generate(inner.random.as_ref());
    let details = json!({ "organization": org.to_string(), "account": account.to_string() });
    let entry =
        Entry::new(inner, Some(tenant), actor, "SESSION_CREATED", ("session", session.to_string()), &details);
    inner
        .run(Bound::Tenant(tenant), Mode::Write, async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let expires_at = now.plus_seconds(lifetime_seconds);
            let record = add(tx, (tenant, session, org, account), (now, expires_at), None).await?;
            entry.write(tx).await?;
            Ok(record)
        })
        .await
}

async fn end(inner: &Inner, actor: &Actor, tenant: TenantId, session: SessionId) -> Result<(), StoreError> {
    let entry =
        Entry::new(inner, Some(tenant), actor, "SESSION_ENDED", ("session", session.to_string()), &json!({}));
    inner
        .run(Bound::Tenant(tenant), Mode::Write, async move |tx: &mut Tx<'_>| {
            if let Some(row) = tx.run_one(&SESSION_END, values![tenant, session]).await? {
                return entry.within(row.read().parse()?).write(tx).await;
            }
            // Ended already is as good; unknown is not.
            let known = tx.run_one(&SESSION, values![tenant, session]).await?;
            known.map(drop).ok_or(StoreError::NotFound { what: "session" })
        })
        .await
}

impl Accounts {
    /// Makes a session of the account in the organization, under the generations of this moment.
    ///
    /// # Errors
    /// If the account is no member there, or something of it is deleted.
    pub async fn session_create(
        &self,
        tenant: TenantId,
        org: OrgId,
        account: AccountId,
        lifetime_seconds: i64,
    ) -> Result<SessionRecord, StoreError> {
        create(&self.inner, &self.actor, tenant, org, account, lifetime_seconds).await
    }

    /// Ends a session. One that is ended stays so.
    ///
    /// # Errors
    /// If there is none.
    pub async fn session_end(&self, tenant: TenantId, session: SessionId) -> Result<(), StoreError> {
        end(&self.inner, &self.actor, tenant, session).await
    }

    /// One session, ended or not.
    ///
    /// # Errors
    /// If there is none.
    pub async fn session_view(
        &self,
        tenant: TenantId,
        session: SessionId,
    ) -> Result<SessionRecord, StoreError> {
        let work = async move |tx: &mut Tx<'_>| view(tx, tenant, session).await;
        self.inner.run(Bound::Tenant(tenant), Mode::Read, work).await
    }
}

impl TenantStore {
    /// As [`Accounts::session_create`], in this tenant.
    ///
    /// # Errors
    /// If the account is no member there, or something of it is deleted.
    pub async fn session_create(
        &self,
        org: OrgId,
        account: AccountId,
        lifetime_seconds: i64,
    ) -> Result<SessionRecord, StoreError> {
        create(&self.inner, &self.actor, self.tenant, org, account, lifetime_seconds).await
    }

    /// The account's sessions in this tenant that are neither ended nor expired, the oldest first. A generation
    /// that has grown since may have ended one of them all the same.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn session_list(&self, account: AccountId) -> Result<Vec<SessionRecord>, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let rows = tx.run(&SESSION_LIST, values![tenant, account, now]).await?;
            rows.into_iter().map(|row| read(&mut row.read())).collect()
        })
        .await
    }

    /// Ends a session. One that is ended stays so.
    ///
    /// # Errors
    /// If there is none.
    pub async fn session_end(&self, session: SessionId) -> Result<(), StoreError> {
        end(&self.inner, &self.actor, self.tenant, session).await
    }
}
