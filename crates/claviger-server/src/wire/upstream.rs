//! Sends a request to an upstream over a connection kept for it.
//!
//! A request is tried again in one case only: the kept connection turned out
//! to be closed before it took any part of the request, so that no byte of it
//! can have reached the upstream. Then a fresh connection is made, once.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::body::Body;
use super::body_error::BodyError;
use super::hop;
use super::pool::{self, Reply};
use super::socket::Socket;
use super::tls::{self, TlsError};
use super::upload::{self, Progress};

/// A connection for requests of ours.
type Line = pool::Line<Body>;
type Pool = pool::Pool<Body>;
type Upload = upload::Upload<Body>;

/// What an upstream's connection reads and writes a body in at most.
const BUFFER: usize = 64 * 1024;

/// Where an upstream is and how its connections are kept.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamSettings<'a> {
    /// `http://host:port`, `https://host:port` or `unix:/path`.
    pub url: &'a str,
    /// The certificates to trust for `https`, as the bytes of a PEM file.
    pub ca: Option<&'a [u8]>,
    /// Idle connections kept by each core.
    pub max_idle: usize,
    /// How long an idle connection is kept; must be less than the upstream's own
    /// limit.
    pub idle: Duration,
    /// Bytes of a response head, at most.
    pub max_head_bytes: usize,
}

/// Why an upstream cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Not one of the known forms.
    #[error("`{url}` is not an upstream; write `http://host:port`, `https://host:port` or `unix:/path`")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// `https` without certificates to trust.
    #[error("`{url}` needs the certificates to trust")]
    NoCertificates {
        /// What was given.
        url: String,
    },
    /// The certificates to trust are not usable.
    #[error("certificates to trust for `{url}` are not usable")]
    Tls {
        /// What was given.
        url: String,
        /// Why not.
        #[source]
        source: TlsError,
    },
}

/// Time limits of one request.
#[derive(Clone, Copy, Debug)]
pub struct PhaseLimits {
    /// To a connection, with name and TLS.
    pub connect: Duration,
    /// From the last byte the upstream took to the head of its response.
    pub head: Duration,
    /// Without any byte of a body, in either direction.
    pub body_idle: Duration,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The upstream's name has no address.
    #[error("name of the upstream has no address")]
    NameNotFound,
    /// No connection: refused, unreachable, or no such socket.
    #[error("upstream cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The TLS handshake failed, for example because the certificate is not trusted.
    #[error("TLS with the upstream failed")]
    Tls(#[source] io::Error),
    /// No connection in time.
    #[error("no connection to the upstream within {} ms", after.as_millis())]
    ConnectTimeout {
        /// The limit.
        after: Duration,
    },
    /// No response head in time.
    #[error("no answer from the upstream within {} ms", after.as_millis())]
    HeadTimeout {
        /// The limit.
        after: Duration,
    },
    /// The connection ended before a response head. The request may have had
    /// its effect.
    #[error("upstream closed the connection before it answered")]
    ClosedBeforeHead(#[source] Option<io::Error>),
    /// A response that cannot be read, or could be read in two ways.
    #[error("answer of the upstream is malformed: {why}")]
    BadResponse {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The request body is over its limit (413).
    #[error("request body is larger than {max} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        max: u64,
    },
    /// No byte of the request body came in time (408).
    #[error("no byte of the request body came for {} ms", after.as_millis())]
    BodyStalled {
        /// The limit.
        after: Duration,
    },
    /// The request body cannot be read (400).
    #[error("request body is malformed")]
    BodyMalformed,
    /// The client went away; nobody will read an answer.
    #[error("client went away")]
    ClientGone,
}

impl From<BodyError> for SendError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { max } => Self::BodyTooLarge { max },
            BodyError::Stalled { after } => Self::BodyStalled { after },
            BodyError::ClientMalformed => Self::BodyMalformed,
            BodyError::ClientGone | BodyError::UpstreamBroken | BodyError::Produced(_) => Self::ClientGone,
        }
    }
}

