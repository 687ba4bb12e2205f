//! `claviger keyring`. The keyring is a file: most of these commands need no server, and a running one takes up a change
//! at its next start. What hangs on a key is for the store to say.

use std::path::Path;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use claviger::random::SystemRandom;
use claviger_store::Keyring;
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::binding_keys::binding_key_of;
use crate::checks;
use crate::config::Config;
use crate::control::{self, Done, Way};
use crate::failure::Failure;

use super::print;

#[derive(Debug, Subcommand)]
pub(crate) enum KeyringCommand {
    /// Make the keyring of a new store; an embedded store gets its own at its first start
    Create,
    /// Show which peppers and encryption keys there are, never what they are
    Show,
    /// Add a pepper, which new API keys are stored under
    AddPepper,
    /// Add an encryption key, which new secrets are sealed under
    AddEncryptionKey,
    /// Say what hangs on each pepper and encryption key: how many live API keys' secrets, or tenants and signing keys
    Status,
    /// Take a key that nothing hangs on any more out of the keyring
    DropKey {
        /// Its name, such as k1 or e1
        #[arg(value_name = "KEY")]
        name: String,
    },
    /// Write the key with which an API's upstream checks X-Claviger-Binding to a file only you can read
    UpstreamKey {
        /// The API
        #[arg(long)]
        api: String,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        to: std::path::PathBuf,
    },
}

impl KeyringCommand {
    pub(super) fn run(self, way: &Way, json: bool) -> Result<ExitCode, Failure> {
        if matches!(self, Self::Status) {
            print::value(&status(way)?.into(), json);
            return Ok(ExitCode::SUCCESS);
        }
        let (config, source) = Config::load(way.home()?)?;
        let path = &config.keyring.file;
        match &self {
            Self::DropKey { name } => {
                let keyring = drop_key(way, path, name)?;
                print::value(&shown(path, &keyring), json);
                return Ok(ExitCode::SUCCESS);
            }
            Self::Status
            | Self::Create
            | Self::Show
            | Self::AddPepper
            | Self::AddEncryptionKey
            | Self::UpstreamKey { .. } => {}
        }
        if matches!(self, Self::Create) && path.exists() {
            return Err(Failure::new(format!("the keyring `{}` is there already", path.display()))
                .hint("a store has one; `claviger keyring add-pepper` adds to it"));
        }
        let mut keyring = match self {
            Self::Create => crate::core::create_keyring(path, &SystemRandom)?.0,
            _ => Keyring::load(path)?,
        };
        match self {
            Self::Create | Self::Show | Self::Status | Self::DropKey { .. } => {}
            Self::AddPepper => {
                keyring.add_pepper(&SystemRandom)?;
                keyring.save(path)?;
            }
            Self::AddEncryptionKey => {
                keyring.add_encryption_key(&SystemRandom);
                keyring.save(path)?;
            }
            Self::UpstreamKey { api, to } => {
                let served = checks::check(&config, &source)?;
                let served = served.iter().find(|served| served.api.name.as_str() == api);
                let served = served.ok_or_else(|| Failure::new(format!("there is no API called `{api}`")))?;
                let key = binding_key_of(&keyring, &served.api);
                crate::private_files::write_private(&to, &URL_SAFE_NO_PAD.encode(key.expose()))?;
                print::value(&json!({ "api": api, "file": to.display().to_string() }), json);
                return Ok(ExitCode::SUCCESS);
            }
        }
        print::value(&shown(path, &keyring), json);
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(path: &Path, keyring: &Keyring) -> Value {
    json!({
        "file": path.display().to_string(),
        "peppers": keyring.pepper_ids(),
        "encryption_keys": keyring.encryption_key_ids(),
    })
}

/// What the store says of each key.
fn status(way: &Way) -> Result<Vec<Value>, Failure> {
    let asked = Asked::new("keyring.status", json!({}));
    let Done { value, .. } = control::ask(way, &asked, false)?;
    Ok(value.as_array().cloned().unwrap_or_default())
}

fn drop_key(way: &Way, path: &Path, name: &str) -> Result<Keyring, Failure> {
    let keys = status(way)?;
    let known = keys.iter().find(|key| key["key"] == name);
    if known.is_some_and(|key| key["current"] == true) {
        // A newer one may stand in the file already: it is used once every live server holds it.
        return Err(Failure::new(format!("`{name}` is in use: what is made now hangs on it"))
            .hint("restart the servers with the newer key; `claviger keyring status` says when that is the current one"));
    }
    match known.and_then(|key| key["uses"].as_i64()) {
        Some(0) | None => Ok(Keyring::drop_key(path, name)?),
        Some(uses) => Err(Failure::new(format!("`{name}` is needed: {uses} hang on it"))
            .hint("rotate or revoke the API keys of an old pepper; what an old encryption key sealed is sealed anew by the servers themselves")),
    }
}
