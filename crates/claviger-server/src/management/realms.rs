//! Realms and their plans.

use claviger::id::{PlanName, RealmName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operation::{Call, operations};
use super::page::Page;
use super::{Reach, parse};
use crate::failure::{Failure, FailureKind};

/// Which realms: all that one reaches.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AllRealms {}

/// Which realm.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InRealm {
    /// The realm
    realm: String,
}

/// A population of tenants and accounts.
#[derive(Debug, Serialize, ToSchema)]
struct RealmShown {
    /// Its name.
    realm: String,
    /// The APIs of the settings that let it in.
    apis: Vec<String>,
}

/// A tariff of a realm.
#[derive(Debug, Serialize, ToSchema)]
struct PlanShown {
    /// Its name.
    plan: String,
}

operations! {
    /// List the realms
    "realm.list": GET "/v1/realms" for Reader = list(AllRealms) -> Page<RealmShown>;
    /// List the plans of a realm
    "plan.list": GET "/v1/realms/{realm}/plans" for Reader = plans(InRealm) -> Page<PlanShown>;
}

async fn list(call: &Call, _: AllRealms) -> Result<Page<RealmShown>, Failure> {
    let realms = call.operator().realm_list().await?;
    let known = call.management.apis.load();
    let within = realms.into_iter().filter(|realm| match &call.caller.reach {
        Reach::Everything => true,
        Reach::Realms(realms) => realms.contains(realm),
        Reach::Tenants(_) => false,
    });
    let shown = within.map(|realm| {
        let ours = known.values().filter(|api| api.api.realm == realm);
        let mut apis: Vec<String> = ours.map(|api| api.api.name.to_string()).collect();
        apis.sort();
        RealmShown { realm: realm.to_string(), apis }
    });
    Ok(Page::whole(shown.collect()))
}

async fn plans(call: &Call, input: InRealm) -> Result<Page<PlanShown>, Failure> {
    let realm = known_realm(call, &input.realm).await?;
    let plans = call.operator().plan_list(&realm).await?;
    Ok(Page::whole(plans.iter().map(|plan| PlanShown { plan: plan.to_string() }).collect()))
}

/// The realm of that name, if the store has it and the caller reaches it.
pub(super) async fn known_realm(call: &Call, name: &str) -> Result<RealmName, Failure> {
    let realm: RealmName = parse(name, "realm")?;
    call.caller.reaches_realm(&realm)?;
    let known = call.operator().realm_list().await?;
    if known.contains(&realm) {
        return Ok(realm);
    }
    let failure = Failure::of(FailureKind::NotFound, format!("there is no realm `{realm}`"));
    Err(match call.caller.reach {
        Reach::Everything => failure.hint(format!("the realms are {}", names(&known))),
        Reach::Realms(_) | Reach::Tenants(_) => failure,
    })
}

/// The plan of that name, if the realm has it.
pub(super) async fn known_plan(call: &Call, realm: &RealmName, name: &str) -> Result<PlanName, Failure> {
    let plan: PlanName = parse(name, "plan")?;
    let known = call.operator().plan_list(realm).await?;
    if known.contains(&plan) {
        return Ok(plan);
    }
    Err(Failure::new(format!("the realm `{realm}` has no plan `{plan}`"))
        .hint(format!("its plans are {}; the settings of its APIs name them", names(&known))))
}

fn names(known: &[impl ToString]) -> String {
    known.iter().map(|name| format!("`{}`", name.to_string())).collect::<Vec<_>>().join(", ")
}
