//! The keys that sign a realm's identity tokens, and those that sign principals for the APIs behind.

use claviger::key_set::Algorithm;
use claviger_store::signing_keys::{Line, SigningKeyView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operation::{Call, operations};
use super::page::Page;
use super::realms::known_realm;
use super::shown;
use crate::failure::Failure;
use crate::identity_tokens;

/// Which realm.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InRealm {
    /// The realm
    realm: String,
}

/// A step of a rotation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateKey {
    /// The realm
    realm: String,
    /// `next` publishes a key, `activate` lets the published one sign, `drop` takes a retired one out; `replace` drops all of them at once and lets
    /// a new one sign, so that every token so far is refused
    step: String,
    /// The key to drop, with `drop`
    kid: Option<String>,
}

/// Whatever the realm.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OfPrincipals {}

/// A step of the rotation of the principals' key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotatePrincipals {
    /// `next` publishes a key, `activate` lets the published one sign, `drop` takes a retired one out; `replace` drops all of them at once and lets
    /// a new one sign
    step: String,
    /// The key to drop, with `drop`
    kid: Option<String>,
}

/// A signing key, without its secret half.
#[derive(Debug, Serialize, ToSchema)]
struct SigningKeyShown {
    /// Its name in tokens.
    kid: String,
    /// What it signs with.
    algorithm: String,
    /// `next`, `active` or `retired`.
    state: String,
    /// When it was made.
    created_at: String,
    /// When it was published, began to sign, or ceased to.
    changed_at: String,
}

/// A key that has taken a step.
#[derive(Debug, Serialize, ToSchema)]
struct Stepped {
    /// Its name in tokens.
    kid: String,
    /// `next`, `active` or `dropped`.
    state: &'static str,
}

operations! {
    /// List the keys that sign a realm's tokens
    "token.keys": GET "/v1/realms/{realm}/signing-keys" for Reader = keys(InRealm) -> Page<SigningKeyShown>;
    /// Publish the next signing key, let the published one sign, drop a retired one, or replace all of them at once
    "token.rotate-key": POST "/v1/realms/{realm}/signing-keys/rotate" for Owner = rotate_key(RotateKey) -> Stepped;
    /// List the keys that sign the principals for the APIs behind
    "principal.keys": GET "/v1/principal-keys" for Reader = principal_keys(OfPrincipals) -> Page<SigningKeyShown>;
    /// Publish the next key for principals, let the published one sign, drop a retired one, or replace all of them at once
    "principal.rotate-key": POST "/v1/principal-keys/rotate" for Owner = rotate_principals(RotatePrincipals) -> Stepped;
}

async fn principal_keys(call: &Call, _: OfPrincipals) -> Result<Page<SigningKeyShown>, Failure> {
    call.caller.reaches_everything()?;
    listed(call, &Line::Principal).await
}

async fn rotate_principals(call: &Call, input: RotatePrincipals) -> Result<Stepped, Failure> {
    call.caller.reaches_everything()?;
    take(call, &Line::Principal, Algorithm::EdDsa, &input.step, input.kid).await
}

async fn keys(call: &Call, input: InRealm) -> Result<Page<SigningKeyShown>, Failure> {
    listed(call, &Line::Identity(known_realm(call, &input.realm).await?)).await
}

async fn listed(call: &Call, line: &Line) -> Result<Page<SigningKeyShown>, Failure> {
    let keys = identity_tokens::keys(&call.management.store, line).await?;
    let one = |key: &SigningKeyView| SigningKeyShown {
        kid: key.public.kid().to_owned(),
        algorithm: key.public.algorithm().as_str().to_owned(),
        state: format!("{:?}", key.state).to_lowercase(),
        created_at: shown(key.created_at),
        changed_at: shown(key.changed_at),
    };
    Ok(Page::whole(keys.iter().map(one).collect()))
}

async fn rotate_key(call: &Call, input: RotateKey) -> Result<Stepped, Failure> {
    let realm = known_realm(call, &input.realm).await?;
    let algorithm = call.management.some_api_of(&realm)?.token_algorithm;
    take(call, &Line::Identity(realm), algorithm, &input.step, input.kid).await
}

async fn take(
    call: &Call,
    line: &Line,
    algorithm: Algorithm,
    step: &str,
    kid: Option<String>,
) -> Result<Stepped, Failure> {
    let system = identity_tokens::system(&call.management.store).by(call.actor());
    match (step, kid) {
        ("next", None) => Ok(Stepped { kid: system.signing_key_next(line, algorithm).await?, state: "next" }),
        ("activate", None) => Ok(Stepped { kid: system.signing_key_activate(line).await?, state: "active" }),
        ("replace", None) => {
            Ok(Stepped { kid: system.signing_key_replace(line, algorithm).await?, state: "active" })
        }
        ("drop", Some(kid)) => {
            system.signing_key_drop(line, &kid).await?;
            Ok(Stepped { kid, state: "dropped" })
        }
        (step, _) => Err(Failure::new(format!("`{step}` is no step that can be taken so"))
            .hint("say `next`, `activate`, `replace`, or `drop` with the `kid`")),
    }
}
