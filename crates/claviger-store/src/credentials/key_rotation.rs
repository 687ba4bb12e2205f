//! Another secret for a key, while the one before goes on for a grace.

use std::sync::Arc;

use claviger::api_key::KeyDigest;
use claviger::clock::UnixMillis;
use claviger::directory::State;
use claviger::id::KeyId;
use serde_json::json;

use super::api_keys::{KEY_HELD, KeyView, ShownKey, Wish, generate, manageable, read, view};
use super::key_secrets::{
    Held, KEY_OLD_REVOKE, KEY_SECRET_PUT_ASIDE, KEY_SECRET_REVOKE, add_secret, secrets,
};
use crate::backend::Tx;
use crate::error::StoreError;
use crate::parts::tenant_store::TenantStore;
use crate::value::values;

/// How long the secret that a rotation puts aside goes on, unless said otherwise, in seconds.
pub const DEFAULT_GRACE_SECONDS: i64 = 24 * 60 * 60;
/// The longest grace, in seconds.
pub const MAX_GRACE_SECONDS: i64 = 7 * 24 * 60 * 60;

/// Why a key is not rotated once more: nobody knows who would be left with a secret that is good no more.
pub const BOTH_IN_USE: &str =
    "both secrets of the key are in use: end the old one first, or wait until its grace has ended";

/// Which of a key's live secrets makes room for another one: of two, one that was never used, the newer one before the older one.
///
/// # Errors
/// [`BOTH_IN_USE`].
fn replaced(live: &[Held]) -> Result<Option<KeyDigest>, StoreError> {
    if !live.iter().any(|secret| secret.view.is_old) {
        return Ok(None);
    }
    let is_unused = |secret: &&Held| secret.view.last_used_at.is_none();
    let unused = live.iter().filter(is_unused).min_by_key(|secret| secret.view.is_old);
    unused.map(|secret| Some(secret.digest)).ok_or(StoreError::Refused { why: BOTH_IN_USE })
}

impl TenantStore {
    /// Gives the key another secret, which is shown this once. The one before goes on for `grace_seconds` (0 to
    /// [`MAX_GRACE_SECONDS`]), and never longer than the key or than it would have without.
    ///
    /// While the secret of an earlier rotation is still in its grace, there are two, and the one that was never used is replaced: mostly
    /// the newer one, whose answer was lost; or else the older one, that everybody has left behind. A grace is not made longer by it.
    ///
    /// # Errors
    /// If there is no such key, it is disabled, revoked or past its end, or the grace is out of range; [`BOTH_IN_USE`].
    pub async fn key_rotate(&self, key: KeyId, grace_seconds: i64) -> Result<ShownKey, StoreError> {
        if !(0..=MAX_GRACE_SECONDS).contains(&grace_seconds) {
            return Err(StoreError::Invalid("the grace must be between 0 and 604800 seconds".into()));
        }
        let tenant = self.tenant;
        let entry =
            self.entry("KEY_ROTATED", ("key", key.to_string()), json!({ "grace_seconds": grace_seconds }));
        let (inner, manager) = (Arc::clone(&self.inner), self.key_manager.clone());
        self.write(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&KEY_HELD, values![tenant, key]).await?;
            let held = read(row.ok_or(StoreError::NotFound { what: "API key" })?)?;
            manageable(tx, tenant, (manager.as_ref(), &held), Wish::Manage).await?;
            let now = tx.now().await?;
            match held.state {
                State::Active => {}
                State::Suspended => return Err(StoreError::Refused { why: "a disabled key is not rotated" }),
                State::Deleted => return Err(StoreError::NotFound { what: "API key" }),
            }
            if held.expires_at.is_some_and(|end| end <= now) {
                return Err(StoreError::Refused { why: "a key past its end is not rotated" });
            }
            let grace_end =
                held.expires_at.unwrap_or(UnixMillis(i64::MAX)).min(now.plus_seconds(grace_seconds));
            let live = secrets(tx, tenant, key, now).await?;
            // Whoever leaves none its grace ends both, in use or not.
            let replaced = if grace_end <= now { None } else { replaced(&live)? };
            for secret in &live {
                let digest = secret.digest.as_bytes().as_slice();
                let end = secret.view.expires_at.unwrap_or(grace_end).min(grace_end);
                if end <= now || replaced == Some(secret.digest) {
                    tx.run(&KEY_SECRET_REVOKE, values![tenant, digest]).await?;
                } else {
                    tx.run(&KEY_SECRET_PUT_ASIDE, values![tenant, digest, end]).await?;
                }
            }
            let new = generate(tx, &inner, &held.prefix, held.environment).await?;
            add_secret(tx, tenant, key, &new, now).await?;
            entry.within(held.org).write(tx).await?;
            Ok(ShownKey { view: view(tx, tenant, key, now).await?, key: new })
        })
        .await
    }

    /// Ends the grace of the secret that a rotation put aside.
    ///
    /// # Errors
    /// If there is no such key, or no secret of it is in its grace.
    pub async fn key_revoke_old(&self, key: KeyId) -> Result<KeyView, StoreError> {
        let tenant = self.tenant;
        let entry = self.entry("KEY_OLD_REVOKED", ("key", key.to_string()), json!({}));
        let manager = self.key_manager.clone();
        self.write(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let held = view(tx, tenant, key, now).await?;
            manageable(tx, tenant, (manager.as_ref(), &held), Wish::Manage).await?;
            let org = held.org;
            let revoked = tx.run(&KEY_OLD_REVOKE, values![tenant, key, now]).await?;
            if revoked.is_empty() {
                return Err(StoreError::NotFound { what: "old secret of the key" });
            }
            entry.within(org).write(tx).await?;
            view(tx, tenant, key, now).await
        })
        .await
    }
}
