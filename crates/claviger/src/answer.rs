//! How a refusal is answered: status, headers and body in one place, whichever front asks.

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::clock::UnixMillis;
use crate::code::Code;
use crate::envelope::Envelope;
use crate::limit_rule::LimitState;
use crate::refusal::{Reason, Refusal};

/// Names a request in answers, logs and upstream.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How much the limit allows.
pub const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// How much of it is left.
pub const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// When there will be more, in whole Unix seconds.
pub const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// On 429: in how many seconds to try again.
pub const RATE_RETRY_AFTER: HeaderName = HeaderName::from_static("x-ratelimit-retryafter");

/// The whole answer to a refused request. `now` is the time of day that `X-RateLimit-Reset` counts from.
pub fn refusal_response(
    refusal: &Refusal,
    envelope: &Envelope,
    request_id: &str,
    now: UnixMillis,
) -> Response<String> {
    let detail = match refusal.reason() {
        Reason::MalformedRequest { why } => Some(*why),
        _ => None,
    };
    let mut response = error_response(refusal.status(), refusal.code(), detail, envelope, request_id);
    write_refusal_headers(refusal, now, response.headers_mut());
    response
}

/// An error answer: the status, and the code in the API's own form, with what a client is told besides. What a server
/// before an API has to say besides a decision's refusals looks like them.
pub fn error_response(
    status: StatusCode,
    code: Code,
    detail: Option<&str>,
    envelope: &Envelope,
    request_id: &str,
) -> Response<String> {
    let body = envelope.body(status, code, detail, request_id);
    let mut response = Response::new(body.text);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
    write_request_id(request_id, headers);
    response
}

/// The headers that go with a refusal in whatever body: the challenge of a 401 (RFC 9110, section 11.6.1), the
/// methods of a 405, when to come back, and where the credential's limit stands.
pub fn write_refusal_headers(refusal: &Refusal, now: UnixMillis, headers: &mut HeaderMap) {
    if let Some(challenge) = refusal.challenge() {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Reason::MethodNotAllowed { allow } = refusal.reason()
        && let Ok(methods) = HeaderValue::from_str(allow)
    {
        headers.insert(ALLOW, methods);
    }
    if let Some(state) = refusal.limit() {
        write_limit_headers(state, now, headers);
    }
    if let Some(seconds) = refusal.retry_after_seconds() {
        headers.insert(RETRY_AFTER, seconds.into());
        if refusal.status() == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RATE_RETRY_AFTER, seconds.into());
        }
    }
}

/// The three headers that every answer to a known credential has, if a limit holds for it.
pub fn write_limit_headers(state: &LimitState, now: UnixMillis, headers: &mut HeaderMap) {
    let reset = now.plus_millis(i64::try_from(state.reset_millis).unwrap_or(i64::MAX));
    // Rounded up: who comes back at the second that is named must not be a little early.
    let reset_seconds = reset.plus_millis(999).seconds();
    headers.insert(LIMIT, state.limit.into());
    headers.insert(REMAINING, state.remaining.into());
    headers.insert(RESET, reset_seconds.into());
}

/// `X-Request-Id`, instead of any that is there. An id that cannot stand in a header leaves none.
pub fn write_request_id(request_id: &str, headers: &mut HeaderMap) {
    match HeaderValue::from_str(request_id) {
        Ok(value) => headers.insert(REQUEST_ID, value),
        Err(_) => headers.remove(REQUEST_ID),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Layout;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_001);

    fn answer(reason: Reason) -> Response<String> {
        let envelope = Envelope::new(Layout::ErrorText, None, vec![]);
        refusal_response(&Refusal::new(reason), &envelope, "r1", NOW)
    }

    fn header<'a>(response: &'a Response<String>, name: &str) -> Option<&'a str> {
        response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn trap_429_becoming_another_status() {
        let state = LimitState {
            name: "minute".into(),
            limit: 30,
            remaining: 0,
            reset_millis: 1_500,
            retry_after_seconds: 2,
        };
        let response = answer(Reason::TooMany(state));
        assert_eq!(response.status(), 429);
        for (name, expected) in [
            ("x-ratelimit-limit", "30"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1700000002"),
            ("x-ratelimit-retryafter", "2"),
            ("retry-after", "2"),
            ("x-request-id", "r1"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(header(&response, name), Some(expected), "{name}");
        }
        assert_eq!(header(&response, "www-authenticate"), None);
    }

    #[test]
    fn each_refusal_brings_its_own_headers() {
        let response = answer(Reason::NoCredential);
        assert_eq!(header(&response, "www-authenticate"), Some("Bearer"));
        assert_eq!(header(&response, "retry-after"), None);
        let response = answer(Reason::MethodNotAllowed { allow: "GET, HEAD".into() });
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, Some("GET, HEAD")));
        let response = answer(crate::directory::DirectoryError::Overloaded.into());
        assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, Some("1")));
        assert_eq!(header(&response, "x-ratelimit-retryafter"), None);
    }
}
