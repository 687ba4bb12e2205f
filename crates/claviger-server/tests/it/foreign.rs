//! Identity tokens of another issuer, whose key set is a file.

use claviger::id::TokenId;
use claviger::key_set::Algorithm;
use claviger::random::SystemRandom;
use claviger_server::on_every_store;
use claviger_server::testing::{On, TestIssuer, TestServer};
use serde_json::{Value, json};
use toml::Table;

on_every_store!(another_issuer_speaks_for_its_tenants_and_of_who_was_linked);

const ISSUER: &str = "https://login.example";

fn another_issuer_speaks_for_its_tenants_and_of_who_was_linked(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant("synq", "Northwind");
    let other = server.tenant("synq", "Southwind");
    let member = server.member(&home, "MEMBER");
    server.run(server.store(home.tenant).foreign_identity_link(ISSUER, "sub-1", member.account)).unwrap();
    let issuer = TestIssuer::start(server.folder(), ISSUER, "their-key-1", Algorithm::Es256);
    let trust = issuer.settings("synq", &[home.tenant]);
    let server = server.restart(&|settings: &mut Table| {
        let synq = settings["api"][0].as_table_mut().unwrap();
        synq.insert("issuer".into(), vec![trust.clone()].into());
    });

    let now = server.now().seconds();
    let claims = |changes: Value| {
        let mut claims = json!({
            "iss": ISSUER, "aud": "synq", "sub": "sub-1", "role": "MEMBER",
            "tenant_id": home.tenant.to_string(), "org_id": home.org.to_string(),
            "iat": now, "exp": now + 600, "jti": TokenId::generate(&SystemRandom).to_string(),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name.as_str()] = value.clone();
        }
        claims
    };
    let status = |typ: &str, changes: Value| {
        let token = issuer.sign(typ, &claims(changes));
        server.synq().get("/api/v1/products").bearer(&token).status()
    };
    assert_eq!(status("at+jwt", json!({})), 200);
    assert_eq!(status("at+jwt", json!({ "sid": "theirs" })), 200);
    assert_eq!(status("at+jwt", json!({ "sub": "sub-2" })), 401, "nobody is linked");
    assert_eq!(status("at+jwt", json!({ "sub": member.account.to_string() })), 401);
    let theirs = json!({ "tenant_id": other.tenant.to_string(), "org_id": other.org.to_string() });
    assert_eq!(status("at+jwt", theirs), 401, "it was not registered for that tenant");
    assert_eq!(status("at+jwt", json!({ "org_id": other.org.to_string() })), 401);
    assert_eq!(status("at+jwt", json!({ "iss": "https://api.synq.io" })), 401, "it is not us");
    assert_eq!(status("at+jwt", json!({ "aud": "elsewhere" })), 401);
    assert_eq!(status("JWT", json!({})), 401);
    assert_eq!(status("at+jwt", json!({ "exp": now - 10, "iat": now - 600 })), 401);
    // It is trusted by that API alone.
    let token = issuer.sign("at+jwt", &claims(json!({})));
    server.syncello().get("/v1/tools").bearer(&token).send().expect(401);

    server.run(server.store(home.tenant).foreign_identity_unlink(ISSUER, "sub-1")).unwrap();
    assert_eq!(status("at+jwt", json!({})), 401, "unlinked");
}
