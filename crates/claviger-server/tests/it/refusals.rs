//! What good credentials are refused stands in their tenant's audit, and does not fill it.

use std::time::Duration;

use claviger_server::on_every_store;
use claviger_server::testing::{Home, On, TestServer, eventually};
use claviger_store::audit::{AuditCursor, AuditEntry};
use serde_json::json;

on_every_store!(a_refusal_is_told_of_once_a_minute_for_each_credential_and_reason);

const PRODUCTS: &str = "/api/v1/products";

fn refusals(server: &TestServer, home: &Home) -> Vec<AuditEntry> {
    let entries = server.run(server.store(home.tenant).audit_list(AuditCursor::NEWEST, 500)).unwrap();
    entries.into_iter().filter(|entry| entry.action == "REQUEST_REFUSED").collect()
}

fn a_refusal_is_told_of_once_a_minute_for_each_credential_and_reason(on: On) {
    let server = TestServer::start(on);
    let (home, rival) = (server.tenant("synq", "Northwind"), server.tenant("synq", "Westwind"));
    let viewer = server.member(&home, "VIEWER");
    let token = server.token(&viewer);
    let client = server.synq();
    let write = || client.post(PRODUCTS, &json!({})).bearer(&token.text).send().expect(403);
    let strays = || {
        let tenant = rival.tenant.to_string();
        client.get(PRODUCTS).header("X-Tenant-ID", &tenant).bearer(&token.text).send().expect(403)
    };
    for _ in 0..5 {
        write();
        strays();
    }
    // What is let in, what is nobody's, and what is no path are none of them.
    client.get(PRODUCTS).bearer(&token.text).send().expect(200);
    client.get(PRODUCTS).bearer("nonsense").send().expect(401);
    client.get("/nowhere").bearer(&token.text).send().expect(404);
    let patience = Duration::from_secs(10);
    eventually("both are told of", patience, || refusals(&server, &home).len() == 2);
    let found = refusals(&server, &home);
    let codes: Vec<&str> = found.iter().filter_map(|entry| entry.details["code"].as_str()).collect();
    assert!(codes.contains(&"forbidden") && codes.contains(&"identity_mismatch"), "{codes:?}");
    for entry in &found {
        assert_eq!(entry.actor, format!("account:{}", viewer.account));
        assert_eq!(entry.entity_type, "credential");
        assert_eq!(entry.credential.as_deref(), Some(entry.entity_id.as_str()));
        assert!(entry.address.is_some_and(|address| address.is_loopback()));
        assert_eq!(entry.details["organization"], json!(home.org.to_string()));
    }
    // They are nobody else's to hear of.
    assert_eq!(refusals(&server, &rival), []);
    let counted = |code: &str| -> u64 {
        let found = refusals(&server, &home).into_iter().filter(|entry| entry.details["code"] == code);
        found.filter_map(|entry| entry.details["count"].as_u64()).sum()
    };
    if on == On::Sqlite {
        write();
        server.clock.advance_millis(61_000);
        // Each of them is counted, and the second entry tells of all that came since the first.
        eventually("all are counted", patience, || counted("forbidden") == 6);
        eventually("all are counted", patience, || counted("identity_mismatch") == 5);
        assert!(refusals(&server, &home).len() <= 4);
    }
    // The last words of a server tell of what is left.
    write();
    let server = server.restart(&|_| {});
    let found = refusals(&server, &home).into_iter().filter(|entry| entry.details["code"] == "forbidden");
    let told: u64 = found.filter_map(|entry| entry.details["count"].as_u64()).sum();
    assert_eq!(told, if on == On::Sqlite { 7 } else { 6 });
}
