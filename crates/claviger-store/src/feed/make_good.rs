//! After another server has taken over, no node believes it before all have done their part.
//!
//! A server that took over may lack withdrawals that were acknowledged. The node that acknowledged them does them again
//! (`withdrawals/repeat.rs`); until then any other node would let in whom the new server knows as good. So each node says in its row
//! for which timeline it has done its own again, and believes a timeline only once all have said so that were live when
//! the last one ended, or have had [`GRACE_MILLIS`] for it.

use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;
use crate::feed::nodes::LEASE_MILLIS;
use crate::parts::inner::Inner;
use crate::statement::statements;
use crate::value::{Value, values};
use crate::withdrawals::repeat::repeat_missing;

/// How long the others are waited for, in milliseconds, by this node's boot clock. One that has gone with the old server cannot
/// do its part before it is back.
const GRACE_MILLIS: u64 = 10_000;

statements! { "node";
    NODE_REPEATED: System [Uuid, Text] "UPDATE node SET repeated = $2 WHERE node_id = $1";
    /// The other nodes that speak of another timeline than `$2`, and were seen no longer than `$3` before the last that does;
    /// none once somebody believes `$2`, as that one has waited for them.
    NODES_NOT_REPEATED: System [Uuid, Text, Int]
        "SELECT n.name FROM node AS n WHERE n.node_id <> $1 AND n.repeated <> $2
             AND n.seen_at > (SELECT max(o.seen_at) FROM node AS o WHERE o.repeated <> $2) - $3
             AND NOT EXISTS (SELECT 1 FROM node AS b WHERE b.believed = $2)
         ORDER BY n.name";
}

/// Server, table and timeline of a feed's origin: what a failover changes, and a crash does not.
fn timeline(origin: &str) -> String {
    origin.split('/').take(3).collect::<Vec<_>>().join("/")
}

/// Does this node's own withdrawals again that are lacking, once at each `origin`; and where that is of another timeline than
/// the one believed, waits for the others to have done theirs.
///
/// # Errors
/// If somebody has not done so: then nothing may be believed yet. If the store does not answer.
pub(crate) async fn make_good(inner: &Inner, origin: &str) -> Result<(), StoreError> {
    let timeline = timeline(origin);
    let known = || inner.failover.known();
    if inner.backend.is_embedded() {
        return Ok(());
    }
    // Whoever waits for others asks many times a second: the file is read for the first of them.
    if known().at.as_deref() != Some(origin) {
        repeat_missing(inner).await?;
        known().at = Some(origin.to_owned());
    }
    if known().believed.as_ref() == Some(&timeline) {
        return Ok(());
    }
    if known().done.replace(timeline.clone()).as_ref() != Some(&timeline) {
        known().waiting_since = None;
    }
    let job = Bound::System("failover");
    let node = inner.node.get().copied();
    if let Some(node) = node {
        let said = timeline.clone();
        let say = async move |tx: &mut Tx<'_>| {
            tx.run(&NODE_REPEATED, values![Value::Uuid(node), &said]).await.map(drop)
        };
        inner.run(job, Mode::Write, say).await?;
    }
    let asked = timeline.clone();
    let behind = inner
        .run(job, Mode::Read, async move |tx: &mut Tx<'_>| {
            let params = values![Value::Uuid(node.unwrap_or_default()), &asked, LEASE_MILLIS];
            let rows = tx.run(&NODES_NOT_REPEATED, params).await?;
            rows.into_iter().map(|row| row.read().text()).collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let now = inner.store_clock().boot().0;
    let mut known = known();
    let waited = now.saturating_sub(*known.waiting_since.get_or_insert(now));
    if !behind.is_empty() {
        let names = behind.join("`, `");
        if waited < GRACE_MILLIS {
            return Err(StoreError::unavailable(format!(
                "another server has taken over, and `{names}` has not done its withdrawals again"
            )));
        }
        tracing::error!(
            servers = names,
            "another server has taken over, and some have not done their withdrawals again in time; what they alone had acknowledged may be lost until they are back"
        );
    }
    known.waiting_since = None;
    known.believed = Some(timeline);
    Ok(())
}
