//! Reads records for a node's memory: one query per kind of subject, whatever their number.
//!
//! Ids go in as one JSON array, which both engines can join with.

use std::collections::HashMap;
use std::sync::Arc;

use claviger::api_key::KeyDigest;
use claviger::clock::UnixMillis;
use claviger::directory::{
    AccountRecord, Floor, ForeignIdentityRecord, Generations, KeyRecord, MemberRecord, OrgRecord,
    TenantRecord, UserSecretRecord,
};
use claviger::id::TenantId;
use serde_json::{Value as Json, json};

use crate::backend::Tx;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::statement::{Statement, statements};
use crate::subject::{Loaded, Record, Subject};
use crate::value::{Columns, values};
use crate::{api_keys, sessions, signing_keys, user_secrets};

statements! { "record";
    LOAD_KEYS: System [Text]
        "SELECT s.digest, s.row_version, k.key_id, k.tenant_id, k.org_id, k.environment, k.grants, k.state, k.expires_at,
             s.expires_at, s.revoked, k.networks, k.tenant_credentials, k.org_credentials
         FROM key_secret AS s JOIN api_key AS k ON k.tenant_id = s.tenant_id AND k.key_id = s.key_id
         WHERE s.digest IN (SELECT unhex(j.value) FROM json_each($1) AS j)"
        postgres "SELECT s.digest, s.row_version, k.key_id, k.tenant_id, k.org_id, k.environment, k.grants, k.state, k.expires_at,
             s.expires_at, s.revoked, k.networks, k.tenant_credentials, k.org_credentials
         FROM key_secret AS s JOIN api_key AS k ON k.tenant_id = s.tenant_id AND k.key_id = s.key_id
         WHERE s.digest IN (SELECT decode(j.value, 'hex') FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS j(value))";
    LOAD_TENANTS: System [Text]
        "SELECT t.tenant_id, t.row_version, t.realm, t.state, t.generation, t.tokens_from, t.credentials, t.plan,
             t.requires_identity_headers
         FROM json_each($1) AS j JOIN tenant AS t ON t.tenant_id = j.value ->> 0"
        postgres "SELECT t.tenant_id, t.row_version, t.realm, t.state, t.generation, t.tokens_from, t.credentials, t.plan,
             t.requires_identity_headers
         FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value)
         JOIN tenant AS t ON t.tenant_id = CAST(j.value ->> 0 AS uuid)";
    LOAD_ORGS: System [Text]
        "SELECT o.tenant_id, o.org_id, o.row_version, o.state, o.generation, o.tokens_from, o.credentials
         FROM json_each($1) AS j
         JOIN organization AS o ON o.tenant_id = j.value ->> 0 AND o.org_id = j.value ->> 1"
        postgres "SELECT o.tenant_id, o.org_id, o.row_version, o.state, o.generation, o.tokens_from, o.credentials
         FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value)
         JOIN organization AS o ON o.tenant_id = CAST(j.value ->> 0 AS uuid) AND o.org_id = CAST(j.value ->> 1 AS uuid)";
    LOAD_ACCOUNTS: System [Text]
        "SELECT a.account_id, a.row_version, a.realm, a.state, a.email_verified, a.generation, a.tokens_from, a.credentials
         FROM json_each($1) AS j JOIN account AS a ON a.account_id = j.value ->> 0"
        postgres "SELECT a.account_id, a.row_version, a.realm, a.state, a.email_verified, a.generation, a.tokens_from, a.credentials
         FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value)
         JOIN account AS a ON a.account_id = CAST(j.value ->> 0 AS uuid)";
    LOAD_MEMBERS: System [Text]
        "SELECT m.tenant_id, m.org_id, m.account_id, m.row_version, m.role, m.state, m.generation, m.tokens_from,
             m.credentials
         FROM json_each($1) AS j
         JOIN member AS m ON m.tenant_id = j.value ->> 0 AND m.org_id = j.value ->> 1 AND m.account_id = j.value ->> 2"
        postgres "SELECT m.tenant_id, m.org_id, m.account_id, m.row_version, m.role, m.state, m.generation, m.tokens_from,
             m.credentials
         FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value)
         JOIN member AS m ON m.tenant_id = CAST(j.value ->> 0 AS uuid) AND m.org_id = CAST(j.value ->> 1 AS uuid)
             AND m.account_id = CAST(j.value ->> 2 AS uuid)";
    LOAD_SESSIONS: System [Text]
        "SELECT s.tenant_id, s.session_id, s.row_version, s.tenant_id, s.session_id, s.org_id, s.account_id, s.ended, s.expires_at,
             s.tenant_generation, s.org_generation, s.account_generation, s.member_generation
         FROM json_each($1) AS j JOIN session AS s ON s.tenant_id = j.value ->> 0 AND s.session_id = j.value ->> 1"
        postgres "SELECT s.tenant_id, s.session_id, s.row_version, s.tenant_id, s.session_id, s.org_id, s.account_id, s.ended, s.expires_at,
             s.tenant_generation, s.org_generation, s.account_generation, s.member_generation
         FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value)
         JOIN session AS s ON s.tenant_id = CAST(j.value ->> 0 AS uuid) AND s.session_id = CAST(j.value ->> 1 AS uuid)";
    LOAD_USER_SECRETS: System [Text]
        "SELECT u.kid, u.row_version, u.api, u.tenant_id, u.org_id, u.account_id, u.revoked, u.sealed_secret, t.data_key,
             u.tenant_credentials, u.org_credentials, u.account_credentials, u.member_credentials
         FROM json_each($1) AS j JOIN user_secret AS u ON u.kid = j.value ->> 0
         JOIN tenant AS t ON t.tenant_id = u.tenant_id"
        postgres "SELECT u.kid, u.row_version, u.api, u.tenant_id, u.org_id, u.account_id, u.revoked, u.sealed_secret, t.data_key,
             u.tenant_credentials, u.org_credentials, u.account_credentials, u.member_credentials
         FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value) JOIN user_secret AS u ON u.kid = j.value ->> 0
         JOIN tenant AS t ON t.tenant_id = u.tenant_id";
    LOAD_FOREIGN: System [Text]
        "SELECT f.tenant_id, f.issuer, f.subject, f.row_version, f.account_id, f.not_before
         FROM json_each($1) AS j
         JOIN foreign_identity AS f ON f.tenant_id = j.value ->> 0 AND f.issuer = j.value ->> 1 AND f.subject = j.value ->> 2
         WHERE f.linked = 1"
        postgres "SELECT f.tenant_id, f.issuer, f.subject, f.row_version, f.account_id, f.not_before
         FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value)
         JOIN foreign_identity AS f ON f.tenant_id = CAST(j.value ->> 0 AS uuid) AND f.issuer = j.value ->> 1
             AND f.subject = j.value ->> 2
         WHERE f.linked = 1";
    LOAD_IDENTITY_KEYS: System [Text]
        "SELECT k.realm, k.kid, k.row_version, k.algorithm, k.public_key
         FROM json_each($1) AS j JOIN signing_key AS k ON k.realm = j.value ->> 0 AND k.kid = j.value ->> 1
         WHERE k.purpose = 'identity' AND k.state <> 'dropped'"
        postgres "SELECT k.realm, k.kid, k.row_version, k.algorithm, k.public_key
         FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value)
         JOIN signing_key AS k ON k.realm = j.value ->> 0 AND k.kid = j.value ->> 1
         WHERE k.purpose = 'identity' AND k.state <> 'dropped'";
    LOAD_REVOKED: System [Text]
        "SELECT r.tenant_id, r.token_id, r.row_version, r.expires_at
         FROM json_each($1) AS j JOIN revoked_token AS r ON r.tenant_id = j.value ->> 0 AND r.token_id = j.value ->> 1"
        postgres "SELECT r.tenant_id, r.token_id, r.row_version, r.expires_at
         FROM jsonb_array_elements(CAST($1 AS jsonb)) AS j(value)
         JOIN revoked_token AS r ON r.tenant_id = CAST(j.value ->> 0 AS uuid) AND r.token_id = CAST(j.value ->> 1 AS uuid)";
}

