//! The request target: a path that is normal however it is read, and its query.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

use crate::refusal::Reason;

/// The longest target that is looked at, in bytes.
pub const MAX_TARGET_BYTES: usize = 8192;

/// What a path can hold that most upstreams never see, and some read in more than one way. Each has to be asked for,
/// by the API or by every route that the path may be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oddities {
    /// A slash within a segment, encoded as `%2F`.
    pub encoded_slash: bool,
    /// Parameters of a segment behind `;` (RFC 3986, section 3.3).
    pub matrix: bool,
    /// Characters beyond ASCII that are not encoded (RFC 3987).
    pub raw_utf8: bool,
}

impl Oddities {
    /// Whether everything here is also in `allowed`.
    pub fn within(self, allowed: Self) -> bool {
        (!self.encoded_slash || allowed.encoded_slash)
            && (!self.matrix || allowed.matrix)
            && (!self.raw_utf8 || allowed.raw_utf8)
    }

    /// What is in either.
    #[must_use]
    pub fn either(self, other: Self) -> Self {
        Self {
            encoded_slash: self.encoded_slash || other.encoded_slash,
            matrix: self.matrix || other.matrix,
            raw_utf8: self.raw_utf8 || other.raw_utf8,
        }
    }

    /// What is in both.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self {
            encoded_slash: self.encoded_slash && other.encoded_slash,
            matrix: self.matrix && other.matrix,
            raw_utf8: self.raw_utf8 && other.raw_utf8,
        }
    }

    /// What is wrong with a path that has one which is not in `allowed`.
    pub(crate) fn refused_beyond(self, allowed: Self) -> Reason {
        let why = if self.encoded_slash && !allowed.encoded_slash {
            "the path has an encoded slash"
        } else if self.matrix && !allowed.matrix {
            "the path has a semicolon"
        } else {
            "the path has a character that must be encoded"
        };
        Reason::MalformedRequest { why }
    }
}

/// A path that is already normal, and the query as it came.
///
/// A path that is not normal is refused rather than rewritten: the bytes that are matched here are the bytes
/// that the upstream gets, so the two can not read them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
    oddities: Oddities,
    is_plain: bool,
}

impl<'a> Target<'a> {
    /// Takes the path and query of a request's URI.
    ///
    /// # Errors
    /// 400 if the path is not normal: `//`, dot segments however they are written, an encoded dot, backslash or
    /// control character, a backslash or `#`, a percent sign without two hexadecimal digits, or bytes that decode to
    /// no UTF-8. 414 if it is too long. What is odd and can be asked for is noted in [`oddities`](Self::oddities), to
    /// be refused or not by the API's routes.
    pub fn of(uri: &'a Uri) -> Result<Self, Reason> {
        let path = uri.path();
        if path.len() + uri.query().map_or(0, str::len) > MAX_TARGET_BYTES {
            return Err(Reason::TargetTooLong);
        }
        let (oddities, is_plain) = check_path(path)?;
        Ok(Self { path, query: uri.query(), oddities, is_plain })
    }

    /// The path, beginning with a slash.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// What is odd about the path.
    pub fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// Whether nothing in the path could be read in two ways, capital letters and a slash at its end apart.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The values of the query's parameters called `name`, decoded (WHATWG URL, `application/x-www-form-urlencoded`).
    /// The name is compared as the most forgiving upstreams do: after decoding, without case, with any character
    /// but a letter or digit like any other such, and without a subscript (`tenant_id[]`, `tenant.id`). A semicolon
    /// may part two parameters or not, so both readings are among the values.
    pub fn parameters<'n>(&self, name: &'n str) -> impl Iterator<Item = Cow<'a, str>> + use<'a, 'n> {
        let query = self.query.unwrap_or_default();
        let has_semicolon = query.contains(';');
        let parted = if has_semicolon { query } else { "" };
        form_urlencoded::parse(query.as_bytes())
            .chain(parted.split([';', '&']).flat_map(|part| form_urlencoded::parse(part.as_bytes())))
            .filter(move |(key, _)| is_called(key, name))
            .map(|(_, value)| value)
    }
}

/// Whether a server behind us may take a parameter called `key` for the one called `name`.
fn is_called(key: &str, name: &str) -> bool {
    // Some cut a name at the first NUL, and all that know subscripts drop what stands before the name.
    let key = key.split('\0').next().unwrap_or_default().trim_start();
    let plain = |b: u8| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'_' };
    let is_like =
        |part: &str| part.len() == name.len() && part.bytes().map(plain).eq(name.bytes().map(plain));
    // As it stands, and without whatever subscript there may be: `[` opens one wherever it is.
    is_like(key) || key.match_indices('[').any(|(at, _)| key.get(..at).is_some_and(is_like))
}

