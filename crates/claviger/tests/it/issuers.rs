//! Tokens of other issuers: what they look like, whose they are, and what ends them.

use std::cell::RefCell;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::api::{Api, ApiSettings, ForeignIssuer, IssuerKeys};
use claviger::clock::{Clock, UnixMillis};
use claviger::directory::ForeignIdentityRecord;
use claviger::id::TokenId;
use claviger::key_set::{Algorithm, KeySet};
use claviger::signing_key::SigningKey;
use claviger::target::Target;
use claviger::testing::{Home, Lookup, Someone, TestDoor, TestRequest, Unsigned, api, keypair, now, synq};
use claviger::{Permit, Refusal};
use serde_json::{Value, json};

use crate::{code, status};

const ORDERS: &str = "/api/v1/orders";
const ISSUER: &str = "https://idp.example";

fn keys(jwks: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": jwks }).to_string().as_bytes(), None).unwrap()
}

fn jwk(key: &SigningKey) -> Value {
    key.verifying_key().unwrap().to_jwk()
}

fn issuer(jwks: &[Value], home: &Home) -> ForeignIssuer {
    ForeignIssuer {
        issuer: ISSUER.into(),
        audience: Some("synq".into()),
        types: vec!["at+jwt".into()],
        required_claims: Vec::new(),
        lifetime_seconds: 86_400,
        leeway_seconds: 5,
        max_token_bytes: 16_384,
        max_claims_depth: 16,
        keys: Arc::new(IssuerKeys::new(keys(jwks))),
        tenants: vec![home.tenant],
    }
}

/// Synq, trusting another issuer for one tenant.
struct Abroad {
    test: TestDoor,
    api: Arc<Api>,
    key: SigningKey,
    someone: Someone,
}

impl Abroad {
    fn new() -> Self {
        Self::called("theirs", |issuer| issuer)
    }

    fn with(change: impl FnOnce(ForeignIssuer) -> ForeignIssuer) -> Self {
        Self::called("theirs", change)
    }

    fn called(kid: &str, change: impl FnOnce(ForeignIssuer) -> ForeignIssuer) -> Self {
        let test = TestDoor::new();
        let key = keypair(kid, Algorithm::Es256);
        let someone = test.member(&test.tenant(&test.synq), "EDITOR");
        let issuer = change(issuer(&[jwk(&key)], &someone.home));
        let api = api(ApiSettings { foreign_issuers: vec![issuer], ..synq() });
        Self { test, api, key, someone }.linked()
    }

    fn linked(self) -> Self {
        self.link(&self.someone.home, 0);
        self
    }

    fn link(&self, home: &Home, not_before: i64) {
        let record = ForeignIdentityRecord {
            tenant: home.tenant,
            account: self.someone.account,
            not_before: UnixMillis::from_seconds(not_before),
        };
        self.test.directory.put_foreign((home.tenant, ISSUER.into(), "their-42".into()), record);
    }

    fn claims(&self) -> Value {
        let mut claims = self.test.claims(&self.someone);
        claims["iss"] = json!(ISSUER);
        claims["sub"] = json!("their-42");
        claims["jti"] = json!("AT.onrtro-8c2e");
        claims.as_object_mut().unwrap().remove("sid");
        claims
    }

    fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.key.kid() })
    }

    fn ask(&self, claims: &Value) -> Result<Permit, Refusal> {
        self.show(&Unsigned::new(&self.header(), claims).signed(&self.key))
    }

    fn show(&self, token: &str) -> Result<Permit, Refusal> {
        TestRequest::get(ORDERS).bearer(token).decide(&self.test, &self.api)
    }

    fn with_claim(&self, name: &str, value: Value) -> u16 {
        let mut claims = self.claims();
        claims[name] = value;
        status(&self.ask(&claims))
    }

    fn without_claim(&self, name: &str) -> u16 {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().remove(name).unwrap();
        status(&self.ask(&claims))
    }

    fn why(&self, claims: &Value) -> String {
        let token = Unsigned::new(&self.header(), claims).signed(&self.key);
        let request = TestRequest::get(ORDERS).bearer(&token);
        let told =
            now(self.test.door.explain(&self.api, &request.inbound(Target::of(&request.uri).unwrap())));
        told.steps().iter().map(|(step, said)| format!("{step}: {said}\n")).collect()
    }

    fn seconds(&self) -> i64 {
        self.test.clock.now().seconds()
    }
}

