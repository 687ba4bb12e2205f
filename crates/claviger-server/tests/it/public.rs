//! Routes that ask for nobody.

use claviger_server::on_every_store;
use claviger_server::testing::{Behind, On, Plan, TestServer, add_route};
use serde_json::json;
use toml::Table;

use crate::forwarding::{is_bound, principal};

on_every_store!(a04_a_public_route_asks_for_nobody, a04_public_requests_are_counted_by_address);

fn started(on: On, more: &dyn Fn(&mut Table)) -> TestServer {
    let settings = |settings: &mut Table| {
        add_route(settings, "path = \"/status\"\nresource = \"status\"\naccess = \"none\"");
        let by_method = "access = { GET = \"none\", POST = \"write\" }\nmethods = [\"GET\", \"POST\"]";
        add_route(settings, &format!("path = \"/notes\"\nresource = \"products\"\n{by_method}"));
        more(settings);
    };
    TestServer::start_as(&Plan { on, behind: Behind::Recorder, settings: &settings })
}

fn a04_a_public_route_asks_for_nobody(on: On) {
    let server = started(on, &|_| {});
    let home = server.tenant("synq", "Northwind");
    let token = server.token(&home.owner).text;
    let shown = [token.as_str(), "sk_live_made_up", "a b c"];
    for credential in shown {
        let answer = server
            .synq()
            .get("/status?page=1")
            .bearer(credential)
            .header("X-Tenant-ID", &home.tenant.to_string())
            .header("X_Org_ID", "forged")
            .header("X-Claviger-Principal", "forged")
            .send()
            .expect(200);
        let received = server.recorder().last();
        assert!(!received.has(credential) && !received.has("authorization"), "{received:?}");
        assert!(received.all("x-tenant-id").is_empty() && received.all("x-org-id").is_empty());
        assert!(!received.has("forged"), "{received:?}");
        assert_eq!(received.all("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(answer.header("x-request-id"), Some(received.header("x-request-id")));
        let claims = principal(&server, &received, "synq");
        assert_eq!(
            (&claims["kind"], &claims["realm"], &claims["access"]),
            (&json!("public"), &json!("synq"), &json!({}))
        );
        for absent in ["sub", "tenant_id", "org_id", "environment", "role"] {
            assert!(claims[absent].is_null(), "{absent} in {claims}");
        }
        assert!(is_bound(&server, &received, "synq"));
    }
    server.synq().request("HEAD", "/STATUS/").send().expect(200);
    server.synq().get("/notes").send().expect(200);
    for (method, path) in
        [("POST", "/notes"), ("DELETE", "/status"), ("GET", "/status.json"), ("GET", "/status/x")]
    {
        let status = server.synq().request(method, path).status();
        assert!(matches!(status, 401 | 404), "{method} {path}: {status}");
    }
    server.synq().post("/notes", &json!({})).bearer(&token).send().expect(200);
    // HTTPS holds for everybody.
    server.client(0, "synaptiq.localhost").get("/status").send().expect(403);
    server.synaptiq().get("/status").send().expect(200);
    // No identity token is taken there, and no key of one is published.
    server.synaptiq().get("/.well-known/jwks.json").send().expect(404);
    server.synq().get("/.well-known/jwks.json").send().expect(200);
}

fn a04_public_requests_are_counted_by_address(on: On) {
    let limit = "name = \"addresses\"\nper = \"address\"\nform = \"sliding\"\notherwise = { read = 2, write = 2, admin = 2 }";
    let server = started(on, &|settings| {
        let synq = settings["api"][0].as_table_mut().unwrap();
        synq.insert("limit".into(), vec![limit.parse::<Table>().unwrap()].into());
    });
    let token = server.token(&server.tenant("synq", "Northwind").owner).text;
    let public = |from: &str| server.synq().from(from.parse().unwrap()).get("/status").send();
    assert_eq!(public("127.0.0.5").expect(200).header("x-ratelimit-remaining"), Some("1"));
    public("127.0.0.5").expect(200);
    let refused = public("127.0.0.5").expect(429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(
        (refused.header("x-ratelimit-limit"), refused.header("x-ratelimit-remaining")),
        (Some("2"), Some("0"))
    );
    public("127.0.0.6").expect(200);
    let known = server.synq().from("127.0.0.5".parse().unwrap()).get("/api/v1/products").bearer(&token);
    assert_eq!(known.send().expect(200).header("x-ratelimit-remaining"), Some("1"), "its tenant's own");
}
