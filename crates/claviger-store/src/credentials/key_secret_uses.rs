//! When a key's secret was last used, and from where: kept apart from what decisions read, and written a second late.

use std::net::IpAddr;

use claviger::api_key::KeyDigest;
use claviger::clock::UnixMillis;
use claviger::id::TenantId;

use crate::backend::Tx;
use crate::error::StoreError;
use crate::noun::{Feed, Noun, Rights, blob, int, text, uuid};
use crate::parts::system_store::SystemStore;
use crate::statement::statements;
use crate::value::values;

/// The rows of uses.
pub(crate) static KEY_SECRET_USE_ROWS: Noun = Noun {
    table: "key_secret_use",
    about: "When a secret of a key was last used, and from where.",
    columns: &[uuid("tenant_id"), blob("digest"), int("used_at"), text("address").optional()],
    key: &["tenant_id", "digest"],
    references: &[(&["tenant_id", "digest"], "key_secret (tenant_id, digest)")],
    indices: &[],
    tenant: Rights::SEE,
    jobs: Rights::CHANGE,
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "key's use";
    /// Of two servers that tell of one secret, the later use stays.
    KEY_SECRET_USED: System [Uuid, Blob, Int, Text]
        "INSERT INTO key_secret_use (tenant_id, digest, used_at, address)
         SELECT s.tenant_id, s.digest, CAST($3 AS bigint), $4 FROM key_secret AS s WHERE s.tenant_id = $1 AND s.digest = $2
         ON CONFLICT (tenant_id, digest) DO UPDATE SET used_at = excluded.used_at, address = excluded.address
             WHERE key_secret_use.used_at < excluded.used_at";
}

/// A use of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySecretUse {
    /// Whose tenant's.
    pub tenant: TenantId,
    /// By what the secret is found.
    pub digest: KeyDigest,
    /// When.
    pub at: UnixMillis,
    /// From where, if that is known.
    pub address: Option<IpAddr>,
}

impl SystemStore {
    /// Notes when secrets of keys were last used. One that is not there is passed over.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn key_secrets_used(&self, uses: Vec<KeySecretUse>) -> Result<(), StoreError> {
        self.write_in_growth(async move |tx: &mut Tx<'_>| {
            for used in &uses {
                let address = used.address.map(|address| address.to_string());
                let row = values![used.tenant, used.digest.as_bytes().as_slice(), used.at, address];
                tx.run(&KEY_SECRET_USED, row).await?;
            }
            Ok(())
        })
        .await
    }
}
