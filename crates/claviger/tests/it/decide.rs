//! Who is let in, and which status says why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger::api::{Api, ApiSettings, HeaderMode, IdentityHeaders};
use claviger::credential::CredentialKind;
use claviger::directory::{
    Annotated, AnnotationRecord, DirectoryError, MemberState, OwnedSubject, Record, State,
};
use claviger::grants::Access;
use claviger::id::Environment;
use claviger::limit_rule::LimitState;
use claviger::need::Need;
use claviger::network::{Client, Networks};
use claviger::refusal::{Reason, Refusal};
use claviger::route::{Paths, Route, RouteTable};
use claviger::secret::Secret;
use claviger::target::{Oddities, Target};
use claviger::testing::{Lookup, Silence, TestDoor, TestRequest, api, now, synaptiq, synq};
use claviger::{Door, DoorSettings};
use proptest::prelude::*;

use crate::{code, status};

const ORDERS: &str = "/api/v1/orders";
const LEADS: &str = "/api/v1/leads";

#[test]
fn each_reason_has_its_status_and_code() {
    let state =
        LimitState { name: "minute".into(), limit: 1, remaining: 0, reset_millis: 0, retry_after_seconds: 1 };
    let why = "a test";
    let access = Access::Write;
    for (reason, status, code) in [
        (Reason::MalformedRequest { why }, 400, "bad_request"),
        (Reason::NoCredential, 401, "unauthorized"),
        (Reason::AmbiguousCredential, 401, "unauthorized"),
        (Reason::MalformedCredential { why }, 401, "unauthorized"),
        (Reason::CredentialNotAccepted { kind: CredentialKind::ApiKey }, 401, "unauthorized"),
        (Reason::BadCredential { why: why.into() }, 401, "unauthorized"),
        (Reason::HttpsRequired, 403, "https_required"),
        (Reason::IdentityClaimsMissing, 403, "identity_missing"),
        (Reason::IdentityHeaders { why }, 403, "identity_missing"),
        (Reason::OtherTenant, 403, "identity_mismatch"),
        (Reason::OtherOrg, 403, "identity_mismatch"),
        (Reason::TenantSuspended, 403, "not_active"),
        (Reason::OrgSuspended, 403, "not_active"),
        (Reason::AccountSuspended, 403, "not_active"),
        (Reason::MemberNotActive, 403, "not_active"),
        (Reason::EmailNotVerified, 403, "not_active"),
        (Reason::RoleUnknown, 403, "forbidden"),
        (Reason::AccessMissing { resource: None, needed: access }, 403, "forbidden"),
        (Reason::KindNotAllowedHere { kind: CredentialKind::UserToken }, 403, "forbidden"),
        (Reason::NetworkNotAllowed { from: Client::At([192, 0, 2, 1].into()) }, 403, "network_not_allowed"),
        (Reason::NoSuchRoute, 404, "not_found"),
        (Reason::MethodNotAllowed { allow: "GET".into() }, 405, "method_not_allowed"),
        (Reason::TargetTooLong, 414, "uri_too_long"),
        (Reason::TooMany(state), 429, "rate_limited"),
        (Reason::TooManyLookups { retry_after_seconds: 1 }, 429, "rate_limited"),
        (Reason::Internal { why }, 500, "internal"),
        (Reason::Directory(DirectoryError::Overloaded), 503, "unavailable"),
    ] {
        let refusal = Refusal::new(reason.clone());
        assert_eq!((refusal.status().as_u16(), refusal.code().as_str()), (status, code), "{reason:?}");
    }
}

