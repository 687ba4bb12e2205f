//! Synq: signed identity tokens, tenants, organizations.

use claviger::directory::MemberState;
use claviger::id::{AccountId, OrgId, RoleName, TenantId};
use claviger::key_set::Algorithm;
use claviger::random::SystemRandom;
use claviger::testing::{Unsigned, keypair};
use claviger_server::on_every_store;
use claviger_server::testing::{Client, Home, On, Request, TestServer, Token};
use claviger_store::tenants::TenantUpdate;
use serde_json::{Value, json};

on_every_store!(
    q02_a_bearer_token_is_verified_on_every_request,
    q03_missing_expired_or_malformed_is_401_without_a_reason,
    q04_all_three_headers_where_they_are_required,
    q05_the_token_alone_where_the_headers_are_optional,
    q06_a_tenant_may_tighten_and_never_loosen,
    q07_cross_tenant_header_is_403,
    q07_cross_tenant_query_is_403,
    q07_answers_and_records_are_the_tokens_tenants,
    q10_tokens_expire_after_an_hour,
    q14_a_valid_token_without_tenant_or_org_is_403,
    q15_a_role_that_is_not_enough_is_403,
    q16_who_is_not_fully_provisioned_is_403,
    q16_what_is_another_organizations_sounds_like_what_is_nowhere,
    q19_tenant_ids_are_uuid_version_4,
    q22_what_is_out_of_scope_reaches_no_upstream,
);

const PRODUCTS: &str = "/api/v1/products";
const UNAUTHORIZED: &str = r#"{"error":"Missing or invalid Authorization header"}"#;
const MISSING: &str = r#"{"error":"Missing or invalid tenant/org headers"}"#;
const MISMATCH: &str = r#"{"error":"The request names another tenant or organization than its token"}"#;
const FORBIDDEN: &str = r#"{"error":"Your role does not allow this"}"#;

/// A server with a tenant, and a token of its owner.
fn started(on: On) -> (TestServer, Home, Token) {
    let server = TestServer::start(on);
    let home = server.tenant("synq", "Northwind");
    let token = server.token(&home.owner);
    (server, home, token)
}

fn with_ids(request: Request, tenant: &str, org: &str) -> Request {
    request.header("X-Tenant-ID", tenant).header("X-Org-ID", org)
}

fn q02_a_bearer_token_is_verified_on_every_request(on: On) {
    let (server, home, token) = started(on);
    let synq = server.synq();
    let get = || synq.get(PRODUCTS);
    get().bearer(&token.text).send().expect(200);
    get().header("authorization", &format!("bearer {}", token.text)).send().expect(200);

    let missing = get().send().expect_body(401, UNAUTHORIZED);
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
    for value in
        ["", "Bearer", "Bearer ", &token.text, "Basic dXNlcjpwYXNz", &format!("Token {}", token.text)]
    {
        let answer = get().header("Authorization", value).send().expect_body(401, UNAUTHORIZED);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("www-authenticate").is_some());
    }
    let doubled = get().bearer(&token.text).bearer(&token.text);
    doubled.send().expect_body(401, UNAUTHORIZED);
    // The query string is no place for a credential.
    let in_query = format!("{PRODUCTS}?access_token={}", token.text);
    synq.get(&in_query).send().expect_body(401, UNAUTHORIZED);

    server.run(server.store(home.tenant).session_end(token.session)).unwrap();
    get().bearer(&token.text).send().expect_body(401, UNAUTHORIZED);
}

