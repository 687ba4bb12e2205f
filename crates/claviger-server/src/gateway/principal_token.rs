//! The signed principal: who is calling, in a form that an upstream can check.
//!
//! The token is made once per credential, API and state of the directory, and kept for at most ten seconds: a
//! signature for each request would cost half of what the whole request does. What binds it to one request is a
//! MAC, which costs half a microsecond.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::clock::UnixMillis;
use claviger::id::ApiName;
use claviger::key_set::{KeyError, SigningKey};
use claviger::secret::Secret;
use claviger::{Permit, Principal, jws};
use http::{HeaderValue, Method};

use crate::journal::Ids;

const SHARDS: usize = 16;
/// How long a token is used, in milliseconds, and how long it lives, in seconds.
const KEPT_MILLIS: i64 = 10_000;
const LIFETIME_SECONDS: i64 = 15;
/// How many tokens a shard keeps before it throws the old ones out.
const MAX_PER_SHARD: usize = 4096;

/// The key that signs principals. Replaced when it rotates.
#[derive(Debug)]
pub struct PrincipalSigner(RwLock<Arc<SigningKey>>);

impl PrincipalSigner {
    /// Signs with `key`.
    pub fn new(key: SigningKey) -> Self {
        Self(RwLock::new(Arc::new(key)))
    }

    /// Signs with `key` from now on.
    pub fn replace(&self, key: SigningKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    fn current(&self) -> Arc<SigningKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Binds principal tokens to single requests, for one upstream.
#[derive(Clone)]
pub struct Binding(hmac::Key);

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binding(..)")
    }
}

impl Binding {
    /// Under the upstream's own secret.
    pub fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// The value of `X-Claviger-Binding`.
    pub(super) fn of(
        &self,
        token: &PrincipalToken,
        method: &Method,
        authority: &str,
        target: &str,
        request_id: &str,
        now: UnixMillis,
    ) -> Option<HeaderValue> {
        let mut context = hmac::Context::with_key(&self.0);
        let seconds = now.seconds().to_string();
        let parts = ["v1", &token.digest, method.as_str(), authority, target, request_id, &seconds];
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                context.update(b"\n");
            }
            context.update(part.as_bytes());
        }
        let mut value = String::with_capacity(64);
        value.push_str("v1.");
        value.push_str(&seconds);
        value.push('.');
        URL_SAFE_NO_PAD.encode_string(context.sign().as_ref(), &mut value);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).ok()
    }
}

/// A signed principal, ready to be sent.
#[derive(Debug)]
pub(super) struct PrincipalToken {
    pub(super) value: HeaderValue,
    /// The tenant's id and the organization's, as the identity headers say them.
    pub(super) tenant: HeaderValue,
    pub(super) org: HeaderValue,
    /// SHA-256 of the token, in base64url.
    digest: String,
    made_at: UnixMillis,
    directory_version: u64,
    credential: String,
    /// Who it says is calling. A credential's id is not enough to find a token by: another issuer chooses the ids
    /// of its tokens itself.
    principal: Principal,
}

impl PrincipalToken {
    /// Who it is about, spelt.
    pub(super) fn ids(&self) -> Ids<'_> {
        Ids {
            tenant: self.tenant.to_str().unwrap_or_default(),
            org: self.org.to_str().unwrap_or_default(),
            credential: &self.credential,
        }
    }
}

/// Makes and keeps principal tokens.
#[derive(Debug)]
pub struct PrincipalTokens {
    signer: Arc<PrincipalSigner>,
    shards: [Shard; SHARDS],
}

/// Tokens by API and credential.
type Shard = Mutex<HashMap<(ApiName, String), Arc<PrincipalToken>>>;

/// The claims, in the order in which they are documented.
#[derive(serde::Serialize)]
struct Claims<'a> {
    iss: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    sub: String,
    kind: &'static str,
    realm: &'a str,
    tenant_id: String,
    org_id: String,
    environment: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    access: serde_json::Map<String, serde_json::Value>,
}

impl PrincipalTokens {
    /// Signed by `signer`.
    pub fn new(signer: Arc<PrincipalSigner>) -> Self {
        Self { signer, shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The token for a permit, made now or in the last ten seconds.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub(super) fn token(
        &self,
        api: &ApiName,
        audience: &str,
        permit: &Permit,
        directory_version: u64,
        now: UnixMillis,
    ) -> Result<Arc<PrincipalToken>, KeyError> {
        let id = permit.principal().credential_id();
        let shard = self.shard(&id);
        let place = (api.clone(), id);
        if let Some(kept) = shard.lock().unwrap_or_else(PoisonError::into_inner).get(&place)
            && kept.directory_version == directory_version
            && kept.principal.says_the_same_as(permit.principal())
            && (0..KEPT_MILLIS).contains(&(now.0 - kept.made_at.0))
        {
            return Ok(kept.clone());
        }
        let made = Arc::new(self.make(audience, permit, directory_version, now)?);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        // A full shard is emptied rather than searched: what is in use is made again, at most once in ten seconds.
        if shard.len() >= MAX_PER_SHARD {
            shard.clear();
        }
        shard.insert(place, made.clone());
        Ok(made)
    }

    fn shard(&self, id: &str) -> &Mutex<HashMap<(ApiName, String), Arc<PrincipalToken>>> {
        let sum = id.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        #[expect(
            clippy::indexing_slicing,
            reason = "the remainder of a division by the number of shards is one of them"
        )]
        &self.shards[sum % SHARDS]
    }

