//! Writes down when user tokens and the secrets of keys were last used: every second, off the path of every request, and before anything
//! hangs on it.

use std::sync::Arc;
use std::time::Duration;

use claviger::Permit;
use claviger::clock::UnixMillis;
use claviger::danger::SystemPermit;
use claviger::network::Client;
use claviger_store::Store;
use claviger_store::key_secret_uses::KeySecretUse;
use claviger_store::user_secret_uses::UserSecretUse;
use futures_util::future::BoxFuture;

use crate::gateway::Uses;
use crate::management::Noted;

/// How often it is written down: what a crash loses.
const EVERY: Duration = Duration::from_secs(1);

/// How many are written at once.
const AT_ONCE: usize = 200;

/// Writes down what was noted since the last time.
#[expect(clippy::disallowed_methods, reason = "what is used is of every tenant")]
pub(crate) async fn write_down(store: &Store, uses: &Uses) {
    let system = store.system(&SystemPermit::for_job("last-uses"));
    // In one order, so that two servers never wait for each other, and in parts, so that nobody waits for them for long.
    let mut tokens = uses.user_secrets.take();
    tokens.sort_by(|(one, _), (other, _)| one.cmp(other));
    for part in tokens.chunks(AT_ONCE) {
        let one = |((tenant, kid), (at, address)): &((_, Box<str>), (_, _))| UserSecretUse {
            tenant: *tenant,
            kid: kid.clone(),
            at: *at,
            address: *address,
        };
        if let Err(error) = system.user_secrets_used(part.iter().map(one).collect()).await {
            tracing::debug!(%error, "when tokens were last used is written down later");
            uses.user_secrets.put_back(part.iter().cloned());
        }
    }
    let mut keys = uses.key_secrets.take();
    keys.sort_by_key(|(whose, _)| *whose);
    for part in keys.chunks(AT_ONCE) {
        let one = |((tenant, digest), (at, address)): &((_, _), (_, _))| KeySecretUse {
            tenant: *tenant,
            digest: *digest,
            at: *at,
            address: *address,
        };
        if let Err(error) = system.key_secrets_used(part.iter().map(one).collect()).await {
            tracing::debug!(%error, "when keys were last used is written down later");
            uses.key_secrets.put_back(part.iter().copied());
        }
    }
}

/// What a server has noted, and where it is written down.
#[derive(Debug)]
pub(crate) struct Notebook {
    pub(crate) store: Store,
    pub(crate) uses: Arc<Uses>,
}

impl Noted for Notebook {
    fn note(&self, permit: &Permit, at: UnixMillis, client: Client) {
        self.uses.note(permit, at, client);
    }

    fn write_down(&self) -> BoxFuture<'static, ()> {
        let (store, uses) = (self.store.clone(), self.uses.clone());
        Box::pin(async move { write_down(&store, &uses).await })
    }
}

/// Does it, until the task is dropped.
pub(crate) async fn keep(store: Store, uses: Arc<Uses>) {
    let mut interval = tokio::time::interval(EVERY);
    loop {
        interval.tick().await;
        write_down(&store, &uses).await;
    }
}