/// The statement that reads subjects of this kind, and how it is told of this one.
fn question(subject: &Subject) -> (&'static Statement, Json) {
    let text = |id: &dyn std::fmt::Display| id.to_string();
    match subject {
        Subject::Key(_) => (&LOAD_KEYS, json!(subject.id())),
        Subject::Tenant(tenant) => (&LOAD_TENANTS, json!([text(tenant)])),
        Subject::Org(tenant, org) => (&LOAD_ORGS, json!([text(tenant), text(org)])),
        Subject::Account(account) => (&LOAD_ACCOUNTS, json!([text(account)])),
        Subject::Member(tenant, org, account) => {
            (&LOAD_MEMBERS, json!([text(tenant), text(org), text(account)]))
        }
        Subject::Session(tenant, session) => (&LOAD_SESSIONS, json!([text(tenant), text(session)])),
        Subject::UserSecret(kid) => (&LOAD_USER_SECRETS, json!([&**kid])),
        Subject::ForeignIdentity(tenant, issuer, subject) => {
            (&LOAD_FOREIGN, json!([text(tenant), &**issuer, &**subject]))
        }
        Subject::IdentityKey(realm, kid) => (&LOAD_IDENTITY_KEYS, json!([realm.as_str(), &**kid])),
        Subject::RevokedToken(tenant, token) => (&LOAD_REVOKED, json!([text(tenant), text(token)])),
    }
}

