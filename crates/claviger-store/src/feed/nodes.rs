//! The servers that serve from this store: who they are, and what each of them has applied.
//!
//! A node writes of itself every few seconds, and so has a lease. What it has applied of the feed it writes only while
//! somebody waits for it. Whoever waits leaves a row after the change it waits for; a node whose snapshot sees that row has
//! applied all that was committed before it.

use std::time::Duration;

use claviger::clock::UnixMillis;

use crate::backend::Tx;
use crate::error::StoreError;
use crate::parts::system_store::SystemStore;
use crate::statement::statements;
use crate::value::{Row, Value, values};

/// How long a node counts as live after it was seen last. A node that is not believed to be fresh lets nobody in any more
/// after `max_staleness`, of which this is well over.
pub const LEASE_MILLIS: i64 = 30_000;
/// How long a wait goes on at most.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How often is looked whether all have applied it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the rows of those who wait are there, in milliseconds.
const WAITS_KEPT_MILLIS: i64 = 15_000;
/// How long a node that nobody hears of any more is shown, in milliseconds.
const NODES_KEPT_MILLIS: i64 = 24 * 60 * 60 * 1000;

statements! { "node";
    NODE_BEAT: System [Uuid, Text, Text, Text, Int, Int, Int, Text, Text, Text]
        "INSERT INTO node (node_id, name, version, settings_hash, started_at, seen_at, offset_millis, repeated, believed, held_keys)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (node_id) DO UPDATE SET seen_at = excluded.seen_at, offset_millis = excluded.offset_millis,
             settings_hash = excluded.settings_hash, repeated = excluded.repeated,
             believed = excluded.believed, held_keys = excluded.held_keys";
    NODE_LEAVE: System [Uuid] "DELETE FROM node WHERE node_id = $1";
    NODE_APPLIED: System [Uuid, Text, Text]
        "UPDATE node SET origin = $2, position = $3 WHERE node_id = $1";
    NODE_LIST: System []
        "SELECT node_id, name, version, settings_hash, started_at, seen_at, offset_millis, held_keys FROM node ORDER BY name, node_id";
    NODE_SWEEP: System [Int] "DELETE FROM node WHERE seen_at < $1";
    NODE_WAIT_SWEEP: System [Int] "DELETE FROM node_wait WHERE at < $1";
    NODE_WAIT: System [Int]
        "INSERT INTO node_wait (at) VALUES ($1) RETURNING CAST(xid AS TEXT)"
        postgres "INSERT INTO node_wait (at) VALUES ($1) RETURNING CAST(xid AS text)";
    /// The live nodes whose last word does not see the transaction `$1`.
    NODES_BEHIND: System [Text, Int]
        "SELECT name FROM node WHERE 1 = 0 AND name = $1 AND seen_at > $2"
        postgres "SELECT name FROM node WHERE seen_at > $2 AND NOT coalesce(
             origin = feed_origin() AND pg_visible_in_snapshot(CAST($1 AS xid8), CAST(position AS pg_snapshot)), false)
         ORDER BY name";
}

/// A node as it describes itself.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its id, made at its start.
    pub id: [u8; 16],
    /// What people know it by: host, and address of operations.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// A digest of the settings that decide: nodes of one fleet should have one.
    pub settings_hash: String,
    /// When it started, by its own clock.
    pub started_at: UnixMillis,
}

/// A node as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Its id.
    pub id: String,
    /// What people know it by.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// A digest of the settings that decide.
    pub settings_hash: String,
    /// When it started.
    pub started_at: UnixMillis,
    /// When it was heard of last, by the store's clock.
    pub seen_at: UnixMillis,
    /// How far its clock is behind the store's, in milliseconds; `None` if it does not know.
    pub offset_millis: Option<i64>,
    /// The names of the peppers and encryption keys that it holds; none of a program that does not say.
    pub keys: Vec<String>,
    /// Whether its lease runs.
    pub is_live: bool,
}

fn read(row: Row, now: UnixMillis) -> Result<NodeView, StoreError> {
    let mut columns = row.read();
    let (id, name, version, settings_hash) =
        (columns.text()?, columns.text()?, columns.text()?, columns.text()?);
    let (started_at, seen_at) = (columns.time()?, columns.time()?);
    let offset_millis = columns.maybe_time()?.map(|millis| millis.0);
    let keys = columns.maybe_text()?.unwrap_or_default();
    let keys = keys.split_whitespace().map(str::to_owned).collect();
    let is_live = now.0.saturating_sub(seen_at.0) < LEASE_MILLIS;
    Ok(NodeView { id, name, version, settings_hash, started_at, seen_at, offset_millis, keys, is_live })
}

impl SystemStore {
    /// Renews the node's lease; makes the node's row the first time.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn node_beat(&self, node: &Node, offset_millis: Option<i64>) -> Result<(), StoreError> {
        let node = node.clone();
        // A feed that is followed under this name says so when it is asked.
        let _known = self.inner.node.set(node.id);
        let (done, believed) = self.inner.failover.told();
        let held = self.inner.keyring.held();
        self.write(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let (name, version, hash) =
                (node.name.as_str(), node.version.as_str(), node.settings_hash.as_str());
            let id = Value::Uuid(node.id);
            let (done, believed) = (done.as_deref(), believed.as_deref());
            let own =
                values![id, name, version, hash, node.started_at, now, offset_millis, done, believed, &held];
            tx.run(&NODE_BEAT, own).await?;
            tx.run(&NODE_SWEEP, values![UnixMillis(now.0 - NODES_KEPT_MILLIS)]).await?;
            tx.run(&NODE_WAIT_SWEEP, values![UnixMillis(now.0 - WAITS_KEPT_MILLIS)]).await.map(drop)
        })
        .await
    }

    /// The node serves no more.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn node_leave(&self, node: &Node) -> Result<(), StoreError> {
        let id = Value::Uuid(node.id);
        self.write(async move |tx: &mut Tx<'_>| tx.run(&NODE_LEAVE, values![id.clone()]).await.map(drop))
            .await
    }

    /// The nodes that were heard of within a day, by name.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn node_list(&self) -> Result<Vec<NodeView>, StoreError> {
        self.read(async |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            tx.run(&NODE_LIST, &[]).await?.into_iter().map(|row| read(row, now)).collect()
        })
        .await
    }

    /// Waits until every live node has applied what was committed before the call, for [`LONGEST_WAIT`] at most. Gives the
    /// names of those that have not. An embedded store has one node, which has.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn wait_for_all(&self) -> Result<Vec<String>, StoreError> {
        if self.inner.backend.is_embedded() {
            return Ok(Vec::new());
        }
        let mark = self
            .write(async |tx: &mut Tx<'_>| {
                let now = tx.now().await?;
                let row = tx.run_one(&NODE_WAIT, values![now]).await?;
                row.ok_or(StoreError::Corrupt { what: "node" })?.read().text()
            })
            .await?;
        let began = self.inner.clock.boot();
        loop {
            let mark = mark.clone();
            let behind = self
                .read(async move |tx: &mut Tx<'_>| {
                    let live = UnixMillis(tx.now().await?.0 - LEASE_MILLIS);
                    let rows = tx.run(&NODES_BEHIND, values![&mark, live]).await?;
                    rows.into_iter().map(|row| row.read().text()).collect::<Result<Vec<_>, _>>()
                })
                .await?;
            let waited = self.inner.clock.boot().since(began);
            if behind.is_empty() || u128::from(waited) >= LONGEST_WAIT.as_millis() {
                return Ok(behind);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
