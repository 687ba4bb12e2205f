//! The secrets of API keys: what a key is found by, and read with.

use std::net::IpAddr;

use claviger::api_key::{KeyDigest, NewKey};
use claviger::clock::UnixMillis;
use claviger::directory::KeyRecord;
use claviger::id::{KeyId, TenantId};
use claviger::network::{Network, Networks};

use crate::backend::Tx;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Feed, Index, Noun, Recorded, Rights, Rows, blob, int, text, truth, uuid};
use crate::statement::statements;
use crate::value::{Columns, Row, values};

/// The rows of keys' secrets.
pub(crate) static KEY_SECRET_ROWS: Noun = Noun {
    table: "key_secret",
    about: "A key's secrets. `slot` says which one a rotation made and which one it put aside.",
    columns: &[
        uuid("tenant_id"),
        blob("digest"),
        uuid("key_id"),
        text("slot").is("IN ('current', 'old')"),
        text("pepper"),
        text("prefix"),
        text("last_four"),
        int("expires_at").optional(),
        truth("revoked"),
        int("created_at"),
    ],
    key: &["tenant_id", "digest"],
    references: &[(&["tenant_id", "key_id"], "api_key (tenant_id, key_id)")],
    indices: &[
        Index::Plain("key_secret_by_digest", "digest"),
        Index::Plain("key_secret_by_key", "tenant_id, key_id"),
        Index::Plain("key_secret_by_end", "last_four"),
        Index::UniqueNamed(
            "key_secret_current",
            "tenant_id, key_id",
            Some("slot = 'current' AND revoked = 0"),
        ),
    ],
    tenant: Rights::CHANGE,
    jobs: Rights::SEE,
    feed: Feed::Tells { kind: "key", id: &["digest"], only: None, since: 1 },
    fixed_but: None,
    grows_by: None,
};

impl Recorded for KeyRecord {
    type Name = (KeyDigest,);

    const ROWS: Rows = Rows {
        noun: &KEY_SECRET_ROWS,
        columns: "k.key_id, k.tenant_id, k.org_id, k.environment, k.grants, k.state, k.expires_at, r.expires_at, r.revoked,
             k.networks, k.tenant_credentials, k.org_credentials",
        with: "JOIN api_key AS k ON k.tenant_id = r.tenant_id AND k.key_id = r.key_id",
        only: "",
    };

    fn read(_: &Self::Name, columns: &mut Columns, _: &Keyring) -> Result<Self, StoreError> {
        Ok(Self {
            key: columns.key_id()?,
            tenant: columns.parse()?,
            org: columns.parse()?,
            environment: columns.parse()?,
            grants: columns.parse()?,
            state: columns.state("API key")?,
            expires_at: earlier(columns.maybe_time()?, columns.maybe_time()?),
            secret_revoked: columns.truth()?,
            networks: networks(columns)?,
            made_under: sum(columns.int()?, columns.int()?)?,
        })
    }

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    /// A key's record does not say by which digest it is found.
    fn is_of(&self, _: &Self::Name) -> bool {
        true
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self == other
    }
}

fn earlier(one: Option<UnixMillis>, other: Option<UnixMillis>) -> Option<UnixMillis> {
    [one, other].into_iter().flatten().min()
}

fn sum(tenant: i64, org: i64) -> Result<u32, StoreError> {
    u32::try_from(tenant.saturating_add(org)).map_err(|_| StoreError::Corrupt { what: "API key" })
}

