//! What ends a person's tokens: revocation in all its forms, lowered roles, other issuers.

use claviger::Api;
use claviger::api::{ForeignIssuer, TokenRules};
use claviger::directory::{ForeignIdentityRecord, MemberState};
use claviger::key_set::Algorithm;
use claviger::testing::{Home, Someone, TestDoor, TestRequest, Unsigned, keypair, synq};
use serde_json::{Value, json};

use crate::{code, status};

const ORDERS: &str = "/api/v1/orders";

fn ask(test: &TestDoor, token: &str) -> &'static str {
    code(&TestRequest::get(ORDERS).bearer(token).decide(test, &test.synq))
}

/// A door, somebody in it, and a token whose signature the door has seen.
fn remembered() -> (TestDoor, Someone, String) {
    let test = TestDoor::new();
    let someone = test.member(&test.tenant(&test.synq), "EDITOR");
    let token = test.identity_token(&someone);
    assert_eq!(ask(&test, &token), "let in");
    (test, someone, token)
}

#[test]
fn q13_raising_any_generation_ends_the_session() {
    type Raise = fn(&TestDoor, &Someone);
    let raises: [(&str, Raise); 4] = [
        ("tenant", |test, who| {
            test.directory.change_tenant(&who.home.tenant, |record| record.generation += 1);
        }),
        ("organization", |test, who| {
            test.directory.change_org(&(who.home.tenant, who.home.org), |record| record.generation += 1);
        }),
        ("account", |test, who| {
            test.directory.change_account(&who.account, |record| record.generation += 1);
        }),
        ("member", |test, who| {
            let member = (who.home.tenant, who.home.org, who.account);
            test.directory.change_member(&member, |record| record.generation += 1);
        }),
    ];
    for (what, raise) in raises {
        let (test, someone, token) = remembered();
        let bystander = test.identity_token(&test.member(&test.tenant(&test.synq), "EDITOR"));
        raise(&test, &someone);
        assert_eq!(ask(&test, &token), "unauthorized", "{what}, remembered");
        assert_eq!(ask(&test, &test.identity_token(&someone)), "unauthorized", "{what}, unseen");
        assert_eq!(ask(&test, &bystander), "let in", "{what}: another tenant's are left alone");
    }
}

#[test]
fn q13_one_token_one_session_and_nothing_else_of_the_same_person() {
    let (test, someone, token) = remembered();
    let other = test.identity_token(&someone);
    let claims = test.claims(&someone);
    let third = Unsigned::new(&test.header(), &claims).signed(&test.signing_key);
    assert_eq!(ask(&test, &third), "let in");
    test.directory.revoke_token(someone.home.tenant, claims["jti"].as_str().unwrap().parse().unwrap());
    assert_eq!(
        (ask(&test, &third), ask(&test, &token), ask(&test, &other)),
        ("unauthorized", "let in", "let in")
    );

    let elsewhere = Someone { session: test.session(&someone.home, someone.account), ..someone.clone() };
    let elsewhere = test.identity_token(&elsewhere);
    test.directory.change_session(&(someone.home.tenant, someone.session), |record| record.ended = true);
    assert_eq!((ask(&test, &token), ask(&test, &other)), ("unauthorized", "unauthorized"));
    assert_eq!(ask(&test, &elsewhere), "let in");
}

#[test]
fn a_session_that_is_absent_expired_or_somebody_elses_is_no_session() {
    let (test, someone, token) = remembered();
    let key = (someone.home.tenant, someone.session);
    let other = test.member(&someone.home, "ADMIN");
    let borrowed = test.identity_token(&Someone { session: other.session, ..someone.clone() });
    assert_eq!(ask(&test, &borrowed), "unauthorized");
    let other_org =
        test.join(&Home { org: test.org(key.0), ..someone.home.clone() }, someone.account, "ADMIN");
    let moved = test.identity_token(&Someone { session: other_org.session, ..someone.clone() });
    assert_eq!(ask(&test, &moved), "unauthorized", "a session acts in its own organization");

    let mut claims = test.claims(&someone);
    claims.as_object_mut().unwrap().remove("sid");
    let without = Unsigned::new(&test.header(), &claims).signed(&test.signing_key);
    assert_eq!(ask(&test, &without), "unauthorized");
    let end = claviger::clock::Clock::now(&*test.clock).plus_seconds(-5);
    test.directory.change_session(&key, |record| record.expires_at = end);
    assert_eq!(ask(&test, &token), "unauthorized");
    test.directory.take_session(&key);
    assert_eq!(ask(&test, &token), "unauthorized");
}

