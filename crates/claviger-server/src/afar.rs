//! Asks a server for operations over its management API, from wherever it can be reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger::secret::Secret;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::asked::Asked;
use crate::config::{TOKEN_VARIABLE, operator_token};
use crate::failure::{Argument, Failure, FailureKind, complaint};
use crate::management::{BEHIND, IDEMPOTENCY_KEY, REVISION};
use crate::management::{Operation, operations};
use crate::wire::{Body, PhaseLimits, Upstream, UpstreamSettings};

/// The certificate authorities that the system trusts, where Debian and its like keep them.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What needs no spelling in a path or a query (RFC 3986, section 2.3).
const SPELT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// A server that says nothing for so long has said it.
const LIMITS: PhaseLimits = PhaseLimits {
    connect: Duration::from_secs(10),
    head: Duration::from_secs(60),
    body_idle: Duration::from_secs(30),
};

/// Which server, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// `https://host:port`, or `http://` on loopback.
    pub(crate) url: String,
    /// Certificate authorities to trust instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Where the token stands, if not in the environment.
    pub(crate) token_file: Option<PathBuf>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) value: Value,
    /// How far the store's changes have come with it, if it changed something.
    pub(crate) revision: Option<String>,
    /// Which servers were not heard to have applied it, if that was waited for.
    pub(crate) behind: Option<String>,
}

/// A server that can be asked.
#[derive(Debug)]
pub(crate) struct Server {
    upstream: Upstream,
    url: String,
    host: HeaderValue,
    /// Whoever has none can come in.
    token: Result<Secret, Failure>,
    runtime: Runtime,
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|error| Failure::new(format!("cannot read `{}` ({})", file.display(), complaint(&error))))
}

fn token(place: &Place) -> Result<Secret, Failure> {
    let text = match &place.token_file {
        Some(file) => Zeroizing::new(String::from_utf8_lossy(&read(file)?).into_owned()),
        None => Zeroizing::new(operator_token().ok_or_else(|| {
            Failure::new(format!("there is no operator's token: {TOKEN_VARIABLE} is not set"))
                .hint("`claviger operator create` makes one; give it there, or its file with `--token-file`")
        })?),
    };
    if text.trim().is_empty() {
        return Err(Failure::new("the operator's token is empty"));
    }
    Ok(Secret::new(text.trim().as_bytes().to_vec()))
}

