//! How exchanges end and who is told, and what becomes of those that never were.

use std::time::Duration;

use claviger_server::wire::Ended;

use super::support::*;

/// How all exchanges of the gateway so far ended, once there are `count` of them.
async fn endings(gateway: &Gateway, count: usize) -> Vec<Ended> {
    let told = || gateway.handler.endings.lock().unwrap().clone();
    eventually("all have ended", || told().len() >= count).await;
    told()
}

#[tokio::test]
async fn an_answer_that_was_handed_over_whole_is_complete_whatever_its_body() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let answers = [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
    ];
    for (at, (method, answer)) in answers.iter().enumerate() {
        let mut client = gateway.connect().await;
        client.send(format!("{method} /a HTTP/1.1\r\nHost: api\r\n\r\n")).await;
        let mut far = upstream.accept().await;
        far.head().await;
        far.send(answer).await;
        drop(far);
        client.head().await;
        assert_eq!(endings(&gateway, at + 1).await[at], Ended::Complete, "{method} {answer}");
    }
    let mut client = gateway.connect().await;
    client.send("GET /own HTTP/1.1\r\nHost: api\r\n\r\n").await;
    assert_eq!(client.message().await.1, "own");
    assert_eq!(endings(&gateway, answers.len() + 1).await[answers.len()], Ended::Complete);
}

#[tokio::test]
async fn a_client_that_goes_is_told_of_before_the_answer_and_in_the_middle() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    drop(client);
    assert_eq!(endings(&gateway, 1).await, [Ended::ClientGone]);

    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    client.until("half").await;
    drop(client);
    assert_eq!(endings(&gateway, 2).await[1], Ended::ClientGone);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_and_one_that_stands_still_are_told_apart() {
    let upstream = RawUpstream::start().await;
    let mut forwarder = Forwarder::to(&upstream.url);
    forwarder.limits.body_idle = Duration::from_millis(50);
    let gateway = Gateway::start(forwarder);
    for (at, (breaks, expected)) in
        [(true, Ended::UpstreamBroken), (false, Ended::UpstreamStalled)].into_iter().enumerate()
    {
        let mut client = gateway.connect().await;
        client.send(GET).await;
        let mut far = upstream.accept().await;
        far.head().await;
        far.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
        if breaks {
            drop(far);
            client.rest_or_reset().await;
        } else {
            client.rest_or_reset().await;
            drop(far);
        }
        assert_eq!(endings(&gateway, at + 1).await[at], expected);
    }
}

