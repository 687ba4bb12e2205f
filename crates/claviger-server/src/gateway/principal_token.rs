//! The signed principal: who is calling, in a form that an upstream can check.
//!
//! The token is made once per credential, API and state of everything it says, and kept for at most ten seconds: a
//! signature for each request would cost half of what the whole request does. What binds it to one request is a
//! MAC, which costs half a microsecond.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::authenticate::{CredentialTag, Stamp};
use claviger::clock::UnixMillis;
use claviger::key_set::KeyError;
use claviger::secret::Secret;
use claviger::signing_key::SigningKey;
use claviger::{Api, Permit, jws};
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
    /// SHA-256 of the token, in base64url.
    digest: String,
    made_at: UnixMillis,
    /// Whom it is about; nobody where the route is public.
    known: Option<Known>,
}

/// Whom a token is about.
#[derive(Debug)]
pub(super) struct Known {
    /// The tenant's id and the organization's, as the identity headers say them.
    pub(super) tenant: HeaderValue,
    pub(super) org: HeaderValue,
    environment: &'static str,
    credential: Box<str>,
    /// The states of everything that it says.
    stamp: Stamp,
}

impl PrincipalToken {
    /// Whom it is about.
    pub(super) fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    fn is_fresh(&self, now: UnixMillis) -> bool {
        (0..KEPT_MILLIS).contains(&(now.0 - self.made_at.0))
    }
}

impl Known {
    /// The same, spelt.
    pub(super) fn ids(&self) -> Ids<'_> {
        Ids {
            tenant: self.tenant.to_str().unwrap_or_default(),
            org: self.org.to_str().unwrap_or_default(),
            environment: self.environment,
            credential: &self.credential,
        }
    }
}

/// Makes and keeps the principal tokens of one API.
#[derive(Debug)]
pub struct PrincipalTokens {
    signer: Arc<PrincipalSigner>,
    hasher: RandomState,
    shards: [Shard; SHARDS],
    public: Mutex<Option<Arc<PrincipalToken>>>,
}

/// Tokens by what they are about. The tag alone tells one credential from every other: another issuer chooses the ids
/// of its tokens itself.
type Shard = Mutex<HashMap<CredentialTag, Arc<PrincipalToken>>>;

/// The claims, in the order in which they are documented. What is left out is not known of a public request.
#[derive(serde::Serialize)]
struct Claims<'a> {
    iss: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    kind: &'static str,
    realm: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    access: serde_json::Map<String, serde_json::Value>,
}

impl<'a> Claims<'a> {
    fn of_nobody(api: &'a Api, now: UnixMillis) -> Self {
        Self {
            iss: "claviger",
            aud: &api.identity_tokens.audience,
            iat: now.seconds(),
            exp: now.seconds() + LIFETIME_SECONDS,
            sub: None,
            kind: "public",
            realm: api.realm.as_str(),
            tenant_id: None,
            org_id: None,
            environment: None,
            role: None,
            access: serde_json::Map::new(),
        }
    }

    fn of(permit: &'a Permit, now: UnixMillis) -> Result<Self, KeyError> {
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
        Ok(Self {
            sub: Some(sub),
            kind: principal.kind().as_str(),
            tenant_id: Some(permit.tenant().to_string()),
            org_id: Some(permit.org().to_string()),
            environment: Some(permit.environment().as_str()),
            role: principal.role().map(claviger::id::RoleName::as_str),
            access,
            ..Self::of_nobody(permit.api(), now)
        })
    }
}