impl Server {
    /// The server at that place. Nothing is sent so far.
    ///
    /// # Errors
    /// If the address is none, would be spoken to in clear over a network, or there is no token.
    pub(crate) fn at(place: &Place) -> Result<Self, Failure> {
        let url = place.url.trim_end_matches('/');
        let form = || {
            Failure::argument("server", &place.url, "this is no server's address")
                .hint("write `https://host:port`, or `http://127.0.0.1:port` on its own machine")
        };
        let uri: Uri = url.parse().map_err(|_| form())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(form()) };
        let is_bare =
            uri.path_and_query().is_none_or(|rest| rest.as_str() == "/") && !authority.as_str().contains('@');
        let port = if scheme == "https" { 443 } else { 80 };
        let whole = format!("{scheme}://{}:{}", authority.host(), authority.port_u16().unwrap_or(port));
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| form())?;
        let name = authority.host().trim_matches(['[', ']']);
        let is_here = name == "localhost"
            || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let ca = match (scheme, &place.ca_file) {
            _ if !is_bare => return Err(form()),
            ("https", Some(file)) => Some(read(file)?),
            ("https", None) => Some(std::fs::read(SYSTEM_AUTHORITIES).map_err(|_| {
                Failure::new("this system names no certificate authorities to trust")
                    .hint("name them with `--ca-file`, as a PEM file")
            })?),
            ("http", _) if is_here => None,
            ("http", _) => {
                let what = "the operator's token would go there in clear";
                return Err(Failure::argument("server", &place.url, what).hint("say `https://`"));
            }
            _ => return Err(form()),
        };
        let settings = UpstreamSettings {
            url: &whole,
            ca: ca.as_deref(),
            max_idle: 1,
            idle: Duration::from_secs(4),
            max_head_bytes: 65_536,
        };
        let upstream = Upstream::new(settings, 1).map_err(|error| Failure::new(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::new(format!("no runtime could be made ({})", complaint(&error))))?;
        Ok(Self { upstream, url: url.to_owned(), host, token: token(place), runtime })
    }

    /// Asks for an operation. Waits with `waits` until every server was heard to have applied it.
    ///
    /// # Errors
    /// As the server says, or that it cannot be asked.
    pub(crate) fn ask(&self, asked: &Asked, waits: bool) -> Result<Told, Failure> {
        let operation = operations().into_iter().find(|operation| operation.id == asked.id);
        let operation = operation.ok_or_else(|| Failure::new("no server knows this command"))?;
        // What changes nothing has nothing to wait for.
        let waits = waits && operation.method != Method::GET;
        let request = self.request(&operation, asked, waits)?;
        let (parts, answer) = self.runtime.block_on(async {
            let cannot = |error: crate::wire::SendError| {
                let what = format!("`{}` cannot be asked: {error}", self.url);
                Failure::of(FailureKind::Unavailable, what.replace("the upstream", "the server"))
                    .hint("is its `console.address` what `--server` says?")
            };
            let response = self.upstream.send(0, request, &LIMITS).await.map_err(cannot)?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|_| {
                Failure::of(FailureKind::Broken, "the answer did not come to its end")
                    .hint("look whether it is done before you try again")
            })?;
            Ok::<_, Failure>((parts, body.to_bytes()))
        })?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if parts.status.is_success() {
            let revision = said(&parts.headers, REVISION).map(str::to_owned);
            return Ok(Told {
                value: unwrapped(answer),
                revision,
                behind: behind(&parts.headers).filter(|_| waits),
            });
        }
        Err(failure(parts.status, &answer, &asked.input, &self.url))
    }

    fn request(&self, operation: &Operation, asked: &Asked, waits: bool) -> Result<Request<Body>, Failure> {
        let mut members: Map<String, Value> = asked.input.as_object().cloned().unwrap_or_default();
        // What is changed is given, and what is taken away is `null`; elsewhere that is what was not given.
        members.retain(|_, value| !value.is_null() || operation.method == Method::PATCH);
        let mut target = String::new();
        for part in operation.path.split('/').skip(1) {
            target.push('/');
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                None => target.push_str(part),
                Some(name) => {
                    let value = members.remove(name).unwrap_or_default();
                    let text = value.as_str().unwrap_or_default();
                    // These two are steps in a path, however they are spelt.
                    if matches!(text, "" | "." | "..") {
                        return Err(Failure::argument(name, text, "this is none"));
                    }
                    target.extend(utf8_percent_encode(text, SPELT));
                }
            }
        }
        let takes_a_query = operation.takes_a_query();
        let mut body = Body::empty();
        if takes_a_query {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let pairs = members
                .iter()
                .map(|(name, value)| format!("{name}={}", utf8_percent_encode(&text(value), SPELT)));
            let pairs: Vec<String> = pairs.collect();
            if !pairs.is_empty() {
                target = format!("{target}?{}", pairs.join("&"));
            }
        } else {
            body = Body::full(Value::from(members).to_string());
        }
        let bearer = match (&self.token, operation.is_open()) {
            (_, true) => None,
            (Err(failure), false) => return Err(failure.clone()),
            (Ok(token), false) => {
                let bearer = Zeroizing::new(format!("Bearer {}", token.expose_text().unwrap_or_default()));
                let mut bearer = HeaderValue::from_str(&bearer)
                    .map_err(|_| Failure::new("the token has characters that no header can carry"))?;
                bearer.set_sensitive(true);
                Some(bearer)
            }
        };
        let mut request = Request::builder()
            .method(operation.method.clone())
            .uri(target)
            .header(header::HOST, self.host.clone());
        if let Some(bearer) = bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if !takes_a_query {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if waits {
            request = request.header("prefer", "wait");
        }
        if let Some(key) = &asked.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        request.body(body).map_err(|_| Failure::new("this command cannot be spelt"))
    }
}

/// What an answer holds: of a list, its entries and where it goes on.
fn unwrapped(answer: Value) -> Value {
    let Value::Object(mut members) = answer else { return answer };
    match members.remove("data") {
        Some(items @ Value::Array(_)) => {
            members.insert("items".to_owned(), items);
            members.into()
        }
        Some(data) => data,
        None => members.into(),
    }
}

/// Who has not applied what was done: nobody if the server says that it has waited (RFC 7240), and whoever it is otherwise.
fn behind(headers: &HeaderMap) -> Option<String> {
    match said(headers, "preference-applied") {
        Some("wait") => None,
        _ => Some(said(headers, BEHIND).unwrap_or("unknown").to_owned()),
    }
}

fn said<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A problem (RFC 9457) as a failure: the argument is named with what was given for it here.
fn failure(status: StatusCode, problem: &Value, input: &Value, url: &str) -> Failure {
    let text = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind = match status.as_u16() {
        401 => FailureKind::Unauthenticated,
        403 => FailureKind::Forbidden,
        404 => FailureKind::NotFound,
        409 => FailureKind::Conflict,
        412 => FailureKind::Outdated,
        422 => FailureKind::Reused,
        429 => FailureKind::TooMany,
        503 => FailureKind::Unavailable,
        400..500 => FailureKind::Invalid,
        _ => FailureKind::Broken,
    };
    let Some(what) = text("detail") else {
        return Failure::of(kind, format!("`{url}` answered with {} and no reason", status.as_u16()))
            .hint("is it the address of a console?");
    };
    let argument = text("field").map(|name| {
        let value = input.get(&name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Argument { name, value }
    });
    Failure { hint: text("hint"), argument, ..Failure::of(kind, what) }
}
