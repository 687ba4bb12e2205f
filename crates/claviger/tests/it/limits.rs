//! How much a credential may do, exactly.

use std::sync::Arc;

use claviger::api::{Api, ApiSettings};
use claviger::grants::Access;
use claviger::id::Environment;
use claviger::limit_rule::{Amount, Form, LimitRule, Per, PerAccess};
use claviger::refusal::Reason;
use claviger::route::{Level, Paths, Route, RouteAccess, RouteTable};
use claviger::target::{Oddities, Target};
use claviger::testing::{TestDoor, TestRequest, api, now, synaptiq};

use crate::{code, status};

const LEADS: &str = "/api/v1/leads";

fn ask(test: &TestDoor, api: &Arc<Api>, key: &str) -> u16 {
    status(&TestRequest::get(LEADS).bearer(key).decide(test, api))
}

fn rule(name: &str, per: Per, form: Form, amount: u64) -> LimitRule {
    let amount = Amount { by_plan: Vec::new(), otherwise: PerAccess::flat(amount) };
    LimitRule { name: name.into(), per, form, amount }
}

fn limited(rules: Vec<LimitRule>) -> Arc<Api> {
    api(ApiSettings { limits: rules, ..synaptiq() })
}

const MINUTE: Form = Form::Sliding { window_millis: 60_000 };

#[test]
fn a15_each_of_the_nine_cells_is_exact() {
    for (plan, cells) in
        [("starter", [120, 60, 30]), ("pro", [600, 300, 150]), ("enterprise", [3000, 1500, 750])]
    {
        for (scope, amount) in ["read", "write", "admin"].iter().zip(cells) {
            let test = TestDoor::new();
            let home = test.tenant(&test.synaptiq);
            test.set_plan(&home, plan);
            let key = test.key(&home, scope).text;
            let burst = |expected: usize| {
                let passed = (0..amount + 5).filter(|_| ask(&test, &test.synaptiq, &key) == 200).count();
                assert_eq!(passed, expected, "{scope} on {plan}");
            };
            burst(amount);
            test.clock.advance_millis(59_999);
            burst(0);
            test.clock.advance_millis(1);
            burst(amount);
        }
    }
}

#[test]
fn a15_no_span_of_a_minute_admits_more_than_the_amount() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "admin").text;
    let mut admitted: Vec<u64> = Vec::new();
    let mut now = 0;
    // Uneven steps, so that no window's edge is special.
    for step in (0..2000).map(|n: u64| n * 7919 % 3001) {
        now += step;
        test.clock.advance_millis(step);
        if ask(&test, &test.synaptiq, &key) == 200 {
            admitted.push(now);
            let window = admitted.iter().filter(|at| *at + 60_000 > now).count();
            assert!(window <= 30, "{window}");
        }
    }
    assert!(admitted.len() > 1000);
}

#[test]
fn a15_two_keys_do_not_share_and_both_secrets_of_one_do() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let (key, other) = (test.key(&home, "admin"), test.key(&home, "admin"));
    let rotated = test.rotated(&key);
    for n in 0..30 {
        let secret = if n % 2 == 0 { &key } else { &rotated };
        assert_eq!(ask(&test, &test.synaptiq, &secret.text), 200);
    }
    assert_eq!(ask(&test, &test.synaptiq, &key.text), 429);
    assert_eq!(ask(&test, &test.synaptiq, &rotated.text), 429);
    assert_eq!(ask(&test, &test.synaptiq, &other.text), 200);
}

#[test]
fn a16_a_change_of_plan_holds_from_the_next_request_on() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let key = test.key(&home, "admin").text;
    assert_eq!((0..40).filter(|_| ask(&test, &test.synaptiq, &key) == 200).count(), 30);
    test.set_plan(&home, "pro");
    assert_eq!((0..200).filter(|_| ask(&test, &test.synaptiq, &key) == 200).count(), 120);
    test.set_plan(&home, "starter");
    let refusal = TestRequest::get(LEADS).bearer(&key).decide(&test, &test.synaptiq).unwrap_err();
    let state = refusal.limit().unwrap();
    assert_eq!((state.limit, state.remaining), (30, 0));
}

