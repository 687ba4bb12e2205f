//! Bodies in both directions: streamed, bounded, with trailers.

use std::time::{Duration, Instant};

use super::support::*;

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_sized_body_travels_both_ways_and_the_connection_is_kept() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send("POST /a?b=%2F HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nhello").await;
    let mut far = upstream.accept().await;
    let (head, body) = far.message().await;
    assert!(head.starts_with("post /a?b=%2f http/1.1\r\n"), "{head}");
    assert_eq!(body, "hello");
    far.send("HTTP/1.1 201 Created\r\nContent-Length: 3\r\nKeep-Alive: timeout=5\r\nX-A: 1\r\n\r\nyes").await;
    let (head, body) = client.message().await;

    assert!(head.starts_with("http/1.1 201 created\r\n"), "{head}");
    assert!(head.contains("x-a: 1\r\n") && !head.contains("keep-alive"), "{head}");
    assert_eq!(body, "yes");
    client.send(GET).await;
    far.head().await;
    far.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(client.head().await.starts_with("http/1.1 204"));
    assert!(upstream.accept_now().is_none(), "the second request used the same connection");
}

#[tokio::test]
async fn a_response_reaches_the_client_before_the_upstream_has_finished_it() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send(STREAM_HEAD).await;
    client.head().await;
    for event in ["data: one\n\n", "data: two\n\n"] {
        far.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert_eq!(client.until("\n\n").await.split_once("\r\n").unwrap().1, event);
        client.until("\r\n").await;
    }
    far.send("0\r\n\r\n").await;

    assert_eq!(client.until("0\r\n\r\n").await, "0\r\n\r\n");
    eventually("the connection is kept", || gateway.handler.upstream.idle_connections(0) == 1).await;
}

#[tokio::test]
async fn a_request_reaches_the_upstream_before_the_client_has_finished_it() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send("PUT /a HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    let mut far = upstream.accept().await;
    let head = far.head().await;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert_eq!(far.until("abc\r\n").await, "3\r\nabc\r\n");
    client.send("1\r\nd\r\n0\r\n\r\n").await;

    assert_eq!(far.until("0\r\n\r\n").await, "1\r\nd\r\n0\r\n\r\n");
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert!(client.head().await.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_get_with_a_chunked_body_keeps_its_body() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client
        .send("GET /a HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .await;
    let mut far = upstream.accept().await;

    assert!(far.head().await.contains("transfer-encoding: chunked\r\n"));
    assert_eq!(far.until("0\r\n\r\n").await, "3\r\nabc\r\n0\r\n\r\n");
}

#[tokio::test]
async fn trailers_travel_both_ways_without_the_protected_ones() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client
        .send(
            "POST /a HTTP/1.1\r\nHost: api\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Sum, X-Claviger-User\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nX-Claviger-User: root\r\n\r\n",
        )
        .await;
    let mut far = upstream.accept().await;
    let head = far.head().await;
    assert!(head.contains("te: trailers\r\n") && head.contains("trailer: x-sum"), "{head}");
    assert_eq!(far.until("\r\n\r\n").await.to_ascii_lowercase(), "1\r\na\r\n0\r\nx-sum: 1\r\n\r\n");
    far.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\nb\r\n0\r\nX-Sum: 2\r\n\r\n")
        .await;

    assert!(client.head().await.contains("trailer: x-sum\r\n"));
    assert_eq!(client.until("\r\n\r\n").await.to_ascii_lowercase(), "1\r\nb\r\n0\r\nx-sum: 2\r\n\r\n");
    eventually("the connection is kept", || gateway.handler.upstream.idle_connections(0) == 1).await;
}

#[tokio::test]
async fn a_client_is_told_to_continue_only_when_its_body_is_read() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let head = "Host: api\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut refused = gateway.connect().await;
    let mut served = gateway.connect().await;

    refused.send(format!("POST /refuse HTTP/1.1\r\n{head}")).await;
    served.send(format!("POST /a HTTP/1.1\r\n{head}")).await;

    assert!(refused.rest().await.starts_with("HTTP/1.1 403"), "no 100 for a refused request");
    assert_eq!(served.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    served.send("ok").await;
    let mut far = upstream.accept().await;
    let (head, body) = far.message().await;
    assert!(!head.contains("expect"), "{head}");
    assert_eq!(body, "ok");
}

#[tokio::test]
async fn a_declared_body_over_the_limit_is_413_before_anything_is_read() {
    let upstream = RawUpstream::start().await;
    let gateway = Gateway::start(Forwarder { max_body: 4, ..Forwarder::to(&upstream.url) });
    let mut client = gateway.connect().await;

    client.send("POST /a HTTP/1.1\r\nHost: api\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;

    assert!(client.rest().await.starts_with("HTTP/1.1 413"));
    assert!(upstream.accept_now().is_none());
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_413_and_its_upstream_connection_is_closed() {
    let upstream = RawUpstream::start().await;
    let gateway = Gateway::start(Forwarder { max_body: 4, ..Forwarder::to(&upstream.url) });
    let mut client = gateway.connect().await;

    client.send("POST /a HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    let mut far = upstream.accept().await;
    far.until("abc\r\n").await;
    client.send("3\r\ndef\r\n").await;

    assert!(client.head().await.starts_with("http/1.1 413"));
    assert_eq!(far.rest().await, "", "the upstream never sees an end of the body");
    assert_eq!(gateway.handler.upstream.idle_connections(0), 0);
}

#[tokio::test]
async fn chunks_that_cannot_be_read_are_400() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send("POST /a HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n").await;
    let mut far = upstream.accept().await;

    assert!(client.head().await.starts_with("http/1.1 400"));
    assert!(!far.rest().await.contains("0\r\n\r\n"));
}

#[tokio::test]
async fn a_client_that_stops_sending_its_body_gets_408() {
    let upstream = RawUpstream::start().await;
    let mut forwarder = Forwarder::to(&upstream.url);
    forwarder.limits.body_idle = Duration::from_millis(100);
    let gateway = Gateway::start(forwarder);
    let mut client = gateway.connect().await;

    client.send("POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nab").await;
    let mut far = upstream.accept().await;

    assert!(client.head().await.starts_with("http/1.1 408"));
    assert!(far.rest().await.ends_with("ab"));
}

#[tokio::test]
async fn head_204_and_304_have_no_body_and_keep_both_connections() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send("HEAD /a HTTP/1.1\r\nHost: api\r\n\r\n").await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.contains("content-length: 5\r\n"), "{head}");
    for status in ["204 No Content", "304 Not Modified"] {
        client.send(GET).await;
        far.head().await;
        far.send(format!("HTTP/1.1 {status}\r\nETag: \"a\"\r\n\r\n")).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("http/1.1 {}", status.to_ascii_lowercase())), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
    assert!(upstream.accept_now().is_none());
}

#[tokio::test]
async fn interim_responses_of_an_upstream_stay_with_us() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
        .await;

    let (head, body) = client.message().await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "a");
}