/// An upstream with its connections. Made once, shared by all cores.
pub struct Upstream {
    target: Target,
    http: http1::Builder,
    pools: Box<[Arc<Pool>]>,
}

enum Target {
    Http { host: String, port: u16 },
    Https { host: String, port: u16, name: ServerName<'static>, config: Arc<ClientConfig> },
    Unix { path: String },
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Http { host, port } => write!(formatter, "Upstream(http://{host}:{port})"),
            Target::Https { host, port, .. } => write!(formatter, "Upstream(https://{host}:{port})"),
            Target::Unix { path } => write!(formatter, "Upstream(unix:{path})"),
        }
    }
}

impl Upstream {
    /// An upstream used by cores `0..cores`. Nothing is connected so far.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] says what is wrong with the settings.
    pub fn new(settings: UpstreamSettings<'_>, cores: usize) -> Result<Self, UpstreamError> {
        let mut http = http1::Builder::new();
        http.max_header_size(settings.max_head_bytes).max_buf_size(settings.max_head_bytes.max(BUFFER));
        let pools =
            (0..cores.max(1)).map(|_| Arc::new(Pool::new(settings.max_idle, settings.idle))).collect();
        Ok(Self { target: Target::new(settings)?, http, pools })
    }

    /// Sends `request` and gives the response as soon as its head is there.
    ///
    /// `core` is the core this runs on. The request's target is sent in origin
    /// form, its framing follows from its body; hop-by-hop fields must have been
    /// removed before, so that the caller's own fields stay. The response comes
    /// without them. Its body holds the connection and gives it back at its end;
    /// dropped before that, the connection is closed.
    ///
    /// # Errors
    ///
    /// [`SendError`]: 502, or 504 for the two timeouts, or what is noted at it.
    pub async fn send(
        &self,
        core: usize,
        request: Request<Body>,
        limits: &PhaseLimits,
    ) -> Result<Response<Body>, SendError> {
        let (request, progress) = outgoing(request, limits);
        let home = self.pool(core);
        let response = match home.take() {
            None => self.send_fresh(request, progress.as_deref(), limits).await?,
            Some(line) => match exchange(line, request, progress.as_deref(), limits).await {
                Ok(response) => response,
                Err(Failed::Sent(error)) => return Err(error),
                Err(Failed::Unsent(request)) => {
                    self.send_fresh(*request, progress.as_deref(), limits).await?
                }
            },
        };
        let (mut response, line) = response;
        check_framing(response.headers())?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(SendError::BadResponse { why: "a switch of protocols nobody asked for" });
        }
        *response.version_mut() = Version::HTTP_11;
        hop::strip_response(response.headers_mut());
        Ok(response.map(|body| reply(body, line, Some(home.clone()), limits)))
    }

    /// Sends a request that asks for an upgrade, over a connection of its own.
    /// Its response is as the upstream sent it, but for the check of its framing.
    pub(super) async fn send_upgrade(
        &self,
        request: Request<Body>,
        limits: &PhaseLimits,
    ) -> Result<(Response<Incoming>, Line), SendError> {
        let (request, progress) = outgoing(request, limits);
        let (response, line) = self.send_fresh(request, progress.as_deref(), limits).await?;
        check_framing(response.headers())?;
        Ok((response, line))
    }

    /// Connections kept idle for `core`.
    #[must_use]
    pub fn idle_connections(&self, core: usize) -> usize {
        self.pool(core).len()
    }

    fn pool(&self, core: usize) -> &Arc<Pool> {
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the length, which is at least 1")]
        &self.pools[core % self.pools.len()]
    }

    async fn send_fresh(
        &self,
        request: Request<Upload>,
        progress: Option<&Progress>,
        limits: &PhaseLimits,
    ) -> Result<(Response<Incoming>, Line), SendError> {
        let after = limits.connect;
        let line =
            timeout(after, self.connect()).await.unwrap_or(Err(SendError::ConnectTimeout { after }))?;
        exchange(line, request, progress, limits).await.map_err(|failed| match failed {
            Failed::Sent(error) => error,
            Failed::Unsent(_) => SendError::ClosedBeforeHead(None),
        })
    }

    async fn connect(&self) -> Result<Line, SendError> {
        let socket = match &self.target {
            Target::Unix { path } => {
                Socket::Unix(UnixStream::connect(path).await.map_err(SendError::Unreachable)?)
            }
            Target::Http { host, port } => Socket::Tcp(dial(host, *port).await?),
            Target::Https { host, port, name, config } => {
                let stream = dial(host, *port).await?;
                let connector = TlsConnector::from(config.clone());
                let stream = connector.connect(name.clone(), stream).await.map_err(SendError::Tls)?;
                Socket::ClientTls(Box::new(stream))
            }
        };
        let (sender, connection) = self
            .http
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| SendError::Unreachable(io::Error::other(error)))?;
        // What goes wrong on the connection is told to the request on it.
        let task = tokio::spawn(async move { drop(connection.with_upgrades().await) });
        Ok(Line::new(sender, task.abort_handle()))
    }
}

