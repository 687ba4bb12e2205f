//! The life of a proxied request: route → decide → forward → journal.

mod asker;
mod authorization_server;
mod forward;
mod passage;
mod people;
mod principal_token;
mod reception;
mod refusals;
mod sent;
mod services;
mod standing;
mod uses;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use claviger::cors;
use claviger::credential::CredentialKind;
use claviger::envelope::{Envelope, Layout};
use claviger::id::ApiName;
use claviger::network::{Client, Networks, client_address};
use claviger::protected::Protected;
use claviger::refusal::{Reason, Who};
use claviger::target::Target;
use claviger::{Admitted, Door, Inbound};
use http::{HeaderMap, HeaderValue, Method, Response, header};

use crate::clock::Stopwatch;
use crate::config::{PlainHttp, ServedApi};
use crate::journal::Line;
use crate::metrics::{ApiMetrics, Metrics};
use crate::respond;
use crate::wire::{Body, Defect, Ended, Exchange, Handler, ListenerId, Tunnel, Unserved, Upstream};

pub use crate::refused::{Fault, Refused};
pub(crate) use forward::trailer_filter;
pub use passage::Records;
pub use people::{Asking, People, Served, Within, places};
pub use principal_token::{Binding, PrincipalSigner, PrincipalTokens};
pub use reception::ListenerRules;
pub use refusals::Refusals;
pub use sent::Sent;
pub use services::Services;
pub use uses::Uses;

use passage::{Beginning, Held, Passage};
use standing::{PublicStanding, Standing};

/// Hears of credentials that were shown over plain HTTP where that is refused.
pub trait SeenInClear: fmt::Debug + Send + Sync {
    /// `who`'s was; called off the path of the answer.
    fn report(&self, who: &Who, client: Client);
}

/// One API with everything that serving it takes.
pub struct Surface {
    /// Its settings.
    pub served: ServedApi,
    /// Its upstream, with the connections to it.
    pub upstream: Arc<Upstream>,
    /// What no client may say to its upstream.
    pub protected: Protected,
    /// Which trailers of a request pass.
    pub keep_trailer: crate::wire::TrailerFilter,
    /// Signs principals for its upstream.
    pub principals: PrincipalTokens,
    /// The key that binds principal tokens to requests.
    pub binding: Binding,
    /// Its figures.
    pub metrics: ApiMetrics,
    /// Its public keys for identity tokens, as a JWK set.
    pub jwks: Arc<dyn KeySets>,
    /// What is answered in its place.
    pub services: Services,
    /// Its description, and where that is.
    pub document: Option<(String, Arc<str>)>,
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

/// What is served and how, as the settings in force say.
pub struct Tables {
    /// The APIs, by name.
    pub surfaces: HashMap<ApiName, Arc<Surface>>,
    /// The APIs, by host in lower case.
    pub hosts: HashMap<String, Arc<Surface>>,
    /// What holds for each listener.
    pub listeners: HashMap<ListenerId, ListenerRules>,
    /// Proxies whose word on addresses is taken.
    pub trusted_proxies: Networks,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tables({} APIs)", self.surfaces.len())
    }
}

