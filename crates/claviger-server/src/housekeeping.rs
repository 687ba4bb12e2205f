//! What a server does every now and then, beside its requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claviger::clock::{BootMillis, Clock};
use claviger::credential::CredentialKind;
use claviger::danger::SystemPermit;
use claviger_store::Store;
use claviger_store::memory::{Memory, NotReady};
use claviger_store::open_transaction::OpenTransaction;
use claviger_store::signing_keys::{Line, Schedule};

use crate::gateway::PrincipalSigner;
use crate::identity_tokens;
use crate::management::Management;

/// How often all of it is done.
const EVERY: Duration = Duration::from_secs(10);
/// How often in one round rows of the feed are cleared away, five hundred each time: over 20,000 a second, on a node.
const SWEEPS_AT_ONCE: usize = 400;
/// How long others have the store to themselves between two sweeps.
const SWEEP_PAUSE: Duration = Duration::from_millis(10);
/// For how long a server has the sweep to itself: longer than one takes.
const SWEEP_LEASE_SECONDS: i64 = 60;
/// For how long a server has the sealing to itself: longer than one round takes.
const RESEAL_LEASE_SECONDS: i64 = 60;
/// How often in one round some are sealed anew, a hundred tenants each time: each is a change that every server hears of.
const RESEALS_AT_ONCE: usize = 20;
/// How long others have the store to themselves in between.
const RESEAL_PAUSE: Duration = Duration::from_millis(100);
/// For how long a server has the signing keys to itself: longer than one round takes.
const TURNS_LEASE_SECONDS: i64 = 60;
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// How much longer than its last token a key is believed, in seconds: for clocks that differ.
const BELIEVED_MARGIN_SECONDS: i64 = 10 * 60;
/// From how long on a transaction that stays open is named in the log: nothing of the feed that is younger can be
/// cleared away.
const OPEN_TOO_LONG_MILLIS: u64 = 60_000;

/// The transaction of the database that has been open for longest, as this server sees it.
#[derive(Debug, Default)]
pub(crate) struct OldestTransaction(Mutex<Option<Seen>>);

#[derive(Debug)]
struct Seen {
    transaction: OpenTransaction,
    since: BootMillis,
    is_told: bool,
}

impl OldestTransaction {
    /// Takes note of what is the oldest at `now`. Gives how long it has been open, in milliseconds, if that is worth a word.
    fn note(&self, found: Option<OpenTransaction>, now: BootMillis) -> Option<u64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = found else {
            *seen = None;
            return None;
        };
        match &mut *seen {
            Some(known) if known.transaction.id == found.id => {
                let open = now.since(known.since);
                let is_news = open >= OPEN_TOO_LONG_MILLIS && !known.is_told;
                known.is_told |= is_news;
                is_news.then_some(open)
            }
            _ => {
                *seen = Some(Seen { transaction: found, since: now, is_told: false });
                None
            }
        }
    }

    /// For how many seconds it has been seen, rounded down; 0 if none is open.
    pub(crate) fn seconds(&self, now: BootMillis) -> u64 {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().map_or(0, |seen| now.since(seen.since) / 1000)
    }

    #[expect(clippy::disallowed_methods, reason = "a transaction is no tenant's")]
    async fn look(&self, store: &Store, clock: &dyn Clock) {
        let found = store.system(&SystemPermit::for_job("oldest-transaction")).oldest_transaction().await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "nobody knows which transaction has been open for longest");
                return;
            }
        };
        let named = found.clone();
        if let (Some(open), Some(OpenTransaction { id, process, role, database })) =
            (self.note(found, clock.boot()), named)
        {
            tracing::warn!(
                seconds = open / 1000,
                transaction = id,
                process,
                role,
                database,
                "a transaction stays open: nothing younger can be cleared away or vacuumed until it ends"
            );
        }
    }
}

/// Does it, until the task is dropped.
pub(crate) async fn keep(
    management: Management,
    memory: Arc<Memory>,
    signer: Arc<PrincipalSigner>,
    oldest: Arc<OldestTransaction>,
    clock: Arc<dyn Clock>,
    audit_days: u32,
) {
    let mut interval = tokio::time::interval(EVERY);
    let mut is_off = false;
    interval.tick().await;
    loop {
        interval.tick().await;
        management.door.sweep();
        match identity_tokens::system(&management.store).signing_key_signer(&Line::Principal).await {
            Ok(key) => signer.replace(key),
            Err(error) => tracing::warn!(%error, "the key for principals could not be read again"),
        }
        oldest.look(&management.store, &*clock).await;
        // Times are the store's, whatever this clock says; but whichever of the two is wrong, nothing is thrown away.
        match (memory.readiness(), is_off) {
            (Err(why @ NotReady::ClockOff(_)), was_off) => {
                if !was_off {
                    tracing::error!(
                        "{why}: not ready, and nothing is granted or cleared away, until one of them is set right"
                    );
                }
                is_off = true;
            }
            (_, was_off) => {
                if was_off {
                    tracing::info!("the clock agrees with the store's again");
                }
                is_off = false;
                sweep(&management.store, audit_days).await;
                take_turns(&management).await;
                reseal(&management.store).await;
            }
        }
    }
}

