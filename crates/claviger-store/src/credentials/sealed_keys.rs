//! How what hangs on an older encryption key comes to hang on a newer one.
//!
//! A tenant's data key and a realm's signing keys are sealed under an encryption key, and what is sealed begins with its name.
//! Once every live server holds a newer one (`held_keys.rs`), one server at a time seals them anew under it, row by row,
//! while everybody serves. API keys hang on their pepper for good: their digest cannot be made again without the key.

use claviger::id::TenantId;
use serde_json::json;

use super::key_uses::range;
use super::{held_keys, signing_keys};
use crate::backend::{Bound, Mode, Tx};
use crate::data_key::DataKey;
use crate::error::StoreError;
use crate::feed::leases::Lease;
use crate::parts::system_store::SystemStore;
use crate::statement::statements;
use crate::value::{Value, values};

statements! { "sealed key";
    SEALED_TENANTS_PAGE: System [Blob, Blob, Int]
        "SELECT tenant_id, data_key FROM tenant WHERE data_key >= $1 AND data_key < $2 LIMIT $3";
    SEALED_SIGNING_KEYS_PAGE: System [Blob, Blob, Int]
        "SELECT realm, purpose, kid, sealed_key FROM signing_key WHERE sealed_key >= $1 AND sealed_key < $2 LIMIT $3";
    /// Unless somebody has changed it meanwhile.
    TENANT_RESEAL: Tenant [Uuid, Blob, Blob]
        "UPDATE tenant SET data_key = $2 WHERE tenant_id = $1 AND data_key = $3";
    SIGNING_KEY_RESEAL: System [Text, Text, Text, Blob, Blob]
        "UPDATE signing_key SET sealed_key = $4 WHERE realm = $1 AND purpose = $2 AND kid = $3 AND sealed_key = $5";
}

/// How many rows are looked for at a time.
const AT_ONCE: i64 = 100;

impl SystemStore {
    /// Seals some of what hangs on older encryption keys anew under the newest that every live server holds. Gives how many rows; call
    /// again while there are any.
    ///
    /// # Errors
    /// If the lease has ended, a row cannot be opened, or the store does not answer.
    pub async fn reseal(&self, lease: &Lease) -> Result<usize, StoreError> {
        let keyring = self.inner.keyring.clone();
        let (names, asked) = (keyring.encryption_key_ids(), keyring.clone());
        if names.len() < 2 {
            return Ok(0);
        }
        let current = self
            .read_in_growth(async move |tx: &mut Tx<'_>| held_keys::encryption_key(tx, &asked).await)
            .await?;
        let mut done = 0;
        for old in names.iter().take_while(|name| **name != current) {
            done += self.reseal_signing_keys(lease, old, &current).await?;
            done += self.reseal_tenants(lease, old, &current).await?;
        }
        Ok(done)
    }

    async fn reseal_signing_keys(&self, lease: &Lease, old: &str, under: &str) -> Result<usize, StoreError> {
        let (first, after) = range(old)?;
        let (inner, lease, under) = (self.inner.clone(), lease.clone(), under.to_owned());
        let entry = self.entry("KEYRING_RESEALED", ("keyring", old.to_owned()), json!({ "under": under }));
        self.write_in_growth(async move |tx: &mut Tx<'_>| {
            lease.hold(tx).await?;
            let page = values![first.as_slice(), after.as_slice(), AT_ONCE];
            let rows = tx.run(&SEALED_SIGNING_KEYS_PAGE, page).await?;
            let count = rows.len();
            for row in rows {
                let mut columns = row.read();
                let (realm, purpose, kid) = (columns.text()?, columns.text()?, columns.text()?);
                let sealed = columns.blob()?;
                let id = format!("{realm}/{purpose}/{kid}");
                let place = signing_keys::place(&id);
                let plain = inner.keyring.open(&place, &sealed);
                let plain = plain.ok_or(StoreError::Corrupt { what: "signing key" })?;
                let anew = inner.keyring.seal_under(&under, &place, &plain, inner.random.as_ref())?;
                let params = values![realm, purpose, kid, anew.as_slice(), sealed.as_slice()];
                tx.run(&SIGNING_KEY_RESEAL, params).await?;
            }
            if count > 0 {
                entry.clone().write(tx).await?;
            }
            Ok(count)
        })
        .await
    }

    /// Each in a transaction that is bound to its tenant, as no job may change a tenant's keys.
    async fn reseal_tenants(&self, lease: &Lease, old: &str, under: &str) -> Result<usize, StoreError> {
        let (first, after) = range(old)?;
        let held = lease.clone();
        let found = self
            .write_in_growth(async move |tx: &mut Tx<'_>| {
                held.hold(tx).await?;
                let page = values![first.as_slice(), after.as_slice(), AT_ONCE];
                let mut found = Vec::new();
                for row in tx.run(&SEALED_TENANTS_PAGE, page).await? {
                    let mut columns = row.read();
                    found.push((columns.parse::<TenantId>()?, columns.blob()?));
                }
                Ok(found)
            })
            .await?;
        let count = found.len();
        for (tenant, sealed) in found {
            let key = DataKey::open(tenant, &self.inner.keyring, &sealed)?;
            let random = self.inner.random.as_ref();
            let anew = key.sealed(tenant, (&self.inner.keyring, under), random)?;
            let work = async move |tx: &mut Tx<'_>| {
                let params = values![tenant, Value::from(anew.as_slice()), Value::from(sealed.as_slice())];
                tx.run(&TENANT_RESEAL, params).await.map(drop)
            };
            self.inner.run_in_growth(Bound::Tenant(tenant), Mode::Write, work).await?;
        }
        if count > 0 {
            let details = json!({ "under": under, "tenants": count });
            let entry = self.entry("KEYRING_RESEALED", ("keyring", old.to_owned()), details);
            self.write_in_growth(async move |tx: &mut Tx<'_>| entry.write(tx).await).await?;
        }
        Ok(count)
    }
}
