//! Public keys that verify compact JWS (RFC 7515), each bound to one algorithm, and the sets they come in.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::Json;

/// The longest name of a key, in bytes.
pub const MAX_KID_BYTES: usize = 256;

/// Whether a key can be called so, in a token and in a key set alike.
pub(crate) fn is_key_name(kid: &str) -> bool {
    (1..=MAX_KID_BYTES).contains(&kid.len())
}

/// What a key signs with. The key says it; a token's header can only agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519 (RFC 8037), which RFC 9864 calls by that name too.
    EdDsa,
    /// ECDSA over P-256 with SHA-256 (RFC 7518, section 3.4).
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// ECDSA over P-521 with SHA-512.
    Es512,
    /// RSA by PKCS #1 version 1.5 with SHA-256 (RFC 7518, section 3.3).
    Rs256,
    /// RSA by PSS with SHA-256 (RFC 7518, section 3.5).
    Ps256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::EdDsa, Self::Es256, Self::Es384, Self::Es512, Self::Rs256, Self::Ps256];

    /// The `alg` value (RFC 7518, section 3.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    /// Reads an `alg` value, to the letter; `Ed25519` is what RFC 9864, section 2.2, calls the first.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.iter().copied().find(|algorithm| algorithm.as_str() == name)
    }

    fn verification(self) -> &'static dyn signature::VerificationAlgorithm {
        match self {
            Self::EdDsa => &ED25519,
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        }
    }
}

/// Why a key or a key set was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not a JWK set.
    #[error("{0}")]
    NoSet(&'static str),
    /// The crypto library would not take or make the key.
    #[error("the key material was refused")]
    Refused,
}

/// A public key, its name and its algorithm.
pub struct VerifyingKey {
    kid: Box<str>,
    algorithm: Algorithm,
    key: ParsedPublicKey,
    raw: Box<[u8]>,
    /// Of an RSA key.
    exponent: Box<[u8]>,
    thumbprint: [u8; 32],
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, {})", self.kid, self.algorithm.as_str())
    }
}

/// The `y` coordinates of Ed25519's points of small order, as they can be spelt: signatures under them say nothing
/// about the message. The sign bit, the last byte's highest, makes no difference.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would find a place outside")]
const SMALL_ORDER: [[u8; 32]; 7] = {
    const fn hex(text: &[u8; 64]) -> [u8; 32] {
        const fn digit(byte: u8) -> u8 {
            if byte <= b'9' { byte - b'0' } else { byte - b'a' + 10 }
        }
        let mut bytes = [0; 32];
        let mut at = 0;
        while at < 32 {
            bytes[at] = digit(text[2 * at]) << 4 | digit(text[2 * at + 1]);
            at += 1;
        }
        bytes
    }
    [
        hex(b"0000000000000000000000000000000000000000000000000000000000000000"),
        hex(b"0100000000000000000000000000000000000000000000000000000000000000"),
        hex(b"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        hex(b"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        hex(b"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex(b"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex(b"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ]
};

fn has_small_order(raw: &[u8; 32]) -> bool {
    let mut unsigned = *raw;
    unsigned[31] &= 0x7f;
    SMALL_ORDER.contains(&unsigned)
}

impl VerifyingKey {
    /// From raw bytes: 32 of Ed25519, or an uncompressed point of the algorithm's curve.
    ///
    /// # Errors
    /// If the bytes are no such key, or a key under which anything verifies; an RSA key has no such form.
    pub fn new(kid: &str, algorithm: Algorithm, raw: &[u8]) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::EdDsa => {
                let point = raw.try_into().map_err(|_| KeyError::Refused)?;
                if has_small_order(point) {
                    return Err(KeyError::Refused);
                }
            }
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {}
            Algorithm::Rs256 | Algorithm::Ps256 => return Err(KeyError::Refused),
        }
        let key = ParsedPublicKey::new(algorithm.verification(), raw).map_err(|_| KeyError::Refused)?;
        let thumbprint = thumbprint(algorithm, raw, &[]);
        Ok(Self { kid: kid.into(), algorithm, key, raw: raw.into(), exponent: Box::default(), thumbprint })
    }

    /// From an RSA key's modulus and exponent, most significant byte first. 2048 to 8192 bits.
    ///
    /// # Errors
    /// If they are no such key, or `algorithm` is none of RSA's.
    pub fn rsa(kid: &str, algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        if !matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256) {
            return Err(KeyError::Refused);
        }
        // Written with as few bytes as they need (RFC 7518, section 6.3.1.1), so that one key has one spelling.
        let trimmed = |number: &[u8]| {
            let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
            number.get(start..).unwrap_or_default().to_vec()
        };
        let (modulus, exponent) = (trimmed(modulus), trimmed(exponent));
        // Whatever the library makes of them: under 1 a message signs itself, and an even one is no exponent.
        let is_odd = exponent.last().is_some_and(|byte| byte & 1 == 1);
        if !is_odd || exponent == [1] || exponent.len() > 5 || !(256..=1024).contains(&modulus.len()) {
            return Err(KeyError::Refused);
        }
        let key = RsaPublicKeyComponents { n: &modulus, e: &exponent }
            .to_parsed_public_key(rsa_verification(algorithm))
            .map_err(|_| KeyError::Refused)?;
        let thumbprint = thumbprint(algorithm, &modulus, &exponent);
        Ok(Self {
            kid: kid.into(),
            algorithm,
            key,
            raw: modulus.into(),
            exponent: exponent.into(),
            thumbprint,
        })
    }

    /// The key's name, a token's `kid`.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it verifies with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw public key: 32 bytes of Ed25519, an uncompressed point, or an RSA modulus.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// SHA-256 over the algorithm and the whole key: two keys of one name are told apart by it.
    pub(crate) fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }

    /// The key as a JWK (RFC 7517; RFC 8037 for Ed25519).
    pub fn to_jwk(&self) -> serde_json::Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = serde_json::json!({ "alg": self.algorithm.as_str(), "use": "sig", "kid": &*self.kid });
        let point = self.raw.get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        let members = match self.algorithm {
            Algorithm::EdDsa => {
                [("kty", "OKP".into()), ("crv", "Ed25519".into()), ("x", b64(&self.raw))].to_vec()
            }
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
                let curve = curve_of(self.algorithm);
                [("kty", "EC".into()), ("crv", curve.into()), ("x", b64(x)), ("y", b64(y))].to_vec()
            }
            Algorithm::Rs256 | Algorithm::Ps256 => {
                [("kty", "RSA".into()), ("n", b64(&self.raw)), ("e", b64(&self.exponent))].to_vec()
            }
        };
        if let Some(jwk) = jwk.as_object_mut() {
            jwk.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
        }
        jwk
    }
}

