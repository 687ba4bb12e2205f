//! Synaptiq: scoped API keys.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use claviger::id::Environment;
use claviger_server::on_every_store;
use claviger_server::testing::{Behind, Client, Home, On, Plan, TestServer, eventually};
use claviger_store::audit::AuditCursor;
use serde_json::{Value, json};
use toml::Table;

on_every_store!(
    a01_every_request_carries_a_key,
    a03_leads_answer_below_the_base_path,
    a04_plain_http_is_refused_alike_for_everybody,
    a04_a_good_key_in_clear_is_told_to_its_owner,
    a04_the_word_of_a_configured_proxy_counts_and_no_others,
    a04_the_development_switch_needs_everything_local,
    a05_read_reads_leads_conversations_and_analytics,
    a06_write_creates_and_updates,
    a07_admin_may_everything,
    a11_the_prefix_decides_the_environment,
    a13_no_or_a_bad_key_is_401_in_the_exact_envelope,
    a14_a_missing_scope_is_403_in_the_same_envelope,
);

const LEADS: &str = "/api/v1/leads";
const UNAUTHORIZED: &str = r#"{"error":{"code":"unauthorized","message":"Invalid or missing API key. Provide a valid Bearer token in the Authorization header.","doc_url":"https://synaptiqintel.com/docs/api-reference/authentication"}}"#;
const FORBIDDEN: &str = r#"{"error":{"code":"forbidden","message":"The API key does not have the required scope.","doc_url":"https://synaptiqintel.com/docs/api-reference/authentication"}}"#;

fn started(on: On) -> (TestServer, Home) {
    let server = TestServer::start(on);
    let home = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    (server, home)
}

fn a01_every_request_carries_a_key(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "read").text;
    let get = || server.synaptiq().get(LEADS);
    get().bearer(&key).send().expect(200);
    get().send().expect_body(401, UNAUTHORIZED);
    get().header("X-API-Key", &key).send().expect_body(401, UNAUTHORIZED);
    get().header("Authorization", &key).send().expect_body(401, UNAUTHORIZED);
    get().bearer(&key).bearer(&key).send().expect_body(401, UNAUTHORIZED);
    server.synaptiq().get(&format!("{LEADS}?api_key={key}")).send().expect_body(401, UNAUTHORIZED);
    get().bearer(&key).send().expect(200);
}

fn a03_leads_answer_below_the_base_path(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "read").text;
    let list = server.synaptiq().get(LEADS).bearer(&key).send().expect(200).json();
    let leads = list["data"].as_array().unwrap();
    assert!(!leads.is_empty());
    for lead in leads {
        assert_eq!(lead["tags"], json!([format!("tenant:{}", home.tenant)]));
        assert!(lead["id"].as_str().unwrap().starts_with("lead_"));
    }
    assert_eq!(
        list["pagination"],
        json!({ "page": 1, "limit": 25, "total": leads.len(), "totalPages": 1, "hasMore": false })
    );
    server.synaptiq().get("/leads").bearer(&key).send().expect(404);
}

/// A listener without TLS and without the development switch.
fn plain(server: &TestServer) -> Client {
    server.client(0, "synaptiq.localhost")
}

fn a04_plain_http_is_refused_alike_for_everybody(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "read").text;
    let get = || plain(&server).get(LEADS);
    let answers = [
        get().bearer(&key).send(),
        get().bearer("sk_live_k1_bad").send(),
        get().send(),
        get().header("X-Forwarded-Proto", "https").bearer(&key).send(),
        plain(&server).get("/no/such/path").send(),
    ];
    for answer in &answers {
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json()["error"]["code"], "https_required");
        assert_eq!(answer.header("location"), None, "never a redirect");
        assert_eq!(answer.look(), answers[0].look());
    }
    server.client(2, "synaptiq.localhost").get(LEADS).bearer(&key).send().expect(200);
    server.client(2, "synaptiq.localhost").get(LEADS).send().expect_body(401, UNAUTHORIZED);
}

/// The actions in the tenant's audit, with what they were about.
fn audited(server: &TestServer, home: &Home) -> Vec<(String, String)> {
    let entries = server.run(server.store(home.tenant).audit_list(AuditCursor::NEWEST, 100)).unwrap();
    entries.into_iter().map(|entry| (entry.action, entry.entity_id)).collect()
}

