//! The request target: a path that means one thing, and its query.

use std::borrow::Cow;

use http::Uri;

use crate::refusal::Reason;

/// The longest target that is looked at, in bytes.
pub const MAX_TARGET_BYTES: usize = 8192;

/// A path that is already normal, and the query as it came.
///
/// A path that is not normal is refused rather than rewritten: the bytes that are matched here are the bytes
/// that the upstream gets, so the two can not read them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes the path and query of a request's URI.
    ///
    /// # Errors
    /// 400 if the path is not normal: `//`, dot segments, an encoded dot, slash, backslash or NUL, a backslash,
    /// `;` or `#`, a percent sign without two hexadecimal digits, a control character, or bytes that decode to no
    /// UTF-8. 414 if it is too long.
    pub fn of(uri: &'a Uri) -> Result<Self, Reason> {
        let path = uri.path();
        if path.len() + uri.query().map_or(0, str::len) > MAX_TARGET_BYTES {
            return Err(Reason::TargetTooLong);
        }
        check_path(path)?;
        Ok(Self { path, query: uri.query() })
    }

    /// The path, beginning with a slash.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The path with every `%` decoded: how an upstream may read it. `None` if nothing in it is encoded.
    pub fn decoded_path(&self) -> Option<Cow<'a, str>> {
        if !self.path.contains('%') {
            return None;
        }
        // `of` has let in nothing that is not UTF-8.
        Some(String::from_utf8_lossy(&decode(self.path.as_bytes())).into_owned().into())
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The values of the query's parameters called `name`, decoded (WHATWG URL, `application/x-www-form-urlencoded`).
    /// The name is compared as the most forgiving upstreams do: after decoding, without case, with any character
    /// but a letter or digit like any other such, and without a subscript (`tenant_id[]`, `tenant.id`).
    pub fn parameters<'n>(&self, name: &'n str) -> impl Iterator<Item = Cow<'a, str>> + use<'a, 'n> {
        form_urlencoded::parse(self.query.unwrap_or_default().as_bytes())
            .filter(move |(key, _)| is_called(key, name))
            .map(|(_, value)| value)
    }
}

fn is_called(key: &str, name: &str) -> bool {
    let key = key.split('[').next().unwrap_or_default().trim_start();
    let plain = |b: u8| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'_' };
    key.len() == name.len() && key.bytes().map(plain).eq(name.bytes().map(plain))
}

/// What `path`, whose every `%` has two digits behind it, says decoded.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.iter();
    while let Some(&byte) = rest.next() {
        let digits = if byte == b'%' { rest.as_slice().get(..2) } else { None };
        match digits {
            Some(&[high, low]) => {
                decoded.extend(nibble(high).zip(nibble(low)).map(|(high, low)| high << 4 | low));
                rest.nth(1);
            }
            _ => decoded.push(byte),
        }
    }
    decoded
}

fn check_path(path: &str) -> Result<(), Reason> {
    let refuse = |why| Err(Reason::MalformedRequest { why });
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return refuse("the path does not begin with a slash");
    }
    let mut segment_start = 1;
    let mut at = 0;
    let mut is_ascii = true;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let hex = bytes.get(at + 1).zip(bytes.get(at + 2));
                let Some(decoded) = hex.and_then(|(high, low)| Some(nibble(*high)? << 4 | nibble(*low)?))
                else {
                    return refuse("the path has a percent sign without two hexadecimal digits");
                };
                if matches!(decoded, b'.' | b'/' | b'\\') || decoded.is_ascii_control() {
                    return refuse("the path encodes a character that must not be encoded");
                }
                is_ascii &= decoded.is_ascii();
            }
            b'\\' | b';' | b'#' => return refuse("the path has a backslash, semicolon or number sign"),
            0..=0x20 | 0x7f.. => return refuse("the path has a character that must be encoded"),
            b'/' if at > 0 => {
                check_segment(bytes.get(segment_start..at).unwrap_or_default())?;
                if at == segment_start {
                    return refuse("the path has an empty segment");
                }
                segment_start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    // Overlong forms above all: `%c0%ae` is a dot to a careless decoder.
    if !is_ascii && std::str::from_utf8(&decode(bytes)).is_err() {
        return refuse("the path encodes bytes that are not UTF-8");
    }
    check_segment(bytes.get(segment_start..).unwrap_or_default())
}

fn check_segment(segment: &[u8]) -> Result<(), Reason> {
    if matches!(segment, b"." | b"..") {
        return Err(Reason::MalformedRequest { why: "the path has a dot segment" });
    }
    Ok(())
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_normal(path: &str) -> bool {
        check_path(path).is_ok()
    }

    #[test]
    fn trap_dot_dot_and_encoded_path_against_rule_match() {
        for bad in [
            "",
            "api",
            "//",
            "/a//b",
            "/a/./b",
            "/a/../b",
            "/..",
            "/.",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a%2fb",
            "/a%5cb",
            "/a%00",
            "/a\\b",
            "/a;v=1",
            "/a#b",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a b",
            "/a%0d%0a",
            "/\u{e9}",
            "/a%7f",
            "/%c0%ae%c0%ae/b",
            "/a%c0%afb",
            "/a%ff",
        ] {
            assert!(!is_normal(bad), "{bad}");
        }
        for good in [
            "/",
            "/api/v1/orders",
            "/api/v1/orders/",
            "/a%20b",
            "/...",
            "/a.b/.well-known",
            "/%c3%a9",
            "/a:b@c",
        ] {
            assert!(is_normal(good), "{good}");
        }
    }

    #[test]
    fn parameters_are_compared_after_decoding_and_without_case() {
        let query =
            "tenant%5fid=1&x=2&Tenant_ID=3&tenant_id=4%2B&tenant_id[]=5&tenant.id=6&tenant-id%5B0%5D=7";
        let uri: Uri = format!("/a?{query}&tenant_id2=8&tenant=9").parse().unwrap();
        let found: Vec<_> = Target::of(&uri).unwrap().parameters("tenant_id").collect();
        assert_eq!(found, ["1", "3", "4+", "5", "6", "7"]);
    }
}