#[tokio::test]
async fn a_withdrawal_and_a_stop_are_told_while_the_upstream_is_waited_for() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    gateway.handler.permission.withdraw();
    client.rest_or_reset().await;
    assert_eq!(endings(&gateway, 1).await, [Ended::Withdrawn]);

    let (gateway, upstream) = gateway_and_upstream().await;
    let endings = gateway.handler.endings.clone();
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    gateway.server.drain(Duration::from_millis(20)).await;
    assert_eq!(*endings.lock().unwrap(), [Ended::Stopped]);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_of() {
    let upstream = RawUpstream::start().await;
    let limits = claviger_server::wire::Limits { write_stall: Duration::from_millis(100), ..limits() };
    let gateway = Gateway::start_with(Forwarder::to(&upstream.url), limits, None);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    let length = 64 << 20;
    far.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
    let sending = tokio::spawn(async move {
        let chunk = vec![b'x'; 1 << 20];
        while tokio::io::AsyncWriteExt::write_all(&mut far.stream, &chunk).await.is_ok() {}
    });
    assert_eq!(endings(&gateway, 1).await, [Ended::ClientStalled]);
    sending.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_by_the_handler_and_shown_to_it() {
    for (request, status, told) in [
        ("GET /a b HTTP/1.1\r\n\r\n", 400, "Unreadable GET /a"),
        ("GET /a HTTP/1.1\r\nHost : api\r\n\r\n", 400, "Unreadable GET /a"),
        ("\x16\x03\x01\x02\r\n\r\n", 400, "Unreadable \x16\x03\x01\x02 "),
        ("GET /a#b HTTP/1.1\r\nHost: api\r\n\r\n", 400, "Fragment GET /a"),
        ("GET http://api/a#b HTTP/1.1\r\nHost: api\r\n\r\n", 400, "Fragment GET /a"),
        (
            "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "BothFramings POST /a",
        ),
    ] {
        let (gateway, upstream) = gateway_and_upstream().await;
        let mut client = gateway.connect().await;
        client.send(request).await;
        let (head, body) = client.message().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{request:?}: {head}");
        assert!(head.contains("\r\nx-own: 1\r\n") && head.contains("\r\nconnection: close\r\n"), "{head}");
        assert!(body.starts_with("no: "), "{body}");
        assert_eq!(client.rest().await, "", "and nothing of the library's own");
        assert_eq!(*gateway.handler.unserved.lock().unwrap(), [told], "{request:?}");
        assert_eq!(*gateway.handler.endings.lock().unwrap(), [], "it never was an exchange");
        assert!(upstream.accept_now().is_none());
    }
}

#[tokio::test]
async fn a_head_over_its_limits_is_answered_by_the_handler_too() {
    let (gateway, _upstream) = gateway_and_upstream().await;
    let many: String = (0..200).map(|at| format!("x-{at}: 1\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(20_000));
    for fields in [many, long] {
        let mut client = gateway.connect().await;
        client.send(format!("GET /own HTTP/1.1\r\nHost: api\r\n{fields}\r\n")).await;
        let (head, body) = client.message().await;
        assert!(head.starts_with("http/1.1 431 ") && head.contains("x-own: 1"), "{head}");
        assert_eq!(body, "no: HeadTooLarge");
    }
    assert_eq!(*gateway.handler.unserved.lock().unwrap(), ["HeadTooLarge GET /own", "HeadTooLarge GET /own"]);
}

#[tokio::test]
async fn a_bad_request_behind_a_good_one_is_answered_behind_its_answer() {
    let (gateway, _upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    client.send("GET /own HTTP/1.1\r\nHost: api\r\n\r\n").await;
    assert_eq!(client.message().await.1, "own");
    client.send("GET / b HTTP/1.1\r\n\r\n").await;
    let (head, body) = client.message().await;
    assert!(head.starts_with("http/1.1 400 ") && head.contains("x-own: 1"), "{head}");
    assert_eq!(body, "no: Unreadable");
    assert_eq!(*gateway.handler.unserved.lock().unwrap(), ["Unreadable GET /"]);

    // In one piece: the answers come in order, the second perhaps the library's own; it is told of all the same.
    let mut client = gateway.connect().await;
    client.send("GET /own HTTP/1.1\r\nHost: api\r\n\r\nGET / b HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.message().await.1, "own");
    assert!(client.head().await.starts_with("http/1.1 400 "));
    eventually("it is told of", || gateway.handler.unserved.lock().unwrap().len() == 2).await;
}

#[tokio::test]
async fn an_upstreams_answer_is_never_taken_for_the_librarys() {
    let (gateway, upstream) = gateway_and_upstream().await;
    for status in ["400 Bad Request", "414 URI Too Long", "431 Request Header Fields Too Large"] {
        let mut client = gateway.connect().await;
        client.send(GET).await;
        let mut far = upstream.accept().await;
        far.head().await;
        // As like the library's own as an upstream's can be; and its body is the library's own to the letter.
        let like = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        far.send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", like.len())).await;
        client.head().await;
        far.send(&like).await;
        assert_eq!(client.exactly(like.len()).await, like);
        drop(far);

        client.send(GET).await;
        let mut far = upstream.accept().await;
        far.head().await;
        far.send(&like).await;
        let head = client.head().await;
        assert!(
            head.starts_with(&format!("http/1.1 {} ", &status[..3])) && !head.contains("x-own"),
            "{head}"
        );
    }
    assert_eq!(*gateway.handler.unserved.lock().unwrap(), [""; 0]);
}
