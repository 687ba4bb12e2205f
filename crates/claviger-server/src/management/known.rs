//! What the settings know of a realm: a command that names something else would do nothing that anybody meant.

use std::collections::BTreeSet;
use std::sync::Arc;

use claviger::Api;
use claviger::credential::CredentialKind;
use claviger::grants::Grants;
use claviger::id::{RealmName, RoleName};

use super::{Management, parse};
use crate::failure::Failure;

impl Management {
    fn apis_of(&self, realm: &RealmName) -> Vec<Arc<Api>> {
        let apis = self.apis.load();
        apis.values().map(|api| api.api.clone()).filter(|api| api.realm == *realm).collect()
    }

    /// The role of that name, if an API of the realm has it: one that none has would allow nothing.
    pub(crate) fn known_role(&self, realm: &RealmName, name: &str) -> Result<RoleName, Failure> {
        let role: RoleName = parse(name, "role")?;
        let apis = self.apis_of(realm);
        let known: BTreeSet<&str> =
            apis.iter().flat_map(|api| api.roles.iter()).map(|(name, _)| name.as_str()).collect();
        if known.iter().any(|known| role.matches(known)) {
            return Ok(role);
        }
        Err(Failure::new(format!("no API of realm `{realm}` has a role `{role}`")).hint(listed(
            "its roles are",
            known,
            "name roles and what they allow under `[api.roles]` in the settings",
        )))
    }

    /// What a key may do, if an API of the realm takes keys and has routes about each resource that is named.
    pub(crate) fn known_scope(&self, realm: &RealmName, scope: &str) -> Result<Grants, Failure> {
        let grants: Grants = parse(scope, "scope")?;
        let apis = self.apis_of(realm);
        let takes_keys = |api: &&Arc<Api>| api.credentials.contain(CredentialKind::ApiKey);
        if !apis.iter().any(|api| takes_keys(&api)) {
            return Err(Failure::new(format!(
                "no API of realm `{realm}` takes API keys, so nobody could use one"
            ))
            .hint("say `credentials = [\"api-key\"]` under `[[api]]` in the settings"));
        }
        let known: BTreeSet<&str> = apis
            .iter()
            .filter(takes_keys)
            .flat_map(|api| api.routes.routes())
            .map(|route| route.resource.as_str())
            .collect();
        match grants.single().iter().find(|(resource, _)| !known.contains(resource.as_str())) {
            None => Ok(grants),
            Some((unknown, _)) => {
                let what = format!("no route of realm `{realm}` is about `{unknown}`");
                Err(Failure::argument("scope", scope, what).hint(listed(
                    "its routes are about",
                    known,
                    "name routes under `[[api.route]]` in the settings, or say `read`, `write` or `admin`",
                )))
            }
        }
    }

    /// Whether an API of the realm takes tokens of the issuer: to the letter, as tokens are compared.
    pub(crate) fn known_issuer(&self, realm: &RealmName, issuer: &str) -> Result<(), Failure> {
        let apis = self.apis_of(realm);
        let known: BTreeSet<&str> =
            apis.iter().flat_map(|api| &api.foreign_issuers).map(|known| &*known.issuer).collect();
        if known.contains(issuer) {
            return Ok(());
        }
        Err(Failure::new(format!("no API of realm `{realm}` takes tokens of `{issuer}`")).hint(listed(
            "its issuers are",
            known,
            "name the issuer under `[[api.issuer]]` in the settings",
        )))
    }
}

impl Management {
    /// The longest that a token of the issuer may live in any API of the realm, its clock's leeway included, in seconds.
    pub(crate) fn longest_lifetime(&self, realm: &RealmName, issuer: &str) -> i64 {
        let apis = self.apis_of(realm);
        let issuers = apis.iter().flat_map(|api| &api.foreign_issuers);
        let lifetimes = issuers.filter(|known| &*known.issuer == issuer);
        lifetimes.map(|known| known.lifetime_seconds + 2 * known.leeway_seconds).max().unwrap_or_default()
    }
}

fn listed(lead: &str, known: BTreeSet<&str>, where_none: &str) -> String {
    if known.is_empty() {
        return where_none.to_owned();
    }
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("{lead} {}", names.join(", "))
}

impl Management {
    /// An API of the realm.
    ///
    /// # Errors
    /// If the settings have none.
    pub(super) fn some_api_of(&self, realm: &RealmName) -> Result<Arc<super::ManagedApi>, Failure> {
        let known = self.api_of_realm(realm);
        known.ok_or_else(|| Failure::new(format!("no API of the settings is of realm `{realm}`")))
    }
}
