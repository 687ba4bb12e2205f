//! What happened, and who did it.

use claviger_store::audit::{AuditCursor, AuditEntry};
use claviger_store::page::After;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operation::{Call, operations};
use super::page::{self, Page};
use super::{input, shown};
use crate::failure::Failure;

/// Which entries of a tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// The tenant: its id, external id or name
    tenant: String,
    /// Where to read on: the `next` of the page before
    after: Option<String>,
    /// How many at most, from 1 to 500; 100 by default
    #[serde(default, deserialize_with = "input::number")]
    limit: Option<u16>,
}

/// Which entries of no tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListOwn {
    /// Where to read on: the `next` of the page before
    after: Option<String>,
    /// How many at most, from 1 to 500; 100 by default
    #[serde(default, deserialize_with = "input::number")]
    limit: Option<u16>,
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
struct EntryShown {
    /// Its id.
    audit_id: String,
    /// Who: `account:…`, `key:…`, `operator:…` or `job:…`.
    actor: String,
    /// What, such as `KEY_CREATED`.
    action: String,
    /// To what kind of thing.
    entity_type: String,
    /// To which one.
    entity_id: String,
    /// More about it; never anything secret.
    details: serde_json::Value,
    /// From where.
    address: Option<String>,
    /// The public id of the credential it was done with.
    credential: Option<String>,
    /// When.
    created_at: String,
}

operations! {
    /// List what happened in a tenant, the newest first
    "audit.list": GET "/v1/tenants/{tenant}/audit" for Reader and Admin = list(List) -> Page<EntryShown>;
    /// List what happened to what belongs to no tenant, the newest first
    "audit.operators": GET "/v1/audit" for Reader = list_own(ListOwn) -> Page<EntryShown>;
}

/// Where an entry stands. An id that is none stands after all others, as its place is looked for there.
pub(super) fn place(entry: &AuditEntry) -> After {
    let id = uuid::Uuid::try_parse(&entry.id).map_or([0xff; 16], uuid::Uuid::into_bytes);
    After { created_at: entry.created_at, id }
}

fn cursor(after: Option<&str>) -> Result<AuditCursor, Failure> {
    Ok(page::after(after)?.map_or(AuditCursor::NEWEST, AuditCursor::from))
}

/// What people see of an entry: who operates this server, from where and with what, is the operators'.
fn for_people(mut entry: AuditEntry) -> AuditEntry {
    if entry.actor.starts_with("operator:") {
        (entry.actor, entry.address, entry.credential) = ("operator".to_owned(), None, None);
    }
    entry
}

fn page(entries: &[AuditEntry], limit: u16) -> Page<EntryShown> {
    let one = |entry: &AuditEntry| EntryShown {
        audit_id: entry.id.clone(),
        actor: entry.actor.clone(),
        action: entry.action.clone(),
        entity_type: entry.entity_type.clone(),
        entity_id: entry.entity_id.clone(),
        details: entry.details.clone(),
        address: entry.address.map(|address| address.to_string()),
        credential: entry.credential.clone(),
        created_at: shown(entry.created_at),
    };
    Page::of(entries.iter().map(one).collect(), limit, entries.last().map(place))
}

async fn list(call: &Call, input: List) -> Result<Page<EntryShown>, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let (cursor, limit) = (cursor(input.after.as_deref())?, page::limit(input.limit)?);
    // Whoever is bound to an organization sees what happened there.
    let entries = match call.caller.bound_to() {
        None => store.audit_list(cursor, limit).await?,
        Some(org) => {
            store.audit_of(Some(org), cursor, limit).await?.into_iter().map(|(entry, _)| entry).collect()
        }
    };
    let entries: Vec<AuditEntry> = match call.caller.is_operator() {
        true => entries,
        false => entries.into_iter().map(for_people).collect(),
    };
    Ok(page(&entries, limit))
}

async fn list_own(call: &Call, input: ListOwn) -> Result<Page<EntryShown>, Failure> {
    call.caller.reaches_everything()?;
    let (cursor, limit) = (cursor(input.after.as_deref())?, page::limit(input.limit)?);
    Ok(page(&call.operator().audit_list(cursor, limit).await?, limit))
}
