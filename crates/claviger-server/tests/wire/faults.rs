//! Upstreams that fail, and what becomes of their connections.

use std::time::Duration;

use claviger_server::wire::UpstreamSettings;

use super::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn an_upstream_that_refuses_or_has_no_name_is_502() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    for (url, text) in [
        (url.as_str(), "upstream cannot be reached"),
        ("http://no-such-name.invalid:80", "name of the upstream has no address"),
        ("unix:/no/such/socket", "upstream cannot be reached"),
    ] {
        let gateway = Gateway::start(Forwarder::to(url));
        let mut client = gateway.connect().await;

        client.send(GET).await;

        let (head, body) = client.message().await;
        assert!(head.starts_with("http/1.1 502"), "{head}");
        assert_eq!(body, text);
    }
}

#[tokio::test]
async fn an_upstream_that_hangs_is_504_and_its_connection_is_closed() {
    let upstream = RawUpstream::start().await;
    let mut forwarder = Forwarder::to(&upstream.url);
    forwarder.limits.head = Duration::from_millis(100);
    let gateway = Gateway::start(forwarder);
    let mut client = gateway.connect().await;

    client.send(GET).await;
    let mut far = upstream.accept().await;

    let (head, body) = client.message().await;
    assert!(head.starts_with("http/1.1 504"), "{head}");
    assert_eq!(body, "no answer from the upstream within 100 ms");
    assert!(far.rest().await.ends_with("\r\n\r\n"));
    client.send("GET /own HTTP/1.1\r\nHost: api\r\n\r\n").await;
    assert_eq!(client.message().await.1, "own", "the client's connection lives on");
}

#[tokio::test]
async fn an_upload_that_still_moves_is_no_late_answer() {
    let upstream = RawUpstream::start().await;
    let mut forwarder = Forwarder::to(&upstream.url);
    forwarder.limits.head = Duration::from_millis(300);
    let gateway = Gateway::start(forwarder);
    let mut client = gateway.connect().await;

    client.send("POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 8\r\n\r\n").await;
    let mut far = upstream.accept().await;
    far.head().await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(75)).await;
        client.send("a").await;
        assert_eq!(far.exactly(1).await, "a");
    }
    far.send(OK).await;

    assert_eq!(client.message().await.1, "ok");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_half_way_is_seen_by_the_client_and_not_used_again() {
    let (gateway, upstream) = gateway_and_upstream().await;
    for (response, rest) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "half"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "4\r\nhalf\r\n"),
    ] {
        let mut client = gateway.connect().await;
        client.send(GET).await;
        let mut far = upstream.accept().await;
        far.head().await;
        far.send(response).await;
        client.head().await;
        assert_eq!(client.exactly(rest.len()).await, rest);
        far.stream.set_zero_linger().unwrap();
        drop(far);

        assert_eq!(client.rest().await, "", "neither the missing bytes nor a last chunk");
        assert_eq!(gateway.handler.upstream.idle_connections(0), 0);
    }
}

#[tokio::test]
async fn an_http_1_0_client_is_reset_when_its_answer_breaks_off() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send("GET /a HTTP/1.0\r\nHost: api\r\n\r\n").await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    client.until("half").await;
    drop(far);

    assert_eq!(client.rest_or_reset().await, (String::new(), true));
}

#[tokio::test]
async fn a_response_with_bad_framing_is_502_and_its_connection_is_not_used_again() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ] {
        client.send(GET).await;
        let mut far = upstream.accept().await;
        far.head().await;
        far.send(response).await;

        let (head, body) = client.message().await;
        assert!(head.starts_with("http/1.1 502"), "{response:?}: {head}");
        assert!(body.starts_with("answer of the upstream is malformed: "), "{response:?}: {body}");
        assert_eq!(far.rest().await, "", "closed");
        assert_eq!(gateway.handler.upstream.idle_connections(0), 0);
    }
}

