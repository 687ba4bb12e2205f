//! The servers on a store.

use claviger_store::StoreError;
use claviger_store::nodes::NodeView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operation::{Call, operations};
use super::page::Page;
use super::{Management, shown};
use crate::failure::Failure;

/// All servers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AllNodes {}

/// A server.
#[derive(Debug, Serialize, ToSchema)]
struct NodeShown {
    /// Its host and where its health is answered for.
    node: String,
    /// Whether it was heard of within 30 seconds.
    live: bool,
    /// The version of the program.
    version: String,
    /// A digest of the settings that decide: servers whose are different decide differently.
    settings: String,
    /// Since when it serves.
    started_at: String,
    /// When it was last heard of.
    seen_at: String,
    /// How far its clock is behind the store's, in milliseconds.
    behind_millis: Option<i64>,
    /// The peppers and encryption keys that it holds.
    keys: String,
}

operations! {
    /// List who serves from the store, with what version and settings
    "node.list": GET "/v1/nodes" for Reader = list(AllNodes) -> Page<NodeShown>;
}

impl Management {
    /// Waits until every server has applied what was changed so far, for ten seconds at most. Gives the names of those that have
    /// not.
    ///
    /// # Errors
    /// If the store does not answer.
    #[expect(clippy::disallowed_methods, reason = "which servers there are is no tenant's")]
    pub(crate) async fn behind(&self) -> Result<Vec<String>, StoreError> {
        self.store.system(&claviger::danger::SystemPermit::for_job("wait")).wait_for_all().await
    }
}

#[expect(clippy::disallowed_methods, reason = "which servers there are is no tenant's")]
async fn list(call: &Call, _: AllNodes) -> Result<Page<NodeShown>, Failure> {
    call.caller.reaches_everything()?;
    let system = call.management.store.system(&claviger::danger::SystemPermit::for_job("nodes"));
    let one = |node: &NodeView| NodeShown {
        node: node.name.clone(),
        live: node.is_live,
        version: node.version.clone(),
        settings: node.settings_hash.clone(),
        started_at: shown(node.started_at),
        seen_at: shown(node.seen_at),
        behind_millis: node.offset_millis,
        keys: node.keys.join(" "),
    };
    Ok(Page::whole(system.node_list().await?.iter().map(one).collect()))
}
