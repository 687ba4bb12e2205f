//! What a verifier has to refuse, claim by claim. Each odd token is really made and signed, and in each test a
//! token that is not odd passes, so that no refusal is for another reason.

use std::cell::Cell;

use claviger::key_set::Algorithm;
use claviger::testing::{Lookup, Someone, TestDoor, TestRequest, TestUserSecret, Unsigned, keypair};
use serde_json::{Value, json};

use crate::{code, status};

/// Identity tokens at Synq.
struct Identity {
    test: TestDoor,
    someone: Someone,
    asked: Cell<u32>,
}

impl Identity {
    fn new() -> Self {
        let test = TestDoor::new();
        let someone = test.member(&test.tenant(&test.synq), "EDITOR");
        let identity = Self { test, someone, asked: Cell::default() };
        assert_eq!(identity.status(&identity.token()), 200);
        identity
    }

    /// Each time from another address, as who guesses is slowed down.
    fn request(&self) -> TestRequest {
        self.asked.set(self.asked.get() + 1);
        let [_, _, high, low] = self.asked.get().to_be_bytes();
        TestRequest::get("/api/v1/orders").from(&format!("10.0.{high}.{low}"))
    }

    fn status(&self, token: &str) -> u16 {
        let outcome = self.request().bearer(token).decide(&self.test, &self.test.synq);
        if let Err(refusal) = &outcome
            && refusal.status() == 401
        {
            assert_eq!(refusal.challenge(), Some("Bearer error=\"invalid_token\""), "one answer for all");
        }
        status(&outcome)
    }

    fn unsigned(&self) -> Unsigned {
        Unsigned::new(&self.test.header(), &self.test.claims(&self.someone))
    }

    fn token(&self) -> String {
        self.unsigned().signed(&self.test.signing_key)
    }

    fn with_header(&self, bend: impl FnOnce(&mut Value)) -> u16 {
        let mut header = self.test.header();
        bend(&mut header);
        let bent = Unsigned::new(&header, &self.test.claims(&self.someone));
        self.status(&bent.signed(&self.test.signing_key))
    }

    fn with_claim(&self, name: &str, value: Value) -> u16 {
        let mut claims = self.test.claims(&self.someone);
        claims[name] = value;
        self.status(&Unsigned::new(&self.test.header(), &claims).signed(&self.test.signing_key))
    }

    fn without_claim(&self, name: &str) -> u16 {
        let mut claims = self.test.claims(&self.someone);
        claims.as_object_mut().unwrap().remove(name).unwrap();
        self.status(&Unsigned::new(&self.test.header(), &claims).signed(&self.test.signing_key))
    }

    fn now(&self) -> i64 {
        claviger::clock::Clock::now(&*self.test.clock).seconds()
    }
}

/// User tokens at Syncello.
struct User {
    test: TestDoor,
    person: Someone,
    secret: TestUserSecret,
    asked: Cell<u32>,
}

impl User {
    fn new() -> Self {
        let test = TestDoor::new();
        let person = test.member(&test.tenant(&test.syncello), "MEMBER");
        let secret = test.user_secret(&test.syncello, &person);
        let user = Self { test, person, secret, asked: Cell::default() };
        assert_eq!(user.status(&user.token()), 200);
        user
    }

    fn status(&self, token: &str) -> u16 {
        self.asked.set(self.asked.get() + 1);
        let [_, _, high, low] = self.asked.get().to_be_bytes();
        let request = TestRequest::get("/v1/tools").from(&format!("10.0.{high}.{low}"));
        status(&request.bearer(token).decide(&self.test, &self.test.syncello))
    }

    fn token(&self) -> String {
        self.test.user_token(&self.test.syncello, &self.secret)
    }

    fn claims(&self) -> Value {
        self.test.user_claims(&self.test.syncello, &self.secret)
    }

    fn signed(&self, header: &Value, claims: &Value) -> u16 {
        self.status(&Unsigned::new(header, claims).signed_hs256(self.secret.secret.expose()))
    }

    fn with_header(&self, bend: impl FnOnce(&mut Value)) -> u16 {
        let mut header = self.test.user_header(&self.secret);
        bend(&mut header);
        self.signed(&header, &self.claims())
    }

