//! What happened, written in the transaction of the change it tells of, and never changed afterwards.

use std::net::IpAddr;

use claviger::clock::UnixMillis;
use claviger::id::TenantId;

use crate::actor::Actor;
use crate::backend::Tx;
use crate::error::StoreError;
use crate::noun::{Feed, Index, Noun, Rights, int, text, uuid};
use crate::operator::Operator;
use crate::statement::statements;
use crate::store::Inner;
use crate::tenant_store::TenantStore;
use crate::value::{Row, Value, values};

/// The rows of what happened in a tenant.
pub(crate) static AUDIT_ROWS: Noun = Noun {
    table: "audit",
    about: "What happened in a tenant. `seq` and `batch` are given once, by the sealer.",
    columns: &[
        uuid("tenant_id"),
        uuid("audit_id"),
        text("actor"),
        text("action"),
        text("entity_type"),
        text("entity_id"),
        text("details"),
        text("address").optional(),
        text("credential_id").optional(),
        int("created_at"),
        int("seq").optional(),
        text("batch").optional(),
    ],
    key: &["tenant_id", "audit_id"],
    references: &[(&["tenant_id"], "tenant (tenant_id)")],
    indices: &[Index::Plain("audit_by_time", "tenant_id, created_at, audit_id")],
    tenant: Rights::ADD,
    jobs: Rights::NONE,
    feed: Feed::Silent,
    fixed_but: Some(&["seq", "batch"]),
};

/// The rows of what happened outside of every tenant.
pub(crate) static OPERATOR_AUDIT_ROWS: Noun = Noun {
    table: "operator_audit",
    about: "What happened outside of every tenant.",
    columns: &[
        uuid("audit_id"),
        text("actor"),
        text("action"),
        text("entity_type"),
        text("entity_id"),
        text("details"),
        text("address").optional(),
        text("credential_id").optional(),
        int("created_at"),
        int("seq").optional(),
        text("batch").optional(),
    ],
    key: &["audit_id"],
    references: &[],
    indices: &[Index::Plain("operator_audit_by_time", "created_at, audit_id")],
    tenant: Rights::NONE,
    jobs: Rights::ADD,
    feed: Feed::Silent,
    fixed_but: Some(&["seq", "batch"]),
};

statements! { "audit entry";
    AUDIT_ADD: Tenant [Uuid, Uuid, Text, Text, Text, Text, Text, Text, Text, Int]
        "INSERT INTO audit (tenant_id, audit_id, actor, action, entity_type, entity_id, details, address, credential_id,
             created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    OPERATOR_AUDIT_ADD: System [Uuid, Text, Text, Text, Text, Text, Text, Text, Int]
        "INSERT INTO operator_audit (audit_id, actor, action, entity_type, entity_id, details, address, credential_id,
             created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    AUDIT_PAGE: Tenant [Uuid, Int, Uuid, Int]
        "SELECT audit_id, actor, action, entity_type, entity_id, details, address, credential_id, created_at FROM audit
         WHERE tenant_id = $1 AND (created_at, audit_id) < ($2, $3) ORDER BY created_at DESC, audit_id DESC LIMIT $4";
    OPERATOR_AUDIT_PAGE: System [Int, Uuid, Int]
        "SELECT audit_id, actor, action, entity_type, entity_id, details, address, credential_id, created_at
         FROM operator_audit
         WHERE (created_at, audit_id) < ($1, $2) ORDER BY created_at DESC, audit_id DESC LIMIT $3";
}

/// The longest page.
const PAGE: u16 = 500;

/// One entry, as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Its id, a UUID.
    pub id: String,
    /// Who: `account:…`, `key:…`, `operator:…` or `job:…`.
    pub actor: String,
    /// What: `KEY_CREATED`.
    pub action: String,
    /// To what kind of thing.
    pub entity_type: String,
    /// To which one.
    pub entity_id: String,
    /// More about it; never anything secret.
    pub details: serde_json::Value,
    /// From where.
    pub address: Option<IpAddr>,
    /// The public id of the credential it was done with.
    pub credential: Option<String>,
    /// When.
    pub created_at: UnixMillis,
}

/// Where a page ended. What is begun later is before it, so that the pages after it stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    created_at: UnixMillis,
    id: [u8; 16],
}

