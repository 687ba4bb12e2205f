//! The management API, over HTTP.

use claviger_server::console::openapi;
use claviger_server::management::{Operation, Role, operations};
use claviger_server::testing::{Answer, Client, Home, On, TestServer};
use serde_json::{Map, Value, json};

/// What an operation is tried with: a tenant of its own, with something of everything.
pub(super) struct Customer {
    pub(super) values: Map<String, Value>,
    pub(super) home: Home,
}

/// A server with an API of each kind of credential, and who asks it.
pub(super) struct Office {
    pub(super) server: TestServer,
    pub(super) owner: String,
}

impl Office {
    pub(super) fn open() -> Self {
        Self::of(TestServer::start(On::Sqlite))
    }

    pub(super) fn of(server: TestServer) -> Self {
        let mut office = Self { server, owner: String::new() };
        office.owner = office.operator("first", Role::Owner, None);
        office
    }

    /// The token of a new operator.
    pub(super) fn operator(&self, name: &str, role: Role, realm: Option<&str>) -> String {
        let new = claviger_store::operators::NewOperator {
            name: name.to_owned(),
            role: role.as_str(),
            realms: realm.map(|realm| vec![realm.to_owned()]),
            tenants: None,
            days: 90,
        };
        let made = self.server.run(self.server.management().operator().operator_create(new)).unwrap();
        made.token.expose_text().unwrap().to_owned()
    }

