//! Keys that sign and verify compact JWS (RFC 7515), each bound to one algorithm.

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, ParsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::Json;
use crate::secret::Secret;

/// What a key signs with. The key says it; a token's header can only agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA over P-256 with SHA-256 (RFC 7518, section 3.4).
    Es256,
}

impl Algorithm {
    /// The `alg` value (RFC 7518, section 3.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    /// Reads an `alg` value, to the letter.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The JSON is not a JWK set, or a key in it is not usable.
    #[error("{0}")]
    Malformed(String),
    /// The crypto library would not take or make the key.
    #[error("the key material was refused")]
    Refused,
}

/// A public key, its name and its algorithm.
pub struct VerifyingKey {
    kid: Box<str>,
    algorithm: Algorithm,
    key: ParsedPublicKey,
    /// The raw public key: 32 bytes of Ed25519, or the 65 bytes of an uncompressed P-256 point.
    raw: Box<[u8]>,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, {})", self.kid, self.algorithm.as_str())
    }
}

/// Ed25519 public keys of small order: signatures under them say nothing about the message.
const SMALL_ORDER: [&str; 8] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

impl VerifyingKey {
    /// From raw bytes: 32 of Ed25519, or the 65 of an uncompressed P-256 point.
    ///
    /// # Errors
    /// If the bytes are no such key, or a key under which anything verifies.
    pub fn new(kid: &str, algorithm: Algorithm, raw: &[u8]) -> Result<Self, KeyError> {
        let key = match algorithm {
            Algorithm::EdDsa => {
                let hex: String = raw.iter().map(|b| format!("{b:02x}")).collect();
                // The sign bit does not change the order of these points.
                let unsigned = |text: &str| {
                    let mut text = text.to_owned();
                    if let Some(last) = raw.last() {
                        text.replace_range(62.., &format!("{:02x}", last & 0x7f));
                    }
                    text
                };
                if raw.len() != 32
                    || SMALL_ORDER.contains(&hex.as_str())
                    || SMALL_ORDER.contains(&&*unsigned(&hex))
                {
                    return Err(KeyError::Refused);
                }
                ParsedPublicKey::new(&ED25519, raw)
            }
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, raw),
        };
        let key = key.map_err(|_| KeyError::Refused)?;
        Ok(Self { kid: kid.into(), algorithm, key, raw: raw.into() })
    }

    /// The key's name, a token's `kid`.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it verifies with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw public key.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    /// The key as a JWK (RFC 7517; RFC 8037 for Ed25519).
    pub fn to_jwk(&self) -> serde_json::Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self.algorithm {
            Algorithm::EdDsa => serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": &*self.kid, "x": b64(&self.raw),
            }),
            Algorithm::Es256 => {
                let point = self.raw.get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                serde_json::json!({
                    "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": &*self.kid, "x": b64(x), "y": b64(y),
                })
            }
        }
    }
}

/// Reads a JWK set (RFC 7517, section 5). Keys of other kinds are passed over, as the RFC asks; a key of a kind
/// we know that cannot be used is an error, because somebody meant it to be.
///
/// # Errors
/// If the text is not a JWK set, or a key in it is unusable, has no `kid`, or shares its `kid`.
pub fn parse_jwk_set(text: &[u8]) -> Result<Vec<VerifyingKey>, KeyError> {
    let malformed = |what: &str| KeyError::Malformed(what.to_owned());
    let set = Json::parse(text, 6).map_err(|_| malformed("the key set is not valid JSON"))?;
    let keys =
        set.get("keys").and_then(Json::as_array).ok_or_else(|| malformed("the key set has no `keys`"))?;
    let mut found: Vec<VerifyingKey> = Vec::new();
    for key in keys {
        let text = |name: &str| key.get(name).and_then(Json::as_str);
        let bytes = |name: &str| text(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
        let (algorithm, raw) = match (text("kty"), text("crv")) {
            (Some("OKP"), Some("Ed25519")) => (Algorithm::EdDsa, bytes("x")),
            (Some("EC"), Some("P-256")) => {
                let point = bytes("x").zip(bytes("y")).map(|(x, y)| [&[4u8][..], &x, &y].concat());
                (Algorithm::Es256, point)
            }
            _ => continue,
        };
        if text("use").is_some_and(|usage| usage != "sig") {
            continue;
        }
        let kid = text("kid").ok_or_else(|| malformed("a key in the set has no `kid`"))?;
        if text("alg").is_some_and(|alg| alg != algorithm.as_str()) {
            return Err(KeyError::Malformed(format!(
                "key `{kid}` names an algorithm that its kind cannot do"
            )));
        }
        if found.iter().any(|other| other.kid() == kid) {
            return Err(KeyError::Malformed(format!("two keys in the set are called `{kid}`")));
        }
        let raw =
            raw.ok_or_else(|| KeyError::Malformed(format!("key `{kid}` has no readable coordinates")))?;
        let key = VerifyingKey::new(kid, algorithm, &raw)
            .map_err(|_| KeyError::Malformed(format!("key `{kid}` is not a usable public key")))?;
        found.push(key);
    }
    Ok(found)
}

/// A private key, its name and its algorithm.
pub struct SigningKey {
    kid: Box<str>,
    pair: Pair,
}

enum Pair {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ..)", self.kid)
    }
}

