//! Guessing costs the guesser, and nobody else: what is counted, who waits, and what is never refused for it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use claviger::api_key::{NewKey, Peppers};
use claviger::id::Environment;
use claviger::key_set::Algorithm;
use claviger::refusal::Reason;
use claviger::secret::Secret;
use claviger::target::Target;
use claviger::testing::{Home, TestDoor, TestRequest, Unsigned, keypair, now};

use crate::{code, status};

const LEADS: &str = "/api/v1/leads";
const ORDERS: &str = "/api/v1/orders";

/// A door that has to ask for everything, and one of its tenants.
fn asking() -> (TestDoor, Home) {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    test.directory.ask(true);
    (test, home)
}

/// A key that is nobody's.
fn guess(test: &TestDoor, home: &Home) -> String {
    let guessed = test.key(home, "read");
    test.directory.take_key(&guessed.digest);
    guessed.text
}

fn ask(test: &TestDoor, key: &str) -> &'static str {
    code(&TestRequest::get(LEADS).bearer(key).decide(test, &test.synaptiq))
}

#[test]
fn guessing_costs_the_guesser_and_nobody_who_is_known() {
    let (test, home) = asking();
    let key = test.key(&home, "read");
    for _ in 0..30 {
        assert_eq!(ask(&test, &guess(&test, &home)), "unauthorized");
    }
    let refusal =
        TestRequest::get(LEADS).bearer(&guess(&test, &home)).decide(&test, &test.synaptiq).unwrap_err();
    assert!(matches!(refusal.reason(), Reason::TooManyLookups { .. }));
    assert!(refusal.retry_after_seconds() > Some(0));
    assert_eq!(test.door.figures().lookups.refused, 1);
    test.directory.ask(false);
    assert_eq!(ask(&test, &key.text), "let in", "what is in memory costs no look-up");
    test.directory.ask(true);
    let elsewhere = TestRequest::get(LEADS).bearer(&guess(&test, &home)).from("198.51.100.7");
    assert_eq!(code(&elsewhere.decide(&test, &test.synaptiq)), "unauthorized", "another address has its own");
    test.clock.advance_millis(60_000);
    assert_eq!(ask(&test, &guess(&test, &home)), "unauthorized");
}

#[test]
fn core_13_a_fresh_good_credential_is_let_in_whatever_its_neighbours_did() {
    let (test, home) = asking();
    for _ in 0..300 {
        ask(&test, &guess(&test, &home));
    }
    for _ in 0..10 {
        assert_eq!(ask(&test, &test.key(&home, "read").text), "let in");
    }
    let person = test.member(&test.tenant(&test.synq), "VIEWER");
    let token = test.identity_token(&person);
    assert_eq!(code(&TestRequest::get(ORDERS).bearer(&token).decide(&test, &test.synq)), "let in");
    let user = test.member(&test.tenant(&test.syncello), "ADMIN");
    let token = test.user_token(&test.syncello, &test.user_secret(&test.syncello, &user));
    assert_eq!(code(&TestRequest::get("/v1/tools").bearer(&token).decide(&test, &test.syncello)), "let in");
}

#[test]
fn core_13_what_is_counted_are_distinct_guesses() {
    let (test, home) = asking();
    let mistyped = guess(&test, &home);
    for _ in 0..500 {
        assert_eq!(
            ask(&test, &mistyped),
            "unauthorized",
            "one wrong key in some settings file locks nobody out"
        );
    }
    let person = test.member(&test.tenant(&test.synq), "VIEWER");
    let forged =
        Unsigned::new(&test.header(), &test.claims(&person)).signed(&keypair("own-1", Algorithm::EdDsa));
    for _ in 0..500 {
        let outcome = TestRequest::get(ORDERS).bearer(&forged).decide(&test, &test.synq);
        assert_eq!(code(&outcome), "unauthorized");
    }
}

