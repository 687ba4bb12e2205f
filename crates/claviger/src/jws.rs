//! Compact JWS (RFC 7515, section 7.1), read strictly: one spelling, one algorithm per key.
//!
//! What a token says of itself is a claim until its signature was found good: the payload is decoded before that only to
//! find the key by, and to spend no signature on what would be refused anyway. What a verifier must refuse is listed in
//! RFC 8725; the tests go through it line by line.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::Json;
use crate::key_set::{KeyError, is_key_name};
use crate::signing_key::SigningKey;

/// The longest token of our own that is looked at, in bytes. Other issuers' may be longer where settings say so.
pub const MAX_TOKEN_BYTES: usize = 8192;
/// How deep a token's header, and the payload of one of our own, may nest.
pub const MAX_DEPTH: u8 = 4;
/// Three non-empty parts with dots between them, nothing decoded yet.
#[derive(Clone, Copy)]
pub struct CompactJws<'a> {
    whole: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl fmt::Debug for CompactJws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompactJws(..)")
    }
}

impl<'a> CompactJws<'a> {
    /// Splits `text` at its two dots. `None` if there are not exactly two, or a part is empty.
    pub fn split(text: &'a str) -> Option<Self> {
        let mut parts = text.split('.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let whole =
            parts.next().is_none() && !header.is_empty() && !payload.is_empty() && !signature.is_empty();
        whole.then_some(Self { whole: text, header, payload, signature })
    }

    /// The token as it was shown.
    pub fn as_str(&self) -> &'a str {
        self.whole
    }

    /// Decodes the header.
    ///
    /// # Errors
    /// With what is wrong, for the log: not canonical base64url, not strict JSON, no fitting `alg` or `kid`, or a
    /// parameter that would let the token bring its own rules.
    pub fn header(&self) -> Result<Header, &'static str> {
        let bytes = decode(self.header).ok_or("the header is not canonical base64url")?;
        let json = Json::parse(&bytes, MAX_DEPTH).map_err(|_| "the header is not strict JSON")?;
        let members = json.as_object().ok_or("the header is not an object")?;
        if members.iter().any(|(name, _)| REFUSED_PARAMETERS.contains(&name.as_str())) {
            return Err("the header has a parameter that is not allowed");
        }
        let text = |name: &str| match json.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or("a header parameter is not a text"),
        };
        let kid = text("kid")?.ok_or("the header names no key")?;
        if !is_key_name(kid) {
            return Err("the header's key name is empty or too long");
        }
        Ok(Header {
            alg: text("alg")?.ok_or("the header names no algorithm")?.into(),
            typ: text("typ")?.map(Into::into),
            kid: kid.into(),
        })
    }

    /// What the signature is over.
    pub fn signing_input(&self) -> &'a [u8] {
        let end = self.header.len() + 1 + self.payload.len();
        self.whole.as_bytes().get(..end).unwrap_or_default()
    }

    /// The signature's bytes; `None` if they are not canonical base64url.
    pub fn signature(&self) -> Option<Vec<u8>> {
        decode(self.signature)
    }

    /// The payload's claims, nested at most `depth` deep. Nothing in them may be believed before
    /// [`signature`](Self::signature) was found good over [`signing_input`](Self::signing_input).
    ///
    /// # Errors
    /// With what is wrong, for the log.
    pub fn claims(&self, depth: u8) -> Result<Json, &'static str> {
        let bytes = decode(self.payload).ok_or("the payload is not canonical base64url")?;
        let json = Json::parse(&bytes, depth)
            .map_err(|_| "the payload is not strict JSON, or nested deeper than allowed")?;
        json.as_object().ok_or("the payload is not an object")?;
        Ok(json)
    }
}

/// Parameters with which a token would choose its own key or rules (RFC 8725, sections 3.1 and 3.5; RFC 7797).
const REFUSED_PARAMETERS: [&str; 9] = ["crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc", "p2c"];

/// Whether it is the form of the names we give to our own keys and secrets. Nobody has to be asked for any other.
pub(crate) fn is_own_key_name(kid: &str) -> bool {
    kid.len() <= 64 && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Canonical base64url without padding: trailing bits have to be zero.
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// What a token says of its own signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The algorithm it claims; the key decides.
    pub alg: Box<str>,
    /// The media type it claims.
    pub typ: Option<Box<str>>,
    /// The key it names.
    pub kid: Box<str>,
}

/// The header of tokens made here: `alg` first, as the documents of the APIs show.
#[derive(serde::Serialize)]
struct NewHeader<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// Signs `claims` under a public-key pair.
///
/// # Errors
/// If the crypto library fails, or the claims cannot be written as JSON.
pub fn sign(key: &SigningKey, typ: &str, claims: &impl serde::Serialize) -> Result<String, KeyError> {
    let header = NewHeader { alg: key.algorithm().as_str(), typ, kid: key.kid() };
    compact(&header, claims, |input| key.sign(input))
}

