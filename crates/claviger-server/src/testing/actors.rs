//! Tenants, people and credentials.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::directory::{MemberState, SessionRecord};
use claviger::id::{AccountId, Environment, KeyId, OrgId, SessionId, TenantId, TokenId};
use claviger::testing::Unsigned;
use claviger_store::api_keys::NewApiKey;
use claviger_store::operators::NewOperator;
use claviger_store::sign_up::NewTenant;
use claviger_store::tenant_store::TenantStore;
use claviger_store::user_secrets::UserSecret;
use serde_json::{Value, json};

use super::TestServer;
use crate::identity_tokens;

/// An organization of a tenant.
#[derive(Debug, Clone)]
pub struct Home {
    /// The realm, which has the name of its API.
    pub realm: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The organization.
    pub org: OrgId,
    /// Its ADMIN.
    pub owner: Person,
}

/// A member of an organization.
#[derive(Debug, Clone)]
pub struct Person {
    /// The realm.
    pub realm: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The organization.
    pub org: OrgId,
    /// The account.
    pub account: AccountId,
    /// Its address.
    pub email: String,
}

/// An API key that was just made.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its secret, as it is presented.
    pub text: String,
}

/// An identity token with what it says.
#[derive(Debug, Clone)]
pub struct Token {
    /// As it is presented.
    pub text: String,
    /// Its header.
    pub header: Value,
    /// Its claims.
    pub claims: Value,
    /// Its session.
    pub session: SessionId,
    /// Its `jti`.
    pub id: TokenId,
}

impl TestServer {
    /// A tenant of the realm on its first plan, with an organization and an ADMIN.
    pub fn tenant(&self, realm: &str, name: &str) -> Home {
        let api = self.management().api_of_realm(&realm.parse().expect("a realm")).expect("an API");
        let plan = api.api.plans.first().expect("a plan").to_string();
        self.tenant_on(realm, name, &plan)
    }

    /// The same on this plan.
    ///
    /// # Panics
    /// If the store does not make it.
    pub fn tenant_on(&self, realm: &str, name: &str, plan: &str) -> Home {
        let email = format!("owner@{}.example", name.to_lowercase());
        let new = NewTenant {
            realm: realm.parse().expect("a realm"),
            name: name.to_owned(),
            plan: plan.parse().expect("a plan"),
            organization: format!("{name} HQ"),
            owner: email.parse().expect("an address"),
            password_hash: None,
            unproven_owner: false,
        };
        let made = self.run(self.management().operator().tenant_create(new)).expect("a tenant");
        let (tenant, org) = (made.tenant, made.org);
        let owner = Person { realm: realm.to_owned(), tenant, org, account: made.account, email };
        Home { realm: realm.to_owned(), tenant, org, owner }
    }

    /// The token of a new operator with this role over everything.
    ///
    /// # Panics
    /// If the store does not make it.
    pub fn operator_token(&self, role: &'static str) -> String {
        let name = format!("{role}-{}", self.now().0);
        let new = NewOperator { name, role, realms: None, tenants: None, days: 90 };
        let made = self.run(self.management().operator().operator_create(new)).expect("an operator");
        made.token.expose_text().expect("text").to_owned()
    }

    /// The operator's view of a tenant.
    pub fn store(&self, tenant: TenantId) -> TenantStore {
        self.management().operator().tenant(tenant)
    }

    /// One more organization in the tenant, with the same owner as its ADMIN.
    pub fn org(&self, home: &Home, name: &str) -> Home {
        let org = self.run(self.store(home.tenant).org_create(name)).expect("an organization").org;
        let owner = self.join(home, org, &home.owner.email, "ADMIN");
        Home { org, owner, ..home.clone() }
    }

    /// A new member with this role.
    pub fn member(&self, home: &Home, role: &str) -> Person {
        let id = AccountId::generate(&*self.management().random);
        self.join(home, home.org, &format!("{role}-{id}@people.example"), role)
    }

    /// Makes the person with this address an active member.
    ///
    /// # Panics
    /// If the store does not.
    pub fn join(&self, home: &Home, org: OrgId, email: &str, role: &str) -> Person {
        self.add(home, org, email, role, MemberState::Active)
    }

