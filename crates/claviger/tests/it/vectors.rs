//! Signatures against others' vectors and libraries, and every small change to a good one.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use claviger::jws::{self, CompactJws};
use claviger::key_set::{Algorithm, KeySet, VerifyingKey};
use claviger::signing_key::SigningKey;
use claviger::testing::{TestDoor, TestRequest, Unsigned, keypair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};

use crate::status;

/// Whether the signature of `token` is read and is good under `key`.
fn verifies(key: &VerifyingKey, token: &str) -> bool {
    let Some(jws) = CompactJws::split(token) else { return false };
    jws.signature().is_some_and(|signature| key.verifies(jws.signing_input(), &signature))
}

fn key_of(jwk: &Value) -> Vector {
    let mut jwk = jwk.clone();
    jwk["kid"] = json!("vector");
    Vector(KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), None).unwrap())
}

/// The one key of a set.
struct Vector(KeySet);

impl std::ops::Deref for Vector {
    type Target = VerifyingKey;

    fn deref(&self) -> &VerifyingKey {
        self.0.find("vector").unwrap()
    }
}

#[test]
fn the_examples_of_rfc_7515_and_rfc_8037_verify() {
    let p256 = key_of(&json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }));
    let es256 = "eyJhbGciOiJFUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let ed25519 = key_of(&json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }));
    let eddsa = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
        hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(verifies(&p256, es256) && verifies(&ed25519, eddsa));
    assert!(!verifies(&p256, eddsa) && !verifies(&ed25519, es256));
}

/// A token and its key, of either algorithm.
fn good(algorithm: Algorithm) -> (SigningKey, VerifyingKey, Unsigned, String) {
    let key = keypair("k", algorithm);
    let unsigned =
        Unsigned::new(&json!({ "alg": algorithm.as_str(), "kid": "k" }), &json!({ "sub": "someone" }));
    let token = unsigned.signed(&key);
    let public = key.verifying_key().unwrap();
    assert!(verifies(&public, &token));
    (key, public, unsigned, token)
}

#[test]
fn every_changed_bit_of_a_signature_is_noticed() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (_, public, unsigned, token) = good(algorithm);
        let signature = CompactJws::split(&token).unwrap().signature().unwrap();
        assert_eq!(signature.len(), 64);
        for bit in 0..512 {
            let mut changed = signature.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!verifies(&public, &unsigned.with_signature(&changed)), "{algorithm:?} bit {bit}");
        }
        for length in (0..64).chain([65, 128]) {
            let mut changed = signature.clone();
            changed.resize(length, 0);
            assert!(!verifies(&public, &unsigned.with_signature(&changed)), "{algorithm:?} {length} bytes");
        }
    }
}

#[test]
fn every_other_padding_and_alphabet_is_refused() {
    let (_, public, _, token) = good(Algorithm::EdDsa);
    let parts: Vec<&str> = token.split('.').collect();
    for part in 0..3 {
        let with = |text: String| {
            let mut changed = parts.clone();
            changed[part] = &text;
            changed.join(".")
        };
        let bytes = URL_SAFE_NO_PAD.decode(parts[part]).unwrap();
        for changed in [
            format!("{}=", parts[part]),
            format!("{}==", parts[part]),
            format!("={}", parts[part]),
            format!("{}\n", parts[part]),
            format!(" {}", parts[part]),
            format!("{}\u{0}", parts[part]),
            format!("{}A", parts[part]),
            format!("{}%3D", parts[part]),
        ] {
            assert!(!verifies(&public, &with(changed.clone())), "part {part}: {changed:?}");
        }
        for respelt in [URL_SAFE.encode(&bytes), STANDARD.encode(&bytes)] {
            assert!(respelt == parts[part] || !verifies(&public, &with(respelt)), "part {part}");
        }
    }
    // The last of the signature's 86 characters carries four bits that have to be zero.
    let (body, last) = token.split_at(token.len() - 1);
    let spellings = (b'0'..=b'z')
        .map(char::from)
        .filter(|c| verifies(&public, &format!("{body}{c}")))
        .collect::<String>();
    assert_eq!(spellings, last, "one spelling");
}

#[test]
fn ed25519_signatures_have_one_form() {
    let (_, public, unsigned, token) = good(Algorithm::EdDsa);
    let signature = CompactJws::split(&token).unwrap().signature().unwrap();
    // S + L is the same scalar to a careless verifier (RFC 8032, section 8.4).
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10_u16,
    ];
    let mut changed = signature.clone();
    let mut carry = 0;
    for (byte, add) in changed[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + add + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert!(!verifies(&public, &unsigned.with_signature(&changed)));
}

