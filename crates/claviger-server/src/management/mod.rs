//! What can be done to what Claviger knows: by whom, with what outcome. Knows neither HTTP nor command lines: both are ways
//! to ask for the same operations.

mod accounts;
pub mod addresses;
mod annotations;
mod asked;
mod at_work;
mod audit;
mod caller;
mod explain;
mod input;
pub mod introspection;
mod issuers;
mod key_verification;
mod keyring;
mod keys;
mod known;
mod letters;
mod limits;
mod members;
mod nodes;
mod once;
mod operation;
mod operators;
mod orgs;
pub mod own_keys;
mod page;
pub mod people;
mod persons;
pub mod proofs;
mod realms;
mod references;
pub mod self_service;
mod sessions;
mod settings;
mod signing_keys;
mod tenants;
mod tokens;
mod user_tokens;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use claviger::clock::{Clock, UnixMillis};
use claviger::credential::CredentialKind;
use claviger::grants::{Access, Grants};
use claviger::id::{ApiName, PlanName, RealmName, RoleName, TenantId};
use claviger::network::Client;
use claviger::random::Random;
use claviger::{Api, Door, Permit};
use claviger_store::Store;
use claviger_store::operator::Operator;
use claviger_store::tenant_store::TenantStore;
use claviger_store::wrote::Wrote;
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::failure::{Failure, FailureKind};

pub use crate::clock::shown;
pub use asked::{Asked, Entrance, Rules};
pub use at_work::AtWork;
pub use caller::{Caller, Person, PersonRole, Reach, Role, Standing};
pub use input::parse;
pub use operation::{Call, Operation};
pub use settings::{Reload, Reloaded};
pub(crate) use user_tokens::user_token_text;

/// Everything that can be done, by noun.
pub fn operations() -> Vec<Operation> {
    [
        realms::operations(),
        tenants::operations(),
        orgs::operations(),
        members::operations(),
        accounts::operations(),
        sessions::operations(),
        keys::operations(),
        key_verification::operations(),
        tokens::operations(),
        user_tokens::operations(),
        signing_keys::operations(),
        audit::operations(),
        limits::operations(),
        issuers::operations(),
        explain::operations(),
        keyring::operations(),
        nodes::operations(),
        operators::operations(),
        persons::operations(),
        settings::operations(),
    ]
    .concat()
}

/// Whether what the caller is is enough for an operation.
///
/// # Errors
/// Saying what it takes.
pub fn role_is_enough(caller: &Caller, operation: &Operation) -> Result<(), Failure> {
    match (&caller.standing, operation.person) {
        (Standing::Operator(_), _) => caller.may(operation.least),
        (Standing::Person(person), Some(least)) if person.standing() >= least => Ok(()),
        (Standing::Person(_), Some(least)) => {
            Err(Failure::of(FailureKind::Forbidden, format!("this is for {}", least.whom())))
        }
        (Standing::Stranger, Some(PersonRole::Stranger)) => Ok(()),
        (Standing::Person(_) | Standing::Stranger, _) => caller.may(operation.least),
    }
}

/// The field with how far the store's changes have come.
pub const REVISION: &str = "x-claviger-revision";
/// The field with the servers that have not applied a change.
pub const BEHIND: &str = "x-claviger-behind";
/// The field with the key under which something is done once (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What came of an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What it answers.
    pub value: Value,
    /// How far the store's changes have come with it, if it changed something.
    pub revision: Option<String>,
    /// Whether it was done when it was asked for before, and not again.
    pub is_repeated: bool,
}