fn q03_missing_expired_or_malformed_is_401_without_a_reason(on: On) {
    let (server, _, token) = started(on);
    let synq = server.synq();
    let now = server.now().seconds();
    let own_key = server.signing_key("synq");
    let strange_key = keypair(own_key.kid(), Algorithm::EdDsa);
    let (header, claims) = (&token.header, &token.claims);
    let with_header = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        Unsigned::new(&header, claims)
    };
    let public = own_key.verifying_key().unwrap().raw().to_vec();
    let parts: Vec<&str> = token.text.split('.').collect();
    let good = Unsigned::new(header, claims);
    assert_eq!(synq.get(PRODUCTS).bearer(&good.signed(&own_key)).status(), 200);

    let mut bad = vec![
        ("expired", server.bent("synq", &token, json!({ "iat": now - 3700, "exp": now - 100 }))),
        ("not yet valid", server.bent("synq", &token, json!({ "iat": now + 60, "exp": now + 3000 }))),
        ("without an expiry", server.bent("synq", &token, json!({ "exp": null }))),
        ("a long life", server.bent("synq", &token, json!({ "exp": now + 7200 }))),
        ("another issuer", server.bent("synq", &token, json!({ "iss": "https://other.example" }))),
        ("another audience", server.bent("synq", &token, json!({ "aud": "synaptiq" }))),
        ("no session", server.bent("synq", &token, json!({ "sid": null }))),
        ("another key", good.signed(&strange_key)),
        ("an unknown key", with_header("kid", json!("nobody")).signed(&own_key)),
        ("another type", with_header("typ", json!("JWT")).signed(&own_key)),
        ("`none`", with_header("alg", json!("none")).with_signature(b"")),
        ("the public key as a secret", with_header("alg", json!("HS256")).signed_hs256(&public)),
        ("a critical extension", with_header("crit", json!(["exp"])).signed(&own_key)),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{}.{}", token.text, parts[2])),
        ("padding", format!("{}=", token.text)),
        ("no token", "eyJhbGci".to_owned()),
        ("nine kilobytes", "a".repeat(9 * 1024)),
    ];
    let mut changed = token.text.clone();
    let end = changed.len() - 3;
    changed.replace_range(end..=end, if &changed[end..=end] == "A" { "B" } else { "A" });
    bad.push(("a changed signature", changed));
    let mut looks = Vec::new();
    for (what, text) in &bad {
        let answer = synq.get(PRODUCTS).bearer(text).send();
        assert_eq!((answer.status, answer.text().as_str()), (401, UNAUTHORIZED), "{what}");
        looks.push(answer.look());
    }
    assert!(looks.iter().all(|look| *look == looks[0]), "every 401 looks the same: {looks:?}");
}

fn q04_all_three_headers_where_they_are_required(on: On) {
    let (server, home, token) = started(on);
    let strict = server.synq_strict();
    let (tenant, org) = (home.tenant.to_string(), home.org.to_string());
    let get = || strict.get(PRODUCTS);
    with_ids(get(), &tenant, &org).bearer(&token.text).send().expect(200);

    with_ids(get(), &tenant, &org).send().expect_body(401, UNAUTHORIZED);
    let with_token = || get().bearer(&token.text);
    with_token().header("X-Org-ID", &org).send().expect_body(403, MISSING);
    with_token().header("X-Tenant-ID", &tenant).send().expect_body(403, MISSING);
    with_token().send().expect_body(403, MISSING);
    with_ids(with_token(), "", &org).send().expect_body(403, MISSING);
    with_ids(with_token(), "Northwind", &org).send().expect_body(403, MISSING);
    with_ids(with_token(), &tenant, &org).header("x-tenant-id", &tenant).send().expect_body(403, MISSING);
    // One that looks like it to servers behind us is not it.
    with_token().header("X_Tenant_ID", &tenant).header("X-Org-ID", &org).send().expect_body(403, MISSING);
}

fn q05_the_token_alone_where_the_headers_are_optional(on: On) {
    let (server, home, token) = started(on);
    let (tenant, org) = (home.tenant.to_string(), home.org.to_string());
    let get = || server.synq().get(PRODUCTS).bearer(&token.text);
    get().send().expect(200);
    with_ids(get(), &tenant, &org).send().expect(200);
    get().header("X-Tenant-ID", &tenant.to_uppercase()).send().expect(200);
}

