//! What a credential is, for whoever may ask (RFC 7662).

use claviger::api_key::NewKey;
use claviger::directory::State;
use claviger::id::Environment;
use claviger::network::Networks;
use claviger::random::SystemRandom;
use claviger_server::on_every_store;
use claviger_server::testing::{Answer, Behind, Client, On, Plan, TestServer};
use claviger_store::api_keys::ApiKeyUpdate;
use serde_json::{Value, json};

on_every_store!(
    an_admin_asks_about_every_kind_of_credential_of_their_tenant_and_of_no_other,
    an_operator_asks_as_far_as_they_reach,
    whoever_may_not_ask_hears_one_answer,
    a_key_that_is_bound_to_networks_asks_from_there_alone,
    what_is_asked_about_in_vain_is_counted_but_for_operators,
);

/// Synaptiq takes all kinds of credential, and people sign in there.
fn started(on: On) -> TestServer {
    let settings = |settings: &mut toml::Table| {
        for api in settings["api"].as_array_mut().unwrap() {
            let api = api.as_table_mut().unwrap();
            if api["name"].as_str() == Some("synaptiq") {
                api.insert("credentials".into(), vec!["api-key", "identity-token", "user-token"].into());
                api.insert("sign_in".into(), "password".into());
                let roles = [("ADMIN".to_owned(), "admin".into()), ("VIEWER".to_owned(), "read".into())];
                api.insert("roles".into(), toml::Table::from_iter(roles).into());
            }
        }
    };
    TestServer::start_as(&Plan { on, behind: Behind::Example, settings: &settings })
}

fn ask(client: &Client, by: &str, about: &str) -> Answer {
    client.post("/auth/v1/introspect", &json!({ "token": about })).bearer(by).send()
}

fn told(client: &Client, by: &str, about: &str) -> Value {
    let answer = ask(client, by, about).expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

fn inactive() -> Value {
    json!({ "active": false })
}

fn an_admin_asks_about_every_kind_of_credential_of_their_tenant_and_of_no_other(on: On) {
    let server = started(on);
    let client = server.synaptiq();
    let (home, rival) = (server.tenant("synaptiq", "Eastwind"), server.tenant("synaptiq", "Westwind"));
    let viewer = server.member(&home, "VIEWER");
    let admin = server.token(&home.owner).text;
    let (key, token, user) =
        (server.key(&home, "leads:read"), server.token(&viewer), server.user_token(&viewer));
    let found = told(&client, &admin, &key.text);
    let name = key.id.to_string();
    for (claim, value) in [
        ("active", json!(true)),
        ("credential", json!("api-key")),
        ("scope", json!("leads:read")),
        ("sub", json!(name)),
        ("client_id", json!(name)),
        ("environment", json!("live")),
        ("tenant_id", json!(home.tenant.to_string())),
        ("org_id", json!(home.org.to_string())),
        ("token_type", json!("Bearer")),
    ] {
        assert_eq!(found[claim], value, "{claim}: {found}");
    }
    assert!(!found.to_string().contains(&key.text));
    let found = told(&client, &admin, &token.text);
    let claims = &token.claims;
    for claim in ["sub", "exp", "iss", "aud", "jti", "sid", "tenant_id", "org_id", "role"] {
        assert_eq!(found[claim], claims[claim], "{claim}: {found}");
    }
    assert_eq!((&found["credential"], &found["scope"]), (&json!("identity-token"), &json!("read")));
    let found = told(&client, &admin, &user);
    assert_eq!((&found["credential"], &found["iss"]), (&json!("user-token"), &json!("synaptiq")));
    assert_eq!((&found["sub"], &found["exp"]), (&json!(viewer.account.to_string()), &Value::Null));
    // By an admin key as well; on its own side of the sandbox.
    let by_key = server.key(&home, "admin").text;
    assert_eq!(told(&client, &by_key, &key.text)["active"], true);
    let sandbox = server.key_in(&home, "admin", Environment::Test).text;
    assert_eq!(told(&client, &sandbox, &key.text), inactive());
    assert_eq!(told(&client, &admin, &sandbox), inactive());
    assert_eq!(told(&client, &sandbox, &sandbox)["environment"], "test");
    // Of another tenant's they hear what they hear of one that is nobody's.
    let theirs =
        [server.key(&rival, "admin").text, server.token(&rival.owner).text, server.user_token(&rival.owner)];
    for about in theirs.iter().map(String::as_str).chain(["nonsense", "", "a b", "eyJhbGciOiJub25lIn0.e30."])
    {
        assert_eq!(told(&client, &admin, about), inactive(), "{about}");
    }
    // As a form, and as the metadata says.
    let form = client
        .request("POST", "/auth/v1/introspect")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("token={}&token_type_hint=access_token&client_id=x", token.text))
        .bearer(&admin);
    assert_eq!(form.send().expect(200).json()["active"], true);
    // What is withdrawn is so from the next question on.
    let store = server.store(home.tenant);
    server.run(store.key_revoke(key.id)).unwrap();
    server.run(store.session_end(token.session)).unwrap();
    assert_eq!(
        (told(&client, &admin, &key.text), told(&client, &admin, &token.text)),
        (inactive(), inactive())
    );
    server.run(store.member_suspend(home.org, viewer.account)).unwrap();
    assert_eq!(told(&client, &admin, &user), inactive(), "who may not act holds nothing");
}

