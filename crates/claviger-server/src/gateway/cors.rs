//! Which web pages may call an API (Fetch standard, section 3.3).

use claviger::Inbound;
use claviger::refusal::Refusal;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use crate::respond::REQUEST_ID;
use crate::wire::Body;

use super::Surface;

/// The page's origin, if it is one that may call.
pub(super) fn allowed_origin(surface: &Surface, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    surface.served.cors_origins.iter().any(|allowed| allowed == text).then(|| origin.clone())
}

/// Lets `origin`'s page read an answer.
pub(super) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// Answers a preflight from the route table, without a credential: a browser sends none. `None` if the request
/// is no preflight, or comes from a page that may not call and so is treated like any other.
pub(super) fn preflight(
    surface: &Surface,
    inbound: &Inbound<'_>,
    request_id: &HeaderValue,
) -> Option<Result<Response<Body>, Refusal>> {
    if inbound.method != Method::OPTIONS {
        return None;
    }
    let wanted = inbound.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    let origin = allowed_origin(surface, inbound.headers)?;
    let method: Method = wanted.to_str().ok()?.parse().ok()?;
    let need = match surface.served.api.routes.need(&method, &inbound.target) {
        Ok(need) => need,
        Err(reason) => return Some(Err(reason.into())),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow(headers, origin);
    let allowed: HeaderValue = need.not_among().unwrap_or(method.as_str()).parse().ok()?;
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allowed);
    let names: [HeaderName; 3] =
        [header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("idempotency-key")];
    let identity = &surface.served.api.identity_headers.names;
    let list: Vec<&str> = names.iter().chain(identity).map(HeaderName::as_str).collect();
    if let Ok(list) = HeaderValue::from_str(&list.join(", ")) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, list);
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    headers.insert(REQUEST_ID, request_id.clone());
    Some(Ok(response))
}