#[test]
fn ecdsa_signatures_of_zero_order_or_another_encoding_are_refused() {
    let (_, public, unsigned, token) = good(Algorithm::Es256);
    let signature = CompactJws::split(&token).unwrap().signature().unwrap();
    let order: Vec<u8> = (0..32)
        .map(|at| {
            let hex = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
            u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()
        })
        .collect();
    let zero = vec![0; 32];
    let mut one = zero.clone();
    one[31] = 1;
    let numbers = [zero, one, order, vec![0xff; 32]];
    for r in &numbers {
        for s in &numbers {
            assert!(!verifies(&public, &unsigned.with_signature(&[&r[..], s].concat())));
        }
        assert!(!verifies(&public, &unsigned.with_signature(&[&r[..], &signature[32..]].concat())));
        assert!(!verifies(&public, &unsigned.with_signature(&[&signature[..32], r].concat())));
    }
    let swapped = [&signature[32..], &signature[..32]].concat();
    assert!(!verifies(&public, &unsigned.with_signature(&swapped)));
    let integer = |bytes: &[u8]| {
        let mut value = bytes.to_vec();
        if value[0] >= 0x80 {
            value.insert(0, 0);
        }
        [vec![2, u8::try_from(value.len()).unwrap()], value].concat()
    };
    let pair = [integer(&signature[..32]), integer(&signature[32..])].concat();
    let der = [vec![0x30, u8::try_from(pair.len()).unwrap()], pair].concat();
    assert!(!verifies(&public, &unsigned.with_signature(&der)), "DER is not what JWS has");
}

#[test]
fn a_key_in_the_token_signs_for_nobody() {
    let test = TestDoor::new();
    let someone = test.member(&test.tenant(&test.synq), "ADMIN");
    let own = keypair("own-1", Algorithm::EdDsa);
    let ask = |header: &Value, key: &SigningKey| {
        let token = Unsigned::new(header, &test.claims(&someone)).signed(key);
        status(&TestRequest::get("/api/v1/orders").bearer(&token).decide(&test, &test.synq))
    };
    assert_eq!(ask(&test.header(), &test.signing_key), 200);
    let mut header = test.header();
    assert_eq!(ask(&header, &own), 401);
    header["jwk"] = own.verifying_key().unwrap().to_jwk();
    assert_eq!(ask(&header, &own), 401);
    assert_eq!(ask(&header, &test.signing_key), 401, "well signed, too");
}

#[test]
fn q01_a_third_party_library_verifies_what_we_sign() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let test = TestDoor::with_signing_key(keypair("own-1", algorithm));
        let someone = test.member(&test.tenant(&test.synq), "EDITOR");
        let claims = test.claims(&someone);
        let token = jws::sign(&test.signing_key, "at+jwt", &claims).unwrap();
        assert!(token.starts_with("eyJhbGci"), "{token}");
        assert_eq!(status(&TestRequest::get("/api/v1/orders").bearer(&token).decide(&test, &test.synq)), 200);

        let jwk: Jwk = serde_json::from_value(test.signing_key.verifying_key().unwrap().to_jwk()).unwrap();
        let mut rules = Validation::new(algorithm.as_str().parse().unwrap());
        rules.set_audience(&["synq"]);
        rules.set_issuer(&["https://synq.example"]);
        rules.validate_exp = false;
        let read = decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &rules).unwrap();
        assert_eq!(read.claims, claims);
        assert_eq!((read.header.kid.as_deref(), read.header.typ.as_deref()), (Some("own-1"), Some("at+jwt")));
    }
}

#[test]
fn our_verifier_takes_what_a_third_party_library_signs() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let document = SigningKey::generate(algorithm).unwrap();
        let key = SigningKey::from_pkcs8("own-1", algorithm, &document).unwrap();
        let test = TestDoor::with_signing_key(key);
        let someone = test.member(&test.tenant(&test.synq), "EDITOR");
        let mut header = Header::new(algorithm.as_str().parse().unwrap());
        header.kid = Some("own-1".into());
        header.typ = Some("at+jwt".into());
        let signer = match algorithm {
            Algorithm::EdDsa => EncodingKey::from_ed_der(document.expose()),
            _ => EncodingKey::from_ec_der(document.expose()),
        };
        let token = encode(&header, &test.claims(&someone), &signer).unwrap();
        assert_eq!(status(&TestRequest::get("/api/v1/orders").bearer(&token).decide(&test, &test.synq)), 200);
    }
}

#[test]
fn c01_user_tokens_go_both_ways_through_a_third_party_library() {
    let test = TestDoor::new();
    let person = test.member(&test.tenant(&test.syncello), "MEMBER");
    let secret = test.user_secret(&test.syncello, &person);
    let claims = test.user_claims(&test.syncello, &secret);
    let ask =
        |token: &str| status(&TestRequest::get("/v1/tools").bearer(token).decide(&test, &test.syncello));

    let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some(secret.kid.clone());
    let theirs = encode(&header, &claims, &EncodingKey::from_secret(secret.secret.expose())).unwrap();
    assert_eq!(ask(&theirs), 200);

    let ours = jws::sign_hs256(secret.secret.expose(), &secret.kid, "user+jwt", &claims).unwrap();
    assert!(ours.starts_with("eyJhbGciOiJIUzI1NiIs"), "{ours}");
    assert_eq!(ask(&ours), 200);
    let mut rules = Validation::new(jsonwebtoken::Algorithm::HS256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let read = decode::<Value>(&ours, &DecodingKey::from_secret(secret.secret.expose()), &rules).unwrap();
    assert_eq!(read.claims, claims);
}
