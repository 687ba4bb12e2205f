//! Who changes something, for the audit.

use std::net::IpAddr;

use claviger::Principal;
use claviger::id::{AccountId, KeyId};

/// Who changes something, from where, and by which credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub(crate) name: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) credential: Option<String>,
}

impl Actor {
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), address: None, credential: None }
    }

    /// Whoever a request is from.
    pub fn principal(principal: &Principal) -> Self {
        let actor = match (principal.key(), principal.account()) {
            (Some(key), _) => Self::key(key),
            (None, Some(account)) => Self::account(account),
            (None, None) => Self::named("unknown"),
        };
        actor.with_credential(&principal.credential_id())
    }

    /// A person.
    pub fn account(account: AccountId) -> Self {
        Self::named(format!("account:{account}"))
    }

    /// Somebody of whom nobody knows yet who they are, at an API's own host.
    pub fn visitor() -> Self {
        Self::named("visitor")
    }

    /// An operator of this server.
    pub fn operator(name: &str) -> Self {
        Self::named(format!("operator:{name}"))
    }

    /// An API key.
    pub fn key(key: KeyId) -> Self {
        Self { credential: Some(key.to_string()), ..Self::named(format!("key:{key}")) }
    }

    /// The same from `address`.
    #[must_use]
    pub fn from(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The same by the credential with the public id `credential`: a session, a `kid`, never a secret.
    #[must_use]
    pub fn with_credential(self, credential: &str) -> Self {
        Self { credential: Some(credential.to_owned()), ..self }
    }
}