fn a04_a_good_key_in_clear_is_told_to_its_owner(on: On) {
    let (server, home) = started(on);
    let (key, unused) = (server.key(&home, "read"), server.key(&home, "read"));
    let seen = |id: &str| {
        let entries = audited(&server, &home);
        entries.iter().filter(|(action, about)| action == "CREDENTIAL_SEEN_IN_CLEAR" && about == id).count()
    };
    for _ in 0..3 {
        plain(&server).get(LEADS).bearer(&key.text).send().expect(403);
    }
    let id = key.id.to_string();
    eventually("the audit tells of the key", Duration::from_secs(5), || seen(&id) > 0);
    // Somebody with a wrong address does not fill the audit.
    assert_eq!((seen(&id), seen(&unused.id.to_string())), (1, 0), "{:?}", audited(&server, &home));
    if on == On::Sqlite {
        // Who goes on with it is told of again an hour later.
        server.clock.advance_millis(3_600_000);
        plain(&server).get(LEADS).bearer(&key.text).send().expect(403);
        eventually("the audit tells of it again", Duration::from_secs(5), || seen(&id) == 2);
    }
}

fn a04_the_word_of_a_configured_proxy_counts_and_no_others(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "read").text;
    let by = |from: &str, proto: &[&str]| {
        let client = plain(&server).from(from.parse::<IpAddr>().unwrap());
        let request = client.get(LEADS).bearer(&key);
        proto.iter().fold(request, |request, value| request.header("X-Forwarded-Proto", value)).status()
    };
    assert_eq!(by("127.0.0.2", &["https"]), 200, "the configured proxy");
    assert_eq!(by("127.0.0.2", &["http"]), 403);
    assert_eq!(by("127.0.0.2", &[]), 403);
    assert_eq!(by("127.0.0.2", &["https", "http"]), 403, "two words are none");
    assert_eq!(by("127.0.0.2", &["https,http"]), 403);
    assert_eq!(by("127.0.0.3", &["https"]), 403, "somebody else");
    assert_eq!(by("127.0.0.1", &["https"]), 403);
}

fn a04_the_development_switch_needs_everything_local(on: On) {
    let add = |settings: &mut Table| {
        let text = "address = \"0.0.0.0:0\"\nplain_http = \"yes_for_development_only\"";
        let listeners = settings.get_mut("listener").and_then(toml::Value::as_array_mut).unwrap();
        listeners.push(text.parse::<Table>().unwrap().into());
    };
    let server = TestServer::start_as(&Plan { on, behind: Behind::Example, settings: &add });
    let home = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let key = server.key(&home, "read").text;
    let status = |listener: usize, host: &str| server.client(listener, host).get(LEADS).bearer(&key).status();
    assert_eq!(status(1, "synaptiq.localhost"), 200);
    assert_eq!(status(1, "synaptiq.localhost:8080"), 200);
    assert_eq!(status(1, "synaptiqintel.com"), 403, "the Host is not local");
    assert_eq!(status(0, "synaptiq.localhost"), 403, "the listener has no switch");
    let open = SocketAddr::from(([127, 0, 0, 1], server.app().addresses()[3].port()));
    let open = Client::new(open, "synaptiq.localhost").get(LEADS).bearer(&key);
    assert_eq!(open.status(), 403, "the listener is everybody's");
}

/// A lead of the organization's.
fn some_lead(server: &TestServer, key: &str) -> String {
    let list = server.synaptiq().get(LEADS).bearer(key).send().expect(200).json();
    format!("{LEADS}/{}", list["data"][0]["id"].as_str().unwrap())
}

/// The status of a request with a body where the method has one.
fn status(server: &TestServer, key: &str, method: &str, path: &str, body: &Value) -> u16 {
    let request = server.synaptiq().request(method, path).bearer(key);
    if matches!(method, "POST" | "PATCH" | "PUT") { request.json(body).status() } else { request.status() }
}

const MANAGED: [&str; 4] =
    ["/api/v1/keys", "/api/v1/keys/1/rotate", "/api/v1/webhooks", "/api/v1/webhooks/1"];

fn a05_read_reads_leads_conversations_and_analytics(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "read").text;
    let lead = some_lead(&server, &key);
    let body = json!({ "email": "new@example.com" });
    let status = |method: &str, path: &str| status(&server, &key, method, path, &body);
    for path in [LEADS, &lead, "/api/v1/conversations", "/api/v1/analytics/overview"] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(status(method, path), 200, "{method} {path}");
        }
        for method in ["POST", "PATCH", "DELETE"] {
            assert_eq!(status(method, path), 403, "{method} {path}");
        }
        assert_eq!(status("PUT", path), 405, "PUT {path}");
    }
    assert_eq!(status("POST", "/api/v1/chat"), 403);
    for path in MANAGED {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE"] {
            assert_eq!(status(method, path), 403, "{method} {path}");
        }
    }
}