#[test]
fn q02_anything_but_one_bearer_credential_is_401() {
    let test = TestDoor::new();
    let editor = test.member(&test.tenant(&test.synq), "EDITOR");
    let token = test.identity_token(&editor);
    let ask = |request: TestRequest| request.decide(&test, &test.synq);
    assert_eq!(code(&ask(TestRequest::get(ORDERS).bearer(&token))), "let in");
    for written in [format!("bEaReR {token}"), format!("Bearer  {token}"), format!("bearer   {token}")] {
        assert_eq!(code(&ask(TestRequest::get(ORDERS).header("authorization", &written))), "let in");
    }

    let get = || TestRequest::get(ORDERS);
    for (what, request) in [
        ("nothing", get()),
        ("an empty header", get().header("authorization", "")),
        ("no token", get().header("authorization", "Bearer")),
        ("an empty token", get().header("authorization", "Bearer ")),
        ("another scheme", get().header("authorization", &format!("Basic {token}"))),
        ("no scheme", get().header("authorization", &token)),
        ("two headers", get().bearer(&token).bearer(&token)),
        ("two headers, one of them empty", get().bearer(&token).header("authorization", "")),
        ("two tokens", get().header("authorization", &format!("Bearer {token}, Bearer {token}"))),
        ("a tab", get().header("authorization", &format!("Bearer\t{token}"))),
        ("something behind it", get().bearer(&format!("{token} x"))),
        ("quotes", get().bearer(&format!("\"{token}\""))),
        ("other characters than ASCII", get().bearer(&format!("{token}\u{e9}"))),
        ("the query", TestRequest::get(&format!("{ORDERS}?access_token={token}&token={token}"))),
        ("another header", get().header("x-api-key", &token).header("proxy-authorization", &token)),
        ("a cookie", get().header("cookie", &format!("authorization={token}"))),
    ] {
        assert_eq!((status(&ask(request.clone())), code(&ask(request))), (401, "unauthorized"), "{what}");
    }
}

#[test]
fn q04_required_headers_are_403_where_one_is_missing_and_401_without_a_credential() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synq);
    let token = test.identity_token(&test.member(&home, "VIEWER"));
    let strict = api(ApiSettings {
        identity_headers: IdentityHeaders { mode: HeaderMode::Required, ..synq().identity_headers },
        ..synq()
    });
    let (tenant, org) = (home.tenant.to_string(), home.org.to_string());
    let get = || TestRequest::get(ORDERS).bearer(&token);
    let both = || get().header("X-Tenant-ID", &tenant).header("X-Org-ID", &org);
    assert_eq!(code(&both().decide(&test, &strict)), "let in");
    assert_eq!(code(&get().header("x-tenant-id", &tenant).decide(&test, &strict)), "identity_missing");
    assert_eq!(code(&get().header("x-org-id", &org).decide(&test, &strict)), "identity_missing");
    assert_eq!(code(&get().decide(&test, &strict)), "identity_missing");
    let nobody = TestRequest::get(ORDERS).header("x-tenant-id", &tenant).header("x-org-id", &org);
    assert_eq!(status(&nobody.decide(&test, &strict)), 401);
    // q06: a tenant tightens what the API leaves open, and loosens nothing.
    assert_eq!(code(&get().decide(&test, &test.synq)), "let in");
    test.directory.change_tenant(&home.tenant, |record| record.requires_identity_headers = true);
    assert_eq!(code(&get().decide(&test, &test.synq)), "identity_missing");
    assert_eq!(code(&both().decide(&test, &test.synq)), "let in");
}

