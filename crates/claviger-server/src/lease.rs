//! What a server tells the others of itself, every few seconds.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use claviger::danger::SystemPermit;
use claviger_store::Store;
use claviger_store::memory::Memory;
use claviger_store::nodes::Node;

use crate::config::Config;
use crate::world::World;

/// How often a lease is renewed.
const EVERY: Duration = Duration::from_secs(5);

/// A server's lease.
#[derive(Debug)]
pub(crate) struct Lease {
    store: Store,
    memory: Arc<Memory>,
    node: Mutex<Node>,
}

impl Lease {
    /// Of this process, which answers for its health at `ops`.
    pub(crate) fn new(
        store: Store,
        memory: Arc<Memory>,
        config: &Config,
        world: &World,
        ops: SocketAddr,
    ) -> Self {
        let mut id = [0; 16];
        world.random.fill(&mut id);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let node = Node {
            id,
            name: format!("{host}/{ops}"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            settings_hash: settings_hash(config),
            started_at: world.clock.now(),
        };
        Self { store, memory, node: Mutex::new(node) }
    }

    fn node(&self) -> Node {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says from the next time on that it serves by these settings.
    pub(crate) fn serves_by(&self, config: &Config) {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).settings_hash = settings_hash(config);
    }

    /// Tells the store that this server is there.
    #[expect(clippy::disallowed_methods, reason = "which servers there are is no tenant's")]
    pub(crate) async fn renew(&self) {
        let offset = self.memory.store_time_offset_millis();
        let system = self.store.system(&SystemPermit::for_job("lease"));
        if let Err(error) = system.node_beat(&self.node(), offset).await {
            tracing::warn!(%error, "the others could not be told that this server is there");
        }
    }

    /// Renews until it is dropped.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut interval = tokio::time::interval(EVERY);
        interval.tick().await;
        loop {
            interval.tick().await;
            self.renew().await;
        }
    }

    /// Tells the store that this server serves no more.
    #[expect(clippy::disallowed_methods, reason = "which servers there are is no tenant's")]
    pub(crate) async fn end(&self) {
        let system = self.store.system(&SystemPermit::for_job("lease"));
        if let Err(error) = system.node_leave(&self.node()).await {
            tracing::warn!(%error, "the others could not be told that this server goes");
        }
    }
}

/// A digest of the settings that decide: of the APIs and what they say, and of nothing that differs from machine to machine.
fn settings_hash(config: &Config) -> String {
    let text = format!("{:?} {:?}", config.api, config.directory);
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
