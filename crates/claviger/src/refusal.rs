//! Why a decision does not let a request in: the only place where a reason becomes a status and a code.
//!
//! A refusal has two audiences. The client gets [`Refusal::status`], [`Refusal::code`] and a message that says
//! no more than its code. The log gets [`Display`](fmt::Display), which says what was found, and [`Refusal::who`].

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use crate::code::Code;
use crate::credential::CredentialKind;
use crate::directory::DirectoryError;
use crate::grants::Access;
use crate::id::{AccountId, Environment, KeyId, OrgId, Resource, TenantId};
use crate::limit_rule::LimitState;
use crate::network::Client;

/// A request that is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    who: Option<Box<Who>>,
    limit: Option<Box<LimitState>>,
}

/// Whose credential it was, as far as it showed: ids to be written down. No proof of anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The kind of credential.
    pub kind: CredentialKind,
    /// The tenant.
    pub tenant: TenantId,
    /// The organization.
    pub org: OrgId,
    /// Live or sandbox.
    pub environment: Environment,
    /// The credential's public name, which may stand in logs as it is: visible ASCII without quotes or backslashes.
    pub credential: Box<str>,
    /// The key, if it is one.
    pub key: Option<KeyId>,
    /// The account, if it is a person's token and the account is known.
    pub account: Option<AccountId>,
}

/// What was found, for the log and for `explain` alone.
pub type Why = Cow<'static, str>;

/// Everything a decision refuses a request for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The request line or a header is not what HTTP allows, or could be read in two ways.
    MalformedRequest {
        /// What is wrong, for the client too.
        why: &'static str,
    },
    /// There is no credential.
    NoCredential,
    /// There is more than one.
    AmbiguousCredential,
    /// It has the shape of no credential this server knows.
    MalformedCredential {
        /// What is wrong, for the log alone.
        why: &'static str,
    },
    /// This API takes no such credential.
    CredentialNotAccepted {
        /// What was shown.
        kind: CredentialKind,
    },
    /// It is not, or is no longer, good.
    BadCredential {
        /// What was found, for the log alone.
        why: Why,
    },
    /// The request came in clear.
    HttpsRequired,
    /// The token names no tenant or organization.
    IdentityClaimsMissing,
    /// The identity headers are required and missing, doubled or unreadable.
    IdentityHeaders {
        /// What is wrong.
        why: &'static str,
    },
    /// The request names another tenant than the credential's.
    OtherTenant,
    /// The request names another organization than the credential's.
    OtherOrg,
    /// The tenant is suspended.
    TenantSuspended,
    /// The organization is suspended.
    OrgSuspended,
    /// The account is suspended.
    AccountSuspended,
    /// The member was invited and has not accepted, or is suspended.
    MemberNotActive,
    /// The account's e-mail address was never proved and has to be.
    EmailNotVerified,
    /// The role is not one that this API knows.
    RoleUnknown,
    /// The role or scope does not reach that far.
    AccessMissing {
        /// On what; `None` for a path that no route names.
        resource: Option<Resource>,
        /// What would be needed.
        needed: Access,
    },
    /// This route takes other kinds of credential.
    KindNotAllowedHere {
        /// What was shown.
        kind: CredentialKind,
    },
    /// The key may not be used from there.
    NetworkNotAllowed {
        /// Where the request came from.
        from: Client,
    },
    /// There is no such path.
    NoSuchRoute,
    /// The path is there, the method is not.
    MethodNotAllowed {
        /// The methods it has, as in the `Allow` header (RFC 9110, section 10.2.1).
        allow: Box<str>,
    },
    /// The target is longer than this server takes.
    TargetTooLong,
    /// A limit is used up.
    TooMany(LimitState),
    /// This address has shown too much that does not exist.
    TooManyLookups {
        /// When it may try again.
        retry_after_seconds: u64,
    },
    /// The directory could not say.
    Directory(DirectoryError),
    /// Something is wrong with this server.
    Internal {
        /// What, for the log alone.
        why: &'static str,
    },
}

impl Reason {
    /// A credential that is not good, and what was found.
    pub(crate) fn bad(why: impl Into<Why>) -> Self {
        Self::BadCredential { why: why.into() }
    }

