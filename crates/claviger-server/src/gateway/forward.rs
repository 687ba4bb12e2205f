//! Passes on what was let in: without the caller's credential, with a signed statement of who is calling.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use claviger::protected::{Protected, SUBPROTOCOL, offers_our_subprotocol};
use claviger::refusal::Reason;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Uri, header};

use crate::respond::REQUEST_ID;
use crate::wire::{Exchange, Handshake, PhaseLimits, TrailerFilter, hop, websocket};

use super::passage::Passage;
use super::{Gateway, Outcome, Refused, Surface};

const PRINCIPAL: HeaderName = HeaderName::from_static("x-claviger-principal");
const BINDING: HeaderName = HeaderName::from_static("x-claviger-binding");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl Gateway {
    pub(super) async fn forward(
        &self,
        surface: &Surface,
        exchange: Exchange,
        secure: bool,
        passage: &mut Passage,
    ) -> Result<Outcome, Refused> {
        let served = &surface.served;
        let Exchange { request, upgrade, .. } = exchange;
        let (mut parts, body) = request.into_parts();
        let client = upgrade.filter(|_| passage.may_open_websocket());
        let offered_ours = client.is_some() && offers_our_subprotocol(&parts.headers);
        self.write_headers(surface, &mut parts, passage, secure)?;
        let body = body.limit(served.max_body_bytes)?;
        let body = body.idle_limit(served.body_idle).filter_trailers(surface.keep_trailer.clone());
        let request = http::Request::from_parts(parts, body);
        let limits = PhaseLimits {
            connect: served.connect_timeout,
            head: served.head_timeout,
            body_idle: served.body_idle,
        };
        let Some(client) = client else {
            // Without its upgrade headers, which are hop-by-hop, the request is an ordinary one.
            return Ok(Outcome::Answer(surface.upstream.send(passage.core(), request, &limits).await?));
        };
        let handshake = Box::pin(websocket(&surface.upstream, request, client, &limits)).await?;
        Ok(match handshake {
            Handshake::Declined(response) => Outcome::Answer(response),
            Handshake::Agreed(mut response, tunnel) => {
                // A browser that was offered nothing of what it asked for closes again (RFC 6455, section 4.1).
                if offered_ours && !response.headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
                    let ours = HeaderValue::from_static(SUBPROTOCOL);
                    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, ours);
                }
                Outcome::Tunnel(response, tunnel)
            }
        })
    }

    /// How long a tunnel may last: as long as its credential.
    pub(super) fn time_left(&self, passage: &Passage) -> Option<Duration> {
        let left = passage.permit()?.principal().expires_at()?.0 - self.door.clock().now().0;
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    fn write_headers(
        &self,
        surface: &Surface,
        parts: &mut Parts,
        passage: &mut Passage,
        secure: bool,
    ) -> Result<(), Refused> {
        let api = &surface.served.api;
        let internal = |why| Refused::from(Reason::Internal { why });
        let headers = &mut parts.headers;
        hop::strip_request(headers);
        surface.protected.remove_from(&parts.method, headers)?;
        // What follows is ours, written after everything that the client could name in `Connection` is gone.
        let now = self.door.clock().now();
        let token = match passage.permit() {
            Some(permit) => surface.principals.of(permit, now),
            None => surface.principals.of_nobody(api, now),
        };
        let token = token.map_err(|_| internal("the principal could not be signed"))?;
        let host = headers.get(header::HOST).cloned().ok_or(internal("a decided request has no Host"))?;
        let target = sent_target(&parts.uri);
        let request_id = passage.request_id.to_str().unwrap_or_default();
        let authority = host.to_str().unwrap_or_default();
        let binding = surface
            .binding
            .of(&token, &parts.method, authority, &target, request_id, now)
            .ok_or(internal("the binding is no header value"))?;
        headers.insert(PRINCIPAL, token.value.clone());
        headers.insert(BINDING, binding);
        headers.insert(REQUEST_ID, passage.request_id.clone());
        if let Some(known) = token.known() {
            headers.insert(api.identity_headers.tenant().clone(), known.tenant.clone());
            headers.insert(api.identity_headers.org().clone(), known.org.clone());
        }
        let client = HeaderValue::from_str(&passage.client_text);
        headers.insert(FORWARDED_FOR, client.map_err(|_| internal("an address is no header value"))?);
        passage.principal = Some(token);
        headers.insert(FORWARDED_HOST, host);
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
        Ok(())
    }
}

/// Path and query as they are sent on. A target in absolute form may have a query and no path, which is sent as `/`.
fn sent_target(uri: &Uri) -> Cow<'_, str> {
    match uri.path_and_query().map_or("/", |target| target.as_str()) {
        target if target.starts_with('?') => format!("/{target}").into(),
        target => target.into(),
    }
}

/// Lets every trailer pass that a client may send: neither a credential nor a header that only we may write.
pub(crate) fn trailer_filter(protected: Protected) -> TrailerFilter {
    Arc::new(move |name| !protected.covers(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bound_is_what_is_sent() {
        for (target, sent) in [
            ("/a?b=c", "/a?b=c"),
            ("http://h/a?b=c", "/a?b=c"),
            ("http://h?b=c", "/?b=c"),
            ("http://h", "/"),
            ("/", "/"),
        ] {
            assert_eq!(sent_target(&target.parse().unwrap()), sent, "{target}");
        }
    }
}
