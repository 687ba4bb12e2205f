//! The memory of verified tokens: this exact text had a good signature and says this.
//!
//! Keyed by the full SHA-256 of API and token, never by a part or an id in it: two tokens that shared an entry
//! would be one person. Nothing that can change is remembered. HS256 tokens are not, being cheap to verify.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

use crate::id::{ApiName, SessionId};

use super::identity_token::IdentityClaims;

const SHARDS: usize = 16;
/// How many tokens of one session are remembered: more than one client ever has, and a bound on what one can
/// push out.
const MAX_PER_SESSION: usize = 64;
/// What an entry costs besides its claims: hash, pointers and the two tables' share.
const ENTRY_BYTES: usize = 160;

/// SHA-256 over the API's name and the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(api: &ApiName, token: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(api.as_str().as_bytes());
        // No API's name has a line feed, so no two pairs run together.
        context.update(b"\n");
        context.update(token.as_bytes());
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    fn shard(&self) -> usize {
        usize::from(self.0[0]) % SHARDS
    }
}

/// Remembers good signatures, up to a number of bytes; the oldest entries go first.
pub struct VerifiedTokens {
    shards: [Mutex<Shard>; SHARDS],
    sessions: Mutex<HashMap<SessionId, VecDeque<TokenHash>>>,
    bytes_per_shard: usize,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<TokenHash, Arc<IdentityClaims>>,
    order: VecDeque<TokenHash>,
    bytes: usize,
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedTokens({} entries)", self.len())
    }
}

/// A poisoned lock means that another thread panicked in a few lines that only move entries about: the worst
/// that can be left is an entry that will be verified again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VerifiedTokens {
    /// A memory of at most `max_bytes`. 0 remembers nothing.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            sessions: Mutex::default(),
            bytes_per_shard: max_bytes / SHARDS,
        }
    }

    /// How many tokens are remembered.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, hash: &TokenHash) -> Option<&Mutex<Shard>> {
        self.shards.get(hash.shard())
    }

    pub(super) fn get(&self, hash: &TokenHash) -> Option<Arc<IdentityClaims>> {
        lock(self.shard(hash)?).entries.get(hash).cloned()
    }

    pub(super) fn insert(&self, hash: TokenHash, claims: IdentityClaims) -> Arc<IdentityClaims> {
        let weight = ENTRY_BYTES + claims.weight();
        let claims = Arc::new(claims);
        let Some(shard) = self.shard(&hash).filter(|_| weight <= self.bytes_per_shard) else {
            return claims;
        };
        let mut dropped = Vec::new();
        {
            let mut shard = lock(shard);
            if shard.entries.insert(hash, claims.clone()).is_none() {
                shard.bytes += weight;
                shard.order.push_back(hash);
            }
            shard.forget_gaps();
            while shard.bytes > self.bytes_per_shard {
                let Some(oldest) = shard.order.pop_front() else { break };
                dropped.extend(shard.remove(&oldest).map(|claims| (oldest, claims)));
            }
        }
        let too_many = self.count(claims.session, hash, &dropped);
        if let Some(oldest) = too_many
            && let Some(shard) = self.shard(&oldest)
        {
            lock(shard).remove(&oldest);
        }
        claims
    }

    /// Keeps each session's list: adds `hash`, takes out `dropped`, and gives the one that is too many.
    fn count(
        &self,
        session: Option<SessionId>,
        hash: TokenHash,
        dropped: &[(TokenHash, Arc<IdentityClaims>)],
    ) -> Option<TokenHash> {
        let mut sessions = lock(&self.sessions);
        for (old, claims) in dropped {
            if let Some(session) = claims.session
                && let Some(list) = sessions.get_mut(&session)
            {
                list.retain(|other| other != old);
                if list.is_empty() {
                    sessions.remove(&session);
                }
            }
        }
        let list = sessions.entry(session?).or_default();
        if !list.contains(&hash) {
            list.push_back(hash);
        }
        if list.len() > MAX_PER_SESSION { list.pop_front() } else { None }
    }
}

impl Shard {
    /// Entries that left by way of their session still stand in the order; keeps them from piling up.
    fn forget_gaps(&mut self) {
        if self.order.len() > 2 * self.entries.len() + MAX_PER_SESSION {
            let entries = &self.entries;
            self.order.retain(|hash| entries.contains_key(hash));
        }
    }

    fn remove(&mut self, hash: &TokenHash) -> Option<Arc<IdentityClaims>> {
        let claims = self.entries.remove(hash)?;
        self.bytes = self.bytes.saturating_sub(ENTRY_BYTES + claims.weight());
        Some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TokenId;
    use crate::random::Random;
    use crate::testing::Counting;

    fn claims(random: &dyn Random, session: Option<SessionId>) -> IdentityClaims {
        IdentityClaims {
            kid: "k".into(),
            key: Box::default(),
            typ: None,
            issuer: "i".into(),
            audience: Box::default(),
            subject: "s".into(),
            token: TokenId::generate(random),
            session,
            issued_at: 0,
            not_before: None,
            expires_at: 0,
            tenant: None,
            org: None,
            role: None,
        }
    }

    #[test]
    fn trap_cache_key_not_scoped_to_its_configuration() {
        let random = Counting::default();
        let memory = VerifiedTokens::new(1 << 20);
        let (here, there): (ApiName, ApiName) = ("here".parse().unwrap(), "there".parse().unwrap());
        memory.insert(TokenHash::of(&here, "a.b.c"), claims(&random, None));
        assert!(memory.get(&TokenHash::of(&here, "a.b.c")).is_some());
        assert!(memory.get(&TokenHash::of(&there, "a.b.c")).is_none());
        assert!(memory.get(&TokenHash::of(&here, "a.b.d")).is_none());
    }

    #[test]
    fn one_session_fills_64_places_and_no_more() {
        let random = Counting::default();
        let memory = VerifiedTokens::new(1 << 24);
        let api: ApiName = "a".parse().unwrap();
        let session = SessionId::generate(&random);
        for n in 0..200 {
            memory.insert(TokenHash::of(&api, &format!("{n}")), claims(&random, Some(session)));
        }
        assert_eq!(memory.len(), MAX_PER_SESSION);
        let places: usize = memory.shards.iter().map(|shard| lock(shard).order.len()).sum();
        assert!(places <= 2 * MAX_PER_SESSION + SHARDS * (MAX_PER_SESSION + 1), "{places}");
        assert!(memory.get(&TokenHash::of(&api, "199")).is_some());
        assert!(memory.get(&TokenHash::of(&api, "0")).is_none());
    }

    #[test]
    fn the_memory_stays_within_its_bytes() {
        let random = Counting::default();
        let memory = VerifiedTokens::new(64 << 10);
        let api: ApiName = "a".parse().unwrap();
        for n in 0..10_000 {
            memory.insert(
                TokenHash::of(&api, &format!("{n}")),
                claims(&random, Some(SessionId::generate(&random))),
            );
        }
        let each = ENTRY_BYTES + claims(&random, None).weight();
        assert!(memory.len() * each <= 64 << 10 && memory.len() > 50, "{}", memory.len());
        assert!(lock(&memory.sessions).len() <= memory.len() + 1);
    }
}
