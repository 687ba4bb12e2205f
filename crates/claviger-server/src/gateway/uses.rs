//! When user tokens and the secrets of keys were used for the last time: noted in memory, and taken out every second.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use claviger::Permit;
use claviger::api_key::KeyDigest;
use claviger::clock::UnixMillis;
use claviger::credential::CredentialKind;
use claviger::id::TenantId;
use claviger::network::Client;

/// The last use of a token, or of a secret.
pub(crate) type Use = (UnixMillis, Option<IpAddr>);

/// How many parts a table has, so that cores seldom wait for each other.
const PARTS: usize = 16;

/// What was used, in parts that are held apart.
#[derive(Debug)]
pub(crate) struct Table<K>([Mutex<HashMap<K, Use>>; PARTS]);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl<K: Eq + Hash> Table<K> {
    /// Notes a use in the part of that number.
    fn note(&self, part: u8, what: K, used: Use) {
        let Some(part) = self.0.get(usize::from(part) % PARTS) else { return };
        part.lock().unwrap_or_else(PoisonError::into_inner).insert(what, used);
    }

    /// Puts back what could not be written down, as far as nothing later is known.
    pub(crate) fn put_back(&self, found: impl IntoIterator<Item = (K, Use)>) {
        for (what, used) in found {
            // Wherever it is put back: it is taken out with all others.
            let [first, ..] = &self.0;
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            let known = first.entry(what).or_insert(used);
            if known.0 < used.0 {
                *known = used;
            }
        }
    }

    /// Takes all of it out: what was used in two parts with its later use.
    pub(crate) fn take(&self) -> Vec<(K, Use)> {
        let mut all: HashMap<K, Use> = HashMap::new();
        for part in &self.0 {
            // Let go of before it is gone through: every core waits for it.
            let found = std::mem::take(&mut *part.lock().unwrap_or_else(PoisonError::into_inner));
            if all.is_empty() {
                all = found;
                continue;
            }
            for (what, used) in found {
                let known = all.entry(what).or_insert(used);
                if known.0 < used.0 {
                    *known = used;
                }
            }
        }
        all.into_iter().collect()
    }
}

/// What was used since this was last emptied.
#[derive(Debug, Default)]
pub struct Uses {
    /// User tokens, by the names of their secrets.
    pub(crate) user_secrets: Table<(TenantId, Box<str>)>,
    /// Keys, by what the secret is found by that was shown.
    pub(crate) key_secrets: Table<(TenantId, KeyDigest)>,
}

impl Uses {
    /// Somebody was let in.
    pub(crate) fn note(&self, permit: &Permit, at: UnixMillis, client: Client) {
        let (principal, used) = (permit.principal(), (at, client.address()));
        match (principal.kind(), principal.key_secret()) {
            (CredentialKind::ApiKey, Some(digest)) => {
                let [part, ..] = digest.as_bytes();
                self.key_secrets.note(*part, (permit.tenant(), *digest), used);
            }
            (CredentialKind::UserToken, _) => {
                let whose = (permit.tenant(), principal.credential_id());
                let part = whose.1.bytes().fold(0, u8::wrapping_add);
                self.user_secrets.note(part, whose, used);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_is_no_later_than_what_is_known_and_nothing_is_lost() {
        let table: Table<u32> = Table::default();
        let at = |millis| (UnixMillis(millis), None);
        for number in 0..100_u8 {
            table.note(number, u32::from(number), at(i64::from(number)));
        }
        let mut found = table.take();
        found.sort_by_key(|(what, _)| *what);
        assert_eq!(found.len(), 100);
        assert!(table.take().is_empty());
        // Used again meanwhile, in whatever part it was put back.
        table.note(7, 7, at(1000));
        table.note(9, 9, at(1));
        table.put_back(found);
        let known: HashMap<u32, Use> = table.take().into_iter().collect();
        assert_eq!((known[&7], known[&9], known.len()), (at(1000), at(9), 100));
    }
}
