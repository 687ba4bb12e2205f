//! The memory of verified tokens: this exact text had a good signature, says this, and let somebody in.
//!
//! Keyed by the full SHA-256 of API and token, never by a part or an id in it: two tokens that shared an entry
//! would be one person. Nothing that can change is remembered. HS256 tokens are not, being cheap to verify.
//!
//! The table is fixed: a token has one set it can stand in, and what it weighs is counted to the byte. In a full set the
//! one goes that has expired, or else the longest unused of whichever issuer holds most of the set, so that no issuer
//! pushes out another. A session has a bounded number of places in the whole of it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::Api;
use crate::clock::UnixMillis;

use super::claims::IdentityClaims;
use super::token_hash::TokenHash;

/// How many bytes a set has, where there are many.
const SET_BYTES: usize = 16 << 10;
/// How many tokens of one session are remembered: more than one client ever has, and a bound on what one can
/// push out.
const MAX_PER_SESSION: u16 = 64;
/// How many cells the sessions are counted in. Two that share one share the bound.
const SESSION_CELLS: usize = 1 << 14;
/// How often expired tokens are looked for all over the table because some session is full, in milliseconds.
const SWEEP_MILLIS: i64 = 10_000;
/// What the allocator adds to each piece of memory, in bytes.
const PIECE_BYTES: usize = 16;

/// Remembers good signatures, up to a number of bytes.
pub(crate) struct VerifiedTokens {
    sets: Box<[Mutex<Set>]>,
    bytes_per_set: usize,
    sessions: Box<[AtomicU16]>,
    hasher: RandomState,
    swept_at: AtomicI64,
}

#[derive(Default)]
struct Set {
    entries: Vec<Entry>,
    bytes: usize,
    uses: u64,
}

struct Entry {
    hash: TokenHash,
    claims: Arc<IdentityClaims>,
    /// The issuer's place, and the cell that its session is counted in.
    issuer: Option<usize>,
    session: usize,
    weight: usize,
    used: u64,
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedTokens({} sets)", self.sets.len())
    }
}

/// A poisoned lock means that another thread panicked in a few lines that only move entries about: the worst
/// that can be left is an entry that will be verified again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    fn has_expired(&self, now: UnixMillis) -> bool {
        // With the longest leeway there is: what is still good anywhere stays.
        now.seconds() >= self.claims.expires_at.saturating_add(300)
    }
}

impl VerifiedTokens {
    /// A memory of at most `max_bytes`. 0 remembers nothing.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let sets = if max_bytes == 0 { 0 } else { (max_bytes / SET_BYTES).max(1) };
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            bytes_per_set: max_bytes.checked_div(sets).unwrap_or(0),
            sessions: (0..if sets == 0 { 0 } else { SESSION_CELLS }).map(|_| AtomicU16::new(0)).collect(),
            hasher: RandomState::new(),
            swept_at: AtomicI64::new(i64::MIN),
        }
    }

    /// How many tokens are remembered, and how many bytes they take up.
    pub(crate) fn size(&self) -> (usize, usize) {
        let each = self.sets.iter().map(|set| {
            let set = lock(set);
            (set.entries.len(), set.bytes)
        });
        each.fold((0, 0), |(count, bytes), (more, heavier)| (count + more, bytes + heavier))
    }

    fn set(&self, hash: &TokenHash) -> Option<&Mutex<Set>> {
        let place = u64::from_le_bytes(*hash.as_bytes().first_chunk()?);
        self.sets.get(usize::try_from(place.checked_rem(self.sets.len() as u64)?).ok()?)
    }

    /// The claims of this exact token, if it was found good for this API before.
    pub(super) fn get(&self, api: &Api, token: &str) -> Option<Arc<IdentityClaims>> {
        let hash = TokenHash::of(api, token);
        let mut set = lock(self.set(&hash)?);
        set.uses += 1;
        let uses = set.uses;
        let entry = set.entries.iter_mut().find(|entry| entry.hash == hash)?;
        entry.used = uses;
        Some(entry.claims.clone())
    }

    /// Remembers a token that was found good and let somebody in.
    pub(super) fn insert(&self, claims: &Arc<IdentityClaims>, now: UnixMillis) {
        let Some(place) = self.set(&claims.hash) else { return };
        // The counters of the piece that the claims share, the claims, and their texts' pieces.
        let weight = size_of::<Entry>()
            + 2 * size_of::<usize>()
            + size_of::<IdentityClaims>()
            + claims.heap_bytes()
            + 5 * PIECE_BYTES;
        if weight > self.bytes_per_set {
            return;
        }
        let (issuer, session) = claims.holder();
        let hash = self.hasher.hash_one((issuer, session)) % SESSION_CELLS as u64;
        let session = usize::try_from(hash).unwrap_or(0);
        if self.is_full(session) {
            self.sweep_now_and_then(now);
        }
        let mut set = lock(place);
        if set.entries.iter().any(|entry| entry.hash == claims.hash) {
            return;
        }
        if self.is_full(session) {
            // It can only take the place of one of its own.
            let own = set.entries.iter().enumerate().filter(|(_, entry)| entry.session == session);
            let Some((at, _)) = own.min_by_key(|(_, entry)| entry.used) else { return };
            self.remove(&mut set, at);
        }
        set.uses += 1;
        let used = set.uses;
        set.bytes += weight;
        set.entries.push(Entry { hash: claims.hash, claims: claims.clone(), issuer, session, weight, used });
        self.add_to(session, 1);
        while set.bytes > self.bytes_per_set {
            let Some(at) = set.victim(now) else { return };
            self.remove(&mut set, at);
        }
    }

    /// Forgets what has expired.
    pub(crate) fn sweep(&self, now: UnixMillis) {
        for set in &self.sets {
            let mut set = lock(set);
            while let Some(at) = set.entries.iter().position(|entry| entry.has_expired(now)) {
                self.remove(&mut set, at);
            }
        }
    }

    fn sweep_now_and_then(&self, now: UnixMillis) {
        let last = self.swept_at.load(Ordering::Relaxed);
        let is_due = now.0.saturating_sub(last) >= SWEEP_MILLIS || now.0 < last;
        let is_mine =
            || self.swept_at.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_due && is_mine() {
            self.sweep(now);
        }
    }

    fn remove(&self, set: &mut Set, at: usize) {
        let gone = set.entries.swap_remove(at);
        set.bytes = set.bytes.saturating_sub(gone.weight);
        self.add_to(gone.session, -1);
    }

    fn is_full(&self, session: usize) -> bool {
        self.sessions.get(session).is_none_or(|count| count.load(Ordering::Relaxed) >= MAX_PER_SESSION)
    }

    fn add_to(&self, session: usize, change: i16) {
        if let Some(count) = self.sessions.get(session) {
            let add = |count: u16| Some(count.saturating_add_signed(change));
            // The closure never gives up, so the update never fails.
            let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }
}

impl Set {
    /// Which entry goes.
    fn victim(&self, now: UnixMillis) -> Option<usize> {
        if let Some(expired) = self.entries.iter().position(|entry| entry.has_expired(now)) {
            return Some(expired);
        }
        let held = |issuer: Option<usize>| -> usize {
            self.entries.iter().filter(|entry| entry.issuer == issuer).map(|entry| entry.weight).sum()
        };
        let most = self.entries.iter().map(|entry| entry.issuer).max_by_key(|issuer| held(*issuer))?;
        let of_it = self.entries.iter().enumerate().filter(|(_, entry)| entry.issuer == most);
        of_it.min_by_key(|(_, entry)| entry.used).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests;
