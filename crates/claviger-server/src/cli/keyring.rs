//! `claviger keyring`. The keyring is a file: these commands need no server, and a running one takes up a change
//! at its next start.

use std::path::Path;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use claviger::random::SystemRandom;
use claviger_store::Keyring;
use serde_json::json;

use crate::app;
use crate::config::Config;
use crate::management::Failure;

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
    pub(super) fn run(self, file: &Path, json: bool) -> Result<ExitCode, Failure> {
        let (config, source) = Config::load(file)?;
        let path = &config.keyring.file;
        if matches!(self, Self::Create) && path.exists() {
            return Err(Failure::new(format!("the keyring `{}` is there already", path.display()))
                .hint("a store has one; `claviger keyring add-pepper` adds to it"));
        }
        let mut keyring = match self {
            Self::Create => app::create_keyring(path, &SystemRandom)?.0,
            _ => Keyring::load(path)?,
        };
        match self {
            Self::Create | Self::Show => {}
            Self::AddPepper => {
                keyring.add_pepper(&SystemRandom)?;
                keyring.save(path)?;
            }
            Self::AddEncryptionKey => {
                keyring.add_encryption_key(&SystemRandom);
                keyring.save(path)?;
            }
            Self::UpstreamKey { api, to } => {
                let served = app::check(&config, &source)?;
                let served = served.iter().find(|served| served.api.name.as_str() == api);
                let served = served.ok_or_else(|| Failure::new(format!("there is no API called `{api}`")))?;
                let key = app::binding_key_of(&keyring, &served.api);
                crate::demo::write_private(&to, &URL_SAFE_NO_PAD.encode(key.expose()))?;
                print::value(&json!({ "api": api, "file": to.display().to_string() }), json);
                return Ok(ExitCode::SUCCESS);
            }
        }
        print::value(
            &json!({
                "file": path.display().to_string(),
                "peppers": keyring.pepper_ids(),
                "encryption_keys": keyring.encryption_key_ids(),
            }),
            json,
        );
        Ok(ExitCode::SUCCESS)
    }
}