#[test]
fn a_foreign_issuer_speaks_only_of_linked_people_in_its_own_tenants() {
    let abroad = Abroad::new();
    let permit = abroad.ask(&abroad.claims()).unwrap();
    assert_eq!(permit.principal().account(), Some(abroad.someone.account));
    assert_eq!(permit.principal().role().map(claviger::id::RoleName::as_str), Some("EDITOR"));
    assert_eq!(&*permit.principal().credential_id(), "AT.onrtro-8c2e");

    let elsewhere = abroad.test.tenant(&abroad.api);
    abroad.test.join(&elsewhere, abroad.someone.account, "ADMIN");
    abroad.link(&elsewhere, 0);
    let mut claims = abroad.claims();
    claims["tenant_id"] = json!(elsewhere.tenant.to_string());
    claims["org_id"] = json!(elsewhere.org.to_string());
    let before = abroad.test.directory.looked_up(Lookup::Tenant);
    assert_eq!(status(&abroad.ask(&claims)), 401, "a tenant it was not registered for");
    assert_eq!(abroad.test.directory.looked_up(Lookup::Tenant), before, "nor is it looked up");

    for (name, value) in [
        ("iss", json!("https://synq.example")),
        ("iss", json!("https://idp.example/")),
        ("iss", json!("https://IDP.example")),
        ("sub", json!("their-43")),
        ("sub", json!("")),
        ("sub", json!("their-42\n")),
        ("sub", json!("x".repeat(256))),
        ("sub", json!(abroad.someone.account.to_string())),
        ("aud", json!("elsewhere")),
    ] {
        assert_eq!(abroad.with_claim(name, value.clone()), 401, "{name} {value}");
    }
    assert_eq!(abroad.with_claim("aud", json!(["other", "synq"])), 200);
    // What is wrong with a subject is told, whichever way.
    for subject in ["x".repeat(256), "their-42\u{7}".into()] {
        let mut claims = abroad.claims();
        claims["sub"] = json!(subject);
        assert!(
            abroad.why(&claims).contains("too long, or has control characters"),
            "{}",
            abroad.why(&claims)
        );
    }
    assert!(abroad.test.door.is_unchanged(&permit));
    abroad.link(&abroad.someone.home, 1);
    assert!(!abroad.test.door.is_unchanged(&permit), "linked anew");
    let permit = abroad.ask(&abroad.claims()).unwrap();
    assert!(abroad.test.door.is_unchanged(&permit));
    abroad.test.directory.take_foreign(&(abroad.someone.home.tenant, ISSUER.into(), "their-42".into()));
    assert!(!abroad.test.door.is_unchanged(&permit), "no longer linked");
    assert_eq!(status(&abroad.ask(&abroad.claims())), 401, "nobody is linked");
}

#[test]
fn two_issuers_may_call_a_key_alike_and_each_signs_for_itself() {
    let abroad = Abroad::called("own-1", |issuer| issuer);
    let own = abroad.test.identity_token(&abroad.someone);
    assert_eq!(status(&abroad.ask(&abroad.claims())), 200, "a key is found by issuer and name together");
    assert_eq!(status(&abroad.show(&own)), 200);
    let ours = abroad.test.claims(&abroad.someone);
    assert_eq!(status(&abroad.ask(&ours)), 401, "a foreign key signs nothing in our name");
    let token = Unsigned::new(&abroad.header(), &abroad.claims()).signed(&abroad.test.signing_key);
    assert_eq!(status(&abroad.show(&token)), 401, "nor ours in theirs");
    // With ours gone, a foreign key of its name does not revive what ours signed.
    abroad.test.directory.take_identity_key(&abroad.api.realm, "own-1");
    assert_eq!(status(&abroad.show(&own)), 401);
    assert_eq!(status(&abroad.ask(&abroad.claims())), 200);

    let (first, second) = (keypair("same", Algorithm::EdDsa), keypair("same", Algorithm::EdDsa));
    let test = TestDoor::new();
    let someone = test.member(&test.tenant(&test.synq), "EDITOR");
    let other =
        ForeignIssuer { issuer: "https://b.example".into(), ..issuer(&[jwk(&second)], &someone.home) };
    let both = vec![issuer(&[jwk(&first)], &someone.home), other];
    let two = Abroad { api: api(ApiSettings { foreign_issuers: both, ..synq() }), test, key: first, someone }
        .linked();
    let record = ForeignIdentityRecord {
        tenant: two.someone.home.tenant,
        account: two.someone.account,
        not_before: UnixMillis(0),
    };
    two.test
        .directory
        .put_foreign((two.someone.home.tenant, "https://b.example".into(), "their-42".into()), record);
    let token = |iss: &str, key: &SigningKey| {
        let mut claims = two.claims();
        claims["iss"] = json!(iss);
        Unsigned::new(&json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "same" }), &claims).signed(key)
    };
    assert_eq!(status(&two.show(&token(ISSUER, &two.key))), 200);
    assert_eq!(status(&two.show(&token("https://b.example", &second))), 200);
    assert_eq!(status(&two.show(&token(ISSUER, &second))), 401);
    assert_eq!(status(&two.show(&token("https://b.example", &two.key))), 401);
}

