//! One public API surface, as configured: what it takes, what its routes need, who may do what.

mod error;
mod issuer;
mod roles;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::{HeaderName, header};

use crate::api_key::KeyPrefix;
use crate::credential::{CredentialKind, Kinds};
use crate::envelope::{Envelope, Layout};
use crate::id::{ApiName, PlanName, RealmName};
use crate::jws::MAX_TOKEN_BYTES;
use crate::limit_rule::LimitRule;
use crate::route::{RouteAccess, RouteTable, Unlisted};

pub use error::{ApiError, Doubt, IssuerError};
pub(crate) use issuer::is_type;
pub use issuer::{ForeignIssuer, IssuerKeys, PLAIN_TYPE};
pub use roles::{Roles, TwoRoles};

/// Everything that is particular to an API. [`Api::new`] says whether it can be served.
#[derive(Debug)]
pub struct ApiSettings {
    /// Its name in settings and logs.
    pub name: ApiName,
    /// The realm whose tenants, accounts and keys it knows.
    pub realm: RealmName,
    /// The kinds of credential it takes. Any other is 401.
    pub credentials: Kinds,
    /// Where a credential may stand besides `Authorization: Bearer`.
    pub carriers: Carriers,
    /// What its keys begin with.
    pub key_prefix: KeyPrefix,
    /// The `iss` and `aud` of the identity tokens it takes.
    pub identity_tokens: TokenRules,
    /// The `iss` of the user tokens it takes.
    pub user_token_issuer: Box<str>,
    /// Other issuers whose identity tokens it takes.
    pub foreign_issuers: Vec<ForeignIssuer>,
    /// The tenant and organization headers.
    pub identity_headers: IdentityHeaders,
    /// The roles it knows and what they allow.
    pub roles: Roles,
    /// Its paths.
    pub routes: RouteTable,
    /// Its limits.
    pub limits: Vec<LimitRule>,
    /// The plans its tenants can be on. A tenant on any other gets the least of every limit.
    pub plans: Vec<PlanName>,
    /// Whether an unproved e-mail address keeps a member out.
    pub requires_verified_email: bool,
    /// Whether plain HTTP is refused.
    pub requires_https: bool,
    /// Web pages that may call it, by their origin (RFC 6454), to the letter: `https://app.example.com`.
    pub cors_origins: Vec<String>,
    /// The form of its errors.
    pub envelope: Envelope,
}

impl ApiSettings {
    /// An API that takes `credentials` on `routes`, and has nothing else particular to it: no roles, no limits, keys
    /// that begin with `sk`, tokens whose `iss` is the realm and whose `aud` is the name, errors by RFC 9457.
    pub fn new(name: ApiName, realm: RealmName, credentials: Kinds, routes: RouteTable) -> Self {
        Self {
            identity_tokens: TokenRules {
                issuer: realm.as_str().into(),
                audience: name.as_str().into(),
                typ: "at+jwt".into(),
                lifetime_seconds: 3600,
            },
            user_token_issuer: name.as_str().into(),
            identity_headers: IdentityHeaders::default(),
            key_prefix: KeyPrefix::default(),
            carriers: Carriers::default(),
            foreign_issuers: Vec::new(),
            roles: Roles::default(),
            limits: Vec::new(),
            plans: Vec::new(),
            requires_verified_email: false,
            requires_https: false,
            cors_origins: Vec::new(),
            envelope: Envelope::new(Layout::Problem, None, Vec::new()),
            name,
            realm,
            credentials,
            routes,
        }
    }
}

/// A configured API. Its settings can be read and no more: what was checked stays what is decided by.
pub struct Api {
    settings: ApiSettings,
    instance: u64,
    known_plans: BTreeSet<PlanName>,
    longest_credential: usize,
    successor: OnceLock<Option<Arc<Api>>>,
}

impl Deref for Api {
    type Target = ApiSettings;