fn q06_a_tenant_may_tighten_and_never_loosen(on: On) {
    let (server, home, token) = started(on);
    let (tenant, org) = (home.tenant.to_string(), home.org.to_string());
    let require = |required: bool| {
        let update = TenantUpdate { requires_identity_headers: Some(required), ..TenantUpdate::default() };
        server.run(server.store(home.tenant).tenant_update(update)).unwrap();
    };
    let alone = |client: Client| client.get(PRODUCTS).bearer(&token.text).send();
    let whole = |client: Client| with_ids(client.get(PRODUCTS), &tenant, &org).bearer(&token.text).send();

    alone(server.synq()).expect(200);
    alone(server.synq_strict()).expect_body(403, MISSING);
    require(true);
    alone(server.synq()).expect_body(403, MISSING);
    whole(server.synq()).expect(200);
    require(false);
    alone(server.synq()).expect(200);
    alone(server.synq_strict()).expect_body(403, MISSING);
    whole(server.synq_strict()).expect(200);
}

fn q07_cross_tenant_header_is_403(on: On) {
    let (server, home, token) = started(on);
    let other = server.tenant("synq", "Southwind");
    let sister = server.org(&home, "Branch");
    let (tenant, org) = (home.tenant.to_string(), home.org.to_string());
    let nowhere = TenantId::generate(&SystemRandom).to_string();
    for client in [server.synq(), server.synq_strict()] {
        let get =
            |tenant: &str, org: &str| with_ids(client.get(PRODUCTS), tenant, org).bearer(&token.text).send();
        get(&tenant, &org).expect(200);
        // The same answer for a tenant that is there and for one that is not.
        let there = get(&other.tenant.to_string(), &org).expect_body(403, MISMATCH);
        let not_there = get(&nowhere, &org).expect_body(403, MISMATCH);
        assert_eq!(there.look(), not_there.look());
        get(&tenant, &other.org.to_string()).expect_body(403, MISMATCH);
        get(&tenant, &sister.org.to_string()).expect_body(403, MISMATCH);
        get(&tenant, &OrgId::generate(&SystemRandom).to_string()).expect_body(403, MISMATCH);
        get(&other.tenant.to_string(), &other.org.to_string()).expect_body(403, MISMATCH);
    }
}

fn q07_cross_tenant_query_is_403(on: On) {
    let (server, home, token) = started(on);
    let other = server.tenant("synq", "Southwind");
    let get = |query: &str| server.synq().get(&format!("{PRODUCTS}?{query}")).bearer(&token.text).send();
    get(&format!("tenant_id={}&org_id={}", home.tenant, home.org)).expect(200);
    for query in [
        format!("tenant_id={}", other.tenant),
        format!("org_id={}", other.org),
        format!("limit=5&tenant_id={}", other.tenant),
        format!("tenant_id={}&tenant_id={}", home.tenant, other.tenant),
        format!("tenant%5Fid={}", other.tenant),
        "tenant_id=".to_owned(),
        "tenant_id=Southwind".to_owned(),
    ] {
        let answer = get(&query);
        assert_eq!((answer.status, answer.text().as_str()), (403, MISMATCH), "{query}");
    }
}

fn q07_answers_and_records_are_the_tokens_tenants(on: On) {
    let (server, home, token) = started(on);
    let other = server.tenant("synq", "Southwind");
    let others = server.token(&other.owner);
    let post = |body: Value| server.synq().post(PRODUCTS, &body).bearer(&token.text).send();
    post(json!({ "name": "Rice", "tenant_id": other.tenant.to_string() })).expect(403);
    post(json!({ "name": "Rice", "org_id": other.org.to_string() })).expect(403);
    let stored = post(json!({ "name": "Rice", "tenant_id": home.tenant.to_string() })).expect(201).json();
    assert_eq!(stored["tenant_id"], home.tenant.to_string());
    assert_eq!(stored["org_id"], home.org.to_string());

    let list = |token: &Token| {
        server.synq().get(PRODUCTS).bearer(&token.text).send().expect(200).json()["data"]
            .as_array()
            .unwrap()
            .clone()
    };
    for (token, home) in [(&token, &home), (&others, &other)] {
        let records = list(token);
        assert!(!records.is_empty());
        assert!(records.iter().all(|record| record["tenant_id"] == home.tenant.to_string()), "{records:?}");
    }
    assert!(list(&token).iter().any(|record| record["name"] == "Rice"));
    assert!(!list(&others).iter().any(|record| record["name"] == "Rice"));
    let its = format!("{PRODUCTS}/{}", stored["id"].as_str().unwrap());
    server.synq().get(&its).bearer(&token.text).send().expect(200);
    for method in ["GET", "DELETE"] {
        let theirs = server.synq().request(method, &its).bearer(&others.text).send().expect(403);
        let nowhere = format!("{PRODUCTS}/{}", TenantId::generate(&SystemRandom));
        let nothing = server.synq().request(method, &nowhere).bearer(&others.text).send().expect(403);
        assert_eq!(theirs.look(), nothing.look());
    }
    server.synq().get(&its).bearer(&token.text).send().expect(200);
}