    pub(super) fn ask(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let mut request = self.server.console().request(method, path);
        if let Some(token) = token {
            request = request.bearer(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send()
    }

    /// A new tenant of the realm, with what operations are about.
    pub(super) fn customer(&self, realm: &str, name: &str) -> Customer {
        let home = self.server.tenant(realm, name);
        let store = self.server.store(home.tenant);
        let key = self.server.key(&home, "read").id;
        self.server.run(store.key_rotate(key, 3600)).unwrap();
        let api = &self.server.api(realm).api.name;
        self.server.run(store.user_secret_issue(api, home.org, home.owner.account)).unwrap();
        let session = self.server.run(store.session_create(home.org, home.owner.account, 3600)).unwrap();
        let values = json!({
            "tenant": home.tenant.to_string(),
            "org": home.org.to_string(),
            "member": home.owner.email,
            "account": home.owner.account.to_string(),
            "key": key.to_string(),
            "session": session.session.to_string(),
            "realm": realm,
            "email": home.owner.email,
            "owner_email": format!("other@{}.example", name.to_lowercase()),
            "role": "VIEWER",
            "host": "synq.localhost",
            "path": "/",
            "step": "next",
            "api": realm,
            "scope": "read",
            "resource": "leads",
            "access": "read",
            "subject": "s",
            "last_four": "abcd",
            "issuer": "https://nobody.example",
        });
        Customer { values: values.as_object().unwrap().clone(), home }
    }
}

/// A value for whatever is not the customer's.
fn value(operation: &Operation, customer: &Customer, field: &str, unique: &str) -> Value {
    match (operation.id, field) {
        ("member.add", "member") => format!("new-{unique}@people.example").into(),
        ("operator.create", "role") => "reader".into(),
        (_, "name") => format!("name-{unique}").into(),
        ("operator.view" | "operator.end", "operator") => "first".into(),
        (_, field) => customer.values.get(field).cloned().unwrap_or_else(|| panic!("a value for {field}")),
    }
}

/// An operation as a request about this customer: target and body.
pub(super) fn request(operation: &Operation, customer: &Customer, unique: &str) -> (String, Option<Value>) {
    let schema = serde_json::to_value((operation.input)()).unwrap();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut required: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
    if operation.id == "token.revoke" {
        required.push("session");
    }
    if operation.id == "key.find" {
        required.push("last_four");
    }
    if operation.id == "tenant.create" {
        required.push("owner_email");
    }
    // Whoever changes nothing is told so.
    if operation.id == "key.update" {
        required.push("name");
    }
    let mut target = operation.path.to_owned();
    let mut rest = Map::new();
    for field in required {
        let value = value(operation, customer, field, unique);
        let place = format!("{{{field}}}");
        if target.contains(&place) {
            target = target.replace(&place, value.as_str().unwrap());
        } else {
            rest.insert(field.to_owned(), value);
        }
    }
    if matches!(operation.method.as_str(), "GET" | "DELETE") {
        let pairs: Vec<String> =
            rest.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
        if !pairs.is_empty() {
            target = format!("{target}?{}", pairs.join("&"));
        }
        return (target, None);
    }
    (target, Some(rest.into()))
}

/// The realm whose API takes the credential that an operation is about.
pub(super) fn realm_of(operation: &Operation) -> &'static str {
    match operation.id.split('.').next().unwrap() {
        "key" => "synaptiq",
        "user-token" => "syncello",
        _ => "synq",
    }
}

/// What belongs to no realm, or to whoever asks.
pub(super) const WITHOUT_A_REALM: [&str; 8] = [
    "realm.list",
    "operator.list",
    "operator.whoami",
    "person.sign-out",
    "key.find",
    "key.verify",
    "limit.list",
    "issuer.list",
];
/// What fails for reasons of its own, as no tenant here has what it is about: the role was enough.
const MISSING: [(&str, u16); 3] = [("member.link", 400), ("member.unlink", 404), ("person.sign-out", 403)];

#[test]
fn every_operation_is_for_those_it_is_for_and_nobody_else() {
    let office = Office::open();
    let everybody = [
        ("reader", Role::Reader, office.operator("reader", Role::Reader, None)),
        ("support", Role::Support, office.operator("support", Role::Support, None)),
        ("owner", Role::Owner, office.owner.clone()),
    ];
    let elsewhere = office.operator("elsewhere", Role::Owner, Some("elsewhere"));
    let stranger = format!("{}x", office.owner);
    let api_key = office.server.key(&office.server.tenant("synaptiq", "Keyholder"), "admin").text;
    // What makes somebody of whoever asks is for all of them (`at_console.rs`).
    let closed = operations().into_iter().filter(|operation| !operation.is_open());
    for (at, operation) in closed.enumerate() {
        let operation = &operation;
        let realm = realm_of(operation);
        let customer = office.customer(realm, &format!("c{at}"));
        let send = |who: &str, token: Option<&str>| {
            let (target, body) = request(operation, &customer, &format!("{at}-{who}"));
            let answer = office.ask(operation.method.as_str(), &target, token, body.as_ref());
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{operation:?}");
            assert!(answer.header("x-request-id").is_some(), "{operation:?}");
            answer
        };
        for (who, token) in
            [("nobody", None), ("stranger", Some(stranger.as_str())), ("key", Some(api_key.as_str()))]
        {
            let answer = send(who, token);
            assert_eq!(answer.status, 401, "{operation:?} for {who}: {}", answer.text());
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert_eq!(answer.data()["code"], "unauthenticated");
        }
        if !WITHOUT_A_REALM.contains(&operation.id) {
            let answer = send("elsewhere", Some(&elsewhere));
            // `operator.create` makes one who is bound as its maker is.
            let expected: &[u16] = if operation.id == "operator.create" { &[201] } else { &[403, 404] };
            assert!(expected.contains(&answer.status), "{operation:?} elsewhere: {}", answer.text());
            if operation.id == "operator.create" {
                assert_eq!(answer.data()["realms"], json!(["elsewhere"]));
            }
        }
        for (who, role, token) in &everybody {
            if *role < operation.least {
                let answer = send(who, Some(token));
                assert_eq!(answer.status, 403, "{operation:?} for {who}: {}", answer.text());
                assert_eq!(answer.data()["code"], "forbidden");
            }
        }
        // Once, by the least who may: what is ended is ended.
        let least = everybody.iter().find(|(_, role, _)| *role == operation.least).unwrap();
        if operation.id == "operator.end" {
            continue;
        }
        let answer = send(least.0, Some(&least.2));
        let usual = if operation.makes_something() { 201 } else { 200 };
        let missing = MISSING.iter().find(|(id, _)| *id == operation.id);
        let expected = missing.map_or(usual, |(_, status)| *status);
        assert_eq!(answer.status, expected, "{operation:?} for {}: {}", least.0, answer.text());
    }
    // Last, as it ends whom all of this was asked by.
    let mine = office.ask("DELETE", "/v1/operators/first", Some(&office.owner), None);
    assert_eq!((mine.status, mine.data()["state"].as_str()), (200, Some("ended")));
    assert_eq!(office.ask("GET", "/v1/whoami", Some(&office.owner), None).status, 401);
}

#[test]
fn operators_reach_no_further_than_their_bounds_and_make_none_who_does() {
    let office = Office::open();
    let (ours, other) = (office.customer("synq", "Ours"), office.customer("synq", "Other"));
    let (ours, other) = (ours.values["tenant"].as_str().unwrap(), other.values["tenant"].as_str().unwrap());
    let body = json!({ "name": "agent", "role": "owner", "tenants": [ours] });
    let made = office.ask("POST", "/v1/operators", Some(&office.owner), Some(&body));
    assert_eq!(made.status, 201, "{}", made.text());
    let agent = made.data()["token"].as_str().unwrap().to_owned();
    let status = |method: &str, path: &str, body: Option<Value>| {
        office.ask(method, path, Some(&agent), body.as_ref()).status
    };
    assert_eq!(status("GET", &format!("/v1/tenants/{ours}"), None), 200);
    // As of a tenant that is not there.
    let foreign = office.ask("GET", &format!("/v1/tenants/{other}"), Some(&agent), None);
    let absent = "00000000-0000-4000-8000-000000000000";
    let nobody = office.ask("GET", &format!("/v1/tenants/{absent}"), Some(&agent), None);
    assert_eq!((foreign.status, nobody.status), (404, 404));
    assert_eq!(foreign.data()["detail"], nobody.data()["detail"]);
    assert_eq!(status("GET", "/v1/tenants?realm=synq", None), 403);
    assert_eq!(status("GET", "/v1/nodes", None), 403);
    assert_eq!(status("GET", "/v1/audit", None), 403);
    for wider in [
        json!({ "name": "wide", "role": "reader", "tenants": [other] }),
        json!({ "name": "wide", "role": "reader", "tenants": [ours, other] }),
        json!({ "name": "wide", "role": "reader", "realms": ["synq"] }),
        json!({ "name": "wide", "role": "reader", "tenants": [] }),
    ] {
        let answer = office.ask("POST", "/v1/operators", Some(&agent), Some(&wider));
        assert!([400, 403, 404].contains(&answer.status), "{wider}: {}", answer.text());
    }
    let same = json!({ "name": "helper", "role": "support" });
    let helper = office.ask("POST", "/v1/operators", Some(&agent), Some(&same)).data();
    assert_eq!(helper["tenants"], json!([ours]));
    // Nobody sees or ends whoever reaches further.
    assert_eq!(status("DELETE", "/v1/operators/first", None), 404);
    let listed = office.ask("GET", "/v1/operators", Some(&agent), None).data();
    let mut names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["agent", "helper"]);
    // Support makes no operator and no key.
    let helper = helper["token"].as_str().unwrap();
    assert_eq!(office.ask("POST", "/v1/operators", Some(helper), Some(&same)).status, 403);
    // The tenant's audit says who it was, by which credential and from where.
    let path = format!("/v1/tenants/{ours}/suspend");
    assert_eq!(office.ask("POST", &path, Some(helper), Some(&json!({}))).status, 200);
    let audit = office.ask("GET", &format!("/v1/tenants/{ours}/audit?limit=1"), Some(&agent), None).data();
    let entry = &audit["data"][0];
    assert_eq!(
        (entry["action"].as_str(), entry["actor"].as_str()),
        (Some("TENANT_SUSPENDED"), Some("operator:helper"))
    );
    assert_eq!(entry["address"], "127.0.0.1");
    assert!(entry["credential"].is_string() && audit["next"].is_string(), "{audit}");
}