/// Carries out the operation of that name for somebody who may; under an idempotency key only if it was not done before.
///
/// # Errors
/// If there is none, if the caller's role is too small, or as the operation says.
pub async fn call(
    management: &Management,
    caller: &Caller,
    id: &str,
    input: Value,
    idempotency_key: Option<&str>,
) -> Result<Outcome, Failure> {
    let operation = operations().into_iter().find(|operation| operation.id == id);
    let operation = operation.ok_or_else(|| {
        Failure::of(FailureKind::NotFound, "the server does not know this command")
            .hint("the server and this program are of different versions; restart the server")
    })?;
    role_is_enough(caller, &operation)?;
    let _at_work = management.at_work.begin()?;
    let wrote = Wrote::default();
    let call = Call { management: management.clone(), caller: caller.clone(), wrote: wrote.clone() };
    let operator = management.operator().by(call.actor());
    // What is read is read again.
    let changes = operation.changes();
    // What a stranger asks is nobody else's to be answered again.
    let once = idempotency_key.filter(|_| changes && !operation.is_open());
    let once = once.map(|key| once::Request::new(operator.clone(), caller, key, id, &input)).transpose()?;
    if let Some(once) = &once
        && let Some(value) = once.begin().await?
    {
        let value = as_shown(caller, value);
        return Ok(Outcome { value, revision: revision(caller, &operator).await, is_repeated: true });
    }
    let outcome = (operation.run)(call, input).await;
    let outcome = outcome.map_err(|failure| after_a_change(failure, &wrote));
    let outcome = outcome.map(|value| as_shown(caller, value));
    if let Some(once) = once {
        once.end(&outcome, &wrote).await;
    }
    let value = outcome?;
    // What is done is done, whether it can be said how far the store has come with it or not.
    let revision = if changes { revision(caller, &operator).await } else { None };
    Ok(Outcome { value, revision, is_repeated: false })
}

/// What somebody is shown of an answer: what is the operators', they alone.
fn as_shown(caller: &Caller, mut value: Value) -> Value {
    if !caller.is_operator() {
        annotations::withhold(&mut value);
    }
    value
}

/// How far the store has come: that counts what everybody does, and is for operators.
async fn revision(caller: &Caller, operator: &Operator) -> Option<String> {
    if caller.is_operator() { operator.revision().await.ok() } else { None }
}

/// What fails after something was written does not say that nothing was, as the store does of a part that it could not do.
fn after_a_change(failure: Failure, wrote: &Wrote) -> Failure {
    if failure.kind != FailureKind::Unavailable || !wrote.anything() {
        return failure;
    }
    let what = format!("it is done, at least in part, but what came of it cannot be told: {}", failure.what);
    Failure::of(FailureKind::Broken, what).hint("look what is there before you try again")
}

/// What a server notes in memory of those whom it lets in, and writes down a moment later.
pub trait Noted: std::fmt::Debug + Send + Sync {
    /// Notes that somebody was let in.
    fn note(&self, permit: &Permit, at: UnixMillis, client: Client);

    /// Writes it down now.
    fn write_down(&self) -> BoxFuture<'static, ()>;
}

/// Everything commands need.
#[derive(Debug, Clone)]
pub struct Management {
    /// The store.
    pub store: Store,
    /// The APIs of the settings.
    pub apis: Arc<ArcSwap<Apis>>,
    /// Who decides; for `explain`.
    pub door: Arc<Door>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Takes up changed settings, where a server runs.
    pub reload: Arc<OnceLock<Weak<dyn Reload>>>,
    /// Writes down what a server has noted in memory, where one runs.
    pub noted: Arc<OnceLock<Arc<dyn Noted>>>,
    /// Hashes and compares passwords.
    pub passwords: crate::passwords::Passwords,
    /// What is under way.
    pub at_work: AtWork,
    /// Where it is said that there is mail to be sent.
    pub outbox: crate::mail::Outbox,
    /// Users of this machine, by their numbers, and the operator whom each is.
    pub system_users: Arc<BTreeMap<u32, String>>,
}

/// The APIs of the settings in force, by name.
pub type Apis = HashMap<ApiName, Arc<ManagedApi>>;

/// What commands need to know of an API.
#[derive(Debug, Clone)]
pub struct ManagedApi {
    /// What the door decides about.
    pub api: Arc<Api>,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// How people sign in there, if they do.
    pub sign_in: Option<Rules>,
    /// How many live keys a tenant may have, by its plan.
    pub most_live_keys: BTreeMap<PlanName, u64>,
    /// What its realm's signing keys are of.
    pub token_algorithm: claviger::key_set::Algorithm,
    /// For how many days one of them signs; 0 is until somebody says so.
    pub token_key_days: u16,
}

