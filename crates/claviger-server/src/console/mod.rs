//! The HTTP face of the management API: a request is an operation with what it is given, whoever sends it is an operator, and an
//! answer is what the operation answers. Nothing is decided here.

mod openapi;
mod problem;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body as AxumBody, Bytes};
use axum::extract::{Extension, RawPathParams, Request};
use axum::response::Response as AxumResponse;
use axum::routing::{MethodFilter, get, on};
use claviger::answer::REQUEST_ID;
use claviger::id::TokenId;
use claviger::secret::Secret;
use claviger_store::signing_keys::Line;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tower_service::Service;

use crate::failure::{Failure, FailureKind};
use crate::identity_tokens::jwk_set;
use crate::management::{self, BEHIND, Caller, IDEMPOTENCY_KEY, Management, Operation, Outcome, REVISION};
use crate::wire::{Body, Exchange, Handler};

pub use openapi::openapi;

/// How long a body may take to come.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// The longest body of a request, in bytes.
const MAX_BODY: usize = 1 << 20;

/// Answers on the console's address.
#[derive(Debug)]
pub struct Console {
    router: Router,
    management: Management,
}

/// What is known of a request besides itself.
#[derive(Debug, Clone)]
struct Arrival {
    from: From,
    id: Arc<str>,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
enum From {
    /// A network: whoever it is shows a token.
    Network(SocketAddr),
    /// A user of this machine, as the kernel says.
    Machine(u32),
}

/// Who asks, before it is known whether they are anybody.
#[derive(Debug, Clone)]
enum Who {
    Bearer(Arc<Secret>, IpAddr),
    User(u32),
    /// Whom nobody asks who they are.
    Anybody(IpAddr),
}

/// With what requests are answered.
#[derive(Debug, Clone)]
struct Desk {
    management: Management,
    runtime: Handle,
}

impl Console {
    /// With what operations are carried out, and where: the store's runtime, as a change that is begun is brought to its end even
    /// if whoever asked goes away.
    pub fn new(management: Management, runtime: Handle) -> Self {
        let desk = Desk { management: management.clone(), runtime };
        let mut router = Router::new();
        for operation in management::operations() {
            let desk = desk.clone();
            let method = MethodFilter::try_from(operation.method.clone()).unwrap_or(MethodFilter::TRACE);
            let path = operation.path;
            let answer =
                move |Extension(arrival): Extension<Arrival>, parameters: RawPathParams, request: Request| {
                    let (desk, operation) = (desk.clone(), operation.clone());
                    async move {
                        let answer = desk.answer(&operation, &arrival, &parameters, request).await;
                        answer.unwrap_or_else(|refusal| refusal.answer(&arrival.id))
                    }
                };
            router = router.route(path, on(method, answer));
        }
        let keys = desk.clone();
        let text: Bytes = openapi().to_string().into();
        let described = move || async move { ([(header::CONTENT_TYPE, "application/json")], text) };
        let router = router
            .route("/openapi.json", get(described))
            .route("/.well-known/jwks.json", get(move |arrival| principal_keys(keys.clone(), arrival)))
            .fallback(nothing_here)
            .method_not_allowed_fallback(no_such_method);
        Self { router, management }
    }
}

/// Why a request got no further.
#[derive(Debug)]
enum Refusal {
    Failed(Failure),
    TooLarge,
    NotJson,
    Late,
}

impl std::convert::From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Refusal {
    fn answer(&self, id: &str) -> AxumResponse {
        match self {
            Self::Failed(failure) => problem::answer(failure, id),
            Self::TooLarge => {
                let failure = Failure::new(format!("the body is longer than {MAX_BODY} bytes"));
                problem::spelt(StatusCode::PAYLOAD_TOO_LARGE, "content_too_large", &failure, id)
            }
            Self::NotJson => {
                let failure = Failure::new("the body is not said to be JSON")
                    .hint("send `Content-Type: application/json`");
                problem::spelt(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", &failure, id)
            }
            Self::Late => {
                let what = format!("the body did not come within {} seconds", PATIENCE.as_secs());
                problem::spelt(StatusCode::REQUEST_TIMEOUT, "request_timeout", &Failure::new(what), id)
            }
        }
    }
}

/// The public keys of the principal tokens (RFC 7517), for upstreams: whoever can reach this may know them.
async fn principal_keys(desk: Desk, Extension(arrival): Extension<Arrival>) -> AxumResponse {
    let store = desk.management.store.clone();
    let set = desk.carry_out(async move {
        let unavailable = || Failure::of(FailureKind::Unavailable, "the signing keys could not be read");
        jwk_set(&store, &Line::Principal).await.ok_or_else(unavailable)
    });
    match set.await {
        Ok(set) => {
            let mut response = Response::new(AxumBody::from(set));
            let content_type = HeaderValue::from_static("application/jwk-set+json");
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            response
        }
        Err(failure) => problem::answer(&failure, &arrival.id),
    }
}

async fn nothing_here(Extension(arrival): Extension<Arrival>) -> AxumResponse {
    let failure = Failure::of(FailureKind::NotFound, "there is nothing at this path")
        .hint("/openapi.json lists what there is");
    problem::answer(&failure, &arrival.id)
}

async fn no_such_method(Extension(arrival): Extension<Arrival>) -> AxumResponse {
    let failure =
        Failure::new("this path does not take this method").hint("the field `Allow` lists those it takes");
    problem::spelt(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &failure, &arrival.id)
}

impl Desk {
    async fn answer(
        &self,
        operation: &Operation,
        arrival: &Arrival,
        parameters: &RawPathParams,
        request: Request,
    ) -> Result<AxumResponse, Refusal> {
        let (parts, body) = request.into_parts();
        // Who asks comes first: a stranger hears nothing of what is right or wrong with the rest.
        let who = match arrival.from {
            From::Machine(uid) => Who::User(uid),
            From::Network(peer) if operation.is_open() => Who::Anybody(peer.ip().to_canonical()),
            From::Network(peer) => {
                let token = Secret::new(bearer(&parts.headers)?.as_bytes().to_vec());
                Who::Bearer(Arc::new(token), peer.ip().to_canonical())
            }
        };
        let first = self.caller(&who).await?;
        management::role_is_enough(&first, operation)?;
        let (waits_for_all, query) = wait_for_all(parts.uri.query());
        let input = self.input(operation, query, &parts.headers, body);
        let mut input = tokio::time::timeout(PATIENCE, input).await.map_err(|_| Refusal::Late)??;
        // Whoever was ended while the body was on its way is nobody by now.
        let caller = self.caller(&who).await?;
        for (name, value) in parameters {
            if input.insert(name.to_owned(), value.into()).is_some() {
                let what = format!("`{name}` stands in the path, and nowhere else");
                return Err(Failure::new(what).into());
            }
        }
        if let Some(version) = version_to_match(&parts.headers)? {
            if !operation.takes("if_version") {
                return Err(Failure::new("this hangs on no version").hint("leave `If-Match` out").into());
            }
            if input.insert("if_version".to_owned(), version.into()).is_some() {
                let what = "a version stands in `If-Match` or in `if_version`, not in both";
                return Err(Failure::new(what).into());
            }
        }
        let key = idempotency_key(&parts.headers)?;
        let waits =
            operation.method != http::Method::GET && (waits_for_all || prefers_to_wait(&parts.headers));
        // Which servers there are, and what they have heard of, is the operators'.
        let waits = waits && caller.is_operator();
        let names_nodes = caller.reach == management::Reach::Everything;
        let (management, id) = (self.management.clone(), operation.id);
        let done =
            async move { management::call(&management, &caller, id, input.into(), key.as_deref()).await };
        let Outcome { value, revision, is_repeated } = self.carry_out(done).await?;
        let version = value.get("version").and_then(Value::as_str).map(|version| format!("\"{version}\""));
        let mut response = Response::new(AxumBody::from(wrapped(value).to_string()));
        if operation.makes_something() {
            *response.status_mut() = StatusCode::CREATED;
        }
        let json = HeaderValue::from_static("application/json");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, json);
        for (name, value) in [
            (header::ETAG, version),
            (HeaderName::from_static(REVISION), revision),
            (HeaderName::from_static("idempotency-replayed"), is_repeated.then(|| "true".to_owned())),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        if waits {
            let management = self.management.clone();
            let behind = self.carry_out(async move { Ok(management.behind().await) }).await?;
            let (name, value) = match behind {
                Ok(names) if names.is_empty() => ("preference-applied", "wait".to_owned()),
                Ok(names) if names_nodes => (BEHIND, names.join(", ")),
                Ok(names) => (BEHIND, format!("{} servers", names.len())),
                // It is done all the same, and only that is known.
                Err(_) => (BEHIND, "unknown".to_owned()),
            };
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }

    async fn caller(&self, who: &Who) -> Result<Caller, Failure> {
        let (management, who) = (self.management.clone(), who.clone());
        let asked = async move {
            match who {
                Who::Bearer(token, address) => {
                    management.caller_with(token.expose_text().unwrap_or_default(), Some(address)).await
                }
                Who::User(uid) => management.caller_at(uid).await,
                Who::Anybody(address) => Ok(Caller::stranger(Some(address))),
            }
        };
        self.carry_out(asked).await
    }

    async fn carry_out<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let broken = |_| Failure::of(FailureKind::Broken, "it is not known whether this was done");
        self.runtime.spawn(work).await.map_err(broken)?
    }

