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

/// The longest name that is protected; longer ones need no comparing.
const LONGEST: usize = 64;

/// Whether a client may not speak `name` to the upstream. `identity` are the tenant and organization headers.
pub fn is_protected(name: &str, identity: &[HeaderName]) -> bool {
    let mut buffer = [0_u8; LONGEST];
    let Some(canonical) = canonical(name, &mut buffer) else {
        // Longer than the buffer: only the prefixes could match.
        let start: String = name
            .chars()
            .take(32)
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        return has_protected_prefix(&start);
    };
    has_protected_prefix(canonical)
        || PROTECTED.contains(&canonical)
        || identity.iter().any(|header| same_letters(header.as_str(), canonical))
}

fn has_protected_prefix(name: &str) -> bool {
    name.starts_with("x-claviger-") || name.starts_with("x-forwarded-")
}

/// Whether `header`, in canonical spelling, is `canonical`.
fn same_letters(header: &str, canonical: &str) -> bool {
    header.len() == canonical.len()
        && header.bytes().zip(canonical.bytes()).all(|(a, b)| {
            let a = if a.is_ascii_alphanumeric() { a.to_ascii_lowercase() } else { b'-' };
            a == b
        })
}

fn canonical<'b>(name: &str, buffer: &'b mut [u8; LONGEST]) -> Option<&'b str> {
    let buffer = buffer.get_mut(..name.len())?;
    for (to, from) in buffer.iter_mut().zip(name.bytes()) {
        *to = if from.is_ascii_alphanumeric() { from.to_ascii_lowercase() } else { b'-' };
    }
    std::str::from_utf8(buffer).ok()
}

/// Removes every protected header and the `Authorization` header: the upstream gets to see neither the caller's
/// credential nor an identity that Claviger did not write.
pub fn remove_protected(headers: &mut HeaderMap, identity: &[HeaderName]) {
    headers.remove(http::header::AUTHORIZATION);
    // Most requests carry none; collect only where there is something to remove.
    let may_be = |name: &&HeaderName| {
        let first = name.as_str().as_bytes().first().copied().unwrap_or_default();
        matches!(first, b'x' | b'f')
            || identity.iter().any(|header| header.as_str().as_bytes().first() == Some(&first))
    };
    let found: Vec<HeaderName> =
        headers.keys().filter(may_be).filter(|name| is_protected(name.as_str(), identity)).cloned().collect();
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