    fn with_claim(&self, name: &str, value: Value) -> u16 {
        let mut claims = self.claims();
        claims[name] = value;
        self.signed(&self.test.user_header(&self.secret), &claims)
    }
}

#[test]
fn checklist_01_a_token_longer_than_8_kib_is_refused() {
    let identity = Identity::new();
    assert_eq!(identity.with_claim("note", json!("x".repeat(4000))), 200);
    assert_eq!(identity.with_claim("note", json!("x".repeat(8000))), 401);
}

#[test]
fn checklist_03_a_failed_lane_never_falls_to_the_next() {
    let identity = Identity::new();
    let token = identity.token();
    // The shape of a key, then of a token; each is refused by the verifier that its shape chose.
    for bad in [format!("sk_live_{token}"), format!("{token}.sk_live_x"), "sk_live_".to_owned()] {
        assert_eq!(identity.status(&bad), 401, "{bad}");
    }
    // A user token's `kid` under an identity token's signature, and the reverse.
    assert_eq!(identity.with_header(|header| header["kid"] = json!("us_own-1")), 401);
    let user = User::new();
    let header = json!({ "alg": "HS256", "typ": "user+jwt", "kid": "own-1" });
    assert_eq!(user.signed(&header, &user.claims()), 401);
}

#[test]
fn checklist_04_only_three_segments_are_a_token() {
    let identity = Identity::new();
    let token = identity.token();
    let parts: Vec<&str> = token.split('.').collect();
    for bad in [
        parts[..2].join("."),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{}", parts[2]),
        format!("{token}.{}.{}", parts[1], parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        token.replace('.', ""),
        json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] }).to_string(),
    ] {
        assert_eq!(identity.status(&bad), 401, "{bad}");
    }
}

#[test]
fn checklist_05_only_canonical_base64url_and_strict_json_are_read() {
    let identity = Identity::new();
    let good = identity.unsigned();
    let sign = |unsigned: Unsigned| identity.status(&unsigned.signed(&identity.test.signing_key));
    let header = |text: String| sign(Unsigned { header: text, ..good.clone() });
    let payload = |bytes: Vec<u8>| sign(Unsigned { payload: bytes, ..good.clone() });
    let text = String::from_utf8(good.payload.clone()).unwrap();
    assert_eq!(header(good.header.clone()), 200);
    assert_eq!(header(format!("{}x", good.header)), 401, "something after the header");
    assert_eq!(header(good.header.replacen('{', "{\"alg\":\"EdDSA\",", 1)), 401, "a parameter twice");
    assert_eq!(header(good.header.replacen('{', "{\"a\":[[[[1]]]],", 1)), 401, "too deep");
    assert_eq!(header("[]".into()), 401);
    assert_eq!(payload(format!("{text} ").into_bytes()), 200, "white space is JSON");
    assert_eq!(payload(format!("{text}{{}}").into_bytes()), 401, "something after the payload");
    assert_eq!(payload(text.replacen('{', "{\"role\":\"ADMIN\",", 1).into_bytes()), 401, "a claim twice");
    assert_eq!(
        payload(text.replacen('{', "{\"r\\u006fle\":\"ADMIN\",", 1).into_bytes()),
        401,
        "in another spelling"
    );
    assert_eq!(
        payload(text.replacen('{', "{\"x\":{\"y\":1,\"y\":2},", 1).into_bytes()),
        401,
        "a claim in a claim twice"
    );
    assert_eq!(payload(text.replacen('{', "{\"x\":[[[[1]]]],", 1).into_bytes()), 401, "too deep");
    let mut broken = text.replacen("EDITOR", "EDITO\u{1}", 1).into_bytes();
    for byte in &mut broken {
        *byte = if *byte == 1 { 0xff } else { *byte };
    }
    assert_eq!(payload(broken), 401, "not UTF-8");
}

#[test]
fn checklist_06_an_empty_signature_or_no_algorithm_is_refused() {
    let identity = Identity::new();
    let token = identity.token();
    let unsigned = identity.unsigned();
    assert_eq!(identity.status(&format!("{}.", unsigned.input())), 401);
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let mut header = identity.test.header();
        header["alg"] = json!(alg);
        let bent = Unsigned { header: header.to_string(), ..unsigned.clone() };
        assert_eq!(identity.status(&format!("{}.", bent.input())), 401, "{alg}");
        assert_eq!(identity.status(&bent.with_signature(&[0; 64])), 401, "{alg}");
        assert_eq!(identity.status(&bent.signed(&identity.test.signing_key)), 401, "{alg}, well signed");
    }
    assert_eq!(identity.status(&token), 200);
}

