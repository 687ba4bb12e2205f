//! One person in several tenants, organizations and realms.

use claviger_server::on_every_store;
use claviger_server::testing::{Behind, Client, On, Plan, TestServer};
use serde_json::{Value, json};

use crate::sign_in::{PASSWORD, claims, refresh, sign_up, text};

on_every_store!(
    q20_one_sign_in_is_switched_by_refresh,
    q24_one_customer_has_several_tenants_each_on_its_own,
    a_tenant_may_want_everybody_to_sign_in_there,
    of_two_realms_neither_takes_the_others_refresh_tokens,
    a_key_has_no_session_of_its_own,
);

fn q20_one_sign_in_is_switched_by_refresh(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let first = sign_up(&client, "ada@northwind.example").expect(201).json();
    let tenant = text(&first, "tenant_id").parse().unwrap();
    let store = server.management().operator().tenant(tenant);
    let second = server.run(store.org_create("Second")).unwrap().org;
    let switch = |token: &str, body: Value| {
        let mut sent = json!({ "refresh_token": token });
        sent.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        client.post("/auth/v1/refresh", &sent).send()
    };
    let to = json!({ "org_id": second.to_string() });
    // Nobody there until added there.
    let mut token = text(&first, "refresh_token");
    assert_eq!(switch(&token, to.clone()).status, 403);
    // Whoever is refused keeps what they have, however late they use it.
    server.clock.advance_millis(60_000);
    token = text(&refresh(&client, &token).expect(200).json(), "refresh_token");
    let (email, viewer) = ("ada@northwind.example".parse().unwrap(), "VIEWER".parse().unwrap());
    let active = claviger::directory::MemberState::Active;
    server.run(store.member_add(second, &email, &viewer, active)).unwrap();
    let there = switch(&token, to).expect(200).json();
    assert_eq!((&there["org_id"], &there["role"]), (&json!(second.to_string()), &json!("VIEWER")));
    assert_eq!(claims(&server, &text(&there, "access_token"))["org_id"], second.to_string());
    // However often somebody switches, it ends when the sign-in does.
    let list =
        client.get("/auth/v1/sessions").bearer(&text(&there, "access_token")).send().expect(200).json();
    let ends: Vec<&str> =
        list.as_array().unwrap().iter().map(|session| session["expires_at"].as_str().unwrap()).collect();
    assert_eq!(ends.len(), 2);
    assert!(ends[1] <= ends[0] && ends[0] <= ends[1], "{ends:?}");
    // And back, and to what is nobody's.
    let back =
        switch(&text(&there, "refresh_token"), json!({ "org_id": first["org_id"] })).expect(200).json();
    assert_eq!(back["role"], "ADMIN");
    let other = server.tenant("synq", "Other").tenant.to_string();
    assert_eq!(switch(&text(&back, "refresh_token"), json!({ "tenant_id": other })).status, 403);
    assert_eq!(switch(&text(&there, "refresh_token"), json!({ "tenant_id": "nonsense" })).status, 400);
    // Directly, too.
    let body =
        json!({ "email": "ada@northwind.example", "password": PASSWORD, "org_id": second.to_string() });
    assert_eq!(client.post("/auth/v1/sign-in", &body).send().expect(200).json()["role"], "VIEWER");
}

fn q24_one_customer_has_several_tenants_each_on_its_own(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let email = "ada@northwind.example";
    let production = sign_up(&client, email).expect(201).json();
    let owner = server.operator_token("owner");
    let create = json!({ "realm": "synq", "name": "Staging", "owner": email });
    let made = server.console().post("/v1/tenants", &create).bearer(&owner).send().expect(201).data();
    let staging = text(&made, "tenant_id");
    let body = json!({ "refresh_token": production["refresh_token"], "tenant_id": staging });
    let there = client.post("/auth/v1/refresh", &body).send().expect(200).json();
    assert_eq!((&there["tenant_id"], &there["role"]), (&json!(staging), &json!("ADMIN")));
    let members = |signed_in: &Value| {
        let list = client.get("/api/v1/organization/members").bearer(&text(signed_in, "access_token")).send();
        (list.status, list.json())
    };
    let here = sign_in_at(&client, email, &text(&production, "tenant_id"));
    let new = json!({ "email": "bob@northwind.example", "role": "VIEWER" });
    client.post("/api/v1/organization/members", &new).bearer(&text(&here, "access_token")).send().expect(201);
    assert_eq!(members(&here).1.as_array().unwrap().len(), 2);
    assert_eq!(members(&there).1.as_array().unwrap().len(), 1, "each has members of its own");
    // Each is suspended, and changes its plan, on its own.
    let path = format!("/v1/tenants/{staging}");
    let suspend = server.console().post(&format!("{path}/suspend"), &json!({}));
    suspend.bearer(&owner).send().expect(200);
    assert_eq!((members(&there).0, members(&here).0), (403, 200));
    let view =
        server.console().get(&format!("/v1/tenants/{}", text(&production, "tenant_id"))).bearer(&owner);
    assert_eq!(view.send().expect(200).data()["state"], "active");
}

