//! WebSockets: when there is a tunnel, and when it ends.

use std::time::{Duration, Instant};

use super::support::*;

const KEY: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ACCEPT: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

fn handshake(fields: &str) -> String {
    format!("GET /chat HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n")
}

async fn tunnel(gateway: &Gateway, upstream: &RawUpstream) -> (Raw, Raw) {
    let mut client = gateway.connect().await;
    client.send(handshake(KEY)).await;
    let mut far = upstream.accept().await;
    let head = far.head().await;
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("sec-websocket-key: dghlihnhbxbszsbub25jzq==\r\n"), "{head}");
    far.send(ACCEPT).await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-protocol: chat\r\n"), "{head}");
    assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
    (client, far)
}

#[tokio::test]
async fn bytes_flow_both_ways_and_each_end_may_finish_first() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let (mut client, mut far) = tunnel(&gateway, &upstream).await;

    client.send("ping").await;
    assert_eq!(far.exactly(4).await, "ping");
    far.send("pong").await;
    assert_eq!(client.exactly(4).await, "pong");
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    assert_eq!(far.rest().await, "");
    far.send("last").await;
    drop(far);

    assert_eq!(client.rest().await, "last");
    eventually("the tunnel is gone", || gateway.server.open_connections() == 0).await;
}

#[tokio::test]
async fn a_tunnel_ends_within_a_second_of_the_withdrawal_of_its_permission() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let (mut client, mut far) = tunnel(&gateway, &upstream).await;
    assert_eq!(gateway.server.open_connections(), 1);

    let since = Instant::now();
    gateway.handler.permission.withdraw();
    client.rest().await;
    far.rest().await;

    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    eventually("the tunnel is gone", || gateway.server.open_connections() == 0).await;
}

#[tokio::test]
async fn a_tunnel_ends_with_its_lifetime() {
    let upstream = RawUpstream::start().await;
    let tunnel_lifetime = Some(Duration::from_millis(100));
    let gateway = Gateway::start(Forwarder { tunnel_lifetime, ..Forwarder::to(&upstream.url) });
    let (mut client, mut far) = tunnel(&gateway, &upstream).await;

    assert_eq!(client.rest().await, "");
    assert_eq!(far.rest().await, "");
}

#[tokio::test]
async fn a_tunnel_is_cut_by_a_drain_whose_time_is_over() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let (mut client, mut far) = tunnel(&gateway, &upstream).await;

    gateway.server.drain(Duration::from_millis(50)).await;

    assert_eq!(client.rest().await, "");
    assert_eq!(far.rest().await, "");
}

#[tokio::test]
async fn an_upstream_that_declines_answers_as_it_is() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send(handshake(KEY)).await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;

    let (head, body) = client.message().await;
    assert!(head.starts_with("http/1.1 403"), "{head}");
    assert_eq!(body, "no");
    client.send("GET /own HTTP/1.1\r\nHost: api\r\n\r\n").await;
    assert_eq!(client.message().await.1, "own");
}

#[tokio::test]
async fn a_wrong_accept_value_or_protocol_is_502_and_no_tunnel() {
    let (gateway, upstream) = gateway_and_upstream().await;
    for answer in [
        ACCEPT.replace("s3pP", "AAAA"),
        ACCEPT.replace("Sec-WebSocket-Accept", "X-Accept"),
        ACCEPT.replace("Upgrade: websocket", "Upgrade: h2c"),
    ] {
        let mut client = gateway.connect().await;
        client.send(handshake(KEY)).await;
        let mut far = upstream.accept().await;
        far.head().await;
        far.send(answer).await;

        assert!(client.head().await.starts_with("http/1.1 502"));
        assert_eq!(far.rest().await, "");
    }
}

#[tokio::test]
async fn a_handshake_that_is_not_one_is_400_and_other_upgrades_are_ordinary_requests() {
    let (gateway, upstream) = gateway_and_upstream().await;
    for fields in ["", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n", &KEY.replace("13", "8")] {
        let mut client = gateway.connect().await;
        client.send(handshake(fields)).await;
        assert!(client.head().await.starts_with("http/1.1 400"), "{fields}");
    }
    assert!(upstream.accept_now().is_none());

    let mut client = gateway.connect().await;
    client.send("GET /a HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await;
    let mut far = upstream.accept().await;
    let head = far.head().await;
    assert!(!head.contains("upgrade"), "{head}");
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.message().await.1, "ok");
}