impl SigningKey {
    /// Makes a new key pair and gives its private key as PKCS #8 (RFC 5958), to be kept encrypted.
    ///
    /// # Errors
    /// If the crypto library cannot make one.
    pub fn generate(algorithm: Algorithm) -> Result<Secret, KeyError> {
        let document = match algorithm {
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Refused)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Refused)?;
                der.as_ref().to_vec()
            }
            Algorithm::Es256 => {
                let random = SystemRandom::new();
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                    .map_err(|_| KeyError::Refused)?
                    .as_ref()
                    .to_vec()
            }
        };
        Ok(Secret::new(document))
    }

    /// Reads a private key from PKCS #8.
    ///
    /// # Errors
    /// If it is not a private key of `algorithm`.
    pub fn from_pkcs8(kid: &str, algorithm: Algorithm, document: &Secret) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::EdDsa => Pair::EdDsa(
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(document.expose())
                    .map_err(|_| KeyError::Refused)?,
            ),
            Algorithm::Es256 => Pair::Es256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.expose())
                    .map_err(|_| KeyError::Refused)?,
            ),
        };
        Ok(Self { kid: kid.into(), pair })
    }

    /// The key's name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::EdDsa(_) => Algorithm::EdDsa,
            Pair::Es256(_) => Algorithm::Es256,
        }
    }

    /// The public half.
    ///
    /// # Errors
    /// If the crypto library would not take it back.
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        let raw = match &self.pair {
            Pair::EdDsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Es256(pair) => {
                let point: signature::EcdsaPublicKey = pair.public_key().clone();
                let bytes: aws_lc_rs::encoding::EcPublicKeyUncompressedBin<'_> =
                    point.as_be_bytes().map_err(|_| KeyError::Refused)?;
                bytes.as_ref().to_vec()
            }
        };
        VerifyingKey::new(&self.kid, self.algorithm(), &raw)
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// If the crypto library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Es256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::Refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_algorithms_sign_verify_and_survive_the_jwk_form() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let document = SigningKey::generate(algorithm).unwrap();
            let key = SigningKey::from_pkcs8("a", algorithm, &document).unwrap();
            let signature = key.sign(b"message").unwrap();
            let set = serde_json::json!({ "keys": [key.verifying_key().unwrap().to_jwk()] }).to_string();
            let read = parse_jwk_set(set.as_bytes()).unwrap();
            assert!(read[0].verifies(b"message", &signature), "{algorithm:?}");
            assert!(!read[0].verifies(b"massage", &signature));
        }
    }

    #[test]
    fn keys_under_which_anything_verifies_are_refused() {
        for hex in SMALL_ORDER {
            let bytes: Vec<u8> =
                (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
            assert!(VerifyingKey::new("a", Algorithm::EdDsa, &bytes).is_err(), "{hex}");
            let mut signed = bytes.clone();
            signed[31] |= 0x80;
            assert!(VerifyingKey::new("a", Algorithm::EdDsa, &signed).is_err(), "{hex} with the sign bit");
        }
    }

    #[test]
    fn a_key_set_with_a_doubled_or_nameless_key_is_refused() {
        let document = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let key = SigningKey::from_pkcs8("a", Algorithm::EdDsa, &document)
            .unwrap()
            .verifying_key()
            .unwrap()
            .to_jwk();
        let twice = serde_json::json!({ "keys": [key.clone(), key.clone()] }).to_string();
        assert!(parse_jwk_set(twice.as_bytes()).is_err());
        let mut nameless = key;
        nameless.as_object_mut().unwrap().remove("kid");
        let nameless = serde_json::json!({ "keys": [nameless] }).to_string();
        assert!(parse_jwk_set(nameless.as_bytes()).is_err());
        assert!(parse_jwk_set(br#"{"keys":[{"kty":"RSA","kid":"r"}]}"#).unwrap().is_empty());
    }
}
