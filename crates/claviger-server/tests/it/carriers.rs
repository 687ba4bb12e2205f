//! Where a credential may stand besides `Authorization: Bearer`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger_server::on_every_store;
use claviger_server::testing::{Behind, Connection, On, Plan, Request, TestServer, add_route};
use toml::Table;

on_every_store!(
    a03_the_places_of_one_api_are_protected_on_all,
    a03_a_browser_shows_its_credential_as_a_subprotocol,
    forwarding_14_one_or_more_spaces_stand_behind_the_scheme,
);

const LEADS: &str = "/api/v1/leads";

fn started(on: On) -> TestServer {
    let settings = |settings: &mut Table| {
        let route = "path = \"/socket\"\nresource = \"socket\"\naccess = \"read\"\nwebsocket = true";
        add_route(settings, route);
        for api in settings["api"].as_array_mut().unwrap() {
            let api = api.as_table_mut().unwrap();
            if api["name"].as_str() == Some("synaptiq") {
                api.insert("credential_header".into(), "X-API-Key".into());
                api.insert("basic".into(), true.into());
                api.insert("websocket_credential".into(), true.into());
            }
        }
    };
    TestServer::start_as(&Plan { on, behind: Behind::Recorder, settings: &settings })
}

fn a03_the_places_of_one_api_are_protected_on_all(on: On) {
    let server = started(on);
    let home = server.tenant("synaptiq", "Northwind");
    let key = server.key(&home, "read").text;
    let basic = format!("Basic {}", STANDARD.encode(format!("{key}:")));
    let passed_on = |request: Request, what: &str| {
        request.send().expect(200);
        let received = server.recorder().last();
        assert!(!received.has(&key) && !received.has(&basic), "{what}: {received:?}");
        assert!(received.all("x-api-key").is_empty() && received.all("authorization").is_empty(), "{what}");
    };
    let get = || server.synaptiq().get(LEADS);
    passed_on(get().header("X-API-Key", &key), "header");
    passed_on(get().header("x-api-key", &key), "header in small letters");
    passed_on(get().header("Authorization", &basic), "Basic");
    let two = get().header("X-API-Key", &key).bearer(&key).send().expect(401);
    assert_eq!(two.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));

    // At another API they are no credential, and do not reach its upstream either.
    let token = server.token(&server.tenant("synq", "Southwind").owner).text;
    server.synq().get("/api/v1/products").header("X-API-Key", &token).send().expect(401);
    let encoded = format!("Basic {}", STANDARD.encode(format!("{token}:")));
    server.synq().get("/api/v1/products").header("Authorization", &encoded).send().expect(401);
    server.synq().get("/api/v1/products").bearer(&token).header("X_API_Key", &key).send().expect(200);
    let received = server.recorder().last();
    assert!(!received.has(&key) && !received.has("api_key"), "{received:?}");
    // Nobody is asked for Basic, which a browser would answer with a window of its own.
    assert_eq!(get().send().expect(401).header("www-authenticate"), Some("Bearer"));
}

fn a03_a_browser_shows_its_credential_as_a_subprotocol(on: On) {
    let server = started(on);
    let key = server.key(&server.tenant("synaptiq", "Northwind"), "read").text;
    let open = |offered: &str| -> (Connection, String) {
        let request = server
            .synaptiq()
            .get("/socket")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Protocol", offered);
        let mut connection = server.synaptiq().connect();
        connection.send(request.bytes());
        let head = connection.until("\r\n\r\n").to_ascii_lowercase();
        (connection, head)
    };
    let (mut socket, head) = open(&format!("claviger, claviger.bearer.{key}, graphql-ws"));
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("\r\nsec-websocket-protocol: claviger\r\n"), "{head}");
    socket.send("hello");
    socket.until("hello");
    let received = server.recorder().last();
    assert_eq!(received.header("sec-websocket-protocol"), "graphql-ws");
    assert!(!received.has(&key), "{received:?}");

    let (_, head) = open(&format!("claviger.bearer.{key}"));
    assert!(head.starts_with("http/1.1 101") && !head.contains("sec-websocket-protocol"), "{head}");
    let (_, head) = open("claviger, claviger.bearer.sk_live_k1_nobody");
    assert!(head.starts_with("http/1.1 401"), "{head}");
}

fn forwarding_14_one_or_more_spaces_stand_behind_the_scheme(on: On) {
    let server = TestServer::recording(on);
    let key = server.key(&server.tenant("synaptiq", "Northwind"), "read").text;
    for written in [format!("Bearer  {key}"), format!("bearer    {key}")] {
        server.synaptiq().get(LEADS).header("Authorization", &written).send().expect(200);
    }
    server.synaptiq().get(LEADS).header("Authorization", &format!("Bearer\t{key}")).send().expect(401);
}
