//! Let in, and counted.

use std::sync::Arc;

use crate::api::Api;
use crate::authenticate::Principal;
use crate::authorize::Grant;
use crate::clock::BootMillis;
use crate::id::{Environment, OrgId, TenantId};
use crate::limit_rule::LimitState;
use crate::need::Need;
use crate::network::Client;
use crate::refusal::Reason;

use super::local::{Held, LocalLimiter, Taken, Who};

/// Proof that a request was let in and counted: what everything behind the door takes, and nothing else. It
/// cannot be built outside this folder, and nobody can copy one:
///
/// ```compile_fail,E0451
/// fn forge() -> claviger::Permit {
///     claviger::Permit { grant: todo!(), state: None, held: None }
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn copy(permit: &claviger::Permit) -> claviger::Permit {
///     claviger::Permit::clone(permit)
/// }
/// ```
///
/// What may be done with one from outside:
///
/// ```
/// fn tenant_of(permit: &claviger::Permit) -> claviger::id::TenantId {
///     permit.tenant()
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    grant: Grant,
    state: Option<LimitState>,
    held: Option<Held>,
}

impl Permit {
    pub(super) fn new(grant: Grant, state: Option<LimitState>, held: Option<Held>) -> Self {
        Self { grant, state, held }
    }

    /// Who was let in.
    pub fn principal(&self) -> &Principal {
        self.grant.principal()
    }

    /// What the request needed.
    pub fn need(&self) -> &Arc<Need> {
        self.grant.need()
    }

    /// The API it was let in to.
    pub fn api(&self) -> &Arc<Api> {
        self.principal().api()
    }

    /// The tenant everything done under it stays in.
    pub fn tenant(&self) -> TenantId {
        self.principal().ids().0
    }

    /// The organization.
    pub fn org(&self) -> OrgId {
        self.principal().ids().1
    }

    /// Live or sandbox.
    pub fn environment(&self) -> Environment {
        self.principal().environment()
    }

    /// The limit that is nearest to its end; `None` if nothing limits this request.
    pub fn limit(&self) -> Option<&LimitState> {
        self.state.as_ref()
    }

    /// Whether it holds a place of a concurrency limit, which is given back when it is dropped.
    pub fn holds_a_place(&self) -> bool {
        self.held.is_some()
    }
}

/// Proof that a request may be served though nobody knows who sent it, and was counted. It is of no tenant, and opens no
/// store:
///
/// ```compile_fail,E0451
/// fn forge() -> claviger::PublicPermit {
///     claviger::PublicPermit { api: todo!(), client: todo!(), need: todo!(), state: None, held: None }
/// }
/// ```
///
/// ```
/// fn name_of(permit: &claviger::PublicPermit) -> &str {
///     permit.api().name.as_str()
/// }
/// ```
#[derive(Debug)]
pub struct PublicPermit {
    api: Arc<Api>,
    client: Client,
    need: Arc<Need>,
    state: Option<LimitState>,
    held: Option<Held>,
}

impl PublicPermit {
    pub(super) fn new(api: Arc<Api>, client: Client, need: Arc<Need>, (state, held): Taken) -> Self {
        Self { api, client, need, state, held }
    }

    /// The API it was let in to.
    pub fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// Where it came from.
    pub fn client(&self) -> Client {
        self.client
    }

    /// What the request needed: nothing, and perhaps a part of a limit.
    pub fn need(&self) -> &Arc<Need> {
        &self.need
    }

    /// The limit that is nearest to its end; `None` if nothing limits this request.
    pub fn limit(&self) -> Option<&LimitState> {
        self.state.as_ref()
    }

    /// Whether it holds a place of a concurrency limit, which is given back when it is dropped.
    pub fn holds_a_place(&self) -> bool {
        self.held.is_some()
    }
}

/// Permits are made here, of what was counted.
impl LocalLimiter {
    /// Counts `grant` against all limits of its API, or against none.
    ///
    /// # Errors
    /// 429 if a limit is used up: the one with the longest wait. The grant comes back with it.
    pub(crate) fn admit(&self, grant: Grant, now: BootMillis) -> Result<Permit, Box<(Reason, Grant)>> {
        match self.take(&Who::Known(grant.principal()), grant.need(), now) {
            Ok((state, held)) => Ok(Permit::new(grant, state, held)),
            Err(reason) => Err(Box::new((reason, grant))),
        }
    }

    /// The same for a request that nobody has to answer for. Only a need that is public asks for it.
    pub(crate) fn admit_public(
        &self,
        api: &Arc<Api>,
        client: Client,
        need: &Arc<Need>,
        now: BootMillis,
    ) -> Result<PublicPermit, Reason> {
        let taken = self.take(&Who::Public(api, client), need, now)?;
        Ok(PublicPermit::new(api.clone(), client, need.clone(), taken))
    }
}