fn thumbprint(algorithm: Algorithm, raw: &[u8], exponent: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(algorithm.as_str().as_bytes());
    context.update(&(raw.len() as u64).to_be_bytes());
    context.update(raw);
    context.update(exponent);
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    bytes
}

fn rsa_verification(algorithm: Algorithm) -> &'static signature::RsaParameters {
    if algorithm == Algorithm::Ps256 {
        &signature::RSA_PSS_2048_8192_SHA256
    } else {
        &signature::RSA_PKCS1_2048_8192_SHA256
    }
}

fn curve_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es384 => "P-384",
        Algorithm::Es512 => "P-521",
        _ => "P-256",
    }
}

/// The public keys of an issuer, and those of its set that are of no use here.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    passed_over: Vec<PassedOver>,
}

/// A key of a set that is of no use here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Its `kid`, or its place in the set if it has none, for people: printable whatever was in it.
    pub name: String,
    /// Why.
    pub why: &'static str,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.why)
    }
}

impl KeySet {
    /// Reads a JWK set (RFC 7517, section 5). Keys that cannot be used are passed over and named, as the RFC asks; with
    /// `algorithms`, so are those of any other. An RSA key that names no algorithm is for RS256, and for PS256 where
    /// that is the one of the two that `algorithms` names.
    ///
    /// # Errors
    /// If the text is not a JWK set.
    pub fn parse(text: &[u8], algorithms: Option<&[Algorithm]>) -> Result<Self, KeyError> {
        let set = Json::parse(text, 16)
            .map_err(|_| KeyError::NoSet("it is not valid JSON, or has two members of one name"))?;
        let keys = set.get("keys").and_then(Json::as_array);
        let keys = keys.ok_or(KeyError::NoSet("it is no JWK set: it has no list called `keys`"))?;
        let mut found = Self::default();
        for (at, jwk) in keys.iter().enumerate() {
            let kid = jwk.get("kid").and_then(Json::as_str);
            let passed = match read(jwk, kid, algorithms) {
                Ok(key) if found.find(key.kid()).is_some() => Err("has the name of a key before it"),
                Ok(key) => {
                    found.keys.push(key);
                    Ok(())
                }
                Err(why) => Err(why),
            };
            if let Err(why) = passed {
                let name = match kid {
                    Some(kid) => format!("`{}`", shown(kid)),
                    None => format!("key {} of the set", at + 1),
                };
                found.passed_over.push(PassedOver { name, why });
            }
        }
        Ok(found)
    }