    fn deref(&self) -> &ApiSettings {
        &self.settings
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({})", self.name)
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// Tells one API from every other that this process has made, one of the same name from other settings included.
static INSTANCES: AtomicU64 = AtomicU64::new(0);

impl Api {
    /// An API of these settings.
    ///
    /// # Errors
    /// With the first of them that could not be meant: see [`ApiError`].
    pub fn new(settings: ApiSettings) -> Result<Self, ApiError> {
        check(&settings)?;
        let issuers = settings.foreign_issuers.iter().map(|issuer| issuer.max_token_bytes);
        Ok(Self {
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            known_plans: settings.plans.iter().cloned().collect(),
            longest_credential: issuers.chain([MAX_TOKEN_BYTES]).max().unwrap_or(MAX_TOKEN_BYTES),
            settings,
            successor: OnceLock::new(),
        })
    }

    /// Says that another one has taken this one's place, or none has: its settings were changed, or it is served no more. Whatever
    /// was let in under these settings and stays open is asked about under the new ones. Said once, and true from then on.
    pub fn replaced_by(&self, successor: Option<Arc<Self>>) {
        let _ = self.successor.set(successor);
    }

    /// Whether nothing has taken its place.
    pub(crate) fn is_newest(&self) -> bool {
        self.successor.get().is_none()
    }

    /// The one that has taken its place, or itself; `None` if it is served no more.
    pub(crate) fn newest(self: &Arc<Self>) -> Option<Arc<Self>> {
        let mut newest = self.clone();
        while let Some(successor) = newest.successor.get().cloned() {
            newest = successor?;
        }
        Some(newest)
    }

    /// What can be served and is perhaps not what was meant, in the order of the settings.
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let routes: Vec<_> = self.routes.routes().collect();
        for (at, route) in routes.iter().enumerate() {
            if route.websocket && route.access == RouteAccess::Ladder {
                doubts.push(Doubt::SilentWebSocket { at, path: route.path.clone() });
            }
        }
        for (role, grants) in self.roles.iter() {
            let unknown = grants.single().iter().map(|(resource, _)| resource);
            for resource in unknown.filter(|resource| routes.iter().all(|route| route.resource != **resource))
            {
                doubts.push(Doubt::UnknownResource { role: role.clone(), resource: resource.clone() });
            }
            if grants.highest().is_none() {
                doubts.push(Doubt::PowerlessRole { role: role.clone() });
            }
        }
        for (at, limit) in self.limits.iter().enumerate() {
            let silent = limit.amount.otherwise == crate::limit_rule::PerAccess::default();
            let is_listed = |plan: &PlanName| limit.amount.by_plan.iter().any(|(listed, _)| listed == plan);
            if silent && !limit.amount.by_plan.is_empty() {
                for plan in self.plans.iter().filter(|plan| !is_listed(plan)) {
                    let (limit, plan) = (limit.name.clone(), plan.clone());
                    doubts.push(Doubt::UnlistedPlan { at, limit, plan });
                }
            }
        }
        for (at, issuer) in self.foreign_issuers.iter().enumerate() {
            if issuer.tenants.is_empty() {
                doubts.push(Doubt::SilentIssuer { at, issuer: issuer.issuer.clone() });
            }
            for passed in issuer.keys.current().passed_over() {
                let (issuer, passed) = (issuer.issuer.clone(), passed.clone());
                doubts.push(Doubt::UnusableKey { at, issuer, passed });
            }
        }
        doubts
    }

    /// What no other API of this process has.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    pub(crate) fn known_plans(&self) -> &BTreeSet<PlanName> {
        &self.known_plans
    }

    /// How many bytes a credential has at most.
    pub(crate) fn longest_credential(&self) -> usize {
        self.longest_credential
    }
}

fn check(settings: &ApiSettings) -> Result<(), ApiError> {
    let takes = |kind| settings.credentials.contain(kind);
    if settings.credentials.is_empty() {
        return Err(ApiError::NoCredentials);
    }
    let takes_tokens = takes(CredentialKind::IdentityToken) || takes(CredentialKind::UserToken);
    if takes_tokens && settings.roles.iter().next().is_none() {
        return Err(ApiError::NoRoles);
    }
    if settings.routes.routes().next().is_none() && settings.routes.unlisted() == Unlisted::NotFound {
        return Err(ApiError::NothingReachable);
    }
    for (at, route) in settings.routes.routes().enumerate() {
        if route.credentials.is_some_and(|kinds| kinds.both(settings.credentials).is_empty()) {
            return Err(ApiError::RouteForNobody { at, path: route.path.clone() });
        }
    }
    if !(1..=86_400).contains(&settings.identity_tokens.lifetime_seconds) {
        return Err(ApiError::TokenLifetime);
    }
    if takes(CredentialKind::IdentityToken)
        && (settings.identity_tokens.issuer.is_empty() || settings.identity_tokens.audience.is_empty())
    {
        return Err(ApiError::TokenNames);
    }
    let [tenant, org] = &settings.identity_headers.names;
    if tenant == org || has_a_meaning(tenant) || has_a_meaning(org) {
        return Err(ApiError::IdentityHeaderNames);
    }
    if let Some(name) = &settings.carriers.header
        && (has_a_meaning(name) || crate::reserved::is_ours(name.as_str(), &settings.identity_headers.names))
    {
        return Err(ApiError::CarrierName { name: name.clone() });
    }
    for (at, limit) in settings.limits.iter().enumerate() {
        if limit.name.is_empty() || settings.limits.iter().take(at).any(|other| other.name == limit.name) {
            return Err(ApiError::LimitName { at, limit: limit.name.clone() });
        }
        if limit.form.span_millis().is_some_and(|span| !(1..=86_400_000).contains(&span)) {
            return Err(ApiError::LimitSpan { at, limit: limit.name.clone() });
        }
        let unknown = limit.amount.by_plan.iter().find(|(plan, _)| !settings.plans.contains(plan));
        if let Some((plan, _)) = unknown {
            return Err(ApiError::UnknownPlan { at, limit: limit.name.clone(), plan: plan.clone() });
        }
    }
    for (at, origin) in settings.cors_origins.iter().enumerate() {
        if !is_origin(origin) {
            return Err(ApiError::Origin { at, origin: origin.clone() });
        }
    }
    if !settings.foreign_issuers.is_empty() && !takes(CredentialKind::IdentityToken) {
        return Err(ApiError::IssuersForNobody);
    }
    for (at, issuer) in settings.foreign_issuers.iter().enumerate() {
        let earlier = settings.foreign_issuers.iter().take(at).map(|other| &other.issuer);
        let taken = earlier.chain([&settings.identity_tokens.issuer]).any(|other| *other == issuer.issuer);
        let checked = if taken { Err(IssuerError::Taken) } else { issuer.check() };
        checked.map_err(|why| ApiError::Issuer { at, issuer: issuer.issuer.clone(), why })?;
    }
    Ok(())
}