#[test]
fn a_list_is_read_page_by_page_and_nothing_is_missed() {
    let office = Office::open();
    let home = office.server.tenant("synq", "Acme");
    let store = office.server.store(home.tenant);
    for number in 0..7 {
        office.server.run(store.org_create(&format!("Org {number}"))).unwrap();
    }
    let (mut names, mut after) = (Vec::new(), String::new());
    for page in 0.. {
        assert!(page < 5, "it has no end");
        let path = format!("/v1/tenants/{}/organizations?limit=3{after}", home.tenant);
        let answer = office.ask("GET", &path, Some(&office.owner), None).data();
        let items = answer["data"].as_array().unwrap();
        assert!(items.len() <= 3);
        names.extend(items.iter().map(|org| org["name"].as_str().unwrap().to_owned()));
        match answer["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..7).map(|number| format!("Org {number}")).collect();
    assert_eq!(names.len(), 8);
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
}

#[test]
fn what_cannot_be_read_says_what_and_where_and_repeats_nothing() {
    let office = Office::open();
    let home = office.server.tenant("synaptiq", "Acme");
    let secret = office.server.key(&home, "read").text;
    let tenant = format!("/v1/tenants/{}", home.tenant);
    let keys = format!("{tenant}/organizations/{}/keys", home.org);
    let check = |method: &str, path: &str, body: Option<&str>, status: u16, code: &str, detail: &str| {
        let mut request = office.server.console().request(method, path).bearer(&office.owner);
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let answer = request.send();
        let said = answer.data();
        assert_eq!(answer.status, status, "{method} {path}: {said}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(
            (said["status"].as_u64(), said["code"].as_str()),
            (Some(status.into()), Some(code)),
            "{said}"
        );
        assert!(said["detail"].as_str().unwrap().contains(detail), "{said}");
        assert_eq!(said["request_id"].as_str(), answer.header("x-request-id"));
        assert!(!said.to_string().contains(&secret), "{said}");
        said
    };
    let invalid = "invalid_request";
    assert_eq!(
        check("GET", "/v1/tenants/nonsense", None, 404, "not_found", "no such tenant")["field"],
        "tenant"
    );
    check("GET", &format!("/v1/tenants/{secret}"), None, 404, "not_found", "no such tenant");
    check("GET", "/v1/tenants?realm=nope", None, 404, "not_found", "no realm `nope`");
    check("GET", "/v1/tenants?realm=synq&limit=0", None, 400, invalid, "from 1 to 500");
    check("GET", "/v1/tenants?realm=synq&realm=synaptiq", None, 400, invalid, "twice");
    check("GET", "/v1/tenants?realm=synq&after=x", None, 400, invalid, "no page ended there");
    check("GET", "/v1/tenants?realm=synq&colour=red", None, 400, invalid, "colour");
    check("GET", "/v1/tenants?realm=synq", Some("{}"), 400, invalid, "no body");
    check("POST", &keys, Some("{"), 400, invalid, "line 1");
    check("POST", &keys, Some("[]"), 400, invalid, "no object");
    check("POST", &keys, Some("{}"), 400, invalid, "missing field `name`");
    check("POST", &keys, Some(r#"{"name":"k","org":"o"}"#), 400, invalid, "`org` stands in the path");
    check("POST", &keys, Some(r#"{"name":"k","scope":"nope:read"}"#), 400, invalid, "`nope`");
    check("POST", &keys, Some(r#"{"name":"k","expires_at":"tomorrow"}"#), 400, invalid, "no time");
    check("POST", &keys, Some(&format!(r#"{{"name":7,"scope":"{secret}"}}"#)), 400, invalid, "name");
    check("POST", &format!("{keys}?a=b"), Some("{}"), 400, invalid, "no query");
    check("PUT", &tenant, None, 405, "method_not_allowed", "method");
    check("GET", "/v1/nothing", None, 404, "not_found", "nothing at this path");
    let long = format!(r#"{{"name":"{}"}}"#, "a".repeat(1 << 20));
    check("POST", &keys, Some(&long), 413, "content_too_large", "1048576");
    let plain = office.server.console().request("POST", &keys).bearer(&office.owner).body("name=k").send();
    assert_eq!((plain.status, plain.data()["code"].as_str()), (415, Some("unsupported_media_type")));
    // Two of them name nobody.
    let twice = office.server.console().get("/v1/whoami").bearer(&office.owner).bearer(&office.owner).send();
    assert_eq!(twice.status, 401);
    // Nothing was made of all this.
    let listed = office.ask("GET", &format!("{tenant}/keys"), Some(&office.owner), None).data();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    // Of a key that stands where a name does, its owner is told how it is found.
    let said = check("GET", &format!("{tenant}/keys/{secret}"), None, 404, "not_found", "no such API key");
    assert!(said["hint"].as_str().unwrap().contains("claviger key find"), "{said}");
}

#[test]
fn the_description_names_every_operation_and_stands_where_the_api_is() {
    let office = Office::open();
    let served = office.server.console().get("/openapi.json").send();
    assert_eq!((served.status, served.data()), (200, openapi()));
    // The principal's keys, as on the address of operations.
    let ops = office.server.app().ops_address();
    let ours = Client::new(ops, &ops.to_string()).get("/.well-known/jwks.json").send().data();
    let here = office.server.console().get("/.well-known/jwks.json").send();
    assert_eq!((here.status, here.data()), (200, ours));
    let described: usize =
        openapi()["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(described, operations().len());
}

#[test]
fn an_annotation_is_a_merge_patch() {
    let office = Office::open();
    let tenant = office.server.tenant("synq", "Acme").tenant;
    let path = format!("/v1/tenants/{tenant}/annotations");
    let patch = |body: Value| office.ask("PATCH", &path, Some(&office.owner), Some(&body)).data();
    let shown = patch(json!({ "external_id": "crm-1", "metadata": { "tier": "gold", "since": "2027" } }));
    assert_eq!(shown["metadata"], json!({ "tier": "gold", "since": "2027" }));
    let shown = patch(json!({ "metadata": { "tier": null } }));
    assert_eq!((&shown["external_id"], &shown["metadata"]), (&json!("crm-1"), &json!({ "since": "2027" })));
    let found =
        office.ask("GET", "/v1/tenants?realm=synq&external_id=crm-1", Some(&office.owner), None).data();
    assert_eq!(found["data"][0]["tenant_id"], tenant.to_string());
    assert_eq!(patch(json!({ "external_id": null }))["external_id"], Value::Null);
}

#[test]
fn operating_09_a_token_lives_no_longer_than_its_session_and_says_so() {
    let office = Office::open();
    let home = office.server.tenant("synq", "Acme");
    let path =
        format!("/v1/tenants/{}/organizations/{}/members/{}/tokens", home.tenant, home.org, home.owner.email);
    for (seconds, expected) in [(600, 600), (7200, 3600)] {
        let body = json!({ "api": "synq", "session_seconds": seconds });
        let made = office.ask("POST", &path, Some(&office.owner), Some(&body)).data();
        assert_eq!(made["expires_in"], expected, "{made}");
        let token = made["access_token"].as_str().unwrap();
        let claims = token.split('.').nth(1).unwrap();
        let claims =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), expected, "{claims}");
    }
}

#[test]
fn an_operator_who_is_ended_while_a_body_is_on_its_way_does_nothing_any_more() {
    let office = Office::open();
    let token = office.operator("mallory", Role::Owner, None);
    let body = json!({ "name": "other", "role": "owner" }).to_string();
    let (first, rest) = body.split_at(10);
    let console = office.server.console();
    let mut connection = console.connect();
    let length = body.len();
    connection.send(format!(
        "POST /v1/operators HTTP/1.1\r\nHost: console\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    ));
    // Asked for, so the token has been looked at.
    connection.until("HTTP/1.1 100");
    connection.send(first);
    assert_eq!(office.ask("DELETE", "/v1/operators/mallory", Some(&office.owner), None).status, 200);
    connection.send(rest);
    connection.until("\r\n\r\n");
    assert_eq!(connection.answer(false).status, 401);
    assert_eq!(office.ask("GET", "/v1/operators/other", Some(&office.owner), None).status, 404);
}

#[test]
fn support_brings_back_whom_it_suspended_and_lets_in_nobody_else() {
    let office = Office::open();
    let support = office.operator("support", Role::Support, None);
    let home = office.server.tenant("synq", "Acme");
    let member = |email: &str, verb: &str, token: &str| {
        let path = format!("/v1/tenants/{}/organizations/{}/members/{email}/{verb}", home.tenant, home.org);
        office.ask("POST", &path, Some(token), Some(&json!({})))
    };
    let state = claviger::directory::MemberState::Invited;
    let invited = office.server.add(&home, home.org, "guest@acme.example", "VIEWER", state);
    let refused = member(&invited.email, "resume", &support);
    assert_eq!((refused.status, refused.data()["code"].as_str()), (403, Some("forbidden")));
    assert_eq!(member(&invited.email, "resume", &office.owner).data()["state"], "active");
    assert_eq!(member(&invited.email, "suspend", &support).data()["state"], "suspended");
    assert_eq!(member(&invited.email, "resume", &support).data()["state"], "active");
}

#[test]
fn an_owner_of_a_realm_sees_and_ends_who_is_bound_within_it_and_nobody_beyond() {
    let office = Office::open();
    let ours = office.operator("ours", Role::Owner, Some("synq"));
    let bound_to = |name: &str, realm: &str| {
        let tenant = office.server.tenant(realm, name).tenant.to_string();
        let body = json!({ "name": name, "role": "reader", "tenants": [tenant] });
        assert_eq!(office.ask("POST", "/v1/operators", Some(&office.owner), Some(&body)).status, 201);
    };
    bound_to("within", "synq");
    bound_to("beyond", "synaptiq");
    let status = |method: &str, name: &str| {
        office.ask(method, &format!("/v1/operators/{name}"), Some(&ours), None).status
    };
    assert_eq!((status("GET", "within"), status("GET", "beyond")), (200, 404));
    assert_eq!((status("DELETE", "beyond"), status("DELETE", "within")), (404, 200));
    let left = office.ask("GET", "/v1/operators/beyond", Some(&office.owner), None);
    assert_eq!(left.data()["state"], "active");
}

#[test]
fn whoever_is_bound_hears_nothing_of_what_is_beyond() {
    let office = Office::open();
    let ours = office.operator("ours", Role::Owner, Some("synq"));
    let explain = |host: &str| {
        let body = json!({ "host": host, "path": "/" });
        office.ask("POST", "/v1/explain", Some(&ours), Some(&body))
    };
    assert_eq!(explain("synq.localhost").status, 200);
    // Another realm's host, and one that is nobody's.
    let (foreign, nobodys) = (explain("syncello.localhost"), explain("nobody.localhost"));
    assert_eq!((foreign.status, nobodys.status), (404, 404));
    for answer in [&foreign, &nobodys] {
        let hint = answer.data()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("synq.localhost") && !hint.contains("syncello"), "{hint}");
    }
    let home = office.server.tenant("synq", "Acme");
    let path = format!("/v1/tenants/{}/organizations/{}", home.tenant, home.org);
    let member = format!("{path}/members/{}", home.owner.email);
    for (path, body) in [
        (format!("{member}/tokens"), json!({ "api": "syncello" })),
        (format!("{member}/tokens"), json!({ "api": "nobodys" })),
        (format!("{member}/user-tokens"), json!({ "api": "syncello" })),
        (format!("{path}/keys"), json!({ "api": "synaptiq", "name": "k" })),
    ] {
        let answer = office.ask("POST", &path, Some(&ours), Some(&body));
        let said = answer.text();
        assert_eq!(answer.status, 400, "{body}: {said}");
        assert!(!said.contains("syncello") && !said.contains("synaptiq"), "{body}: {said}");
    }
}

#[test]
fn an_answer_waits_for_every_server_if_that_is_preferred_and_says_so() {
    for on in [On::Sqlite, On::Postgres] {
        let mut office = Office { server: TestServer::start(on), owner: String::new() };
        office.owner = office.operator("first", Role::Owner, None);
        let path = format!("/v1/tenants/{}/suspend", office.server.tenant("synq", "Acme").tenant);
        let ask = |prefer: Option<&str>| {
            let mut request = office.server.console().post(&path, &json!({})).bearer(&office.owner);
            if let Some(prefer) = prefer {
                request = request.header("Prefer", prefer);
            }
            let answer = request.send();
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.header("preference-applied").map(str::to_owned)
        };
        assert_eq!(ask(None), None);
        assert_eq!(ask(Some("respond-async")), None);
        assert_eq!(ask(Some("wait=10")).as_deref(), Some("wait"));
    }
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let office = Office::open();
    let mut connection = office.server.console().connect();
    connection.send(format!(
        "POST /v1/operators HTTP/1.1\r\nHost: console\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 40\r\n\r\n{{\"name\":",
        office.owner
    ));
    let answer = connection.answer(false);
    assert_eq!((answer.status, answer.data()["code"].as_str()), (408, Some("request_timeout")));
}

#[test]
fn who_had_the_settings_taken_up_is_written_down() {
    let office = Office::open();
    let reloaded = office.ask("POST", "/v1/settings/reload", Some(&office.owner), Some(&json!({})));
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    let entry = office.ask("GET", "/v1/audit?limit=1", Some(&office.owner), None).data()["data"][0].clone();
    assert_eq!(
        (entry["action"].as_str(), entry["actor"].as_str()),
        (Some("SETTINGS_RELOADED"), Some("operator:first"))
    );
}
