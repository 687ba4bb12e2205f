//! One client connection: TLS if asked for, then requests one after the other.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::body::Body;
use super::body_error::BodyError;
use super::counters::Counters;
use super::ending::Ended;
use super::exchange::{Defect, Exchange, Handler, TlsInfo, Unserved, asks_for_websocket, shown_line};
use super::link::{End, Link};
use super::listen::{Limits, ListenerId};
use super::socket::{ClientSocket, Socket, Unread};
use super::tls::ServerTls;
use super::tunnel::ClientUpgrade;

/// hyper's smallest bound on its buffers.
const LEAST_BUFFER: usize = 8192;
/// What a body is read and written in at most, per connection.
const BODY_BUFFER: usize = 64 * 1024;

/// What all connections of one core share.
pub(super) struct Station<H> {
    pub(super) handler: Arc<H>,
    pub(super) limits: Arc<Limits>,
    pub(super) counters: Arc<Counters>,
    pub(super) core: usize,
    pub(super) http: http1::Builder,
}

impl<H: Handler> Station<H> {
    pub(super) fn new(handler: Arc<H>, limits: Arc<Limits>, counters: Arc<Counters>, core: usize) -> Self {
        let mut http = http1::Builder::new();
        http.half_close(false)
            .keep_alive(true)
            .max_headers(limits.max_headers)
            .max_header_size(limits.max_head_bytes)
            .max_buf_size(limits.max_head_bytes.max(BODY_BUFFER).max(LEAST_BUFFER))
            // Time limits are the link's: hyper would make a timer per request.
            .header_read_timeout(None::<Duration>);
        Self { handler, limits, counters, core, http }
    }
}

/// One connection's part of what a request is given.
struct Origin<H> {
    station: Arc<Station<H>>,
    link: Arc<Link>,
    peer: SocketAddr,
    listener: ListenerId,
    tls: Option<TlsInfo>,
    /// Whether the handler was told of a request that could not be read.
    told: AtomicBool,
}

impl<H: Handler> Origin<H> {
    fn unserved<'a>(&self, defect: Defect, line: (Cow<'a, str>, Cow<'a, str>)) -> Unserved<'a> {
        Unserved { defect, line, peer: self.peer, core: self.station.core }
    }

    /// What the handler answers to a request that could not be read.
    fn unread(&self, defect: Defect) -> Response<String> {
        self.told.store(true, Ordering::Relaxed);
        self.link.take_head(|head| self.station.handler.refuse(&self.unserved(defect, shown_line(head))))
    }
}

impl<H: Handler> Unread for Origin<H> {
    fn answer(&self, status: StatusCode) -> Vec<u8> {
        let response = self.unread(match status {
            StatusCode::URI_TOO_LONG => Defect::TargetTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Defect::HeadTooLarge,
            _ => Defect::Unreadable,
        });
        let (head, body) = response.into_parts();
        let reason = head.status.canonical_reason().unwrap_or_default();
        let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_str()).into_bytes();
        for (name, value) in &head.headers {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend(format!("connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()).bytes());
        bytes
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(
    station: Arc<Station<H>>,
    link: Arc<Link>,
    stream: TcpStream,
    peer: SocketAddr,
    listener: ListenerId,
    tls: Option<ServerTls>,
) {
    let (socket, tls) = match tls {
        None => (Socket::Tcp(stream), None),
        Some(tls) => {
            let handshake = TlsAcceptor::from(tls.config.clone()).accept(stream);
            let outcome = tokio::select! {
                outcome = tokio::time::timeout(station.limits.handshake, handshake) => outcome,
                _ = poll_fn(|context| link.poll_ended(context)) => return station.counters.cut.add(),
            };
            let Ok(Ok(stream)) = outcome else { return station.counters.handshake_failed.add() };
            let server_name = stream.get_ref().1.server_name().map(Arc::from);
            (Socket::ServerTls(Box::new(stream)), Some(TlsInfo { server_name }))
        }
    };
    link.opened();
    let counters = station.counters.clone();
    let http = station.http.clone();
    let kept = station.limits.max_head_bytes;
    let told = AtomicBool::new(false);
    let origin = Arc::new(Origin { station, link: link.clone(), peer, listener, tls, told });
    let io = TokioIo::new(ClientSocket::new(socket, link.clone(), kept, origin.clone()));
    let service = {
        let origin = origin.clone();
        service_fn(move |request| answer(origin.clone(), request))
    };
    let mut connection = pin!(http.serve_connection(io, service).with_upgrades());
    let mut registered = false;
    let mut drained = false;
    let outcome = poll_fn(|context| {
        if !registered {
            // The waker of a task stays the same as long as the task lives.
            link.wake_with(context.waker());
            registered = true;
        }
        if link.ended().is_some() {
            return Poll::Ready(Ok(()));
        }
        let outcome = connection.as_mut().poll(context);
        if outcome.is_ready() || drained || !link.is_draining() {
            return outcome;
        }
        // Only after the poll: a request that waits in the socket is answered.
        drained = true;
        connection.as_mut().graceful_shutdown();
        connection.as_mut().poll(context)
    })
    .await;
    match (outcome, link.ended()) {
        (Err(error), _) if error.is_parse() || error.is_parse_too_large() => {
            counters.malformed.add();
            // hyper's own answer went out where it could not be told from what came before.
            if !origin.told.load(Ordering::Relaxed) {
                let too_large = error.is_parse_too_large();
                origin.unread(if too_large { Defect::HeadTooLarge } else { Defect::Unreadable });
            }
        }
        (_, Some(End::Stopped)) => counters.cut.add(),
        _ => {}
    }
}

async fn answer<H: Handler>(
    origin: Arc<Origin<H>>,
    mut request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let link = &origin.link;
    link.request_began();
    let version = request.version();
    let is_head = request.method() == Method::HEAD;
    let defect = Defect::find(&request, link, origin.station.limits.max_target_bytes);
    let response = match defect {
        Some(defect) => {
            origin.station.counters.malformed.add();
            let target = request.uri().path_and_query().map_or("", |target| target.as_str());
            let line = (request.method().as_str().into(), target.into());
            let mut response = origin.station.handler.refuse(&origin.unserved(defect, line)).map(Body::from);
            response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
            response
        }
        None => {
            let upgrade = asks_for_websocket(request.method(), version, request.headers())
                .then(|| ClientUpgrade::new(hyper::upgrade::on(&mut request), link.clone()));
            let exchange = Exchange {
                request: request.map(Body::from_client),
                peer: origin.peer,
                listener: origin.listener,
                core: origin.station.core,
                tls: origin.tls.clone(),
                watch: link.watch(),
                upgrade,
            };
            origin.station.handler.handle(exchange).await
        }
    };
    let unknown_length = http_body::Body::size_hint(response.body()).exact().is_none();
    let close_delimited = version == Version::HTTP_10 && unknown_length;
    let status = response.status();
    let head_only = is_head
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let link = link.clone();
    Ok(response.map(|body| Outgoing { body, link, close_delimited, head_only }))
}

/// A response body on its way to the client; tells the link when it is over.
struct Outgoing {
    body: Body,
    link: Arc<Link>,
    /// The client takes the end of the connection for the end of the body.
    close_delimited: bool,
    /// No byte of the body is ever sent.
    head_only: bool,
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if self.close_delimited && matches!(frame, Poll::Ready(Some(Err(_)))) {
            self.link.reset_on_close();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.link.ended().is_none() && (self.head_only || http_body::Body::is_end_stream(&self.body)) {
            self.body.end(Ended::Complete);
        }
        self.link.request_ended();
    }
}