#[test]
fn core_13_a_spent_budget_tells_no_known_kid_from_an_unknown_one() {
    let test = TestDoor::new();
    let person = test.member(&test.tenant(&test.synq), "VIEWER");
    let forged = |kid: &str| {
        let mut header = test.header();
        header["kid"] = kid.into();
        Unsigned::new(&header, &test.claims(&person)).signed(&keypair(kid, Algorithm::EdDsa))
    };
    let ask = |token: String| code(&TestRequest::get(ORDERS).bearer(&token).decide(&test, &test.synq));
    for n in 0..30 {
        assert_eq!(
            ask(forged(if n % 2 == 0 { "own-1" } else { "own-2" })),
            "unauthorized",
            "both are counted"
        );
    }
    assert_eq!((ask(forged("own-1")), ask(forged("own-2"))), ("rate_limited", "rate_limited"));
    assert_eq!(ask(test.identity_token(&person)), "let in");
}

#[test]
fn a_key_that_is_published_later_is_known_from_then_on() {
    let test = TestDoor::new();
    let person = test.member(&test.tenant(&test.synq), "VIEWER");
    let next = keypair("own-2", Algorithm::EdDsa);
    let mut header = test.header();
    header["kid"] = "own-2".into();
    let token = Unsigned::new(&header, &test.claims(&person)).signed(&next);
    let ask = || code(&TestRequest::get(ORDERS).bearer(&token).decide(&test, &test.synq));
    assert_eq!((ask(), ask()), ("unauthorized", "unauthorized"));
    test.directory.put_identity_key(test.synq.realm.clone(), next.verifying_key().unwrap());
    assert_eq!(ask(), "let in");
}

#[test]
fn core_12_a_key_under_an_unknown_pepper_is_an_unknown_key() {
    let (test, home) = asking();
    let key = test.key(&home, "read");
    let made_up = |name: &str| {
        let peppers = Peppers::new((name.parse().unwrap(), &Secret::new(vec![1; 32])), []);
        let made = NewKey::generate(&test.synaptiq.key_prefix, Environment::Live, &peppers, &*test.random);
        made.secret.expose_text().unwrap().to_owned()
    };
    let refusal = TestRequest::get(LEADS).bearer(&made_up("zz")).decide(&test, &test.synaptiq).unwrap_err();
    let known = TestRequest::get(LEADS).bearer(&made_up("k1")).decide(&test, &test.synaptiq).unwrap_err();
    assert_eq!(
        (refusal.status().as_u16(), refusal.reason()),
        (401, known.reason()),
        "nobody learns its name"
    );
    assert_eq!(test.door.figures().unknown_peppers, 1);
    for _ in 0..28 {
        assert_eq!(ask(&test, &made_up("zz")), "unauthorized");
    }
    assert_eq!(ask(&test, &made_up("zz")), "rate_limited", "it is counted like any other");
    assert_eq!(ask(&test, &key.text), "let in");
    assert_eq!(test.door.figures().unknown_peppers, 30);
}

#[test]
fn store_18_a_key_under_a_pepper_that_only_others_have_is_503_and_never_401() {
    let (test, home) = asking();
    let key = test.key(&home, "read");
    let under = |name: &str| {
        let peppers = Peppers::new((name.parse().unwrap(), &Secret::new(vec![1; 32])), []);
        let made = NewKey::generate(&test.synaptiq.key_prefix, Environment::Live, &peppers, &*test.random);
        made.secret.expose_text().unwrap().to_owned()
    };
    test.directory.lack_pepper("k7");
    assert_eq!(ask(&test, &under("k7")), "unavailable");
    assert_eq!(ask(&test, &under("k8")), "unauthorized");
    assert_eq!(ask(&test, &key.text), "let in");
}

