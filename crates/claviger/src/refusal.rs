//! Why a request is not let in: the only place where a reason becomes a status and a code.
//!
//! A refusal has two audiences. The client gets [`Refusal::status`], [`Refusal::code`] and a message that says
//! no more than its code. The log gets [`Display`](fmt::Display), which says what was found.

use std::fmt;
use std::net::IpAddr;

use http::StatusCode;

use crate::directory::DirectoryError;
use crate::grants::Access;
use crate::id::{Resource, TenantId};
use crate::limit::LimitState;

/// A request that is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    /// The tenant the credential proved to be of, where the request got that far.
    tenant: Option<TenantId>,
    /// Where the credential's limits stand, where the request got that far.
    limit: Option<Box<LimitState>>,
}

/// Which credential shape a request showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// An opaque, scoped key.
    ApiKey,
    /// A signed token with tenant, organization and role.
    IdentityToken,
    /// A token signed with its user's own secret.
    UserToken,
}

impl CredentialKind {
    /// `api-key`, `identity-token` or `user-token`, as settings and principals spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::IdentityToken => "identity-token",
            Self::UserToken => "user-token",
        }
    }
}

/// Everything a request is refused for.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        why: &'static str,
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
        from: IpAddr,
    },
    /// There is no such path.
    NoSuchRoute,
    /// The path is there, the method is not.
    MethodNotAllowed {
        /// The methods it has, as in the `Allow` header (RFC 9110, section 10.2.1).
        allow: Box<str>,
    },
    /// The client was too slow in sending its request.
    RequestTimeout,
    /// The body is larger than this API takes.
    BodyTooLarge,
    /// The target is longer than this server takes.
    TargetTooLong,
    /// The host is not one of ours, or not the one that TLS was set up for.
    Misdirected {
        /// What does not fit.
        why: &'static str,
    },
    /// The headers are larger than this server takes.
    HeadTooLarge,
    /// A limit is used up.
    TooMany(LimitState),
    /// This address has looked up too much that does not exist.
    TooManyLookups {
        /// When it may try again.
        retry_after_seconds: u64,
    },
    /// The directory could not say.
    Directory(DirectoryError),
    /// The key names a pepper this server does not have: its keyring is not the one the key was made with.
    PepperUnknown,
    /// The server is shutting down or has too much to do.
    Unavailable {
        /// Which.
        why: &'static str,
    },
    /// The upstream could not be reached, or what it sent cannot be passed on.
    UpstreamFailed {
        /// What happened, for the log alone.
        why: &'static str,
    },
    /// The upstream did not answer in time.
    UpstreamTimeout {
        /// In which phase, for the log alone.
        phase: &'static str,
    },
    /// Something is wrong with this server.
    Internal {
        /// What, for the log alone.
        why: &'static str,
    },
}

impl Reason {
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
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Misdirected { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooMany(_) | Self::TooManyLookups { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Directory(_) | Self::PepperUnknown | Self::Unavailable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamFailed { .. } => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
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
            Self::RequestTimeout => Code::RequestTimeout,
            Self::BodyTooLarge => Code::PayloadTooLarge,
            Self::TargetTooLong => Code::UriTooLong,
            Self::Misdirected { .. } => Code::MisdirectedRequest,
            Self::HeadTooLarge => Code::HeadersTooLarge,
            Self::TooMany(_) | Self::TooManyLookups { .. } => Code::RateLimited,
            Self::Directory(_) | Self::PepperUnknown | Self::Unavailable { .. } => Code::Unavailable,
            Self::UpstreamFailed { .. } => Code::BadGateway,
            Self::UpstreamTimeout { .. } => Code::GatewayTimeout,
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
            Self::HttpsRequired => f.write_str("the request came over plain HTTP"),
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
            Self::RequestTimeout => f.write_str("the request did not arrive in time"),
            Self::BodyTooLarge => f.write_str("the body is too large"),
            Self::TargetTooLong => f.write_str("the target is too long"),
            Self::Misdirected { why } => write!(f, "misdirected: {why}"),
            Self::HeadTooLarge => f.write_str("the headers are too large"),
            Self::TooMany(state) => write!(f, "limit `{}` is used up", state.name),
            Self::TooManyLookups { .. } => f.write_str("too many look-ups from this address found nothing"),
            Self::Directory(error) => write!(f, "{error}"),
            Self::PepperUnknown => f.write_str("the key's pepper is not in this server's keyring"),
            Self::Unavailable { why } => write!(f, "unavailable: {why}"),
            Self::UpstreamFailed { why } => write!(f, "upstream failed: {why}"),
            Self::UpstreamTimeout { phase } => write!(f, "upstream timed out: {phase}"),
            Self::Internal { why } => write!(f, "internal: {why}"),
        }
    }
}