/// Serves all APIs.
pub struct Gateway {
    /// Who decides.
    pub door: Arc<Door>,
    /// What is served. A request is served by those that were in force when it came.
    pub tables: ArcSwap<Tables>,
    /// What became of exchanges.
    pub records: Arc<Records>,
    /// When user tokens were last used.
    pub uses: Arc<Uses>,
    /// What good credentials were refused.
    pub refusals: Arc<Refusals>,
    /// Hears of credentials shown in clear.
    pub in_clear: Arc<dyn SeenInClear>,
    /// Makes request ids.
    pub ids: RequestIds,
    /// Answers what people ask about themselves.
    pub people: Arc<dyn People>,
    /// Whether the next server on the store decides from now on, and this one about nothing.
    pub decides_nothing: Arc<AtomicBool>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gateway({:?})", self.tables.load())
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

/// What becomes of a request that is not refused.
enum Outcome {
    /// It asked whether a page may ask, and the answer is whole.
    Preflight(Response<Body>),
    /// An answer.
    Answer(Response<Body>),
    /// The head of one, and the tunnel that it opens.
    Tunnel(Response<Body>, Tunnel),
}

impl Handler for Gateway {
    async fn handle(&self, exchange: Exchange) -> Response<Body> {
        let tables = self.tables.load_full();
        let mut passage = Passage::new(
            self.records.clone(),
            Beginning {
                method: exchange.request.method(),
                uri: exchange.request.uri(),
                watch: &exchange.watch,
                core: exchange.core,
                client: client_of(&exchange, &tables.trusted_proxies),
                request_id: self.ids.next(),
                at: self.door.clock().now(),
            },
        );
        let surface = tables.surface_for(&exchange);
        passage.surface = surface.as_ref().ok().copied().cloned();
        let api = surface.as_ref().ok().map(|surface| &*surface.served.api);
        let origin = api.and_then(|api| cors::allowed_origin(api, exchange.request.headers()));
        let outcome = match surface {
            Ok(surface) => self.serve(&tables, surface, exchange, &mut passage).await,
            Err(refused) => Err(refused),
        };
        let (mut response, refused, tunnel) = match outcome {
            Ok(Outcome::Preflight(response)) => {
                passage.answers(response.status(), None);
                return response.map(|body| body.telling(passage));
            }
            Ok(Outcome::Answer(response)) => (response, None, None),
            Ok(Outcome::Tunnel(response, tunnel)) => (response, None, Some(tunnel)),
            Err(refused) => {
                self.refusals.note(&refused, passage.client);
                let now = self.door.clock().now();
                let response = match api {
                    Some(api) => respond::refuse(&refused, &api.envelope, &passage.request_id, now),
                    None => respond::refuse(&refused, &no_api(), &passage.request_id, now),
                };
                (response.map(Body::full), Some(refused), None)
            }
        };
        let headers = response.headers_mut();
        headers.insert(respond::REQUEST_ID, passage.request_id.clone());
        if let Some(limit) = passage.limit() {
            // By the time of the decision, which the limit's state is of.
            claviger::answer::write_limit_headers(limit, passage.at, headers);
        }
        if let Some(api) = api {
            cors::mark(api, origin, headers);
        }
        passage.answers(response.status(), refused);
        if let Some(tunnel) = tunnel {
            let time_left = self.time_left(&passage);
            tunnel.open(time_left, passage);
            return response;
        }
        response.map(|body| body.telling(passage))
    }