/// Seals anew what hangs on an older encryption key, once every live server holds a newer one; one server at a time.
#[expect(clippy::disallowed_methods, reason = "what is sealed is of every tenant")]
async fn reseal(store: &Store) {
    if store.keyring().encryption_key_ids().len() < 2 {
        return;
    }
    let system = store.system(&SystemPermit::for_job("reseal"));
    let work = async {
        let Some(lease) = system.lease("reseal", RESEAL_LEASE_SECONDS).await? else { return Ok(()) };
        let mut sealed = 0;
        for _ in 0..RESEALS_AT_ONCE {
            match system.reseal(&lease).await? {
                0 => break,
                some => sealed += some,
            }
            tokio::time::sleep(RESEAL_PAUSE).await;
        }
        if sealed > 0 {
            tracing::info!(sealed, "sealed anew under the encryption key that every server holds");
        }
        system.lease_end(lease).await
    };
    let outcome: Result<(), claviger_store::StoreError> = work.await;
    if let Err(error) = outcome {
        tracing::warn!(%error, "what hangs on an older encryption key could not be sealed anew");
    }
}

/// Has each realm's signing keys take what steps are due by the settings in force; one server at a time.
#[expect(clippy::disallowed_methods, reason = "keys are a realm's, and no tenant's")]
async fn take_turns(management: &Management) {
    let system = management.store.system(&SystemPermit::for_job("signing-keys"));
    let mut realms: BTreeMap<_, _> = BTreeMap::new();
    let apis = management.apis.load_full();
    let mut names: Vec<_> = apis.keys().collect();
    names.sort();
    for api in names.into_iter().filter_map(|name| apis.get(name)) {
        if api.api.credentials.contain(CredentialKind::IdentityToken) {
            realms.entry(api.api.realm.clone()).or_insert((api.token_algorithm, api.token_key_days));
        }
    }
    let work = async {
        let Some(lease) = system.lease("signing-keys", TURNS_LEASE_SECONDS).await? else { return Ok(()) };
        for (realm, (algorithm, days)) in realms {
            let line = Line::Identity(realm.clone());
            // Whoever has dropped all of them may have been ended before there was another one.
            system.signing_key_ensure(&line, algorithm).await?;
            if days == 0 {
                continue;
            }
            let schedule = Schedule {
                signs_seconds: i64::from(days) * DAY_SECONDS,
                published_seconds: DAY_SECONDS,
                believed_seconds: management.longest_token_of(&realm) + BELIEVED_MARGIN_SECONDS,
            };
            for turn in system.signing_key_turns(&lease, (&line, algorithm), schedule).await? {
                tracing::info!(%realm, ?turn, "a signing key has taken its turn");
            }
        }
        system.lease_end(lease).await
    };
    let outcome: Result<(), claviger_store::StoreError> = work.await;
    if let Err(error) = outcome {
        tracing::warn!(%error, "signing keys could not take their turns");
    }
}

/// Clears away what nobody needs any more, a little at a time, and one server at a time.
#[expect(clippy::disallowed_methods, reason = "what is old is of every tenant")]
async fn sweep(store: &Store, audit_days: u32) {
    let system = store.system(&SystemPermit::for_job("sweep"));
    let lease = match system.lease("sweep", SWEEP_LEASE_SECONDS).await {
        Ok(Some(lease)) => lease,
        // Another server is about it.
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, "nobody knows which server clears away what is old");
            return;
        }
    };
    for _ in 0..SWEEPS_AT_ONCE {
        match system.feed_sweep(claviger_store::sweep::FEED_KEPT_MILLIS).await {
            Ok(0) => break,
            Ok(_) => tokio::time::sleep(SWEEP_PAUSE).await,
            Err(error) => {
                tracing::warn!(%error, "old rows of the change feed could not be cleared away");
                break;
            }
        }
    }
    for _ in 0..SWEEPS_AT_ONCE {
        match system.once_sweep(&lease).await {
            Ok(0) => break,
            Ok(_) => tokio::time::sleep(SWEEP_PAUSE).await,
            Err(error) => {
                tracing::warn!(%error, "old answers under idempotency keys could not be cleared away");
                break;
            }
        }
    }
    for _ in 0..SWEEPS_AT_ONCE {
        match system.retire(&lease, audit_days.into()).await {
            Ok(0) => break,
            Ok(_) => tokio::time::sleep(SWEEP_PAUSE).await,
            Err(error) => {
                tracing::warn!(%error, "old entries of the audit could not be cleared away");
                break;
            }
        }
    }
    if let Err(error) = system.withdrawal_sweep().await {
        tracing::warn!(%error, "the names of old withdrawals could not be cleared away");
    }
    if let Err(error) = system.revoked_token_sweep().await {
        tracing::warn!(%error, "revoked tokens that have expired could not be cleared away");
    }
    // Whoever stops now is not waited for.
    if let Err(error) = system.lease_end(lease).await {
        tracing::debug!(%error, "the lease of the sweep ends by itself");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(id: &str) -> Option<OpenTransaction> {
        Some(OpenTransaction { id: id.to_owned(), process: None, role: None, database: None })
    }

    #[test]
    fn store_02_a_transaction_that_stays_open_is_named_once_when_it_is_too_old() {
        let oldest = OldestTransaction::default();
        let at = BootMillis;
        assert_eq!(oldest.note(transaction("7"), at(5_000)), None);
        assert_eq!(oldest.note(transaction("7"), at(64_999)), None);
        assert_eq!(oldest.seconds(at(64_999)), 59);
        assert_eq!(oldest.note(transaction("7"), at(65_000)), Some(60_000));
        assert_eq!(oldest.note(transaction("7"), at(90_000)), None, "it was named");
        assert_eq!(oldest.seconds(at(90_000)), 85);
        // Another one is no older than from when it was the oldest.
        assert_eq!(oldest.note(transaction("9"), at(100_000)), None);
        assert_eq!(oldest.seconds(at(101_000)), 1);
        assert_eq!(oldest.note(None, at(102_000)), None);
        assert_eq!(oldest.seconds(at(200_000)), 0);
    }
}
