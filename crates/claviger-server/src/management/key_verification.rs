//! Whether a key may do something, for programs that do not stand behind the gateway: decided, counted and limited as there.

use std::sync::Arc;

use claviger::grants::Access;
use claviger::id::Resource;
use claviger::limit_rule::LimitState;
use claviger::need::Need;
use claviger::network::Client;
use claviger::refusal::Who;
use claviger::target::Target;
use claviger::{Api, Inbound};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::caller::Reach;
use super::operation::{Call, operations};
use super::parse;
use crate::failure::Failure;

/// The most that one verification may cost.
const MOST_COST: u32 = 1_000_000;

/// A key, and what it is to be good for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Verify {
    /// The key itself
    key: String,
    /// The API that it is for, by its name in the settings
    api: String,
    /// On what it is to be good
    resource: String,
    /// How far: `read`, `write` or `admin`
    access: String,
    /// How much of its limits that takes, from 0 to 1000000; 1 by default
    cost: Option<u32>,
    /// The address of whoever has shown it; without one, a key that is bound to networks is good from nowhere, and all that is nobody's counts
    /// as guesses of the program that asks
    from: Option<String>,
}

impl Drop for Verify {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

/// How near a limit is.
#[derive(Debug, Serialize, ToSchema)]
struct LimitStanding {
    /// Its name.
    name: String,
    /// How much it allows.
    limit: u64,
    /// How much of that is left.
    remaining: u64,
    /// In how many milliseconds there will be more.
    reset_millis: u64,
    /// In how many seconds this would pass; 0 if it was not refused for it.
    retry_after_seconds: u64,
}

/// Whether a key is good for something.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Verified {
    /// Whether it is.
    valid: bool,
    /// With which status the gateway would refuse it.
    status: Option<u16>,
    /// With which code.
    code: Option<&'static str>,
    /// The key's id, if it is known.
    key_id: Option<String>,
    /// The tenant it belongs to.
    tenant_id: Option<String>,
    /// The organization it belongs to.
    org_id: Option<String>,
    /// `live` or `test`.
    environment: Option<String>,
    /// What it may do.
    scope: Option<String>,
    /// The limit that is nearest to its end, if there is one.
    limit: Option<LimitStanding>,
}

operations! {
    /// Say whether a key may do something, and take what that costs of its limits
    "key.verify": POST "/v1/keys/verify" for Support = verify(Verify) -> Verified;
}

fn limit(state: &LimitState) -> LimitStanding {
    LimitStanding {
        name: state.name.to_string(),
        limit: state.limit,
        remaining: state.remaining,
        reset_millis: state.reset_millis,
        retry_after_seconds: state.retry_after_seconds,
    }
}

/// Whether the caller reaches whose key it is.
fn reaches(call: &Call, api: &Api, who: &Who) -> bool {
    match &call.caller.reach {
        Reach::Everything => true,
        Reach::Realms(realms) => realms.contains(&api.realm),
        Reach::Tenants(tenants) => tenants.contains(&who.tenant),
    }
}

fn known(who: &Who) -> Verified {
    Verified {
        key_id: who.key.map(|key| key.to_string()),
        tenant_id: Some(who.tenant.to_string()),
        org_id: Some(who.org.to_string()),
        environment: Some(who.environment.to_string()),
        ..Verified::default()
    }
}

async fn verify(call: &Call, input: Verify) -> Result<Verified, Failure> {
    call.api_is_there(&input.api)?;
    let named = call.management.api(&input.api);
    let resource: Resource = parse(&input.resource, "resource")?;
    let access: Access = parse(&input.access, "access")?;
    let cost = input.cost.unwrap_or(1);
    if cost > MOST_COST {
        let what = format!("this is more than {MOST_COST}");
        return Err(Failure::argument("cost", &cost.to_string(), what));
    }
    let client = match &input.from {
        Some(from) => Client::At(parse(from, "from")?),
        None => Client::UnknownBehind(call.caller.client().block()),
    };
    let nobodys = || Verified { status: Some(401), code: Some("unauthorized"), ..Verified::default() };
    // To somebody bound, an API that they know nothing of is as one where the key is nobody's.
    let Ok(api) = named.map(|named| named.api.clone()) else { return Ok(nobodys()) };
    let bearer = Zeroizing::new(format!("Bearer {}", input.key.trim()));
    let Ok(mut bearer) = HeaderValue::from_str(&bearer) else { return Ok(nobodys()) };
    bearer.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, bearer);
    let (method, uri) = (Method::POST, Uri::from_static("/"));
    let target = Target::of(&uri).map_err(|_| Failure::new("a key cannot be verified"))?;
    let inbound = Inbound { method: &method, target, headers: &headers, client, secure: true };
    let door = &call.management.door;
    // Whose it is comes first: of another's nothing is taken.
    match door.whose(&api, &inbound).await {
        Ok(who) if who.key.is_some() && reaches(call, &api, &who) => {}
        Ok(_) => return Ok(nobodys()),
        Err(refusal) if refusal.status().is_server_error() => {
            return Err(Failure::of(crate::failure::FailureKind::Unavailable, "keys cannot be looked up"));
        }
        Err(refusal) => {
            if refusal.who().is_some_and(|who| !reaches(call, &api, who)) {
                return Ok(nobodys());
            }
            let (status, code) = (refusal.status().as_u16(), refusal.code().as_str());
            let known = refusal.who().map(known).unwrap_or_default();
            return Ok(Verified { status: Some(status), code: Some(code), ..known });
        }
    }
    let need = Arc::new(Need::of(resource, access).costing(cost));
    match door.decide_for(&api, &inbound, &need).await {
        Ok(permit) => {
            let principal = permit.principal();
            if let Some(noted) = call.management.noted.get() {
                noted.note(&permit, call.management.clock.now(), client);
            }
            Ok(Verified {
                valid: true,
                scope: principal.grants().map(ToString::to_string),
                limit: permit.limit().map(limit),
                ..known(&principal.who())
            })
        }
        Err(refusal) => Ok(Verified {
            status: Some(refusal.status().as_u16()),
            code: Some(refusal.code().as_str()),
            limit: refusal.limit().map(limit),
            ..refusal.who().map(known).unwrap_or_default()
        }),
    }
}