impl AuditCursor {
    /// Before the newest entry.
    pub const NEWEST: Self = Self { created_at: UnixMillis(i64::MAX), id: [0xff; 16] };

    /// After `entry`.
    pub fn after(entry: &AuditEntry) -> Self {
        let id = uuid::Uuid::try_parse(&entry.id).map_or([0xff; 16], uuid::Uuid::into_bytes);
        Self { created_at: entry.created_at, id }
    }
}

/// An entry on its way into the store.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    tenant: Option<TenantId>,
    tail: [u8; 10],
    actor: Actor,
    action: &'static str,
    entity: (&'static str, String),
    details: String,
}

impl Entry {
    pub(crate) fn new(
        inner: &Inner,
        tenant: Option<TenantId>,
        actor: &Actor,
        action: &'static str,
        entity: (&'static str, String),
        details: &serde_json::Value,
    ) -> Self {
        let (tail, details) = (inner.audit_tail(), details.to_string());
        Self { tenant, tail, actor: actor.clone(), action, entity, details }
    }

    /// The same about another thing, whose id shows only in the transaction.
    pub(crate) fn about(self, kind: &'static str, id: String) -> Self {
        Self { entity: (kind, id), ..self }
    }

    /// Writes it in the transaction of the change, at that transaction's time.
    pub(crate) async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let at = tx.now().await?;
        let millis = u64::try_from(at.0).unwrap_or_default();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &self.tail).into_uuid().into_bytes();
        let (kind, entity) = (self.entity.0, self.entity.1.as_str());
        let address = self.actor.address.map(|address| address.to_string());
        let (id, actor, credential) =
            (Value::Uuid(id), self.actor.name.as_str(), self.actor.credential.as_deref());
        let tail = [
            id,
            actor.into(),
            self.action.into(),
            kind.into(),
            entity.into(),
            self.details.as_str().into(),
            address.into(),
            credential.into(),
            at.into(),
        ];
        match self.tenant {
            Some(tenant) => {
                let all: Vec<Value> = std::iter::once(tenant.into()).chain(tail).collect();
                tx.run(&AUDIT_ADD, &all).await
            }
            None => tx.run(&OPERATOR_AUDIT_ADD, &tail).await,
        }
        .map(drop)
    }
}

fn read(row: Row) -> Result<AuditEntry, StoreError> {
    let corrupt = || StoreError::Corrupt { what: "audit entry" };
    let mut columns = row.read();
    Ok(AuditEntry {
        id: columns.text()?,
        actor: columns.text()?,
        action: columns.text()?,
        entity_type: columns.text()?,
        entity_id: columns.text()?,
        details: serde_json::from_str(&columns.text()?).map_err(|_| corrupt())?,
        address: columns.maybe_text()?.map(|text| text.parse().map_err(|_| corrupt())).transpose()?,
        credential: columns.maybe_text()?,
        created_at: columns.time()?,
    })
}

impl TenantStore {
    /// Writes down that the credential with the public id `credential` came over plain HTTP from `address`, so that
    /// its owner can replace it.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn credential_seen_in_clear(
        &self,
        credential: &str,
        address: std::net::IpAddr,
    ) -> Result<(), StoreError> {
        let details = serde_json::json!({ "address": address.to_string() });
        let entry = self.entry("CREDENTIAL_SEEN_IN_CLEAR", ("credential", credential.to_owned()), details);
        self.write(async move |tx: &mut Tx<'_>| entry.write(tx).await).await
    }

    /// At most `limit` (500) entries after `cursor`, the newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn audit_list(&self, cursor: AuditCursor, limit: u16) -> Result<Vec<AuditEntry>, StoreError> {
        let tenant = self.tenant;
        self.read(async move |tx: &mut Tx<'_>| {
            let limit = i64::from(limit.min(PAGE));
            let rows = tx
                .run(&AUDIT_PAGE, values![tenant, cursor.created_at, Value::Uuid(cursor.id), limit])
                .await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }
}

impl Operator {
    /// At most `limit` (500) entries of the operator's own audit after `cursor`, the newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn audit_list(&self, cursor: AuditCursor, limit: u16) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(async move |tx: &mut Tx<'_>| {
            let limit = i64::from(limit.min(PAGE));
            let rows = tx
                .run(&OPERATOR_AUDIT_PAGE, values![cursor.created_at, Value::Uuid(cursor.id), limit])
                .await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }
}
