//! From a refusal to the answer a client gets: one place writes the body and its headers.

use claviger::clock::{Clock, UnixMillis};
use claviger::envelope::Envelope;
use claviger::limit::LimitState;
use claviger::refusal::{Reason, Refusal};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use crate::wire::Body;

/// Names a request in every answer, log line and forwarded request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RETRY: HeaderName = HeaderName::from_static("x-ratelimit-retryafter");

/// The answer to a refused request.
pub fn refuse(
    refusal: &Refusal,
    envelope: &Envelope,
    request_id: &HeaderValue,
    clock: &dyn Clock,
) -> Response<Body> {
    let body = envelope.body(refusal, request_id.to_str().unwrap_or_default());
    let mut response = Response::new(Body::full(body.text));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(body.content_type));
    headers.insert(REQUEST_ID, request_id.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = refusal.challenge() {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(seconds) = refusal.retry_after_seconds() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    match refusal.reason() {
        Reason::MethodNotAllowed { allow } => {
            if let Ok(allow) = HeaderValue::from_str(allow) {
                headers.insert(header::ALLOW, allow);
            }
        }
        Reason::TooMany(state) => {
            write_limit(headers, state, clock.now());
            headers.insert(RETRY, state.retry_after_seconds.into());
        }
        Reason::RequestTimeout | Reason::BodyTooLarge => {
            // What is left of the body is not worth reading.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

/// Says where a limit stands: how much there is, how much is left, and when there will be more, in Unix seconds.
pub fn write_limit(headers: &mut HeaderMap, state: &LimitState, now: UnixMillis) {
    let reset =
        now.plus_millis(i64::try_from(state.reset_millis).unwrap_or(i64::MAX)).plus_millis(999).seconds();
    headers.insert(LIMIT, state.limit.into());
    headers.insert(REMAINING, state.remaining.into());
    headers.insert(RESET, reset.into());
}
