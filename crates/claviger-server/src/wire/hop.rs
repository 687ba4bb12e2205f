//! Removes the fields that concern one connection only (RFC 9110 section 7.6.1).
//!
//! Call these before writing fields of our own: whatever a peer lists in
//! `Connection` goes, so a field written earlier could be removed by naming it.
//! `Trailer` stays, because trailers travel through us in both directions.

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

/// The fields that concern one connection, whatever `Connection` names besides.
pub static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Removes the hop-by-hop fields of a client's request, and `Expect`, which we
/// answer ourselves.
///
/// A client that said `TE: trailers` gets the same said upstream for it; no
/// other transfer coding is ever offered.
pub fn strip_request(headers: &mut HeaderMap) {
    let takes_trailers = headers.get_all(header::TE).iter().any(|value| has_token(value, "trailers"));
    strip(headers);
    headers.remove(header::EXPECT);
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("TE"));
    }
}

/// Removes the hop-by-hop fields of an upstream's response.
pub fn strip_response(headers: &mut HeaderMap) {
    strip(headers);
}

/// Whether the comma-separated list in `value` has `token`, in any case.
pub(super) fn has_token(value: &HeaderValue, token: &str) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn strip(headers: &mut HeaderMap) {
    // Most messages have none of them: one look at each name is cheaper than
    // a search for each of these.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The names of [`HOP_BY_HOP`] as text, which the compiler compares by length first.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "transfer-encoding"
            | "te"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "keep-alive"
            | "proxy-connection"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn every_hop_by_hop_field_goes_and_the_rest_stays() {
        let mut map = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("trailer", "x-sum"),
            ("accept", "*/*"),
        ]);

        strip_request(&mut map);

        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "trailer"]);
    }

    #[test]
    fn the_two_lists_are_one() {
        assert!(HOP_BY_HOP.iter().all(is_hop_by_hop));
    }

    #[test]
    fn trailers_are_asked_for_only_when_the_client_did() {
        let mut asked = headers(&[("te", "deflate;q=0.5, Trailers"), ("connection", "TE")]);
        let mut other = headers(&[("te", "deflate")]);

        strip_request(&mut asked);
        strip_request(&mut other);

        assert_eq!(asked, headers(&[("te", "trailers"), ("connection", "TE")]));
        assert_eq!(other, HeaderMap::new());
    }

    #[test]
    fn a_response_loses_what_its_connection_field_names() {
        let mut map = headers(&[("connection", "x-internal"), ("x-internal", "1"), ("etag", "\"a\"")]);

        strip_response(&mut map);

        assert_eq!(map, headers(&[("etag", "\"a\"")]));
    }
}