/// What `text` says decoded; a percent sign without two digits stands for itself.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// Looks at every byte once; the rest is for paths that have something to look at twice.
fn check_path(path: &str) -> Result<(Oddities, bool), Reason> {
    let refuse = |why| Err(Reason::MalformedRequest { why });
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return refuse("the path does not begin with a slash");
    }
    let mut oddities = Oddities::default();
    let mut is_plain = true;
    let mut segment_start = 1;
    let mut last_dot = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let hex = bytes.get(at + 1).zip(bytes.get(at + 2));
                let Some(decoded) = hex.and_then(|(high, low)| Some(nibble(*high)? * 16 + nibble(*low)?))
                else {
                    return refuse("the path has a percent sign without two hexadecimal digits");
                };
                if matches!(decoded, b'.' | b'\\') || decoded.is_ascii_control() {
                    return refuse("the path encodes a character that must not be encoded");
                }
                oddities.encoded_slash |= decoded == b'/';
                is_plain = false;
            }
            b'\\' | b'#' => return refuse("the path has a backslash or number sign"),
            0..=0x20 | 0x7f => return refuse("the path has a character that must be encoded"),
            b';' => {
                oddities.matrix = true;
                is_plain = false;
            }
            0x80.. => {
                oddities.raw_utf8 = true;
                is_plain = false;
            }
            b'.' => last_dot = at,
            b'/' => {
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
    check_segment(bytes.get(segment_start..).unwrap_or_default())?;
    if !is_plain {
        check_decoded(path)?;
    }
    // A slash at the end leaves the segment before it the last one.
    let last = bytes.strip_suffix(b"/").unwrap_or(bytes).iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    Ok((oddities, is_plain && last_dot <= last))
}

