//! When user tokens were used for the last time: noted in memory, and taken out every second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use claviger::Permit;
use claviger::clock::UnixMillis;
use claviger::credential::CredentialKind;
use claviger::id::TenantId;
use claviger::network::Client;

/// The last use of a token.
type Use = (UnixMillis, Option<IpAddr>);

/// The user tokens that were used since this was last emptied.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<(TenantId, Box<str>), Use>>);

impl Uses {
    /// Somebody was let in.
    pub(super) fn note(&self, permit: &Permit, at: UnixMillis, client: Client) {
        let principal = permit.principal();
        if principal.kind() == CredentialKind::UserToken {
            let whose = (permit.tenant(), principal.credential_id());
            let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            uses.insert(whose, (at, client.address()));
        }
    }

    /// Puts back what could not be written down, as far as nothing later is known.
    pub(crate) fn put_back(&self, found: impl IntoIterator<Item = ((TenantId, Box<str>), Use)>) {
        for (whose, used) in found {
            let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            uses.entry(whose).or_insert(used);
        }
    }

    /// Takes all of it out.
    pub fn take(&self) -> Vec<((TenantId, Box<str>), Use)> {
        // Let go of before it is gone through: every core waits for it.
        let found = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        found.into_iter().collect()
    }
}