    fn refuse(&self, unserved: &Unserved<'_>) -> Response<String> {
        let malformed = |why| Refused::from(Reason::MalformedRequest { why });
        let refused = match unserved.defect {
            Defect::Unreadable => malformed("its head is not what HTTP allows"),
            Defect::Fragment => {
                malformed("its target has a number sign, which a client must encode or leave out")
            }
            Defect::BothFramings => malformed("it has both a Content-Length and a Transfer-Encoding"),
            Defect::UnknownTransferCoding => malformed("it has another transfer coding than chunked"),
            Defect::TargetTooLong => Reason::TargetTooLong.into(),
            Defect::HeadTooLarge => Fault::HeadTooLarge.into(),
        };
        let (request_id, at) = (self.ids.next(), self.door.clock().now());
        self.records.unrouted.refused(refused.code());
        let mut response = respond::refuse(&refused, &no_api(), &request_id, at);
        if let Some(date) = http_date(at) {
            response.headers_mut().insert(header::DATE, date);
        }
        let (method, target) = &unserved.line;
        self.records.journal.note(
            unserved.core,
            &Line {
                at,
                request_id: request_id.to_str().unwrap_or_default(),
                api: None,
                method,
                path: target.split(['?', '#']).next().unwrap_or_default(),
                client: &spell(Client::At(unserved.peer.ip())),
                status: response.status(),
                micros: 0,
                total_micros: 0,
                whose: None,
                refused: Some(&refused),
                upstream: None,
                ended: Ended::Complete,
            },
        );
        response
    }
}

/// A time as HTTP writes it (RFC 9110, section 5.6.7).
fn http_date(at: claviger::clock::UnixMillis) -> Option<HeaderValue> {
    let at = jiff::Timestamp::from_second(at.seconds()).ok()?;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
    HeaderValue::from_str(&text).ok()
}

impl Gateway {
    async fn serve(
        &self,
        tables: &Tables,
        surface: &Arc<Surface>,
        exchange: Exchange,
        passage: &mut Passage,
    ) -> Result<Outcome, Refused> {
        if self.decides_nothing.load(Ordering::Relaxed) {
            return Err(Fault::HandedOver.into());
        }
        let api = &surface.served.api;
        // A development listener counts as secure where everything is local, and nowhere else.
        let is_secure = tables.is_secure(&exchange);
        let secure = is_secure || tables.is_local_development(&exchange);
        // Before the path is looked at, so that the answer to what came in clear is one and the same.
        if api.requires_https && !secure {
            self.tell_the_owner(surface, &exchange, passage.client);
            return Err(Reason::HttpsRequired.into());
        }
        let request = &exchange.request;
        let (method, target) = (request.method(), Target::of(request.uri())?);
        let inbound = Inbound { method, target, headers: request.headers(), client: passage.client, secure };
        let request_id = passage.request_id.to_str().unwrap_or_default();
        if let Some(answer) = cors::preflight(api, &inbound, request_id) {
            return Ok(Outcome::Preflight(answer?.map(Body::full)));
        }
        if target.path() == JWKS_PATH
            && matches!(*method, Method::GET | Method::HEAD)
            && api.credentials.contain(CredentialKind::IdentityToken)
        {
            // Seldom asked for: on the heap, so that every other request has less to carry.
            return Box::pin(self.jwk_set(surface)).await.map(Outcome::Answer);
        }
        if let Some((path, document)) = &surface.document
            && target.path() == path
            && matches!(*method, Method::GET | Method::HEAD)
        {
            let mut response = Response::new(Body::full(document.as_bytes().to_vec()));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
            return Ok(Outcome::Answer(response));
        }
        if surface.served.sign_in.is_some() {
            if target.path().starts_with(people::PREFIX) {
                return Box::pin(self.people(surface, exchange, secure, passage)).await;
            }
            if matches!(*method, Method::GET | Method::HEAD)
                && let Some(metadata) = authorization_server::metadata(&surface.served, target.path())
            {
                return Ok(Outcome::Answer(metadata));
            }
        }
        let service = surface.services.at(target.path(), method);
        let stopwatch = Stopwatch::start();
        let decision = self.door.decide(api, &inbound).await;
        surface.metrics.decided(stopwatch.nanos());
        let asked = (exchange.request.method(), exchange.request.uri());
        passage.let_in(match decision? {
            Admitted::Known(permit) => {
                self.uses.note(&permit, passage.at, passage.client);
                Held::Known(Arc::new(Standing::new(self.door.clone(), permit, asked)))
            }
            Admitted::Public(permit) => {
                Held::Public(Arc::new(PublicStanding::new(self.door.clone(), permit, asked)))
            }
        });
        if let Some(service) = service {
            return Box::pin(self.serve_within(surface, service, exchange, passage)).await;
        }
        self.forward(surface, exchange, is_secure, passage).await
    }

    /// Publishes the keys that verify identity tokens (RFC 7517).
    async fn jwk_set(&self, surface: &Surface) -> Result<Response<Body>, Refused> {
        let set = surface.jwks.jwk_set(&surface.served.api.realm).await;
        let set = set.ok_or(Fault::KeysUnavailable)?;
        let mut response = Response::new(Body::full(set.as_bytes().to_vec()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        Ok(response)
    }

    /// A good credential in clear is no secret any more: its owner is told, off the path of the answer, which is the
    /// same for good, bad and no credential.
    fn tell_the_owner(&self, surface: &Surface, exchange: &Exchange, client: Client) {
        let (headers, carriers) = (exchange.request.headers(), &surface.served.api.carriers);
        let shows_one = headers.contains_key(header::AUTHORIZATION)
            || carriers.header.as_ref().is_some_and(|name| headers.contains_key(name))
            || carriers.websocket && headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
        if !shows_one {
            return;
        }
        let (door, api, in_clear) = (self.door.clone(), surface.served.api.clone(), self.in_clear.clone());
        let (method, uri) = (exchange.request.method().clone(), exchange.request.uri().clone());
        let headers: HeaderMap = headers.clone();
        tokio::spawn(async move {
            let Ok(target) = Target::of(&uri) else { return };
            let inbound = Inbound { method: &method, target, headers: &headers, client, secure: false };
            if let Ok(who) = door.whose(&api, &inbound).await {
                in_clear.report(&who, client);
            }
        });
    }
}

const JWKS_PATH: &str = "/.well-known/jwks.json";

/// A client's address as text. IPv4 by hand: formatting it the usual way costs more than looking a key up.
fn spell(client: Client) -> String {
    let Some(std::net::IpAddr::V4(v4)) = client.address() else { return client.to_string() };
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
fn client_of(exchange: &Exchange, trusted: &Networks) -> Client {
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
