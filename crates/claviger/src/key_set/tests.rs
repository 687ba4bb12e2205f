use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair, RsaKeyPair};
use serde_json::{Value, json};

use super::*;
use crate::signing_key::SigningKey;

fn set(keys: &[Value], algorithms: Option<&[Algorithm]>) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), algorithms).unwrap()
}

fn ed25519(kid: &str) -> Value {
    let document = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let key = SigningKey::from_pkcs8(kid, Algorithm::EdDsa, &document).unwrap();
    key.verifying_key().unwrap().to_jwk()
}

/// An RSA key pair and its JWK without an `alg`.
fn rsa(size: KeySize) -> (RsaKeyPair, Value) {
    let pair = RsaKeyPair::generate(size).unwrap();
    let public = pair.public_key();
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({
        "kty": "RSA", "kid": "r",
        "n": b64(public.modulus().big_endian_without_leading_zero()),
        "e": b64(public.exponent().big_endian_without_leading_zero()),
    });
    (pair, jwk)
}

fn with(jwk: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value.into();
    jwk
}

fn without(jwk: &Value, name: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().remove(name);
    jwk
}

#[test]
fn keys_under_which_anything_verifies_are_refused() {
    // Worked out apart from the table under test: 0 and 1, the two of order 8, and p - 1, p and p + 1.
    let near_p = |last: u8| {
        let mut y = [0xff; 32];
        (y[0], y[31]) = (last, 0x7f);
        y
    };
    let small = |first: u8| {
        let mut y = [0; 32];
        y[0] = first;
        y
    };
    let order_8 = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    // The other one is p less the first.
    let mut less = [0; 32];
    let mut borrow = 0;
    for (at, place) in less.iter_mut().enumerate() {
        let difference = i32::from(near_p(0xed)[at]) - i32::from(order_8[at]) - borrow;
        borrow = i32::from(difference < 0);
        *place = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    for bytes in [small(0), small(1), order_8, less, near_p(0xec), near_p(0xed), near_p(0xee)] {
        assert!(has_small_order(&bytes), "{bytes:?}");
        assert!(VerifyingKey::new("a", Algorithm::EdDsa, &bytes).is_err(), "{bytes:?}");
        let mut signed = bytes;
        signed[31] |= 0x80;
        assert!(has_small_order(&signed), "{bytes:?} with the sign bit");
        assert!(VerifyingKey::new("a", Algorithm::EdDsa, &signed).is_err(), "{bytes:?} with the sign bit");
    }
    assert!(!has_small_order(&small(2)) && !has_small_order(&near_p(0xeb)));
    let (_, jwk) = rsa(KeySize::Rsa2048);
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for exponent in [&[1][..], &[], &[0], &[2], &[1, 0, 0], &[0, 0, 1], &[1, 0, 0, 0, 0, 1]] {
        assert!(VerifyingKey::rsa("a", Algorithm::Rs256, &modulus, exponent).is_err(), "{exponent:?}");
    }
    for exponent in [&[3][..], &[1, 0, 1], &[1, 0, 0, 0, 1]] {
        assert!(VerifyingKey::rsa("a", Algorithm::Rs256, &modulus, exponent).is_ok(), "{exponent:?}");
    }
    assert!(VerifyingKey::rsa("a", Algorithm::Es256, &modulus, &[1, 0, 1]).is_err());
    assert!(VerifyingKey::new("a", Algorithm::Rs256, &modulus).is_err());
    assert!(VerifyingKey::new("a", Algorithm::Es256, &[4; 65]).is_err(), "no point of the curve");
    assert!(VerifyingKey::new("a", Algorithm::EdDsa, &[4; 31]).is_err());
}

#[test]
fn rsa_keys_have_2048_to_8192_bits() {
    let modulus = |bytes: usize| {
        let mut modulus = vec![0xa7; bytes];
        modulus[bytes - 1] |= 1;
        modulus
    };
    let good = |bytes| VerifyingKey::rsa("a", Algorithm::Rs256, &modulus(bytes), &[1, 0, 1]).is_ok();
    assert_eq!([128, 255, 256, 512, 1024, 1025].map(good), [false, false, true, true, true, false]);
    let padded = [&[0, 0][..], &modulus(255)].concat();
    assert!(VerifyingKey::rsa("a", Algorithm::Rs256, &padded, &[1, 0, 1]).is_err(), "zeros add no bits");
    let one = VerifyingKey::rsa("a", Algorithm::Rs256, &modulus(256), &[1, 0, 1]).unwrap();
    let same =
        VerifyingKey::rsa("b", Algorithm::Rs256, &[&[0][..], &modulus(256)].concat(), &[0, 1, 0, 1]).unwrap();
    assert_eq!(one.thumbprint(), same.thumbprint(), "one key has one spelling");
}

#[test]
fn each_of_the_algorithms_verifies_what_it_signed_and_nothing_else() {
    let random = SystemRandom::new();
    let (pair, jwk) = rsa(KeySize::Rsa2048);
    for (algorithm, padding) in [
        (Algorithm::Rs256, &signature::RSA_PKCS1_SHA256 as &dyn signature::RsaEncoding),
        (Algorithm::Ps256, &signature::RSA_PSS_SHA256),
    ] {
        let mut signed = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &random, b"message", &mut signed).unwrap();
        let keys = set(&[with(&jwk, "alg", algorithm.as_str())], None);
        let key = keys.find("r").unwrap();
        assert_eq!(key.algorithm(), algorithm);
        assert!(key.verifies(b"message", &signed) && !key.verifies(b"massage", &signed));
        let other = if algorithm == Algorithm::Rs256 { "PS256" } else { "RS256" };
        let others = set(&[with(&jwk, "alg", other)], None);
        assert!(!others.find("r").unwrap().verifies(b"message", &signed), "a key is bound to its padding");
        assert_ne!(others.find("r").unwrap().thumbprint(), key.thumbprint());
    }
    for (algorithm, signing, curve) in [
        (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
        (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
        (Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
    ] {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let point: Box<[u8]> = pair.public_key().as_ref().into();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({ "kty": "EC", "crv": curve, "kid": "e", "x": b64(x), "y": b64(y) });
        let keys = set(std::slice::from_ref(&jwk), None);
        let key = keys.find("e").unwrap();
        let signed = pair.sign(&random, b"message").unwrap();
        assert_eq!(key.algorithm(), algorithm);
        assert!(key.verifies(b"message", signed.as_ref()) && !key.verifies(b"massage", signed.as_ref()));
        let again = set(&[key.to_jwk()], None);
        assert_eq!(again.find("e").unwrap().thumbprint(), key.thumbprint());
        for (other, _) in
            [("P-256", 0), ("P-384", 0), ("P-521", 0)].iter().filter(|(other, _)| *other != curve)
        {
            assert!(set(&[with(&jwk, "crv", *other)], None).keys().is_empty());
        }
    }
    let (_, jwk) = rsa(KeySize::Rsa2048);
    let key = set(&[jwk], None);
    assert_eq!(set(&[key.keys()[0].to_jwk()], None).keys()[0].thumbprint(), key.keys()[0].thumbprint());
}

#[test]
fn an_rsa_key_without_an_algorithm_is_for_rs256_and_for_ps256_where_that_is_the_one_named() {
    let (_, jwk) = rsa(KeySize::Rsa2048);
    let of = |algorithms: Option<&[Algorithm]>| {
        set(std::slice::from_ref(&jwk), algorithms).keys().first().map(VerifyingKey::algorithm)
    };
    assert_eq!(of(None), Some(Algorithm::Rs256));
    assert_eq!(of(Some(&[Algorithm::Ps256])), Some(Algorithm::Ps256));
    assert_eq!(of(Some(&[Algorithm::EdDsa, Algorithm::Ps256])), Some(Algorithm::Ps256));
    assert_eq!(of(Some(&[Algorithm::Ps256, Algorithm::Rs256])), Some(Algorithm::Rs256));
    assert_eq!(of(Some(&[Algorithm::Es256])), None);
    let named = set(&[with(&jwk, "alg", "RS256")], Some(&[Algorithm::Ps256]));
    assert_eq!(named.passed_over()[0].to_string(), "`r` is for an algorithm that the settings leave out");
}

#[test]
fn rfc_9864_calls_ed25519_by_its_name() {
    let jwk = ed25519("a");
    for name in ["EdDSA", "Ed25519"] {
        let keys = set(&[with(&jwk, "alg", name)], None);
        assert_eq!(keys.find("a").unwrap().algorithm(), Algorithm::EdDsa, "{name}");
        assert_eq!(Algorithm::from_name(name), Some(Algorithm::EdDsa));
    }
    for odd in ["ed25519", "eddsa", "Ed448", "none", "HS256", ""] {
        assert_eq!(Algorithm::from_name(odd), None, "{odd}");
    }
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.as_str()), Some(*algorithm));
    }
}