    /// Makes the person with this address a member in this state.
    ///
    /// # Panics
    /// If the store does not.
    pub fn add(&self, home: &Home, org: OrgId, email: &str, role: &str, state: MemberState) -> Person {
        let (address, role) = (email.parse().expect("an address"), role.parse().expect("a role"));
        let added = self.run(self.store(home.tenant).member_add(org, &address, &role, state));
        let account = added.expect("a member").account;
        Person { realm: home.realm.clone(), tenant: home.tenant, org, account, email: email.to_owned() }
    }

    /// A live key that allows `scope`.
    pub fn key(&self, home: &Home, scope: &str) -> Key {
        self.key_in(home, scope, Environment::Live)
    }

    /// A key that allows `scope` in the environment.
    ///
    /// # Panics
    /// If the store does not make it.
    pub fn key_in(&self, home: &Home, scope: &str, environment: Environment) -> Key {
        let new = NewApiKey {
            org: home.org,
            name: format!("{scope} {environment}"),
            prefix: self.api(&home.realm).api.key_prefix.clone(),
            environment,
            grants: scope.parse().expect("a scope"),
            networks: None,
            expires_at: None,
        };
        let made = self.run(self.store(home.tenant).key_create(new)).expect("a key");
        Key { id: made.view.key, text: made.key.secret.expose_text().expect("a key is text").to_owned() }
    }

    /// A session of the person's that lasts a month.
    ///
    /// # Panics
    /// If the store does not make it.
    pub fn session(&self, person: &Person) -> SessionRecord {
        let store = self.store(person.tenant);
        self.run(store.session_create(person.org, person.account, 30 * 24 * 3600)).expect("a session")
    }

    /// A token of a new session, as the server issues it.
    pub fn token(&self, person: &Person) -> Token {
        let session = self.session(person);
        self.token_in(person, &session)
    }

    /// A token of that session, as the server issues it.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn token_in(&self, person: &Person, session: &SessionRecord) -> Token {
        let member =
            self.run(self.store(person.tenant).member_view(person.org, person.account)).expect("a member");
        let api = &self.api(&person.realm).api;
        let signer = self.signing_key(&person.realm);
        let random = &*self.management().random;
        let issued = identity_tokens::issue(&signer, api, session, &member.role, self.now(), random);
        let issued = issued.expect("a token");
        let part = |at: usize| -> Value {
            let text = issued.text.split('.').nth(at).unwrap_or_default();
            let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
            serde_json::from_slice(&bytes).expect("JSON")
        };
        Token {
            header: part(0),
            claims: part(1),
            session: session.session,
            id: issued.id,
            text: issued.text.clone(),
        }
    }

    /// A token with these claims in place of `token`'s, signed with the realm's own key: `null` takes one out.
    pub fn bent(&self, realm: &str, token: &Token, claims: Value) -> String {
        let merged = merged(&token.claims, claims);
        Unsigned::new(&token.header, &merged).signed(&self.signing_key(realm))
    }

    /// The person's secret for user tokens.
    ///
    /// # Panics
    /// If the store does not make one.
    pub fn user_secret(&self, person: &Person) -> UserSecret {
        let api = self.api(&person.realm).api.name.clone();
        let store = self.store(person.tenant);
        self.run(store.user_secret_issue(&api, person.org, person.account)).expect("a user secret")
    }

    /// The person's user token, as the server makes it.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn user_token(&self, person: &Person) -> String {
        let secret = self.user_secret(person);
        crate::management::user_token_text(&self.api(&person.realm), &secret).expect("a user token")
    }

    /// A user token with these claims in place of the usual ones, signed with the person's own secret.
    pub fn bent_user_token(&self, person: &Person, claims: Value) -> String {
        let secret = self.user_secret(person);
        let usual = json!({
            "sub": person.account.to_string(), "iat": secret.created_at.seconds(), "iss": "syncello",
        });
        let header = json!({ "alg": "HS256", "typ": "user+jwt", "kid": secret.kid });
        Unsigned::new(&header, &merged(&usual, claims)).signed_hs256(secret.secret.expose())
    }
}

fn merged(usual: &Value, other: Value) -> Value {
    let mut merged = usual.clone();
    if let (Some(merged), Value::Object(other)) = (merged.as_object_mut(), other) {
        for (name, value) in other {
            match value {
                Value::Null => merged.remove(&name),
                value => merged.insert(name, value),
            };
        }
    }
    merged
}
