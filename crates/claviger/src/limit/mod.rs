//! Step 4: not too often. All limits of a request are taken, or none is.
//!
//! The counters of one tenant stand behind one lock, so that a request's limits on key, tenant and member are
//! one decision. A refused request counts nowhere. Only the files in this folder can make a [`Permit`].

mod counter;
mod local;
mod permit;

use std::sync::Arc;

pub use local::LocalLimiter;
pub use permit::Permit;

use counter::Look;

use crate::authenticate::Principal;
use crate::grants::Access;
use crate::id::{ApiName, PlanName};

/// What a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// One API key, all its secrets together, or one person's tokens in one organization.
    Credential,
    /// Everybody of one organization.
    Organization,
    /// Everybody of one tenant.
    Tenant,
}

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A true sliding window: no span of this length ever sees more than the amount.
    Sliding {
        /// The window's length.
        window_millis: u64,
    },
    /// A bucket of the amount, which fills evenly within this time (GCRA).
    Burst {
        /// How long it takes to fill.
        refill_millis: u64,
    },
    /// At most the amount under way at once.
    Concurrency,
}

/// How much a limit allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amount {
    /// By plan; within a plan by the access the credential has.
    pub by_plan: Vec<(PlanName, PerAccess)>,
    /// For plans that are not listed.
    pub otherwise: PerAccess,
}

/// An amount for each access; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerAccess {
    /// For credentials that read at most.
    pub read: Option<u64>,
    /// For credentials that write at most.
    pub write: Option<u64>,
    /// For credentials that manage.
    pub admin: Option<u64>,
}

impl PerAccess {
    /// The same amount whatever the access.
    pub fn flat(amount: u64) -> Self {
        Self { read: Some(amount), write: Some(amount), admin: Some(amount) }
    }

    fn of(self, access: Option<Access>) -> Option<u64> {
        match access {
            Some(Access::Admin) => self.admin,
            Some(Access::Write) => self.write,
            // A credential that allows nothing got this far for nothing: the least there is.
            Some(Access::Read) | None => self.read,
        }
    }
}

/// One limit of an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRule {
    /// The API it is of.
    pub api: ApiName,
    /// Its name, unique within the API.
    pub name: Arc<str>,
    /// What it counts together.
    pub per: Per,
    /// How it counts.
    pub form: Form,
    /// How much it allows.
    pub amount: Amount,
}

impl LimitRule {
    /// What this principal is allowed; `None` is without limit.
    fn amount_for(&self, principal: &Principal) -> Option<u64> {
        let plan = &principal.tenant().plan;
        let listed = self.amount.by_plan.iter().find(|(name, _)| name == plan).map(|(_, amounts)| *amounts);
        let access = principal.grants().and_then(crate::grants::Grants::highest);
        listed.unwrap_or(self.amount.otherwise).of(access)
    }

    fn state(&self, limit: u64, look: Look) -> LimitState {
        LimitState {
            name: self.name.clone(),
            limit,
            remaining: look.remaining,
            reset_millis: look.reset_millis,
            // "Never" is told as a day: a header has to say a number, and the plan may change.
            retry_after_seconds: look.wait_millis.div_ceil(1000).min(86_400),
        }
    }
}

/// Where a limit stands after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitState {
    /// Its name.
    pub name: Arc<str>,
    /// How much it allows.
    pub limit: u64,
    /// How much of that is left.
    pub remaining: u64,
    /// In how many milliseconds there will be more.
    pub reset_millis: u64,
    /// In how many seconds the refused request would pass; 0 if it was not refused.
    pub retry_after_seconds: u64,
}
