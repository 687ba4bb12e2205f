//! Limits, as the settings in force say: they are changed there, and taken up by a reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger::limit_rule::{Form, LimitRule, PerAccess};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ManagedApi;
use super::operation::{Call, operations};
use super::page::Page;
use super::tenants::lower_case;
use crate::failure::Failure;

/// Of which APIs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// Only this API's
    api: Option<String>,
}

/// How much is allowed, by the credential's access; what is absent is not limited.
#[derive(Debug, Serialize, ToSchema)]
struct Allowed {
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<u64>,
}

/// A limit of an API.
#[derive(Debug, Serialize, ToSchema)]
struct LimitShown {
    /// Its name.
    name: String,
    /// The API.
    api: String,
    /// What is counted together: `credential`, `organization`, `tenant` or `address`.
    per: String,
    /// How: `sliding`, `burst` or `concurrency`.
    form: &'static str,
    /// In what time, in seconds; none where it is what is under way that counts.
    seconds: Option<u64>,
    /// How much, by plan.
    plans: BTreeMap<String, Allowed>,
    /// How much, on other plans.
    otherwise: Allowed,
}

operations! {
    /// List the limits of the APIs, as the settings say
    "limit.list": GET "/v1/limits" for Reader = list(List) -> Page<LimitShown>;
}

fn allowed(amount: PerAccess) -> Allowed {
    Allowed { read: amount.read, write: amount.write, admin: amount.admin }
}

fn one(api: &ManagedApi, rule: &LimitRule) -> LimitShown {
    let (form, millis) = match rule.form {
        Form::Sliding { window_millis } => ("sliding", Some(window_millis)),
        Form::Burst { refill_millis } => ("burst", Some(refill_millis)),
        _ => ("concurrency", None),
    };
    let plans = rule.amount.by_plan.iter();
    LimitShown {
        name: rule.name.to_string(),
        api: api.api.name.to_string(),
        per: lower_case(rule.per),
        form,
        seconds: millis.map(|millis| millis / 1000),
        plans: plans.map(|(plan, amount)| (plan.to_string(), allowed(*amount))).collect(),
        otherwise: allowed(rule.amount.otherwise),
    }
}

/// The APIs of the settings in force, or one of them, that are of realms which the caller reaches whole.
pub(super) fn apis_within(call: &Call, api: Option<&str>) -> Result<Vec<Arc<ManagedApi>>, Failure> {
    let known = call.management.apis.load();
    let is_within = |api: &&Arc<ManagedApi>| call.caller.reaches_realm(&api.api.realm).is_ok();
    let mut within: Vec<Arc<ManagedApi>> = known.values().filter(is_within).cloned().collect();
    if let Some(name) = api {
        within.retain(|known| known.api.name.as_str() == name);
        if within.is_empty() {
            // Of one that is beyond the caller's bounds the same is heard as of one that is not there.
            call.api_is_there(name)?;
            return Err(Failure::argument("api", name, "there is no API of that name"));
        }
    }
    within.sort_by(|one, other| one.api.name.cmp(&other.api.name));
    Ok(within)
}

async fn list(call: &Call, input: List) -> Result<Page<LimitShown>, Failure> {
    let apis = apis_within(call, input.api.as_deref())?;
    let limits = apis.iter().flat_map(|api| api.api.limits.iter().map(|rule| one(api, rule)));
    Ok(Page::whole(limits.collect()))
}