#[test]
fn checklist_07_the_key_decides_the_algorithm_and_the_header_only_agrees() {
    let identity = Identity::new();
    for alg in ["ES256", "HS256", "RS256", "eddsa", "EdDSA ", "Ed25519"] {
        assert_eq!(identity.with_header(|header| header["alg"] = json!(alg)), 401, "{alg}");
    }
    assert_eq!(identity.with_header(|header| header["alg"] = json!(["EdDSA"])), 401);
    let user = User::new();
    for alg in ["HS384", "HS512", "EdDSA", "hs256", "none"] {
        assert_eq!(user.with_header(|header| header["alg"] = json!(alg)), 401, "{alg}");
    }
}

#[test]
fn checklist_08_each_kind_of_token_has_its_own_typ() {
    let identity = Identity::new();
    for typ in ["JWT", "at+JWT", "application/at+jwt", "user+jwt", "rt+jwt", ""] {
        assert_eq!(identity.with_header(|header| header["typ"] = json!(typ)), 401, "{typ}");
    }
    let drop_typ = |header: &mut Value| drop(header.as_object_mut().unwrap().remove("typ"));
    assert_eq!(identity.with_header(drop_typ), 401);
    let user = User::new();
    for typ in ["at+jwt", "rt+jwt", "jwt", ""] {
        assert_eq!(user.with_header(|header| header["typ"] = json!(typ)), 401, "{typ}");
    }
    // Customers mint with plain libraries, which write `JWT` or nothing.
    assert_eq!(user.with_header(|header| header["typ"] = json!("JWT")), 200);
    assert_eq!(user.with_header(drop_typ), 200);
}

#[test]
fn checklist_09_a_token_that_brings_its_own_rules_or_key_is_refused() {
    let identity = Identity::new();
    let user = User::new();
    for name in ["crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc", "p2c"] {
        for value in [json!([]), json!(null), json!(false), json!("x")] {
            assert_eq!(identity.with_header(|header| header[name] = value.clone()), 401, "{name} {value}");
            assert_eq!(user.with_header(|header| header[name] = value.clone()), 401, "{name} {value}");
        }
    }
    assert_eq!(identity.with_header(|header| header["cty"] = json!("JWT")), 200, "what means nothing to us");
}

#[test]
fn checklist_10_a_kid_that_is_missing_odd_or_unknown_is_refused() {
    let identity = Identity::new();
    assert_eq!(identity.with_header(|header| drop(header.as_object_mut().unwrap().remove("kid"))), 401);
    for kid in [
        json!(""),
        json!("own-2"),
        json!("own-1 "),
        json!("OWN-1"),
        json!("own-1\u{0}"),
        json!("../own-1"),
        json!("own-1' OR '1'='1"),
        json!("a".repeat(65)),
        json!(1),
        json!(null),
        json!(["own-1"]),
    ] {
        assert_eq!(identity.with_header(|header| header["kid"] = kid.clone()), 401, "{kid}");
    }
    // What cannot be the name of a key of ours is not looked for; what can is.
    for (kid, asked) in [("own-1 ", 0), ("../own-1", 0), ("own-2", 1)] {
        let before = identity.test.directory.looked_up(Lookup::IdentityKey);
        assert_eq!(identity.with_header(|header| header["kid"] = json!(kid)), 401, "{kid}");
        assert_eq!(identity.test.directory.looked_up(Lookup::IdentityKey) - before, asked, "{kid}");
    }
    let user = User::new();
    assert_eq!(user.with_header(|header| header["kid"] = json!("us_unknown")), 401);
    // Nor is a user secret looked for that a token cannot name, or under a token that cannot be one.
    let looked_up = |token: &str| {
        let before = user.test.directory.looked_up(Lookup::UserSecret);
        assert_eq!(user.status(token), 401);
        user.test.directory.looked_up(Lookup::UserSecret) - before
    };
    let of_length = |length: usize| {
        let input = Unsigned::new(&user.test.user_header(&user.secret), &user.claims()).input() + ".";
        format!("{input}{}", "A".repeat(length - input.len()))
    };
    assert_eq!((looked_up(&of_length(8192)), looked_up(&of_length(8193))), (1, 0));
    let mut odd = user.test.user_header(&user.secret);
    odd["kid"] = json!("us_odd name");
    assert_eq!(looked_up(&Unsigned::new(&odd, &user.claims()).signed_hs256(&[7; 32])), 0);
}

