//! The limits an API has: what they count together, how, and how much they allow. Counting is `limit/`'s.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::grants::Access;
use crate::id::PlanName;

/// What a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Per {
    /// One API key, all its secrets together, or one person's tokens in one organization.
    Credential,
    /// Everybody of one organization.
    Organization,
    /// Everybody of one tenant.
    Tenant,
    /// One client address (an IPv6 /64 is one): of a known caller within the tenant, so that no tenant takes from
    /// another; of public requests among themselves.
    Address,
}

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
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

impl Form {
    /// The time it counts in; `None` for one that counts what is under way.
    pub(crate) fn span_millis(self) -> Option<u64> {
        match self {
            Self::Sliding { window_millis: span } | Self::Burst { refill_millis: span } => Some(span),
            Self::Concurrency => None,
        }
    }
}

/// How much a limit allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amount {
    /// By plan; within a plan by the access the credential has.
    pub by_plan: Vec<(PlanName, PerAccess)>,
    /// For plans of the API that are not listed. An access it leaves out gets the least that any plan has.
    pub otherwise: PerAccess,
}

/// An amount for each access; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerAccess {
    /// For credentials that read at most, and for public requests.
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
            // A credential that allows nothing got this far for nothing, and nobody reads what is public as more
            // than a reader.
            Some(Access::Read) | None => self.read,
        }
    }
}

impl Amount {
    /// What a caller on `plan` with `access` is allowed; `None` is without limit. A plan that is not listed gets
    /// what stands in [`otherwise`](Self::otherwise); one that `known` does not have either, or a public request,
    /// gets the least of all there is: whoever is not known is granted nothing on that account.
    pub(crate) fn for_caller(
        &self,
        plan: Option<&PlanName>,
        known: &BTreeSet<PlanName>,
        access: Option<Access>,
    ) -> Option<u64> {
        let listed = plan.and_then(|plan| self.by_plan.iter().find(|(name, _)| name == plan));
        if let Some((_, amounts)) = listed {
            return amounts.of(access);
        }
        let least = || self.by_plan.iter().filter_map(|(_, amounts)| amounts.of(access)).min();
        let otherwise = self.otherwise.of(access);
        if plan.is_some_and(|plan| known.contains(plan)) {
            otherwise.or_else(least)
        } else {
            least().into_iter().chain(otherwise).min()
        }
    }
}

/// One limit of an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRule {
    /// Its name, unique within the API.
    pub name: Arc<str>,
    /// What it counts together.
    pub per: Per,
    /// How it counts.
    pub form: Form,
    /// How much it allows.
    pub amount: Amount,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str) -> PlanName {
        name.parse().unwrap()
    }

    #[test]
    fn a_plan_that_a_limit_does_not_list_gets_the_least_that_any_plan_has() {
        let amounts = |read, write| PerAccess { read: Some(read), write: Some(write), admin: None };
        let by_plan = vec![(plan("Pro"), amounts(600, 30)), (plan("Starter"), amounts(120, 60))];
        let known: BTreeSet<PlanName> = ["Starter", "Pro", "Trial"].map(plan).into();
        let listed = Amount { by_plan: by_plan.clone(), otherwise: PerAccess::default() };
        let of = |amount: &Amount, name: Option<&str>, access| {
            amount.for_caller(name.map(plan).as_ref(), &known, Some(access))
        };
        assert_eq!(of(&listed, Some("Pro"), Access::Read), Some(600));
        for unlisted in [Some("starter"), Some("Trial"), Some("Gone"), None] {
            assert_eq!(of(&listed, unlisted, Access::Read), Some(120), "{unlisted:?}");
            assert_eq!(of(&listed, unlisted, Access::Write), Some(30), "{unlisted:?}");
            assert_eq!(of(&listed, unlisted, Access::Admin), None, "no plan limits it");
        }

        let generous = Amount { by_plan, otherwise: PerAccess::flat(1000) };
        assert_eq!(of(&generous, Some("Trial"), Access::Read), Some(1000), "it was said for this plan");
        assert_eq!(of(&generous, Some("Gone"), Access::Read), Some(120), "it was not said for this one");
        assert_eq!(of(&generous, Some("Gone"), Access::Admin), Some(1000));
        let mean = Amount { otherwise: PerAccess::flat(7), ..generous };
        assert_eq!(of(&mean, Some("Gone"), Access::Read), Some(7));
        let flat = Amount { by_plan: Vec::new(), otherwise: PerAccess::flat(9) };
        assert_eq!(of(&flat, Some("Trial"), Access::Write), Some(9));
        assert_eq!(flat.for_caller(None, &known, None), Some(9));
    }
}