impl Management {
    /// Has what this server has noted written down, before anything hangs on it. Other servers' is a second late at most.
    pub(crate) async fn write_down(&self) {
        if let Some(noted) = self.noted.get() {
            noted.write_down().await;
        }
    }

    /// The operator's part of the store.
    #[expect(
        clippy::disallowed_methods,
        reason = "a command on the operator's own machine, or over a socket that only they can open"
    )]
    pub fn operator(&self) -> Operator {
        self.store.operator(&claviger::danger::OperatorPermit::for_command("operator"))
    }

    /// The part of one tenant.
    ///
    /// # Errors
    /// If the text is no tenant id.
    pub fn tenant(&self, id: &str) -> Result<TenantStore, Failure> {
        let id: TenantId = parse(id, "tenant")?;
        Ok(self.operator().tenant(id))
    }

    /// The API called `name`.
    ///
    /// # Errors
    /// If the settings have none of that name.
    pub fn api(&self, name: &str) -> Result<Arc<ManagedApi>, Failure> {
        let name: ApiName = parse(name, "api")?;
        let apis = self.apis.load();
        apis.get(&name).cloned().ok_or_else(|| {
            let mut known: Vec<String> = apis.keys().map(|name| format!("`{name}`")).collect();
            known.sort();
            Failure::new(format!("there is no API called `{name}`")).hint(format!(
                "the settings have {}",
                if known.is_empty() { "none".into() } else { known.join(", ") }
            ))
        })
    }

    /// The API called `name`, for somebody of this realm: what is made for another realm's API would let nobody in there, and
    /// whoever else believes the signature somebody who does not belong.
    ///
    /// # Errors
    /// If the settings have none of that name, or it is of another realm.
    pub fn api_in(&self, realm: &RealmName, name: &str) -> Result<Arc<ManagedApi>, Failure> {
        let api = self.api(name)?;
        if api.api.realm == *realm {
            return Ok(api);
        }
        let apis = self.apis.load();
        let ours = apis.values().filter(|api| api.api.realm == *realm);
        let mut names: Vec<String> = ours.map(|api| format!("`{}`", api.api.name)).collect();
        names.sort();
        Err(Failure::new(format!(
            "the API `{name}` is of realm `{}`, and the tenant of realm `{realm}`",
            api.api.realm
        ))
        .hint(format!("the APIs of the tenant's realm are {}", names.join(", "))))
    }

    /// The roles of a realm's APIs that allow all that `role` does: from one of these to it is less, or the same. One that an API of the realm
    /// does not know allows nothing there.
    pub(crate) fn roles_beyond(&self, realm: &RealmName, role: &RoleName) -> Vec<RoleName> {
        let apis = self.apis.load();
        let ours: Vec<_> = apis.values().filter(|api| api.api.realm == *realm).collect();
        let mut names: Vec<RoleName> =
            ours.iter().flat_map(|api| api.api.roles.iter().map(|(name, _)| name.clone())).collect();
        names.sort();
        names.dedup();
        let is_beyond = |name: &RoleName| {
            ours.iter().all(|api| {
                match (api.api.roles.grants(role.as_str()), api.api.roles.grants(name.as_str())) {
                    (None, _) => true,
                    (Some(less), Some(more)) => less.within(more),
                    (Some(_), None) => false,
                }
            })
        };
        names.retain(is_beyond);
        names
    }

    /// The roles that allow nothing, at any API of the realm, that `role` does not: `None` is all of them, those that nobody knows too.
    pub(crate) fn roles_within(&self, realm: &RealmName, role: &RoleName) -> Option<Vec<RoleName>> {
        let apis = self.apis.load();
        let ours: Vec<_> = apis.values().filter(|api| api.api.realm == *realm).collect();
        let everything = |api: &&Arc<ManagedApi>| {
            api.api.roles.grants(role.as_str()).is_some_and(|grants| grants.all() == Some(Access::Admin))
        };
        if ours.iter().all(everything) {
            return None;
        }
        let mut names: Vec<RoleName> =
            ours.iter().flat_map(|api| api.api.roles.iter().map(|(name, _)| name.clone())).collect();
        names.sort();
        names.dedup();
        names.retain(|name| self.roles_beyond(realm, name).contains(role));
        Some(names)
    }

    /// What a role allows at each of the realm's APIs that take keys: a key is good at all of them. One that an API does not know allows nothing
    /// there.
    pub(crate) fn role_where_keys_are(&self, realm: &RealmName, role: &RoleName) -> Vec<Grants> {
        let apis = self.apis.load();
        let taking = apis
            .values()
            .filter(|api| api.api.realm == *realm && api.api.credentials.contain(CredentialKind::ApiKey));
        let grants =
            |api: &Arc<ManagedApi>| api.api.roles.grants(role.as_str()).map(|grants| (**grants).clone());
        taking.map(|api| grants(api).unwrap_or_default()).collect()
    }

    /// How many live keys a tenant may have by its plan: the least that any of the realm's APIs says that take keys, as a key is good at all of
    /// them.
    pub(crate) fn most_live_keys(&self, realm: &RealmName) -> BTreeMap<PlanName, u64> {
        let apis = self.apis.load();
        let mut least = BTreeMap::new();
        for api in apis.values().filter(|api| api.api.realm == *realm) {
            if !api.api.credentials.contain(CredentialKind::ApiKey) {
                continue;
            }
            for (plan, most) in &api.most_live_keys {
                let known = least.entry(plan.clone()).or_insert(*most);
                *known = (*known).min(*most);
            }
        }
        least
    }

    /// How long the identity tokens of a realm live at most, in seconds.
    pub(crate) fn longest_token_of(&self, realm: &RealmName) -> i64 {
        let apis = self.apis.load();
        let ours = apis.values().filter(|api| api.api.realm == *realm);
        ours.map(|api| api.api.identity_tokens.lifetime_seconds).max().unwrap_or(0)
    }

    /// An API of the realm that sends mail, and the page that links in it open.
    pub(crate) fn mail_of_realm(&self, realm: &RealmName) -> Option<(ApiName, Arc<str>)> {
        let apis = self.apis.load();
        let ours = apis.values().filter(|api| api.api.realm == *realm);
        let mut pages: Vec<_> = ours
            .filter_map(|api| Some((api.api.name.clone(), api.sign_in.as_ref()?.mail_page.clone()?)))
            .collect();
        pages.sort();
        pages.into_iter().next()
    }

    /// An API of the realm, for what all of them share.
    pub fn api_of_realm(&self, realm: &RealmName) -> Option<Arc<ManagedApi>> {
        let apis = self.apis.load();
        let ours = apis.values().filter(|api| api.api.realm == *realm);
        ours.min_by_key(|api| api.api.name.clone()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_fails_after_a_change_does_not_say_that_nothing_was_changed() {
        let gone = || Failure::of(FailureKind::Unavailable, "gone").hint("nothing was changed");
        assert_eq!(after_a_change(gone(), &Wrote::default()), gone());
        let after = after_a_change(gone(), &Wrote::something());
        assert_eq!(after.kind, FailureKind::Broken);
        assert!(!after.hint.unwrap().contains("nothing"));
        let missing = Failure::of(FailureKind::NotFound, "none");
        assert_eq!(after_a_change(missing.clone(), &Wrote::something()), missing);
    }

    #[test]
    fn what_changes_nothing_does_so_by_another_method_than_get_only_where_it_says_so() {
        let not_get = |operation: &Operation| operation.method != http::Method::GET;
        let all = operations();
        assert!(all.iter().all(|operation| operation.changes() <= not_get(operation)));
        let read: Vec<_> =
            all.iter().filter(|operation| not_get(operation) && !operation.changes()).collect();
        assert_eq!(
            read.iter().map(|operation| operation.id).collect::<Vec<_>>(),
            ["key.find", "key.verify", "explain.request"]
        );
    }
}