#[test]
fn refused_requests_are_not_counted_and_are_told_where_they_stand() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let key = test.key(&home, "read").text;
    assert_eq!(ask(&test, &test.synaptiq, &key), 200);
    for (method, path, expected) in [
        ("POST", LEADS, 403),
        ("GET", "/api/v1/keys", 403),
        ("PUT", LEADS, 405),
        ("DELETE", "/elsewhere", 403),
    ] {
        let refusal = TestRequest::new(method, path).bearer(&key).decide(&test, &test.synaptiq).unwrap_err();
        assert_eq!(refusal.status().as_u16(), expected);
        let state = refusal.limit().unwrap();
        assert_eq!((state.limit, state.remaining, state.reset_millis), (120, 119, 60_000), "{method} {path}");
    }
    assert_eq!((0..200).filter(|_| ask(&test, &test.synaptiq, &key) == 200).count(), 119);
    assert!(TestRequest::get(LEADS).decide(&test, &test.synaptiq).unwrap_err().limit().is_none());
}

#[test]
fn what_a_permit_says_of_its_limit_is_true_after_it() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "admin").text;
    let permit = || TestRequest::get(LEADS).bearer(&key).decide(&test, &test.synaptiq);
    let first = permit().unwrap();
    let state = first.limit().unwrap();
    assert_eq!((state.limit, state.remaining, state.reset_millis), (30, 29, 60_000));
    assert_eq!(state.retry_after_seconds, 0, "who was let in has nothing to wait for");
    assert!(!first.holds_a_place());
    test.clock.advance_millis(1_500);
    let second = permit().unwrap();
    let state = second.limit().unwrap();
    assert_eq!((state.remaining, state.reset_millis), (28, 58_500));
    let refusal = (0..30).find_map(|_| permit().err()).unwrap();
    assert_eq!(refusal.retry_after_seconds(), Some(59));
    test.clock.advance_millis(58_500);
    assert!(permit().is_ok());
}

#[test]
fn live_and_test_are_counted_apart() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let api = limited(vec![rule("tenant", Per::Tenant, MINUTE, 2)]);
    let live = test.key(&home, "read").text;
    let sandbox = test.key_in(&home, Environment::Test, "read").text;
    assert_eq!([ask(&test, &api, &live), ask(&test, &api, &live), ask(&test, &api, &live)], [200, 200, 429]);
    assert_eq!(
        [ask(&test, &api, &sandbox), ask(&test, &api, &sandbox), ask(&test, &api, &sandbox)],
        [200, 200, 429]
    );
}

#[test]
fn a_tenants_limit_is_shared_in_it_and_with_nobody_else() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let api =
        limited(vec![rule("tenant", Per::Tenant, MINUTE, 2), rule("org", Per::Organization, MINUTE, 1)]);
    let other_org = claviger::testing::Home { org: test.org(home.tenant), ..home.clone() };
    let third_org = claviger::testing::Home { org: test.org(home.tenant), ..home.clone() };
    let keys = [&home, &home, &other_org, &third_org].map(|home| test.key(home, "read").text);
    assert_eq!(keys.each_ref().map(|key| ask(&test, &api, key)), [200, 429, 200, 429]);
    let rival = test.key(&test.tenant(&test.synaptiq), "read").text;
    assert_eq!(ask(&test, &api, &rival), 200);
}

#[test]
fn a_request_takes_from_all_its_limits_or_from_none() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let api = limited(vec![
        rule("minute", Per::Credential, MINUTE, 5),
        rule("tenant", Per::Tenant, Form::Sliding { window_millis: 10_000 }, 2),
    ]);
    let key = test.key(&home, "read").text;
    for _ in 0..20 {
        ask(&test, &api, &key);
    }
    test.clock.advance_millis(10_000);
    assert_eq!((0..20).filter(|_| ask(&test, &api, &key) == 200).count(), 2, "the refused took nothing");
    test.clock.advance_millis(10_000);
    assert_eq!((0..20).filter(|_| ask(&test, &api, &key) == 200).count(), 1);
}

