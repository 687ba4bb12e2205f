//! Passes on what was let in: without the caller's credential, with a signed statement of who is calling.

use std::sync::Arc;
use std::time::Duration;

use claviger::Permit;
use claviger::protected::{is_protected, remove_protected};
use claviger::refusal::{Reason, Refusal};
use claviger::route::Need;
use http::{HeaderName, HeaderValue, Response, header};

use crate::respond::REQUEST_ID;
use crate::wire::{
    Body, BodyError, Exchange, PhaseLimits, SendError, TrailerFilter, TunnelError, TunnelRules, hop,
    websocket,
};

use super::standing::Standing;
use super::{Course, Gateway, Surface};

const PRINCIPAL: HeaderName = HeaderName::from_static("x-claviger-principal");
const BINDING: HeaderName = HeaderName::from_static("x-claviger-binding");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl Gateway {
    pub(super) async fn forward(
        &self,
        surface: &Arc<Surface>,
        exchange: Exchange,
        need: Arc<Need>,
        permit: Arc<Permit>,
        course: &mut Course<'_>,
    ) -> Result<Response<Body>, Refusal> {
        let served = &surface.served;
        let secure = self.is_secure(&exchange);
        let Exchange { request, core, watch, upgrade, .. } = exchange;
        let (mut parts, body) = request.into_parts();
        self.write_headers(surface, &mut parts, &permit, course, secure)?;
        let body = body.limit(served.max_body_bytes).map_err(body_refused)?;
        let body = body.idle_limit(served.body_idle).filter_trailers(surface.keep_trailer.clone());
        let request = http::Request::from_parts(parts, body);
        let limits = PhaseLimits {
            connect: served.connect_timeout,
            head: served.head_timeout,
            body_idle: served.body_idle,
        };
        let can_tunnel = need.websocket();
        let standing = Arc::new(Standing::new(
            self.door.clone(),
            served.api.clone(),
            course.client,
            permit.clone(),
            need,
            course.directory_version,
        ));
        match upgrade {
            Some(client) if can_tunnel => {
                let rules = TunnelRules { allowed: standing, lifetime: self.time_left(&permit) };
                Box::pin(websocket(&surface.upstream, request, client, &limits, rules)).await.map_err(
                    |error| match error {
                        TunnelError::BadHandshake => {
                            Reason::MalformedRequest { why: "not a WebSocket handshake of version 13" }.into()
                        }
                        TunnelError::Send(error) => send_refused(&error),
                    },
                )
            }
            // Without its upgrade headers, which are hop-by-hop, the request is an ordinary one.
            _ => {
                watch.set(standing);
                let response = surface.upstream.send(core, request, &limits).await;
                response.map_err(|error| send_refused(&error))
            }
        }
    }

    /// How long a tunnel may last: as long as its credential.
    fn time_left(&self, permit: &Permit) -> Option<Duration> {
        let left = permit.principal().expires_at()?.0 - self.door.clock().now().0;
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    fn write_headers(
        &self,
        surface: &Surface,
        parts: &mut http::request::Parts,
        permit: &Permit,
        course: &mut Course<'_>,
        secure: bool,
    ) -> Result<(), Refusal> {
        let api = &surface.served.api;
        let internal = |why| Refusal::new(Reason::Internal { why });
        let headers = &mut parts.headers;
        hop::strip_request(headers);
        remove_protected(headers, &api.identity_headers.names);
        // What follows is ours, written after everything that the client could name in `Connection` is gone.
        let now = self.door.clock().now();
        let token = self
            .principals
            .token(&api.name, &api.identity_tokens.audience, permit, course.directory_version, now)
            .map_err(|_| internal("the principal could not be signed"))?;
        let host = headers.get(header::HOST).cloned().ok_or(internal("a decided request has no Host"))?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let request_id = course.request_id.to_str().unwrap_or_default();
        let authority = host.to_str().unwrap_or_default();
        let binding = surface
            .binding
            .of(&token, &parts.method, authority, target, request_id, now)
            .ok_or(internal("the binding is no header value"))?;
        headers.insert(PRINCIPAL, token.value.clone());
        headers.insert(BINDING, binding);
        headers.insert(REQUEST_ID, course.request_id.clone());
        headers.insert(api.identity_headers.tenant().clone(), token.tenant.clone());
        headers.insert(api.identity_headers.org().clone(), token.org.clone());
        headers.insert(FORWARDED_FOR, text(&course.client_text)?);
        course.principal = Some(token);
        headers.insert(FORWARDED_HOST, host);
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
        Ok(())
    }
}

/// Lets every trailer pass that a client may send: neither a credential nor a header that only we may write.
pub(crate) fn trailer_filter(identity: [HeaderName; 2]) -> TrailerFilter {
    Arc::new(move |name| *name != header::AUTHORIZATION && !is_protected(name.as_str(), &identity))
}

fn text(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| Reason::Internal { why: "an address is no header value" }.into())
}

fn body_refused(error: BodyError) -> Refusal {
    send_refused(&error.into())
}

/// What a client is told of a request that could not be passed on.
fn send_refused(error: &SendError) -> Refusal {
    let reason = match error {
        SendError::NameNotFound => Reason::UpstreamFailed { why: "its name has no address" },
        SendError::Unreachable(_) => Reason::UpstreamFailed { why: "it cannot be reached" },
        SendError::Tls(_) => Reason::UpstreamFailed { why: "TLS with it failed" },
        SendError::ClosedBeforeHead => Reason::UpstreamFailed { why: "it closed before it answered" },
        SendError::BadResponse { why } => Reason::UpstreamFailed { why },
        SendError::ConnectTimeout { .. } => Reason::UpstreamTimeout { phase: "connect" },
        SendError::HeadTimeout { .. } => Reason::UpstreamTimeout { phase: "response head" },
        SendError::BodyTooLarge { .. } => Reason::BodyTooLarge,
        SendError::BodyStalled { .. } => Reason::RequestTimeout,
        SendError::BodyMalformed => Reason::MalformedRequest { why: "the body cannot be read" },
        SendError::ClientGone => Reason::MalformedRequest { why: "the client went away" },
    };
    reason.into()
}
