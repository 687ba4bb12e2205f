//! Which of the keyring's keys may be used for what is made from now on.
//!
//! A new pepper or encryption key comes to the servers one by one, each with its next start. What hung on it at once, the
//! others could not read. So each server says in its row which keys it holds, and what is made hangs on the newest that all
//! of them do: a key is announced by the first who has it, acknowledged by each that follows, and used once the last has.

use claviger::api_key::{PepperId, Peppers};

use crate::backend::Tx;
use crate::error::StoreError;
use crate::feed::nodes::LEASE_MILLIS;
use crate::keyring::Keyring;
use crate::statement::statements;
use crate::value::values;

statements! { "node";
    /// What each server that was seen within `$1` milliseconds holds. One of a program that does not say is not asked.
    HELD_KEYS: Shared [Int]
        "SELECT '' WHERE 1 = 0 AND $1 = 0"
        postgres "SELECT held_keys FROM node WHERE seen_at > claviger_now() - $1 AND held_keys IS NOT NULL";
}

/// Of these names, the oldest first, the newest that all live servers hold; the newest of all if there is no such, as then
/// this server is the only one that could read what there is.
async fn common(tx: &mut Tx<'_>, names: &[String]) -> Result<Option<String>, StoreError> {
    let mut held = Vec::new();
    for row in tx.run(&HELD_KEYS, values![LEASE_MILLIS]).await? {
        held.push(row.read().text()?);
    }
    let is_everywhere =
        |name: &&String| held.iter().all(|keys| keys.split(' ').any(|key| key == name.as_str()));
    Ok(names.iter().rev().find(is_everywhere).or(names.last()).cloned())
}

/// The peppers, that to be used now being the newest of them.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn peppers(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<Peppers, StoreError> {
    let id: PepperId = pepper(tx, keyring).await?.parse().map_err(StoreError::Setup)?;
    keyring.peppers_with(&id)
}

/// The name of the pepper to be used now.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn pepper(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<String, StoreError> {
    let name = common(tx, &keyring.pepper_ids()).await?;
    name.ok_or_else(|| StoreError::Setup("the keyring has no pepper".into()))
}

/// The name of the encryption key to be used now.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn encryption_key(tx: &mut Tx<'_>, keyring: &Keyring) -> Result<String, StoreError> {
    let name = common(tx, &keyring.encryption_key_ids()).await?;
    name.ok_or_else(|| StoreError::Setup("the keyring has no encryption key".into()))
}
