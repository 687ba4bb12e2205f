//! Why a request would be let in or refused.

use std::sync::Arc;

use claviger::Inbound;
use claviger::explain::Explanation;
use claviger::network::Client;
use claviger::target::Target;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::operation::{Call, operations};
use super::{ManagedApi, parse};
use crate::failure::{Failure, FailureKind};

const STANDARD: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::CONNECT,
    Method::TRACE,
];

/// A request to be explained.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Question {
    /// The credential, if it has one
    credential: Option<String>,
    /// The method; GET by default
    method: Option<String>,
    /// The API's host
    host: String,
    /// The path and query, beginning with `/`
    path: String,
    /// Further headers, `Name: value`
    #[serde(default)]
    headers: Vec<String>,
    /// Whether it is over plain HTTP instead of HTTPS
    #[serde(default)]
    plain: bool,
    /// Where it comes from; 127.0.0.1 by default
    from: Option<String>,
}

impl Drop for Question {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.credential);
    }
}

/// A step of the decision.
#[derive(Debug, Serialize, ToSchema)]
struct Step {
    /// Which.
    step: &'static str,
    /// What it found.
    outcome: String,
}

/// What would become of the request.
#[derive(Debug, Serialize, ToSchema)]
struct Answer {
    /// What was looked at, in order.
    steps: Vec<Step>,
    /// Whether it would be let in.
    allowed: bool,
    /// The status it would be refused with.
    status: Option<u16>,
    /// The code it would be refused with.
    code: Option<&'static str>,
}

operations! {
    /// Say, step by step, why a request would be let in or refused
    "explain.request": POST "/v1/explain" for Support = explain(Question) -> Answer;
}

async fn explain(call: &Call, question: Question) -> Result<Answer, Failure> {
    let management = &call.management;
    let host = claviger::authority::without_port(&question.host)
        .ok_or_else(|| Failure::argument("host", &question.host, "this is not a host"))?
        .to_ascii_lowercase();
    let apis = management.apis.load_full();
    let within = |api: &&Arc<ManagedApi>| call.caller.reaches_realm(&api.api.realm).is_ok();
    let named = apis.values().filter(within).find(|api| api.hosts.contains(&host));
    let api = named.ok_or_else(|| {
        let mut known: Vec<String> = apis.values().filter(within).flat_map(|api| api.hosts.clone()).collect();
        known.sort();
        let what = format!("no API answers to `{host}`: a request would be refused with 421");
        // To somebody bound, another realm's host is as one that is not there.
        let failure = Failure::of(FailureKind::NotFound, what);
        if known.is_empty() { failure } else { failure.hint(format!("the hosts are {}", known.join(", "))) }
    })?;
    // Methods are told apart by case (RFC 9110, section 9.1); whoever asks in small letters means the one there is.
    let method = question.method.as_deref().unwrap_or("GET");
    let method: Method = match STANDARD.iter().find(|known| known.as_str().eq_ignore_ascii_case(method)) {
        Some(known) => known.clone(),
        None => parse(method, "method")?,
    };
    if !question.path.starts_with('/') {
        return Err(Failure::argument("path", &question.path, "it does not begin with `/`"));
    }
    let uri: Uri = parse(&question.path, "path")?;
    let headers = question.headers()?;
    let target = match Target::of(&uri) {
        Ok(target) => target,
        Err(reason) => return Ok(answer(&Explanation::of_target(reason))),
    };
    let client = Client::At(parse(question.from.as_deref().unwrap_or("127.0.0.1"), "from")?);
    let inbound = Inbound { method: &method, target, headers: &headers, client, secure: !question.plain };
    Ok(answer(&management.door.explain(&api.api, &inbound).await))
}

impl Question {
    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, parse::<HeaderValue>(&self.host, "host")?);
        for line in &self.headers {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| Failure::argument("header", line, "write it as `Name: value`"))?;
            headers.append(parse::<HeaderName>(name.trim(), "header")?, parse(value.trim(), "header")?);
        }
        if let Some(credential) = &self.credential {
            let value = Zeroizing::new(format!("Bearer {}", credential));
            let value = HeaderValue::from_str(&value);
            let mut value =
                value.map_err(|_| Failure::new("the credential has characters that no header can carry"))?;
            value.set_sensitive(true);
            headers.append(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

fn answer(told: &Explanation) -> Answer {
    let step = |(step, said): &(claviger::explain::Step, String)| Step {
        step: step.as_str(),
        outcome: said.clone(),
    };
    let refusal = told.refusal();
    Answer {
        steps: told.steps().iter().map(step).collect(),
        allowed: refusal.is_none(),
        status: refusal.map(|refusal| refusal.status().as_u16()),
        code: refusal.map(|refusal| refusal.code().as_str()),
    }
}
