//! The three checks that let a request in.
//!
//! 1. The principal token is signed by a key that Claviger publishes, is of the right type and has not expired.
//! 2. It was made for an API of this server.
//! 3. The binding ties it to this very request, so a token that leaked from one request opens no other.
//!
//! Headers such as `X-Tenant-ID` are not looked at: anybody who reaches this port can write them.

use std::collections::{BTreeMap, HashMap};

use anyhow::ensure;
use hyper::header::{HOST, HeaderMap};
use hyper::http::request::Parts;
use jiff::Timestamp;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::binding::{BindingKey, Bound};
use crate::keys::{Keys, Unavailable};

/// The longest life of a principal token, in seconds.
const LONGEST_LIFE: i64 = 30;
/// How far the clocks of Claviger and this server may differ, in seconds.
const LEEWAY: i64 = 5;

/// Whom Claviger let in. Only [`Guard::admit`] makes one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Visitor {
    /// Somebody it knows.
    Known(Caller),
    /// Anybody, at a path that asks for nobody.
    Public(Public),
}

impl Visitor {
    /// The API that was asked.
    pub(crate) fn api(&self) -> Api {
        match self {
            Self::Known(caller) => caller.aud,
            Self::Public(public) => public.aud,
        }
    }

    fn times(&self) -> (i64, i64) {
        match self {
            Self::Known(caller) => (caller.iat, caller.exp),
            Self::Public(public) => (public.iat, public.exp),
        }
    }
}

/// A request of which nobody is known, as Claviger signed it.
#[derive(Debug, Deserialize)]
pub(crate) struct Public {
    aud: Api,
    iat: i64,
    exp: i64,
    /// Says that it is one.
    #[serde(rename = "kind")]
    _kind: PublicKind,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PublicKind {
    Public,
}

/// Who is calling, as Claviger signed it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Caller {
    pub(crate) iss: String,
    pub(crate) aud: Api,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    /// The account, or the id of an API key.
    pub(crate) sub: String,
    pub(crate) kind: Kind,
    pub(crate) realm: String,
    pub(crate) tenant_id: String,
    pub(crate) org_id: String,
    pub(crate) environment: Environment,
    /// `None` for an API key, which has no role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    /// What the caller may do: resource to `read`, `write` or `admin`; `*` is every resource.
    pub(crate) access: BTreeMap<String, String>,
}

/// What the caller showed to Claviger.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    ApiKey,
    IdentityToken,
    UserToken,
}

/// Whether the request is about real data or the sandbox's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Environment {
    Live,
    Test,
}

/// Why a request was not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It did not come through Claviger, or not as it left it.
    Stranger,
    /// Nobody can say, because the public keys could not be fetched.
    KeysUnavailable,
}

impl From<Unavailable> for Refused {
    fn from(_: Unavailable) -> Self {
        Self::KeysUnavailable
    }
}

#[derive(Debug)]
pub(crate) struct Guard {
    keys: Keys,
    validation: Validation,
    apis: HashMap<Api, BindingKey>,
}

impl Guard {
    pub(crate) fn new(apis: HashMap<Api, BindingKey>, jwks_url: &str) -> anyhow::Result<Self> {
        ensure!(!apis.is_empty(), "no API is named");
        // Another part of the program may have chosen already; then its choice stands.
        let _ = aws_lc::DEFAULT_PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&["claviger"]);
        validation.set_audience(&apis.keys().map(|api| api.name()).collect::<Vec<_>>());
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        // The library would ask the machine for the time; `in_time` asks the server's clock.
        validation.validate_exp = false;
        Ok(Self { keys: Keys::new(jwks_url)?, validation, apis })
    }

    /// Makes the three checks. Every failure of the request itself is the same [`Refused::Stranger`].
    pub(crate) async fn admit(&self, head: &Parts, now: Timestamp) -> Result<Visitor, Refused> {
        let token = only(&head.headers, "x-claviger-principal").ok_or(Refused::Stranger)?;
        let visitor = self.visitor(token, now).await?;
        let key = self.apis.get(&visitor.api()).ok_or(Refused::Stranger)?;
        if is_bound(token, head, key, now) { Ok(visitor) } else { Err(Refused::Stranger) }
    }

    /// Checks 1 and 2.
    async fn visitor(&self, token: &str, now: Timestamp) -> Result<Visitor, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Stranger)?;
        // Other tokens are signed with keys of the same set, so the type must be checked; and the library
        // ignores `crit`, which names what a verifier must understand (RFC 7515, section 4.1.11).
        if header.typ.as_deref() != Some("principal+jwt") || header.crit.is_some() {
            return Err(Refused::Stranger);
        }
        let kid = header.kid.ok_or(Refused::Stranger)?;
        let key = self.keys.find(&kid, now).await?.ok_or(Refused::Stranger)?;
        let visitor = decode::<Visitor>(token, &key, &self.validation).map_err(|_| Refused::Stranger)?.claims;
        if in_time(visitor.times(), now.as_second()) { Ok(visitor) } else { Err(Refused::Stranger) }
    }
}

fn in_time((iat, exp): (i64, i64), now: i64) -> bool {
    iat <= now.saturating_add(LEEWAY)
        && exp.saturating_add(LEEWAY) > now
        && exp.saturating_sub(iat) <= LONGEST_LIFE
}

/// Check 3.
fn is_bound(token: &str, head: &Parts, key: &BindingKey, now: Timestamp) -> bool {
    // Claviger sends a plain path and query. Any other form has an authority of its own.
    if head.uri.authority().is_some() {
        return false;
    }
    let (Some(binding), Some(authority), Some(request_id), Some(target)) = (
        only(&head.headers, "x-claviger-binding"),
        only(&head.headers, HOST.as_str()),
        only(&head.headers, "x-request-id"),
        head.uri.path_and_query(),
    ) else {
        return false;
    };
    let bound = Bound { token, method: head.method.as_str(), authority, target: target.as_str(), request_id };
    key.verifies(binding, &bound, now.as_second())
}

/// The value of a header that must be there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