#[test]
fn q07_another_id_than_the_tokens_is_403_wherever_it_stands() {
    let test = TestDoor::new();
    let (home, rival) = (test.tenant(&test.synq), test.tenant(&test.synq));
    let token = test.identity_token(&test.member(&home, "ADMIN"));
    let get = |target: &str| TestRequest::get(target).bearer(&token);
    let (own, other) = (home.tenant.to_string(), rival.tenant.to_string());
    let good = format!("{ORDERS}?tenant_id={own}&org_id={}&tenant_id={}", home.org, own.to_uppercase());
    let permit = get(&good).header("x-tenant-id", &own.to_uppercase()).decide(&test, &test.synq).unwrap();
    assert_eq!(permit.tenant(), home.tenant);

    let v1 = "a3f8c120-4e72-1b91-9d63-1c5e7a09bf44";
    for (what, request, expected) in [
        ("tenant header", get(ORDERS).header("x-tenant-id", &other), "identity_mismatch"),
        ("org header", get(ORDERS).header("x-org-id", &rival.org.to_string()), "identity_mismatch"),
        ("tenant id as org id", get(ORDERS).header("x-org-id", &own), "identity_mismatch"),
        ("tenant query", get(&format!("{ORDERS}?tenant_id={other}")), "identity_mismatch"),
        ("tenant query, repeated", get(&format!("{good}&tenant_id={other}")), "identity_mismatch"),
        ("tenant query, subscripted", get(&format!("{ORDERS}?tenant_id[]={other}")), "identity_mismatch"),
        ("tenant query, encoded", get(&format!("{ORDERS}?%74enant%5Fid={other}")), "identity_mismatch"),
        ("tenant query, empty", get(&format!("{ORDERS}?tenant_id=")), "identity_mismatch"),
        ("org query", get(&format!("{ORDERS}?org_id={}", rival.org)), "identity_mismatch"),
        ("tenant header, empty", get(ORDERS).header("x-tenant-id", ""), "identity_missing"),
        ("tenant header, not version 4", get(ORDERS).header("x-tenant-id", v1), "identity_missing"),
        (
            "tenant header, twice",
            get(ORDERS).header("x-tenant-id", &own).header("x-tenant-id", &own),
            "identity_missing",
        ),
    ] {
        let outcome = request.decide(&test, &test.synq);
        assert_eq!((status(&outcome), code(&outcome)), (403, expected), "{what}");
    }
}

#[test]
fn which_status_gone_is_401_and_not_active_is_403() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synq);
    let someone = test.member(&home, "EDITOR");
    let token = test.identity_token(&someone);
    let api = api(ApiSettings { requires_verified_email: true, ..synq() });
    let ask = || code(&TestRequest::get(ORDERS).bearer(&token).decide(&test, &api));
    let directory = &test.directory;
    let (org, member) = ((home.tenant, home.org), (home.tenant, home.org, someone.account));
    assert_eq!(ask(), "let in");

    for (state, expected) in [(State::Suspended, "not_active"), (State::Deleted, "unauthorized")] {
        directory.change_tenant(&home.tenant, |record| record.state = state);
        assert_eq!(ask(), expected, "tenant {state:?}");
        directory.change_tenant(&home.tenant, |record| record.state = State::Active);
        directory.change_org(&org, |record| record.state = state);
        assert_eq!(ask(), expected, "organization {state:?}");
        directory.change_org(&org, |record| record.state = State::Active);
        directory.change_account(&someone.account, |record| record.state = state);
        assert_eq!(ask(), expected, "account {state:?}");
        directory.change_account(&someone.account, |record| record.state = State::Active);
    }
    for (state, expected) in [
        (MemberState::Invited, "not_active"),
        (MemberState::Suspended, "not_active"),
        (MemberState::Removed, "unauthorized"),
    ] {
        directory.change_member(&member, |record| record.state = state);
        assert_eq!(ask(), expected, "member {state:?}");
    }
    directory.change_member(&member, |record| record.state = MemberState::Active);
    directory.change_account(&someone.account, |record| record.email_verified = false);
    assert_eq!(ask(), "not_active");
    directory.change_account(&someone.account, |record| record.email_verified = true);
    directory.change_member(&member, |record| record.role = "OWNER".parse().unwrap());
    assert_eq!(ask(), "forbidden", "a role nobody knows");
    directory.change_member(&member, |record| record.role = "editor".parse().unwrap());
    assert_eq!(ask(), "let in", "role names compare without case");

    directory.change_session(&(home.tenant, someone.session), |record| record.ended = true);
    assert_eq!(ask(), "unauthorized", "session ended");
    directory.take_member(&member);
    assert_eq!(ask(), "unauthorized");
}

