//! What OAuth clients ask about first: where an API's tokens come from, and what can be done with them there (RFC 8414).

use http::{HeaderValue, Response, Uri, header};
use serde_json::{Value, json};

use crate::config::ServedApi;
use crate::wire::Body;

/// Where it is (RFC 8414, section 3); the path of an issuer that has one follows.
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// What is said at this path, if it is where the issuer of the API's tokens is looked for, and that is at one of the API's own hosts: nothing is
/// said of places that are not here.
pub(super) fn metadata(served: &ServedApi, path: &str) -> Option<Response<Body>> {
    let rest = path.strip_prefix(METADATA_PATH)?;
    let described = described(&served.api.identity_tokens.issuer, &served.hosts, rest)?;
    let mut response = Response::new(Body::full(described.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Some(response)
}

/// From the issuer that the settings name, never from the request: whoever chose a Host would choose where tokens are sent.
fn described(issuer: &str, hosts: &[String], path: &str) -> Option<Value> {
    let uri: Uri = issuer.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let is_here = hosts.iter().any(|host| host.eq_ignore_ascii_case(authority.host()));
    if scheme != "https" || !is_here || uri.query().is_some() || path != uri.path().trim_end_matches('/') {
        return None;
    }
    let at = |path: &str| format!("https://{authority}{path}");
    Some(json!({
        "issuer": issuer,
        "token_endpoint": at("/auth/v1/refresh"),
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint": at("/auth/v1/revoke"),
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint": at("/auth/v1/introspect"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "grant_types_supported": ["refresh_token"],
        // Nobody is sent here by a browser to agree to anything.
        "response_types_supported": [],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_here_is_said_and_where_clients_look_for_it() {
        let hosts = ["api.synq.io".to_owned(), "synq.localhost".to_owned()];
        let here = |issuer: &str, path: &str| described(issuer, &hosts, path).is_some();
        assert!(here("https://api.synq.io", "") && here("https://API.synq.io/", ""));
        assert!(here("https://api.synq.io/one", "/one"));
        for (issuer, path) in [
            ("https://api.synq.io", "/one"),
            ("https://api.synq.io/one", ""),
            ("https://id.example", ""),
            ("http://api.synq.io", ""),
            ("https://api.synq.io?x=1", ""),
            ("synq", ""),
        ] {
            assert!(!here(issuer, path), "{issuer} at {path:?}");
        }
        let with_a_port = described("https://api.synq.io:8443", &hosts, "").unwrap();
        assert_eq!(with_a_port["token_endpoint"], "https://api.synq.io:8443/auth/v1/refresh");
        assert_eq!(with_a_port["issuer"], "https://api.synq.io:8443");
    }
}
