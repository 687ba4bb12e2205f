//! From a refusal to the answer a client gets: one place writes the body and its headers.

pub use claviger::answer::REQUEST_ID;
use claviger::answer::refusal_response;
use claviger::clock::Clock;
use claviger::envelope::Envelope;
use claviger::refusal::{Reason, Refusal};
use http::{HeaderValue, Response, header};

use crate::wire::Body;

/// The answer to a refused request: the core's, never to be kept by a cache, and closing the connection where the
/// rest of the request is not worth reading.
pub fn refuse(
    refusal: &Refusal,
    envelope: &Envelope,
    request_id: &HeaderValue,
    clock: &dyn Clock,
) -> Response<Body> {
    let id = request_id.to_str().unwrap_or_default();
    let mut response = refusal_response(refusal, envelope, id, clock.now()).map(Body::full);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(refusal.reason(), Reason::RequestTimeout | Reason::BodyTooLarge) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
