//! Syncello: tokens signed with each user's own secret.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::testing::Unsigned;
use claviger_server::on_every_store;
use claviger_server::testing::{Answer, Client, Home, On, TestServer, eventually};
use serde_json::{Value, json};

on_every_store!(
    c01_each_user_has_a_secret_of_their_own,
    c02_whoever_is_signed_in_gets_the_finished_token_and_renews_it,
    c03_the_curl_of_the_document_answers,
    c04_claims_are_sub_iat_iss_and_nothing_else,
    c05_tokens_do_not_expire,
    c06_regenerating_ends_all_tokens_before,
    c08_no_or_a_bad_token_is_401_in_the_exact_envelope,
);

const LIST_APPS: &str = "/v1/tools/tape/listApps";
const UNAUTHORIZED: &str = r#"{"success":false,"error":{"code":"UNAUTHORIZED","message":"Missing or invalid Authorization header"}}"#;
const FORBIDDEN: &str = r#"{"success":false,"error":{"code":"FORBIDDEN","message":"Token does not have access to this resource"}}"#;

fn started(on: On) -> (TestServer, Home) {
    let server = TestServer::start(on);
    let home = server.tenant("syncello", "Tradewinds");
    (server, home)
}

fn list_apps(client: &Client, token: &str) -> Answer {
    client.post(LIST_APPS, &json!({ "workspace_id": 12345 })).bearer(token).send()
}