fn a06_write_creates_and_updates(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "write").text;
    let lead = some_lead(&server, &key);
    let body = json!({ "email": "new@example.com" });
    let status = |method: &str, path: &str| status(&server, &key, method, path, &body);
    assert_eq!(status("GET", LEADS), 200);
    assert_eq!(status("POST", LEADS), 201);
    assert_eq!(status("PATCH", &lead), 200);
    let chat = server.synaptiq().post("/api/v1/chat", &json!({ "message": "Hello" })).bearer(&key);
    chat.send().expect(200);
    assert_eq!(status("PUT", LEADS), 405);
    assert_eq!(status("DELETE", &lead), 403);
    for path in MANAGED {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE"] {
            assert_eq!(status(method, path), 403, "{method} {path}");
        }
    }
    assert_eq!(status("GET", &lead), 200, "the lead that could not be deleted is there");
}

fn a07_admin_may_everything(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "admin").text;
    let lead = some_lead(&server, &key);
    let body = json!({ "email": "new@example.com" });
    let status = |method: &str, path: &str| status(&server, &key, method, path, &body);
    assert_eq!(status("GET", LEADS), 200);
    assert_eq!(status("POST", LEADS), 201);
    assert_eq!(status("PATCH", &lead), 200);
    assert_eq!(status("DELETE", &lead), 204);
    assert_eq!(status("GET", "/api/v1/keys"), 200);
    assert_eq!(status("GET", "/api/v1/webhooks"), 200);
    assert_eq!(status("PUT", LEADS), 405);
}

fn a11_the_prefix_decides_the_environment(on: On) {
    let (server, home) = started(on);
    for (environment, prefix, mark) in
        [(Environment::Live, "sk_live_", ""), (Environment::Test, "sk_test_", "Sandbox ")]
    {
        let key = server.key_in(&home, "read", environment).text;
        assert!(key.starts_with(prefix), "{key}");
        let echo = server.synaptiq().get("/echo").bearer(&key).send().expect(200).json();
        assert_eq!(echo["principal"]["environment"], environment.as_str());
        let list = server.synaptiq().get(LEADS).bearer(&key).send().expect(200).json();
        let name = list["data"][0]["name"].as_str().unwrap();
        assert_eq!(name.starts_with("Sandbox "), mark == "Sandbox ", "{name}");
        // Another prefix is another key, which nobody has.
        let other = if prefix == "sk_live_" { "sk_test_" } else { "sk_live_" };
        let turned = key.replacen(prefix, other, 1);
        server.synaptiq().get(LEADS).bearer(&turned).send().expect_body(401, UNAUTHORIZED);
    }
}

fn a13_no_or_a_bad_key_is_401_in_the_exact_envelope(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "read").text;
    let mut last = key.clone();
    let end = last.pop().unwrap();
    last.push(if end == 'a' { 'b' } else { 'a' });
    let revoked = server.key(&home, "read");
    server.run(server.store(home.tenant).key_revoke(revoked.id)).unwrap();
    let missing = server.synaptiq().get(LEADS).send().expect_body(401, UNAUTHORIZED);
    assert_eq!(missing.header("content-type"), Some("application/json"));
    let mut looks = Vec::new();
    for bad in [
        &last,
        &format!("{key}a"),
        &key[..key.len() - 1],
        &key.to_uppercase(),
        &revoked.text,
        "sk_live_abc123def456ghi789jkl012mno345",
        "sk_live_",
        "nonsense",
    ] {
        looks.push(server.synaptiq().get(LEADS).bearer(bad).send().expect_body(401, UNAUTHORIZED).look());
    }
    assert!(looks.iter().all(|look| *look == looks[0]), "{looks:?}");
}

fn a14_a_missing_scope_is_403_in_the_same_envelope(on: On) {
    let (server, home) = started(on);
    let key = server.key(&home, "read").text;
    let answer = server.synaptiq().post(LEADS, &json!({})).bearer(&key).send();
    let answer = answer.expect_body(403, FORBIDDEN);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"insufficient_scope\""));
    // A key of one resource reaches no other.
    let narrow = server.key(&home, "leads:write").text;
    server.synaptiq().get(LEADS).bearer(&narrow).send().expect(200);
    server.synaptiq().get("/api/v1/conversations").bearer(&narrow).send().expect_body(403, FORBIDDEN);
}