/// Whether a row of this name could have been stored at all: no name that the store takes holds control characters,
/// and one engine cannot even be asked for a NUL.
fn can_exist(subject: &Subject) -> bool {
    let names: &[&str] = match subject {
        Subject::UserSecret(kid) | Subject::IdentityKey(_, kid) => &[kid],
        Subject::ForeignIdentity(_, issuer, subject) => &[issuer, subject],
        Subject::Key(_)
        | Subject::Tenant(_)
        | Subject::Org(..)
        | Subject::Account(_)
        | Subject::Member(..)
        | Subject::Session(..)
        | Subject::RevokedToken(..) => &[],
    };
    !names.iter().any(|name| name.chars().any(char::is_control))
}

/// Reads the first columns of a row of the statement called `name`: whose it is.
fn subject(name: &str, columns: &mut Columns) -> Result<Subject, StoreError> {
    Ok(match name {
        "LOAD_KEYS" => Subject::Key(
            KeyDigest::from_bytes(&columns.blob()?).ok_or(StoreError::Corrupt { what: "API key" })?,
        ),
        "LOAD_TENANTS" => Subject::Tenant(columns.parse()?),
        "LOAD_ORGS" => Subject::Org(columns.parse()?, columns.parse()?),
        "LOAD_ACCOUNTS" => Subject::Account(columns.parse()?),
        "LOAD_MEMBERS" => Subject::Member(columns.parse()?, columns.parse()?, columns.parse()?),
        "LOAD_SESSIONS" => Subject::Session(columns.parse()?, columns.parse()?),
        "LOAD_USER_SECRETS" => Subject::UserSecret(columns.text()?.into()),
        "LOAD_FOREIGN" => {
            Subject::ForeignIdentity(columns.parse()?, columns.text()?.into(), columns.text()?.into())
        }
        "LOAD_IDENTITY_KEYS" => Subject::IdentityKey(columns.parse()?, columns.text()?.into()),
        "LOAD_REVOKED" => Subject::RevokedToken(columns.parse()?, columns.parse()?),
        _ => return Err(StoreError::Corrupt { what: "record" }),
    })
}

/// Reads the other columns of the subject's row: its version, and what the row says.
fn record(subject: &Subject, columns: &mut Columns, keyring: &Keyring) -> Result<(i64, Record), StoreError> {
    let version = columns.int()?;
    let record = match subject {
        Subject::Key(_) => Record::Key(Arc::new(key(columns)?)),
        Subject::Tenant(tenant) => Record::Tenant(Arc::new(TenantRecord {
            tenant: *tenant,
            realm: columns.parse()?,
            state: columns.state("tenant")?,
            floor: floor(columns)?,
            plan: columns.parse()?,
            requires_identity_headers: columns.truth()?,
        })),
        Subject::Org(tenant, org) => Record::Org(Arc::new(OrgRecord {
            tenant: *tenant,
            org: *org,
            state: columns.state("organization")?,
            floor: floor(columns)?,
        })),
        Subject::Account(account) => Record::Account(Arc::new(AccountRecord {
            account: *account,
            realm: columns.parse()?,
            state: columns.state("account")?,
            email_verified: columns.truth()?,
            floor: floor(columns)?,
        })),
        Subject::Member(tenant, org, account) => Record::Member(Arc::new(MemberRecord {
            tenant: *tenant,
            org: *org,
            account: *account,
            role: columns.parse()?,
            state: columns.member_state()?,
            floor: floor(columns)?,
        })),
        Subject::Session(..) => Record::Session(Arc::new(sessions::read(columns)?)),
        Subject::UserSecret(kid) => Record::UserSecret(Arc::new(user_secret(kid, columns, keyring)?)),
        Subject::ForeignIdentity(tenant, ..) => Record::ForeignIdentity(Arc::new(ForeignIdentityRecord {
            tenant: *tenant,
            account: columns.parse()?,
            not_before: columns.time()?,
        })),
        Subject::IdentityKey(_, kid) => {
            Record::IdentityKey(Arc::new(signing_keys::public(kid, &columns.text()?, &columns.blob()?)?))
        }
        Subject::RevokedToken(..) => Record::RevokedToken { expires_at: columns.time()? },
    };
    Ok((version, record))
}

