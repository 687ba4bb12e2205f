//! From a refusal to the answer a client gets: one place writes the body and its headers.

pub use claviger::answer::REQUEST_ID;
use claviger::answer::{error_response, refusal_response};
use claviger::clock::UnixMillis;
use claviger::envelope::Envelope;
use http::{HeaderValue, Response, header};

use crate::failure::FailureKind;
use crate::refused::{Fault, Refused};

/// The answer to a refused request: the core's, never to be kept by a cache, and closing the connection where the
/// rest of the request is not worth reading.
pub fn refuse(
    refused: &Refused,
    envelope: &Envelope,
    request_id: &HeaderValue,
    now: UnixMillis,
) -> Response<String> {
    let id = request_id.to_str().unwrap_or_default();
    let mut response = match refused {
        Refused::Decision(refusal) => refusal_response(refusal, envelope, id, now),
        Refused::Fault(_) => error_response(refused.status(), refused.code(), None, envelope, id),
        Refused::Failed(failure) => {
            // Only of what was wrong with the request, and of what it stands against, more is said: the rest may be somebody's to find out.
            let may_be_said = matches!(failure.kind, FailureKind::Invalid | FailureKind::Conflict);
            let detail = may_be_said.then_some(failure.what.as_str());
            error_response(refused.status(), refused.code(), detail, envelope, id)
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match refused {
        Refused::Fault(fault) if fault.leaves_a_body() => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Refused::Fault(Fault::KeysUnavailable | Fault::HandedOver) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Refused::Failed(failure) => {
            let seconds = failure.retry_after_seconds;
            let seconds = seconds.or((failure.kind == FailureKind::Unavailable).then_some(1));
            if let Some(seconds) = seconds {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
        }
        Refused::Fault(_) | Refused::Decision(_) => {}
    }
    response
}