#[test]
fn q13_a_lowered_role_gives_nothing_of_the_old_one_and_a_raised_one_waits_for_a_new_token() {
    let (test, someone, token) = remembered();
    let member = (someone.home.tenant, someone.home.org, someone.account);
    let post = || code(&TestRequest::new("POST", ORDERS).bearer(&token).decide(&test, &test.synq));
    let delete =
        || code(&TestRequest::new("DELETE", "/api/v1/orders/1").bearer(&token).decide(&test, &test.synq));
    assert_eq!((post(), delete()), ("let in", "forbidden"));
    test.directory.change_member(&member, |record| record.role = "ADMIN".parse().unwrap());
    assert_eq!((post(), delete()), ("let in", "forbidden"));
    test.directory.change_member(&member, |record| record.role = "VIEWER".parse().unwrap());
    assert_eq!((post(), delete(), ask(&test, &token)), ("forbidden", "forbidden", "let in"));
}

#[test]
fn a_remembered_token_expires_and_loses_its_membership_all_the_same() {
    let (test, someone, token) = remembered();
    let member = (someone.home.tenant, someone.home.org, someone.account);
    test.directory.change_member(&member, |record| record.state = MemberState::Removed);
    assert_eq!(ask(&test, &token), "unauthorized");
    test.directory.change_member(&member, |record| record.state = MemberState::Active);
    assert_eq!(ask(&test, &token), "let in");
    test.clock.advance_millis(3_604_999);
    assert_eq!(ask(&test, &token), "let in");
    test.clock.advance_millis(1);
    assert_eq!(ask(&test, &token), "unauthorized");
}

#[test]
fn a_remembered_token_ends_with_its_signing_key() {
    let (test, _, token) = remembered();
    let realm = &test.synq.realm;
    // Another key under the same name did not sign it.
    let replacement = keypair(test.signing_key.kid(), Algorithm::EdDsa);
    test.directory.put_identity_key(realm.clone(), replacement.verifying_key().unwrap());
    assert_eq!(ask(&test, &token), "unauthorized");
    test.directory.put_identity_key(realm.clone(), test.signing_key.verifying_key().unwrap());
    assert_eq!(ask(&test, &token), "let in");
    test.directory.take_identity_key(realm, test.signing_key.kid());
    assert_eq!(ask(&test, &token), "unauthorized");
}

#[test]
fn what_one_api_remembers_is_nothing_to_another() {
    let (test, _, token) = remembered();
    let mut twin = synq();
    twin.name = "twin".parse().unwrap();
    twin.identity_tokens.audience = "twin".into();
    let at = |api: &Api| code(&TestRequest::get(ORDERS).bearer(&token).decide(&test, api));
    assert_eq!(at(&twin), "unauthorized", "another audience");
    assert_eq!(at(&test.syncello), "unauthorized", "another realm");
    // The same API with its rules changed: what is remembered is held against today's.
    let strict =
        Api { identity_tokens: TokenRules { lifetime_seconds: 600, ..synq().identity_tokens }, ..synq() };
    assert_eq!(at(&strict), "unauthorized");
    let keys_only = Api { credentials: Default::default(), ..synq() };
    assert_eq!(at(&keys_only), "unauthorized");
    assert_eq!(at(&test.synq), "let in");
}

/// Synq, trusting `https://idp.example` for one tenant.
struct Abroad {
    test: TestDoor,
    api: Api,
    key: claviger::key_set::SigningKey,
    someone: Someone,
}

impl Abroad {
    fn new(kid: &str) -> Self {
        let test = TestDoor::new();
        let key = keypair(kid, Algorithm::Es256);
        let someone = test.member(&test.tenant(&test.synq), "EDITOR");
        let rules = TokenRules {
            issuer: "https://idp.example".into(),
            audience: "synq".into(),
            typ: "at+jwt".into(),
            lifetime_seconds: 3600,
        };
        let issuer = ForeignIssuer {
            rules,
            keys: vec![key.verifying_key().unwrap()],
            tenants: vec![someone.home.tenant],
        };
        let api = Api { foreign_issuers: vec![issuer], ..synq() };
        Self { test, api, key, someone }
    }

