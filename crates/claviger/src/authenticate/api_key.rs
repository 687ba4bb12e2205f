//! API keys: found by their digest, in one look-up.

use crate::api::Api;
use crate::api_key::PresentedKey;
use crate::directory::State;
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
        if record.state != State::Active {
            return Err(bad("the key is disabled or revoked"));
        }
        if record.secret_revoked {
            return Err(bad("the secret is revoked"));
        }
        // Expiry is exact and has no leeway: it is measured by the store's clock, which set it.
        let now = self.clock.now();
        if [record.key_expires_at, record.secret_expires_at].into_iter().flatten().any(|end| now >= end) {
            return Err(bad("the key or secret has expired"));
        }
        let (tenant, org) = self.home(api, record.tenant, record.org).await?;
        Ok(Principal {
            environment: record.environment,
            grants: Some(record.grants.clone()),
            subject: Subject::Key(record),
            tenant,
            org,
        })
    }
}