#[test]
fn core_09_a_key_of_no_use_is_passed_over_and_named_and_the_others_are_taken() {
    let good = ed25519("good");
    let (_, rsa) = rsa(KeySize::Rsa2048);
    for (bad, name, why) in [
        (json!("text"), "key 2 of the set", "is no object"),
        (without(&ed25519("x"), "kid"), "key 2 of the set", "has no `kid`"),
        (with(&ed25519("x"), "kid", ""), "``", "has no `kid`"),
        (with(&ed25519("x"), "kid", "a".repeat(257)), "`aaaa", "has no `kid`"),
        (with(&ed25519("x"), "kid", "us_abc"), "`us_abc`", "only user secrets"),
        (with(&ed25519("x"), "use", "enc"), "`x`", "not for signatures"),
        (with(&ed25519("x"), "use", 1), "`x`", "not for signatures"),
        (with(&ed25519("x"), "key_ops", json!(["sign"])), "`x`", "not for verifying"),
        (with(&ed25519("x"), "key_ops", json!(["deriveKey"])), "`x`", "not for verifying"),
        (with(&ed25519("x"), "key_ops", json!([])), "`x`", "not for verifying"),
        (with(&ed25519("x"), "key_ops", "verify"), "`x`", "not for verifying"),
        (with(&ed25519("x"), "d", "AA"), "`x`", "private key"),
        (json!({ "kty": "oct", "kid": "x", "k": "AA" }), "`x`", "secret"),
        (with(&rsa, "alg", "RSA-OAEP"), "`r`", "another algorithm"),
        (with(&rsa, "alg", "RS512"), "`r`", "another algorithm"),
        (with(&rsa, "alg", "ES256"), "`r`", "its kind cannot do"),
        (with(&rsa, "alg", 7), "`r`", "another algorithm"),
        (with(&ed25519("x"), "crv", "X25519"), "`x`", "kind or curve"),
        (with(&ed25519("x"), "kty", "OKP2"), "`x`", "kind or curve"),
        (without(&ed25519("x"), "x"), "`x`", "no numbers"),
        (with(&ed25519("x"), "x", "!!"), "`x`", "no numbers"),
        (with(&ed25519("x"), "x", "AAAA"), "`x`", "not a usable public key"),
        (with(&rsa, "e", "AQ"), "`r`", "not a usable public key"),
        (with(&rsa, "n", "AQAB"), "`r`", "not a usable public key"),
        (ed25519("good"), "`good`", "name of a key before it"),
    ] {
        let keys = set(&[good.clone(), bad.clone()], None);
        assert_eq!(keys.keys().len(), 1, "{bad}");
        assert!(keys.find("good").is_some());
        let passed = &keys.passed_over()[0];
        assert!(passed.name.starts_with(name) && passed.why.contains(why), "{passed}");
    }
    for good in [
        with(&ed25519("x"), "key_ops", json!(["verify"])),
        with(&ed25519("x"), "key_ops", json!(["sign", "verify"])),
        with(&ed25519("x"), "x5t", "AAAA"),
        with(&ed25519("x"), "kid", "a".repeat(256)),
        with(&ed25519("x"), "kid", "J4j+I06r0I0vp/Xv4u="),
        without(&ed25519("x"), "use"),
        without(&ed25519("x"), "alg"),
    ] {
        assert!(set(std::slice::from_ref(&good), None).passed_over().is_empty(), "{good}");
    }
}