fn q10_tokens_expire_after_an_hour(on: On) {
    let (server, _, token) = started(on);
    let get = |text: &str| server.synq().get(PRODUCTS).bearer(text).status();
    let seconds = |name: &str| token.claims[name].as_i64().unwrap();
    assert_eq!(seconds("exp") - seconds("iat"), 3600);

    let now = server.now().seconds();
    let ending = |exp: i64| server.bent("synq", &token, json!({ "iat": exp - 3600, "exp": exp }));
    assert_eq!(get(&ending(now + 60)), 200);
    assert_eq!(get(&ending(now - 6)), 401);
    if on == On::Sqlite {
        // Here the time of day stands still, so the limit can be met to the millisecond.
        assert_eq!(get(&token.text), 200);
        server.clock.advance_millis(3_600_000 + 4_999);
        assert_eq!(get(&token.text), 200, "at its end and within the leeway");
        server.clock.advance_millis(1);
        assert_eq!(get(&token.text), 401, "at the end of the leeway of 5 s");
        server.clock.advance_millis(24 * 3_600_000);
        assert_eq!(get(&token.text), 401);
    }
}

fn q14_a_valid_token_without_tenant_or_org_is_403(on: On) {
    let (server, _, token) = started(on);
    for claims in [
        json!({ "tenant_id": null }),
        json!({ "org_id": null }),
        json!({ "tenant_id": null, "org_id": null }),
        json!({ "tenant_id": "" }),
        json!({ "tenant_id": "Northwind" }),
        json!({ "org_id": 7 }),
    ] {
        let text = server.bent("synq", &token, claims.clone());
        let answer = server.synq().get(PRODUCTS).bearer(&text).send();
        assert_eq!((answer.status, answer.text().as_str()), (403, MISSING), "{claims}");
    }
}

fn q15_a_role_that_is_not_enough_is_403(on: On) {
    let (server, home, owner) = started(on);
    let synq = server.synq();
    let invite = json!({ "email": "new@people.example", "role": "MEMBER" });
    let product = json!({ "name": "Rice" });
    let role = |role: &str| server.token(&server.member(&home, role)).text;

    let viewer = role("VIEWER");
    synq.get(PRODUCTS).bearer(&viewer).send().expect(200);
    synq.get("/api/v1/organization/members").bearer(&viewer).send().expect(200);
    synq.post(PRODUCTS, &product).bearer(&viewer).send().expect_body(403, FORBIDDEN);
    for name in ["EDITOR", "MEMBER", "member"] {
        let text = role(name);
        for path in [PRODUCTS, "/api/v1/orders", "/api/v1/inventory"] {
            synq.post(path, &product).bearer(&text).send().expect(201);
        }
        let answer = synq.post("/api/v1/organization/members", &invite).bearer(&text).send();
        assert_eq!((answer.status, answer.text().as_str()), (403, FORBIDDEN), "{name}");
        let its = format!("{PRODUCTS}/{}", TenantId::generate(&SystemRandom));
        synq.request("DELETE", &its).bearer(&text).send().expect_body(403, FORBIDDEN);
    }
    // The ADMIN gets past the door: what the example upstream says of it is its own.
    let admin = synq.post("/api/v1/organization/members", &invite).bearer(&owner.text).send();
    assert_ne!(admin.status, 403, "{}", admin.text());
    synq.get(PRODUCTS).bearer(&role("STRANGER")).send().expect_body(403, FORBIDDEN);

    // A token may claim less than the membership gives, and never more.
    let member = server.member(&home, "MEMBER");
    let token = server.token(&member);
    let viewer: RoleName = "VIEWER".parse().unwrap();
    let claiming = |role: &str| server.bent("synq", &token, json!({ "role": role }));
    synq.post(PRODUCTS, &product).bearer(&claiming("VIEWER")).send().expect(403);
    synq.post("/api/v1/organization/members", &invite).bearer(&claiming("ADMIN")).send().expect(403);
    synq.get(PRODUCTS).bearer(&claiming("OWNER")).send().expect_body(403, FORBIDDEN);
    server
        .run(server.store(home.tenant).member_update_role(
            home.org,
            member.account,
            claviger_store::members::NewRole { to: viewer.clone(), within: Vec::new() },
        ))
        .unwrap();
    synq.post(PRODUCTS, &product).bearer(&token.text).send().expect_body(403, FORBIDDEN);
}

