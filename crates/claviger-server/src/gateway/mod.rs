//! The life of a proxied request: route → decide → forward → journal.

mod cors;
mod forward;
mod principal_token;
mod reception;
mod standing;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger::envelope::{Envelope, Layout};
use claviger::id::ApiName;
use claviger::network::{Networks, client_address};
use claviger::refusal::{Reason, Refusal};
use claviger::target::Target;
use claviger::{Door, Inbound, Permit};
use http::{HeaderMap, HeaderValue, Method, Response, Uri};

use crate::clock::Stopwatch;
use crate::config::{PlainHttp, ServedApi};
use crate::journal::{Journal, Line};
use crate::metrics::{ApiMetrics, Metrics};
use crate::respond;
use crate::wire::{Body, Defect, Exchange, Handler, ListenerId, Upstream};

pub(crate) use forward::trailer_filter;
pub use principal_token::{Binding, PrincipalSigner, PrincipalTokens};
pub use reception::ListenerRules;

/// Hears of keys that were shown over plain HTTP where that is refused.
pub trait SeenInClear: fmt::Debug + Send + Sync {
    /// `permitless` says who it was; called off the path of the answer.
    fn report(&self, principal: &claviger::Principal, client: IpAddr);
}

/// One API with everything that serving it takes.
pub struct Surface {
    /// Its settings.
    pub served: ServedApi,
    /// Its upstream, with the connections to it.
    pub upstream: Upstream,
    /// Which trailers of a request pass.
    pub keep_trailer: crate::wire::TrailerFilter,
    /// The key that binds principal tokens to requests.
    pub binding: principal_token::Binding,
    /// Its figures.
    pub metrics: ApiMetrics,
    /// Its public keys for identity tokens, as a JWK set.
    pub jwks: Arc<dyn KeySets>,
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Surface({})", self.served.api.name)
    }
}

/// Where the published key sets come from.
pub trait KeySets: fmt::Debug + Send + Sync {
    /// The realm's public keys for identity tokens, as the text of a JWK set.
    fn jwk_set(
        &self,
        realm: &claviger::id::RealmName,
    ) -> futures_util::future::BoxFuture<'static, Option<Arc<str>>>;
}

/// Serves all APIs.
pub struct Gateway {
    /// Who decides.
    pub door: Arc<Door>,
    /// The APIs, by name.
    pub surfaces: HashMap<ApiName, Arc<Surface>>,
    /// The APIs, by host in lower case.
    pub hosts: HashMap<String, Arc<Surface>>,
    /// What holds for each listener.
    pub listeners: HashMap<ListenerId, ListenerRules>,
    /// Proxies whose word on addresses is taken.
    pub trusted_proxies: Networks,
    /// Signs principals.
    pub principals: PrincipalTokens,
    /// Writes down.
    pub journal: Journal,
    /// The figures of requests for no API.
    pub unrouted: ApiMetrics,
    /// Hears of keys shown in clear.
    pub in_clear: Arc<dyn SeenInClear>,
    /// Makes request ids.
    pub ids: RequestIds,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gateway({} APIs)", self.surfaces.len())
    }
}

/// Request ids: unpredictable across processes, in order within one.
#[derive(Debug)]
pub struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// With a random part for this process.
    pub fn new(random: &dyn claviger::random::Random) -> Self {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        Self { process: u64::from_le_bytes(bytes), next: AtomicU64::new(1) }
    }

    fn next(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = Vec::with_capacity(32);
        for half in [self.process, number] {
            text.extend((0..16).rev().map(|at| {
                let digit = u8::try_from(half >> (4 * at) & 0xf).unwrap_or(0);
                if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }
            }));
        }
        // Hexadecimal digits are always a header value.
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static("0"))
    }
}

/// The errors of requests that are for none of the APIs.
fn no_api() -> Envelope {
    Envelope::new(Layout::Problem, None, Vec::new())
}

