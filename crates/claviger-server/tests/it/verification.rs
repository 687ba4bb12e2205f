//! Keys that programs ask about which do not stand behind the gateway; and keys that are rotated while they are used.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use claviger_server::on_every_store;
use claviger_server::testing::{Behind, On, Plan, TestServer};
use claviger_store::operators::NewOperator;
use serde_json::{Value, json};

on_every_store!(
    a_key_is_verified_as_the_gateway_would_decide_and_its_limit_is_the_same,
    of_a_key_beyond_the_operator_and_of_nobodys_one_thing_is_said_and_nothing_taken,
    a09_a_key_that_is_rotated_under_load_is_never_401,
);

fn verify(server: &TestServer, operator: &str, body: &Value) -> Value {
    let answer = server.console().post("/v1/keys/verify", body).bearer(operator).send().expect(200);
    assert!(!answer.text().contains("sk_live_"), "{}", answer.text());
    answer.data()
}

fn a_key_is_verified_as_the_gateway_would_decide_and_its_limit_is_the_same(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant_on("synaptiq", "Acme", "Starter");
    let operator = server.operator_token("support");
    let key = server.key(&home, "leads:read");
    let ask = |more: Value| {
        let mut body = json!({ "key": key.text, "api": "synaptiq", "resource": "leads", "access": "read" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        verify(&server, &operator, &body)
    };
    let good = ask(json!({}));
    assert_eq!(
        (&good["valid"], &good["code"], &good["scope"]),
        (&json!(true), &Value::Null, &json!("leads:read"))
    );
    assert_eq!(
        (good["key_id"].as_str(), good["tenant_id"].as_str()),
        (Some(&*key.id.to_string()), Some(&*home.tenant.to_string()))
    );
    assert_eq!((&good["limit"]["limit"], &good["limit"]["remaining"]), (&json!(120), &json!(119)));
    // What it costs is taken of the one limit that the gateway counts too.
    assert_eq!(ask(json!({ "cost": 100 }))["limit"]["remaining"], 19);
    let asked = server.synaptiq().get("/api/v1/leads").bearer(&key.text).send().expect(200);
    assert_eq!(asked.header("x-ratelimit-remaining"), Some("18"));
    assert_eq!(ask(json!({ "cost": 0 }))["limit"]["remaining"], 18);
    let refused = ask(json!({ "cost": 19 }));
    assert_eq!(
        (&refused["valid"], &refused["status"], &refused["code"]),
        (&json!(false), &json!(429), &json!("rate_limited"))
    );
    assert_eq!(
        (&refused["limit"]["remaining"], &refused["key_id"]),
        (&json!(18), &good["key_id"]),
        "all or none"
    );
    // What it may not do takes nothing.
    let forbidden = ask(json!({ "access": "write" }));
    assert_eq!(
        (&forbidden["valid"], &forbidden["status"], &forbidden["code"]),
        (&json!(false), &json!(403), &json!("forbidden"))
    );
    assert_eq!(ask(json!({ "cost": 18 }))["limit"]["remaining"], 0);
    // It is a use.
    server.run(server.management().noted.get().unwrap().write_down());
    let path = format!("/v1/tenants/{}/keys/{}", home.tenant, key.id);
    let shown = server.console().get(&path).bearer(&operator).send().expect(200).data();
    assert!(shown["last_used_at"].is_string(), "{shown}");
    // From where it may be used alone.
    let bound = server.key(&home, "leads:read");
    let update = json!({ "networks": ["203.0.113.0/24"] });
    let owner = server.operator_token("owner");
    let path = format!("/v1/tenants/{}/keys/{}", home.tenant, bound.id);
    server.console().request("PATCH", &path).json(&update).bearer(&owner).send().expect(200);
    let from = |from: Option<&str>| {
        let body = json!({ "key": bound.text, "api": "synaptiq", "resource": "leads", "access": "read", "from": from });
        verify(&server, &operator, &body)["valid"] == true
    };
    assert!(from(Some("203.0.113.7")) && !from(Some("192.0.2.1")) && !from(None));
    // Revoked, it is nobody's at once.
    server.run(server.store(home.tenant).key_revoke(key.id)).unwrap();
    let gone = ask(json!({}));
    assert_eq!(
        (&gone["valid"], &gone["status"], &gone["code"]),
        (&json!(false), &json!(401), &json!("unauthorized"))
    );
    for (field, wrong) in [("access", "everything"), ("resource", "?"), ("from", "here"), ("api", "nothing")]
    {
        let mut body = json!({ "key": key.text, "api": "synaptiq", "resource": "leads", "access": "read" });
        body[field] = json!(wrong);
        let answer = server.console().post("/v1/keys/verify", &body).bearer(&operator).send();
        assert_eq!(answer.status, 400, "{field}: {}", answer.text());
    }
    let dear = json!({ "key": key.text, "api": "synaptiq", "resource": "leads", "access": "read", "cost": 1_000_001 });
    assert_eq!(server.console().post("/v1/keys/verify", &dear).bearer(&operator).send().status, 400);
}

fn of_a_key_beyond_the_operator_and_of_nobodys_one_thing_is_said_and_nothing_taken(on: On) {
    let server = TestServer::start(on);
    let (ours, other) = (server.tenant("synaptiq", "Ours"), server.tenant("synaptiq", "Other"));
    let new = NewOperator {
        name: "agent".into(),
        role: "support",
        realms: None,
        tenants: Some(vec![ours.tenant.to_string()]),
        days: 1,
    };
    let made = server.run(server.management().operator().operator_create(new)).unwrap();
    let agent = made.token.expose_text().unwrap();
    let ask = |key: &str| {
        verify(
            &server,
            agent,
            &json!({ "key": key, "api": "synaptiq", "resource": "leads", "access": "read" }),
        )
    };
    let theirs = server.key(&other, "read");
    let nobodys = ask("sk_live_k1_nonsense");
    assert_eq!(
        (&nobodys["valid"], &nobodys["code"], &nobodys["tenant_id"]),
        (&json!(false), &json!("unauthorized"), &Value::Null)
    );
    assert_eq!(ask(&theirs.text), nobodys);
    assert_eq!(ask("no key\nat all"), nobodys);
    assert_eq!(ask(&server.key(&ours, "read").text)["valid"], true);
    let asked = server.synaptiq().get("/api/v1/leads").bearer(&theirs.text).send().expect(200);
    assert_eq!(asked.header("x-ratelimit-remaining"), Some("119"), "nothing was taken of it");
    server.run(server.store(other.tenant).tenant_suspend()).unwrap();
    assert_eq!(ask(&theirs.text), nobodys, "nor that its tenant is suspended");
    server.run(server.store(other.tenant).tenant_resume()).unwrap();
    server.run(server.store(other.tenant).key_disable(theirs.id)).unwrap();
    assert_eq!(ask(&theirs.text), nobodys);
}

fn a09_a_key_that_is_rotated_under_load_is_never_401(on: On) {
    // On a plan without limits.
    let settings = |settings: &mut toml::Table| {
        for api in settings["api"].as_array_mut().unwrap() {
            api.as_table_mut().unwrap().remove("limit");
        }
    };
    let server = TestServer::start_as(&Plan { on, behind: Behind::Example, settings: &settings });
    let home = server.tenant("synaptiq", "Acme");
    let admin = server.key(&home, "admin").text;
    let key = server.key(&home, "read");
    let path = format!("/api/v1/keys/{}", key.id);
    let (current, is_over) = (Mutex::new(key.text.clone()), AtomicBool::new(false));
    let asked: [AtomicUsize; 4] = std::array::from_fn(|_| AtomicUsize::new(0));
    let post =
        |what: &str| server.synaptiq().post(&format!("{path}/{what}"), &json!({})).bearer(&admin).send();
    std::thread::scope(|scope| {
        for asked in &asked {
            let (current, is_over, server) = (&current, &is_over, &server);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let text = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let status = server.synaptiq().get("/api/v1/leads").bearer(&text).send().status;
                    if status != 200 {
                        is_over.store(true, Ordering::SeqCst);
                    }
                    assert_eq!(status, 200);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // What each of them has begun before has come to its end, and some more.
        let some_more = || {
            for asked in &asked {
                let until = asked.load(Ordering::SeqCst) + 10;
                while asked.load(Ordering::SeqCst) < until && !is_over.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            }
        };
        for _ in 0..8 {
            some_more();
            let rotated = post("rotate").expect(200).json()["key"].as_str().unwrap().to_owned();
            // The programs learn of it one by one, while both are good.
            some_more();
            *current.lock().unwrap_or_else(PoisonError::into_inner) = rotated;
            some_more();
            post("revoke-old").expect(200);
        }
        is_over.store(true, Ordering::SeqCst);
    });
    assert!(asked.into_iter().all(|asked| asked.into_inner() >= 8 * 30));
}