fn q16_who_is_not_fully_provisioned_is_403(on: On) {
    let (server, home, owner) = started(on);
    let synq = server.synq();
    let status = |text: &str| synq.get(PRODUCTS).bearer(text).send().status;
    let store = server.store(home.tenant);
    let accounts = server.management().operator().accounts();
    let person = server.member(&home, "MEMBER");
    let token = server.token(&person).text;
    assert_eq!((status(&token), status(&owner.text)), (200, 200));
    let invited = server.add(&home, home.org, "invited@people.example", "MEMBER", MemberState::Invited);
    assert_eq!(status(&server.token(&invited).text), 403, "invited");
    server.run(store.member_suspend(home.org, person.account)).unwrap();
    assert_eq!((status(&token), status(&owner.text)), (403, 200), "a member");
    server.run(store.member_resume(home.org, person.account)).unwrap();
    server.run(accounts.account_suspend(person.account)).unwrap();
    assert_eq!((status(&token), status(&owner.text)), (403, 200), "an account");
    server.run(accounts.account_resume(person.account)).unwrap();
    server.run(store.org_suspend(home.org)).unwrap();
    assert_eq!((status(&token), status(&owner.text)), (403, 403), "an organization");
    server.run(store.org_resume(home.org)).unwrap();
    server.run(store.tenant_suspend()).unwrap();
    assert_eq!((status(&token), status(&owner.text)), (403, 403), "a tenant");
    server.run(store.tenant_resume()).unwrap();
    assert_eq!((status(&token), status(&owner.text)), (200, 200));

    // Where addresses have to be proven, who has not done so is kept out.
    let server = server.restart(&|settings: &mut toml::Table| {
        let apis = settings["api"].as_array_mut().unwrap();
        let synq = apis.iter_mut().map(|api| api.as_table_mut().unwrap());
        synq.filter(|api| api["name"].as_str() == Some("synq")).for_each(|api| {
            api.insert("verified_email".into(), true.into());
        });
    });
    let answer = server.synq().get(PRODUCTS).bearer(&token).send();
    assert_eq!(answer.status, 403, "{}", answer.text());
}

fn q16_what_is_another_organizations_sounds_like_what_is_nowhere(on: On) {
    let (server, home, owner) = started(on);
    let (synq, rival) = (server.synq(), server.tenant("synq", "Westwind"));
    let north = server.org(&home, "North");
    let elsewhere = server.join(&home, north.org, "elsewhere@people.example", "MEMBER");
    let (theirs, nobody) = (server.member(&rival, "MEMBER").account, AccountId::generate(&SystemRandom));
    for method in ["PATCH", "DELETE"] {
        let look = |account: AccountId| {
            let path = format!("/api/v1/organization/members/{account}");
            let request = synq.request(method, &path).bearer(&owner.text);
            let request =
                if method == "PATCH" { request.json(&json!({ "role": "VIEWER" })) } else { request };
            let answer = request.send();
            (answer.status, answer.text())
        };
        let nowhere = look(nobody);
        assert_eq!(nowhere.0, 403, "{method}: {}", nowhere.1);
        assert_eq!((look(elsewhere.account), look(theirs)), (nowhere.clone(), nowhere), "{method}");
    }
    // And both are where they were.
    let north = server.run(server.store(home.tenant).member_view(north.org, elsewhere.account)).unwrap();
    assert_eq!(north.role.as_str(), "MEMBER");
}