    fn link(&self, home: &Home, not_before: i64) {
        let record = ForeignIdentityRecord {
            tenant: home.tenant,
            account: self.someone.account,
            not_before: claviger::clock::UnixMillis::from_seconds(not_before),
        };
        self.test
            .directory
            .put_foreign((home.tenant, "https://idp.example".into(), "their-42".into()), record);
    }

    fn claims(&self) -> Value {
        let mut claims = self.test.claims(&self.someone);
        claims["iss"] = json!("https://idp.example");
        claims["sub"] = json!("their-42");
        claims.as_object_mut().unwrap().remove("sid");
        claims
    }

    fn ask(&self, claims: &Value) -> Result<claviger::Permit, claviger::Refusal> {
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.key.kid() });
        let token = Unsigned::new(&header, claims).signed(&self.key);
        TestRequest::get(ORDERS).bearer(&token).decide(&self.test, &self.api)
    }
}

#[test]
fn a_foreign_issuer_speaks_only_of_linked_people_in_its_own_tenants() {
    let abroad = Abroad::new("theirs");
    assert_eq!(status(&abroad.ask(&abroad.claims())), 401, "nobody is linked yet");
    abroad.link(&abroad.someone.home, 0);
    let permit = abroad.ask(&abroad.claims()).unwrap();
    assert_eq!(permit.principal().account(), Some(abroad.someone.account));

    let elsewhere = abroad.test.tenant(&abroad.api);
    abroad.test.join(&elsewhere, abroad.someone.account, "ADMIN");
    abroad.link(&elsewhere, 0);
    let mut claims = abroad.claims();
    claims["tenant_id"] = json!(elsewhere.tenant.to_string());
    claims["org_id"] = json!(elsewhere.org.to_string());
    assert_eq!(status(&abroad.ask(&claims)), 401, "a tenant it was not registered for");
    assert_eq!(abroad.test.directory.looked_up(claviger::testing::Lookup::Tenant), 2, "nor is it looked up");

    for (name, value) in [
        ("iss", json!("https://synq.example")),
        ("sub", json!("their-43")),
        ("sub", json!(abroad.someone.account.to_string())),
        ("aud", json!("elsewhere")),
    ] {
        let mut claims = abroad.claims();
        claims[name] = value;
        assert_eq!(status(&abroad.ask(&claims)), 401, "{name}");
    }
}

#[test]
fn a_foreign_token_from_before_the_links_floor_is_401() {
    let abroad = Abroad::new("theirs");
    let iat = abroad.claims()["iat"].as_i64().unwrap();
    let claims = abroad.claims();
    abroad.link(&abroad.someone.home, iat);
    assert_eq!(status(&abroad.ask(&claims)), 200);
    abroad.link(&abroad.someone.home, iat + 1);
    assert_eq!(status(&abroad.ask(&claims)), 401, "remembered or not");
}

#[test]
fn a_foreign_sid_never_passes_for_a_session_of_ours() {
    let abroad = Abroad::new("theirs");
    abroad.link(&abroad.someone.home, 0);
    let victim = abroad.test.member(&abroad.someone.home, "ADMIN");
    for sid in [json!(victim.session.to_string()), json!("opaque-to-us")] {
        let mut claims = abroad.claims();
        claims["sid"] = sid;
        let permit = abroad.ask(&claims).unwrap();
        assert_eq!(permit.principal().session(), None);
    }
}

#[test]
fn where_a_foreign_key_has_our_keys_name_ours_decides() {
    let abroad = Abroad::new("own-1");
    abroad.link(&abroad.someone.home, 0);
    assert_eq!(status(&abroad.ask(&abroad.claims())), 401);
    let own = abroad.test.identity_token(&abroad.someone);
    let ask = |token: &str| TestRequest::get(ORDERS).bearer(token).decide(&abroad.test, &abroad.api);
    assert_eq!(status(&ask(&own)), 200);
    // With ours gone, a foreign key of its name does not revive what ours signed.
    abroad.test.directory.take_identity_key(&abroad.api.realm, "own-1");
    assert_eq!(status(&ask(&own)), 401);
}

#[test]
fn a_foreign_key_signs_nothing_in_our_name() {
    let abroad = Abroad::new("theirs");
    abroad.link(&abroad.someone.home, 0);
    let ours = abroad.test.claims(&abroad.someone);
    assert_eq!(status(&abroad.ask(&abroad.claims())), 200);
    assert_eq!(status(&abroad.ask(&ours)), 401);
}