statements! { "API key";
    KEY_SECRET_ADD: Tenant [Uuid, Blob, Uuid, Text, Text, Text, Int] grants
        "INSERT INTO key_secret (tenant_id, digest, key_id, slot, pepper, prefix, last_four, created_at)
         VALUES ($1, $2, $3, 'current', $4, $5, $6, $7)";
    KEY_SECRETS: Tenant [Uuid, Uuid]
        "SELECT s.key_id, s.digest, s.slot, s.prefix, s.last_four, s.created_at, s.expires_at, u.used_at, u.address
         FROM key_secret AS s LEFT JOIN key_secret_use AS u ON u.tenant_id = s.tenant_id AND u.digest = s.digest
         WHERE s.tenant_id = $1 AND s.key_id = $2 AND s.revoked = 0 ORDER BY s.created_at, s.digest";
    /// Of the keys behind one and up to another, in the order of their pages.
    KEY_SECRETS_OF: Tenant [Uuid, Uuid, Int, Uuid, Int, Uuid]
        "SELECT s.key_id, s.digest, s.slot, s.prefix, s.last_four, s.created_at, s.expires_at, u.used_at, u.address
         FROM key_secret AS s LEFT JOIN key_secret_use AS u ON u.tenant_id = s.tenant_id AND u.digest = s.digest JOIN api_key AS k ON k.tenant_id = s.tenant_id AND k.key_id = s.key_id
         WHERE s.tenant_id = $1 AND k.org_id = $2 AND k.state <> 'deleted' AND s.revoked = 0
             AND (k.created_at, k.key_id) > ($3, $4) AND (k.created_at, k.key_id) <= ($5, $6)
         ORDER BY s.created_at, s.digest";
    /// As [`KEY_SECRETS_OF`], of all organizations.
    KEY_SECRETS_OF_TENANT: Tenant [Uuid, Int, Uuid, Int, Uuid]
        "SELECT s.key_id, s.digest, s.slot, s.prefix, s.last_four, s.created_at, s.expires_at, u.used_at, u.address
         FROM key_secret AS s LEFT JOIN key_secret_use AS u ON u.tenant_id = s.tenant_id AND u.digest = s.digest JOIN api_key AS k ON k.tenant_id = s.tenant_id AND k.key_id = s.key_id
         WHERE s.tenant_id = $1 AND k.state <> 'deleted' AND s.revoked = 0
             AND (k.created_at, k.key_id) > ($2, $3) AND (k.created_at, k.key_id) <= ($4, $5)
         ORDER BY s.created_at, s.digest";
    /// Of keys whose secret, good or not, ends so.
    KEYS_ENDING: System [Text, Text, Int]
        "SELECT DISTINCT s.tenant_id, s.key_id FROM key_secret AS s JOIN tenant AS t ON t.tenant_id = s.tenant_id
         WHERE s.last_four = $1 AND t.realm = $2 LIMIT $3";
    KEYS_ENDING_OF_TENANT: Tenant [Uuid, Text, Int]
        "SELECT DISTINCT key_id FROM key_secret WHERE tenant_id = $1 AND last_four = $2 LIMIT $3";
    KEY_BY_DIGEST: System [Blob] "SELECT tenant_id, key_id FROM key_secret WHERE digest = $1";
    KEY_SECRET_REVOKE: Tenant [Uuid, Blob] withdraws
        "UPDATE key_secret SET revoked = 1 WHERE tenant_id = $1 AND digest = $2";
    KEY_SECRET_PUT_ASIDE: Tenant [Uuid, Blob, Int]
        "UPDATE key_secret SET slot = 'old', expires_at = $3 WHERE tenant_id = $1 AND digest = $2";
    KEY_SECRETS_REVOKE: Tenant [Uuid, Uuid] withdraws
        "UPDATE key_secret SET revoked = 1 WHERE tenant_id = $1 AND key_id = $2 AND revoked = 0";
    KEY_OLD_REVOKE: Tenant [Uuid, Uuid, Int] withdraws
        "UPDATE key_secret SET revoked = 1
         WHERE tenant_id = $1 AND key_id = $2 AND slot = 'old' AND revoked = 0 AND expires_at > $3 RETURNING last_four";
}

/// One of a key's secrets, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretView {
    /// Its beginning: `sk_live_`.
    pub prefix: String,
    /// Its last four characters.
    pub last_four: String,
    /// Whether a rotation has put it aside, so that it ends at the end of the grace.
    pub is_old: bool,
    /// Since when it is there.
    pub created_at: UnixMillis,
    /// When it ends, if it does before the key.
    pub expires_at: Option<UnixMillis>,
    /// When it was last used, if it was: a second late at most.
    pub last_used_at: Option<UnixMillis>,
    /// From where, if that is known.
    pub last_used_from: Option<IpAddr>,
}

/// Reads the `networks` column of a key.
///
/// # Errors
/// If something else is in it.
pub(super) fn networks(columns: &mut Columns) -> Result<Option<Networks>, StoreError> {
    let Some(text) = columns.maybe_text()? else { return Ok(None) };
    let list: Result<Vec<Network>, String> = text.split_ascii_whitespace().map(str::parse).collect();
    Ok(Some(Networks::new(list.map_err(|_| StoreError::Corrupt { what: "API key" })?)))
}

/// A secret with what it is found by.
pub(super) struct Held {
    pub(super) key: KeyId,
    pub(super) digest: KeyDigest,
    pub(super) view: SecretView,
}

impl Held {
    pub(super) fn read(row: Row) -> Result<Self, StoreError> {
        let mut columns = row.read();
        let (key, digest) = (columns.key_id()?, columns.blob()?);
        let is_old = columns.text()? == "old";
        let view = SecretView {
            prefix: columns.text()?,
            last_four: columns.text()?,
            is_old,
            created_at: columns.time()?,
            expires_at: columns.maybe_time()?,
            last_used_at: columns.maybe_time()?,
            last_used_from: columns.maybe_text()?.and_then(|address| address.parse().ok()),
        };
        let digest = KeyDigest::from_bytes(&digest).ok_or(StoreError::Corrupt { what: "API key" })?;
        Ok(Self { key, digest, view })
    }

    pub(super) fn is_live(&self, now: UnixMillis) -> bool {
        self.view.expires_at.is_none_or(|end| end > now)
    }
}

/// The key's live secrets, the oldest first.
///
/// # Errors
/// If the store does not answer.
pub(super) async fn secrets(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    key: KeyId,
    now: UnixMillis,
) -> Result<Vec<Held>, StoreError> {
    let rows = tx.run(&KEY_SECRETS, values![tenant, key]).await?;
    let held: Result<Vec<Held>, StoreError> = rows.into_iter().map(Held::read).collect();
    Ok(held?.into_iter().filter(|secret| secret.is_live(now)).collect())
}

/// Stores a secret's digest.
///
/// # Errors
/// If the store does not answer.
pub(super) async fn add_secret(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    key: KeyId,
    new: &NewKey,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let digest = new.digest.as_bytes().as_slice();
    let params = values![tenant, digest, key, new.pepper.as_str(), &new.prefix, &new.last_four, now];
    tx.run(&KEY_SECRET_ADD, params).await.map(drop)
}
