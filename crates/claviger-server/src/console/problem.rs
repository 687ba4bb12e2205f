//! What a failed call of the management API is answered with: `application/problem+json` (RFC 9457).

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::failure::{Failure, FailureKind};
use crate::redact::redact_words;

/// The members of a problem, in the order of the RFC and then our own.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    request_id: &'a str,
}

/// The one place where a kind of failure is a status and a code.
pub(super) const fn status_and_code(kind: FailureKind) -> (StatusCode, &'static str) {
    match kind {
        FailureKind::Invalid => (StatusCode::BAD_REQUEST, "invalid_request"),
        FailureKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        FailureKind::Forbidden | FailureKind::NotGranted => (StatusCode::FORBIDDEN, "forbidden"),
        FailureKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        FailureKind::Conflict => (StatusCode::CONFLICT, "conflict"),
        FailureKind::Outdated => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
        FailureKind::Reused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
        FailureKind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
        FailureKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        FailureKind::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// The answer to a failure. The value of an argument is not repeated: it may have been a credential.
pub(super) fn answer(failure: &Failure, request_id: &str) -> Response<Body> {
    let (status, code) = status_and_code(failure.kind);
    let mut response = spelt(status, code, failure, request_id);
    let headers = response.headers_mut();
    if failure.kind == FailureKind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let soon = (failure.kind == FailureKind::Unavailable).then_some(1);
    if let Some(seconds) = failure.retry_after_seconds.or(soon) {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A problem with a status of its own.
pub(super) fn spelt(status: StatusCode, code: &'static str, failure: &Failure, id: &str) -> Response<Body> {
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: redact_words(&failure.what),
        code,
        hint: failure.hint.as_deref().map(redact_words),
        field: failure.argument.as_ref().map(|argument| argument.name.as_str()),
        request_id: id,
    };
    let text = serde_json::to_string(&problem).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
