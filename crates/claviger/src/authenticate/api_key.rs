//! API keys: found by their digest, in one look-up.

use std::sync::Arc;

use crate::api::Api;
use crate::clock::UnixMillis;
use crate::directory::{KeyRecord, State};
use crate::network::Client;
use crate::refusal::{Reason, Refusal};

use super::principal::{Parts, Principal, key_who};
use super::proof::{KeyProof, Proof};
use super::{Authenticator, Gate};

impl Authenticator {
    pub(super) async fn stand_key(
        &self,
        api: &Arc<Api>,
        client: Client,
        key: KeyProof,
        gate: Gate,
    ) -> Result<Box<Principal>, Refusal> {
        let found = self.look_up(gate, key.digest.as_bytes(), || self.directory.key(&key.digest)).await?;
        let record = found.ok_or(Reason::bad("no such key"))?;
        let known = |reason: Reason| Refusal::new(reason).of(|| key_who(&record));
        if record.environment != key.environment {
            return Err(known(Reason::bad("the key says another environment than its record")));
        }
        check_key(&record, self.clock.now()).map_err(|why| known(Reason::bad(why)))?;
        let (tenant, org) = self.home(api, record.tenant, record.org).await.map_err(known)?;
        let today = tenant.floor.credentials.saturating_add(org.floor.credentials);
        if i64::from(record.made_under) != today {
            return Err(known(Reason::bad("all keys of the tenant or organization were revoked")));
        }
        Ok(Principal::new(api.clone(), client, Proof::Key(key), Parts::Key(record), tenant, org))
    }
}

/// Whether a key and its secret may act at `now`. Expiry is exact and has no leeway: it is measured by the
/// store's clock, which set it.
fn check_key(record: &KeyRecord, now: UnixMillis) -> Result<(), &'static str> {
    if record.state != State::Active {
        return Err("the key is disabled or revoked");
    }
    if record.secret_revoked {
        return Err("the secret is revoked");
    }
    if record.expires_at.is_some_and(|end| now >= end) {
        return Err("the key or secret has expired");
    }
    Ok(())
}
