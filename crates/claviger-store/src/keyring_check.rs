//! Whether the keyring at hand is this store's.

use std::sync::Arc;

use claviger::clock::Clock;
use claviger::random::Random;

use crate::backend::{Backend, Bound, FEED, Mode, Tx};
use crate::credentials::key_uses::{CHECKS, peppers_in_use, uses};
use crate::error::StoreError;
use crate::facts::{META, META_ADD};
use crate::feed::FEED_EPOCH;
use crate::keyring::Keyring;
use crate::statement::statements;
use crate::value::values;

statements! { "keyring check";
    CHECK_ADD: System [Text, Text, Blob]
        "INSERT INTO keyring_check (kind, key_id, check_hash) VALUES ($1, $2, $3) ON CONFLICT (kind, key_id) DO NOTHING";
}

/// Compares the keyring with the store's check values. A store without any is new and takes the keyring for its
/// own. An old pepper or encryption key may be missing once nothing hangs on it any more.
pub(crate) async fn accept_keyring(
    backend: &Backend,
    keyring: &Keyring,
    clock: &Arc<dyn Clock>,
    random: &dyn Random,
) -> Result<String, StoreError> {
    let job = Bound::System("open");
    let known: Vec<(&'static str, String)> =
        keyring.checks("").into_iter().map(|check| (check.kind, check.id)).collect();
    let (stored_id, stored, in_use, has_epoch) = backend
        .run(job, Mode::Read, Arc::clone(clock), async move |tx: &mut Tx<'_>| {
            let id =
                tx.run_one(&META, values!["store_id"]).await?.map(|row| row.read().text()).transpose()?;
            let mut checks = Vec::new();
            for row in tx.run(&CHECKS, &[]).await? {
                let mut columns = row.read();
                checks.push((columns.text()?, columns.text()?, columns.blob()?));
            }
            let is_known = |(kind, id, _): &(String, String, Vec<u8>)| {
                known.iter().any(|(known_kind, known_id)| known_kind == kind && known_id == id)
            };
            let mut in_use = Vec::new();
            // Which are in use is counted over all keys, millions maybe: only where one is lacking does it matter.
            if !checks.iter().all(is_known) {
                let peppers = peppers_in_use(tx).await?;
                in_use.extend(peppers.into_iter().map(|(pepper, _)| ("pepper", pepper)));
            }
            for (kind, name, _) in checks.iter().filter(|check| !is_known(check)) {
                if kind == "encryption" && uses(tx, name).await? > 0 {
                    in_use.push(("encryption", name.clone()));
                }
            }
            Ok((id, checks, in_use, tx.origin().is_some()))
        })
        .await?;
    if !has_epoch {
        // A new database, or one whose server has been down.
        backend
            .run(FEED, Mode::Write, Arc::clone(clock), async |tx: &mut Tx<'_>| {
                tx.run(&FEED_EPOCH, &[]).await.map(drop)
            })
            .await?;
    }
    let id = stored_id.unwrap_or_else(|| {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    });
    let ours = keyring.checks(&id);
    for (kind, key_id, value) in &stored {
        match ours.iter().find(|check| check.kind == kind && check.id == *key_id) {
            Some(check) if check.value == *value => {}
            Some(_) => {
                return Err(StoreError::Setup(format!(
                    "the keyring is not this store's: its {kind} key `{key_id}` is another one"
                )));
            }
            None if kind != "derivation" && !in_use.iter().any(|(of, name)| of == kind && name == key_id) => {
            }
            None => {
                return Err(StoreError::Setup(format!(
                    "the keyring lacks the {kind} key `{key_id}`, which this store needs"
                )));
            }
        }
    }
    let new: Vec<_> = ours
        .into_iter()
        .filter(|check| !stored.iter().any(|(kind, key_id, _)| check.kind == kind && check.id == *key_id))
        .map(|check| (check.kind, check.id, check.value))
        .collect();
    let stored_id = id.clone();
    if !new.is_empty() {
        backend
            .run(job, Mode::Write, Arc::clone(clock), async move |tx: &mut Tx<'_>| {
                tx.run(&META_ADD, values!["store_id", &id]).await?;
                for (kind, key_id, value) in &new {
                    tx.run(&CHECK_ADD, values![*kind, key_id, value.as_slice()]).await?;
                }
                // Two nodes that open a new store at once: the first one's id stands.
                let row = tx.run_one(&META, values!["store_id"]).await?;
                match row.map(|row| row.read().text()).transpose()? {
                    Some(first) if first == id => Ok(()),
                    _ => Err(StoreError::unavailable(
                        "another node has just opened this new store; start again",
                    )),
                }
            })
            .await?;
    }
    Ok(stored_id)
}