    /// The status a client sees.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MalformedRequest { .. } => StatusCode::BAD_REQUEST,
            Self::NoCredential
            | Self::AmbiguousCredential
            | Self::MalformedCredential { .. }
            | Self::CredentialNotAccepted { .. }
            | Self::BadCredential { .. } => StatusCode::UNAUTHORIZED,
            Self::HttpsRequired
            | Self::IdentityClaimsMissing
            | Self::IdentityHeaders { .. }
            | Self::OtherTenant
            | Self::OtherOrg
            | Self::TenantSuspended
            | Self::OrgSuspended
            | Self::AccountSuspended
            | Self::MemberNotActive
            | Self::EmailNotVerified
            | Self::RoleUnknown
            | Self::AccessMissing { .. }
            | Self::KindNotAllowedHere { .. }
            | Self::NetworkNotAllowed { .. } => StatusCode::FORBIDDEN,
            Self::NoSuchRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooMany(_) | Self::TooManyLookups { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Directory(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code a client sees and programs compare.
    pub fn code(&self) -> Code {
        match self {
            Self::MalformedRequest { .. } => Code::BadRequest,
            Self::NoCredential
            | Self::AmbiguousCredential
            | Self::MalformedCredential { .. }
            | Self::CredentialNotAccepted { .. }
            | Self::BadCredential { .. } => Code::Unauthorized,
            Self::HttpsRequired => Code::HttpsRequired,
            Self::IdentityClaimsMissing | Self::IdentityHeaders { .. } => Code::IdentityMissing,
            Self::OtherTenant | Self::OtherOrg => Code::IdentityMismatch,
            Self::TenantSuspended
            | Self::OrgSuspended
            | Self::AccountSuspended
            | Self::MemberNotActive
            | Self::EmailNotVerified => Code::NotActive,
            Self::RoleUnknown | Self::AccessMissing { .. } | Self::KindNotAllowedHere { .. } => {
                Code::Forbidden
            }
            Self::NetworkNotAllowed { .. } => Code::NetworkNotAllowed,
            Self::NoSuchRoute => Code::NotFound,
            Self::MethodNotAllowed { .. } => Code::MethodNotAllowed,
            Self::TargetTooLong => Code::UriTooLong,
            Self::TooMany(_) | Self::TooManyLookups { .. } => Code::RateLimited,
            Self::Directory(_) => Code::Unavailable,
            Self::Internal { .. } => Code::Internal,
        }
    }
}

/// For the log: what was found. Never shown to a client.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedRequest { why } => write!(f, "malformed request: {why}"),
            Self::NoCredential => f.write_str("no credential"),
            Self::AmbiguousCredential => f.write_str("more than one credential"),
            Self::MalformedCredential { why } => write!(f, "malformed credential: {why}"),
            Self::CredentialNotAccepted { kind } => write!(f, "this API takes no {}", kind.as_str()),
            Self::BadCredential { why } => write!(f, "bad credential: {why}"),
            Self::HttpsRequired => f.write_str(
                "the request came over plain HTTP, or through a proxy that no setting trusts (`server.trusted_proxies`)",
            ),
            Self::IdentityClaimsMissing => f.write_str("the token names no tenant or organization"),
            Self::IdentityHeaders { why } => write!(f, "identity headers: {why}"),
            Self::OtherTenant => f.write_str("the request names another tenant than its credential"),
            Self::OtherOrg => f.write_str("the request names another organization than its credential"),
            Self::TenantSuspended => f.write_str("the tenant is suspended"),
            Self::OrgSuspended => f.write_str("the organization is suspended"),
            Self::AccountSuspended => f.write_str("the account is suspended"),
            Self::MemberNotActive => f.write_str("the member is invited or suspended"),
            Self::EmailNotVerified => f.write_str("the account's e-mail address is not verified"),
            Self::RoleUnknown => f.write_str("the role is not one of this API's"),
            Self::AccessMissing { resource: Some(resource), needed } => {
                write!(f, "needs `{needed}` on `{resource}`")
            }
            Self::AccessMissing { resource: None, needed } => {
                write!(f, "needs `{needed}` on everything, as no route names the path")
            }
            Self::KindNotAllowedHere { kind } => write!(f, "the route takes no {}", kind.as_str()),
            Self::NetworkNotAllowed { from } => write!(f, "the key may not be used from {from}"),
            Self::NoSuchRoute => f.write_str("no such route"),
            Self::MethodNotAllowed { allow } => write!(f, "the route has only {allow}"),
            Self::TargetTooLong => f.write_str("the target is too long"),
            Self::TooMany(state) => write!(f, "limit `{}` is used up", state.name),
            Self::TooManyLookups { .. } => f.write_str("this address has shown too much that does not exist"),
            Self::Directory(error) => write!(f, "{error}"),
            Self::Internal { why } => write!(f, "internal: {why}"),
        }
    }
}

