//! `claviger node`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use claviger::danger::SystemPermit;
use claviger::random::SystemRandom;
use claviger_store::nodes::NodeView;
use claviger_store::{Keyring, Store};
use serde_json::{Value, json};

use crate::clock::MachineClock;
use crate::config::Config;
use crate::core::{cannot_open, store_settings};
use crate::management::{Failure, shown};

use super::print;

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Who serves from the store, with what version and settings
    ///
    /// A server that was not heard of for 30 seconds is not live; after a day it is not listed. Servers whose `settings`
    /// differ decide differently. `behind_millis` is how far a server's clock is behind the store's: over 2 seconds it is
    /// not ready. `keys` are the peppers and encryption keys that it holds: a new one is used once every live server holds it.
    List,
}

fn view(node: &NodeView) -> Value {
    json!({
        "node": node.name,
        "live": node.is_live,
        "version": node.version,
        "settings": node.settings_hash,
        "started_at": shown(node.started_at),
        "seen_at": shown(node.seen_at),
        "behind_millis": node.offset_millis,
        "keys": node.keys.join(" "),
    })
}

impl NodeCommand {
    #[expect(clippy::disallowed_methods, reason = "which servers there are is no tenant's")]
    pub(super) fn run(self, file: &Path, json: bool) -> Result<ExitCode, Failure> {
        let Self::List = self;
        let (config, _) = Config::load(file)?;
        if config.store.url.sqlite_path().is_some() {
            return Err(Failure::new("an embedded store has one server, and keeps no list")
                .hint("`claviger doctor` looks at it"));
        }
        let keyring = Keyring::load(&config.keyring.file)?;
        let settings = store_settings(&config);
        let runtime = super::store::runtime()?;
        let opened = Store::open(&settings, keyring, MachineClock::new(), Arc::new(SystemRandom));
        let store = runtime.block_on(opened).map_err(|error| cannot_open(&config, error))?;
        let nodes = runtime.block_on(async {
            let nodes = store.system(&SystemPermit::for_job("nodes")).node_list().await;
            store.close().await;
            nodes
        })?;
        print::value(&nodes.iter().map(view).collect::<Vec<_>>().into(), json);
        Ok(ExitCode::SUCCESS)
    }
}