#[test]
fn q15_each_role_does_what_its_bundle_says_and_no_more() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synq);
    let members = "/api/v1/organization/members";
    let order = "/api/v1/orders/1";
    for (role, post_orders, post_integrations, delete_order, invite) in [
        ("ADMIN", "let in", "let in", "let in", "let in"),
        ("EDITOR", "let in", "forbidden", "forbidden", "forbidden"),
        ("MEMBER", "let in", "forbidden", "forbidden", "forbidden"),
        ("VIEWER", "forbidden", "forbidden", "forbidden", "forbidden"),
        ("OWNER", "forbidden", "forbidden", "forbidden", "forbidden"),
    ] {
        let token = test.identity_token(&test.member(&home, role));
        let ask =
            |method, path| code(&TestRequest::new(method, path).bearer(&token).decide(&test, &test.synq));
        let reads = if role == "OWNER" { "forbidden" } else { "let in" };
        assert_eq!(ask("GET", ORDERS), reads, "{role}");
        assert_eq!(ask("GET", members), reads, "{role}");
        assert_eq!(ask("POST", ORDERS), post_orders, "{role}");
        assert_eq!(ask("POST", "/api/v1/integrations"), post_integrations, "{role}");
        assert_eq!(ask("DELETE", order), delete_order, "{role}");
        assert_eq!(ask("POST", members), invite, "{role}");
    }
}

#[test]
fn a05_a06_a07_each_scope_does_what_it_says_and_no_more() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let keys: Vec<_> = ["read", "write", "admin"].iter().map(|scope| test.key(&home, scope)).collect();
    for (method, path, expected) in [
        ("GET", LEADS, ["let in", "let in", "let in"]),
        ("HEAD", LEADS, ["let in", "let in", "let in"]),
        ("OPTIONS", LEADS, ["let in", "let in", "let in"]),
        ("GET", "/api/v1/conversations", ["let in", "let in", "let in"]),
        ("GET", "/api/v1/analytics/overview", ["let in", "let in", "let in"]),
        ("POST", LEADS, ["forbidden", "let in", "let in"]),
        ("PATCH", "/api/v1/leads/1", ["forbidden", "let in", "let in"]),
        ("POST", "/api/v1/chat", ["forbidden", "let in", "let in"]),
        ("DELETE", "/api/v1/leads/1", ["forbidden", "forbidden", "let in"]),
        ("GET", "/api/v1/keys", ["forbidden", "forbidden", "let in"]),
        ("POST", "/api/v1/keys", ["forbidden", "forbidden", "let in"]),
        ("GET", "/api/v1/webhooks", ["forbidden", "forbidden", "let in"]),
        ("GET", "/API/V1/KEYS/", ["forbidden", "forbidden", "let in"]),
        ("GET", "/api/v1/%6Beys", ["forbidden", "forbidden", "let in"]),
        ("PUT", LEADS, ["method_not_allowed"; 3]),
        ("PUT", "/api/v1/elsewhere", ["method_not_allowed"; 3]),
        ("get", LEADS, ["method_not_allowed"; 3]),
    ] {
        for (key, expected) in keys.iter().zip(expected) {
            let outcome = TestRequest::new(method, path).bearer(&key.text).decide(&test, &test.synaptiq);
            assert_eq!(code(&outcome), expected, "{method} {path}");
        }
    }
    let nothing = test.key(&home, "");
    assert_eq!(status(&TestRequest::get(LEADS).bearer(&nothing.text).decide(&test, &test.synaptiq)), 403);
}

