//! What ends a person's tokens: revocation in all its forms, lowered roles, other issuers.

use std::sync::Arc;

use claviger::api::{Api, ApiSettings, TokenRules};
use claviger::directory::MemberState;
use claviger::key_set::Algorithm;
use claviger::testing::{Home, Someone, TestDoor, TestRequest, Unsigned, api, keypair, synq};

use crate::code;

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
            test.directory.change_tenant(&who.home.tenant, |record| record.floor.generation += 1);
        }),
        ("organization", |test, who| {
            test.directory
                .change_org(&(who.home.tenant, who.home.org), |record| record.floor.generation += 1);
        }),
        ("account", |test, who| {
            test.directory.change_account(&who.account, |record| record.floor.generation += 1);
        }),
        ("member", |test, who| {
            let member = (who.home.tenant, who.home.org, who.account);
            test.directory.change_member(&member, |record| record.floor.generation += 1);
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
    let twin = ApiSettings {
        name: "twin".parse().unwrap(),
        identity_tokens: TokenRules { audience: "twin".into(), ..synq().identity_tokens },
        ..synq()
    };
    let at = |api: &Arc<Api>| code(&TestRequest::get(ORDERS).bearer(&token).decide(&test, api));
    assert_eq!(at(&api(twin)), "unauthorized", "another audience");
    assert_eq!(at(&test.syncello), "unauthorized", "another realm");
    // The same API with its rules changed: what is remembered is not held against today's, but forgotten.
    let rules = TokenRules { lifetime_seconds: 600, ..synq().identity_tokens };
    assert_eq!(at(&api(ApiSettings { identity_tokens: rules, ..synq() })), "unauthorized");
    let keys_only = [claviger::credential::CredentialKind::ApiKey].into_iter().collect();
    assert_eq!(at(&api(ApiSettings { credentials: keys_only, ..synq() })), "unauthorized");
    assert_eq!(at(&test.synq), "let in");
}
