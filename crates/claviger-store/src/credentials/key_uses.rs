//! What hangs on which key of the keyring.

use super::held_keys;
use crate::backend::Tx;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::parts::system_store::SystemStore;
use crate::seal;
use crate::statement::statements;
use crate::value::{Row, values};

statements! { "key of the keyring";
    CHECKS: System [] "SELECT kind, key_id, check_hash FROM keyring_check";
    /// A secret whose grace has ended opens nothing any more, and hangs on nothing.
    PEPPERS_IN_USE: System [Int]
        "SELECT pepper, CAST(count(*) AS bigint) FROM key_secret
         WHERE revoked = 0 AND (expires_at IS NULL OR expires_at > $1) GROUP BY pepper";
    /// Of those that begin as `$1` does, and before `$2`.
    SEALED_TENANTS: System [Blob, Blob]
        "SELECT CAST(count(*) AS bigint) FROM tenant WHERE data_key >= $1 AND data_key < $2";
    SEALED_SIGNING_KEYS: System [Blob, Blob]
        "SELECT CAST(count(*) AS bigint) FROM signing_key WHERE sealed_key >= $1 AND sealed_key < $2";
    /// Mail and sign-ups that wait are gone within days, and are not sealed anew.
    SEALED_MAIL: System [Blob, Blob]
        "SELECT CAST(count(*) AS bigint) FROM mail WHERE sealed >= $1 AND sealed < $2";
    SEALED_SIGN_UPS: System [Blob, Blob]
        "SELECT CAST(count(*) AS bigint) FROM proof WHERE sealed >= $1 AND sealed < $2";
}

/// What a key of the keyring is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// API keys are stored under it.
    Pepper,
    /// Secrets that must be read again are sealed under it.
    Encryption,
}

/// A key that the store knows of, and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// What it is for.
    pub kind: KeyKind,
    /// Its name in the keyring.
    pub name: String,
    /// Whether this server's keyring has it.
    pub is_held: bool,
    /// Whether what is made now hangs on it: the newest that every live server holds.
    pub is_current: bool,
    /// How many live API keys' secrets, or tenants', signing keys and waiting mail, hang on it.
    pub uses: i64,
}

/// The first value that something sealed under this key can have, and the first after the last.
pub(super) fn range(name: &str) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let first = seal::beginning(name).ok_or(StoreError::Corrupt { what: "encryption key's name" })?;
    let mut after = first.clone();
    // A name is of ASCII, so that its last byte has a next one.
    if let Some(last) = after.last_mut() {
        *last = last.saturating_add(1);
    }
    Ok((first, after))
}

/// How many rows are sealed under the encryption key of this name.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn uses(tx: &mut Tx<'_>, name: &str) -> Result<i64, StoreError> {
    let (first, after) = range(name)?;
    let mut uses = 0;
    for statement in [&SEALED_TENANTS, &SEALED_SIGNING_KEYS, &SEALED_MAIL, &SEALED_SIGN_UPS] {
        let row = tx.run_one(statement, values![first.as_slice(), after.as_slice()]).await?;
        uses += row.ok_or(StoreError::Corrupt { what: "sealed key" })?.read().int()?;
    }
    Ok(uses)
}

/// How many secrets hang on each pepper. What ended less than a day ago is counted: another server's clock may go behind.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn peppers_in_use(tx: &mut Tx<'_>) -> Result<Vec<(String, i64)>, StoreError> {
    let since = tx.now().await?.plus_seconds(-24 * 60 * 60);
    let rows = tx.run(&PEPPERS_IN_USE, values![since]).await?;
    let read = |row: Row| {
        let mut columns = row.read();
        Ok((columns.text()?, columns.int()?))
    };
    rows.into_iter().map(read).collect()
}

async fn key_uses(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<Vec<KeyUse>, StoreError> {
    let mut known = Vec::new();
    for row in tx.run(&CHECKS, &[]).await? {
        let mut columns = row.read();
        known.push((columns.text()?, columns.text()?));
    }
    let peppers = peppers_in_use(tx).await?;
    let pepper = held_keys::pepper(tx, keyring).await?;
    let encryption = held_keys::encryption_key(tx, keyring).await?;
    let mut found = Vec::new();
    for (kind, name) in known {
        let (kind, held, current, uses) = match kind.as_str() {
            "pepper" => {
                let used = peppers.iter().find(|(pepper, _)| *pepper == name).map_or(0, |(_, uses)| *uses);
                (KeyKind::Pepper, keyring.pepper_ids(), &pepper, used)
            }
            "encryption" => {
                (KeyKind::Encryption, keyring.encryption_key_ids(), &encryption, uses(tx, &name).await?)
            }
            _ => continue,
        };
        let (is_held, is_current) = (held.contains(&name), *current == name);
        found.push(KeyUse { kind, name, is_held, is_current, uses });
    }
    // In the order in which they were added, which their numbers have.
    found.sort_by_key(|key| (key.kind as u8, key.name.len(), key.name.clone()));
    Ok(found)
}

impl SystemStore {
    /// Every pepper and encryption key that the store knows of, the oldest first, with what hangs on it. Counts all keys: not for
    /// the path of a request.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn keyring_status(&self) -> Result<Vec<KeyUse>, StoreError> {
        let keyring = self.inner.keyring.clone();
        self.read_in_growth(async move |tx: &mut Tx<'_>| key_uses(tx, &keyring).await).await
    }
}