    /// What stands in the query or in the body.
    async fn input(
        &self,
        operation: &Operation,
        query: Option<&str>,
        headers: &HeaderMap,
        body: AxumBody,
    ) -> Result<Map<String, Value>, Refusal> {
        let bytes = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
            match error.downcast_ref::<LengthLimitError>() {
                Some(_) => Refusal::TooLarge,
                None => Failure::new("the body did not come to its end").into(),
            }
        })?;
        let bytes = bytes.to_bytes();
        if operation.takes_a_query() {
            if !bytes.is_empty() {
                return Err(Failure::new("this takes no body").hint("say it in the query").into());
            }
            let mut input = Map::new();
            for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
                if input.insert(name.to_string(), value.as_ref().into()).is_some() {
                    return Err(Failure::new(format!("`{name}` stands in the query twice")).into());
                }
            }
            return Ok(input);
        }
        if query.is_some_and(|query| !query.is_empty()) {
            return Err(Failure::new("this takes no query").hint("say it in the body, as JSON").into());
        }
        if bytes.is_empty() {
            return Ok(Map::new());
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|text| text.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            return Err(Refusal::NotJson);
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(Failure::new("the body is JSON, but no object").into()),
            // What stands there is not repeated: it may be a credential.
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Err(Failure::new(format!("the body is no JSON (line {line}, column {column})")).into())
            }
        }
    }
}

