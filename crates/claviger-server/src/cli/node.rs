//! `claviger node`.

use clap::Subcommand;
use serde_json::json;
use std::process::ExitCode;

use super::print;
use crate::asked::Asked;
use crate::config::Config;
use crate::control::Way;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Who serves from the store, with what version and settings
    ///
    /// A server that was not heard of for 30 seconds is not live; after a day it is not listed. Servers whose `settings`
    /// differ decide differently. `behind_millis` is how far a server's clock is behind the store's: over 2 seconds it is
    /// not ready. `keys` are the peppers and encryption keys that it holds: a new one is used once every live server holds it.
    List,
}

impl NodeCommand {
    pub(super) fn run(self, way: &Way, json: bool) -> Result<ExitCode, Failure> {
        let Self::List = self;
        if let Way::Home(file) = way
            && Config::load(file)?.0.store.url.sqlite_path().is_some()
        {
            return Err(Failure::new("an embedded store has one server, and keeps no list")
                .hint("`claviger doctor` looks at it"));
        }
        let asked = Asked::new("node.list", json!({}));
        print::value(&crate::control::ask(way, &asked, false)?.value, json);
        Ok(ExitCode::SUCCESS)
    }
}