#[test]
fn checklist_11_short_secrets_and_public_keys_are_no_hmac_secrets() {
    let user = User::new();
    let unsigned = Unsigned::new(&user.test.user_header(&user.secret), &user.claims());
    // What a verifier compares an unknown name with signs nothing either.
    let stranger =
        Unsigned::new(&json!({ "alg": "HS256", "typ": "user+jwt", "kid": "us_unknown" }), &user.claims());
    assert_eq!(user.status(&stranger.signed_hs256(&[0x5a; 32])), 401);
    for secret in [&[][..], &[0; 32], &[0x5a; 32]] {
        assert_eq!(user.status(&unsigned.signed_hs256(secret)), 401);
    }
    // A secret in the store that is too short is our fault, and lets nobody in.
    let short = claviger::secret::Secret::new(vec![7; 31]);
    user.test.directory.change_user_secret(&user.secret.kid, |record| record.secret = short.clone());
    assert_eq!(user.status(&unsigned.signed_hs256(short.expose())), 500);

    let identity = Identity::new();
    let public = identity.test.signing_key.verifying_key().unwrap();
    let mut header = identity.test.header();
    header["alg"] = json!("HS256");
    let confused = Unsigned::new(&header, &identity.test.claims(&identity.someone));
    for secret in [public.raw().to_vec(), public.to_jwk().to_string().into_bytes()] {
        assert_eq!(identity.status(&confused.signed_hs256(&secret)), 401);
    }
}

#[test]
fn checklist_13_issuer_and_audience_are_there_and_ours_to_the_letter() {
    let identity = Identity::new();
    for issuer in [
        json!("https://synq.example/"),
        json!("https://SYNQ.example"),
        json!(""),
        json!(null),
        json!(["https://synq.example"]),
        json!("https://syncello.example"),
    ] {
        assert_eq!(identity.with_claim("iss", issuer.clone()), 401, "{issuer}");
    }
    for audience in [
        json!("Synq"),
        json!(""),
        json!(null),
        json!([]),
        json!(["syncello"]),
        json!(["synq", 1]),
        json!({"synq": 1}),
    ] {
        assert_eq!(identity.with_claim("aud", audience.clone()), 401, "{audience}");
    }
    assert_eq!(identity.with_claim("aud", json!(["other", "synq"])), 200);
    assert_eq!((identity.without_claim("iss"), identity.without_claim("aud")), (401, 401));
}

#[test]
fn checklist_14_q10_a_token_ends_an_hour_after_it_began() {
    let identity = Identity::new();
    let now = identity.now();
    assert_eq!(identity.without_claim("exp"), 401);
    for exp in [
        json!(now - 5),
        json!(0),
        json!(-1),
        json!(now + 3606),
        json!(1_i64 << 53),
        json!(u64::MAX),
        json!(i64::MAX),
    ] {
        assert_eq!(identity.with_claim("exp", exp.clone()), 401, "{exp}");
    }
    for exp in [json!(now - 4), json!(now + 3605)] {
        assert_eq!(identity.with_claim("exp", exp.clone()), 200, "{exp}");
    }
}

#[test]
fn checklist_15_times_are_whole_seconds_and_not_in_the_future() {
    let identity = Identity::new();
    let now = identity.now();
    for name in ["exp", "iat", "nbf"] {
        for odd in [
            json!((now + 60).to_string()),
            json!(now as f64 + 0.5),
            json!(now as f64),
            json!(-1),
            json!(null),
            json!(true),
            json!([now]),
        ] {
            assert_eq!(identity.with_claim(name, odd.clone()), 401, "{name} {odd}");
        }
    }
    assert_eq!(identity.without_claim("iat"), 401);
    for name in ["iat", "nbf"] {
        assert_eq!(identity.with_claim(name, json!(now + 5)), 200, "{name}");
        assert_eq!(identity.with_claim(name, json!(now + 6)), 401, "{name}");
    }
}

