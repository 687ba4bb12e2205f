//! Keys that get another secret while they are used.

use claviger_server::on_every_store;
use claviger_server::testing::{On, TestServer};
use serde_json::json;

on_every_store!(a09_a_second_rotation_takes_no_secret_that_somebody_uses,);

fn a09_a_second_rotation_takes_no_secret_that_somebody_uses(on: On) {
    let server = TestServer::start(on);
    let home = server.tenant("synaptiq", "Acme");
    let first = server.key(&home, "read");
    let owner = server.operator_token("owner");
    let key = format!("/v1/tenants/{}/keys/{}", home.tenant, first.id);
    let post = |what: &str| {
        server
            .console()
            .post(&format!("{key}/{what}"), &json!({ "grace_seconds": 3600 }))
            .bearer(&owner)
            .send()
    };
    let rotate = || post("rotate").expect(200).data()["key"].as_str().unwrap().to_owned();
    let leads = |text: &str| server.synaptiq().get("/api/v1/leads").bearer(text).send().status;
    let view = || server.console().get(&key).bearer(&owner).send().expect(200).data();
    assert_eq!(view()["last_used_at"], json!(null));
    assert_eq!(leads(&first.text), 200);
    // An answer was lost, and somebody asks again: the secret that nobody has seen makes room.
    let (lost, second) = (rotate(), rotate());
    assert_eq!((leads(&first.text), leads(&lost), leads(&second)), (200, 401, 200));
    // Both are in use from the first request on, whether that is written down yet or not.
    let refused = post("rotate");
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("both secrets of the key are in use"), "{}", refused.text());
    assert_eq!((leads(&first.text), leads(&second)), (200, 200), "nobody has lost theirs");
    let shown = view();
    assert!(shown["last_used_at"].is_string(), "{shown}");
    for secret in shown["secrets"].as_array().unwrap() {
        assert_eq!(
            (secret["last_used_from"].as_str(), secret["last_used_at"].is_string()),
            (Some("127.0.0.1"), true)
        );
    }
    // Once the old one is ended by hand, there is room again.
    let body = json!({});
    server.console().post(&format!("{key}/revoke-old"), &body).bearer(&owner).send().expect(200);
    let third = rotate();
    assert_eq!((leads(&first.text), leads(&second), leads(&third)), (401, 200, 200));
}