/// Whether the path stays normal however a server behind us takes it apart.
fn check_decoded(path: &str) -> Result<(), Reason> {
    let refuse = |why| Err(Reason::MalformedRequest { why });
    // Overlong forms above all: `%c0%ae` is a dot to a careless decoder.
    let Ok(decoded) = String::from_utf8(decode(path)) else {
        return refuse("the path encodes bytes that are not UTF-8");
    };
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        // The path's own slash at its end leaves one empty segment; an encoded one would make more.
        if segment.is_empty() && segments.peek().is_some() {
            return refuse("the path has an empty segment once it is decoded");
        }
        // `..;x` is a dot segment to whoever takes the parameters off first.
        check_segment(segment.as_bytes())?;
        check_segment(segment.split(';').next().unwrap_or_default().as_bytes())?;
    }
    Ok(())
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

    fn odd(path: &str) -> Result<Oddities, Reason> {
        check_path(path).map(|(oddities, _)| oddities)
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
            "/a%5cb",
            "/a%00",
            "/a\\b",
            "/a#b",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a b",
            "/a%0d%0a",
            "/a%7f",
            "/%c0%ae%c0%ae/b",
            "/a%c0%afb",
            "/a%ff",
        ] {
            assert!(odd(bad).is_err(), "{bad}");
        }
        for good in [
            "/",
            "/api/v1/orders",
            "/api/v1/orders/",
            "/a%20b",
            "/...",
            "/a..b/.well-known",
            "/%c3%a9",
            "/a:b@c",
            "/a%3Fb%23c%3bd",
            "/a%25b",
        ] {
            assert_eq!(odd(good).unwrap(), Oddities::default(), "{good}");
        }
    }

    #[test]
    fn what_can_be_asked_for_is_told_and_stays_normal_in_every_reading() {
        let (slash, matrix, utf8) = (
            Oddities { encoded_slash: true, ..Oddities::default() },
            Oddities { matrix: true, ..Oddities::default() },
            Oddities { raw_utf8: true, ..Oddities::default() },
        );
        for (path, expected) in [
            ("/u/@scope%2Fname", slash),
            ("/u/a%2fb/", slash),
            ("/u/invoices;interval=2015-06", matrix),
            ("/u/;x", matrix),
            ("/u/caf\u{e9}", utf8),
            ("/u/caf\u{e9}%2f;a", slash.either(matrix).either(utf8)),
        ] {
            assert_eq!(odd(path).unwrap(), expected, "{path}");
        }
        for bad in [
            "/u/..%2fadmin",
            "/u/.%2fadmin",
            "/u/a%2f..",
            "/u/a%2f%2fb",
            "/u%2f/b",
            "/%2fadmin",
            "/u/..;/admin",
            "/u/..;x=1",
            "/u/.;",
            "/u/..%3badmin",
            "/u/a%2f..;x",
        ] {
            assert!(odd(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_oddity_is_refused_by_its_own_name() {
        let all = Oddities { encoded_slash: true, matrix: true, raw_utf8: true };
        let none = Oddities::default();
        assert!(none.within(none) && none.within(all) && all.within(all));
        for (one, why) in [
            (Oddities { encoded_slash: true, ..none }, "the path has an encoded slash"),
            (Oddities { matrix: true, ..none }, "the path has a semicolon"),
            (Oddities { raw_utf8: true, ..none }, "the path has a character that must be encoded"),
        ] {
            assert!(one.within(one) && one.within(all) && !one.within(none) && !all.within(one));
            assert_eq!((one.either(none), one.both(all), one.both(none)), (one, one, none));
            assert_eq!(one.refused_beyond(none), Reason::MalformedRequest { why });
        }
    }

    #[test]
    fn decoding_leaves_what_is_no_encoding() {
        for (text, expected) in
            [("a%41b", "aAb"), ("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%%41", "%A")]
        {
            assert_eq!(decode(text), expected.as_bytes(), "{text}");
        }
    }

    #[test]
    fn a_target_has_8192_bytes_at_most_path_and_query_together() {
        let target = |length: usize| format!("/{}?{}", "a".repeat(4000), "b".repeat(length - 4001));
        let (longest, longer): (Uri, Uri) = (target(8192).parse().unwrap(), target(8193).parse().unwrap());
        let taken = Target::of(&longest).unwrap();
        assert_eq!(taken.query(), Some(&*"b".repeat(4191)));
        assert_eq!(Target::of(&longer), Err(Reason::TargetTooLong));
        assert_eq!(Target::of(&Uri::from_static("/a")).unwrap().query(), None);
    }

    #[test]
    fn a_plain_path_has_nothing_to_read_twice() {
        let is_plain = |path: &str| Target::of(&path.parse().unwrap()).unwrap().is_plain();
        for plain in ["/", "/api/v1/orders", "/api/v1/Orders/", "/v1.2/orders", "/.well-known/keys"] {
            assert!(is_plain(plain), "{plain}");
        }
        for two_ways in ["/a%41", "/a;b", "/a/orders.json", "/a/orders.json/", "/caf\u{e9}"] {
            assert!(!is_plain(two_ways), "{two_ways}");
        }
    }

    fn found(query: &str, name: &str) -> Vec<String> {
        let uri: Uri = format!("/a?{query}").parse().unwrap();
        Target::of(&uri).unwrap().parameters(name).map(Cow::into_owned).collect()
    }

    #[test]
    fn parameters_are_compared_after_decoding_and_without_case() {
        let query =
            "tenant%5fid=1&x=2&Tenant_ID=3&tenant_id=4%2B&tenant_id[]=5&tenant.id=6&tenant-id%5B0%5D=7";
        let query = format!("{query}&tenant_id2=8&tenant=9");
        assert_eq!(found(&query, "tenant_id"), ["1", "3", "4+", "5", "6", "7"]);
    }

    #[test]
    fn core_05_every_spelling_of_a_parameter_is_found() {
        for (query, name) in [
            ("a=1;tenant_id=9", "tenant_id"),
            ("a=1;b=2&tenant_id=9", "tenant_id"),
            ("tenant_id=9;a=1", "tenant_id"),
            ("tenant[id=9", "tenant_id"),
            ("tenant%5bid=9", "tenant_id"),
            ("+tenant_id=9", "tenant_id"),
            ("tenant_id%00x=9", "tenant_id"),
            ("tenant_id[a][b]=9", "tenant_id"),
            ("filter[tenant]=9", "filter[tenant]"),
            ("Filter%5Btenant%5D=9", "filter[tenant]"),
            ("filter[tenant][]=9", "filter[tenant]"),
            ("filter.tenant.=9", "filter[tenant]"),
        ] {
            assert!(found(query, name).iter().any(|value| value == "9"), "{query}");
        }
        for (query, name) in [
            ("filter[org]=9", "filter[tenant]"),
            ("xtenant_id=9", "tenant_id"),
            ("tenant_ix=9", "tenant_id"),
            ("a[tenant_id]=9", "tenant_id"),
        ] {
            assert_eq!(found(query, name), [""; 0], "{query}");
        }
        assert_eq!(found("tenant_id=9;a=1", "tenant_id"), ["9;a=1", "9"], "both readings");
    }
}
