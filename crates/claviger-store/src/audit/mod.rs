//! What happened, written in the transaction of the change it tells of, and never changed afterwards.

pub(crate) mod entry;

use std::collections::HashMap;
use std::collections::hash_map;
use std::net::IpAddr;

use claviger::clock::UnixMillis;
use claviger::code::Code;
use claviger::id::{AccountId, OrgId};
use claviger::refusal::Who;

use crate::actor::Actor;
use crate::audit::entry::Entry;
use crate::backend::Tx;
use crate::error::StoreError;
use crate::page::After;
use crate::parts::operator::Operator;
use crate::parts::tenant_store::TenantStore;
use crate::statement::statements;
use crate::value::{Row, Value, values};

statements! { "audit entry";
    AUDIT_PAGE: Tenant [Uuid, Int, Uuid, Int]
        "SELECT audit_id, actor, action, entity_type, entity_id, details, address, credential_id, created_at FROM audit
         WHERE tenant_id = $1 AND (created_at, audit_id) < ($2, $3) ORDER BY created_at DESC, audit_id DESC LIMIT $4";
    /// The same of what happened in one organization.
    AUDIT_PAGE_OF: Tenant [Uuid, Uuid, Int, Uuid, Int]
        "SELECT audit_id, actor, action, entity_type, entity_id, details, address, credential_id, created_at FROM audit
         WHERE tenant_id = $1 AND org_id = $2 AND (created_at, audit_id) < ($3, $4)
         ORDER BY created_at DESC, audit_id DESC LIMIT $5";
    ACTOR_EMAIL: Shared [Uuid] "SELECT email FROM account WHERE account_id = $1";
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

/// Requests with one credential that were refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRequests {
    /// Whose it is.
    pub who: Who,
    /// Why, as the client was told.
    pub code: Code,
    /// How many, since the last time that was written down.
    pub count: u64,
    /// Where the last one came from.
    pub address: IpAddr,
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

impl From<After> for AuditCursor {
    fn from(after: After) -> Self {
        Self { created_at: after.created_at, id: after.id }
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

    /// Writes down what a good credential was refused, as a deed of whose it is.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn requests_refused(&self, refused: &RefusedRequests) -> Result<(), StoreError> {
        let RefusedRequests { who, code, count, address } = refused;
        let actor = match (who.key, who.account) {
            (Some(key), _) => Actor::key(key),
            (None, Some(account)) => Actor::account(account),
            (None, None) => Actor::visitor(),
        };
        let actor = actor.with_credential(&who.credential).from(*address);
        let entity = ("credential", who.credential.to_string());
        let details =
            serde_json::json!({ "code": code.as_str(), "count": count, "organization": who.org.to_string() });
        let entry = Entry::new(&self.inner, Some(self.tenant), &actor, "REQUEST_REFUSED", entity, &details);
        self.write(async move |tx: &mut Tx<'_>| entry.write(tx).await).await
    }

    /// At most `limit` (500) entries after `cursor`, the newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn audit_list(&self, cursor: AuditCursor, limit: u16) -> Result<Vec<AuditEntry>, StoreError> {
        let tenant = self.tenant;
        self.read_in_growth(async move |tx: &mut Tx<'_>| {
            let limit = i64::from(limit.min(PAGE));
            let rows = tx
                .run(&AUDIT_PAGE, values![tenant, cursor.created_at, Value::Uuid(cursor.id), limit])
                .await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }
}

/// The person whom an entry names as its actor.
fn person(entry: &AuditEntry) -> Option<AccountId> {
    entry.actor.strip_prefix("account:")?.parse().ok()
}

impl TenantStore {
    /// At most `limit` (500) entries after `cursor`, the newest first, each with the address of who did it, if that was a person; of one
    /// organization alone, if it is named.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn audit_of(
        &self,
        org: Option<OrgId>,
        cursor: AuditCursor,
        limit: u16,
    ) -> Result<Vec<(AuditEntry, Option<String>)>, StoreError> {
        let tenant = self.tenant;
        self.read_in_growth(async move |tx: &mut Tx<'_>| {
            let (limit, at, id) = (i64::from(limit.min(PAGE)), cursor.created_at, Value::Uuid(cursor.id));
            let rows = match org {
                Some(org) => tx.run(&AUDIT_PAGE_OF, values![tenant, org, at, id, limit]).await?,
                None => tx.run(&AUDIT_PAGE, values![tenant, at, id, limit]).await?,
            };
            let entries = rows.into_iter().map(read).collect::<Result<Vec<AuditEntry>, _>>()?;
            let mut emails: HashMap<AccountId, Option<String>> = HashMap::new();
            for account in entries.iter().filter_map(person) {
                if let hash_map::Entry::Vacant(unknown) = emails.entry(account) {
                    let row = tx.run_one(&ACTOR_EMAIL, values![account]).await?;
                    unknown.insert(row.map(|row| row.read().text()).transpose()?);
                }
            }
            let email = |entry: &AuditEntry| emails.get(&person(entry)?).cloned().flatten();
            Ok(entries.into_iter().map(|entry| (entry.clone(), email(&entry))).collect())
        })
        .await
    }
}

impl Operator {
    /// Writes down that a server took up changed settings.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn settings_reloaded(&self, details: serde_json::Value) -> Result<(), StoreError> {
        let entity = ("settings", String::new());
        let entry = entry::Entry::new(&self.inner, None, &self.actor, "SETTINGS_RELOADED", entity, &details);
        self.write(async move |tx: &mut Tx<'_>| entry.write(tx).await).await
    }

    /// At most `limit` (500) entries of the operator's own audit after `cursor`, the newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn audit_list(&self, cursor: AuditCursor, limit: u16) -> Result<Vec<AuditEntry>, StoreError> {
        self.read_in_growth(async move |tx: &mut Tx<'_>| {
            let limit = i64::from(limit.min(PAGE));
            let rows = tx
                .run(&OPERATOR_AUDIT_PAGE, values![cursor.created_at, Value::Uuid(cursor.id), limit])
                .await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }
}
