//! Step 1: find the one credential a request shows, and tell its kind by its shape alone.
//!
//! Nothing is looked up and nothing is believed. Two credentials are refused rather than ranked: the proxy in
//! front of us and the service behind us might rank them differently. The query string is never read for one.

use http::HeaderValue;

use crate::api::{Api, CREDENTIAL_HEADER};
use crate::api_key::PresentedKey;
use crate::inbound::Inbound;
use crate::jws::{CompactJws, MAX_TOKEN_BYTES};
use crate::refusal::{CredentialKind, Reason};

/// What a request shows: of the right shape, and unproven.
#[derive(Debug)]
pub enum Credential<'a> {
    /// A well-formed API key.
    ApiKey(PresentedKey),
    /// Three parts with dots between them: a token of either kind.
    Token(CompactJws<'a>),
}

/// Finds the credential.
///
/// # Errors
/// 401 if there is none, more than one, or one of no known shape; the kind of key or token that this API does
/// not take is refused here where the shape already tells it.
pub fn identify<'a>(api: &Api, inbound: &Inbound<'a>) -> Result<Credential<'a>, Reason> {
    let text = bearer(inbound)?;
    if PresentedKey::looks_like_one(text, &api.key_prefix) {
        if !api.credentials.contain(CredentialKind::ApiKey) {
            return Err(Reason::CredentialNotAccepted { kind: CredentialKind::ApiKey });
        }
        let malformed = Reason::MalformedCredential { why: "not a whole key, or its checksum is wrong" };
        return PresentedKey::parse(text, &api.key_prefix).map(Credential::ApiKey).ok_or(malformed);
    }
    CompactJws::split(text)
        .map(Credential::Token)
        .ok_or(Reason::MalformedCredential { why: "neither key nor token" })
}

/// Whether a byte may stand in a bearer credential (`b64token`, RFC 6750, section 2.1).
fn is_b64token(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// The text after `Bearer` in the one `Authorization` header (RFC 6750, section 2.1).
fn bearer<'a>(inbound: &Inbound<'a>) -> Result<&'a str, Reason> {
    let mut values = inbound.headers.get_all(CREDENTIAL_HEADER).iter();
    let value: &'a HeaderValue = values.next().ok_or(Reason::NoCredential)?;
    if values.next().is_some() {
        return Err(Reason::AmbiguousCredential);
    }
    let malformed = |why| Reason::MalformedCredential { why };
    let text = value.to_str().map_err(|_| malformed("not ASCII"))?;
    let (scheme, token) = text.split_once(' ').ok_or(malformed("no scheme and credential"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(malformed("another scheme than Bearer"));
    }
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !token.bytes().all(is_b64token) {
        return Err(malformed("empty, too long, or not a bearer token"));
    }
    Ok(token)
}
