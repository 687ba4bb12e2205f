//! The identity tokens that were revoked one by one, all of them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use claviger::clock::UnixMillis;
use claviger::id::{TenantId, TokenId};

/// An expired token is kept this much longer, so that no difference of clocks brings it back to life.
const KEPT_AFTER_EXPIRY_SECONDS: i64 = 24 * 60 * 60;

/// Every revoked token that has not expired. A token is added before the revocation is committed, and stays
/// until it has expired or a read has shown that it is not revoked.
#[derive(Debug, Default)]
pub(super) struct RevokedTokens {
    /// With the time from which on they need not be kept; the largest there is while that is not known.
    tokens: papaya::HashMap<(TenantId, TokenId), UnixMillis>,
    /// Those that somebody should look up.
    doubtful: Mutex<VecDeque<(TenantId, TokenId)>>,
}

impl RevokedTokens {
    /// Whether the token is revoked, or may be.
    pub(super) fn contain(&self, tenant: TenantId, token: TokenId) -> bool {
        self.tokens.pin().contains_key(&(tenant, token))
    }

    /// The token is revoked, and expires at this time.
    pub(super) fn insert(&self, tenant: TenantId, token: TokenId, expires_at: UnixMillis) {
        self.tokens.pin().insert((tenant, token), expires_at.plus_seconds(KEPT_AFTER_EXPIRY_SECONDS));
    }

    /// The token may be revoked: takes it for revoked until it is looked up.
    pub(super) fn suspect(&self, tenant: TenantId, token: TokenId) {
        // The time of one that is known already stands.
        let _known = self.tokens.pin().try_insert((tenant, token), UnixMillis(i64::MAX));
        self.ask_later(tenant, token);
    }

    /// A look-up of the token failed: it is to be tried again.
    pub(super) fn ask_later(&self, tenant: TenantId, token: TokenId) {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner).push_back((tenant, token));
    }

    /// The token is not revoked.
    pub(super) fn remove(&self, tenant: TenantId, token: TokenId) {
        self.tokens.pin().remove(&(tenant, token));
    }

    /// Hands out at most `most` of the tokens that should be looked up.
    pub(super) fn doubtful(&self, most: usize) -> Vec<(TenantId, TokenId)> {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        let some = doubtful.len().min(most);
        doubtful.drain(..some).collect()
    }

    /// Drops those that have expired at `now`.
    pub(super) fn drop_expired(&self, now: UnixMillis) {
        self.tokens.pin().retain(|_, keep_until| *keep_until >= now);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }
}
