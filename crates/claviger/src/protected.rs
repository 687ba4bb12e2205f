//! Headers that only Claviger may write on what it forwards.

use http::{HeaderMap, HeaderName};

/// Names that are removed from whatever a client sends, and the same with any other character than a letter or
/// digit in place of a hyphen: servers behind us read `X_Tenant_ID` as `X-Tenant-ID`.
const PROTECTED: [&str; 8] = [
    "forwarded",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-request-id",
];

/// Whether a client may not speak `name` to the upstream. `identity` are the tenant and organization headers.
pub fn is_protected(name: &str, identity: &[HeaderName]) -> bool {
    begins_like(name, "x-claviger-")
        || begins_like(name, "x-forwarded-")
        || PROTECTED.iter().any(|own| is_like(name, own))
        || identity.iter().any(|own| is_like(name, own.as_str()))
}

/// A byte as the most forgiving server behind us reads it.
fn plain(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

fn is_like(name: &str, own: &str) -> bool {
    name.len() == own.len() && begins_like(name, own)
}

fn begins_like(name: &str, start: &str) -> bool {
    name.len() >= start.len() && name.bytes().zip(start.bytes()).all(|(a, b)| plain(a) == plain(b))
}

/// Removes every protected header and the `Authorization` header: the upstream gets to see neither the caller's
/// credential nor an identity that Claviger did not write.
pub fn remove_protected(headers: &mut HeaderMap, identity: &[HeaderName]) {
    headers.remove(http::header::AUTHORIZATION);
    let found: Vec<HeaderName> =
        headers.keys().filter(|name| is_protected(name.as_str(), identity)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_x_user_normalisation() {
        let identity = [HeaderName::from_static("x-tenant-id"), HeaderName::from_static("x-org-id")];
        for bad in [
            "x-tenant-id",
            "x_tenant_id",
            "X_Org-Id",
            "x.org.id",
            "x-claviger-principal",
            "x_claviger_anything",
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_host",
            "x-real-ip",
            "x-http-method-override",
            "x-original-url",
            "x-request-id",
        ] {
            assert!(is_protected(bad, &identity), "{bad}");
        }
        for good in ["accept", "x-tenant", "x-tenant-id-2", "x-forwarded", "content-type", "traceparent"] {
            assert!(!is_protected(good, &identity), "{good}");
        }
        assert!(is_protected(&format!("x-claviger-{}", "a".repeat(100)), &identity));
        let long = [HeaderName::from_bytes("x-long-".repeat(20).as_bytes()).unwrap()];
        assert!(is_protected(&"X_Long_".repeat(20), &long));
    }

    #[test]
    fn trap_credential_forwarded_upstream() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "x_tenant_id", "x-claviger-principal", "accept"] {
            headers.append(HeaderName::from_static(name), "1".parse().unwrap());
            headers.append(HeaderName::from_static(name), "2".parse().unwrap());
        }
        remove_protected(&mut headers, &[HeaderName::from_static("x-tenant-id")]);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["accept"]);
    }
}