#[test]
fn checklist_16_q14_missing_ids_are_401_and_a_missing_tenant_org_or_role_is_403() {
    let identity = Identity::new();
    let odd = [
        json!(""),
        json!(null),
        json!(1),
        json!("acme"),
        json!(["x"]),
        json!("a3f8c120-4e72-1b91-9d63-1c5e7a09bf44"),
    ];
    for (name, expected) in [("sub", 401), ("jti", 401), ("sid", 401), ("tenant_id", 403), ("org_id", 403)] {
        assert_eq!(identity.without_claim(name), expected, "{name}");
        for value in &odd {
            assert_eq!(identity.with_claim(name, value.clone()), expected, "{name} {value}");
        }
    }
    assert_eq!(identity.without_claim("role"), 403);
    for value in [json!(""), json!("OWNER"), json!(1), json!(["ADMIN"]), json!("EDITOR ")] {
        assert_eq!(identity.with_claim("role", value.clone()), 403, "{value}");
    }
    assert_eq!(identity.with_claim("role", json!("editor")), 200);
}

#[test]
fn checklist_20_c21_a_token_for_another_tenants_organization_or_user_is_401() {
    let identity = Identity::new();
    let rival = identity.test.tenant(&identity.test.synq);
    let spy = identity.test.member(&rival, "ADMIN");
    assert_eq!(identity.with_claim("tenant_id", json!(rival.tenant.to_string())), 401);
    assert_eq!(identity.with_claim("org_id", json!(rival.org.to_string())), 401);
    assert_eq!(identity.with_claim("sub", json!(spy.account.to_string())), 401);
    assert_eq!(identity.with_claim("sid", json!(spy.session.to_string())), 401);
}

#[test]
fn a_token_under_a_key_of_another_make_or_realm_is_401() {
    let identity = Identity::new();
    let forged = keypair("own-1", Algorithm::EdDsa);
    assert_eq!(identity.status(&identity.unsigned().signed(&forged)), 401);
    let unknown = keypair("other", Algorithm::EdDsa);
    identity.test.directory.put_identity_key("elsewhere".parse().unwrap(), unknown.verifying_key().unwrap());
    let mut header = identity.test.header();
    header["kid"] = json!("other");
    let token = Unsigned::new(&header, &identity.test.claims(&identity.someone)).signed(&unknown);
    assert_eq!(identity.status(&token), 401, "the key is of another realm");
    identity
        .test
        .directory
        .put_identity_key(identity.test.synq.realm.clone(), unknown.verifying_key().unwrap());
    assert_eq!(identity.status(&token), 200);
}

#[test]
fn checklist_19_a_user_token_speaks_for_the_owner_of_its_secret_alone() {
    let user = User::new();
    let other = user.test.member(&user.person.home, "ADMIN");
    assert_eq!(user.with_claim("sub", json!(other.account.to_string())), 401);
    // Another user's secret under this user's name, both ways round.
    let theirs = user.test.user_secret(&user.test.syncello, &other);
    let token = Unsigned::new(&user.test.user_header(&user.secret), &user.claims())
        .signed_hs256(theirs.secret.expose());
    assert_eq!(user.status(&token), 401);
    let token =
        Unsigned::new(&user.test.user_header(&theirs), &user.claims()).signed_hs256(theirs.secret.expose());
    assert_eq!(user.status(&token), 401);
    assert_eq!(user.with_header(|header| header["kid"] = json!(theirs.kid)), 401);
}

#[test]
fn c04_claims_are_sub_iat_and_iss_and_nothing_else() {
    let user = User::new();
    let now = claviger::clock::Clock::now(&*user.test.clock).seconds();
    for (name, value) in [
        ("exp", json!(now + 60)),
        ("tenant_id", json!(user.person.home.tenant.to_string())),
        ("role", json!("ADMIN")),
        ("aud", json!("syncello")),
        ("nbf", json!(0)),
        ("x", json!(null)),
        ("iss", json!("Syncello")),
        ("iss", json!("synq")),
        ("iss", json!(null)),
        ("iss", json!(["syncello"])),
        ("iat", json!(now + 6)),
        ("iat", json!(-1)),
        ("iat", json!(now as f64)),
        ("iat", json!(now as f64 + 0.5)),
        ("iat", json!(now.to_string())),
        ("iat", json!(u64::MAX)),
        ("iat", json!(null)),
        ("sub", json!("")),
        ("sub", json!(null)),
        ("sub", json!(1)),
        ("sub", json!("someone")),
    ] {
        assert_eq!(user.with_claim(name, value.clone()), 401, "{name} {value}");
    }
    for name in ["sub", "iat", "iss"] {
        let mut claims = user.claims();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(user.signed(&user.test.user_header(&user.secret), &claims), 401, "without {name}");
    }
    assert_eq!(user.with_claim("iat", json!(now + 5)), 200);
}

