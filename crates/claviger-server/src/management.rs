//! What commands are carried out with, by a server or without one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use claviger::clock::{Clock, UnixMillis};
use claviger::id::{ApiName, OrgId, RealmName, TenantId};
use claviger::random::Random;
use claviger::{Api, Door};
use claviger_store::key_uses::KeyUse;
use claviger_store::operator::Operator;
use claviger_store::tenant_store::TenantStore;
use claviger_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// Why a command could not be carried out, and what to do about it. One line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// Without a hint.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = error.hint.clone();
        let what = ConfigError { hint: None, ..error }.to_string();
        Self { what, hint }
    }
}

/// What the system complained of, in its own words.
pub(crate) fn complaint(error: &std::io::Error) -> String {
    let text = error.to_string();
    // The number behind the words says nothing more.
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = Self::new(error.to_string());
        match error {
            StoreError::Unavailable { .. } => {
                failure.hint("nothing was changed; try again when the store answers")
            }
            StoreError::ClockOff(_) => {
                failure.hint("set this machine's clock right, or the database's, and try again")
            }
            StoreError::UnknownOutcome => failure.hint("look whether it is there before you try again"),
            StoreError::AlreadyExists { .. }
            | StoreError::NotFound { .. }
            | StoreError::Refused { .. }
            | StoreError::Invalid(_)
            | StoreError::Corrupt { .. }
            | StoreError::Setup(_) => failure,
        }
    }
}

/// Everything commands need.
#[derive(Debug, Clone)]
pub struct Management {
    /// The store.
    pub store: Store,
    /// The APIs of the settings.
    pub apis: Arc<HashMap<ApiName, ManagedApi>>,
    /// Who decides; for `explain`.
    pub door: Arc<Door>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
}

/// What commands need to know of an API.
#[derive(Debug, Clone)]
pub struct ManagedApi {
    /// What the door decides about.
    pub api: Arc<Api>,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// What its realm's signing keys are of.
    pub token_algorithm: claviger::key_set::Algorithm,
}

impl Management {
    /// The operator's part of the store.
    #[expect(
        clippy::disallowed_methods,
        reason = "a command on the operator's own machine, or over a socket that only they can open"
    )]
    pub fn operator(&self) -> Operator {
        self.store.operator(&claviger::danger::OperatorPermit::for_command("operator"))
    }

    /// What hangs on each key of the keyring.
    ///
    /// # Errors
    /// If the store does not answer.
    #[expect(clippy::disallowed_methods, reason = "the keyring is no tenant's")]
    pub async fn keyring_status(&self) -> Result<Vec<KeyUse>, Failure> {
        let system = self.store.system(&claviger::danger::SystemPermit::for_job("keyring"));
        Ok(system.keyring_status().await?)
    }

    /// The part of one tenant.
    ///
    /// # Errors
    /// If the text is no tenant id.
    pub fn tenant(&self, id: &str) -> Result<TenantStore, Failure> {
        let id: TenantId = parse(id, "--tenant")?;
        Ok(self.operator().tenant(id))
    }

    /// The API called `name`.
    ///
    /// # Errors
    /// If the settings have none of that name.
    pub fn api(&self, name: &str) -> Result<&ManagedApi, Failure> {
        let name: ApiName = parse(name, "--api")?;
        self.apis.get(&name).ok_or_else(|| {
            let mut known: Vec<String> = self.apis.keys().map(|name| format!("`{name}`")).collect();
            known.sort();
            Failure::new(format!("there is no API called `{name}`")).hint(format!(
                "the settings have {}",
                if known.is_empty() { "none".into() } else { known.join(", ") }
            ))
        })
    }

    /// The API called `name`, for somebody of this realm: what is made for another realm's API would let nobody in there, and
    /// whoever else believes the signature somebody who does not belong.
    ///
    /// # Errors
    /// If the settings have none of that name, or it is of another realm.
    pub fn api_in(&self, realm: &RealmName, name: &str) -> Result<&ManagedApi, Failure> {
        let api = self.api(name)?;
        if api.api.realm == *realm {
            return Ok(api);
        }
        let ours = self.apis.values().filter(|api| api.api.realm == *realm);
        let mut names: Vec<String> = ours.map(|api| format!("`{}`", api.api.name)).collect();
        names.sort();
        Err(Failure::new(format!(
            "the API `{name}` is of realm `{}`, and the tenant of realm `{realm}`",
            api.api.realm
        ))
        .hint(format!("the APIs of the tenant's realm are {}", names.join(", "))))
    }

    /// An API of the realm, for what all of them share.
    pub fn api_of_realm(&self, realm: &RealmName) -> Option<&ManagedApi> {
        self.apis.values().filter(|api| api.api.realm == *realm).min_by_key(|api| api.api.name.clone())
    }
}

/// Reads an argument.
///
/// # Errors
/// Naming the argument, if it is not of the form it must have.
pub fn parse<T>(text: &str, argument: &str) -> Result<T, Failure>
where
    T: std::str::FromStr<Err: fmt::Display>,
{
    text.parse().map_err(|error| Failure::new(format!("`{argument} {text}`: {error}")))
}

/// Reads an organization's id.
///
/// # Errors
/// If it is none.
pub fn org(text: &str) -> Result<OrgId, Failure> {
    parse(text, "--org")
}

/// A time as commands show it: RFC 3339, UTC.
pub fn shown(time: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| time.0.to_string(), |time| format!("{time:.3}"))
}