#[test]
fn places_of_a_concurrency_limit_come_back_when_permits_are_dropped() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let api = limited(vec![
        rule("at-once", Per::Tenant, Form::Concurrency, 2),
        rule("minute", Per::Credential, MINUTE, 50),
    ]);
    let key = test.key(&home, "read").text;
    let permit = || TestRequest::get(LEADS).bearer(&key).decide(&test, &api);
    let (first, second) = (permit().unwrap(), permit().unwrap());
    assert!(first.holds_a_place());
    assert_eq!(&*first.limit().unwrap().name, "minute", "places are not what a client counts");
    let refusal = permit().unwrap_err();
    assert!(matches!(refusal.reason(), Reason::TooMany(state) if &*state.name == "at-once"));
    drop(second);
    let third = permit().unwrap();
    assert!(permit().is_err());
    drop((first, third));
    assert!(permit().is_ok() && permit().is_ok());
    test.door.sweep();
    assert_eq!(test.door.figures().limit_counters, 1, "what still counts is kept");
}

#[test]
fn a_place_comes_back_from_another_thread_and_after_a_panic() {
    let test = Arc::new(TestDoor::new());
    let home = test.tenant(&test.synaptiq);
    let api = limited(vec![rule("at-once", Per::Tenant, Form::Concurrency, 4)]);
    let key = test.key(&home, "read").text;
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let (test, api, key) = (test.clone(), api.clone(), key.clone());
            std::thread::spawn(move || {
                for _ in 0..200 {
                    let permit = TestRequest::get(LEADS).bearer(&key).decide(&test, &api);
                    assert!(permit.is_ok());
                }
                let _held = TestRequest::get(LEADS).bearer(&key).decide(&test, &api);
                assert!(n != 0, "this one is meant to end badly");
            })
        })
        .collect();
    let failed = threads.into_iter().filter_map(|thread| thread.join().err()).count();
    assert_eq!(failed, 1);
    let held: Vec<_> = (0..5).map(|_| TestRequest::get(LEADS).bearer(&key).decide(&test, &api)).collect();
    assert_eq!(held.iter().filter(|outcome| outcome.is_ok()).count(), 4);
}

#[test]
fn a_limit_is_exact_under_many_threads() {
    let test = Arc::new(TestDoor::new());
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (test, key) = (test.clone(), key.clone());
            std::thread::spawn(move || (0..100).filter(|_| ask(&test, &test.synaptiq, &key) == 200).count())
        })
        .collect();
    let passed: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(passed, 120);
}

#[test]
fn a_costly_route_takes_more_and_a_free_one_nothing() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let route = |path: &str, cost| Route {
        access: RouteAccess::Every(Level::Needs(Access::Read)),
        cost,
        ..Route::new(path, "leads".parse().unwrap(), vec![http::Method::GET])
    };
    let routes = vec![route("/a", 3), route("/free", 0)];
    let routes = RouteTable::new(routes, Paths::Exact, None, Oddities::default()).unwrap();
    let limits = vec![rule("minute", Per::Credential, MINUTE, 7)];
    let api = api(ApiSettings { routes, limits, ..synaptiq() });
    let key = test.key(&home, "read").text;
    let get = |path: &str| TestRequest::get(path).bearer(&key).decide(&test, &api);
    assert_eq!(get("/a").unwrap().limit().unwrap().remaining, 4);
    assert_eq!(get("/a").unwrap().limit().unwrap().remaining, 1);
    assert_eq!(code(&get("/a")), "rate_limited");
    for _ in 0..20 {
        assert_eq!(get("/free").unwrap().limit().unwrap().remaining, 1);
    }
    assert_eq!(code(&get("/b")), "not_found");
}

