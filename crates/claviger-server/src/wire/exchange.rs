//! What the wire gives to the rest of the server: one request with what is
//! known of where it came from.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};

use super::body::Body;
use super::hop::has_token;
use super::link::{Link, Watch};
use super::listen::ListenerId;
use super::tunnel::ClientUpgrade;

/// What a TLS handshake told of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// The server name it asked for (RFC 6066 section 3), in lower case.
    pub server_name: Option<Arc<str>>,
}

/// One request, to be answered with one response.
#[derive(Debug)]
pub struct Exchange {
    /// The request as it came; its body has no bounds so far.
    pub request: Request<Body>,
    /// The other end of the connection, which may be a proxy.
    pub peer: SocketAddr,
    /// The listener it came in by.
    pub listener: ListenerId,
    /// The core that serves it, from 0; what is kept per core is found by it.
    pub core: usize,
    /// What TLS told; `None` on a connection without TLS.
    pub tls: Option<TlsInfo>,
    /// Ends the exchange when its permission is withdrawn.
    pub watch: Watch,
    /// Present if the client asks for a WebSocket (RFC 6455 section 4.1) and
    /// nothing but a WebSocket.
    pub upgrade: Option<ClientUpgrade>,
}

/// Why a request never becomes an [`Exchange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A head that HTTP does not allow.
    Unreadable,
    /// A head over its limits of bytes or fields.
    HeadTooLarge,
    /// A `#` in the request target (RFC 9112 section 3.2 has none): what stands
    /// behind it is a reader's to drop or to take for the path.
    Fragment,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6.1):
    /// two readers could see two different requests.
    BothFramings,
    /// A transfer coding other than `chunked` alone.
    UnknownTransferCoding,
    /// A request target longer than the limit.
    TargetTooLong,
}

impl Defect {
    /// The status that says so: 400, 414 for a target that is too long, or 431.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unreadable | Self::Fragment | Self::BothFramings | Self::UnknownTransferCoding => {
                StatusCode::BAD_REQUEST
            }
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    /// Looks for a defect in a request, and in what was seen of its bytes.
    pub(super) fn find<B>(request: &Request<B>, link: &Link, max_target: usize) -> Option<Self> {
        // hyper drops what stands behind a `#`, and `Content-Length` when there
        // is a `Transfer-Encoding` too, so the bytes are asked.
        let codings = request.headers().get(header::TRANSFER_ENCODING);
        let seen = link.take_head(|head| {
            if request_line(head).contains(&b'#') {
                Some(Self::Fragment)
            } else if codings.is_some() && has_content_length(head) {
                Some(Self::BothFramings)
            } else {
                None
            }
        });
        if seen.is_some() {
            return seen;
        }
        if let Some(coding) = codings
            && (!coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                || request.headers().get_all(header::TRANSFER_ENCODING).iter().count() > 1)
        {
            return Some(Self::UnknownTransferCoding);
        }
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        let authority = request.uri().authority().map_or(0, |authority| authority.as_str().len());
        (target + authority > max_target).then_some(Self::TargetTooLong)
    }
}

/// Answers requests. One value serves all connections of all cores.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. The future is dropped when the client goes away.
    fn handle(&self, exchange: Exchange) -> impl Future<Output = Response<Body>> + Send;

    /// Answers a request that cannot be served; its connection is closed. The
    /// default has no body.
    fn refuse(&self, unserved: &Unserved<'_>) -> Response<String> {
        let mut response = Response::new(String::new());
        *response.status_mut() = unserved.defect.status();
        response
    }
}

/// A request that never becomes an [`Exchange`].
#[derive(Clone, Debug)]
pub struct Unserved<'a> {
    /// Why not.
    pub defect: Defect,
    /// Its method and target, as far as they were seen.
    pub line: (Cow<'a, str>, Cow<'a, str>),
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The core that would have served it.
    pub core: usize,
}

/// The longest method, and the longest target, that is shown of a request that
/// could not be read, in bytes.
const SHOWN: usize = 1024;

/// The method and the target at the beginning of a head, whatever they are.
pub(super) fn shown_line(head: &[u8]) -> (Cow<'_, str>, Cow<'_, str>) {
    let mut words = request_line(head).split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mut next = || {
        let word = words.next().unwrap_or_default();
        String::from_utf8_lossy(word.get(..SHOWN).unwrap_or(word))
    };
    (next(), next())
}

/// The first line of the head at the start of `bytes`, as far as it is there.
fn request_line(bytes: &[u8]) -> &[u8] {
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let line = bytes.get(begin..).unwrap_or_default();
    line.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default()
}

/// Whether a request asks for a WebSocket: GET over HTTP/1.1, `Upgrade` naming
/// nothing else, and `Connection` naming `Upgrade` (RFC 6455 section 4.2.1).
pub(super) fn asks_for_websocket(method: &Method, version: Version, headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let only = upgrades.next().filter(|_| upgrades.next().is_none());
    method == Method::GET
        && version == Version::HTTP_11
        && only.is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && headers.get_all(header::CONNECTION).iter().any(|value| has_token(value, "upgrade"))
}

/// Whether a line of the head at the start of `bytes` is a `Content-Length`.
fn has_content_length(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .any(|line| {
            line.split_at_checked(NAME.len()).is_some_and(|(name, rest)| {
                name.eq_ignore_ascii_case(NAME) && rest.trim_ascii_start().starts_with(b":")
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_length_is_seen_in_the_head_only() {
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncONTENT-lENGTH: 3\r\n\r\n";
        let body = b"\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 3\r\n";

        assert!(has_content_length(head));
        assert!(!has_content_length(body));
        assert!(!has_content_length(b"POST / HTTP/1.1\r\nX-Content-Length: 3\r\n\r\n"));
    }

    #[test]
    fn the_first_line_is_seen_however_little_of_it_there_is() {
        let line = |head: &'static [u8]| {
            let (method, target) = shown_line(head);
            (method.into_owned(), target.into_owned())
        };
        let both = |method: &str, target: &str| (method.to_owned(), target.to_owned());

        assert_eq!(line(b"\r\nGET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"), both("GET", "/a?b"));
        assert_eq!(line(b"GET  /a\xff\nX: #"), both("GET", "/a\u{fffd}"));
        assert_eq!(line(b"\x16\x03\x01"), both("\x16\x03\x01", ""));
        assert_eq!(line(b""), both("", ""));
    }

    #[test]
    fn only_a_whole_websocket_request_asks_for_one() {
        let asks = |method: &Method, version, upgrade, connection| {
            let request = Request::builder()
                .header(header::UPGRADE, upgrade)
                .header(header::CONNECTION, connection)
                .body(())
                .unwrap();
            asks_for_websocket(method, version, request.headers())
        };

        assert!(asks(&Method::GET, Version::HTTP_11, "WebSocket", "keep-alive, Upgrade"));
        assert!(!asks(&Method::POST, Version::HTTP_11, "websocket", "upgrade"));
        assert!(!asks(&Method::GET, Version::HTTP_10, "websocket", "upgrade"));
        assert!(!asks(&Method::GET, Version::HTTP_11, "websocket, h2c", "upgrade"));
        assert!(!asks(&Method::GET, Version::HTTP_11, "websocket", "keep-alive"));
    }
}