#[test]
fn a_credential_of_one_system_is_401_at_the_other_two() {
    let test = TestDoor::new();
    let synq = test.identity_token(&test.member(&test.tenant(&test.synq), "ADMIN"));
    let synaptiq = test.key(&test.tenant(&test.synaptiq), "admin").text;
    let person = test.member(&test.tenant(&test.syncello), "ADMIN");
    let syncello = test.user_token(&test.syncello, &test.user_secret(&test.syncello, &person));
    let apis = [&test.synq, &test.synaptiq, &test.syncello];
    for (at, credential) in [synq, synaptiq, syncello].iter().enumerate() {
        for (api_at, api) in apis.iter().enumerate() {
            let outcome = TestRequest::get("/v1/tools").bearer(credential).decide(&test, api);
            assert_eq!(status(&outcome), if at == api_at { 200 } else { 401 }, "credential {at} at {api}");
        }
    }
}

#[test]
fn a_credential_of_one_realm_is_401_in_another_even_where_its_kind_is_taken() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "admin").text;
    let elsewhere = api(ApiSettings { realm: "elsewhere".parse().unwrap(), ..synaptiq() });
    let ask = |api: &Arc<Api>| status(&TestRequest::get(LEADS).bearer(&key).decide(&test, api));
    assert_eq!((ask(&test.synaptiq), ask(&elsewhere)), (200, 401));
    // A token under a key of its own realm does not reach a tenant of another.
    let home = test.tenant(&test.synaptiq);
    let stray = claviger::testing::Home { realm: test.synq.realm.clone(), ..home };
    let token = test.identity_token(&test.member(&stray, "ADMIN"));
    assert_eq!(status(&TestRequest::get(ORDERS).bearer(&token).decide(&test, &test.synq)), 401);
}

#[test]
fn of_two_readings_of_a_path_the_credential_needs_both() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let route =
        |path: &str, resource: &str| Route::new(path, resource.parse().unwrap(), vec![http::Method::GET]);
    let routes = vec![route("/leads/{id}", "leads"), route("/leads/export", "exports")];
    let routes = RouteTable::new(routes, Paths::Lenient, None, Oddities::default()).unwrap();
    let api = api(ApiSettings { routes, ..synaptiq() });
    for (grants, by_its_name, in_disguise) in
        [("leads:read", 403, 403), ("exports:read", 200, 403), ("leads:read exports:read", 200, 200)]
    {
        let key = test.key(&home, grants).text;
        let ask = |path: &str| status(&TestRequest::get(path).bearer(&key).decide(&test, &api));
        assert_eq!(ask("/leads/export"), by_its_name, "{grants}");
        assert_eq!(ask("/leads/EXPORT"), in_disguise, "{grants}");
        assert_eq!(ask("/leads/%65xport"), in_disguise, "{grants}");
    }
}

#[test]
fn a04_plain_http_is_403_whatever_the_credential() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let get = || TestRequest::get(LEADS);
    assert_eq!(code(&get().bearer(&key).decide(&test, &test.synaptiq)), "let in");
    for request in [get(), get().bearer(&key), get().bearer("sk_live_made_up")] {
        assert_eq!(code(&request.in_clear().decide(&test, &test.synaptiq)), "https_required");
    }
}

#[test]
fn a_broken_directory_is_503_and_never_401() {
    let test = TestDoor::new();
    let person = test.member(&test.tenant(&test.synq), "ADMIN");
    let user = test.member(&test.tenant(&test.syncello), "ADMIN");
    let user_token = test.user_token(&test.syncello, &test.user_secret(&test.syncello, &user));
    let key = test.key(&test.tenant(&test.synaptiq), "admin").text;
    let remembered = test.identity_token(&person);
    let ask = |api: &Arc<Api>, credential: &str| {
        TestRequest::get("/v1/tools").bearer(credential).decide(&test, api)
    };
    let person_needs =
        [Lookup::IdentityKey, Lookup::Tenant, Lookup::Org, Lookup::Account, Lookup::Member, Lookup::Session];
    let user_needs = [Lookup::UserSecret, Lookup::Tenant, Lookup::Org, Lookup::Account, Lookup::Member];
    let key_needs = [Lookup::Key, Lookup::Tenant, Lookup::Org];
    assert_eq!(status(&ask(&test.synq, &remembered)), 200);
    for asks in [false, true] {
        test.directory.ask(asks);
        for lookup in Lookup::ALL {
            test.directory.fail(&[lookup]);
            let expected = |needs: &[Lookup]| if needs.contains(&lookup) { 503 } else { 200 };
            assert_eq!(status(&ask(&test.synq, &remembered)), expected(&person_needs), "{lookup:?}");
            let unseen = test.identity_token(&person);
            assert_eq!(status(&ask(&test.synq, &unseen)), expected(&person_needs), "{lookup:?}");
            assert_eq!(status(&ask(&test.syncello, &user_token)), expected(&user_needs), "{lookup:?}");
            assert_eq!(status(&ask(&test.synaptiq, &key)), expected(&key_needs), "{lookup:?}");
        }
    }
}

