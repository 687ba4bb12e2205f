//! The door: four steps, in the only order that compiles.

use std::net::IpAddr;
use std::sync::Arc;

use crate::api::Api;
use crate::authenticate::{Authenticator, Principal};
use crate::authorize::{self, Grant};
use crate::clock::Clock;
use crate::directory::{Directory, Freshness};
use crate::explain::{Explanation, Step};
use crate::identify;
use crate::inbound::Inbound;
use crate::limit::{LocalLimiter, Permit};
use crate::refusal::{Reason, Refusal};
use crate::route::Need;

/// Decides who comes in. One serves all APIs of a process.
#[derive(Debug)]
pub struct Door {
    authenticator: Authenticator,
    limiter: LocalLimiter,
}

impl Door {
    /// From who proves credentials and who counts.
    pub fn new(authenticator: Authenticator, limiter: LocalLimiter) -> Self {
        Self { authenticator, limiter }
    }

    /// The counters.
    pub fn limiter(&self) -> &LocalLimiter {
        &self.limiter
    }

    /// The clock it goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.authenticator.clock
    }

    /// The directory it asks.
    pub fn directory(&self) -> &Arc<dyn Directory> {
        &self.authenticator.directory
    }

    /// Lets a request in, or says why not.
    ///
    /// # Errors
    /// A [`Refusal`], which knows its status and code.
    pub async fn decide(&self, api: &Api, inbound: &Inbound<'_>, need: &Need) -> Result<Permit, Refusal> {
        api.check_transport(inbound.secure)?;
        let credential = identify::identify(api, inbound)?;
        self.trust_the_directory().await?;
        let principal = self.authenticator.authenticate(api, inbound, credential).await?;
        let tenant = principal.ids().0;
        let now = self.clock().boot();
        let grant = authorize::authorize(api, inbound, principal, need).map_err(|denied| {
            // Nothing is counted, but a known credential is told where it stands on every answer.
            let standing = self.limiter.standing(&denied.principal, &api.limits, now);
            Refusal::new(denied.reason).of_tenant(tenant).at_limit(standing)
        })?;
        self.limiter.admit(grant, &api.limits, now).map_err(|reason| Refusal::new(reason).of_tenant(tenant))
    }

    /// Proves the credential of a request that is refused for another reason, so that its owner can be told.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), if the credential is not good.
    pub async fn who(&self, api: &Api, inbound: &Inbound<'_>) -> Result<Principal, Refusal> {
        let credential = identify::identify(api, inbound)?;
        self.trust_the_directory().await?;
        Ok(self.authenticator.authenticate(api, inbound, credential).await?)
    }

    /// Whether a principal that was let in before still stands: asked again and again of streams that stay open.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), for what has changed since; limits are left out, as what is open was counted.
    pub async fn still_stands(
        &self,
        api: &Api,
        client: IpAddr,
        principal: &Principal,
        need: &Need,
    ) -> Result<(), Refusal> {
        self.trust_the_directory().await?;
        let now = self.authenticator.still_stands(api, principal).await?;
        Ok(authorize::still_may(api, client, &now, need)?)
    }

    /// The same steps as [`decide`](Self::decide), each told, and nothing counted.
    pub async fn explain(&self, api: &Api, inbound: &Inbound<'_>, need: &Need) -> Explanation {
        let mut told = Explanation::default();
        let shown = api.check_transport(inbound.secure).and_then(|()| identify::identify(api, inbound));
        let credential = match told.step(Step::Identify, shown) {
            Some(credential) => credential,
            None => return told,
        };
        if told.step(Step::Freshness, self.trust_the_directory().await).is_none() {
            return told;
        }
        let proven = self.authenticator.authenticate(api, inbound, credential).await;
        let Some(principal) = told.step(Step::Authenticate, proven) else { return told };
        told.principal(&principal);
        let granted = authorize::authorize(api, inbound, principal, need).map_err(|denied| denied.reason);
        let Some(grant) = told.step(Step::Authorize, granted) else { return told };
        told.limits(self.peek(api, &grant));
        told
    }

    fn peek(&self, api: &Api, grant: &Grant) -> Result<Vec<crate::limit::LimitState>, Reason> {
        let states = self.limiter.peek(grant, &api.limits, self.clock().boot());
        match states
            .iter()
            .filter(|state| state.retry_after_seconds > 0)
            .max_by_key(|state| state.retry_after_seconds)
        {
            Some(refused) => Err(Reason::TooMany(refused.clone())),
            None => Ok(states),
        }
    }

    /// A directory whose feed has been silent for too long is asked to catch up, or is not believed.
    async fn trust_the_directory(&self) -> Result<(), Reason> {
        match self.directory().freshness(self.clock().boot()) {
            Freshness::Fresh => Ok(()),
            Freshness::Stale(catch_up) => Ok(catch_up.await?),
        }
    }
}
