//! Makes one connection of a client's and an upstream's, for a WebSocket.
//!
//! Bytes flow only after the upstream answered 101 with the accept value that
//! belongs to the client's key (RFC 6455 section 4.1): an upstream that does not
//! speak WebSocket, or a stale answer, never becomes a tunnel.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::body::Body;
use super::ending::{Ended, Ending};
use super::hop;
use super::link::Link;
use super::pool::Line;
use super::upstream::{PhaseLimits, SendError, Upstream, reply};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// The client's end of a WebSocket to be; see [`super::Exchange::upgrade`].
#[derive(Debug)]
pub struct ClientUpgrade {
    upgrade: OnUpgrade,
    link: Arc<Link>,
}

impl ClientUpgrade {
    pub(super) fn new(upgrade: OnUpgrade, link: Arc<Link>) -> Self {
        Self { upgrade, link }
    }
}

/// What an upstream says to a client that wants a tunnel.
#[derive(Debug)]
pub enum Handshake {
    /// It agrees: the head of the answer, and the tunnel to be opened with it.
    Agreed(Response<Body>, Tunnel),
    /// It answers something else.
    Declined(Response<Body>),
}

/// A tunnel that both ends agreed on and nobody has opened.
pub struct Tunnel {
    client: ClientUpgrade,
    far: OnUpgrade,
    line: Line<Body>,
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tunnel")
    }
}

impl Tunnel {
    /// Copies both ways until both ends have finished, `lifetime` is over, or
    /// the connection is ended by us; whoever watches the exchange goes on
    /// watching. `ending` is told how it ended.
    pub fn open(self, lifetime: Option<Duration>, ending: Box<dyn Ending>) {
        self.client.link.tunnel_began();
        tokio::spawn(self.join(lifetime, ending));
    }

    /// One end that has finished leaves the other direction open.
    async fn join(self, lifetime: Option<Duration>, mut ending: Box<dyn Ending>) {
        let Self { client: ClientUpgrade { upgrade, link }, far, line } = self;
        let copy = async {
            if let (Ok(near), Ok(far)) = tokio::join!(upgrade, far) {
                // An end that breaks off ends the tunnel, and there is nobody else to tell.
                let _ = copy_bidirectional(&mut TokioIo::new(near), &mut TokioIo::new(far)).await;
            }
        };
        let expired = async {
            match lifetime {
                Some(lifetime) => tokio::time::sleep(lifetime).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = copy => ending.ended(Ended::Complete),
            () = expired => ending.ended(Ended::Expired),
            // Why, its watch can say.
            _ = poll_fn(|context| link.poll_ended(context)) => {}
        }
        drop(ending);
        drop(line);
    }
}

/// Why there is no tunnel and no answer of the upstream either.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// Not a WebSocket handshake of version 13 with a key of 16 bytes (400).
    #[error("not a WebSocket handshake of version 13")]
    BadHandshake,
    /// The upstream did not answer, or not as it must.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Sends a client's handshake to `upstream`.
///
/// `request` is what the caller lets through, hop-by-hop fields removed. The
/// answer is the 101 that starts a tunnel, or any other answer of the upstream
/// as it is. A tunnel that is opened counts as the client's connection and ends
/// with it.
///
/// # Errors
///
/// [`TunnelError`]; a 101 with a wrong accept value is [`SendError::BadResponse`].
pub async fn websocket(
    upstream: &Upstream,
    mut request: Request<Body>,
    client: ClientUpgrade,
    limits: &PhaseLimits,
) -> Result<Handshake, TunnelError> {
    let expected = accept_value(request.headers())?;
    request.headers_mut().insert(header::CONNECTION, UPGRADE);
    request.headers_mut().insert(header::UPGRADE, WEBSOCKET);
    let (mut response, line) = upstream.send_upgrade(request, limits).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        *response.version_mut() = Version::HTTP_11;
        hop::strip_response(response.headers_mut());
        return Ok(Handshake::Declined(response.map(|body| reply(body, line, None, limits))));
    }
    check_switch(response.headers(), &expected)?;
    hop::strip_response(response.headers_mut());
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(header::CONNECTION, UPGRADE);
    response.headers_mut().insert(header::UPGRADE, WEBSOCKET);
    let far = hyper::upgrade::on(&mut response);
    Ok(Handshake::Agreed(response.map(|_| Body::empty()), Tunnel { client, far, line }))
}

/// The accept value that belongs to a client's key (RFC 6455 section 4.2.2).
fn accept_value(headers: &HeaderMap) -> Result<String, TunnelError> {
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).ok_or(TunnelError::BadHandshake)
    };
    if only(header::SEC_WEBSOCKET_VERSION)? != "13" {
        return Err(TunnelError::BadHandshake);
    }
    let key = only(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    if STANDARD.decode(key).map(|key| key.len()) != Ok(16) {
        return Err(TunnelError::BadHandshake);
    }
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    Ok(STANDARD.encode(hash.finish()))
}

fn check_switch(headers: &HeaderMap, expected: &str) -> Result<(), SendError> {
    let is = |name: HeaderName, wanted: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
            && values.next().is_none()
    };
    if !is(header::UPGRADE, "websocket") {
        return Err(SendError::BadResponse { why: "a switch to another protocol" });
    }
    if headers.get(header::SEC_WEBSOCKET_ACCEPT).is_none_or(|value| value != expected) {
        return Err(SendError::BadResponse { why: "a wrong accept value" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(version: &'static str, key: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(version));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static(key));
        headers
    }

    #[test]
    fn the_accept_value_is_the_one_of_the_standard() {
        let headers = handshake("13", "dGhlIHNhbXBsZSBub25jZQ==");

        assert_eq!(accept_value(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn another_version_or_a_key_of_another_length_is_refused() {
        let mut twice = handshake("13", "dGhlIHNhbXBsZSBub25jZQ==");
        twice.append(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));

        assert!(accept_value(&handshake("8", "dGhlIHNhbXBsZSBub25jZQ==")).is_err());
        assert!(accept_value(&handshake("13", "dGhlIHNhbXBsZSBub25j")).is_err());
        assert!(accept_value(&handshake("13", "not base64")).is_err());
        assert!(accept_value(&twice).is_err());
        assert!(accept_value(&HeaderMap::new()).is_err());
    }
}