#[test]
fn a_stale_directory_is_asked_once_and_then_503() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let ask = || TestRequest::get(LEADS).bearer(&key).decide(&test, &test.synaptiq);
    test.directory.silence(Silence::Ends);
    assert_eq!(status(&ask()), 200);
    assert_eq!(status(&ask()), 200);
    assert_eq!(test.directory.catch_ups(), 1);
    test.directory.silence(Silence::Lasts);
    let refusal = ask().unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.retry_after_seconds()), (503, Some(1)));
    assert_eq!(test.directory.catch_ups(), 2);
    assert_eq!(test.directory.looked_up(Lookup::Key), 2, "nothing is looked up in what is not believed");
}

#[test]
fn a_key_ends_with_itself_its_secret_and_its_home() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let ask = |text: &str| code(&TestRequest::get(LEADS).bearer(text).decide(&test, &test.synaptiq));
    let now = claviger::clock::Clock::now(&*test.clock);
    let later = now.plus_seconds(60);
    let change = |change: &dyn Fn(&mut claviger::directory::KeyRecord)| {
        let key = test.key(&home, "read");
        assert_eq!(ask(&key.text), "let in");
        test.directory.change_key(&key.digest, |record| change(record));
        ask(&key.text)
    };
    assert_eq!(change(&|record| record.state = State::Suspended), "unauthorized");
    assert_eq!(change(&|record| record.state = State::Deleted), "unauthorized");
    assert_eq!(change(&|record| record.secret_revoked = true), "unauthorized");
    assert_eq!(change(&|record| record.expires_at = Some(now)), "unauthorized");
    assert_eq!(change(&|record| record.environment = Environment::Test), "unauthorized");
    assert_eq!(change(&|record| record.expires_at = Some(later)), "let in");
    assert_eq!(change(&|record| record.networks = Some(Networks::default())), "network_not_allowed");
    let networks = || Networks::new(vec!["192.0.2.0/24".parse().unwrap()]);
    assert_eq!(change(&|record| record.networks = Some(networks())), "let in");

    let key = test.key(&home, "read");
    test.directory.change_tenant(&home.tenant, |record| record.state = State::Deleted);
    assert_eq!(ask(&key.text), "unauthorized");
}

#[test]
fn syncellos_account_pages_take_no_user_token() {
    let test = TestDoor::new();
    let person = test.member(&test.tenant(&test.syncello), "ADMIN");
    let user_token = test.user_token(&test.syncello, &test.user_secret(&test.syncello, &person));
    let session_token = test.identity_token(&person);
    let ask = |path, token: &str| code(&TestRequest::get(path).bearer(token).decide(&test, &test.syncello));
    assert_eq!(ask("/v1/tools", &user_token), "let in");
    assert_eq!(ask("/v1/account/token", &session_token), "let in");
    assert_eq!(ask("/v1/account/token", &user_token), "forbidden");
    assert_eq!(ask("/V1/Account/%74oken/", &user_token), "forbidden");
}