#[test]
fn c05_a_user_token_of_two_years_ago_passes() {
    let user = User::new();
    let now = claviger::clock::Clock::now(&*user.test.clock).seconds();
    assert_eq!(user.with_claim("iat", json!(now - 2 * 365 * 86_400)), 200);
    assert_eq!(user.with_claim("iat", json!(0)), 200);
}

#[test]
fn c06_a_new_secret_ends_every_token_of_the_old_one() {
    let user = User::new();
    let old = user.token();
    user.test.directory.change_user_secret(&user.secret.kid, |record| record.revoked = true);
    let fresh = user.test.user_secret(&user.test.syncello, &user.person);
    assert_eq!(user.status(&old), 401);
    assert_eq!(user.status(&user.token()), 401, "nor does the old secret make good ones");
    assert_eq!(user.status(&user.test.user_token(&user.test.syncello, &fresh)), 200);
    user.test.directory.take_user_secret(&user.secret.kid);
    assert_eq!(user.status(&old), 401);
}

#[test]
fn a_user_secret_is_good_for_its_own_api_and_membership() {
    let user = User::new();
    let token = user.token();
    user.test.directory.change_user_secret(&user.secret.kid, |record| record.api = "other".parse().unwrap());
    assert_eq!(user.status(&token), 401);
    user.test
        .directory
        .change_user_secret(&user.secret.kid, |record| record.api = "syncello".parse().unwrap());
    assert_eq!(user.status(&token), 200);
    let home = &user.person.home;
    user.test.directory.take_member(&(home.tenant, home.org, user.person.account));
    assert_eq!(user.status(&token), 401);
}

#[test]
fn checklist_10_unknown_names_of_user_secrets_are_counted_against_the_guesser() {
    let user = User::new();
    user.test.directory.ask(true);
    let guess = |n: u32| {
        let header = json!({ "alg": "HS256", "typ": "user+jwt", "kid": format!("us_{n}") });
        let token = Unsigned::new(&header, &user.claims()).signed_hs256(&[1; 32]);
        code(&TestRequest::get("/v1/tools").bearer(&token).decide(&user.test, &user.test.syncello))
    };
    for n in 0..30 {
        assert_eq!(guess(n), "unauthorized");
    }
    assert_eq!(guess(30), "rate_limited");
}

#[test]
fn checklist_09_bad_signatures_are_counted_against_the_guesser_and_remembered_tokens_pass() {
    let identity = Identity::new();
    let seen = identity.token();
    assert_eq!(identity.status(&seen), 200);
    let permit = identity.request().bearer(&seen).decide(&identity.test, &identity.test.synq).unwrap();
    assert_eq!(permit.principal().session(), Some(identity.someone.session));
    let forged = keypair("own-1", Algorithm::EdDsa);
    let ask = |token: &str| {
        code(&TestRequest::get("/api/v1/orders").bearer(token).decide(&identity.test, &identity.test.synq))
    };
    for _ in 0..30 {
        assert_eq!(ask(&identity.unsigned().signed(&forged)), "unauthorized");
    }
    assert_eq!(
        ask(&identity.unsigned().signed(&forged)),
        "rate_limited",
        "a signature that fails is a guess"
    );
    // A key is looked up to verify a signature, and once more to see that it is there still.
    let looked_up = || identity.test.directory.looked_up(Lookup::IdentityKey);
    let before = looked_up();
    assert_eq!(ask(&seen), "let in");
    assert_eq!(looked_up() - before, 1, "remembered, so nothing is verified");
    assert_eq!(ask(&identity.token()), "let in", "a good one that was not seen before gets its turn");
}