fn floor(columns: &mut Columns) -> Result<Floor, StoreError> {
    Ok(Floor { generation: columns.int()?, tokens_from: columns.time()?, credentials: columns.int()? })
}

fn sum(columns: &mut Columns) -> Result<u32, StoreError> {
    let sum = columns.int()?.saturating_add(columns.int()?);
    u32::try_from(sum).map_err(|_| StoreError::Corrupt { what: "API key" })
}

fn earlier(one: Option<UnixMillis>, other: Option<UnixMillis>) -> Option<UnixMillis> {
    [one, other].into_iter().flatten().min()
}

fn key(columns: &mut Columns) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        key: columns.key_id()?,
        tenant: columns.parse()?,
        org: columns.parse()?,
        environment: columns.parse()?,
        grants: columns.parse()?,
        state: columns.state("API key")?,
        expires_at: earlier(columns.maybe_time()?, columns.maybe_time()?),
        secret_revoked: columns.truth()?,
        networks: api_keys::networks(columns)?,
        made_under: sum(columns)?,
    })
}

fn user_secret(kid: &str, columns: &mut Columns, keyring: &Keyring) -> Result<UserSecretRecord, StoreError> {
    let api = columns.parse()?;
    let (tenant, org, account): (TenantId, _, _) = (columns.parse()?, columns.parse()?, columns.parse()?);
    let revoked = columns.truth()?;
    let (sealed, data_key) = (columns.blob()?, columns.blob()?);
    let secret = user_secrets::unseal(keyring, tenant, &data_key, kid, &sealed)?;
    let made_under = Generations {
        tenant: columns.int()?,
        org: columns.int()?,
        account: columns.int()?,
        member: columns.int()?,
    };
    Ok(UserSecretRecord { kid: kid.to_owned(), api, tenant, org, account, secret, revoked, made_under })
}

/// Reads the columns of a revoked token: tenant, token, version, end.
pub(crate) fn revoked_token(columns: &mut Columns, keyring: &Keyring) -> Result<Loaded, StoreError> {
    let subject = subject(LOAD_REVOKED.name, columns)?;
    let found = Some(record(&subject, columns, keyring)?);
    Ok(Loaded { subject, found })
}

/// Reads these subjects, each once. A subject whose row cannot be read is left out: the others are not its affair,
/// and an answer that there is no row would be wrong.
pub(crate) async fn load(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    subjects: &[Subject],
) -> Result<Vec<Loaded>, StoreError> {
    let mut questions: HashMap<&'static str, (&'static Statement, Vec<Json>)> = HashMap::new();
    for subject in subjects.iter().filter(|subject| can_exist(subject)) {
        let (statement, ids) = question(subject);
        questions.entry(statement.name).or_insert_with(|| (statement, Vec::new())).1.push(ids);
    }
    let mut found: HashMap<Subject, Option<(i64, Record)>> = HashMap::with_capacity(subjects.len());
    for (name, (statement, ids)) in questions {
        for row in tx.run(statement, values![Json::Array(ids).to_string()]).await? {
            let mut columns = row.read();
            let subject = subject(name, &mut columns)?;
            let record = record(&subject, &mut columns, keyring);
            if let Err(error) = &record {
                tracing::warn!(kind = subject.kind(), %error, "a row is unreadable");
            }
            found.insert(subject, record.ok());
        }
    }
    let loaded = |subject: &Subject| {
        let row = found.get(subject);
        let is_readable = row.is_none_or(Option::is_some);
        is_readable.then(|| Loaded { subject: subject.clone(), found: row.cloned().flatten() })
    };
    Ok(subjects.iter().filter_map(loaded).collect())
}
