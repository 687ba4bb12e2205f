//! Connections of clients: their deadlines, their number, TLS, and the end.

use std::sync::Arc;
use std::time::Duration;

use claviger_server::wire::{
    Beside, BindError, Limits, Listen, PemPair, Ports, ServerTls, UpstreamSettings, raise_open_files,
};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::support::*;

const OWN: &str = "GET /own HTTP/1.1\r\nHost: api\r\n\r\n";

fn nowhere() -> Forwarder {
    Forwarder::to("http://127.0.0.1:1")
}

#[tokio::test]
async fn silence_a_slow_head_and_idleness_end_a_connection_while_others_are_served() {
    let short = Duration::from_millis(200);
    let gateway = Gateway::start_with(
        nowhere(),
        Limits { first_request: short, head: short, idle: short, ..limits() },
        None,
    );
    let mut silent = gateway.connect().await;
    let mut dribbling = gateway.connect().await;
    let mut second = gateway.connect().await;
    let mut idle = gateway.connect().await;
    dribbling.send("GET /own HTTP/1.1\r\nX: ").await;
    second.send(OWN).await;
    second.message().await;
    second.send("GET /own HTTP/1.1\r\nX: ").await;
    idle.send(OWN).await;
    idle.message().await;

    let all = async {
        assert_eq!(silent.rest().await, "");
        assert_eq!(idle.rest().await, "");
        let dribble = |mut raw: Raw| async move {
            use tokio::io::AsyncWriteExt;
            while raw.stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        dribble(dribbling).await;
        dribble(second).await;
    };
    let other = async {
        loop {
            let mut client = gateway.connect().await;
            client.send(OWN).await;
            assert_eq!(client.message().await.1, "own");
        }
    };

    tokio::select! {
        () = all => {}
        () = other => {}
    }
    assert_eq!(gateway.counters.overdue.get(), 4);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let upstream = RawUpstream::start().await;
    let short = Duration::from_millis(200);
    let limits = Limits { write_stall: short, ..limits() };
    let gateway = Gateway::start_with(Forwarder::to(&upstream.url), limits, None);
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;

    let block = vec![b'a'; 1 << 16];
    use tokio::io::AsyncWriteExt;
    while far.stream.write_all(&block).await.is_ok() {}

    assert_eq!(gateway.counters.stalled.get(), 1);
    eventually("it is gone", || gateway.server.open_connections() == 0).await;
}

#[tokio::test]
async fn two_thousand_idle_connections_hold_nobody_up() {
    raise_open_files().unwrap();
    let gateway = Gateway::start_with(
        nowhere(),
        Limits { first_request: Duration::from_secs(60), idle: Duration::from_secs(60), ..limits() },
        None,
    );
    let mut idle = Vec::new();
    for number in 0..2000 {
        let mut client = gateway.connect().await;
        if number % 2 == 0 {
            client.send(OWN).await;
            client.message().await;
        }
        idle.push(client);
    }

    let mut client = gateway.connect().await;
    for _ in 0..50 {
        client.send(OWN).await;
        assert_eq!(client.message().await.1, "own");
    }
    assert_eq!(gateway.server.open_connections(), 2001);
    for client in &mut idle {
        client.send(OWN).await;
        assert_eq!(client.message().await.1, "own");
    }
}

#[tokio::test]
async fn connections_over_the_caps_are_closed_at_once() {
    for (total, each) in [(2, 10), (10, 2)] {
        let limits = Limits { max_connections: total, max_connections_per_address: each, ..limits() };
        let gateway = Gateway::start_with(nowhere(), limits, None);
        let mut first = gateway.connect().await;
        let mut second = gateway.connect().await;
        let mut third = gateway.connect().await;

        assert_eq!(third.rest().await, "");
        for client in [&mut first, &mut second] {
            client.send(OWN).await;
            assert_eq!(client.message().await.1, "own");
        }
        assert_eq!(gateway.counters.over_total.get() + gateway.counters.over_address.get(), 1);
        drop(first);
        eventually("a place is free", || gateway.server.open_connections() == 1).await;
        let mut fourth = gateway.connect().await;
        fourth.send(OWN).await;
        assert_eq!(fourth.message().await.1, "own");
    }
}

#[tokio::test]
async fn a_drain_closes_idle_connections_and_finishes_what_is_under_way() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut fresh = gateway.connect().await;
    let mut idle = gateway.connect().await;
    let mut busy = gateway.connect().await;
    let mut streaming = gateway.connect().await;
    idle.send(OWN).await;
    idle.message().await;
    streaming.send(GET).await;
    let mut stream = upstream.accept().await;
    stream.head().await;
    stream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    streaming.head().await;
    busy.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;
    let address = gateway.address;

    let drain = tokio::spawn(gateway.server.drain(Duration::from_secs(5)));
    assert_eq!(fresh.rest().await, "");
    assert_eq!(idle.rest().await, "");
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    stream.send("4\r\nlast\r\n0\r\n\r\n").await;

    let (head, body) = busy.message().await;
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert_eq!(body, "done");
    assert_eq!(streaming.rest().await, "4\r\nlast\r\n0\r\n\r\n");
    assert_eq!(drain.await.unwrap().cut, 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_by_a_drain() {
    let (gateway, upstream) = gateway_and_upstream().await;
    let mut client = gateway.connect().await;
    client.send(GET).await;
    let mut far = upstream.accept().await;
    far.head().await;

    let drained = gateway.server.drain(Duration::from_millis(100)).await;

    assert_eq!(drained.cut, 1);
    assert_eq!(client.rest().await, "");
    assert_eq!(far.rest().await, "");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_cure() {
    let listen = |address| Listen { id: 0, address, tls: None };
    let first = Ports::bind(&[listen("127.0.0.1:0".parse().unwrap())], 2, Beside::Nobody).unwrap();
    let address = first.addresses()[0].1;

    let error = Ports::bind(&[listen(address)], 2, Beside::Nobody).unwrap_err();

    assert!(matches!(error, BindError::Taken { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on `{address}`: the port is taken by another program; stop it or choose another port"
        )
    );
    let foreign = Ports::bind(&[listen("192.0.2.1:0".parse().unwrap())], 1, Beside::Nobody).unwrap_err();
    assert_eq!(foreign.to_string(), "cannot listen on `192.0.2.1:0`: this machine does not have the address");
    // Whoever takes over from a server that is about to stop listens beside it.
    drop(Ports::bind(&[listen(address)], 2, Beside::Predecessor).unwrap());
    drop(first);
    Ports::bind(&[listen(address)], 2, Beside::Nobody).unwrap();
}

struct Issued {
    chain: String,
    key: String,
}

impl Issued {
    fn to(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Self { chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn pair(&self) -> PemPair<'_> {
        PemPair { chain: self.chain.as_bytes(), key: self.key.as_bytes() }
    }

    /// A client that trusts this certificate alone.
    fn trusting(&self) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(
        &self,
        gateway: &Gateway,
        name: &'static str,
    ) -> Raw<impl Sized + tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let stream = self.trusting().connect(ServerName::try_from(name).unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        Raw::new(stream)
    }
}

#[tokio::test]
async fn tls_chooses_the_certificate_by_name_and_tells_the_name() {
    let (a, b, c) = (Issued::to("a.example"), Issued::to("b.example"), Issued::to("c.example"));
    let tls = ServerTls::new(&[a.pair(), b.pair()]).unwrap();
    let gateway = Gateway::start_with(nowhere(), limits(), Some(tls.clone()));

    for (issued, name) in [(&a, "a.example"), (&b, "b.example")] {
        let mut client = issued.connect(&gateway, name).await;
        client.send(OWN).await;
        assert_eq!(client.message().await.1, name);
    }
    tls.replace(&[c.pair()]).unwrap();
    let mut client = c.connect(&gateway, "c.example").await;
    client.send(OWN).await;

    assert_eq!(client.message().await.1, "c.example");
}

#[tokio::test]
async fn a_client_that_is_silent_before_or_after_the_handshake_is_closed() {
    let issued = Issued::to("a.example");
    let short = Duration::from_millis(200);
    let tls = ServerTls::new(&[issued.pair()]).unwrap();
    let limits = Limits { handshake: short, first_request: short, ..limits() };
    let gateway = Gateway::start_with(nowhere(), limits, Some(tls));
    let mut before = gateway.connect().await;
    let mut after = issued.connect(&gateway, "a.example").await;

    assert_eq!(before.rest().await, "");
    assert_eq!(after.rest().await, "");
    assert_eq!(gateway.counters.handshake_failed.get(), 1);
    assert_eq!(gateway.counters.overdue.get(), 1);
}

#[tokio::test]
async fn an_upstream_with_tls_is_verified() {
    let (good, other) = (Issued::to("localhost"), Issued::to("localhost"));
    let tls = ServerTls::new(&[good.pair()]).unwrap();
    let far = Gateway::start_with(nowhere(), limits(), Some(tls));
    let url = format!("https://localhost:{}", far.address.port());
    // What the far end knows by itself, it would answer to us as well, so it
    // is asked for a path that it forwards to nowhere.
    for (issued, text) in [(&good, "upstream cannot be reached"), (&other, "TLS with the upstream failed")] {
        let ca = Some(issued.chain.as_bytes());
        let near = Gateway::start(Forwarder::with(UpstreamSettings { url: &url, ca, ..settings() }));
        let mut client = near.connect().await;

        client.send(GET).await;

        let (head, body) = client.message().await;
        assert!(head.starts_with("http/1.1 502"), "{head}");
        assert_eq!(body, text);
    }
}