#[tokio::test]
async fn a_stream_ends_within_a_second_of_the_withdrawal_of_its_permission() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send(STREAM_HEAD).await;
    client.head().await;
    let flow = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while far.stream.write_all(b"5\r\nhello\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    client.until("hello").await;

    let since = Instant::now();
    gateway.handler.permission.withdraw();
    let (rest, reset) = client.rest_or_reset().await;

    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    assert!(!rest.contains("0\r\n\r\n") && reset, "the client sees that the stream is cut");
    flow.await.unwrap();
    assert_eq!(gateway.counters.withdrawn.get(), 1);
}

#[tokio::test]
async fn a_silent_stream_and_an_upload_end_by_withdrawal_too() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut reading = gateway.connect().await;
    reading.send(GET).await;
    let mut silent = upstream.accept().await;
    silent.head().await;
    silent.send(STREAM_HEAD).await;
    reading.head().await;
    let mut writing = gateway.connect().await;
    writing.send("POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 9\r\n\r\na").await;
    let mut taking = upstream.accept().await;
    taking.head().await;

    let since = Instant::now();
    gateway.handler.permission.withdraw();

    assert_eq!(reading.rest_or_reset().await, (String::new(), true));
    assert_eq!(writing.rest_or_reset().await, (String::new(), true));
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_permission_ends_with_its_exchange() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab").await;
    client.message().await;

    gateway.handler.permission.withdraw();
    let asked = gateway.handler.permission.asked.load(std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(600)).await;

    assert_eq!(gateway.handler.permission.asked.load(std::sync::atomic::Ordering::SeqCst), asked);
    client.send("GET /own HTTP/1.1\r\nHost: api\r\n\r\n").await;
    assert_eq!(client.message().await.1, "own");
}