impl Target {
    fn new(settings: UpstreamSettings<'_>) -> Result<Self, UpstreamError> {
        let bad = || UpstreamError::BadUrl { url: settings.url.to_owned() };
        if let Some(path) = settings.url.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix { path: path.to_owned() }) } else { Err(bad()) };
        }
        let uri: Uri = settings.url.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') || uri.path_and_query().is_some_and(|path| path != "/") {
            return Err(bad());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        match uri.scheme_str() {
            Some("http") => Ok(Self::Http { host, port: authority.port_u16().unwrap_or(80) }),
            Some("https") => {
                let url = || settings.url.to_owned();
                let ca = settings.ca.ok_or_else(|| UpstreamError::NoCertificates { url: url() })?;
                let config = tls::client(ca).map_err(|source| UpstreamError::Tls { url: url(), source })?;
                let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
                Ok(Self::Https { host, port: authority.port_u16().unwrap_or(443), name, config })
            }
            _ => Err(bad()),
        }
    }
}

/// The body of a response that came by `line`.
pub(super) fn reply(body: Incoming, line: Line, home: Option<Arc<Pool>>, limits: &PhaseLimits) -> Body {
    Body::from_upstream(Reply::new(body, line, home)).idle_limit(limits.body_idle)
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, SendError> {
    let addresses: Vec<_> = lookup_host((host, port)).await.map_err(|_| SendError::NameNotFound)?.collect();
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(SendError::Unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or(SendError::NameNotFound, SendError::Unreachable))
}

/// Gives a request its target in origin form and the framing of its body.
fn outgoing(request: Request<Body>, limits: &PhaseLimits) -> (Request<Upload>, Option<Arc<Progress>>) {
    let (mut head, body) = request.into_parts();
    head.version = Version::HTTP_11;
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        let target = head.uri.path_and_query().cloned();
        head.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    let is_empty = http_body::Body::is_end_stream(&body);
    match body.declared_length() {
        // hyper would send a body of unknown length with GET as none at all.
        None => {
            head.headers.remove(header::CONTENT_LENGTH);
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Some(length) => {
            head.headers.remove(header::TRANSFER_ENCODING);
            if !is_empty || head.headers.contains_key(header::CONTENT_LENGTH) {
                head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
    }
    let (upload, progress) = Upload::new(body.idle_limit(limits.body_idle));
    (Request::from_parts(head, upload), progress)
}

enum Failed {
    /// The connection ended before it took the request, which is as it was.
    Unsent(Box<Request<Upload>>),
    Sent(SendError),
}

async fn exchange(
    mut line: Line,
    request: Request<Upload>,
    progress: Option<&Progress>,
    limits: &PhaseLimits,
) -> Result<(Response<Incoming>, Line), Failed> {
    let mut answer = pin!(line.sender.try_send_request(request));
    let mut deadline = pin!(sleep_until(Instant::now() + limits.head));
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut answer => break outcome,
            () = &mut deadline => {
                let later = progress.map(|progress| progress.moved() + limits.head);
                match later.filter(|later| *later > Instant::now()) {
                    Some(later) => deadline.as_mut().reset(later),
                    None => return Err(Failed::Sent(SendError::HeadTimeout { after: limits.head })),
                }
            }
        }
    };
    match outcome {
        Ok(response) => Ok((response, line)),
        Err(mut error) => Err(match error.take_message() {
            Some(request) => Failed::Unsent(Box::new(request)),
            None => Failed::Sent(blame(error, progress)),
        }),
    }
}

fn blame(error: TrySendError<Request<Upload>>, progress: Option<&Progress>) -> SendError {
    if let Some(failure) = progress.and_then(Progress::take_failure) {
        return failure.into();
    }
    if error.error().is_parse() || error.error().is_parse_too_large() {
        return SendError::BadResponse { why: "its head cannot be read" };
    }
    SendError::ClosedBeforeHead(Some(io::Error::other(error.into_error())))
}

/// hyper reads one of two framings without a word; which one the upstream
/// meant, or another reader would take, is not ours to guess.
fn check_framing(headers: &HeaderMap) -> Result<(), SendError> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next();
    let why = match (length, coding) {
        (Some(_), Some(_)) => "both a length and a transfer coding",
        (Some(length), None) if !length.as_bytes().iter().all(u8::is_ascii_digit) => {
            "a length that is no number"
        }
        (None, Some(coding)) if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            "a transfer coding that is not known"
        }
        _ if lengths.next().is_some() || codings.next().is_some() => "its framing is given twice",
        _ => return Ok(()),
    };
    Err(SendError::BadResponse { why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> UpstreamSettings<'_> {
        let idle = Duration::from_secs(4);
        UpstreamSettings { url, ca: None, max_idle: 8, idle, max_head_bytes: 16384 }
    }

    #[test]
    fn an_upstream_is_a_url_without_a_path_or_a_socket() {
        let shown = |url| Upstream::new(settings(url), 1).map(|upstream| format!("{upstream:?}")).ok();

        assert_eq!(shown("http://[::1]:80/").as_deref(), Some("Upstream(http://::1:80)"));
        assert_eq!(shown("http://api").as_deref(), Some("Upstream(http://api:80)"));
        assert_eq!(shown("unix:/run/api").as_deref(), Some("Upstream(unix:/run/api)"));
        for bad in ["api:80", "http://api/v1", "http://user@api", "ftp://api", "unix:api", "", "http://"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
        let error = Upstream::new(settings("ftp://api"), 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`ftp://api` is not an upstream; write `http://host:port`, `https://host:port` or `unix:/path`"
        );
    }

    #[test]
    fn framing_follows_from_the_body_whatever_the_fields_say() {
        let limits = PhaseLimits {
            connect: Duration::from_secs(1),
            head: Duration::from_secs(1),
            body_idle: Duration::from_secs(1),
        };
        let sent = |body: Body, name, value: &'static str| {
            let request = Request::builder().uri("http://a/b?c").header(name, value).body(body).unwrap();
            let (request, _) = outgoing(request, &limits);
            assert_eq!(request.uri(), "/b?c");
            let get = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            (get(header::CONTENT_LENGTH), get(header::TRANSFER_ENCODING))
        };

        let five = Some("5".to_owned());
        let zero = Some("0".to_owned());
        assert_eq!(sent(Body::full("12345"), header::CONTENT_LENGTH, "7"), (five.clone(), None));
        assert_eq!(sent(Body::full("12345"), header::TRANSFER_ENCODING, "chunked"), (five, None));
        assert_eq!(sent(Body::empty(), header::CONTENT_LENGTH, "7"), (zero, None));
        assert_eq!(sent(Body::empty(), header::TRANSFER_ENCODING, "chunked"), (None, None));
    }
}
