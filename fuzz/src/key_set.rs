//! of a key set, the keys that may verify tokens are taken, and every other is named.

use crate::spelt;
use bolero::check;
use claviger::key_set::{Algorithm, KeySet};
use serde_json::Value;

const WORDS: [&str; 31] = [
    "{\"keys\":[",
    "]}",
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"",
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"b\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"",
    "}",
    ",",
    ",\"use\":\"sig\"",
    ",\"use\":\"enc\"",
    ",\"alg\":\"EdDSA\"",
    ",\"alg\":\"Ed25519\"",
    ",\"alg\":\"RS256\"",
    ",\"alg\":\"ES256\"",
    ",\"key_ops\":[\"verify\"]",
    ",\"key_ops\":[\"sign\"]",
    ",\"key_ops\":[]",
    "\"kid\":\"us_a\"",
    "\"kid\":",
    "\"kty\":",
    "\"RSA\"",
    "\"crv\":",
    "\"x\":",
    "\"n\":",
    "\"e\":\"AQAB\"",
    "\"k\":\"c2VjcmV0\"",
    "\"oct\"",
    "null",
    "\"",
    "{",
    "[",
    "AAAA",
    "\u{e9}",
];

#[test]
fn target() {
    check!().for_each(|bytes: &[u8]| {
        let Some((mode, bytes)) = bytes.split_first() else { return };
        let text = spelt(bytes, &WORDS);
        let algorithms = [&[Algorithm::EdDsa][..], &[Algorithm::Rs256, Algorithm::Es256]];
        let algorithms = algorithms.get(usize::from(*mode)).copied();
        let Ok(set) = KeySet::parse(text.as_bytes(), algorithms) else { return };
        let theirs: Value = serde_json::from_str(&text).unwrap();
        let listed = theirs["keys"].as_array().unwrap();
        assert_eq!(set.keys().len() + set.passed_over().len(), listed.len(), "each is taken or named");
        for (at, key) in set.keys().iter().enumerate() {
            assert!(set.keys().iter().take(at).all(|other| other.kid() != key.kid()), "two of one name");
            assert!(!key.kid().starts_with("us_") && (1..=256).contains(&key.kid().len()));
            assert!(algorithms.is_none_or(|named| named.contains(&key.algorithm())), "not asked for");
            let jwk =
                listed.iter().find(|jwk| jwk["kid"] == key.kid() && is_for_signatures(jwk, key.algorithm()));
            let jwk = jwk.expect("the key that was taken");
            assert!(jwk.get("k").is_none() || jwk["kty"] != "oct", "a secret is no public key");
            // What we publish of it reads back.
            let again = serde_json::json!({ "keys": [key.to_jwk()] }).to_string();
            let again = KeySet::parse(again.as_bytes(), None).unwrap();
            assert_eq!(again.keys()[0].to_jwk(), key.to_jwk());
        }
        for passed in set.passed_over() {
            assert!(!passed.to_string().chars().any(char::is_control), "{passed}");
        }
    });
}

/// By the letter of RFC 7517, sections 4.2 to 4.4.
fn is_for_signatures(jwk: &Value, algorithm: Algorithm) -> bool {
    let operations = jwk.get("key_ops").map(|operations| operations.as_array().cloned().unwrap_or_default());
    let named = jwk.get("alg").map(|name| name.as_str().unwrap_or_default());
    jwk.get("use").is_none_or(|usage| usage == "sig")
        && operations.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"))
        && named.is_none_or(|name| Algorithm::from_name(name) == Some(algorithm))
}
