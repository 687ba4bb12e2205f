//! A gateway that forwards everything, and raw sockets to talk to both its ends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claviger_server::wire::{
    Beside, Body, Counters, Ended, Ending, Exchange, Handler, Handshake, Limits, Listen, PhaseLimits, Ports,
    SendError, Server, ServerTls, StillAllowed, Tunnel, TunnelError, Unserved, Upstream, UpstreamSettings,
    Watch, hop, websocket,
};
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const GET: &str = "GET /a HTTP/1.1\r\nHost: api\r\n\r\n";

/// A permission that can be withdrawn.
#[derive(Default)]
pub(crate) struct Permission {
    withdrawn: AtomicBool,
    pub(crate) asked: AtomicUsize,
}

impl Permission {
    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::SeqCst);
    }
}

impl StillAllowed for Permission {
    fn still_allowed(self: Arc<Self>) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        !self.withdrawn.load(Ordering::SeqCst)
    }
}

/// How exchanges ended, in the order of their ends.
pub(crate) type Endings = Arc<Mutex<Vec<Ended>>>;

/// Goes along with one exchange.
struct Witness {
    watch: Watch,
    endings: Endings,
    told: Option<Ended>,
}

impl Ending for Witness {
    fn ended(&mut self, how: Ended) {
        assert_eq!(self.told.replace(how), None, "told twice");
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let how = self.told.unwrap_or_else(|| self.watch.how_it_ends());
        self.endings.lock().unwrap().push(how);
    }
}

/// Forwards every request, but for those whose path starts with a word it knows.
pub(crate) struct Forwarder {
    pub(crate) upstream: Upstream,
    pub(crate) limits: PhaseLimits,
    pub(crate) max_body: u64,
    pub(crate) permission: Arc<Permission>,
    pub(crate) tunnel_lifetime: Option<Duration>,
    pub(crate) endings: Endings,
    /// What was asked for by requests that could not be served.
    pub(crate) unserved: Arc<Mutex<Vec<String>>>,
}

/// What a request comes to.
type Forwarded = (Response<Body>, Option<Tunnel>);

impl Forwarder {
    pub(crate) fn to(upstream: &str) -> Self {
        Self::with(UpstreamSettings { url: upstream, ..settings() })
    }

    pub(crate) fn with(settings: UpstreamSettings<'_>) -> Self {
        Self {
            upstream: Upstream::new(settings, 1).unwrap(),
            limits: PhaseLimits {
                connect: Duration::from_secs(2),
                head: Duration::from_secs(5),
                body_idle: Duration::from_secs(5),
            },
            max_body: 1 << 20,
            permission: Arc::default(),
            tunnel_lifetime: None,
            endings: Arc::default(),
            unserved: Arc::default(),
        }
    }

    async fn forward(&self, exchange: Exchange) -> Result<Forwarded, TunnelError> {
        exchange.watch.set(self.permission.clone());
        let (mut head, body) = exchange.request.into_parts();
        hop::strip_request(&mut head.headers);
        let body = body
            .limit(self.max_body)
            .map_err(SendError::from)?
            .filter_trailers(Arc::new(|name| !name.as_str().starts_with("x-claviger-")));
        let request = http::Request::from_parts(head, body);
        if let Some(client) = exchange.upgrade {
            return Ok(match websocket(&self.upstream, request, client, &self.limits).await? {
                Handshake::Agreed(response, tunnel) => (response, Some(tunnel)),
                Handshake::Declined(response) => (response, None),
            });
        }
        Ok((self.upstream.send(exchange.core, request, &self.limits).await?, None))
    }

    async fn answer(&self, exchange: Exchange) -> Forwarded {
        let server_name = exchange.tls.as_ref().map(|tls| tls.server_name.clone());
        let own = match (exchange.request.uri().path(), server_name) {
            ("/own", None) => Response::new(Body::from("own")),
            ("/own", Some(name)) => {
                Response::new(Body::full(name.map_or(String::new(), |name| name.to_string())))
            }
            ("/refuse", _) => {
                let mut response = Response::new(Body::from("no"));
                *response.status_mut() = StatusCode::FORBIDDEN;
                response
            }
            _ => return self.forward(exchange).await.unwrap_or_else(|error| (refusal(&error), None)),
        };
        (own, None)
    }
}

impl Handler for Forwarder {
    async fn handle(&self, exchange: Exchange) -> Response<Body> {
        let (watch, endings) = (exchange.watch.clone(), self.endings.clone());
        let witness = Box::new(Witness { watch, endings, told: None });
        match self.answer(exchange).await {
            (response, Some(tunnel)) => {
                tunnel.open(self.tunnel_lifetime, witness);
                response
            }
            (response, None) => response.map(|body| body.telling(witness)),
        }
    }

