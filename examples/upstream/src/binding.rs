//! The binding of a principal token to one request: `v1.<unix seconds>.<HMAC-SHA-256>`.

use std::fmt;

use anyhow::Context;
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How far the time in a binding may be from this server's, in seconds.
const LONGEST_AGE: u64 = 30;

/// The key that this server shares with Claviger for one API. It cannot be printed.
pub struct BindingKey(hmac::Key);

impl BindingKey {
    /// Makes the key of its 32 bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Reads the text form: base64url without padding, space around it allowed.
    ///
    /// # Errors
    /// If it is not that, or not 32 bytes long. The error does not repeat the text.
    pub fn from_base64url(text: &str) -> anyhow::Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| Self::new(&bytes)).context("a binding key is 32 bytes in base64url without padding")
    }

    /// Whether `binding` was made with this key, for this request, at most 30 s from `now` (Unix seconds).
    pub(crate) fn verifies(&self, binding: &str, bound: &Bound<'_>, now: i64) -> bool {
        let mut parts = binding.split('.');
        let (Some("v1"), Some(seconds), Some(mac), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let (Ok(time), Ok(mac)) = (seconds.parse::<i64>(), URL_SAFE_NO_PAD.decode(mac)) else {
            return false;
        };
        // `hmac::verify` takes the same time whatever differs.
        now.abs_diff(time) <= LONGEST_AGE && hmac::verify(&self.0, bound.text(time).as_bytes(), &mac).is_ok()
    }
}

impl fmt::Debug for BindingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BindingKey(..)")
    }
}

/// All that the binding covers but the time. The body is not covered.
pub(crate) struct Bound<'a> {
    pub(crate) token: &'a str,
    pub(crate) method: &'a str,
    pub(crate) authority: &'a str,
    /// Path and query, as received.
    pub(crate) target: &'a str,
    pub(crate) request_id: &'a str,
}

impl Bound<'_> {
    fn text(&self, time: i64) -> String {
        let Self { token, method, authority, target, request_id } = self;
        let token = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes()));
        format!("v1\n{token}\n{method}\n{authority}\n{target}\n{request_id}\n{time}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_key_cannot_be_printed() {
        assert_eq!(format!("{:?}", BindingKey::new(&[7; 32])), "BindingKey(..)");
    }

    #[test]
    fn a_binding_key_of_another_length_is_refused_without_repeating_it() {
        let error = BindingKey::from_base64url("c2hvcnQ\n").err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("a binding key is 32 bytes in base64url without padding"));
        assert!(BindingKey::from_base64url(&format!("{}\n", URL_SAFE_NO_PAD.encode([1; 32]))).is_ok());
    }
}
