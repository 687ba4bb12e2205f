//! Names of headers that only Claviger may write, and that nobody can choose for anything else.

use http::HeaderName;

/// What the names begin with of whole families that only Claviger may write.
const PREFIXES: [&str; 2] = ["x-claviger-", "x-forwarded-"];

/// Names that are removed from whatever a client sends, and the same with any other character than a letter or
/// digit in place of a hyphen: servers behind us read `X_Tenant_ID` as `X-Tenant-ID`.
const PROTECTED: [&str; 23] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    // What a client says here, CGI programs take for their own proxy (CVE-2016-5385).
    "proxy",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-forwarded",
    "x-host",
    "x-http-host-override",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-scheme",
];

/// Names that arrive as they are, framed anew or taken off with the connection, and never with another character in place of a
/// hyphen: a server behind us that reads both would have two of them.
const SPELT_AS_THEY_ARE: [&str; 4] =
    ["content-length", "content-type", "proxy-authorization", "transfer-encoding"];

/// Headers by which a client wishes for another method than the one it sends. What was decided is about the one it
/// sends, so they are removed like the others, and a wish that differs is refused aloud: a change that was asked for
/// must not become another.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];

/// Whether a header is one that only Claviger may write. `identity` are the tenant and organization headers.
pub(crate) fn is_ours(name: &str, identity: &[HeaderName]) -> bool {
    PREFIXES.iter().any(|start| begins_like(name, start))
        || PROTECTED.iter().any(|own| is_like(name, own))
        || is_method_override(name)
        || SPELT_AS_THEY_ARE.iter().any(|own| is_like(name, own) && name != *own)
        || identity.iter().any(|own| is_like(name, own.as_str()))
}

/// All that is ours whatever an API calls its identity headers; a `*` stands for any ending.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let families = PREFIXES.iter().map(|start| format!("{start}*"));
    families.chain(PROTECTED.iter().chain(&METHOD_OVERRIDES).map(ToString::to_string))
}

pub(crate) fn is_method_override(name: &str) -> bool {
    METHOD_OVERRIDES.iter().any(|own| is_like(name, own))
}

pub(crate) fn is_like(name: &str, own: &str) -> bool {
    name.len() == own.len() && begins_like(name, own)
}

fn begins_like(name: &str, start: &str) -> bool {
    name.len() >= start.len() && name.bytes().zip(start.bytes()).all(|(a, b)| plain(a) == plain(b))
}

/// A byte as the most forgiving server behind us reads it.
fn plain(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}