    fn refuse(&self, unserved: &Unserved<'_>) -> Response<String> {
        let (method, target) = &unserved.line;
        self.unserved.lock().unwrap().push(format!("{:?} {method} {target}", unserved.defect));
        let mut response = Response::new(format!("no: {:?}", unserved.defect));
        *response.status_mut() = unserved.defect.status();
        response.headers_mut().insert("x-own", "1".parse().unwrap());
        response
    }
}

fn refusal(error: &TunnelError) -> Response<Body> {
    let status = match error {
        TunnelError::BadHandshake => 400,
        TunnelError::Send(error) => match error {
            SendError::BodyTooLarge { .. } => 413,
            SendError::BodyStalled { .. } => 408,
            SendError::BodyMalformed | SendError::ClientGone => 400,
            SendError::ConnectTimeout { .. } | SendError::HeadTimeout { .. } => 504,
            SendError::NameNotFound
            | SendError::Unreachable(_)
            | SendError::Tls(_)
            | SendError::ClosedBeforeHead(_)
            | SendError::BadResponse { .. } => 502,
        },
    };
    let mut response = Response::new(Body::full(error.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

pub(crate) fn settings() -> UpstreamSettings<'static> {
    UpstreamSettings {
        url: "http://127.0.0.1:1",
        ca: None,
        max_idle: 16,
        idle: Duration::from_secs(4),
        max_head_bytes: 32 * 1024,
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        handshake: Duration::from_secs(5),
        first_request: Duration::from_secs(5),
        head: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        write_stall: Duration::from_secs(5),
        max_head_bytes: 16 * 1024,
        max_headers: 100,
        max_target_bytes: 8 * 1024,
        max_connections: 10_000,
        max_connections_per_address: 10_000,
        per_address_exempt: Arc::default(),
    }
}

/// A running gateway with one core.
pub(crate) struct Gateway {
    pub(crate) server: Server,
    pub(crate) handler: Arc<Forwarder>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    pub(crate) fn start(handler: Forwarder) -> Self {
        Self::start_with(handler, limits(), None)
    }

    pub(crate) fn start_with(handler: Forwarder, limits: Limits, tls: Option<ServerTls>) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let ports = Ports::bind(&[Listen { id: 7, address, tls }], 1, Beside::Nobody).unwrap();
        let address = ports.addresses()[0].1;
        let handler = Arc::new(handler);
        let counters = Arc::new(Counters::default());
        let server = Server::start(ports, handler.clone(), limits, counters.clone()).unwrap();
        Self { server, handler, counters, address }
    }

    pub(crate) async fn connect(&self) -> Raw {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }
}

/// An upstream whose every byte the test writes.
pub(crate) struct RawUpstream {
    listener: TcpListener,
    pub(crate) url: String,
}

impl RawUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    pub(crate) async fn accept(&self) -> Raw {
        let (stream, _) =
            timeout(PATIENCE, self.listener.accept()).await.expect("no connection came").unwrap();
        Raw::new(stream)
    }

    /// A connection that is there already, or none.
    pub(crate) fn accept_now(&self) -> Option<Raw> {
        use futures_util::FutureExt;
        self.listener.accept().now_or_never().map(|accepted| Raw::new(accepted.unwrap().0))
    }
}

/// Both ends of a gateway.
pub(crate) async fn gateway_and_upstream() -> (Gateway, RawUpstream) {
    let upstream = RawUpstream::start().await;
    (Gateway::start(Forwarder::to(&upstream.url)), upstream)
}

/// A connection read and written byte by byte.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// Reads up to and including `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.read.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.read.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            if self.more().await.unwrap() == 0 {
                panic!("the end came before {end:?}: {:?}", String::from_utf8_lossy(&self.read));
            }
        }
    }

    /// A head, with its empty line, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await.to_ascii_lowercase()
    }

    /// A head, and as many bytes as it declares.
    pub(crate) async fn message(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        (head, self.exactly(length).await)
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> String {
        while self.read.len() < length {
            assert_ne!(self.more().await.unwrap(), 0, "the end came early");
        }
        let rest = self.read.split_off(length);
        String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap()
    }

    /// Everything to the end of the connection, however it ends.
    pub(crate) async fn rest(&mut self) -> String {
        while matches!(self.more().await, Ok(1..)) {}
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }

    /// Everything to the end, and whether that was a reset.
    pub(crate) async fn rest_or_reset(&mut self) -> (String, bool) {
        let end = loop {
            match self.more().await {
                Ok(0) => break false,
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        (String::from_utf8(std::mem::take(&mut self.read)).unwrap(), end)
    }

    async fn more(&mut self) -> std::io::Result<usize> {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        read.unwrap_or_else(|_| panic!("nothing came: {:?}", String::from_utf8_lossy(&self.read)))
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let all = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}