#[test]
fn a_door_can_be_put_together_from_its_parts() {
    let test = TestDoor::new();
    let pepper = Secret::new(vec![0x17; 32]);
    let peppers = claviger::api_key::Peppers::new(("k1".parse().unwrap(), &pepper), []);
    let settings = DoorSettings { verified_token_bytes: 0, empty_lookups_per_minute: 1 };
    let door = Door::new(test.directory.clone(), test.clock.clone(), peppers, settings);
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let request = TestRequest::get(LEADS).bearer(&key);
    let inbound = request.inbound(Target::of(&request.uri).unwrap());
    assert!(now(door.decide(&test.synaptiq, &inbound)).is_ok());
    let by = |access| {
        now(door.decide_for(&test.synaptiq, &inbound, &Arc::new(Need::of("leads".parse().unwrap(), access))))
    };
    assert!(by(Access::Read).is_ok());
    assert_eq!(by(Access::Write).unwrap_err().status(), 403);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever stands in the headers: no panic, and nobody is let in without a good credential.
    #[test]
    fn a_soup_of_headers_lets_nobody_in(
        headers in prop::collection::vec(
            (
                prop::sample::select(vec!["authorization", "x-tenant-id", "x-org-id", "cookie", "x_tenant_id"]),
                prop_oneof![
                    "[ -~]{0,80}",
                    "(Bearer|bearer|Basic) ?(sk_(live|test)_[a-z0-9]{0,4}_?[a-zA-Z0-9]{0,45}|[A-Za-z0-9_.=+/-]{0,60})",
                    "Bearer eyJ[A-Za-z0-9_-]{0,40}\\.eyJ[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,90}",
                ],
            ),
            0..4,
        ),
        path in "/[a-zA-Z0-9/%.{}*_-]{0,40}(\\?[ -~&&[^# <>\"`{}|\\\\^]]{0,30})?",
        method in prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"]),
        good in any::<bool>(),
    ) {
        let Ok(uri) = path.parse::<http::Uri>() else { return Ok(()) };
        let test = TestDoor::new();
        test.directory.ask(true);
        let mut request = TestRequest::new(method, "/");
        request.uri = uri;
        for (name, value) in headers {
            let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes()) else { continue };
            request.headers.append(name, value);
        }
        for api in [&test.synq, &test.synaptiq, &test.syncello] {
            prop_assert!(request.decide(&test, api).is_err());
        }
        // A good credential among the soup is either let in as itself or refused; never as somebody else.
        if good {
            let api = api(synaptiq());
            let home = test.tenant(&api);
            let key = test.key(&home, "admin").text;
            if let Ok(permit) = request.bearer(&key).decide(&test, &api) {
                prop_assert_eq!(permit.tenant(), home.tenant);
            }
        }
    }
}

#[test]
fn an_explanation_says_what_others_call_whom_and_nobody_is_refused_for_it() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let key = test.key(&home, "read");
    let call = |about: Annotated, id: &str| {
        let subject = OwnedSubject::Annotation(home.tenant, about.kind().into(), about.entity().into());
        let external_id = Some(id.to_owned());
        let record = AnnotationRecord { tenant: home.tenant, external_id, metadata: BTreeMap::new() };
        test.directory.put(subject, Record::Annotation(Arc::new(record)));
    };
    let request = TestRequest::get(LEADS).bearer(&key.text);
    let told = || {
        let inbound = request.inbound(Target::of(&request.uri).unwrap());
        let told = now(test.door.explain(&test.synaptiq, &inbound));
        assert!(told.refusal().is_none());
        told.steps().iter().map(|(step, said)| format!("{step}: {said}\n")).collect::<String>()
    };
    assert!(!told().contains("to others"));
    call(Annotated::Tenant(home.tenant), "cus_1");
    call(Annotated::Key(key.id), "backup");
    let said = told();
    assert!(said.contains("the tenant is `cus_1` to others: the key is `backup` to others"), "{said}");
    test.directory.fail(&[Lookup::Annotation]);
    assert!(told().contains("what others call them is not known"), "{}", told());
}
