//! Routes that ask for nobody.

use std::sync::Arc;

use claviger::api::{Api, ApiSettings};
use claviger::limit_rule::{Amount, Form, LimitRule, Per, PerAccess};
use claviger::need::Need;
use claviger::refusal::Reason;
use claviger::route::{Level, Route, RouteAccess};
use claviger::target::Target;
use claviger::testing::{Lookup, TestDoor, TestRequest, api, now, synaptiq, table};
use claviger::{Admitted, Refusal};
use http::Method;

use crate::code;

fn route(path: &str, access: RouteAccess) -> Route {
    Route { access, ..Route::new(path, "status".parse().unwrap(), vec![Method::GET, Method::POST]) }
}

fn with_limits(limits: Vec<LimitRule>) -> Arc<Api> {
    let routes = table(vec![
        route("/status", RouteAccess::Every(Level::Public)),
        route("/items", RouteAccess::PerMethod(vec![(Method::GET, Level::Public)])),
    ]);
    api(ApiSettings { routes, limits, ..synaptiq() })
}

fn limit(per: Per, form: Form, amounts: PerAccess) -> LimitRule {
    LimitRule {
        name: format!("{per:?}").into(),
        per,
        form,
        amount: Amount { by_plan: Vec::new(), otherwise: amounts },
    }
}

const MINUTE: Form = Form::Sliding { window_millis: 60_000 };

fn is_public(outcome: &Result<Admitted, Refusal>) -> bool {
    matches!(outcome, Ok(Admitted::Public(_)))
}

#[test]
fn a04_nobody_is_asked_and_what_is_shown_is_not_read() {
    let test = TestDoor::new();
    let api = with_limits(Vec::new());
    test.directory.fail(&Lookup::ALL);
    test.directory.silence(claviger::testing::Silence::Lasts);
    let get = || TestRequest::get("/status");
    for request in [
        get(),
        get().bearer("sk_live_made_up"),
        get().bearer("a").bearer("b"),
        get().header("authorization", "Digest x"),
        get().header("x-tenant-id", "somebody"),
        TestRequest::new("HEAD", "/STATUS/"),
        TestRequest::new("POST", "/status?tenant_id=other"),
        TestRequest::get("/items"),
    ] {
        assert!(is_public(&request.admit(&test, &api)), "{request:?}");
    }
    assert_eq!(
        Lookup::ALL.map(|lookup| test.directory.looked_up(lookup)),
        [0; Lookup::ALL.len()],
        "nothing is looked up"
    );
    assert_eq!(test.directory.catch_ups(), 0);
    assert_eq!(code(&get().in_clear().decide(&test, &api)), "https_required", "but for its transport");
}

#[test]
fn what_is_not_public_by_its_method_asks_as_ever() {
    let test = TestDoor::new();
    let api = with_limits(Vec::new());
    let key = test.key(&test.tenant(&test.synaptiq), "write").text;
    let ask = |method: &str, path: &str| code(&TestRequest::new(method, path).decide(&test, &api));
    for (method, path) in [("POST", "/items"), ("DELETE", "/status"), ("GET", "/other")] {
        assert_eq!(ask(method, path), "unauthorized", "{method} {path}");
    }
    let known = TestRequest::new("POST", "/items").bearer(&key).admit(&test, &api).unwrap();
    assert!(known.known().is_some() && !known.need().is_public());
}

#[test]
fn public_requests_count_by_address_and_by_nothing_else() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let read = |amount| PerAccess { read: Some(amount), write: Some(1000), admin: Some(1000) };
    let api = with_limits(vec![
        limit(Per::Tenant, MINUTE, PerAccess::flat(0)),
        limit(Per::Credential, MINUTE, PerAccess::flat(0)),
        limit(Per::Address, MINUTE, read(3)),
    ]);
    let get = |from: &str| TestRequest::get("/status").from(from).admit(&test, &api);
    let first = get("192.0.2.1").unwrap();
    assert_eq!((first.limit().unwrap().limit, first.limit().unwrap().remaining), (3, 2));
    assert!(is_public(&get("192.0.2.1")) && is_public(&get("192.0.2.1")));
    let refusal = get("192.0.2.1").unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.retry_after_seconds()), (429, Some(60)));
    assert!(is_public(&get("192.0.2.2")), "another address has its own");
    for last in 1..4 {
        assert!(is_public(&get(&format!("2001:db8::{last}"))));
    }
    assert_eq!(
        code(&get("2001:db8::ffff").map(|_| unreachable!())),
        "rate_limited",
        "an IPv6 network is one"
    );

    // Of a known caller the address counts within the tenant: what strangers used up is not taken from it.
    let api = with_limits(vec![limit(Per::Address, MINUTE, read(3))]);
    let rival = test.tenant(&test.synaptiq);
    let keys = [&home, &home, &rival].map(|home| test.key(home, "read").text);
    let known = |key: &str| TestRequest::get("/other").bearer(key).from("203.0.113.5").decide(&test, &api);
    for _ in 0..3 {
        assert!(is_public(&TestRequest::get("/status").from("203.0.113.5").admit(&test, &api)));
    }
    assert_eq!(keys.each_ref().map(|key| known(key).unwrap().limit().unwrap().remaining), [2, 1, 2]);
    assert!(known(&keys[0]).is_ok());
    assert_eq!((code(&known(&keys[1])), code(&known(&keys[2]))), ("rate_limited", "let in"));
    let elsewhere = TestRequest::get("/other").bearer(&keys[0]).from("198.51.100.9").decide(&test, &api);
    assert_eq!(code(&elsewhere), "let in");
}

#[test]
fn a_public_request_holds_a_place_until_it_is_over() {
    let test = TestDoor::new();
    let api = with_limits(vec![limit(Per::Address, Form::Concurrency, PerAccess::flat(1))]);
    let get = || TestRequest::get("/status").admit(&test, &api);
    let first = get().unwrap();
    assert!(matches!(&first, Admitted::Public(permit) if permit.holds_a_place()));
    let unlimited = TestRequest::get("/status").admit(&test, &with_limits(Vec::new())).unwrap();
    assert!(matches!(&unlimited, Admitted::Public(permit) if !permit.holds_a_place()));
    assert_eq!(get().unwrap_err().status(), 429);
    drop(first);
    assert!(is_public(&get()));
}

#[test]
fn an_embedders_need_is_never_public() {
    let test = TestDoor::new();
    let api = with_limits(Vec::new());
    let request = TestRequest::get("/status");
    let inbound = request.inbound(Target::of(&request.uri).unwrap());
    let public = api.routes.need(&Method::GET, &inbound.target).unwrap();
    assert!(public.is_public());
    let refusal = now(test.door.decide_for(&api, &inbound, &public)).unwrap_err();
    assert!(matches!(refusal.reason(), Reason::Internal { .. }));
    let need = Arc::new(Need::of("status".parse().unwrap(), claviger::grants::Access::Read));
    assert_eq!(now(test.door.decide_for(&api, &inbound, &need)).unwrap_err().status(), 401);
}

#[test]
fn explain_says_that_it_is_public() {
    let test = TestDoor::new();
    let api = with_limits(Vec::new());
    let request = TestRequest::get("/status").bearer("nonsense");
    let told = now(test.door.explain(&api, &request.inbound(Target::of(&request.uri).unwrap())));
    assert!(told.refusal().is_none());
    assert_eq!(told.steps().last().unwrap().1, "ok: API `synaptiq`, needs nothing: it is public");
}
