//! Other issuers whose tokens are taken, as the settings in force say, with the keys that their files hold now.

use claviger::key_set::VerifyingKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::apis_within;
use super::operation::{Call, operations};
use super::page::Page;
use crate::failure::Failure;

/// Of which APIs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Only this API's
    api: Option<String>,
}

/// An issuer whose tokens an API takes.
#[derive(Debug, Serialize, ToSchema)]
struct IssuerShown {
    /// Its `iss`.
    issuer: String,
    /// The API.
    api: String,
    /// The `aud` that its tokens have to name, if any.
    audience: Option<String>,
    /// The `typ`s of its tokens.
    types: Vec<String>,
    /// The names (`kid`) of the keys that its tokens are believed by.
    keys: Vec<String>,
    /// How long a token may live, in seconds.
    lifetime_seconds: i64,
    /// How far its clock may be off, in seconds.
    leeway_seconds: i64,
}

operations! {
    /// List the other issuers whose tokens are taken, as the settings say
    "issuer.list": GET "/v1/issuers" for Reader = list(List) -> Page<IssuerShown>;
}

async fn list(call: &Call, input: List) -> Result<Page<IssuerShown>, Failure> {
    let apis = apis_within(call, input.api.as_deref())?;
    let issuers = apis.iter().flat_map(|api| {
        api.api.foreign_issuers.iter().map(|issuer| IssuerShown {
            issuer: issuer.issuer.to_string(),
            api: api.api.name.to_string(),
            audience: issuer.audience.as_deref().map(str::to_owned),
            types: issuer.types.iter().map(ToString::to_string).collect(),
            keys: issuer.keys.current().keys().iter().map(VerifyingKey::kid).map(str::to_owned).collect(),
            lifetime_seconds: issuer.lifetime_seconds,
            leeway_seconds: issuer.leeway_seconds,
        })
    });
    Ok(Page::whole(issuers.collect()))
}
