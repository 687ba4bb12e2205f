//! What stays open ends within a second of the withdrawal of what it was let in on.

use std::time::Duration;

use claviger_server::on_every_store;
use claviger_server::testing::{Behind, Client, Connection, On, Plan, TestServer, add_route, took};
use claviger_store::tenants::TenantUpdate;
use serde_json::json;
use toml::Table;

on_every_store!(
    a_websocket_ends_when_its_session_does,
    a_websocket_ends_with_its_token,
    a_stream_ends_when_its_key_does,
    streams_end_when_their_tenant_is_suspended,
    a_change_that_withdraws_nothing_is_asked_about_and_so_is_the_next_one,
    a_route_that_did_not_opt_in_opens_no_websocket,
);

const LIMIT: Duration = Duration::from_secs(1);

/// A server on whose Synq a WebSocket may be opened at `/socket`.
fn started(on: On) -> TestServer {
    let route = "path = \"/socket\"\nresource = \"socket\"\naccess = \"read\"\nwebsocket = true";
    let add = |settings: &mut Table| add_route(settings, route);
    TestServer::start_as(&Plan { on, behind: Behind::Recorder, settings: &add })
}

/// An open WebSocket through which bytes go and come back.
pub(crate) fn socket(client: &Client, token: &str) -> Connection {
    let request = client
        .get("/socket")
        .bearer(token)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut connection = client.connect();
    connection.send(request.bytes());
    let head = connection.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    echoes(&mut connection, "hello");
    connection
}

pub(crate) fn echoes(connection: &mut Connection, text: &str) {
    connection.send(text);
    connection.until(text);
}

/// An open stream of events.
fn events(client: &Client, credential: &str) -> Connection {
    let mut connection = client.connect();
    connection.send(client.get("/events").bearer(credential).bytes());
    let head = connection.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    connection.until("data: tick");
    connection
}

fn ends_in_time(connection: &mut Connection, what: &str) {
    let time = took(|| connection.until_closed());
    assert!(time <= LIMIT, "{what} ended after {time:?}");
}

fn a_websocket_ends_when_its_session_does(on: On) {
    let server = started(on);
    let home = server.tenant("synq", "Northwind");
    let (ended, going_on) = (server.token(&home.owner), server.token(&home.owner));
    let mut mine = socket(&server.synq(), &ended.text);
    let mut other = socket(&server.synq(), &going_on.text);
    server.run(server.store(home.tenant).session_end(ended.session)).unwrap();
    ends_in_time(&mut mine, "the socket");
    echoes(&mut other, "still here");

    let until = server.now().plus_seconds(7200);
    server.run(server.store(home.tenant).token_revoke(going_on.id, until)).unwrap();
    ends_in_time(&mut other, "the socket of a revoked token");
    // A route that did not opt in answers like any other.
    let plain = server.synq().get("/api/v1/products").header("Upgrade", "websocket").bearer(&ended.text);
    plain.send().expect(401);
}

fn a_websocket_ends_with_its_token(on: On) {
    let server = started(on);
    let home = server.tenant("synq", "Northwind");
    let token = server.token(&home.owner);
    let now = server.now().seconds();
    let short = server.bent("synq", &token, json!({ "iat": now - 60, "exp": now + 2 }));
    let mut socket = socket(&server.synq(), &short);
    let time = took(|| socket.until_closed());
    assert!(time <= Duration::from_secs(3), "it ended after {time:?}");
}

fn a_stream_ends_when_its_key_does(on: On) {
    let server = started(on);
    let far = (on == On::Postgres).then(|| server.another_node());
    let home = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let (key, other) = (server.key(&home, "read"), server.key(&home, "read"));
    let mut mine = events(&server.synaptiq(), &key.text);
    let mut others = events(&server.synaptiq(), &other.text);
    let mut theirs = far.as_ref().map(|far| events(&far.synaptiq(), &key.text));
    server.run(server.store(home.tenant).key_revoke(key.id)).unwrap();
    let time = took(|| {
        mine.until_closed();
        if let Some(theirs) = &mut theirs {
            theirs.until_closed();
        }
    });
    assert!(time <= LIMIT, "the streams ended after {time:?}");
    others.until("data: tick");
}

fn streams_end_when_their_tenant_is_suspended(on: On) {
    let server = started(on);
    let home = server.tenant("synq", "Northwind");
    let syncello = server.tenant("syncello", "Tradewinds");
    let token = server.token(&home.owner).text;
    let mut socket = socket(&server.synq(), &token);
    let mut stream = events(&server.synq(), &token);
    let mut other = events(&server.syncello(), &server.user_token(&syncello.owner));
    server.run(server.store(home.tenant).tenant_suspend()).unwrap();
    let time = took(|| {
        socket.until_closed();
        stream.until_closed();
    });
    assert!(time <= LIMIT, "they ended after {time:?}");
    other.until("data: tick");
}

fn a_change_that_withdraws_nothing_is_asked_about_and_so_is_the_next_one(on: On) {
    let server = started(on);
    let home = server.tenant_on("synaptiq", "Eastwind", "Enterprise");
    let store = server.store(home.tenant);
    let key = server.key(&home, "read");
    let mut stream = events(&server.synaptiq(), &key.text);
    for name in ["Westwind", "Southwind", "Northwind"] {
        let update = TenantUpdate { name: Some(name.into()), ..TenantUpdate::default() };
        server.run(store.tenant_update(update)).unwrap();
        // As long as a withdrawal would take at most.
        let mut time = Duration::ZERO;
        while time < LIMIT {
            time += took(|| drop(stream.until("data: tick")));
        }
    }
    server.run(store.key_revoke(key.id)).unwrap();
    ends_in_time(&mut stream, "the stream");
}

fn a_route_that_did_not_opt_in_opens_no_websocket(on: On) {
    let server = started(on);
    let token = server.token(&server.tenant("synq", "Northwind").owner).text;
    let upgrade = |path: &str| {
        let request = server
            .synq()
            .get(path)
            .bearer(&token)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket");
        let request = request
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let mut connection = server.synq().connect();
        connection.send(request.bytes());
        connection.until("\r\n\r\n")
    };
    assert!(upgrade("/socket").starts_with("HTTP/1.1 101"));
    // An ordinary request, as the upstream is told; this one opens a WebSocket all the same, which nobody gets to see.
    let head = upgrade("/api/v1/products");
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
}