fn q19_tenant_ids_are_uuid_version_4(on: On) {
    let (server, home, token) = started(on);
    for name in ["Southwind", "Eastwind", "Westwind"] {
        let other = server.tenant("synq", name);
        for id in [other.tenant.to_string(), other.org.to_string()] {
            assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        }
    }
    let own = home.tenant.to_string();
    for bad in [
        "a3f8c120-4e72-1b91-9d63-1c5e7a09bf44",
        "a3f8c120-4e72-4b91-cd63-1c5e7a09bf44",
        "00000000-0000-0000-0000-000000000000",
        &own.replace('-', ""),
        &format!("{{{own}}}"),
        "7",
    ] {
        let get = server.synq().get(PRODUCTS).bearer(&token.text).header("X-Tenant-ID", bad);
        get.send().expect_body(403, MISSING);
        let failure = server.management().tenant(bad).expect_err("no tenant's id");
        assert!(failure.to_string().contains(bad), "{failure}");
    }
}

fn q22_what_is_out_of_scope_reaches_no_upstream(on: On) {
    let server = TestServer::recording(on);
    let home = server.tenant("synq", "Northwind");
    let other = server.tenant("synq", "Southwind");
    let token = server.token(&home.owner).text;
    let viewer = server.token(&server.member(&home, "VIEWER")).text;
    let synq = server.synq();
    let refused = [
        (synq.get(PRODUCTS), 401),
        (synq.get(PRODUCTS).bearer("nonsense"), 401),
        (synq.get(PRODUCTS).bearer(&token).bearer(&token), 401),
        (synq.get(PRODUCTS).bearer(&token).header("X-Tenant-ID", &other.tenant.to_string()), 403),
        (synq.get(PRODUCTS).bearer(&token).header("X-Org-ID", &other.org.to_string()), 403),
        (synq.get(&format!("{PRODUCTS}?tenant_id={}", other.tenant)).bearer(&token), 403),
        (server.synq_strict().get(PRODUCTS).bearer(&token), 403),
        (synq.post(PRODUCTS, &json!({})).bearer(&viewer), 403),
        (synq.request("DELETE", &format!("{PRODUCTS}/1")).bearer(&viewer), 403),
        (synq.request("PUT", PRODUCTS).bearer(&token), 405),
        (synq.request("TRACE", PRODUCTS).bearer(&token), 405),
        (synq.get("/api/v1//products").bearer(&token), 400),
        (synq.get("/api/v1/x/../products").bearer(&token), 400),
        (synq.get("/api/v1/%2e%2e/products").bearer(&token), 400),
        (synq.post(PRODUCTS, &json!({})).bearer(&token).header("Content-Length", "11"), 400),
        (server.client(0, "elsewhere.localhost").get(PRODUCTS).bearer(&token), 421),
        (server.synaptiq().get("/api/v1/leads").bearer(&token), 401),
        (server.client(0, "synaptiq.localhost").get("/api/v1/leads"), 403),
    ];
    for (request, status) in refused {
        let shown = String::from_utf8_lossy(&request.bytes()).into_owned();
        let answer = request.send();
        assert_eq!(answer.status, status, "{}\n{shown}", answer.text());
    }
    assert_eq!(server.recorder().count(), 0, "{:?}", server.recorder().received());
    synq.get(PRODUCTS).bearer(&token).send().expect(200);
    assert_eq!(server.recorder().count(), 1);
}
