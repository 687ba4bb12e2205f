//! Private keys that sign compact JWS (RFC 7515): our own, of one of two algorithms.

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use crate::key_set::{Algorithm, KeyError, VerifyingKey};
use crate::secret::Secret;

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
    /// If the crypto library cannot make one, or `algorithm` is one that we only verify.
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
            _ => return Err(KeyError::Refused),
        };
        Ok(Secret::new(document))
    }

    /// Reads a private key from PKCS #8.
    ///
    /// # Errors
    /// If it is not a private key of `algorithm`, or that is one that we only verify.
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
            _ => return Err(KeyError::Refused),
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
    use crate::key_set::KeySet;

    #[test]
    fn both_algorithms_sign_verify_and_survive_the_jwk_form() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let document = SigningKey::generate(algorithm).unwrap();
            let key = SigningKey::from_pkcs8("a", algorithm, &document).unwrap();
            let signature = key.sign(b"message").unwrap();
            let set = serde_json::json!({ "keys": [key.verifying_key().unwrap().to_jwk()] }).to_string();
            let read = KeySet::parse(set.as_bytes(), None).unwrap();
            assert!(read.find("a").unwrap().verifies(b"message", &signature), "{algorithm:?}");
            assert!(!read.find("a").unwrap().verifies(b"massage", &signature));
            assert!(format!("{key:?}").starts_with("SigningKey(a, ..)"));
        }
    }

    #[test]
    fn what_is_only_verified_is_never_signed() {
        let document = SigningKey::generate(Algorithm::EdDsa).unwrap();
        for algorithm in [Algorithm::Es384, Algorithm::Es512, Algorithm::Rs256, Algorithm::Ps256] {
            assert_eq!(SigningKey::generate(algorithm).unwrap_err(), KeyError::Refused);
            assert!(SigningKey::from_pkcs8("a", algorithm, &document).is_err());
        }
        assert!(SigningKey::from_pkcs8("a", Algorithm::Es256, &document).is_err());
    }
}
