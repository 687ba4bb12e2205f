//! Let in, and counted.

use std::fmt;
use std::sync::Arc;

use crate::api::Api;
use crate::authenticate::Principal;
use crate::authorize::Grant;
use crate::id::{Environment, OrgId, TenantId};
use crate::limit_rule::LimitState;
use crate::need::Need;
use crate::network::Client;

use super::local::{CounterId, LocalLimiter, Shard};

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
    pub(super) fn new(
        api: Arc<Api>,
        client: Client,
        need: Arc<Need>,
        (state, held): (Option<LimitState>, Option<Held>),
    ) -> Self {
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

/// Places of concurrency limits, given back when dropped.
pub(super) struct Held {
    pub(super) limiter: LocalLimiter,
    pub(super) shard: Shard,
    pub(super) counters: Vec<CounterId>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.counters.len())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.limiter.release(self.shard, &self.counters);
    }
}
