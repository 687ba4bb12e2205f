//! API keys that are managed at their API's own host, by keys.

use claviger::id::Environment;
use claviger_server::on_every_store;
use claviger_server::testing::{Answer, Behind, Home, On, Plan, TestServer};
use serde_json::{Value, json};

on_every_store!(
    a02_an_admin_key_makes_lists_rotates_and_revokes_keys,
    a07_no_key_manages_what_exceeds_it,
    a10_the_old_secret_is_ended_by_hand_before_its_grace_is_over,
    a12_a_test_key_manages_test_keys_only,
    what_is_asked_of_keys_is_read_within_its_bounds,
    a_key_is_made_or_rotated_once_under_an_idempotency_key,
    a_plan_caps_how_many_keys_there_are,
    strangers_manage_no_key,
);

const KEYS: &str = "/api/v1/keys";

fn ask(server: &TestServer, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let request = server.synaptiq().request(method, path).bearer(key);
    match body {
        Some(body) => request.json(&body).send(),
        None => request.send(),
    }
}

fn started(on: On) -> (TestServer, Home) {
    let server = TestServer::start(on);
    let home = server.tenant_on("synaptiq", "Acme", "Enterprise");
    (server, home)
}

fn leads(server: &TestServer, key: &str) -> u16 {
    server.synaptiq().get("/api/v1/leads").bearer(key).send().status
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

fn a02_an_admin_key_makes_lists_rotates_and_revokes_keys(on: On) {
    let (server, home) = started(on);
    let admin = server.key(&home, "admin").text;
    let body = json!({ "name": "reports", "scope": "read", "metadata": { "team": "sales" } });
    let made = ask(&server, &admin, "POST", KEYS, Some(body)).expect(201);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    let mut names: Vec<&str> = made.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let shape = [
        "createdAt",
        "environment",
        "expiresAt",
        "id",
        "key",
        "lastFour",
        "lastUsedAt",
        "name",
        "prefix",
        "scope",
        "secrets",
    ];
    assert_eq!(names, shape);
    let key = text(&made, "key");
    assert!(key.starts_with(text(&made, "prefix")) && key.ends_with(text(&made, "lastFour")));
    assert_eq!((leads(&server, key), text(&made, "environment")), (200, "live"));
    // Listed without the secret, with when it was used.
    server.run(server.management().noted.get().unwrap().write_down());
    let pages = [1, 2].map(|page| {
        let listed = ask(&server, &admin, "GET", &format!("{KEYS}?limit=1&page={page}"), None).expect(200);
        assert!(!listed.text().contains(key), "{}", listed.text());
        let listed = listed.json();
        let pagination =
            json!({ "page": page, "limit": 1, "total": 2, "totalPages": 2, "hasMore": page == 1 });
        assert_eq!((&listed["pagination"], listed["data"].as_array().unwrap().len()), (&pagination, 1));
        listed["data"][0].clone()
    });
    let path = format!("{KEYS}/{}", text(&made, "id"));
    let listed = pages.iter().find(|key| key["id"] == made["id"]).unwrap();
    assert_eq!((text(listed, "name"), listed["key"].is_null()), ("reports", true));
    assert!(listed["lastUsedAt"].is_string(), "{listed}");
    assert_eq!(ask(&server, &admin, "GET", &path, None).expect(200).json(), *listed);
    // Changed, and rotated with both secrets good.
    let changed = json!({ "name": "writes", "scope": "leads:write" });
    let changed = ask(&server, &admin, "PATCH", &path, Some(changed)).expect(200).json();
    assert_eq!((text(&changed, "name"), text(&changed, "scope")), ("writes", "leads:write"));
    let rotated = ask(&server, &admin, "POST", &format!("{path}/rotate"), None).expect(200).json();
    assert_eq!((leads(&server, key), leads(&server, text(&rotated, "key"))), (200, 200));
    assert_eq!((text(&rotated, "id"), rotated["secrets"].as_array().unwrap().len()), (text(&made, "id"), 2));
    // Gone for good, from the next request on.
    let ended = ask(&server, &admin, "DELETE", &path, None);
    assert_eq!((ended.status, ended.text().as_str()), (204, ""));
    assert_eq!((leads(&server, key), leads(&server, text(&rotated, "key"))), (401, 401));
    for (method, path) in
        [("GET", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/rotate"))]
    {
        let gone = ask(&server, &admin, method, &path, None);
        assert_eq!((gone.status, &gone.json()["error"]["code"]), (404, &json!("not_found")), "{method}");
    }
}

fn a07_no_key_manages_what_exceeds_it(on: On) {
    let (server, home) = started(on);
    let stronger = server.key(&home, "write");
    let manager = server.key(&home, "keys:admin leads:read").text;
    let make =
        |scope: &str| ask(&server, &manager, "POST", KEYS, Some(json!({ "name": "n", "scope": scope })));
    let refused = make("leads:write");
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (403, &json!("forbidden")));
    assert_eq!((make("admin").status, make("read").status), (403, 403));
    let own = make("leads:read").expect(201).json();
    let path = format!("{KEYS}/{}", stronger.id);
    let rotated =
        ask(&server, &manager, "POST", &format!("{path}/rotate"), Some(json!({ "graceSeconds": 0 })));
    assert_eq!(rotated.status, 403);
    for change in [json!({ "name": "mine" }), json!({ "metadata": { "note": "mine" } })] {
        assert_eq!(ask(&server, &manager, "PATCH", &path, Some(change)).status, 403);
    }
    assert_eq!(leads(&server, &stronger.text), 200);
    let raised = json!({ "scope": "leads:write" });
    assert_eq!(
        ask(&server, &manager, "PATCH", &format!("{KEYS}/{}", text(&own, "id")), Some(raised)).status,
        403
    );
    // To end it is another thing.
    assert_eq!(ask(&server, &manager, "DELETE", &path, None).status, 204);
    assert_eq!(leads(&server, &stronger.text), 401);
}

fn a10_the_old_secret_is_ended_by_hand_before_its_grace_is_over(on: On) {
    let (server, home) = started(on);
    let admin = server.key(&home, "admin").text;
    let key = server.key(&home, "read");
    let path = format!("{KEYS}/{}", key.id);
    let grace = json!({ "graceSeconds": 604_800 });
    let rotated = ask(&server, &admin, "POST", &format!("{path}/rotate"), Some(grace)).expect(200).json();
    let new = text(&rotated, "key");
    assert_eq!((leads(&server, &key.text), leads(&server, new)), (200, 200));
    let ended = ask(&server, &admin, "POST", &format!("{path}/revoke-old"), None).expect(200).json();
    assert_eq!(ended["secrets"].as_array().unwrap().len(), 1);
    assert_eq!((leads(&server, &key.text), leads(&server, new)), (401, 200));
    assert_eq!(ask(&server, &admin, "POST", &format!("{path}/revoke-old"), None).status, 404);
}

fn a12_a_test_key_manages_test_keys_only(on: On) {
    let (server, home) = started(on);
    let sides = [Environment::Live, Environment::Test];
    let admins = sides.map(|side| server.key_in(&home, "admin", side));
    let others = sides.map(|side| server.key_in(&home, "read", side));
    for (at, side) in sides.iter().enumerate() {
        let (admin, own, foreign) = (&admins[at].text, &others[at], &others[1 - at]);
        let list = ask(&server, admin, "GET", KEYS, None).expect(200).json();
        let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|key| text(key, "id")).collect();
        assert!(ids.contains(&own.id.to_string().as_str()) && ids.len() == 2, "{ids:?}");
        assert_eq!(list["pagination"]["total"], 2);
        let path = format!("{KEYS}/{}", foreign.id);
        for (method, path) in [
            ("GET", path.clone()),
            ("DELETE", path.clone()),
            ("POST", format!("{path}/rotate")),
            ("POST", format!("{path}/revoke-old")),
        ] {
            assert_eq!(ask(&server, admin, method, &path, None).status, 404, "{side} {method} {path}");
        }
        assert_eq!(ask(&server, admin, "PATCH", &path, Some(json!({ "name": "x" }))).status, 404);
        assert_eq!(leads(&server, &foreign.text), 200);
        let made = ask(&server, admin, "POST", KEYS, Some(json!({ "name": "made" }))).expect(201).json();
        assert_eq!((text(&made, "environment"), text(&made, "scope")), (side.as_str(), "read"));
        ask(&server, admin, "DELETE", &format!("{KEYS}/{}", text(&made, "id")), None).expect(204);
    }
}

fn what_is_asked_of_keys_is_read_within_its_bounds(on: On) {
    let (server, home) = started(on);
    let admin = server.key(&home, "admin").text;
    let key = server.key(&home, "read");
    let path = format!("{KEYS}/{}", key.id);
    let bad = |method: &str, path: &str, body: Value| ask(&server, &admin, method, path, Some(body)).status;
    for body in [
        json!({}),
        json!({ "name": 7 }),
        json!({ "name": "n", "scope": "nothing:read" }),
        json!({ "name": "n", "scope": "leads" }),
        json!({ "name": "n", "expiresAt": "tomorrow" }),
        json!({ "name": "n", "expiresAt": "2001-01-01T00:00:00Z" }),
        json!({ "name": "n", "allowedNetworks": ["10.1.2.3/8"] }),
        json!({ "name": "n", "environment": "live" }),
        json!({ "name": "n", "metadata": { "a": 7 } }),
        json!({ "name": "n", "metadata": { "": "x" } }),
        json!({ "name": "" }),
    ] {
        assert_eq!(bad("POST", KEYS, body.clone()), 400, "{body}");
    }
    for grace in [json!(-1), json!(691_200), json!("soon"), json!(1.5), json!(9_223_372_036_854_775_807_u64)]
    {
        assert_eq!(bad("POST", &format!("{path}/rotate"), json!({ "graceSeconds": grace })), 400, "{grace}");
    }
    // Nor is anything half done: of too much to keep, and a new name, the name is not taken either.
    let much: Value =
        (0..200).map(|at| (format!("k{at}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    for body in [json!({ "colour": "red" }), json!({}), json!({ "name": "renamed", "metadata": much })] {
        assert_eq!(bad("PATCH", &path, body), 400);
    }
    assert_eq!(bad("POST", KEYS, json!({ "name": "n", "metadata": much })), 400);
    let name = ask(&server, &admin, "GET", &path, None).expect(200).json()["name"].clone();
    assert_eq!(name, "read live");
    for query in ["limit=0", "limit=101", "page=0", "page=x"] {
        assert_eq!(ask(&server, &admin, "GET", &format!("{KEYS}?{query}"), None).status, 400, "{query}");
    }
    assert_eq!(ask(&server, &admin, "GET", &format!("{KEYS}/nonsense"), None).status, 404);
    // Of all that nothing was made, and the key is as it was.
    let list = ask(&server, &admin, "GET", KEYS, None).expect(200).json();
    assert_eq!((&list["pagination"]["total"], leads(&server, &key.text)), (&json!(2), 200));
    // A disabled key is not rotated, and that is no failure of ours.
    server.run(server.store(home.tenant).key_disable(key.id)).unwrap();
    assert_eq!(bad("POST", &format!("{path}/rotate"), json!({})), 409);
}

fn a_key_is_made_or_rotated_once_under_an_idempotency_key(on: On) {
    let (server, home) = started(on);
    let admin = server.key(&home, "admin").text;
    let other = server.key(&home, "admin").text;
    let post = |who: &str, path: &str, body: Value, once: &str| {
        server.synaptiq().post(path, &body).bearer(who).header("Idempotency-Key", once).send()
    };
    let body = json!({ "name": "once" });
    let first = post(&admin, KEYS, body.clone(), "one").expect(201).json();
    let again = post(&admin, KEYS, body.clone(), "one").expect(201).json();
    assert_eq!(
        (&again["id"], &again["key"], &again["code"]),
        (&first["id"], &Value::Null, &json!("secret_already_shown"))
    );
    assert_eq!(post(&admin, KEYS, json!({ "name": "another" }), "one").status, 400);
    assert_ne!(
        post(&other, KEYS, body.clone(), "one").expect(201).json()["id"],
        first["id"],
        "another's key is another one"
    );
    let rotate = format!("{KEYS}/{}/rotate", text(&first, "id"));
    let rotated = post(&admin, &rotate, json!({}), "two").expect(200).json();
    let repeated = post(&admin, &rotate, json!({}), "two").expect(200).json();
    assert_eq!((&repeated["secrets"], &repeated["key"]), (&rotated["secrets"], &Value::Null));
    assert_eq!((leads(&server, text(&first, "key")), leads(&server, text(&rotated, "key"))), (200, 200));
    // Whoever may not do it does not hear what came of it either.
    let weak = server.key(&home, "read").text;
    assert_eq!(post(&weak, KEYS, body, "one").status, 403);
}

fn a_plan_caps_how_many_keys_there_are(on: On) {
    let settings = |settings: &mut toml::Table| {
        for api in settings["api"].as_array_mut().unwrap() {
            let api = api.as_table_mut().unwrap();
            if api["name"].as_str() == Some("synaptiq") {
                api.insert(
                    "most_live_keys".into(),
                    toml::Table::from_iter([("Starter".to_owned(), 3.into())]).into(),
                );
            }
        }
    };
    let server = TestServer::start_as(&Plan { on, behind: Behind::Example, settings: &settings });
    let home = server.tenant_on("synaptiq", "Acme", "Starter");
    let admin = server.key(&home, "admin").text;
    let make = || ask(&server, &admin, "POST", KEYS, Some(json!({ "name": "n" })));
    make().expect(201);
    let last = make().expect(201).json();
    let full = make();
    assert_eq!((full.status, &full.json()["error"]["code"]), (409, &json!("conflict")), "{}", full.text());
    assert!(full.text().contains("plan allows no more live keys"), "{}", full.text());
    // An operator is held to it too; and there is room again once one has gone, or on another plan.
    let owner = server.operator_token("owner");
    let path = format!("/v1/tenants/{}/organizations/{}/keys", home.tenant, home.org);
    let by_operator = || server.console().post(&path, &json!({ "name": "n" })).bearer(&owner).send().status;
    assert_eq!(by_operator(), 409);
    ask(&server, &admin, "DELETE", &format!("{KEYS}/{}", text(&last, "id")), None).expect(204);
    assert_eq!((by_operator(), by_operator()), (201, 409));
    let tenant = format!("/v1/tenants/{}", home.tenant);
    server
        .console()
        .request("PATCH", &tenant)
        .json(&json!({ "plan": "Pro" }))
        .bearer(&owner)
        .send()
        .expect(200);
    make().expect(201);
}

fn strangers_manage_no_key(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "read");
    let abroad = server.tenant("synq", "Abroad");
    let other = server.tenant("synaptiq", "Other");
    let theirs = server.key(&other, "admin").text;
    let path = format!("{KEYS}/{}", key.id);
    let all = [
        ("GET", KEYS.to_owned()),
        ("POST", KEYS.to_owned()),
        ("GET", path.clone()),
        ("PATCH", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/rotate")),
        ("POST", format!("{path}/revoke-old")),
    ];
    for (method, path) in &all {
        let body = matches!(*method, "POST" | "PATCH").then(|| json!({ "name": "x" }));
        assert_eq!(server.synaptiq().request(method, path).send().status, 401, "{method} {path}");
        let token = server.token(&abroad.owner).text;
        assert_eq!(ask(&server, &token, method, path, body.clone()).status, 401, "{method} {path}");
        assert_eq!(ask(&server, &key.text, method, path, body.clone()).status, 403, "{method} {path}");
        if path != KEYS {
            let body = if path.ends_with("rotate") { None } else { body };
            assert_eq!(ask(&server, &theirs, method, path, body).status, 404, "{method} {path}");
        }
    }
    assert_eq!(leads(&server, &key.text), 200);
}
