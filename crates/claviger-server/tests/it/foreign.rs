//! Identity tokens of another issuer, whose key set is a file.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::id::TokenId;
use claviger::key_set::Algorithm;
use claviger::random::SystemRandom;
use claviger::testing::keypair;
use claviger_server::on_every_store;
use claviger_server::testing::{Home, Log, On, TestIssuer, TestServer, eventually};
use serde_json::{Value, json};
use toml::Table;

on_every_store!(
    another_issuer_speaks_for_its_tenants_and_of_who_was_linked,
    j06_an_issuers_keys_are_read_again_when_their_file_changes,
    a_key_that_its_issuer_took_back_is_nobodys_when_the_settings_are_taken_up,
    j02_one_of_its_tokens_is_revoked_by_issuer_and_jti,
    whoever_comes_from_another_issuer_has_no_session_here,
);

const ISSUER: &str = "https://login.example";

fn another_issuer_speaks_for_its_tenants_and_of_who_was_linked(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant("synq", "Northwind");
    let other = server.tenant("synq", "Southwind");
    let member = server.member(&home, "MEMBER");
    server.run(server.store(home.tenant).foreign_identity_link(ISSUER, "sub-1", member.account)).unwrap();
    let issuer = TestIssuer::start(server.folder(), ISSUER, "their-key-1", Algorithm::Es256);
    let trust = issuer.settings("synq", &[home.tenant]);
    let server = server.restart(&|settings: &mut Table| {
        let synq = settings["api"][0].as_table_mut().unwrap();
        synq.insert("issuer".into(), vec![trust.clone()].into());
    });

    let now = server.now().seconds();
    let claims = |changes: Value| {
        let mut claims = json!({
            "iss": ISSUER, "aud": "synq", "sub": "sub-1", "role": "MEMBER",
            "tenant_id": home.tenant.to_string(), "org_id": home.org.to_string(),
            "iat": now, "exp": now + 600, "jti": TokenId::generate(&SystemRandom).to_string(),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name.as_str()] = value.clone();
        }
        claims
    };
    let status = |typ: &str, changes: Value| {
        let token = issuer.sign(typ, &claims(changes));
        server.synq().get("/api/v1/products").bearer(&token).status()
    };
    assert_eq!(status("at+jwt", json!({})), 200);
    assert_eq!(status("at+jwt", json!({ "sid": "theirs" })), 200);
    assert_eq!(status("at+jwt", json!({ "sub": "sub-2" })), 401, "nobody is linked");
    assert_eq!(status("at+jwt", json!({ "sub": member.account.to_string() })), 401);
    let theirs = json!({ "tenant_id": other.tenant.to_string(), "org_id": other.org.to_string() });
    assert_eq!(status("at+jwt", theirs), 401, "it was not registered for that tenant");
    assert_eq!(status("at+jwt", json!({ "org_id": other.org.to_string() })), 401);
    assert_eq!(status("at+jwt", json!({ "iss": "https://api.synq.io" })), 401, "it is not us");
    assert_eq!(status("at+jwt", json!({ "aud": "elsewhere" })), 401);
    assert_eq!(status("JWT", json!({})), 401);
    assert_eq!(status("at+jwt", json!({ "exp": now - 10, "iat": now - 600 })), 401);
    // It is trusted by that API alone.
    let token = issuer.sign("at+jwt", &claims(json!({})));
    server.syncello().get("/v1/tools").bearer(&token).send().expect(401);

    server.run(server.store(home.tenant).foreign_identity_unlink(ISSUER, "sub-1")).unwrap();
    assert_eq!(status("at+jwt", json!({})), 401, "unlinked");
}

/// A server whose Synq takes tokens of an issuer for `home`, whose subject `sub-1` is a member there.
fn trusting(on: On) -> (TestServer, Home, TestIssuer) {
    // The log is one for all tests, and tells issuers apart by name.
    let name = format!("https://login.{on:?}.example");
    let server = TestServer::start(on);
    let home = server.tenant("synq", "Northwind");
    let member = server.member(&home, "MEMBER");
    server.run(server.store(home.tenant).foreign_identity_link(&name, "sub-1", member.account)).unwrap();
    let issuer = TestIssuer::start(server.folder(), &name, "first", Algorithm::EdDsa);
    let trust = issuer.settings("synq", &[home.tenant]);
    let server = server.restart(&|settings: &mut Table| {
        settings["api"][0].as_table_mut().unwrap().insert("issuer".into(), vec![trust.clone()].into());
    });
    (server, home, issuer)
}

fn claims(server: &TestServer, home: &Home, issuer: &TestIssuer) -> Value {
    let now = server.now().seconds();
    json!({
        "iss": issuer.name, "aud": "synq", "sub": "sub-1", "role": "MEMBER", "iat": now, "exp": now + 600,
        "tenant_id": home.tenant.to_string(), "org_id": home.org.to_string(),
    })
}