/// What is noted of a request while it goes through.
struct Course<'a> {
    surface: Option<Arc<Surface>>,
    request_id: &'a HeaderValue,
    method: &'a Method,
    uri: &'a Uri,
    client: IpAddr,
    /// The same, spelt once for everybody who writes it.
    client_text: String,
    /// Who it is from, as it was told to the upstream.
    principal: Option<Arc<principal_token::PrincipalToken>>,
    /// Nanoseconds the decision took, once there is one.
    decided: Option<u64>,
    /// What the directory's version was before the decision: what is derived from the decision is no newer.
    directory_version: u64,
    permit: Option<Arc<Permit>>,
}

impl Handler for Gateway {
    async fn handle(&self, exchange: Exchange) -> Response<Body> {
        let stopwatch = Stopwatch::start();
        let at = self.door.clock().now();
        let request_id = self.ids.next();
        let (core, method) = (exchange.core, exchange.request.method().clone());
        let uri = exchange.request.uri().clone();
        let client = client_of(&exchange, &self.trusted_proxies);
        let mut course = Course {
            surface: None,
            request_id: &request_id,
            method: &method,
            uri: &uri,
            client,
            client_text: spell(client),
            principal: None,
            decided: None,
            directory_version: self.door.directory().version(),
            permit: None,
        };
        let outcome = self.serve(exchange, &mut course).await;
        let metrics = course.surface.as_ref().map_or(&self.unrouted, |surface| &surface.metrics);
        if let Some(nanos) = course.decided {
            metrics.decided(nanos);
        }
        let (response, refusal) = match outcome {
            Ok(response) => (response, None),
            Err(refusal) => {
                let envelope = course.surface.as_ref().map(|surface| &surface.served.api.envelope);
                let clock = &**self.door.clock();
                let mut response = match envelope {
                    Some(envelope) => respond::refuse(&refusal, envelope, &request_id, clock),
                    None => respond::refuse(&refusal, &no_api(), &request_id, clock),
                };
                if let Some(limit) = course.permit.as_ref().and_then(|permit| permit.limit()) {
                    claviger::answer::write_limit_headers(limit, at, response.headers_mut());
                }
                (response, Some(refusal))
            }
        };
        match &refusal {
            Some(refusal) => metrics.refused(refusal.code()),
            None => metrics.admitted(),
        }
        let outcome = match (&refusal, &course.permit) {
            (Some(refusal), _) => Some(Err(refusal)),
            (None, Some(permit)) => Some(Ok(&**permit)),
            (None, None) => None,
        };
        let line = Line {
            at,
            request_id: &request_id,
            api: course.surface.as_ref().map(|surface| &surface.served.api.name),
            method: &method,
            path: uri.path(),
            client: &course.client_text,
            ids: course.principal.as_deref().map(principal_token::PrincipalToken::ids),
            status: response.status(),
            micros: stopwatch.nanos() / 1000,
            outcome,
        };
        self.journal.note(core, &line);
        response
    }

    fn refuse(&self, defect: Defect) -> Response<Body> {
        let reason = match defect {
            Defect::BothFramings => Reason::MalformedRequest {
                why: "the request has both a Content-Length and a Transfer-Encoding",
            },
            Defect::UnknownTransferCoding => {
                Reason::MalformedRequest { why: "the request has another transfer coding than chunked" }
            }
            Defect::TargetTooLong => Reason::TargetTooLong,
        };
        let refusal = Refusal::new(reason);
        self.unrouted.refused(refusal.code());
        respond::refuse(&refusal, &no_api(), &self.ids.next(), &**self.door.clock())
    }
}

