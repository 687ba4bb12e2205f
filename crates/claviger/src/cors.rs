//! Which web pages may call an API (Fetch standard, section 3.3).

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use crate::answer::write_request_id;
use crate::api::{Api, CREDENTIAL_HEADER};
use crate::inbound::Inbound;
use crate::refusal::Refusal;

/// For how long a browser need not ask again, in seconds.
const MAX_AGE: &str = "600";

/// The page's origin, if it is one that may call.
pub fn allowed_origin(api: &Api, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    api.cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// Lets `origin`'s page read an answer of the API, refusals included. Whoever keeps answers for others is told that they
/// differ by origin, the ones to no page too.
pub fn mark(api: &Api, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    if api.cors_origins.is_empty() {
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

/// Answers a preflight from the route table, without a credential: a browser sends none. `None` if the request
/// is no preflight, or comes from a page that may not call and so is treated like any other.
///
/// # Errors
/// As the route table, for a path that the API does not list.
pub fn preflight(
    api: &Api,
    inbound: &Inbound<'_>,
    request_id: &str,
) -> Option<Result<Response<String>, Refusal>> {
    if inbound.method != Method::OPTIONS {
        return None;
    }
    let wanted = inbound.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    let origin = allowed_origin(api, inbound.headers)?;
    let method: Method = wanted.to_str().ok()?.parse().ok()?;
    let need = match api.routes.need(&method, &inbound.target) {
        Ok(need) => need,
        Err(reason) => return Some(Err(reason.into())),
    };
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    mark(api, Some(origin), headers);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_str(need.not_among().unwrap_or(method.as_str())).ok()?,
    );
    let names: [HeaderName; 3] =
        [CREDENTIAL_HEADER, header::CONTENT_TYPE, HeaderName::from_static("idempotency-key")];
    let own = api.identity_headers.names.iter().chain(&api.carriers.header);
    let list: Vec<&str> = names.iter().chain(own).map(HeaderName::as_str).collect();
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_str(&list.join(", ")).ok()?);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    write_request_id(request_id, headers);
    Some(Ok(response))
}
