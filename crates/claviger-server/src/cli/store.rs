//! `claviger store`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use claviger::random::SystemRandom;
use claviger_store::{Keyring, Store, SystemPermit};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::clock::MachineClock;
use crate::config::Config;
use crate::core::{cannot_open, store_settings};
use crate::failure::{Failure, complaint};

use super::print;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Make the roles and tables of a PostgreSQL store, as `store.owner_url`
    Prepare,
    /// Open the store as a server would, check its walls and its keyring, and close it
    ///
    /// An embedded store that a server has open is checked by that server, when it starts.
    Check,
    /// Let a database be served that was restored from a dump, or is another server's
    ///
    /// Until then every server on it answers 503: what was revoked after the dump was made is alive in it. All sessions and
    /// identity tokens of every tenant are ended; look at the API keys and user tokens yourself.
    Accept,
}

impl StoreCommand {
    pub(super) fn run(self, file: &Path, json: bool) -> Result<ExitCode, Failure> {
        let (config, _) = Config::load(file)?;
        let value = match self {
            Self::Prepare => {
                if config.store.url.sqlite_path().is_some() {
                    return Err(Failure::new("an embedded store prepares itself").hint("just serve"));
                }
                let owner = config.store.owner_url.as_ref().ok_or_else(|| {
                    Failure::new("`store.owner_url` is not set")
                        .hint("give it as CLAVIGER_STORE_OWNER_URL, so that its password stands in no file")
                })?;
                runtime()?.block_on(Store::prepare(owner.expose(), &store_settings(&config)))?;
                json!({ "store": config.store.url.shown(), "state": "prepared" })
            }
            Self::Accept => accept(&config)?,
            Self::Check => {
                check(&config)?;
                json!({ "store": config.store.url.shown(), "walls": "standing", "keyring": "the store's own" })
            }
        };
        print::value(&value, json);
        Ok(ExitCode::SUCCESS)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the feed is no tenant's, and the operator ends all sessions here"
)]
fn accept(config: &Config) -> Result<serde_json::Value, Failure> {
    let keyring = Keyring::load(&config.keyring.file)?;
    let settings = store_settings(config);
    if config.store.url.sqlite_path().is_some() {
        return Err(Failure::new("an embedded store needs no accepting").hint("put the file back, and serve"));
    }
    let runtime = runtime()?;
    let opened = Store::open(&settings, keyring, MachineClock::new(), Arc::new(SystemRandom));
    let store = runtime.block_on(opened).map_err(|error| cannot_open(config, error))?;
    let accepted = runtime.block_on(async {
        let accepted = store.system(&SystemPermit::for_job("accept")).restored_accept().await;
        store.close().await;
        accepted
    })?;
    let shown = config.store.url.shown();
    Ok(match accepted {
        Some(accepted) => {
            json!({ "store": shown, "state": "accepted", "tenants_whose_tokens_were_ended": accepted.tenants })
        }
        None => json!({ "store": shown, "state": "at home; there was nothing to accept" }),
    })
}

/// Opens the store, which checks it, and closes it again. Makes none.
#[expect(clippy::disallowed_methods, reason = "where the feed is at home is no tenant's")]
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    if let Some(file) = config.store.url.sqlite_path()
        && !file.exists()
    {
        return Err(Failure::new(format!("there is no store `{}` yet", config.store.url.shown()))
            .hint("the first `claviger serve`, or the first command that changes something, makes it"));
    }
    let keyring = Keyring::load(&config.keyring.file)?;
    let settings = store_settings(config);
    let runtime = runtime()?;
    let opened = Store::open(&settings, keyring, MachineClock::new(), Arc::new(SystemRandom));
    let store = runtime.block_on(opened).map_err(|error| cannot_open(config, error))?;
    let is_at_home = runtime.block_on(async {
        let is_at_home = store.system(&SystemPermit::for_job("check")).is_at_home().await;
        store.close().await;
        is_at_home
    })?;
    if is_at_home {
        return Ok(());
    }
    Err(Failure::new("the database was restored, or is another server's: every server on it answers 503")
        .hint("look at it, then run `claviger store accept`"))
}

pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("no runtime could be made ({})", complaint(&error))))
}
