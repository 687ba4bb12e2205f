//! Step 1: find the one credential a request shows, and tell its kind by its shape alone.
//!
//! Nothing is looked up and nothing is believed. Two credentials are refused rather than ranked, whichever way they
//! come: the proxy in front of us and the service behind us might rank them differently. The query string is never
//! read for one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

use crate::api::{Api, CREDENTIAL_HEADER};
use crate::api_key::PresentedKey;
use crate::arrival::Arrival;
use crate::credential::{CredentialKind, Text};
use crate::jws::CompactJws;
use crate::protected::{BEARER_SUBPROTOCOL, subprotocols};
use crate::refusal::Reason;

/// What a request shows: of the right shape, and unproven.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    arrival: Arrival<'a>,
    credential: Credential<'a>,
}

/// The credential, by its shape.
#[derive(Debug)]
pub(crate) enum Credential<'a> {
    /// A well-formed API key.
    ApiKey(PresentedKey<'a>),
    /// Three parts with dots between them: a token of either kind.
    Token(Text<'a>),
}

impl<'a> Shown<'a> {
    pub(crate) fn arrival(&self) -> &Arrival<'a> {
        &self.arrival
    }

    pub(crate) fn credential(&self) -> &Credential<'a> {
        &self.credential
    }

    pub(crate) fn into_arrival(self) -> Arrival<'a> {
        self.arrival
    }
}

/// Finds the credential.
///
/// # Errors
/// 401 if there is none, more than one, or one of no known shape; the kind of key or token that this API does
/// not take is refused here where the shape already tells it.
pub(crate) fn identify(arrival: Arrival<'_>) -> Result<Shown<'_>, Reason> {
    let (api, headers) = (arrival.api(), arrival.inbound().headers);
    let text = find(api, headers)?;
    let shown = text.as_str();
    if shown.is_empty() || shown.len() > api.longest_credential() || !shown.bytes().all(is_b64token) {
        return Err(malformed("empty, too long, or not a bearer token"));
    }
    let credential = match PresentedKey::read(text, &api.key_prefix) {
        Ok(_) if !api.credentials.contain(CredentialKind::ApiKey) => {
            return Err(Reason::CredentialNotAccepted { kind: CredentialKind::ApiKey });
        }
        Ok(key) => Credential::ApiKey(key.ok_or(malformed("not a whole key, or its checksum is wrong"))?),
        Err(text) if CompactJws::split(text.as_str()).is_some() => Credential::Token(text),
        Err(_) => return Err(malformed("neither key nor token")),
    };
    Ok(Shown { arrival, credential })
}

fn malformed(why: &'static str) -> Reason {
    Reason::MalformedCredential { why }
}

/// Whether a byte may stand in a bearer credential (`b64token`, RFC 6750, section 2.1).
fn is_b64token(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

/// The one credential in all the places where this API takes one.
fn find<'a>(api: &Api, headers: &'a HeaderMap) -> Result<Text<'a>, Reason> {
    let carriers = &api.carriers;
    let mut found = only(headers.get_all(CREDENTIAL_HEADER).iter())?
        .map(|value| authorization(api, headers, value))
        .transpose();
    if let Some(name) = &carriers.header {
        let plain = only(headers.get_all(name).iter())?.map(|value| Ok(Text::Sent(ascii(value)?)));
        found = one_of(found, plain.transpose())?;
    }
    if carriers.websocket {
        found = one_of(found, subprotocol(headers))?;
    }
    found?.ok_or(Reason::NoCredential)
}

/// Whichever of two places has a credential, good or bad.
fn one_of<'a>(
    one: Result<Option<Text<'a>>, Reason>,
    other: Result<Option<Text<'a>>, Reason>,
) -> Result<Result<Option<Text<'a>>, Reason>, Reason> {
    match (one, other) {
        (one, Ok(None)) => Ok(one),
        (Ok(None), other) => Ok(other),
        _ => Err(Reason::AmbiguousCredential),
    }
}

fn only<'a>(mut values: impl Iterator<Item = &'a HeaderValue>) -> Result<Option<&'a HeaderValue>, Reason> {
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(Reason::AmbiguousCredential),
        (value, _) => Ok(value),
    }
}

fn ascii(value: &HeaderValue) -> Result<&str, Reason> {
    value.to_str().map_err(|_| malformed("not ASCII"))
}

/// What stands in `Authorization`, by its scheme: any case of letters, and one or more spaces (RFC 9110, section 11.4).
fn authorization<'a>(api: &Api, headers: &HeaderMap, value: &'a HeaderValue) -> Result<Text<'a>, Reason> {
    let text = ascii(value)?;
    let (scheme, credential) = text.split_once(' ').ok_or(malformed("no scheme and credential"))?;
    let credential = credential.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Text::Sent(credential));
    }
    if scheme.eq_ignore_ascii_case("basic") && api.carriers.basic {
        return basic(api, headers, credential);
    }
    Err(malformed("another scheme than this API takes"))
}

/// The user of Basic (RFC 7617), whose password has to be empty.
fn basic<'a>(api: &Api, headers: &HeaderMap, credential: &str) -> Result<Text<'a>, Reason> {
    // A browser adds such a credential by itself to whatever request some page has it make.
    for origin in headers.get_all(header::ORIGIN) {
        if !api.cors_origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes()) {
            return Err(malformed("Basic on behalf of a page that may not call"));
        }
    }
    let decoded =
        STANDARD.decode(credential).map(Zeroizing::new).map_err(|_| malformed("Basic without base64"))?;
    let text = std::str::from_utf8(&decoded).map_err(|_| malformed("Basic that is not UTF-8"))?;
    match text.split_once(':') {
        Some((user, "")) => Ok(Text::Decoded(Zeroizing::new(user.to_owned()))),
        _ => Err(malformed("Basic with a password, or without the colon before it")),
    }
}

/// The credential among the subprotocols that a browser offers when it opens a WebSocket.
fn subprotocol(headers: &HeaderMap) -> Result<Option<Text<'_>>, Reason> {
    // A value that is no text, which names no protocol either, may hide one.
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        ascii(value)?;
    }
    let mut offered = subprotocols(headers).filter_map(|name| name.strip_prefix(BEARER_SUBPROTOCOL));
    let Some(credential) = offered.next() else { return Ok(None) };
    if offered.next().is_some() {
        return Err(Reason::AmbiguousCredential);
    }
    let opens = headers
        .get_all(header::UPGRADE)
        .iter()
        .any(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if opens { Ok(Some(Text::Sent(credential))) } else { Err(malformed("a subprotocol without a WebSocket")) }
}