impl From<DirectoryError> for Reason {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

impl Refusal {
    /// A refusal for `reason`.
    pub fn new(reason: Reason) -> Self {
        Self { reason, who: None, limit: None }
    }

    /// The same, of a request whose credential is `who`'s. What is known already stays.
    #[must_use]
    pub(crate) fn of(mut self, who: impl FnOnce() -> Who) -> Self {
        self.who.get_or_insert_with(|| Box::new(who()));
        self
    }

    /// The same, of a request whose credential's limits stand like this.
    #[must_use]
    pub(crate) fn at_limit(mut self, state: Option<LimitState>) -> Self {
        self.limit = state.map(Box::new);
        self
    }

    /// The limit that refused the request, or else the one of its credential that is nearest to its end.
    pub fn limit(&self) -> Option<&LimitState> {
        match &self.reason {
            Reason::TooMany(state) => Some(state),
            _ => self.limit.as_deref(),
        }
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Whose credential it was, where it got far enough for that.
    pub fn who(&self) -> Option<&Who> {
        self.who.as_deref()
    }

    /// The status a client sees.
    pub fn status(&self) -> StatusCode {
        self.reason.status()
    }

    /// The code a client sees.
    pub fn code(&self) -> Code {
        self.reason.code()
    }

    /// In how many seconds it is worth trying again, where that is known.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match &self.reason {
            Reason::TooMany(state) => Some(state.retry_after_seconds),
            Reason::TooManyLookups { retry_after_seconds } => Some(*retry_after_seconds),
            Reason::Directory(_) => Some(1),
            _ => None,
        }
    }

    /// The challenge of a 401 or of a 403 for want of scope (RFC 6750, section 3). Says the same of every
    /// credential that was refused, and never asks for a scheme that a browser would answer by itself.
    pub fn challenge(&self) -> Option<&'static str> {
        match &self.reason {
            Reason::NoCredential => Some("Bearer"),
            Reason::AccessMissing { .. } => Some("Bearer error=\"insufficient_scope\""),
            reason if reason.status() == StatusCode::UNAUTHORIZED => Some("Bearer error=\"invalid_token\""),
            _ => None,
        }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl From<DirectoryError> for Refusal {
    fn from(error: DirectoryError) -> Self {
        Self::new(error.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_directory_is_503_and_never_401() {
        let refusal = Refusal::new(DirectoryError::Unavailable("disk".into()).into());
        assert_eq!((refusal.status().as_u16(), refusal.code().as_str()), (503, "unavailable"));
        assert_eq!((refusal.challenge(), refusal.retry_after_seconds()), (None, Some(1)));
    }

    #[test]
    fn every_401_but_the_missing_credential_looks_the_same() {
        for reason in [
            Reason::AmbiguousCredential,
            Reason::MalformedCredential { why: "a" },
            Reason::CredentialNotAccepted { kind: CredentialKind::ApiKey },
            Reason::bad("b"),
        ] {
            let refusal = Refusal::new(reason);
            assert_eq!((refusal.status().as_u16(), refusal.code()), (401, Code::Unauthorized));
            assert_eq!(refusal.challenge(), Some("Bearer error=\"invalid_token\""));
            assert_eq!(refusal.retry_after_seconds(), None);
        }
    }

    #[test]
    fn a_403_for_want_of_scope_says_so_and_every_other_has_no_challenge() {
        let challenge = |reason| Refusal::new(reason).challenge();
        let missing = Reason::AccessMissing { resource: None, needed: Access::Write };
        assert_eq!(challenge(missing), Some("Bearer error=\"insufficient_scope\""));
        assert_eq!(challenge(Reason::NoCredential), Some("Bearer"));
        for reason in [Reason::RoleUnknown, Reason::OtherTenant, Reason::NoSuchRoute] {
            assert_eq!(challenge(reason), None);
        }
    }
}