/// Signs `claims` with HMAC-SHA-256 under `secret`, which must have at least 32 bytes (RFC 7518, section 3.2).
///
/// # Errors
/// If the secret is too short, or the claims cannot be written as JSON.
pub fn sign_hs256(
    secret: &[u8],
    kid: &str,
    typ: &str,
    claims: &impl serde::Serialize,
) -> Result<String, KeyError> {
    if secret.len() < 32 {
        return Err(KeyError::Refused);
    }
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let header = NewHeader { alg: "HS256", typ, kid };
    compact(&header, claims, |input| Ok(aws_lc_rs::hmac::sign(&key, input).as_ref().to_vec()))
}

fn compact(
    header: &NewHeader<'_>,
    claims: &impl serde::Serialize,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, KeyError>,
) -> Result<String, KeyError> {
    let header = serde_json::to_vec(header).map_err(|_| KeyError::Refused)?;
    let claims = serde_json::to_vec(claims).map_err(|_| KeyError::Refused)?;
    let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(json: &str) -> Result<Header, &'static str> {
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(json));
        CompactJws::split(&token).unwrap().header()
    }

    #[test]
    fn only_three_parts_are_a_token() {
        assert_eq!(format!("{:?}", CompactJws::split("a.b.c")), "Some(CompactJws(..))", "never the token");
        for bad in ["", "a", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c.d.e", ".."] {
            assert!(CompactJws::split(bad).is_none(), "{bad}");
        }
        let token = CompactJws::split("YQ.Yg.Yw").unwrap();
        assert_eq!((token.signing_input(), token.as_str()), (&b"YQ.Yg"[..], "YQ.Yg.Yw"));
        assert_eq!(token.signature().unwrap(), b"c");
    }

    #[test]
    fn a_token_may_not_bring_its_own_rules() {
        assert!(header_of(r#"{"alg":"EdDSA","kid":"a"}"#).is_ok());
        for parameter in REFUSED_PARAMETERS {
            assert!(
                header_of(&format!(r#"{{"alg":"EdDSA","kid":"a","{parameter}":[]}}"#)).is_err(),
                "{parameter}"
            );
        }
        for bad in [
            r#"{"alg":"EdDSA"}"#,
            r#"{"kid":"a"}"#,
            r#"{"alg":"EdDSA","kid":""}"#,
            r#"{"alg":"EdDSA","kid":1}"#,
            r#"{"alg":["EdDSA"],"kid":"a"}"#,
            r#"{"alg":"EdDSA","alg":"none","kid":"a"}"#,
            r#"{"alg":"EdDSA","kid":"a","x":{"y":{"z":{"w":{}}}}}"#,
            r#"["alg"]"#,
        ] {
            assert!(header_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_may_be_called_anything_up_to_256_bytes() {
        for kid in ["J4j+I06r0I0vp/Xv4uYrrpwwSNK0=", "key.2026:1@a", "schl\u{fc}ssel", &"a".repeat(256)] {
            let header = header_of(&format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#)).unwrap();
            assert_eq!(&*header.kid, kid);
        }
        assert!(header_of(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "a".repeat(257))).is_err());
        for (kid, own) in
            [("id_1-A", true), (&*"a".repeat(64), true), (&*"a".repeat(65), false), ("a.b", false)]
        {
            assert_eq!(is_own_key_name(kid), own, "{kid}");
        }
    }

    #[test]
    fn a_payload_nests_as_deep_as_is_allowed_and_no_deeper() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"a":{"b":{"c":1}}}"#);
        let text = format!("e30.{payload}.AA");
        let token = CompactJws::split(&text).unwrap();
        assert!(token.claims(3).is_ok() && token.claims(2).is_err());
        let text = format!("e30.{}.AA", URL_SAFE_NO_PAD.encode("[1]"));
        assert_eq!(CompactJws::split(&text).unwrap().claims(4), Err("the payload is not an object"));
    }

    #[test]
    fn only_canonical_base64url_is_read() {
        // "QQ" is "A"; "QR" has trailing bits that are not zero.
        for (text, good) in [
            ("QQ", true),
            ("QR", false),
            ("QQ==", false),
            ("Q+", false),
            ("Q/", false),
            ("Q Q", false),
            ("Q", false),
        ] {
            assert_eq!(decode(text).is_some(), good, "{text}");
        }
    }

    #[test]
    fn a_token_begins_as_the_documents_show() {
        let token = sign_hs256(&[7; 32], "us_a", "user+jwt", &serde_json::json!({})).unwrap();
        assert!(token.starts_with("eyJhbGciOiJIUzI1NiIs"), "{token}");
        assert!(sign_hs256(&[7; 31], "us_a", "user+jwt", &serde_json::json!({})).is_err());
    }
}
