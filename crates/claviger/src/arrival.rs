//! Before anything of a credential is looked at: did the request come by a transport that its API takes?

use std::sync::Arc;

use crate::api::Api;
use crate::inbound::Inbound;
use crate::refusal::Reason;

/// Proof that a request came by a transport that its API takes. The next step takes it, and with it API and request, so
/// that no later one can be asked about others.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    api: &'a Arc<Api>,
    inbound: &'a Inbound<'a>,
}

impl<'a> Arrival<'a> {
    /// The answer is the same for a good, a bad and no credential.
    ///
    /// # Errors
    /// 403 if it came in clear and the API is served over TLS alone.
    pub(crate) fn of(api: &'a Arc<Api>, inbound: &'a Inbound<'a>) -> Result<Self, Reason> {
        if api.requires_https && !inbound.secure {
            return Err(Reason::HttpsRequired);
        }
        Ok(Self { api, inbound })
    }

    /// A request that was refused for its transport, looked into only to tell the credential's owner: what comes of it
    /// lets nobody in.
    pub(crate) fn in_clear(api: &'a Arc<Api>, inbound: &'a Inbound<'a>) -> Self {
        Self { api, inbound }
    }

    /// The API.
    pub(crate) fn api(&self) -> &'a Arc<Api> {
        self.api
    }

    /// The request.
    pub(crate) fn inbound(&self) -> &'a Inbound<'a> {
        self.inbound
    }
}