impl PrincipalTokens {
    /// Signed by `signer`.
    pub fn new(signer: Arc<PrincipalSigner>) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { signer, hasher: RandomState::new(), shards, public: Mutex::default() }
    }

    /// The token for a permit, made now or in the last ten seconds.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub(super) fn of(&self, permit: &Permit, now: UnixMillis) -> Result<Arc<PrincipalToken>, KeyError> {
        let (tag, stamp) = (permit.principal().tag(), permit.principal().stamp());
        let shard = self.shard(&tag);
        if let Some(kept) = lock(shard).get(&tag)
            && kept.known.as_ref().is_some_and(|known| known.stamp == stamp)
            && kept.is_fresh(now)
        {
            return Ok(kept.clone());
        }
        let claims = Claims::of(permit, now)?;
        let header = |id: &Option<String>| {
            HeaderValue::from_str(id.as_deref().unwrap_or_default()).map_err(|_| KeyError::Refused)
        };
        let known = Known {
            tenant: header(&claims.tenant_id)?,
            org: header(&claims.org_id)?,
            environment: permit.environment().as_str(),
            credential: permit.principal().credential_id(),
            stamp,
        };
        let made = Arc::new(self.sign(&claims, Some(known), now)?);
        let mut shard = lock(shard);
        // A full shard is emptied rather than searched: what is in use is made again, at most once in ten seconds.
        if shard.len() >= MAX_PER_SHARD {
            shard.clear();
        }
        shard.insert(tag, made.clone());
        Ok(made)
    }

    /// The token for requests that nobody has to answer for.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub(super) fn of_nobody(&self, api: &Api, now: UnixMillis) -> Result<Arc<PrincipalToken>, KeyError> {
        if let Some(kept) = &*lock(&self.public)
            && kept.is_fresh(now)
        {
            return Ok(kept.clone());
        }
        let made = Arc::new(self.sign(&Claims::of_nobody(api, now), None, now)?);
        *lock(&self.public) = Some(made.clone());
        Ok(made)
    }

    fn shard(&self, tag: &CredentialTag) -> &Shard {
        #[expect(
            clippy::indexing_slicing,
            clippy::cast_possible_truncation,
            reason = "the remainder of a division by the number of shards is one of them"
        )]
        &self.shards[self.hasher.hash_one(tag) as usize % SHARDS]
    }

    fn sign(
        &self,
        claims: &Claims<'_>,
        known: Option<Known>,
        now: UnixMillis,
    ) -> Result<PrincipalToken, KeyError> {
        let token = jws::sign(&self.signer.current(), "principal+jwt", claims)?;
        let digest = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes()));
        let value = HeaderValue::from_str(&token).map_err(|_| KeyError::Refused)?;
        Ok(PrincipalToken { value, digest, made_at: now, known })
    }
}

/// What a lock guards here are whole values at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use claviger::key_set::Algorithm;
    use claviger::testing::{TestDoor, TestRequest, Unsigned, keypair};

    fn tokens() -> PrincipalTokens {
        PrincipalTokens::new(Arc::new(PrincipalSigner::new(keypair("pr_1", Algorithm::EdDsa))))
    }

    fn said(token: &PrincipalToken) -> serde_json::Value {
        let claims = token.value.to_str().unwrap().split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
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
        for permit in [&first, &second, &first] {
            let told = tokens.of(permit, now).unwrap();
            assert_eq!(told.known().unwrap().ids().tenant, permit.tenant().to_string());
            assert_eq!(said(&told)["tenant_id"], permit.tenant().to_string());
        }
    }

    #[test]
    fn a_token_is_made_once_for_a_caller_and_a_state_of_all_that_it_says() {
        let test = TestDoor::new();
        let someone = test.member(&test.tenant(&test.synq), "EDITOR");
        let stranger = test.member(&test.tenant(&test.synq), "EDITOR");
        let request = TestRequest::get("/api/v1/orders").bearer(&test.identity_token(&someone));
        let permit = || request.decide(&test, &test.synq).unwrap();
        let tokens = tokens();
        let token = |now| tokens.of(&permit(), UnixMillis(now)).unwrap();
        let first = token(1_000);
        assert!(Arc::ptr_eq(&first, &token(10_999)), "kept for ten seconds");
        assert!(!Arc::ptr_eq(&first, &token(11_000)), "and no longer");
        let before = token(1_000);
        let (home, account) = (&stranger.home, stranger.account);
        test.directory.change_member(&(home.tenant, home.org, account), |member| {
            member.role = "VIEWER".parse().unwrap();
        });
        assert!(Arc::ptr_eq(&before, &token(1_000)), "nor is it a stranger's to end");
        let (home, account) = (&someone.home, someone.account);
        test.directory.change_member(&(home.tenant, home.org, account), |member| {
            member.role = "VIEWER".parse().unwrap();
        });
        let after = token(1_000);
        assert!(!Arc::ptr_eq(&before, &after), "a change of what it says ends it");
        assert_eq!((&said(&before)["role"], &said(&after)["role"]), (&"EDITOR".into(), &"VIEWER".into()));
    }

    #[test]
    fn a04_of_nobody_it_says_nothing_but_the_api() {
        let test = TestDoor::new();
        let tokens = tokens();
        let token = |now| tokens.of_nobody(&test.synq, UnixMillis(now)).unwrap();
        let first = token(1_700_000_000_000);
        assert_eq!(
            said(&first),
            serde_json::json!({
                "iss": "claviger", "aud": "synq", "iat": 1_700_000_000, "exp": 1_700_000_015,
                "kind": "public", "realm": "synq", "access": {},
            })
        );
        assert!(first.known().is_none());
        assert!(Arc::ptr_eq(&first, &token(1_700_000_009_999)));
        assert!(!Arc::ptr_eq(&first, &token(1_700_000_010_000)));
    }
}