fn an_operator_asks_as_far_as_they_reach(on: On) {
    let server = started(on);
    let client = server.synaptiq();
    let home = server.tenant("synaptiq", "Eastwind");
    let key = server.key(&home, "leads:read").text;
    let reader = server.operator_token("reader");
    assert_eq!(told(&client, &reader, &key)["tenant_id"], home.tenant.to_string());
    let bound = |realms: Option<Vec<String>>, tenants: Option<Vec<String>>, name: &str| {
        let new = claviger_store::operators::NewOperator {
            name: name.into(),
            role: "reader",
            realms,
            tenants,
            days: 1,
        };
        let made = server.run(server.management().operator().operator_create(new)).unwrap();
        made.token.expose_text().unwrap().to_owned()
    };
    let ours = bound(Some(vec!["synaptiq".into()]), None, "ours");
    let theirs = bound(Some(vec!["synq".into()]), None, "theirs");
    let one = bound(None, Some(vec![home.tenant.to_string()]), "one");
    assert_eq!(told(&client, &ours, &key)["active"], true);
    assert_eq!(told(&client, &one, &key)["active"], true);
    assert_eq!(told(&client, &theirs, &key), inactive());
    assert_eq!(ask(&client, "claviger_operator_nonsense", &key).status, 401);
    // Not in clear from elsewhere.
    let from = |forwarded: &str| {
        let client = server.synq().from([127, 0, 0, 2].into());
        let request = client.post("/auth/v1/introspect", &json!({ "token": key }));
        request.header("X-Forwarded-For", forwarded).bearer(&reader).send()
    };
    assert_eq!(from("127.0.0.1").status, 200);
    let elsewhere = from("203.0.113.9");
    assert_eq!(elsewhere.status, 403, "{}", elsewhere.text());
}

fn whoever_may_not_ask_hears_one_answer(on: On) {
    let server = started(on);
    let client = server.synaptiq();
    let home = server.tenant("synaptiq", "Eastwind");
    let viewer = server.member(&home, "VIEWER");
    let key = server.key(&home, "admin").text;
    let (by_viewer, by_reader) = (server.token(&viewer).text, server.key(&home, "read").text);
    for by in [&by_viewer, &by_reader] {
        for about in [key.as_str(), "nonsense", by] {
            assert_eq!(told(&client, by, about), inactive(), "{about}");
        }
    }
    // Nobody at all, and who may not act.
    assert_eq!(client.post("/auth/v1/introspect", &json!({ "token": key })).send().status, 401);
    assert_eq!(ask(&client, "nonsense", &key).status, 401);
    let admin = server.token(&home.owner).text;
    assert_eq!(client.post("/auth/v1/introspect", &json!({})).bearer(&admin).send().status, 400);
    server.run(server.store(home.tenant).tenant_suspend()).unwrap();
    assert_eq!(server.run(server.store(home.tenant).tenant_view()).unwrap().state, State::Suspended);
    assert_eq!(ask(&client, &admin, &key).status, 403);
}

fn a_key_that_is_bound_to_networks_asks_from_there_alone(on: On) {
    let server = started(on);
    let client = server.synaptiq();
    let home = server.tenant("synaptiq", "Eastwind");
    let key = server.key(&home, "admin");
    assert_eq!(told(&client, &key.text, &key.text)["active"], true);
    let networks = Some(Some(Networks::new(vec!["10.0.0.0/8".parse().unwrap()])));
    let update = ApiKeyUpdate { networks, ..ApiKeyUpdate::default() };
    server.run(server.store(home.tenant).key_update(key.id, update)).unwrap();
    assert_eq!(ask(&client, &key.text, &key.text).status, 403);
}

fn what_is_asked_about_in_vain_is_counted_but_for_operators(on: On) {
    let server = started(on);
    let client = server.synaptiq();
    let home = server.tenant("synaptiq", "Eastwind");
    let admin = server.key(&home, "admin").text;
    // Keys of the right form, and nobody's.
    let prefix = admin.split('_').next().unwrap().parse().unwrap();
    let peppers = server.management().store.keyring().peppers().unwrap();
    let made_up = || {
        let key = NewKey::generate(&prefix, Environment::Live, &peppers, &SystemRandom);
        key.secret.expose_text().unwrap().to_owned()
    };
    let guesses = || server.management().door.figures().lookups;
    let before = guesses();
    assert_eq!(told(&client, &admin, &made_up()), inactive());
    assert_ne!(guesses(), before, "an ADMIN may be anybody");
    let reader = server.operator_token("reader");
    let before = guesses();
    assert_eq!(told(&client, &reader, &made_up()), inactive());
    // Whoever only says that they are an operator has nothing looked for.
    assert_eq!(ask(&client, "claviger_operator_nonsense", &made_up()).status, 401);
    let viewer = server.token(&server.member(&home, "VIEWER")).text;
    assert_eq!(told(&client, &viewer, &made_up()), inactive());
    assert_eq!(guesses(), before);
}