#[test]
fn the_names_of_keys_can_be_printed_whatever_they_are() {
    let keys = set(&[with(&ed25519("x"), "kid", "a\u{1b}[2J\n"), with(&ed25519("x"), "use", "enc")], None);
    assert!(keys.find("a\u{1b}[2J\n").is_some(), "it is a name like any other");
    let odd = with(&with(&ed25519("x"), "kid", "a\u{1b}[2J\n"), "use", "enc");
    let keys = set(&[odd], None);
    assert_eq!(keys.passed_over()[0].name, "`a\\u{1b}[2J\\n`");
    assert!(keys.why_not("a\u{1b}[2J\n").is_some() && keys.why_not("b").is_none());
    let long = with(&with(&ed25519("x"), "kid", "\u{e9}".repeat(100)), "use", "enc");
    assert_eq!(set(&[long], None).passed_over()[0].name.chars().count(), 64 + 3);
}

#[test]
fn what_is_no_key_set_is_an_error() {
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]} x"#] {
        assert!(KeySet::parse(bad.as_bytes(), None).is_err(), "{bad}");
    }
    assert!(set(&[], None).keys().is_empty());
}

#[test]
fn a_key_is_printed_by_name_and_read_back_from_its_own_jwk() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let document = SigningKey::generate(algorithm).unwrap();
        let key = SigningKey::from_pkcs8("k1", algorithm, &document).unwrap().verifying_key().unwrap();
        assert_eq!(format!("{key:?}"), format!("VerifyingKey(k1, {})", algorithm.as_str()));
        assert_eq!(key.raw().len(), if algorithm == Algorithm::EdDsa { 32 } else { 65 });
        let again = VerifyingKey::new("k1", algorithm, key.raw()).unwrap();
        assert_eq!(again.thumbprint(), key.thumbprint());
        let read = set(&[key.to_jwk()], None);
        let read = read.find("k1").unwrap();
        assert_eq!((read.thumbprint(), read.to_jwk()), (key.thumbprint(), key.to_jwk()));
    }
    let document = SigningKey::generate(Algorithm::Es256).unwrap();
    let key = SigningKey::from_pkcs8("k1", Algorithm::Es256, &document).unwrap().verifying_key().unwrap();
    let whole = key.to_jwk();
    let (x, y) = key.raw()[1..].split_at(32);
    assert_eq!(
        (&whole["x"], &whole["y"]),
        (&URL_SAFE_NO_PAD.encode(x).into(), &URL_SAFE_NO_PAD.encode(y).into())
    );
    let torn = with(
        &with(&whole, "x", URL_SAFE_NO_PAD.encode(&key.raw()[1..34])),
        "y",
        URL_SAFE_NO_PAD.encode(&y[1..]),
    );
    assert!(set(&[torn], None).find("k1").is_none(), "the same bytes, torn elsewhere");
    let (_, jwk) = rsa(KeySize::Rsa2048);
    let read = set(&[with(&jwk, "alg", "RS256")], None);
    let again = read.find("r").unwrap().to_jwk();
    assert_eq!((&again["n"], &again["e"]), (&jwk["n"], &jwk["e"]));
}
