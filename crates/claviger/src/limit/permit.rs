//! Let in, and counted.

use std::fmt;

use crate::authenticate::Principal;
use crate::authorize::Grant;
use crate::id::{Environment, OrgId, TenantId};

use super::LimitState;
use super::local::{CounterId, LocalLimiter};

/// Proof that a request was let in and counted: what everything behind the door takes, and nothing else. It
/// cannot be built outside this folder:
///
/// ```compile_fail
/// let permit = claviger::Permit { grant: todo!(), state: None, held: None };
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

/// Places of concurrency limits, given back when dropped.
pub(super) struct Held {
    pub(super) limiter: LocalLimiter,
    pub(super) tenant: TenantId,
    pub(super) counters: Vec<CounterId>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.counters.len())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.limiter.release(self.tenant, &self.counters);
    }
}
