//! Why an API cannot be served as configured, and what is perhaps not meant so.

use std::sync::Arc;

use http::HeaderName;

use crate::id::{PlanName, Resource, RoleName};
use crate::key_set::PassedOver;

/// Why an API cannot be served as configured. Each is a setting that could not be meant, as it would let nobody in,
/// refuse nobody, or be read in two ways.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// It takes no credential.
    #[error("name at least one kind of credential, or nobody could come in")]
    NoCredentials,
    /// It takes tokens, whose roles it does not know.
    #[error("it takes tokens of people and knows no role, so every one of them would be 403")]
    NoRoles,
    /// It lists no path and answers 404 to all others.
    #[error("it lists no route and answers 404 to what it does not list, so nothing could be reached")]
    NothingReachable,
    /// A route takes only kinds of credential that the API does not.
    #[error("route `{path}` takes only kinds of credential that the API does not")]
    RouteForNobody {
        /// The route's place.
        at: usize,
        /// Its path.
        path: String,
    },
    /// Its identity tokens live for no time or too long.
    #[error("identity tokens live for 1 to 86400 seconds")]
    TokenLifetime,
    /// Its identity tokens have no `iss` or `aud`.
    #[error("identity tokens need an issuer and an audience")]
    TokenNames,
    /// The identity headers cannot be told apart, or mean something else.
    #[error("the tenant's and the organization's header need two names that mean nothing else")]
    IdentityHeaderNames,
    /// The header for credentials means something else.
    #[error("`{name}` means something else already and cannot hold a credential")]
    CarrierName {
        /// The name.
        name: HeaderName,
    },
    /// A limit has no name, or another one's.
    #[error("every limit of an API needs a name of its own")]
    LimitName {
        /// The limit's place.
        at: usize,
        /// Its name.
        limit: Arc<str>,
    },
    /// A limit counts over no time, or too long a one.
    #[error("limit `{limit}` counts over a time from a millisecond to a day")]
    LimitSpan {
        /// The limit's place.
        at: usize,
        /// Its name.
        limit: Arc<str>,
    },
    /// A limit names a plan that the API does not have.
    #[error("`{plan}` is not among the API's plans")]
    UnknownPlan {
        /// The limit's place.
        at: usize,
        /// Its name.
        limit: Arc<str>,
        /// The plan.
        plan: PlanName,
    },
    /// No browser ever sends such an origin.
    #[error("`{origin}` is no origin as browsers send it, so no page could ever match")]
    Origin {
        /// Its place.
        at: usize,
        /// What was given.
        origin: String,
    },
    /// There are issuers of tokens that are not taken.
    #[error("it names issuers of identity tokens and does not take any")]
    IssuersForNobody,
    /// An issuer cannot be trusted as configured.
    #[error("issuer `{issuer}`: {why}")]
    Issuer {
        /// Its place.
        at: usize,
        /// Its name.
        issuer: Box<str>,
        /// Why.
        why: IssuerError,
    },
}

/// Why an issuer cannot be trusted as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// Empty, too long, or with control characters.
    #[error("its name, the `iss` of its tokens, has 1 to 512 bytes and no control characters")]
    Name,
    /// Another one's, or our own.
    #[error("its name is taken by another issuer of this API")]
    Taken,
    /// No `typ` is taken.
    #[error("name the `typ` of its tokens")]
    NoType,
    /// The audience is empty.
    #[error("its audience is empty; leave it out where its tokens have none")]
    EmptyAudience,
    /// Nothing says whom a token is for.
    #[error(
        "without an audience, name the claim and value that tell an access token for this API from any other token"
    )]
    NoAudience,
    /// Nothing tells an access token from an ID token.
    #[error("its `typ` says nothing; name the claim and value that tell an access token from an ID token")]
    PlainType,
    /// A required claim has no name or no value.
    #[error("a required claim has a name and a value")]
    EmptyClaim,
    /// The longest life or the leeway is out of bounds.
    #[error("its tokens live for 1 second to 30 days, and its leeway is 0 to 300 seconds")]
    Times,
    /// The bounds on its tokens are out of bounds.
    #[error("its tokens have 1024 to 65536 bytes, and claims nested 2 to 64 deep")]
    Bounds,
}

/// Something that is served and perhaps not meant so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// A WebSocket route that does not say its access.
    #[error("route `{path}` opens a WebSocket and does not say its access, so it needs `admin`")]
    SilentWebSocket {
        /// The route's place.
        at: usize,
        /// Its path.
        path: String,
    },
    /// A role allows something that no route is about.
    #[error("role `{role}` allows something on `{resource}`, which no route is about")]
    UnknownResource {
        /// The role.
        role: RoleName,
        /// What it allows something on.
        resource: Resource,
    },
    /// A role allows nothing.
    #[error("role `{role}` allows nothing")]
    PowerlessRole {
        /// The role.
        role: RoleName,
    },
    /// A limit leaves a plan out.
    #[error("limit `{limit}` leaves plan `{plan}` out, which gets the least that any plan has")]
    UnlistedPlan {
        /// The limit's place.
        at: usize,
        /// Its name.
        limit: Arc<str>,
        /// The plan.
        plan: PlanName,
    },
    /// An issuer may speak for nobody.
    #[error("issuer `{issuer}` may speak for no tenant")]
    SilentIssuer {
        /// Its place.
        at: usize,
        /// Its name.
        issuer: Box<str>,
    },
    /// A key of an issuer is of no use.
    #[error("issuer `{issuer}`: the key {passed}")]
    UnusableKey {
        /// The issuer's place.
        at: usize,
        /// Its name.
        issuer: Box<str>,
        /// Which, and why.
        passed: PassedOver,
    },
}

impl Doubt {
    /// What to write instead, where that can be told.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::SilentWebSocket { .. } => Some("say `access` for it"),
            Self::UnknownResource { .. } => Some("is it spelt as the routes spell it?"),
            Self::PowerlessRole { .. } => Some("say what it allows, such as \"read\" or \"orders:write\""),
            Self::UnlistedPlan { .. } => Some("list it, or say what holds `otherwise`"),
            Self::SilentIssuer { .. } => Some("name the tenants it may speak for"),
            Self::UnusableKey { .. } => None,
        }
    }
}
