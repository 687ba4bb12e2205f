//! a token is read as others read it, or not at all.

use std::sync::LazyLock;

use crate::spelt;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bolero::check;
use claviger::json::Json;
use claviger::jws::{CompactJws, MAX_DEPTH};
use claviger::testing::{Someone, TestDoor, TestRequest, Unsigned};
use serde_json::Value;

const WORDS: [&str; 34] = [
    "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"",
    "{\"alg\":\"HS256\",\"kid\":\"us_",
    "\"}",
    "\"alg\":",
    "\"kid\":",
    "\"typ\":",
    "\"crit\":",
    "\"jwk\":",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "1",
    "-0",
    "1e400",
    "\\u0061",
    "\\ud800",
    "\"sub\":",
    "\"iss\":",
    "\"exp\":",
    "\u{0}",
    "\u{e9}",
    "id",
    "{\"a\":1",
    ",\"a\":[]",
    ",\"\\u0061\":2",
    ",\"b\":\"\"",
    ",\"c\":{}",
    ",\"c\":null",
];

struct World {
    test: TestDoor,
    someone: Someone,
}

// A door's parts are shared between threads; what a test makes with them is made by one.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let test = TestDoor::new();
    let someone = test.member(&test.tenant(&test.synq), "EDITOR");
    World { test, someone }
});

fn same(ours: &Json, theirs: &Value) -> bool {
    match (ours.as_object(), ours.as_array(), ours.as_str(), ours.as_int(), theirs) {
        (Some(members), .., Value::Object(map)) => {
            members.len() == map.len()
                && members.iter().all(|(name, ours)| map.get(name).is_some_and(|theirs| same(ours, theirs)))
        }
        (_, Some(items), .., Value::Array(list)) => {
            items.len() == list.len() && items.iter().zip(list).all(|(ours, theirs)| same(ours, theirs))
        }
        (_, _, Some(ours), _, Value::String(theirs)) => ours == theirs,
        (_, _, _, Some(ours), Value::Number(theirs)) => theirs.as_i64() == Some(ours),
        (None, None, None, None, Value::Null | Value::Bool(_) | Value::Number(_)) => true,
        _ => false,
    }
}

#[test]
fn target() {
    check!().for_each(|bytes: &[u8]| {
        let Some((mode, bytes)) = bytes.split_first() else { return };
        let text = spelt(bytes, &WORDS);
        let (header, claims) = text.split_once('\n').unwrap_or((&text, &text));
        // As it came, and as a token whose parts say that.
        let encoded = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".") + ".c2ln";
        let shown = if mode & 1 == 0 { encoded } else { text.clone() };
        if let Some(token) = CompactJws::split(&shown) {
            assert_eq!(shown.matches('.').count(), 2);
            let parts: Vec<&str> = shown.split('.').collect();
            if let Ok(header) = token.header() {
                let decoded = URL_SAFE_NO_PAD.decode(parts[0]).unwrap();
                assert_eq!(URL_SAFE_NO_PAD.encode(&decoded), parts[0], "another spelling of the same header");
                let theirs: Value = serde_json::from_slice(&decoded).unwrap();
                assert_eq!(theirs["alg"], *header.alg);
                assert_eq!(theirs["kid"], *header.kid);
                for refused in ["crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc"] {
                    assert!(theirs.get(refused).is_none(), "{refused}");
                }
            }
            if let Ok(ours) = token.claims(MAX_DEPTH) {
                let decoded = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
                assert_eq!(URL_SAFE_NO_PAD.encode(&decoded), parts[1], "another spelling of the same claims");
                let theirs: Value = serde_json::from_slice(&decoded).unwrap();
                assert!(same(&ours, &theirs), "{ours:?} {theirs}");
                assert!(ours.depth() <= MAX_DEPTH);
            }
        }
        // One that is signed well, with something changed: nobody but the one it was made for comes in by it.
        let World { test, someone } = &*WORLD;
        let mut changed = test.claims(someone);
        let Ok(Value::Object(more)) = serde_json::from_str::<Value>(claims) else { return };
        let is_changed = !more.is_empty();
        changed.as_object_mut().unwrap().extend(more);
        let token = Unsigned::new(&test.header(), &changed).signed(&test.signing_key);
        let let_in = TestRequest::get("/api/v1/orders").bearer(&token).decide(test, &test.synq);
        match let_in {
            Ok(permit) => {
                let usual = test.claims(someone);
                for claim in ["iss", "sub", "tenant_id", "org_id", "sid"] {
                    assert_eq!(changed[claim], usual[claim], "{claim}");
                }
                assert_eq!(permit.tenant(), someone.home.tenant);
                assert_eq!(permit.principal().account(), Some(someone.account));
            }
            Err(refusal) => {
                assert!(is_changed, "{refusal}");
                assert!(matches!(refusal.status().as_u16(), 401 | 403 | 429), "{refusal}");
            }
        }
    });
}
