//! A store that cannot answer: 503, never 401, and nobody is let in.

use std::time::Duration;

use claviger_server::testing::{On, TestServer, eventually};

const LEADS: &str = "/api/v1/leads";

/// Takes the database away.
fn cut(server: &TestServer) {
    server.run(server.database().take_away()).unwrap();
}

fn mend(server: &TestServer) {
    server.run(server.database().give_back()).unwrap();
}

#[test]
fn a_store_that_cannot_answer_is_503_and_never_401() {
    let server = TestServer::start(On::Postgres);
    let home = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let synq = server.tenant("synq", "Northwind");
    let (known, unseen) = (server.key(&home, "read").text, server.key(&home, "read").text);
    let (token, unseen_token) = (server.token(&synq.owner).text, server.token(&synq.owner).text);
    let leads = |key: &str| server.synaptiq().get(LEADS).bearer(key).send();
    let products = |token: &str| server.synq().get("/api/v1/products").bearer(token).send();
    leads(&known).expect(200);
    products(&token).expect(200);
    cut(&server);

    // What is known goes on; of what is not, nobody can say.
    leads(&known).expect(200);
    products(&token).expect(200);
    let refused = leads(&unseen).expect(503);
    assert_eq!(refused.json()["error"]["code"], "unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("www-authenticate"), None);
    products(&unseen_token).expect(503);
    // What has no good shape needs no store to be refused.
    leads("nonsense").expect(401);
    server.ops().get("/healthz").send().expect(200);

    // Until the feed has been silent for longer than `max_staleness`: then nothing remembered is believed.
    server.clock.advance_millis(5_001);
    for answer in [leads(&known), leads(&unseen), products(&token)] {
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    server.ops().get("/readyz").send().expect(503);

    mend(&server);
    let patience = Duration::from_secs(20);
    eventually("the known key is let in again", patience, || leads(&known).status == 200);
    eventually("the unseen key is let in", patience, || leads(&unseen).status == 200);
    products(&token).expect(200);
    products(&unseen_token).expect(200);
    // What was withdrawn meanwhile would be heard of now; what never was there is 401 again.
    leads("sk_live_k1_0000000000000000000000000000000000").expect(401);
}

#[test]
fn of_a_revocation_that_nobody_heard_nothing_good_is_said() {
    let server = TestServer::start(On::Postgres);
    let client = server.synq();
    let body = serde_json::json!({ "email": "ada@northwind.example", "password": "an uncommon pass phrase", "tenant_name": "Northwind" });
    let signed_up = client.post("/auth/v1/sign-up", &body).send().expect(201).json();
    let revoke = |token: &str| {
        let token = signed_up[token].as_str().unwrap();
        client.post("/auth/v1/revoke", &serde_json::json!({ "token": token })).send().status
    };
    cut(&server);
    assert_eq!((revoke("refresh_token"), revoke("access_token")), (503, 503));
    mend(&server);
    eventually("the refresh token is revoked", Duration::from_secs(20), || revoke("refresh_token") == 200);
    let refreshed =
        client.post("/auth/v1/refresh", &serde_json::json!({ "refresh_token": signed_up["refresh_token"] }));
    refreshed.send().expect(401);
}

#[test]
fn what_was_withdrawn_during_the_outage_of_a_node_is_gone_after_it() {
    let near = TestServer::start(On::Postgres);
    let home = near.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let key = near.key(&home, "read");
    let ask = |server: &TestServer| server.synaptiq().get(LEADS).bearer(&key.text).status();
    assert_eq!(ask(&near), 200);
    cut(&near);
    assert_eq!(ask(&near), 200);
    mend(&near);
    let far = near.another_node();
    far.run(far.store(home.tenant).key_revoke(key.id)).unwrap();
    assert_eq!(ask(&far), 401);
    eventually("the feed goes on", Duration::from_secs(20), || ask(&near) == 401);
}

/// An embedded store has no feed that could fall silent: what is known goes on for as long as the store is away,
/// and nobody else can change it meanwhile.
#[test]
fn an_embedded_store_that_cannot_answer_is_503_and_never_401() {
    let server = TestServer::start(On::Sqlite);
    let home = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let (known, unseen) = (server.key(&home, "read").text, server.key(&home, "read").text);
    let leads = |key: &str| server.synaptiq().get(LEADS).bearer(key).status();
    assert_eq!(leads(&known), 200);
    server.app().management().store.cut();
    assert_eq!((leads(&known), leads(&unseen), leads("nonsense")), (200, 503, 401));
    server.app().management().store.mend();
    assert_eq!((leads(&known), leads(&unseen)), (200, 200));
    let never_was = "sk_live_k1_0000000000000000000000000000000000";
    assert_eq!(leads(never_was), 401);
}

#[test]
fn the_published_keys_are_read_once_a_second_whoever_asks() {
    let server = TestServer::start(On::Sqlite);
    let keys = || server.synq().get("/.well-known/jwks.json").send();
    let published = keys().expect(200).text();
    // What was read a moment ago needs no store; a second later it does.
    server.app().management().store.cut();
    assert_eq!(keys().expect(200).text(), published);
    server.clock.advance_millis(1_001);
    keys().expect(503);
    server.app().management().store.mend();
    assert_eq!(keys().status, 503, "that it could not be read is kept as long");
    server.clock.advance_millis(1_001);
    assert_eq!(keys().expect(200).text(), published);
}
