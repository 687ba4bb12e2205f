//! Makes identity tokens.

use claviger::Api;
use claviger::clock::UnixMillis;
use claviger::directory::SessionRecord;
use claviger::id::{RealmName, RoleName, TokenId};
use claviger::jws;
use claviger::key_set::KeyError;
use claviger::random::Random;
use claviger::signing_key::SigningKey;
use claviger_store::signing_keys::{Line, SigningKeyView};
use claviger_store::system_store::SystemStore;
use claviger_store::{Store, StoreError};

use crate::failure::Failure;

/// A token as it was made.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token itself.
    pub text: String,
    /// Its `jti`.
    pub id: TokenId,
    /// How long it lives, in seconds.
    pub lifetime_seconds: i64,
}

/// The claims of an identity token, in the order in which they are documented.
#[derive(serde::Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    tenant_id: String,
    org_id: String,
    role: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    sid: String,
    client_id: &'a str,
}

/// Makes a token for a session, with which it ends at the latest: an access token by RFC 9068, whose client is the API that it was made for.
///
/// # Errors
/// If it cannot be signed.
pub fn issue(
    signer: &SigningKey,
    api: &Api,
    session: &SessionRecord,
    role: &RoleName,
    now: UnixMillis,
    random: &dyn Random,
) -> Result<IssuedToken, KeyError> {
    let id = TokenId::generate(random);
    let rules = &api.identity_tokens;
    let left = session.expires_at.seconds() - now.seconds();
    let lifetime_seconds = rules.lifetime_seconds.min(left).max(0);
    let claims = Claims {
        iss: &rules.issuer,
        aud: &rules.audience,
        sub: session.account.to_string(),
        tenant_id: session.tenant.to_string(),
        org_id: session.org.to_string(),
        role: role.as_str(),
        iat: now.seconds(),
        exp: now.seconds() + lifetime_seconds,
        jti: id.to_string(),
        sid: session.session.to_string(),
        client_id: api.name.as_str(),
    };
    Ok(IssuedToken { text: jws::sign(signer, &rules.typ, &claims)?, id, lifetime_seconds })
}

/// The job that handles signing keys.
#[expect(clippy::disallowed_methods, reason = "signing keys belong to a realm and not to any tenant")]
pub fn system(store: &Store) -> SystemStore {
    store.system(&claviger::danger::SystemPermit::for_job("signing-keys"))
}

/// The key that signs the realm's tokens.
///
/// # Errors
/// If there is none, or the store does not answer.
pub async fn signer(store: &Store, realm: &RealmName) -> Result<SigningKey, StoreError> {
    system(store).signing_key_signer(&Line::Identity(realm.clone())).await
}

/// The keys of a line, the oldest first.
///
/// # Errors
/// If the store does not answer.
pub async fn keys(store: &Store, line: &Line) -> Result<Vec<SigningKeyView>, StoreError> {
    system(store).signing_key_list(line).await
}

/// The public keys of a line, as the text of a JWK set.
pub(crate) async fn jwk_set(store: &Store, line: &Line) -> Option<String> {
    let keys = keys(store, line).await.ok()?;
    let keys: Vec<serde_json::Value> = keys.iter().map(|key| key.public.to_jwk()).collect();
    Some(serde_json::json!({ "keys": keys }).to_string())
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::of(crate::failure::FailureKind::Broken, error.to_string())
    }
}