    fn make(
        &self,
        audience: &str,
        permit: &Permit,
        directory_version: u64,
        now: UnixMillis,
    ) -> Result<PrincipalToken, KeyError> {
        let principal = permit.principal();
        let mut access = serde_json::Map::new();
        if let Some(grants) = principal.grants() {
            if let Some(all) = grants.all() {
                access.insert("*".into(), all.as_str().into());
            }
            for (resource, single) in grants.single() {
                access.insert(resource.to_string(), single.as_str().into());
            }
        }
        let sub = match (principal.key(), principal.account()) {
            (Some(key), _) => key.to_string(),
            (None, Some(account)) => account.to_string(),
            (None, None) => return Err(KeyError::Refused),
        };
        let claims = Claims {
            iss: "claviger",
            aud: audience,
            iat: now.seconds(),
            exp: now.seconds() + LIFETIME_SECONDS,
            sub,
            kind: principal.kind().as_str(),
            realm: principal.realm().as_str(),
            tenant_id: permit.tenant().to_string(),
            org_id: permit.org().to_string(),
            environment: permit.environment().as_str(),
            role: principal.role().map(claviger::id::RoleName::as_str),
            access,
        };
        let token = jws::sign(&self.signer.current(), "principal+jwt", &claims)?;
        let digest = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes()));
        let header = |text: &str| HeaderValue::from_str(text).map_err(|_| KeyError::Refused);
        Ok(PrincipalToken {
            value: header(&token)?,
            tenant: header(&claims.tenant_id)?,
            org: header(&claims.org_id)?,
            digest,
            made_at: now,
            directory_version,
            credential: principal.credential_id(),
            principal: principal.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger::key_set::Algorithm;
    use claviger::testing::{TestDoor, TestRequest, Unsigned};

    fn tokens() -> PrincipalTokens {
        let document = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let key = SigningKey::from_pkcs8("pr_1", Algorithm::EdDsa, &document).unwrap();
        PrincipalTokens::new(Arc::new(PrincipalSigner::new(key)))
    }

    #[test]
    fn two_callers_with_one_jti_are_never_told_as_one() {
        let test = TestDoor::new();
        let permit = |role: &str, jti: &str| {
            let someone = test.member(&test.tenant(&test.synq), role);
            let mut claims = test.claims(&someone);
            claims["jti"] = jti.into();
            let token = Unsigned::new(&test.header(), &claims).signed(&test.signing_key);
            TestRequest::get("/api/v1/orders").bearer(&token).decide(&test, &test.synq).unwrap()
        };
        let jti = "a3f8c120-4e72-4b91-9d63-1c5e7a09bf44";
        let (first, second) = (permit("ADMIN", jti), permit("ADMIN", jti));
        assert_eq!(first.principal().credential_id(), second.principal().credential_id());

        let (tokens, now) = (tokens(), UnixMillis(1_700_000_000_000));
        let token = |permit, version| tokens.token(&test.synq.name, "synq", permit, version, now).unwrap();
        let told = token(&first, 1);
        assert_eq!(told.ids().tenant, first.tenant().to_string());
        assert_eq!(token(&second, 1).ids().tenant, second.tenant().to_string());
        assert_eq!(token(&first, 1).ids().tenant, first.tenant().to_string());
    }

    #[test]
    fn a_token_is_made_once_for_a_caller_and_a_state_of_the_directory() {
        let test = TestDoor::new();
        let someone = test.member(&test.tenant(&test.synq), "EDITOR");
        let request = TestRequest::get("/api/v1/orders").bearer(&test.identity_token(&someone));
        let permit = request.decide(&test, &test.synq).unwrap();
        let tokens = tokens();
        let token =
            |version, now| tokens.token(&test.synq.name, "synq", &permit, version, UnixMillis(now)).unwrap();
        let first = token(1, 1_000);
        assert!(Arc::ptr_eq(&first, &token(1, 10_999)), "kept for ten seconds");
        assert!(!Arc::ptr_eq(&first, &token(1, 11_000)), "and no longer");
        assert!(!Arc::ptr_eq(&token(1, 1_000), &token(2, 1_000)), "nor after a change");
    }
}