#[test]
fn core_13_a_cold_start_with_many_requests_of_one_good_key_refuses_none() {
    let (test, home) = asking();
    let key = test.key(&home, "read").text;
    let request = TestRequest::get(LEADS).bearer(&key);
    let inbound = request.inbound(Target::of(&request.uri).unwrap());
    test.directory.hold(true);
    let mut context = Context::from_waker(Waker::noop());
    let mut waiting: Vec<_> =
        (0..200).map(|_| Box::pin(test.door.decide(&test.synaptiq, &inbound))).collect();
    assert!(waiting.iter_mut().all(|decision| decision.as_mut().poll(&mut context).is_pending()));
    assert!(test.door.figures().lookups.waited >= 100, "so many wait for their turn");
    test.directory.hold(false);
    let mut admitted = 0;
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain_mut(|decision| match decision.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => {
                admitted += usize::from(outcome.is_ok());
                false
            }
            Poll::Pending => true,
        });
        assert!(waiting.len() < before, "somebody's turn has come");
    }
    // 120 is the key's limit: the others were refused for that, and for nothing else.
    assert_eq!(admitted, 120);
}

#[test]
fn core_13_who_gives_up_waiting_holds_nobody_up() {
    let (test, home) = asking();
    let key = test.key(&home, "read").text;
    let request = TestRequest::get(LEADS).bearer(&key);
    let inbound = request.inbound(Target::of(&request.uri).unwrap());
    test.directory.hold(true);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..300 {
        let mut decision = pin!(test.door.decide(&test.synaptiq, &inbound));
        assert!(decision.as_mut().poll(&mut context).is_pending());
    }
    test.directory.hold(false);
    assert_eq!(ask(&test, &key), "let in");
    assert_eq!(test.door.figures().lookups.waited, 0, "each was alone");
}

#[test]
fn core_14_explain_takes_nothing_from_anybodys_budget() {
    let (test, home) = asking();
    for _ in 0..100 {
        let request = TestRequest::get(LEADS).bearer(&guess(&test, &home));
        let told =
            now(test.door.explain(&test.synaptiq, &request.inbound(Target::of(&request.uri).unwrap())));
        assert_eq!(told.refusal().unwrap().status(), 401);
    }
    assert_eq!(ask(&test, &guess(&test, &home)), "unauthorized");
    let figures = test.door.figures();
    assert_eq!((figures.lookups.refused, figures.verified_tokens), (0, 0));
    let person = test.member(&test.tenant(&test.synq), "VIEWER");
    let request = TestRequest::get(ORDERS).bearer(&test.identity_token(&person));
    let told = now(test.door.explain(&test.synq, &request.inbound(Target::of(&request.uri).unwrap())));
    assert!(told.refusal().is_none());
    assert_eq!(test.door.figures().verified_tokens, 0, "nor is a token remembered for having been explained");
}

#[test]
fn core_11_only_tokens_that_let_somebody_in_are_remembered() {
    let test = TestDoor::new();
    let person = test.member(&test.tenant(&test.synq), "VIEWER");
    let ask = |claims: serde_json::Value| {
        let token = Unsigned::new(&test.header(), &claims).signed(&test.signing_key);
        status(&TestRequest::get(ORDERS).bearer(&token).decide(&test, &test.synq))
    };
    let bent = |name: &str, value: serde_json::Value| {
        let mut claims = test.claims(&person);
        claims[name] = value;
        claims
    };
    let past = claviger::clock::Clock::now(&*test.clock).seconds() - 10;
    assert_eq!(ask(bent("exp", past.into())), 401);
    assert_eq!(ask(bent("aud", "elsewhere".into())), 401);
    assert_eq!(
        ask(bent("sid", test.session(&person.home, person.account).to_string().replace('a', "b").into())),
        401
    );
    assert_eq!(test.door.figures().verified_tokens, 0);
    for _ in 0..500 {
        assert_eq!(
            ask(bent("exp", past.into())),
            401,
            "nor do they count as guesses: no signature was checked"
        );
    }
    assert_eq!(ask(test.claims(&person)), 200);
    assert_eq!(test.door.figures().verified_tokens, 1);
    test.directory.change_session(&(person.home.tenant, person.session), |record| record.ended = true);
    assert_eq!(ask(test.claims(&person)), 401);
    assert_eq!(test.door.figures().verified_tokens, 1);
    test.clock.advance_millis(3_600_000 + 300_000);
    test.door.sweep();
    assert_eq!(test.door.figures().verified_tokens, 0);
}
