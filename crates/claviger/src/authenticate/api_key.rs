//! API keys: found by their digest, in one look-up.

use crate::api::Api;
use crate::api_key::PresentedKey;
use crate::clock::UnixMillis;
use crate::directory::{KeyRecord, State};
use crate::inbound::Inbound;
use crate::refusal::Reason;

use super::Authenticator;
use super::principal::{Principal, Subject};

impl Authenticator {
    pub(super) async fn api_key(
        &self,
        api: &Api,
        inbound: &Inbound<'_>,
        key: &PresentedKey,
    ) -> Result<Principal, Reason> {
        let bad = |why| Reason::BadCredential { why };
        let digest = self.peppers.digest(key).ok_or(Reason::PepperUnknown)?;
        let record = self.look_up(inbound, self.directory.key(&digest)).await?.ok_or(bad("no such key"))?;
        if record.environment != key.environment() {
            return Err(bad("the key says another environment than its record"));
        }
        check_key(&record, self.clock.now()).map_err(bad)?;
        let (tenant, org) = self.home(api, record.tenant, record.org).await?;
        Ok(Principal {
            environment: record.environment,
            grants: Some(record.grants.clone()),
            subject: Subject::Key(record, digest),
            tenant,
            org,
        })
    }
}

/// Whether a key and its secret may act at `now`. Expiry is exact and has no leeway: it is measured by the
/// store's clock, which set it.
pub(super) fn check_key(record: &KeyRecord, now: UnixMillis) -> Result<(), &'static str> {
    if record.state != State::Active {
        return Err("the key is disabled or revoked");
    }
    if record.secret_revoked {
        return Err("the secret is revoked");
    }
    if [record.key_expires_at, record.secret_expires_at].into_iter().flatten().any(|end| now >= end) {
        return Err("the key or secret has expired");
    }
    Ok(())
}
