//! What happened, on its way into the store: written in the transaction of the change it tells of.

use claviger::id::{OrgId, TenantId};

use crate::actor::Actor;
use crate::backend::Tx;
use crate::error::StoreError;
use crate::noun::{Columns, Feed, Index, Noun, Rights, int, text, uuid};
use crate::parts::inner::Inner;
use crate::statement::statements;
use crate::value::Value;

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
        uuid("org_id").optional(),
    ],
    key: &["tenant_id", "audit_id"],
    references: &[(&["tenant_id"], "tenant (tenant_id)")],
    indices: &[
        Index::Plain("audit_by_time", "tenant_id, created_at, audit_id"),
        Index::Plain("audit_by_age", "created_at"),
        Index::Plain("audit_by_org", "tenant_id, org_id, created_at, audit_id"),
    ],
    tenant: Rights::ADD,
    // What is old is cleared away, unread.
    jobs: Rights {
        select: Columns::These(&["tenant_id", "audit_id", "created_at"]),
        delete: true,
        ..Rights::NONE
    },
    feed: Feed::Silent,
    fixed_but: Some(&["seq", "batch"]),
    grows_by: Some("created_at"),
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
    jobs: Rights { delete: true, ..Rights::ADD },
    feed: Feed::Silent,
    fixed_but: Some(&["seq", "batch"]),
    grows_by: Some("created_at"),
};

statements! { "audit entry";
    AUDIT_ADD: Tenant [Uuid, Uuid, Text, Text, Text, Text, Text, Text, Text, Int, Uuid]
        "INSERT INTO audit (tenant_id, audit_id, actor, action, entity_type, entity_id, details, address, credential_id,
             created_at, org_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    OPERATOR_AUDIT_ADD: System [Uuid, Text, Text, Text, Text, Text, Text, Text, Int]
        "INSERT INTO operator_audit (audit_id, actor, action, entity_type, entity_id, details, address, credential_id,
             created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
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
    /// The organization that it happened in, if it did in one.
    org: Option<OrgId>,
}

/// The organization that something is about, or happened in.
fn org_of(entity: &(&'static str, String), details: &serde_json::Value) -> Option<OrgId> {
    let said = details.get("organization").and_then(serde_json::Value::as_str);
    said.or((entity.0 == "organization").then_some(entity.1.as_str()))?.parse().ok()
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
        let (tail, org) = (inner.audit_tail(), org_of(&entity, details));
        Self { tenant, tail, actor: actor.clone(), action, entity, details: details.to_string(), org }
    }

    /// The same about another thing, whose id shows only in the transaction.
    pub(crate) fn about(self, kind: &'static str, id: String) -> Self {
        Self { entity: (kind, id), ..self }
    }

    /// The same in an organization that shows only in the transaction.
    pub(crate) fn within(&self, org: OrgId) -> Self {
        Self { org: Some(org), ..self.clone() }
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
                let org = std::iter::once(self.org.into());
                let all: Vec<Value> = std::iter::once(tenant.into()).chain(tail).chain(org).collect();
                tx.run(&AUDIT_ADD, &all).await
            }
            None => tx.run(&OPERATOR_AUDIT_ADD, &tail).await,
        }
        .map(drop)
    }
}
