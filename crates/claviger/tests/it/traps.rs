//! Bugs that shipped in products like this one, each with a test that is named after it.
//!
//! Beside the code they are about: the underscore in a key's prefix and trailing bytes (`api_key.rs`), networks
//! that never match and the left-most forwarded address (`network.rs`), paths and rules read differently
//! (`target.rs`, `route.rs`), header spelling and forwarded credentials (`protected.rs`), the underflow
//! (`limit/counter.rs`), eviction (`lookups/`), the memory's scope (`authenticate/verified.rs`), the 429
//! (`answer.rs`). What needs a store or more than one node is tested there.

use claviger::api_key::KeyDigest;
use claviger::directory::KeyRecord;
use claviger::network::Networks;
use claviger::target::Target;
use claviger::testing::{Lookup, TestDoor, TestKey, TestRequest, now};

use crate::{code, status};

const LEADS: &str = "/api/v1/leads";

fn ask(test: &TestDoor, key: &TestKey) -> &'static str {
    code(&TestRequest::get(LEADS).bearer(&key.text).decide(test, &test.synaptiq))
}

fn change(test: &TestDoor, key: &TestKey, change: impl FnOnce(&mut KeyRecord)) {
    assert!(test.directory.change_key(&key.digest, change));
}

#[test]
fn trap_allowlist_skipped_on_one_path() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "admin");
    let office = Networks::new(vec!["203.0.113.0/24".parse().unwrap()]);
    change(&test, &key, |record| record.networks = Some(office));
    for (method, path) in [("GET", LEADS), ("PUT", LEADS), ("GET", "/api/v1/keys"), ("OPTIONS", "/elsewhere")]
    {
        let request = TestRequest::new(method, path).bearer(&key.text);
        assert_eq!(code(&request.decide(&test, &test.synaptiq)), "network_not_allowed", "{method} {path}");
        assert_ne!(code(&request.from("203.0.113.9").decide(&test, &test.synaptiq)), "network_not_allowed");
    }
    // A rotated secret is of the same key.
    assert_eq!(ask(&test, &test.rotated(&key)), "network_not_allowed");
    let request = TestRequest::get(LEADS).bearer(&key.text);
    let inbound = request.inbound(Target::of(&request.uri).unwrap());
    assert!(now(test.door.explain(&test.synaptiq, &inbound)).refusal().is_some());
    change(&test, &key, |record| record.networks = None);
    let permit = request.decide(&test, &test.synaptiq).unwrap();
    change(&test, &key, |record| record.networks = Some(Networks::default()));
    assert_eq!(now(test.door.still_stands(&permit)).unwrap_err().code().as_str(), "network_not_allowed");
}

#[test]
fn trap_grace_extends_an_expiring_key() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read");
    let now = claviger::clock::Clock::now(&*test.clock);
    // That the earlier of two ends is the record's is a test of the store of the same name.
    change(&test, &key, |record| record.expires_at = Some(now.plus_seconds(10)));
    let permit = TestRequest::get(LEADS).bearer(&key.text).decide(&test, &test.synaptiq).unwrap();
    assert_eq!(permit.principal().expires_at(), Some(now.plus_seconds(10)));
    test.clock.advance_millis(9_999);
    assert_eq!(ask(&test, &key), "let in");
    test.clock.advance_millis(1);
    assert_eq!(ask(&test, &key), "unauthorized");
}

#[test]
fn trap_quota_doubled_in_grace() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "admin");
    let successor = test.rotated(&key);
    let passed =
        (0..80).filter(|n| ask(&test, if n % 2 == 0 { &key } else { &successor }) == "let in").count();
    assert_eq!(passed, 30);
}

#[test]
fn trap_expires_in_cache_not_refreshed_by_rotate() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read");
    assert_eq!(ask(&test, &key), "let in");
    let now = claviger::clock::Clock::now(&*test.clock);
    change(&test, &key, |record| record.expires_at = Some(now.plus_seconds(1)));
    test.clock.advance_millis(1_000);
    assert_eq!(ask(&test, &key), "unauthorized", "nothing of the record is remembered by the door");
}

#[test]
fn trap_stale_negative_cache_after_create() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read");
    let mut record = None;
    change(&test, &key, |found| record = Some(found.clone()));
    test.directory.take_key(&key.digest);
    assert_eq!(ask(&test, &key), "unauthorized");
    test.directory.put_key(key.digest, record.unwrap());
    assert_eq!(ask(&test, &key), "let in", "the door remembers no absence");
}

#[test]
fn trap_a_short_hash_on_the_lookup() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read");
    let mut record = None;
    change(&test, &key, |found| record = Some(found.clone()));
    test.directory.take_key(&key.digest);
    // A record under a digest that differs in one bit, wherever that is, is another key's.
    for bit in 0..256 {
        let mut bytes = *key.digest.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let neighbour = KeyDigest::from_bytes(&bytes).unwrap();
        test.directory.put_key(neighbour, record.clone().unwrap());
        assert_eq!(ask(&test, &key), "unauthorized", "bit {bit}");
    }
}

#[test]
fn trap_key_accepted_from_the_query_string() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read").text;
    for query in ["key", "api_key", "apikey", "access_token", "token", "authorization"] {
        let request = TestRequest::get(&format!("{LEADS}?{query}={key}"));
        let refusal = request.decide(&test, &test.synaptiq).unwrap_err();
        assert_eq!(refusal.status(), 401);
        assert!(!format!("{refusal} {refusal:?}").contains(&key), "{refusal:?}");
    }
    assert_eq!(test.directory.looked_up(Lookup::Key), 0);
}

#[test]
fn trap_two_counters_on_one_request() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read");
    let left = || {
        let permit = TestRequest::get(LEADS).bearer(&key.text).decide(&test, &test.synaptiq).unwrap();
        permit.limit().unwrap().remaining
    };
    assert_eq!([left(), left(), left()], [119, 118, 117]);
    assert_eq!(test.door.figures().limit_counters, 1);
}

#[test]
fn trap_denied_requests_burning_quota() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read");
    for _ in 0..500 {
        assert_eq!(
            status(&TestRequest::new("POST", LEADS).bearer(&key.text).decide(&test, &test.synaptiq)),
            403
        );
    }
    assert_eq!(test.door.figures().limit_counters, 0);
    assert_eq!((0..500).filter(|_| ask(&test, &key) == "let in").count(), 120);
}

#[test]
fn trap_eviction_resetting_a_limit() {
    let test = TestDoor::new();
    let home = test.tenant(&test.synaptiq);
    let key = test.key(&home, "admin");
    assert_eq!((0..40).filter(|_| ask(&test, &key) == "let in").count(), 30);
    for _ in 0..2_000 {
        assert_eq!(ask(&test, &test.key(&home, "read")), "let in");
    }
    test.door.sweep();
    assert_eq!(ask(&test, &key), "rate_limited");
    test.clock.advance_millis(60_000);
    test.door.sweep();
    assert_eq!(test.door.figures().limit_counters, 0, "what counts nothing any more is forgotten");
}

#[test]
fn trap_store_outage_behaviour_unspecified() {
    let test = TestDoor::new();
    let key = test.key(&test.tenant(&test.synaptiq), "read");
    test.directory.fail(&Lookup::ALL);
    assert_eq!(ask(&test, &key), "unavailable");
}
