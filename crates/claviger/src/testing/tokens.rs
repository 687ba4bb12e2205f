//! Tokens of any make, the odd ones above all.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::key_set::Algorithm;
use crate::signing_key::SigningKey;

/// A new key pair called `kid`.
///
/// # Panics
/// If the crypto library cannot make one.
#[expect(clippy::expect_used, reason = "a test without keys has nothing to test")]
pub fn keypair(kid: &str, algorithm: Algorithm) -> SigningKey {
    let document = SigningKey::generate(algorithm).expect("a new key");
    SigningKey::from_pkcs8(kid, algorithm, &document).expect("the key that was just made")
}

/// Header and claims of a token before it is signed: both can be bent in any way.
#[derive(Debug, Clone)]
pub struct Unsigned {
    /// The header's JSON text.
    pub header: String,
    /// The payload's bytes.
    pub payload: Vec<u8>,
}

impl Unsigned {
    /// From JSON values.
    pub fn new(header: &Value, claims: &Value) -> Self {
        Self { header: header.to_string(), payload: claims.to_string().into_bytes() }
    }

    /// What is signed (RFC 7515, section 5.1).
    pub fn input(&self) -> String {
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&self.header), URL_SAFE_NO_PAD.encode(&self.payload))
    }

    /// Signed with `key`, whatever the header says.
    ///
    /// # Panics
    /// If the crypto library fails.
    #[expect(clippy::expect_used, reason = "a test without a signature has nothing to test")]
    pub fn signed(&self, key: &SigningKey) -> String {
        self.with_signature(&key.sign(self.input().as_bytes()).expect("a signature"))
    }

    /// Signed with HMAC-SHA-256 under `secret`, however short, whatever the header says.
    pub fn signed_hs256(&self, secret: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        self.with_signature(hmac::sign(&key, self.input().as_bytes()).as_ref())
    }

    /// With these bytes for a signature.
    pub fn with_signature(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.input(), URL_SAFE_NO_PAD.encode(signature))
    }
}