#[tokio::test]
async fn bytes_behind_a_response_end_the_connection_and_reach_nobody() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;

    far.send(format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")).await;
    assert_eq!(client.message().await.1, "ok");
    far.rest().await;
    client.send(GET).await;
    let mut fresh = upstream.accept().await;
    fresh.head().await;
    fresh.send(OK).await;

    assert_eq!(client.message().await.1, "ok");
}

#[tokio::test]
async fn a_connection_the_upstream_closed_while_idle_loses_no_post() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    for _ in 0..20 {
        client.send(GET).await;
        let mut far = upstream.accept().await;
        far.head().await;
        far.send(OK).await;
        client.message().await;
        drop(far);

        client.send("POST /b HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\n\r\nnew").await;
        let mut fresh = upstream.accept().await;
        assert_eq!(fresh.message().await.1, "new");
        fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        assert_eq!(client.message().await.1, "ok");
    }
}

#[tokio::test]
async fn a_request_that_reached_a_kept_connection_is_never_sent_twice() {
    let (gateway, upstream) = gateway_and_upstream().await;
    for request in [GET, "POST /b HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\n\r\nnew"] {
        let mut client = gateway.connect().await;
        client.send(GET).await;
        let mut far = upstream.accept().await;
        far.head().await;
        far.send(OK).await;
        client.message().await;

        client.send(request).await;
        far.message().await;
        drop(far);

        let (head, body) = client.message().await;
        assert!(head.starts_with("http/1.1 502"), "{head}");
        assert_eq!(body, "upstream closed the connection before it answered");
        assert!(upstream.accept_now().is_none());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_upstream_connection_with_it() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut waiting = gateway.connect().await;
    waiting.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    drop(waiting);
    assert_eq!(far.rest().await, "");

    let mut reading = gateway.connect().await;
    reading.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    reading.until("half").await;
    drop(reading);
    assert_eq!(far.rest().await, "");
    assert_eq!(gateway.handler.upstream.idle_connections(0), 0);
    eventually("both connections are gone", || gateway.server.open_connections() == 0).await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_ends_the_upstream_connection() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send("POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 9\r\n\r\nhalf").await;
    let mut far = upstream.accept().await;
    far.until("half").await;
    far.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;

    let (head, body) = client.message().await;
    assert!(head.starts_with("http/1.1 403"), "{head}");
    assert_eq!(body, "no");
    assert_eq!(far.rest().await, "");
    assert_eq!(gateway.handler.upstream.idle_connections(0), 0);
}

#[tokio::test]
async fn idle_connections_are_bounded_in_number_and_time() {
    let upstream = RawUpstream::start().await;
    let idle = Duration::from_millis(150);
    let settings = UpstreamSettings { url: &upstream.url, max_idle: 2, idle, ..settings() };
    let gateway = Gateway::start(Forwarder::with(settings));
    let mut pairs = Vec::new();
    for _ in 0..3 {
        let mut client = gateway.connect().await;
        client.send(GET).await;
        let mut far = upstream.accept().await;
        far.head().await;
        pairs.push((client, far));
    }

    for (client, far) in &mut pairs {
        far.send(OK).await;
        client.message().await;
    }

    eventually("two are kept", || gateway.handler.upstream.idle_connections(0) <= 2).await;
    for (_, far) in &mut pairs {
        assert_eq!(far.rest().await, "", "closed by us, before the upstream does");
    }
    assert_eq!(gateway.handler.upstream.idle_connections(0), 0);
}

#[tokio::test]
async fn an_upstream_on_a_unix_socket_is_served() {
    let path = std::env::temp_dir().join(format!("claviger-wire-{}", std::process::id()));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let gateway = Gateway::start(Forwarder::to(&format!("unix:{}", path.display())));
    let mut client = gateway.connect().await;

    client.send(GET).await;
    let mut far = Raw::new(listener.accept().await.unwrap().0);
    std::fs::remove_file(&path).unwrap();
    far.head().await;
    far.send(OK).await;

    assert_eq!(client.message().await.1, "ok");
}