impl Gateway {
    async fn serve(&self, exchange: Exchange, course: &mut Course<'_>) -> Result<Response<Body>, Refusal> {
        let surface = self.surface_for(&exchange)?;
        course.surface = Some(surface.clone());
        let api = &surface.served.api;
        // A development listener counts as secure where everything is local, and nowhere else.
        let secure = self.is_secure(&exchange) || self.is_local_development(&exchange);
        let method = course.method;
        let target = Target::of(course.uri)?;
        let inbound =
            Inbound { method, target, headers: exchange.request.headers(), client: course.client, secure };
        if let Err(refused) = api.check_transport(secure) {
            self.tell_the_owner(&surface, &exchange, course.client);
            return Err(refused.into());
        }
        if let Some(answer) = cors::preflight(&surface, &inbound, course.request_id) {
            return answer;
        }
        if target.path() == JWKS_PATH && matches!(*method, Method::GET | Method::HEAD) {
            // Seldom asked for: on the heap, so that every other request has less to carry.
            return Box::pin(self.jwk_set(&surface, course.request_id)).await;
        }
        let need = Arc::new(api.routes.need(method, &target)?);
        let stopwatch = Stopwatch::start();
        let decision = self.door.decide(api, &inbound, &need).await;
        course.decided = Some(stopwatch.nanos());
        let permit = Arc::new(decision?);
        course.permit = Some(permit.clone());
        let origin = cors::allowed_origin(&surface, inbound.headers);
        let mut response = self.forward(&surface, exchange, need, permit.clone(), course).await?;
        let headers = response.headers_mut();
        headers.insert(respond::REQUEST_ID, course.request_id.clone());
        if let Some(limit) = permit.limit() {
            claviger::answer::write_limit_headers(limit, self.door.clock().now(), headers);
        }
        if let Some(origin) = origin {
            cors::allow(headers, origin);
        }
        Ok(response)
    }

    /// Publishes the keys that verify identity tokens (RFC 7517).
    async fn jwk_set(&self, surface: &Surface, request_id: &HeaderValue) -> Result<Response<Body>, Refusal> {
        let set = surface.jwks.jwk_set(&surface.served.api.realm).await;
        let set = set.ok_or(Reason::Unavailable { why: "the signing keys could not be read" })?;
        let mut response = Response::new(Body::full(set.as_bytes().to_vec()));
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        headers.insert(respond::REQUEST_ID, request_id.clone());
        Ok(response)
    }

    /// A good key in clear is no secret any more: its owner is told, off the path of the answer, which is the
    /// same for good, bad and no key.
    fn tell_the_owner(&self, surface: &Arc<Surface>, exchange: &Exchange, client: IpAddr) {
        if !exchange.request.headers().contains_key(http::header::AUTHORIZATION) {
            return;
        }
        let (door, surface, in_clear) = (self.door.clone(), surface.clone(), self.in_clear.clone());
        let (method, uri) = (exchange.request.method().clone(), exchange.request.uri().clone());
        let headers: HeaderMap = exchange.request.headers().clone();
        tokio::spawn(async move {
            let Ok(target) = Target::of(&uri) else { return };
            let inbound = Inbound { method: &method, target, headers: &headers, client, secure: false };
            if let Ok(principal) = door.who(&surface.served.api, &inbound).await {
                in_clear.report(&principal, client);
            }
        });
    }
}

const JWKS_PATH: &str = "/.well-known/jwks.json";

/// An address as text. IPv4 by hand: formatting it the usual way costs more than looking a key up.
fn spell(address: IpAddr) -> String {
    let IpAddr::V4(v4) = address else { return address.to_string() };
    let mut text = String::with_capacity(15);
    for (at, octet) in v4.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        for (power, least) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / power % 10));
            }
        }
    }
    text
}

/// Where a request came from, trusted proxies looked through.
fn client_of(exchange: &Exchange, trusted: &Networks) -> IpAddr {
    let values = exchange.request.headers().get_all("x-forwarded-for");
    // A value that is not ASCII is an entry that is no address.
    client_address(exchange.peer.ip(), values.iter().map(|value| value.to_str().unwrap_or("?")), trusted)
}

/// The listener's word on plain HTTP.
fn allows_plain(rules: Option<&ListenerRules>) -> bool {
    rules.is_some_and(|rules| rules.plain_http == PlainHttp::YesForDevelopmentOnly)
}

impl Metrics {
    /// The figures of requests for no API.
    pub fn unrouted(&self) -> ApiMetrics {
        self.of_api(None)
    }
}
