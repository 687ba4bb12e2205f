//! Step 4: not too often. All limits of a request are taken, or none is.
//!
//! What a request counts against stands behind one lock, so that its limits on key, tenant and address are one
//! decision. A refused request counts nowhere. Only the files in this folder can make a [`Permit`] or a
//! [`PublicPermit`].

mod counter;
mod local;
mod permit;

pub(crate) use local::LocalLimiter;
pub use permit::{Permit, PublicPermit};

use counter::Look;

use crate::limit_rule::{LimitRule, LimitState};

fn state(rule: &LimitRule, limit: u64, look: Look) -> LimitState {
    LimitState {
        name: rule.name.clone(),
        limit,
        remaining: look.remaining,
        reset_millis: look.reset_millis,
        // "Never" is told as a day: a header has to say a number, and the plan may change.
        retry_after_seconds: look.wait_millis.div_ceil(1000).min(86_400),
    }
}