/// Whether a header means something to servers and browsers already, and so can be nobody's to redefine.
fn has_a_meaning(name: &HeaderName) -> bool {
    const MEANT: [HeaderName; 30] = [
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::WWW_AUTHENTICATE,
        header::COOKIE,
        header::SET_COOKIE,
        header::HOST,
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::EXPECT,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::ACCEPT,
        header::ACCEPT_ENCODING,
        header::ACCEPT_LANGUAGE,
        header::CACHE_CONTROL,
        header::DATE,
        header::RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::ORIGIN,
        header::REFERER,
        header::USER_AGENT,
        header::VIA,
        header::ACCESS_CONTROL_REQUEST_METHOD,
        header::ACCESS_CONTROL_REQUEST_HEADERS,
        header::FORWARDED,
    ];
    MEANT.contains(name) || name.as_str().starts_with("sec-")
}

/// Whether a text is how a browser spells an origin (RFC 6454, section 6.1), so that it can ever be one.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ if scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') => "",
        _ => return false,
    };
    let lower = !authority.bytes().any(|b| b.is_ascii_uppercase());
    let written_out = !default_port.is_empty() && authority.ends_with(default_port);
    !scheme.is_empty() && lower && !written_out && crate::authority::without_port(authority).is_some()
}

/// Where a credential may stand besides `Authorization: Bearer`, which is always there to be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carriers {
    /// A header that holds it and nothing else, such as `X-API-Key`.
    pub header: Option<HeaderName>,
    /// The user of `Authorization: Basic`, with an empty password. Never asked for, and not taken from a page of another
    /// origin: a browser may have added it by itself.
    pub basic: bool,
    /// The WebSocket subprotocol `claviger.bearer.` and the credential, for browsers, which can send no header when they
    /// open a WebSocket. `claviger` is to be offered beside it, so that there is one to choose.
    pub websocket: bool,
}

/// What an identity token of our own has to say of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// The `iss`, to the letter.
    pub issuer: Box<str>,
    /// The `aud` that must be among the token's.
    pub audience: Box<str>,
    /// The `typ` of its header, to the letter (RFC 9068, section 2.1).
    pub typ: Box<str>,
    /// The longest `exp − iat`, in seconds.
    pub lifetime_seconds: i64,
}

/// Whether the tenant and organization headers have to be there. What is there always has to agree with the
/// credential: a header asserts and never selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HeaderMode {
    /// They may be left out.
    Optional,
    /// Both have to be there.
    Required,
}

/// Where a request may repeat its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// Whether the headers have to be there. A tenant can demand them where this does not, never the reverse.
    pub mode: HeaderMode,
    /// The tenant's header and the organization's, in this order.
    pub names: [HeaderName; 2],
    /// Query parameters that name a tenant.
    pub tenant_parameters: Vec<String>,
    /// Query parameters that name an organization.
    pub org_parameters: Vec<String>,
}

impl Default for IdentityHeaders {
    /// `X-Tenant-ID` and `X-Org-ID`, which may be left out, and the parameters `tenant_id` and `org_id`.
    fn default() -> Self {
        Self {
            mode: HeaderMode::Optional,
            names: [HeaderName::from_static("x-tenant-id"), HeaderName::from_static("x-org-id")],
            tenant_parameters: vec!["tenant_id".into()],
            org_parameters: vec!["org_id".into()],
        }
    }
}

impl IdentityHeaders {
    /// The header that names the tenant.
    pub fn tenant(&self) -> &HeaderName {
        &self.names[0]
    }

    /// The header that names the organization.
    pub fn org(&self) -> &HeaderName {
        &self.names[1]
    }
}

/// The header a credential always may come in.
pub const CREDENTIAL_HEADER: HeaderName = header::AUTHORIZATION;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_writes() {
        for good in [
            "https://app.example.com",
            "http://localhost:5173",
            "https://[2001:db8::1]:8443",
            "chrome-extension://abcdef",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/x",
            "https://*.example.com",
            "https://APP.example.com",
            "HTTPS://app.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://user@app.example.com",
            "://a",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn a_header_that_means_something_is_nobodys_to_redefine() {
        for name in ["authorization", "cookie", "host", "sec-websocket-protocol", "content-length", "origin"]
        {
            assert!(has_a_meaning(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["x-api-key", "api-key", "x-auth-token"] {
            assert!(!has_a_meaning(&HeaderName::from_static(name)), "{name}");
        }
    }
}