impl From<DirectoryError> for Reason {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

/// What programs compare: one short word per kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is its own name, and `message` says it in words")]
pub enum Code {
    BadRequest,
    Unauthorized,
    HttpsRequired,
    IdentityMissing,
    IdentityMismatch,
    NotActive,
    Forbidden,
    NetworkNotAllowed,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    PayloadTooLarge,
    UriTooLong,
    MisdirectedRequest,
    HeadersTooLarge,
    RateLimited,
    Unavailable,
    BadGateway,
    GatewayTimeout,
    Internal,
}

impl Code {
    /// All of them, in the order of their statuses.
    pub const ALL: [Code; 20] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::HttpsRequired,
        Self::IdentityMissing,
        Self::IdentityMismatch,
        Self::NotActive,
        Self::Forbidden,
        Self::NetworkNotAllowed,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::MisdirectedRequest,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::BadGateway,
        Self::Unavailable,
        Self::GatewayTimeout,
    ];

    /// The code as it stands in answers: lower case with underscores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::HttpsRequired => "https_required",
            Self::IdentityMissing => "identity_missing",
            Self::IdentityMismatch => "identity_mismatch",
            Self::NotActive => "not_active",
            Self::Forbidden => "forbidden",
            Self::NetworkNotAllowed => "network_not_allowed",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::MisdirectedRequest => "misdirected_request",
            Self::HeadersTooLarge => "headers_too_large",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::BadGateway => "bad_gateway",
            Self::GatewayTimeout => "gateway_timeout",
            Self::Internal => "internal",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// What a client is told unless the API's configuration says it in its own words.
    pub fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is malformed",
            Self::Unauthorized => "Missing or invalid credentials",
            Self::HttpsRequired => "This API is served over HTTPS only",
            Self::IdentityMissing => "Missing or invalid tenant/org identity",
            Self::IdentityMismatch => "The request names another tenant or organization than its credential",
            Self::NotActive => "The account, organization or tenant is not active",
            Self::Forbidden => "The credential does not allow this",
            Self::NetworkNotAllowed => "The credential may not be used from this network",
            Self::NotFound => "There is nothing at this path",
            Self::MethodNotAllowed => "This path does not have that method",
            Self::RequestTimeout => "The request took too long to arrive",
            Self::PayloadTooLarge => "The request body is too large",
            Self::UriTooLong => "The request target is too long",
            Self::MisdirectedRequest => "This host is not served here",
            Self::HeadersTooLarge => "The request headers are too large",
            Self::RateLimited => "Too many requests; try again later",
            Self::Unavailable => "The service cannot answer right now; try again later",
            Self::BadGateway => "The service behind this API failed",
            Self::GatewayTimeout => "The service behind this API did not answer in time",
            Self::Internal => "Something is wrong on our side",
        }
    }
}

impl Refusal {
    /// A refusal for `reason`.
    pub fn new(reason: Reason) -> Self {
        Self { reason, tenant: None, limit: None }
    }

    /// The same, of a request whose credential proved to be of `tenant`.
    #[must_use]
    pub fn of_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The same, of a request whose credential's limits stand like this.
    #[must_use]
    pub fn at_limit(mut self, state: Option<LimitState>) -> Self {
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

    /// Whose request it was, where that was proven before the refusal.
    pub fn tenant(&self) -> Option<TenantId> {
        self.tenant
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
            Reason::Directory(_) | Reason::Unavailable { .. } => Some(1),
            _ => None,
        }
    }

    /// The challenge of a 401 or of a 403 for want of scope (RFC 6750, section 3). Says the same of every
    /// credential that was refused.
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
        assert_eq!(refusal.challenge(), None);
    }

    #[test]
    fn every_401_but_the_missing_credential_looks_the_same() {
        for reason in [
            Reason::AmbiguousCredential,
            Reason::MalformedCredential { why: "a" },
            Reason::CredentialNotAccepted { kind: CredentialKind::ApiKey },
            Reason::BadCredential { why: "b" },
        ] {
            let refusal = Refusal::new(reason);
            assert_eq!(refusal.code(), Code::Unauthorized);
            assert_eq!(refusal.challenge(), Some("Bearer error=\"invalid_token\""));
        }
    }

    #[test]
    fn every_code_reads_back() {
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.as_str()), Some(code));
        }
    }
}