fn decoded(part: &str) -> String {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn c01_each_user_has_a_secret_of_their_own(on: On) {
    let (server, home) = started(on);
    let (first, second) = (server.member(&home, "MEMBER"), server.member(&home, "MEMBER"));
    let (one, other) = (server.user_secret(&first), server.user_secret(&second));
    assert_ne!(one.secret.expose(), other.secret.expose());
    assert_ne!(one.kid, other.kid);
    assert!(one.secret.expose().len() >= 32);
    let client = server.syncello();
    for person in [&first, &second] {
        let answer = list_apps(&client, &server.user_token(person)).expect(200).json();
        assert!(answer["data"].as_str().unwrap().contains(&person.account.to_string()), "{answer}");
    }

    let claims = |sub: String| json!({ "sub": sub, "iat": server.now().seconds(), "iss": "syncello" });
    let header = |kid: &str| json!({ "alg": "HS256", "typ": "user+jwt", "kid": kid });
    let first_id = || first.account.to_string();
    let sign = |kid: &str, sub: String, secret: &[u8]| {
        Unsigned::new(&header(kid), &claims(sub)).signed_hs256(secret)
    };
    let good = sign(&one.kid, first_id(), one.secret.expose());
    list_apps(&client, &good).expect(200);
    for bad in [
        sign(&one.kid, first_id(), other.secret.expose()),
        sign(&other.kid, first_id(), other.secret.expose()),
        sign(&other.kid, first_id(), one.secret.expose()),
        sign("us_nobody", first_id(), one.secret.expose()),
        sign(&one.kid, first_id(), &[0; 32]),
        sign(&one.kid, first_id(), b""),
    ] {
        list_apps(&client, &bad).expect_body(401, UNAUTHORIZED);
    }
}

fn c03_the_curl_of_the_document_answers(on: On) {
    let (server, home) = started(on);
    let token = server.user_token(&home.owner);
    let answer = list_apps(&server.syncello(), &token).expect(200).json();
    assert_eq!(answer["success"], true);
    assert!(answer["data"].is_string(), "{answer}");
}

fn c04_claims_are_sub_iat_iss_and_nothing_else(on: On) {
    let (server, home) = started(on);
    let person = server.member(&home, "MEMBER");
    let token = server.user_token(&person);
    assert!(token.starts_with("eyJhbGciOiJIUzI1NiIs"), "{token}");
    let synq = server.tenant("synq", "Northwind");
    assert!(server.token(&synq.owner).text.starts_with("eyJhbGci"));

    let payload = decoded(token.split('.').nth(1).unwrap());
    let iat = server.user_secret(&person).created_at.seconds();
    assert_eq!(payload, format!(r#"{{"sub":"{}","iat":{iat},"iss":"syncello"}}"#, person.account));

    let client = server.syncello();
    let now = server.now().seconds();
    let bent = |claims: Value| server.bent_user_token(&person, claims);
    list_apps(&client, &bent(json!({}))).expect(200);
    for claims in [
        json!({ "iss": "synq" }),
        json!({ "iss": null }),
        json!({ "iss": "Syncello" }),
        json!({ "iat": now + 60 }),
        json!({ "iat": null }),
        json!({ "iat": "1735500000" }),
        json!({ "iat": 1.5 }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": home.owner.account.to_string() }),
        json!({ "exp": now + 3600 }),
        json!({ "role": "ADMIN" }),
        json!({ "tenant_id": home.tenant.to_string() }),
    ] {
        let answer = list_apps(&client, &bent(claims.clone()));
        assert_eq!((answer.status, answer.text().as_str()), (401, UNAUTHORIZED), "{claims}");
    }
}

fn c05_tokens_do_not_expire(on: On) {
    let (server, home) = started(on);
    let person = server.member(&home, "MEMBER");
    let old = server.bent_user_token(&person, json!({ "iat": server.now().seconds() - 2 * 365 * 86_400 }));
    list_apps(&server.syncello(), &old).expect(200);
    if on == On::Sqlite {
        let token = server.user_token(&person);
        server.clock.advance_millis(2 * 365 * 86_400_000);
        list_apps(&server.syncello(), &token).expect(200);
    }
}

fn c06_regenerating_ends_all_tokens_before(on: On) {
    let (server, home) = started(on);
    let (person, other) = (server.member(&home, "MEMBER"), server.member(&home, "MEMBER"));
    let old = server.user_token(&person);
    let older = server.bent_user_token(&person, json!({ "iat": 1_735_500_000 }));
    let untouched = server.user_token(&other);
    let far = (on == On::Postgres).then(|| server.another_node());
    for token in [&old, &older, &untouched] {
        list_apps(&server.syncello(), token).expect(200);
        if let Some(far) = &far {
            list_apps(&far.syncello(), token).expect(200);
        }
    }
    let api = server.api("syncello").api.name.clone();
    server.run(server.store(home.tenant).user_secret_regenerate(&api, person.org, person.account)).unwrap();
    for token in [&old, &older] {
        list_apps(&server.syncello(), token).expect_body(401, UNAUTHORIZED);
    }
    let new = server.user_token(&person);
    assert_ne!(new, old);
    list_apps(&server.syncello(), &new).expect(200);
    list_apps(&server.syncello(), &untouched).expect(200);
    if let Some(far) = &far {
        eventually("the other node has heard of it", Duration::from_secs(1), || {
            list_apps(&far.syncello(), &old).status == 401
        });
        list_apps(&far.syncello(), &new).expect(200);
        list_apps(&far.syncello(), &untouched).expect(200);
    }
}

fn c08_no_or_a_bad_token_is_401_in_the_exact_envelope(on: On) {
    let (server, home) = started(on);
    let client = server.syncello();
    let post = || client.post(LIST_APPS, &json!({ "workspace_id": 12345 }));
    let missing = post().send().expect_body(401, UNAUTHORIZED);
    assert_eq!(missing.header("content-type"), Some("application/json"));
    post().header("Authorization", "Bearer").send().expect_body(401, UNAUTHORIZED);
    post().bearer("nonsense").send().expect_body(401, UNAUTHORIZED);
    let token = server.user_token(&home.owner);
    post().header("Authorization", &token).send().expect_body(401, UNAUTHORIZED);
    post().bearer(&format!("{token}x")).send().expect_body(401, UNAUTHORIZED);
    // Good, but without a permission.
    let stranger = server.member(&home, "STRANGER");
    post().bearer(&server.user_token(&stranger)).send().expect_body(403, FORBIDDEN);
}

fn c02_whoever_is_signed_in_gets_the_finished_token_and_renews_it(on: On) {
    let (server, home) = started(on);
    let client = server.syncello();
    let person = server.member(&home, "MEMBER");
    let signed_in = server.token(&person).text;
    let asked = |method: &str, path: &str, token: &str| client.request(method, path).bearer(token).send();
    let own = |token: &str| asked("GET", "/v1/account/token", token);
    let first = own(&signed_in).expect(200);
    assert_eq!(first.header("cache-control"), Some("no-store"));
    let first = first.json();
    let names: Vec<&str> = first["data"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((&first["success"], names), (&json!(true), vec!["issuedAt", "lastUsedAt", "token"]));
    assert_eq!(first["data"]["lastUsedAt"], Value::Null);
    let token = first["data"]["token"].as_str().unwrap().to_owned();
    list_apps(&client, &token).expect(200);
    // The same each time, with when it was used.
    let again = || own(&signed_in).expect(200).json()["data"].clone();
    assert_eq!(again()["token"], token);
    eventually("the use is written down", Duration::from_secs(20), || again()["lastUsedAt"].is_string());
    let regenerated = asked("POST", "/v1/account/token/regenerate", &signed_in).expect(200).json();
    let next = regenerated["data"]["token"].as_str().unwrap().to_owned();
    assert_eq!((&regenerated["success"], next == token), (&json!(true), false));
    list_apps(&client, &token).expect_body(401, UNAUTHORIZED);
    list_apps(&client, &next).expect(200);
    assert_eq!(own(&signed_in).expect(200).json()["data"]["token"], next);
    // A user token is not what one signs in with, and what one signs in with calls no tools.
    own(&next).expect_body(403, FORBIDDEN);
    asked("POST", "/v1/account/token/regenerate", &next).expect_body(403, FORBIDDEN);
    list_apps(&client, &signed_in).expect_body(403, FORBIDDEN);
    asked("GET", "/v1/account/token", "nonsense").expect_body(401, UNAUTHORIZED);
    // Nobody gets another's.
    let other = server.member(&home, "ADMIN");
    let theirs = own(&server.token(&other).text).expect(200).json();
    assert_ne!(theirs["data"]["token"], next);
}
