//! What was found out about a credential and does not change: its digest, or that its signature was good.

use std::sync::Arc;

use crate::api_key::KeyDigest;
use crate::directory::{Found, UserSecretRecord};
use crate::id::{AccountId, Environment};

use super::claims::IdentityClaims;

/// Made by [`prove`](super::Authenticator::prove), kept by the [`Principal`](super::Principal), and asked about by
/// [`stand`](super::Authenticator::stand) as often as need be. Only this folder can make one, and only the principal of
/// one that stood can be asked about again.
#[derive(Debug)]
pub(crate) enum Proof {
    Key(KeyProof),
    Identity(IdentityProof),
    User(UserProof),
}

/// A whole key was shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyProof {
    pub(super) digest: KeyDigest,
    /// As the key itself says.
    pub(super) environment: Environment,
}

/// A token's signature was good, and it says this.
#[derive(Debug, Clone)]
pub(crate) struct IdentityProof {
    pub(super) claims: Arc<IdentityClaims>,
    /// Whether that was known before.
    pub(super) is_remembered: bool,
}

/// A token was signed with the secret that it names, and says whose it is.
#[derive(Debug, Clone)]
pub(crate) struct UserProof {
    pub(super) kid: Box<str>,
    pub(super) subject: AccountId,
    /// The secret as it was found for the signature; nothing once time has passed.
    pub(super) found: Option<Found<UserSecretRecord>>,
}

impl Proof {
    pub(super) fn key(digest: KeyDigest, environment: Environment) -> Self {
        Self::Key(KeyProof { digest, environment })
    }

    pub(super) fn remembered(claims: Arc<IdentityClaims>) -> Self {
        Self::Identity(IdentityProof { claims, is_remembered: true })
    }

    pub(super) fn verified(claims: IdentityClaims) -> Self {
        Self::Identity(IdentityProof { claims: Arc::new(claims), is_remembered: false })
    }

    /// The same, to be asked about anew.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Key(key) => Self::Key(*key),
            Self::Identity(identity) => {
                Self::Identity(IdentityProof { is_remembered: true, ..identity.clone() })
            }
            Self::User(user) => Self::User(UserProof { found: None, ..user.clone() }),
        }
    }
}
