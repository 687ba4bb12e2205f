//! Writes down when user tokens were last used: every second, off the path of every request.

use std::sync::Arc;
use std::time::Duration;

use claviger::danger::SystemPermit;
use claviger_store::Store;
use claviger_store::user_secret_uses::UserSecretUse;

use crate::gateway::Uses;

/// How often it is written down: what a crash loses.
const EVERY: Duration = Duration::from_secs(1);

/// How many are written at once.
const AT_ONCE: usize = 200;

/// Writes down what was noted since the last time.
#[expect(clippy::disallowed_methods, reason = "what is used is of every tenant")]
pub(crate) async fn write_down(store: &Store, uses: &Uses) {
    let mut found: Vec<UserSecretUse> = uses
        .take()
        .into_iter()
        .map(|((tenant, kid), (at, address))| UserSecretUse { tenant, kid, at, address })
        .collect();
    // In one order, so that two servers never wait for each other, and in parts, so that nobody waits for them for long.
    found.sort_by(|one, other| (one.tenant, &one.kid).cmp(&(other.tenant, &other.kid)));
    let system = store.system(&SystemPermit::for_job("last-uses"));
    for part in found.chunks(AT_ONCE) {
        if let Err(error) = system.user_secrets_used(part.to_vec()).await {
            tracing::debug!(%error, "when tokens were last used is written down later");
            let part = part.iter().cloned();
            uses.put_back(part.map(|used| ((used.tenant, used.kid), (used.at, used.address))));
        }
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
