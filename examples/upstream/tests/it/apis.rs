//! The three APIs, and that nobody sees what is another's.

use serde_json::{Value, json};

use crate::support::{Principal, TestServer};

fn names(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|record| record["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn two_tenants_never_see_each_other() {
    let server = TestServer::start().await;
    let (acme, rival) = (Principal::of("synq", "acme"), Principal::of("synq", "rival"));
    for kind in ["products", "orders", "inventory", "integrations"] {
        let path = format!("/api/v1/{kind}");
        let made = server.ask(&acme, "POST", &path, r#"{"name":"only acme's"}"#).await.expect(201);
        let record = format!("{path}/{}", made["id"].as_str().unwrap());
        server.ask(&acme, "GET", &record, "").await.expect(200);

        let listed = server.ask(&rival, "GET", &path, "").await.expect(200);
        for other in listed["data"].as_array().unwrap() {
            assert_eq!((&other["tenant_id"], &other["org_id"]), (&json!("rival"), &json!("org-of-rival")));
            assert_ne!(other["id"], made["id"]);
        }
        let nowhere = format!("{path}/{}", uuid::Uuid::nil());
        for (method, body) in [("GET", ""), ("PATCH", r#"{"name":"taken"}"#), ("DELETE", "")] {
            let there = server.ask(&rival, method, &record, body).await;
            let missing = server.ask(&rival, method, &nowhere, body).await;
            assert_eq!((there.status.as_u16(), &there.bytes), (403, &missing.bytes), "{method}");
            assert_eq!(missing.status.as_u16(), 403);
        }
        assert_eq!(server.ask(&acme, "GET", &record, "").await.expect(200), made);
    }
}

#[tokio::test]
async fn another_realm_organization_or_environment_is_another_place() {
    let server = TestServer::start().await;
    let acme = Principal::of("synq", "acme");
    let made = server.ask(&acme, "POST", "/api/v1/products", r#"{"name":"here"}"#).await.expect(201);
    let path = format!("/api/v1/products/{}", made["id"].as_str().unwrap());
    for (claim, value) in [("realm", "elsewhere"), ("org_id", "second"), ("environment", "test")] {
        let other = acme.clone().with(claim, value);
        server.ask(&other, "GET", &path, "").await.expect(403);
        let list = server.ask(&other, "GET", "/api/v1/products", "").await.expect(200);
        assert!(!names(&list).contains(&"here"), "{claim}");
    }
    let sandbox =
        server.ask(&acme.with("environment", "test"), "GET", "/api/v1/products", "").await.expect(200);
    assert!(names(&sandbox).iter().all(|name| name.starts_with("Sandbox ")));
}

#[tokio::test]
async fn synq_lists_pages_changes_and_deletes() {
    let server = TestServer::start().await;
    let acme = Principal::of("synq", "acme");
    let list = server.ask(&acme, "GET", "/api/v1/products?limit=1&offset=1", "").await.expect(200);
    assert_eq!((&list["total"], &list["limit"], &list["offset"]), (&json!(3), &json!(1), &json!(1)));
    assert_eq!(names(&list), ["Sea salt, 500 g"]);
    assert_eq!(list["data"][0]["created_at"], "2027-01-15T08:00:00Z");
    for query in ["limit=0", "limit=101", "limit=x", "offset=-1"] {
        let answer = server.ask(&acme, "GET", &format!("/api/v1/products?{query}"), "").await.expect(400);
        assert!(answer["error"].is_string());
    }

    let path = format!("/api/v1/products/{}", list["data"][0]["id"].as_str().unwrap());
    server.set_clock(crate::support::NOW + 2);
    let changed =
        server.ask(&acme, "PATCH", &path, r#"{"price":4,"id":"mine","org_id":"org-of-acme"}"#).await;
    let changed = changed.expect(200);
    assert_eq!((&changed["price"], &changed["id"]), (&json!(4), &list["data"][0]["id"]));
    assert_eq!(changed["updated_at"], "2027-01-15T08:00:02Z");
    server.ask(&acme, "DELETE", &path, "").await.expect(204);
    server.ask(&acme, "GET", &path, "").await.expect(403);
}

#[tokio::test]
async fn a_body_that_names_another_tenant_or_organization_is_403() {
    let server = TestServer::start().await;
    let acme = Principal::of("synq", "acme");
    for body in [r#"{"tenant_id":"rival"}"#, r#"{"org_id":"org-of-rival"}"#, r#"{"tenant_id":null}"#] {
        server.ask(&acme, "POST", "/api/v1/products", body).await.expect(403);
    }
    let list = server.ask(&acme, "GET", "/api/v1/products", "").await.expect(200);
    assert_eq!(list["total"], 3);
}

#[tokio::test]
async fn synq_members_are_a_bare_array_with_the_caller() {
    let server = TestServer::start().await;
    let acme = Principal::of("synq", "acme");
    let members = server.ask(&acme, "GET", "/api/v1/organization/members", "").await.expect(200);
    assert_eq!(members.as_array().unwrap().len(), 1);
    assert_eq!((&members[0]["uid"], &members[0]["role"]), (&json!("user-of-acme"), &json!("ADMIN")));
}

#[tokio::test]
async fn synaptiq_leads_live_in_their_environment() {
    let server = TestServer::start().await;
    let live = Principal::of("synaptiq", "acme").with("kind", "api-key").without("role");
    let test = live.clone().with("environment", "test");
    let body = r#"{"email":"grace@example.com","status":"contacted","customFields":{"a":1}}"#;
    let lead = server.ask(&test, "POST", "/api/v1/leads", body).await.expect(201);
    let id = lead["id"].as_str().unwrap();
    assert!(id.len() == 31 && id.starts_with("lead_"), "{id}");
    assert_eq!((&lead["source"], &lead["score"]), (&json!("api"), &json!(0)));

    let path = format!("/api/v1/leads/{id}");
    assert_eq!(server.ask(&live, "GET", &path, "").await.expect(404)["error"]["code"], "not_found");
    let changed = server.ask(&test, "PATCH", &path, r#"{"status":"lost"}"#).await.expect(200);
    assert_eq!(changed["status"], "lost");
    let overview = server.ask(&test, "GET", "/api/v1/analytics/overview", "").await.expect(200);
    assert_eq!(overview["leads"], json!({"total": 3, "byStatus": {"lost": 1, "new": 1, "qualified": 1}}));
    server.ask(&test, "DELETE", &path, "").await.expect(204);

    let list = server.ask(&live, "GET", "/api/v1/leads?limit=1", "").await.expect(200);
    let pagination = json!({"page": 1, "limit": 1, "total": 2, "totalPages": 2, "hasMore": true});
    assert_eq!(list["pagination"], pagination);
    for bad in [r#"{"status":"won"}"#, r#"{"email":"nobody"}"#, r#"{"id":"lead_1"}"#, "[]", "{"] {
        let answer = server.ask(&live, "POST", "/api/v1/leads", bad).await.expect(400);
        assert_eq!(answer["error"]["code"], "bad_request", "{bad}");
    }
}

#[tokio::test]
async fn synaptiq_chat_makes_conversations_of_its_own_tenant() {
    let server = TestServer::start().await;
    let (acme, rival) = (Principal::of("synaptiq", "acme"), Principal::of("synaptiq", "rival"));
    let first = server.ask(&acme, "POST", "/api/v1/chat", r#"{"message":"hello"}"#).await.expect(200);
    let next = json!({"message": "more", "conversationId": first["conversationId"]}).to_string();
    server.ask(&rival, "POST", "/api/v1/chat", &next).await.expect(404);
    server.ask(&acme, "POST", "/api/v1/chat", &next).await.expect(200);
    let list = server.ask(&acme, "GET", "/api/v1/conversations", "").await.expect(200);
    assert_eq!((&list["pagination"]["total"], &list["data"][0]["messageCount"]), (&json!(1), &json!(4)));
    let list = server.ask(&rival, "GET", "/api/v1/conversations", "").await.expect(200);
    assert_eq!(list["data"], json!([]));
    for path in ["/api/v1/keys", "/api/v1/webhooks"] {
        assert_eq!(server.ask(&acme, "GET", path, "").await.expect(200)["data"], json!([]));
    }
}

#[tokio::test]
async fn syncello_lists_the_apps_of_the_user() {
    let server = TestServer::start().await;
    let (one, two) = (Principal::of("syncello", "one"), Principal::of("syncello", "two"));
    let path = "/v1/tools/tape/listApps";
    let body = r#"{"workspace_id": 12345}"#;
    let answer = server.ask(&one, "POST", path, body).await.expect(200);
    assert_eq!(answer["success"], true);
    let text = answer["data"].as_str().unwrap();
    assert!(
        text.contains("12345") && text.contains("user-of-one") && !text.contains("user-of-two"),
        "{text}"
    );

    let format = format!("{path}?format=json");
    let ones = server.ask(&one, "POST", &format, body).await.expect(200);
    let twos = server.ask(&two, "POST", &format, body).await.expect(200);
    assert_eq!(ones["data"]["apps"].as_array().unwrap().len(), 2);
    assert_ne!(ones["data"]["apps"][0]["app_id"], twos["data"]["apps"][0]["app_id"]);

    for bad in ["", "{}", r#"{"workspace_id":"x"}"#] {
        let answer = server.ask(&one, "POST", path, bad).await.expect(400);
        assert_eq!((&answer["success"], &answer["error"]["code"]), (&json!(false), &json!("BAD_REQUEST")));
    }
}

#[tokio::test]
async fn head_and_options_are_answered_and_other_methods_and_paths_are_not() {
    let server = TestServer::start().await;
    let cases = [
        ("synq", "/api/v1/products", "GET, HEAD, POST"),
        ("synaptiq", "/api/v1/leads", "GET, HEAD, POST"),
        ("synaptiq", "/api/v1/analytics/overview", "GET, HEAD"),
        ("syncello", "/v1/tools/tape/listApps", "POST"),
    ];
    for (api, path, allow) in cases {
        let caller = Principal::of(api, "acme");
        let options = server.ask(&caller, "OPTIONS", path, "").await;
        assert_eq!((options.status.as_u16(), options.allow.as_deref()), (200, Some(allow)), "{path}");
        let put = server.ask(&caller, "PUT", path, "{}").await;
        assert_eq!((put.status.as_u16(), put.allow.as_deref()), (405, Some(allow)), "{path}");
        if allow.contains("HEAD") {
            assert!(server.ask(&caller, "HEAD", path, "").await.expect(200).is_null());
        }
        server.ask(&caller, "GET", "/api/v1/nothing", "").await.expect(404);
    }
}

#[tokio::test]
async fn a_body_over_ten_megabytes_is_413() {
    let server = TestServer::start().await;
    let acme = Principal::of("synq", "acme");
    let body = |size: usize| format!(r#"{{"note":"{}"}}"#, "x".repeat(size));
    server.ask(&acme, "POST", "/api/v1/products", &body(10 * 1024 * 1024)).await.expect(413);
    server.ask(&acme, "POST", "/api/v1/products", &body(9 * 1024 * 1024)).await.expect(201);
}