fn sign_in_at(client: &Client, email: &str, tenant: &str) -> Value {
    let body = json!({ "email": email, "password": PASSWORD, "tenant_id": tenant });
    client.post("/auth/v1/sign-in", &body).send().expect(200).json()
}

fn a_tenant_may_want_everybody_to_sign_in_there(on: On) {
    let server = TestServer::start(on);
    let client = server.synq();
    let email = "ada@northwind.example";
    let first = sign_up(&client, email).expect(201).json();
    let account = claims(&server, &text(&first, "access_token"))["sub"].as_str().unwrap().to_owned();
    let create = json!({ "realm": "synq", "name": "Staging", "owner": account });
    let owner = server.operator_token("owner");
    let console = |method: &str, path: &str, body: &Value| {
        server.console().request(method, path).bearer(&owner).json(body).send()
    };
    let made = console("POST", "/v1/tenants", &create).expect(201).data();
    let staging = text(&made, "tenant_id");
    let switch = |token: &str| {
        let body = json!({ "refresh_token": token, "tenant_id": staging });
        client.post("/auth/v1/refresh", &body).send()
    };
    let there = switch(&text(&first, "refresh_token")).expect(200).json();
    assert_eq!(there["tenant_id"], staging);
    let changed =
        console("PATCH", &format!("/v1/tenants/{staging}"), &json!({ "require_direct_sign_in": true }));
    assert_eq!(changed.expect(200).data()["requires_direct_sign_in"], true);
    let body = json!({ "email": email, "password": PASSWORD, "tenant_id": first["tenant_id"] });
    let again = client.post("/auth/v1/sign-in", &body).send().expect(200).json();
    assert_eq!(switch(&text(&again, "refresh_token")).status, 403);
    let body = json!({ "email": email, "password": PASSWORD, "tenant_id": staging });
    let direct = client.post("/auth/v1/sign-in", &body).send().expect(200).json();
    assert_eq!(direct["tenant_id"], staging);
}

/// Synq's way to sign in at Synaptiq too, beside keys.
fn with_two_that_sign_in(on: On) -> TestServer {
    let settings = |settings: &mut toml::Table| {
        for api in settings["api"].as_array_mut().unwrap() {
            let api = api.as_table_mut().unwrap();
            if api.get("name").and_then(toml::Value::as_str) == Some("synaptiq") {
                api.insert("credentials".into(), vec!["api-key", "identity-token"].into());
                api.insert("sign_in".into(), "password".into());
                api.insert("sign_up".into(), "open".into());
                api.insert("roles".into(), toml::Table::from_iter([("ADMIN".into(), "admin".into())]).into());
            }
        }
    };
    TestServer::start_as(&Plan { on, behind: Behind::Example, settings: &settings })
}

fn of_two_realms_neither_takes_the_others_refresh_tokens(on: On) {
    let server = with_two_that_sign_in(on);
    let (synq, synaptiq) = (server.synq(), server.synaptiq());
    let ours = sign_up(&synq, "ada@northwind.example").expect(201).json();
    // One address is somebody else in each realm.
    let theirs = sign_up(&synaptiq, "ada@northwind.example").expect(201).json();
    let (ours, theirs) = (text(&ours, "refresh_token"), text(&theirs, "refresh_token"));
    assert_eq!((refresh(&synaptiq, &ours).status, refresh(&synq, &theirs).status), (401, 401));
    for (client, token) in [(&synaptiq, &ours), (&synq, &theirs)] {
        client.post("/auth/v1/revoke", &json!({ "token": token })).send().expect(200);
    }
    // Neither was used up or ended by that.
    server.clock.advance_millis(60_000);
    refresh(&synq, &ours).expect(200);
    refresh(&synaptiq, &theirs).expect(200);
}

fn a_key_has_no_session_of_its_own(on: On) {
    let server = with_two_that_sign_in(on);
    let client = server.synaptiq();
    let home = server.tenant("synaptiq", "Other");
    let key = server.key(&home, "admin").text;
    for (method, path, is_for_somebody) in claviger_server::gateway::places() {
        // About tokens an admin's key may ask.
        if is_for_somebody && !path.ends_with("introspect") {
            let path = path.replace("{session}", "00000000-0000-4000-8000-000000000000");
            let body = json!({ "current": PASSWORD, "new": "quite another phrase" });
            let answer = client.request(method.as_str(), &path).json(&body).bearer(&key).send();
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
        }
    }
    // A key is not revoked there, and a form is told so in the RFC's words.
    assert_eq!(client.post("/auth/v1/revoke", &json!({ "token": key })).send().status, 403);
    let form =
        client.request("POST", "/auth/v1/revoke").header("Content-Type", "application/x-www-form-urlencoded");
    let answer = form.body(format!("token={key}")).send();
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("unsupported_token_type")));
    client.get("/api/v1/leads").bearer(&key).send().expect(200);
}