#[test]
fn a_person_has_one_limit_whatever_the_token() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synq);
    let person = test.member(&home, "VIEWER");
    let limits = vec![rule("minute", Per::Credential, MINUTE, 3)];
    let api = api(ApiSettings { limits, ..claviger::testing::synq() });
    let get = |token: &str| status(&TestRequest::get("/api/v1/orders").bearer(token).decide(&test, &api));
    let tokens: Vec<_> = (0..4).map(|_| test.identity_token(&person)).collect();
    assert_eq!(tokens.iter().map(|token| get(token)).collect::<Vec<_>>(), [200, 200, 200, 429]);
    let other_org = claviger::testing::Home { org: test.org(home.tenant), ..home };
    let elsewhere = test.join(&other_org, person.account, "VIEWER");
    assert_eq!(get(&test.identity_token(&elsewhere)), 200);
}

#[test]
fn core_08_a_plan_that_no_limit_lists_is_not_unlimited() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let amounts = |read| PerAccess { read: Some(read), ..PerAccess::default() };
    let limit = LimitRule {
        amount: Amount {
            by_plan: vec![("starter".parse().unwrap(), amounts(2)), ("pro".parse().unwrap(), amounts(9))],
            otherwise: PerAccess::default(),
        },
        ..rule("minute", Per::Credential, MINUTE, 0)
    };
    let api = limited(vec![limit]);
    for (plan, expected) in [("starter", 2), ("pro", 9), ("enterprise", 2), ("Starter", 2), ("gone", 2)] {
        test.set_plan(&home, plan);
        let key = test.key(&home, "read").text;
        assert_eq!((0..20).filter(|_| ask(&test, &api, &key) == 200).count(), expected, "{plan}");
    }
}

#[test]
fn of_several_limits_that_refuse_the_longest_wait_is_told() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    for reverse in [false, true] {
        let mut rules = vec![
            rule("short", Per::Credential, Form::Sliding { window_millis: 1_000 }, 1),
            rule("long", Per::Tenant, Form::Sliding { window_millis: 30_000 }, 1),
            rule("middle", Per::Organization, MINUTE, 2),
        ];
        if reverse {
            rules.reverse();
        }
        test.clock.advance_millis(120_000);
        let api = limited(rules);
        assert_eq!(ask(&test, &api, &key), 200);
        let refusal = TestRequest::get(LEADS).bearer(&key).decide(&test, &api).unwrap_err();
        assert_eq!((&*refusal.limit().unwrap().name, refusal.retry_after_seconds()), ("long", Some(30)));
    }
}

#[test]
fn of_limits_that_are_as_near_to_their_end_the_first_is_told() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let api = limited(vec![rule("one", Per::Credential, MINUTE, 1), rule("two", Per::Tenant, MINUTE, 1)]);
    let ask = || TestRequest::get(LEADS).bearer(&key).decide(&test, &api);
    assert_eq!(&*ask().unwrap().limit().unwrap().name, "one");
    assert_eq!(&*ask().unwrap_err().limit().unwrap().name, "one");
    assert_eq!(format!("{:?}", test.door).matches(&key).count(), 0);
}

#[test]
fn an_explanation_tells_of_the_limits_and_takes_nothing() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let api = limited(vec![rule("minute", Per::Credential, MINUTE, 1)]);
    let request = TestRequest::get(LEADS).bearer(&key);
    let told = || {
        let told = now(test.door.explain(&api, &request.inbound(Target::of(&request.uri).unwrap())));
        told.steps().iter().map(|(step, said)| format!("{step}: {said}\n")).collect::<String>()
    };
    for _ in 0..3 {
        assert!(told().contains("`minute` 1 of 1 left"), "{}", told());
    }
    assert!(request.decide(&test, &api).is_ok());
    assert!(!told().contains("1 of 1 left") && told().contains("minute"), "{}", told());
}

#[test]
fn each_api_counts_for_itself() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    let rules = || vec![rule("minute", Per::Credential, MINUTE, 1)];
    let one = limited(rules());
    let twin = api(ApiSettings { name: "twin".parse().unwrap(), limits: rules(), ..synaptiq() });
    assert_eq!((ask(&test, &one, &key), ask(&test, &twin, &key)), (200, 200));
    assert_eq!((ask(&test, &one, &key), ask(&test, &twin, &key)), (429, 429));
    let made_anew = limited(rules());
    assert_eq!(ask(&test, &made_anew, &key), 429, "settings that are read again forgive nothing");
}