    /// The keys that can be used, each of a name of its own.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// The others.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// The key called `kid`, to the letter.
    pub fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// Why there is no key called `kid`, if the set has one that is of no use.
    pub(crate) fn why_not(&self, kid: &str) -> Option<&PassedOver> {
        let name = format!("`{}`", shown(kid));
        self.passed_over.iter().find(|passed| passed.name == name)
    }
}

/// A name as it can be printed anywhere: somebody else chose it.
fn shown(name: &str) -> String {
    let end = name.char_indices().nth(64).map_or(name.len(), |(end, _)| end);
    let cut = if end < name.len() { "…" } else { "" };
    format!("{}{cut}", name.get(..end).unwrap_or_default().escape_debug())
}

/// The `kid`s of user secrets begin like this; those of no other key do.
pub(crate) const USER_SECRET_PREFIX: &str = "us_";

fn read(
    jwk: &Json,
    kid: Option<&str>,
    algorithms: Option<&[Algorithm]>,
) -> Result<VerifyingKey, &'static str> {
    let text = |name: &str| jwk.get(name).and_then(Json::as_str);
    let bytes = |name: &str| text(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
    jwk.as_object().ok_or("is no object")?;
    let kid = kid.filter(|kid| is_key_name(kid)).ok_or("has no `kid` of 1 to 256 bytes")?;
    if kid.starts_with(USER_SECRET_PREFIX) {
        return Err("has a name that only user secrets have");
    }
    if jwk.get("use").is_some_and(|usage| usage.as_str() != Some("sig")) {
        return Err("is not for signatures (`use`)");
    }
    let verifies = |operations: &Json| {
        operations.as_array().is_some_and(|all| all.iter().any(|one| one.as_str() == Some("verify")))
    };
    if jwk.get("key_ops").is_some_and(|operations| !verifies(operations)) {
        return Err("is not for verifying (`key_ops`)");
    }
    if jwk.get("d").is_some() || jwk.get("k").is_some() {
        return Err("is a secret or private key, which has no place in a published set");
    }
    let said = match jwk.get("alg") {
        None => None,
        Some(alg) => {
            Some(alg.as_str().and_then(Algorithm::from_name).ok_or("is for another algorithm (`alg`)")?)
        }
    };
    let allowed = |algorithm: Algorithm| algorithms.is_none_or(|named| named.contains(&algorithm));
    let able: &[Algorithm] = match (text("kty"), text("crv")) {
        (Some("OKP"), Some("Ed25519")) => &[Algorithm::EdDsa],
        (Some("EC"), Some("P-256")) => &[Algorithm::Es256],
        (Some("EC"), Some("P-384")) => &[Algorithm::Es384],
        (Some("EC"), Some("P-521")) => &[Algorithm::Es512],
        (Some("RSA"), None) => &[Algorithm::Rs256, Algorithm::Ps256],
        _ => return Err("is of a kind or curve that is not known here (`kty`, `crv`)"),
    };
    let algorithm = match said {
        Some(said) if !able.contains(&said) => {
            return Err("names an algorithm that its kind cannot do (`alg`)");
        }
        Some(said) => said,
        // Of what it could do, the first that is asked for by name, or else the first.
        None => {
            able.iter().copied().find(|one| allowed(*one)).or(able.first().copied()).ok_or("is of no use")?
        }
    };
    if !allowed(algorithm) {
        return Err("is for an algorithm that the settings leave out");
    }
    let key = match algorithm {
        Algorithm::EdDsa => VerifyingKey::new(kid, algorithm, &bytes("x").ok_or(NO_NUMBERS)?),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
            let (x, y) = bytes("x").zip(bytes("y")).ok_or(NO_NUMBERS)?;
            // Each has the length of the curve's numbers (RFC 7518, section 6.2.1.2), so that one point has one spelling.
            if x.len() != y.len() {
                return Err("has coordinates of another length than its curve's (`x`, `y`)");
            }
            VerifyingKey::new(kid, algorithm, &[&[4], &*x, &*y].concat())
        }
        Algorithm::Rs256 | Algorithm::Ps256 => {
            let (n, e) = bytes("n").zip(bytes("e")).ok_or(NO_NUMBERS)?;
            VerifyingKey::rsa(kid, algorithm, &n, &e)
        }
    };
    key.map_err(|_| "is not a usable public key: its numbers are wrong, too short or too long")
}

const NO_NUMBERS: &str = "has no numbers that can be read";

#[cfg(test)]
mod tests;