#[test]
fn j01_j05_every_algorithm_and_any_kid_is_taken() {
    let random = SystemRandom::new();
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_jwk = json!({
        "kty": "RSA", "kid": "J4j+I06r0I0v.:/wu=",
        "n": b64(rsa.public_key().modulus().big_endian_without_leading_zero()),
        "e": b64(rsa.public_key().exponent().big_endian_without_leading_zero()),
    });
    type Sign<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let rsa_sign = |padding: &'static dyn signature::RsaEncoding| -> Sign<'_> {
        let (rsa, random) = (&rsa, &random);
        Box::new(move |input| {
            let mut signed = vec![0; rsa.public_modulus_len()];
            rsa.sign(padding, random, input, &mut signed).unwrap();
            signed
        })
    };
    let pairs = [
        ("ES256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
        ("ES384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
        ("ES512", &signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
    ]
    .map(|(alg, signing, curve)| (alg, EcdsaKeyPair::generate(signing).unwrap(), curve));
    let edwards = keypair("e/d=", Algorithm::EdDsa);
    let mut all: Vec<(&str, Value, Sign<'_>)> = vec![
        ("RS256", rsa_jwk.clone(), rsa_sign(&signature::RSA_PKCS1_SHA256)),
        (
            "PS256",
            {
                let mut jwk = rsa_jwk.clone();
                jwk["alg"] = json!("PS256");
                jwk
            },
            rsa_sign(&signature::RSA_PSS_SHA256),
        ),
        ("EdDSA", jwk(&edwards), Box::new(|input| edwards.sign(input).unwrap())),
        (
            "Ed25519",
            {
                let mut jwk = jwk(&edwards);
                jwk["alg"] = json!("Ed25519");
                jwk
            },
            Box::new(|input| edwards.sign(input).unwrap()),
        ),
    ];
    for (alg, pair, curve) in &pairs {
        let point: Box<[u8]> = pair.public_key().as_ref().into();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let jwk = json!({ "kty": "EC", "crv": curve, "kid": "schl\u{fc}ssel 1", "x": b64(x), "y": b64(y) });
        let random = &random;
        all.push((alg, jwk, Box::new(move |input| pair.sign(random, input).unwrap().as_ref().to_vec())));
    }
    for (alg, jwk, sign) in &all {
        let abroad = Abroad::with(|issuer| ForeignIssuer {
            keys: Arc::new(IssuerKeys::new(keys(std::slice::from_ref(jwk)))),
            ..issuer
        });
        for (said, _, _) in &all {
            let header = json!({ "alg": said, "typ": "at+jwt", "kid": jwk["kid"] });
            let unsigned = Unsigned::new(&header, &abroad.claims());
            let token = unsigned.with_signature(&sign(unsigned.input().as_bytes()));
            let is_same = said == alg || said.starts_with("Ed") && alg.starts_with("Ed");
            assert_eq!(status(&abroad.show(&token)), if is_same { 200 } else { 401 }, "{said} under {alg}");
        }
        for odd in ["none", "HS256", "rs256", ""] {
            let header = json!({ "alg": odd, "typ": "at+jwt", "kid": jwk["kid"] });
            let unsigned = Unsigned::new(&header, &abroad.claims());
            assert_eq!(
                status(&abroad.show(&unsigned.with_signature(&sign(unsigned.input().as_bytes())))),
                401,
                "{odd}"
            );
        }
    }
}

#[test]
fn j02_a_jti_is_any_text_or_none_and_revokes_its_own_token_alone() {
    let abroad = Abroad::new();
    let tenant = abroad.someone.home.tenant;
    for jti in ["AT.onrtro-8c2e", "", "a \"quoted\" one\n", &"x".repeat(3000)] {
        assert_eq!(abroad.with_claim("jti", json!(jti)), 200, "{jti}");
    }
    for odd in [json!(7), json!(null), json!(["a"])] {
        assert_eq!(abroad.with_claim("jti", odd.clone()), 401, "{odd}");
    }
    let of = |claims: &Value| abroad.ask(claims).unwrap().principal().credential_id();
    let mut odd = abroad.claims();
    odd["jti"] = json!("a \"quoted\" one\n");
    assert_eq!(
        *of(&odd),
        *TokenId::foreign(ISSUER, "a \"quoted\" one\n").to_string(),
        "what cannot be shown has a name"
    );
    odd.as_object_mut().unwrap().remove("jti");
    let unnamed = of(&odd);
    assert!(unnamed.starts_with("token:") && unnamed.len() == 28, "{unnamed}");
    assert!(abroad.why(&odd).contains("it cannot be revoked alone"), "{}", abroad.why(&odd));
    assert!(!abroad.why(&abroad.claims()).contains("revoked alone"));

    abroad.test.directory.revoke_token(tenant, TokenId::foreign("https://other.example", "AT.onrtro-8c2e"));
    assert_eq!(status(&abroad.ask(&abroad.claims())), 200, "another issuer's of the same jti");
    abroad.test.directory.revoke_token(tenant, TokenId::foreign(ISSUER, "AT.onrtro-8c2e"));
    assert_eq!(status(&abroad.ask(&abroad.claims())), 401);
    assert_eq!(abroad.with_claim("jti", json!("another")), 200);
}

#[test]
fn a05_claims_are_as_ornate_as_they_come_within_a_bound() {
    let abroad = Abroad::new();
    let groups: Vec<String> = (0..520).map(|n| format!("/team/{n:04}")).collect();
    assert_eq!(abroad.with_claim("groups", json!(groups)), 200, "9 kB");
    assert_eq!(abroad.with_claim("groups", json!("x".repeat(13_000))), 401, "more than 16 KiB");
    // To the byte: each byte of the claim adds at least one to the token.
    let token = |length: usize| {
        let mut claims = abroad.claims();
        claims["groups"] = json!("x".repeat(length));
        Unsigned::new(&abroad.header(), &claims).signed(&abroad.key)
    };
    let (mut some, mut last) = (false, 0);
    for token in (11_500..12_500).map(token).skip_while(|token| token.len() < 16_384).take(3) {
        assert_eq!(
            status(&abroad.show(&token)),
            if token.len() <= 16_384 { 200 } else { 401 },
            "{}",
            token.len()
        );
        some |= token.len() == 16_384;
        last = token.len();
    }
    assert!(some && last > 16_384);
    let nest = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(abroad.with_claim("resource_access", nest(15)), 200);
    assert_eq!(abroad.with_claim("resource_access", nest(16)), 401);
    assert_eq!(abroad.with_claim("name", json!("Zo\u{eb} \u{1f600}")), 200);
    assert_eq!(abroad.with_claim("address", json!({ "street_address": { "lines": ["a", "b"] } })), 200);

    let wide =
        Abroad::with(|issuer| ForeignIssuer { max_token_bytes: 65_536, max_claims_depth: 64, ..issuer });
    assert_eq!(wide.with_claim("groups", json!("x".repeat(40_000))), 200);
    assert_eq!(wide.with_claim("resource_access", nest(40)), 200);
    // What one issuer may is nothing to our own tokens.
    let own = |name: &str, value: Value| {
        let mut claims = wide.test.claims(&wide.someone);
        claims[name] = value;
        status(&wide.show(&Unsigned::new(&wide.test.header(), &claims).signed(&wide.test.signing_key)))
    };
    assert_eq!((own("a", json!("x".repeat(8000))), own("a", nest(4)), own("a", nest(3))), (401, 401, 200));
}

#[test]
fn the_kind_of_token_is_told_by_typ_audience_and_claims_as_settings_say() {
    let typed = |abroad: &Abroad, typ: Option<&str>| {
        let mut header = abroad.header();
        match typ {
            Some(typ) => header["typ"] = json!(typ),
            None => drop(header.as_object_mut().unwrap().remove("typ")),
        }
        status(&abroad.show(&Unsigned::new(&header, &abroad.claims()).signed(&abroad.key)))
    };
    let plain = Abroad::new();
    assert_eq!(
        [Some("at+jwt"), Some("application/AT+JWT"), Some("JWT"), None].map(|typ| typed(&plain, typ)),
        [200, 200, 401, 401]
    );
    let listed = Abroad::with(|issuer| ForeignIssuer {
        types: vec!["at+jwt".into(), "JWT".into(), "".into()],
        required_claims: vec![("token_use".into(), "access".into())],
        ..issuer
    });
    assert_eq!(
        [Some("at+jwt"), Some("jwt"), None].map(|typ| typed(&listed, typ)),
        [401; 3],
        "the claim is missing"
    );
    for (value, expected) in [
        (json!("access"), 200),
        (json!(["x", "access"]), 200),
        (json!("id"), 401),
        (json!(["id"]), 401),
        (json!(1), 401),
    ] {
        assert_eq!(listed.with_claim("token_use", value.clone()), expected, "{value}");
    }

    let cognito = Abroad::with(|issuer| ForeignIssuer {
        audience: None,
        required_claims: vec![("token_use".into(), "access".into()), ("client_id".into(), "app".into())],
        ..issuer
    });
    let ask = |bend: &dyn Fn(&mut Value)| {
        let mut claims = cognito.claims();
        claims.as_object_mut().unwrap().remove("aud");
        claims["token_use"] = json!("access");
        claims["client_id"] = json!("app");
        bend(&mut claims);
        status(&cognito.ask(&claims))
    };
    assert_eq!(ask(&|_| {}), 200);
    assert_eq!(ask(&|claims| claims["aud"] = json!("whoever")), 200);
    assert_eq!(ask(&|claims| claims["client_id"] = json!("another")), 401);
    assert_eq!(ask(&|claims| claims["token_use"] = json!("id")), 401);
}

#[test]
fn times_are_by_the_issuers_own_life_and_leeway() {
    let abroad =
        Abroad::with(|issuer| ForeignIssuer { lifetime_seconds: 7200, leeway_seconds: 60, ..issuer });
    let now = abroad.seconds();
    for (name, value, expected) in [
        ("exp", now - 59, 200),
        ("exp", now - 60, 401),
        ("exp", now + 7260, 200),
        ("exp", now + 7261, 401),
        ("iat", now + 60, 200),
        ("iat", now + 61, 401),
        ("nbf", now + 60, 200),
        ("nbf", now + 61, 401),
    ] {
        let mut claims = abroad.claims();
        claims[name] = json!(value);
        if name != "exp" {
            claims["exp"] = json!(now + 3600);
        }
        assert_eq!(status(&abroad.ask(&claims)), expected, "{name} {}", value - now);
    }
    assert_eq!((abroad.without_claim("exp"), abroad.without_claim("iat")), (401, 401));
    for odd in [json!(now as f64), json!(now.to_string()), json!(-1)] {
        assert_eq!(abroad.with_claim("iat", odd.clone()), 401, "{odd}");
    }
}

#[test]
fn core_10_floors_add_the_issuers_leeway() {
    let abroad = Abroad::with(|issuer| ForeignIssuer { leeway_seconds: 30, ..issuer });
    let iat = abroad.claims()["iat"].as_i64().unwrap();
    let claims = abroad.claims();
    for (floor, expected) in [(iat - 30, 200), (iat - 29, 401), (iat, 401), (iat + 1, 401)] {
        abroad.link(&abroad.someone.home, floor);
        assert_eq!(status(&abroad.ask(&claims)), expected, "{}, remembered or not", floor - iat);
    }
    abroad.link(&abroad.someone.home, 0);
    let mut old = claims.clone();
    old["iat"] = json!(iat - 1000);
    assert_eq!(status(&abroad.ask(&old)), 200, "no floor is none");
}

#[test]
fn a_foreign_sid_never_passes_for_a_session_of_ours() {
    let abroad = Abroad::new();
    let victim = abroad.test.member(&abroad.someone.home, "ADMIN");
    for sid in [json!(victim.session.to_string()), json!("opaque-to-us"), json!(7)] {
        let mut claims = abroad.claims();
        claims["sid"] = sid;
        assert_eq!(abroad.ask(&claims).unwrap().principal().session(), None);
    }
}

#[test]
fn j06_keys_are_replaced_while_served_and_a_dropped_one_ends_what_it_signed() {
    let abroad = Abroad::new();
    let token = Unsigned::new(&abroad.header(), &abroad.claims()).signed(&abroad.key);
    let permit = abroad.show(&token).unwrap();
    assert!(abroad.test.door.is_unchanged(&permit));
    let next = keypair("next", Algorithm::EdDsa);
    let by_next = Unsigned::new(&json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "next" }), &abroad.claims())
        .signed(&next);
    assert_eq!(status(&abroad.show(&by_next)), 401);
    let keys_of = |jwks: &[Value]| abroad.api.foreign_issuers[0].keys.replace(keys(jwks));
    keys_of(&[jwk(&abroad.key), jwk(&next)]);
    assert_eq!((status(&abroad.show(&token)), status(&abroad.show(&by_next))), (200, 200));
    assert!(abroad.test.door.is_unchanged(&permit));
    keys_of(&[jwk(&next)]);
    assert_eq!((status(&abroad.show(&token)), status(&abroad.show(&by_next))), (401, 200));
    assert!(!abroad.test.door.is_unchanged(&permit));
    assert_eq!(now(abroad.test.door.still_stands(&permit)).unwrap_err().status(), 401);
    // Another key under the same name did not sign it.
    keys_of(&[jwk(&keypair("theirs", Algorithm::Es256))]);
    assert_eq!(status(&abroad.show(&token)), 401);
    assert!(!abroad.test.door.is_unchanged(&permit));
}

#[test]
fn a_key_of_no_use_is_named_to_whoever_asks_for_it() {
    let mut encrypting = jwk(&keypair("theirs", Algorithm::Es256));
    encrypting["use"] = json!("enc");
    let abroad = Abroad::with(|issuer| ForeignIssuer {
        keys: Arc::new(IssuerKeys::new(keys(&[encrypting]))),
        ..issuer
    });
    let why = abroad.why(&abroad.claims());
    assert!(why.contains("no such signing key of use: `theirs` is not for signatures"), "{why}");
    let doubts: Vec<String> = abroad.api.doubts().iter().map(ToString::to_string).collect();
    assert!(doubts.iter().any(|doubt| doubt.contains("`theirs` is not for signatures")), "{doubts:?}");
    let refusal = abroad.ask(&abroad.claims()).unwrap_err();
    assert_eq!(
        (refusal.status().as_u16(), refusal.challenge()),
        (401, Some("Bearer error=\"invalid_token\""))
    );
}

#[test]
fn core_17_a_key_set_names_no_user_secret() {
    // Its `kid` would send it to another verifier.
    let keys = RefCell::new(None);
    let abroad = Abroad::with(|issuer| {
        let key = keypair("us_theirs", Algorithm::Es256);
        let issuer = ForeignIssuer { keys: Arc::new(IssuerKeys::new(self::keys(&[jwk(&key)]))), ..issuer };
        keys.replace(Some(key));
        issuer
    });
    let key = keys.into_inner().unwrap();
    let token =
        Unsigned::new(&json!({ "alg": "ES256", "typ": "at+jwt", "kid": "us_theirs" }), &abroad.claims())
            .signed(&key);
    assert_eq!(code(&abroad.show(&token)), "unauthorized");
}

#[test]
fn store_08_one_row_ends_all_tokens_of_other_issuers() {
    type Raise = fn(&Abroad, UnixMillis);
    let raises: [(&str, Raise); 4] = [
        ("tenant", |abroad, from| {
            let tenant = abroad.someone.home.tenant;
            abroad.test.directory.change_tenant(&tenant, |record| record.floor.tokens_from = from);
        }),
        ("organization", |abroad, from| {
            let org = (abroad.someone.home.tenant, abroad.someone.home.org);
            abroad.test.directory.change_org(&org, |record| record.floor.tokens_from = from);
        }),
        ("account", |abroad, from| {
            abroad
                .test
                .directory
                .change_account(&abroad.someone.account, |record| record.floor.tokens_from = from);
        }),
        ("member", |abroad, from| {
            let member = (abroad.someone.home.tenant, abroad.someone.home.org, abroad.someone.account);
            abroad.test.directory.change_member(&member, |record| record.floor.tokens_from = from);
        }),
    ];
    for (what, raise) in raises {
        let abroad = Abroad::with(|issuer| ForeignIssuer { leeway_seconds: 30, ..issuer });
        let claims = abroad.claims();
        let iat = claims["iat"].as_i64().unwrap();
        let permit = abroad.ask(&claims).unwrap();
        for (from, expected) in [(iat - 30, 200), (iat - 29, 401), (iat + 1, 401)] {
            raise(&abroad, UnixMillis::from_seconds(from));
            assert_eq!(status(&abroad.ask(&claims)), expected, "{what} {}", from - iat);
            assert!(!abroad.test.door.is_unchanged(&permit), "{what}");
        }
        assert_eq!(now(abroad.test.door.still_stands(&permit)).unwrap_err().status(), 401, "{what}");
    }
}
