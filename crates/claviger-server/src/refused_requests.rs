//! Writes what good credentials were refused into their tenants' audits: every second, off the path of every request.

use std::sync::Arc;
use std::time::Duration;

use claviger::clock::Clock;
use claviger::danger::OperatorPermit;
use claviger_store::Store;

use crate::gateway::Refusals;

/// How often is looked: what a crash loses.
const EVERY: Duration = Duration::from_secs(1);

/// Writes what is due; all that there is, if these are the last words of a server.
#[expect(clippy::disallowed_methods, reason = "what is refused is of every tenant")]
pub(crate) async fn write_down(store: &Store, refusals: &Refusals, clock: &dyn Clock, all: bool) {
    let operator = store.operator(&OperatorPermit::for_command("refusals"));
    for refused in refusals.take(clock.now(), all) {
        if let Err(error) = operator.tenant(refused.who.tenant).requests_refused(&refused).await {
            // A sample is missing, and the log has each of them.
            tracing::warn!(%error, count = refused.count, "refusals could not be written into the audit");
        }
    }
}

/// Does it, until the task is dropped.
pub(crate) async fn keep(store: Store, refusals: Arc<Refusals>, clock: Arc<dyn Clock>) {
    let mut interval = tokio::time::interval(EVERY);
    loop {
        interval.tick().await;
        write_down(&store, &refusals, &*clock, false).await;
    }
}