fn j06_an_issuers_keys_are_read_again_when_their_file_changes(on: On) {
    let (server, home, issuer) = trusting(on);
    let (second, claims) = (keypair("second", Algorithm::Es256), claims(&server, &home, &issuer));
    let [old, new] = [issuer.sign("at+jwt", &claims), issuer.sign_with(&second, "at+jwt", &claims)];
    let status = |token: &str| server.synq().get("/api/v1/products").bearer(token).status();
    assert_eq!((status(&old), status(&new)), (200, 401));

    let soon = Duration::from_secs(5);
    let jwk = |key: &claviger::signing_key::SigningKey| key.verifying_key().unwrap().to_jwk();
    issuer.publish(&[jwk(&issuer.key), jwk(&second)]);
    eventually("the next key is known", soon, || status(&new) == 200);
    assert_eq!(status(&old), 200);

    // What cannot be read changes nothing, and is told of.
    let said = |what: &str| {
        let log = Log::of_this_process().text();
        log.lines().filter(|line| line.contains(&issuer.name) && line.contains(what)).count()
    };
    for bad in ["", "{\"keys\": [", "{\"keys\": []}", "{\"keys\": [{\"kid\": \"odd\"}]}"] {
        let before = said("and the last ones stay");
        issuer.write(bad);
        eventually("it is told of", soon, || said("and the last ones stay") > before);
    }
    assert_eq!((status(&old), status(&new)), (200, 200));

    issuer.publish(&[jwk(&second), json!({ "kty": "RSA", "kid": "for-encryption", "use": "enc" })]);
    eventually("a key that is gone ends what it signed", soon, || status(&old) == 401);
    assert_eq!(status(&new), 200);
    eventually("one of no use is named", soon, || said("the key `for-encryption`") > 0);
}

fn a_key_that_its_issuer_took_back_is_nobodys_when_the_settings_are_taken_up(on: On) {
    let (server, home, issuer) = trusting(on);
    let second = keypair("second", Algorithm::Es256);
    let token = issuer.sign("at+jwt", &claims(&server, &home, &issuer));
    let status = || server.synq().get("/api/v1/products").bearer(&token).status();
    assert_eq!(status(), 200);
    issuer.publish(&[second.verifying_key().unwrap().to_jwk()]);
    // At once, and not when somebody next looks at the file: nothing else of the settings has changed.
    let caller = claviger_server::management::Caller::at_home();
    let reload =
        claviger_server::management::call(server.management(), &caller, "settings.reload", json!({}), None);
    assert_eq!(server.run(reload).unwrap().value["changed"], json!([]));
    assert_eq!(status(), 401);
}

fn j02_one_of_its_tokens_is_revoked_by_issuer_and_jti(on: On) {
    let (server, home, issuer) = trusting(on);
    let token = |jti: Option<&str>| {
        let mut claims = claims(&server, &home, &issuer);
        if let Some(jti) = jti {
            claims["jti"] = jti.into();
        }
        issuer.sign("at+jwt", &claims)
    };
    let status = |token: &str| server.synq().get("/api/v1/products").bearer(token).status();
    let [first, second, none] = [token(Some("onrtro:1")), token(Some("onrtro:2")), token(None)];
    assert_eq!([&first, &second, &none].map(|token| status(token)), [200; 3]);
    let id = TokenId::foreign(&issuer.name, "onrtro:1");
    let until = server.now().plus_seconds(86_400);
    server.run(server.store(home.tenant).token_revoke(id, until)).unwrap();
    assert_eq!([&first, &second, &none].map(|token| status(token)), [401, 200, 200]);
}

fn whoever_comes_from_another_issuer_has_no_session_here(on: On) {
    let (server, home, issuer) = trusting(on);
    let colleague = server.member(&home, "MEMBER");
    let session = server.session(&colleague);
    let theirs = server.token_in(&colleague, &session);
    let ours = |part: &str| {
        let claims = theirs.text.split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        claims[part].clone()
    };
    // Its names are of its own making, and may well be ours.
    let mut forged = claims(&server, &home, &issuer);
    (forged["sid"], forged["jti"]) = (ours("sid"), ours("jti"));
    let forged = issuer.sign("at+jwt", &forged);
    let client = server.synq();
    let is_good = |token: &str| client.get("/api/v1/products").bearer(token).status();
    assert_eq!((is_good(&forged), is_good(&theirs.text)), (200, 200));
    for (method, path, signed_in) in claviger_server::gateway::places() {
        // Whoever may ask about tokens needs no session for it.
        if signed_in && path != "/auth/v1/introspect" {
            let path = path.replace("{session}", &session.session.to_string());
            let body = json!({ "current": "x", "new": "quite another phrase" });
            let answer = client.request(method.as_str(), &path).json(&body).bearer(&forged).send();
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
        }
    }
    // It is not revoked here, and that is said (RFC 7009, section 2.2.1).
    client.post("/auth/v1/revoke", &json!({ "token": forged })).send().expect(403);
    let form = client.request("POST", "/auth/v1/revoke");
    let form =
        form.header("Content-Type", "application/x-www-form-urlencoded").body(format!("token={forged}"));
    assert_eq!(form.send().expect(400).json()["error"], "unsupported_token_type");
    assert_eq!((is_good(&forged), is_good(&theirs.text)), (200, 200));
    // Its owner's own goes.
    client.post("/auth/v1/revoke", &json!({ "token": theirs.text })).send().expect(200);
    assert_eq!(is_good(&theirs.text), 401);
}
