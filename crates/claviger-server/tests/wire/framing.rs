//! Requests that two readers could read in two ways, and heads over their limits.

use super::support::*;

/// Sends `request` and gives everything the gateway answers before it closes.
async fn answer(request: &str) -> (String, Gateway, RawUpstream) {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    client.send(request).await;
    (client.rest().await, gateway, upstream)
}

#[tokio::test]
async fn two_framings_are_400_and_the_connection_is_closed_in_either_order() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "transfer-encoding: Chunked\r\nX: y\r\ncontent-length: 0",
    ] {
        let smuggled = "0\r\n\r\nGET /own HTTP/1.1\r\nHost: api\r\n\r\n";
        let (answer, gateway, upstream) =
            answer(&format!("POST /a HTTP/1.1\r\nHost: api\r\n{fields}\r\n\r\n{smuggled}")).await;

        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(upstream.accept_now().is_none());
        eventually("it is counted", || gateway.counters.malformed.get() == 1).await;
    }
}

#[tokio::test]
async fn two_framings_in_a_head_that_comes_in_pieces_are_400() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    client.send("GET /own HTTP/1.1\r\nHost: api\r\n\r\n").await;
    client.message().await;

    client.send("POST /a HTTP/1.1\r\nHost: api\r\nContent-Le").await;
    // Another client's answer shows that the core has read the part before it.
    let mut other = gateway.connect().await;
    other.send("GET /own HTTP/1.1\r\nHost: api\r\n\r\n").await;
    other.message().await;
    client.send("ngth: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;

    assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
    assert!(upstream.accept_now().is_none());
}

#[tokio::test]
async fn two_framings_behind_another_request_are_framed_anew_and_end_the_connection() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client
        .send(
            "GET /own HTTP/1.1\r\nHost: api\r\n\r\n\
             POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n\
             1\r\nz\r\n0\r\n\r\nGET /own HTTP/1.1\r\nHost: api\r\n\r\n",
        )
        .await;
    let mut far = upstream.accept().await;
    let head = far.head().await;
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    assert_eq!(far.until("0\r\n\r\n").await, "1\r\nz\r\n0\r\n\r\n");
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;

    assert_eq!(client.message().await.1, "own");
    let rest = client.rest().await;
    assert_eq!(rest.matches("HTTP/1.1 200").count(), 1, "{rest}");
    assert!(rest.contains("connection: close"), "{rest}");
}

#[tokio::test]
async fn other_ambiguous_or_malformed_heads_are_400() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: \x0bchunked",
        "Content-Length : 5",
        "X-A: b\r\n folded",
        "X-A: b\0c",
        "X\u{e9}: b",
    ] {
        let (answer, gateway, upstream) =
            answer(&format!("POST /a HTTP/1.1\r\nHost: api\r\n{fields}\r\n\r\nhello")).await;

        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields:?}: {answer}");
        assert!(upstream.accept_now().is_none());
        eventually("it is counted", || gateway.counters.malformed.get() == 1).await;
    }
}

#[tokio::test]
async fn a_transfer_coding_with_http_1_0_is_400() {
    let (answer, ..) = answer("POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;

    assert!(answer.contains(" 400 "), "{answer}");
}

#[tokio::test]
async fn the_same_length_twice_and_bare_line_feeds_reach_the_upstream_in_one_form() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client.send("\r\nPOST /a HTTP/1.1\nHost: api\nContent-Length: 2\nContent-Length: 2\n\nok").await;
    let mut far = upstream.accept().await;
    let (head, body) = far.message().await;

    assert_eq!(head.matches("content-length: 2\r\n").count(), 1, "{head}");
    assert_eq!(head.matches('\n').count(), head.matches("\r\n").count());
    assert_eq!(body, "ok");
}

#[tokio::test]
async fn heads_over_their_limits_are_431_and_a_long_target_is_414() {
    let many: String = (0..101).map(|number| format!("X-{number}: 1\r\n")).collect();
    for (request, status) in [
        (format!("GET /own HTTP/1.1\r\nHost: api\r\nX: {}\r\n\r\n", "x".repeat(17 * 1024)), 431),
        (format!("GET /own HTTP/1.1\r\nHost: api\r\n{many}\r\n"), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: api\r\n\r\n", "x".repeat(8 * 1024)), 414),
    ] {
        let (answer, gateway, _) = answer(&request).await;

        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        eventually("it is counted", || gateway.counters.malformed.get() == 1).await;
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;

    client
        .send(
            "POST /1 HTTP/1.1\r\nHost: api\r\nContent-Length: 1\r\n\r\naGET /own HTTP/1.1\r\nHost: api\r\n\r\n\
             GET /3 HTTP/1.1\r\nHost: api\r\n\r\n",
        )
        .await;
    let mut far = upstream.accept().await;
    assert_eq!(far.message().await.1, "a");
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none").await;
    assert!(far.head().await.starts_with("get /3 "));
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree").await;

    assert_eq!(client.message().await.1, "one");
    assert_eq!(client.message().await.1, "own");
    assert_eq!(client.message().await.1, "three");
}