/// As answers are: what there is stands in `data`, and beside a list where it goes on.
fn wrapped(value: Value) -> Value {
    match value {
        Value::Object(mut members) if members.get("items").is_some_and(Value::is_array) => {
            let items = members.remove("items").unwrap_or_default();
            members.insert("data".to_owned(), items);
            members.into()
        }
        value => serde_json::json!({ "data": value }),
    }
}

/// Whether `wait=all` is asked for, and the rest of the query, if that was not all of it.
fn wait_for_all(query: Option<&str>) -> (bool, Option<&str>) {
    match query {
        Some("wait=all") => (true, None),
        Some(query) => match query.strip_suffix("&wait=all").or_else(|| query.strip_prefix("wait=all&")) {
            Some(rest) => (true, Some(rest)),
            None => (false, Some(query)),
        },
        None => (false, None),
    }
}

/// The version that a change hangs on (RFC 9110, section 13.1.1); `*` is any, and there is one of what is there.
fn version_to_match(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(text) = only(headers, &header::IF_MATCH)? else { return Ok(None) };
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let version = version.filter(|version| !version.contains('"'));
    let wrong =
        || Failure::new("`If-Match` has no version").hint("give one `ETag` as it was, with its quotes");
    version.map(|version| Some(version.to_owned())).ok_or_else(wrong)
}

/// The key under which something is done once, in quotes as the draft has it or without.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let text = only(headers, &HeaderName::from_static(IDEMPOTENCY_KEY))?;
    let bare = |text: &str| {
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned()
    };
    Ok(text.map(bare))
}

/// The one value of a field.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Failure> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(Failure::new(format!("`{name}` has characters that are none of ASCII"))),
        },
        (Some(_), Some(_)) => Err(Failure::new(format!("`{name}` stands there twice"))),
    }
}

/// Whether the answer is to come when every server has applied the change (RFC 7240, section 4.3).
fn prefers_to_wait(headers: &HeaderMap) -> bool {
    let all = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|text| text.split(',')).any(|preference| {
        let name = preference.split(['=', ';']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("wait")
    })
}

/// The token of a request (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Failure> {
    let unauthenticated = |what: &str| {
        Failure::of(FailureKind::Unauthenticated, what).hint(
            "send `Authorization: Bearer` with an operator's token; `claviger operator create` makes one",
        )
    };
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(unauthenticated("this takes an operator's token, once"));
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(unauthenticated("this takes an operator's token as a bearer token")),
    }
}

impl Console {
    /// Answers a user of this machine.
    pub async fn answer_user(&self, request: Request, uid: u32) -> Response<Bytes> {
        self.answer(request, From::Machine(uid)).await
    }

    async fn answer(&self, mut request: Request, from: From) -> Response<Bytes> {
        let id: Arc<str> = TokenId::generate(&*self.management.random).to_string().into();
        request.extensions_mut().insert(Arrival { from, id: id.clone() });
        let mut router = self.router.clone();
        let answered: Result<AxumResponse, Infallible> = Service::call(&mut router, request).await;
        let Ok(response) = answered;
        let (parts, body) = response.into_parts();
        // All answers are whole in memory, so this neither waits nor fails.
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let mut response = Response::from_parts(parts, bytes);
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, id);
        }
        response
    }
}

impl Handler for Console {
    async fn handle(&self, exchange: Exchange) -> Response<Body> {
        let from = From::Network(exchange.peer);
        self.answer(exchange.request.map(AxumBody::new), from).await.map(Body::full)
    }
}
