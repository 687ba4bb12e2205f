//! Whose rows a unit of work reaches, and whether it changes any.

use std::sync::{Arc, OnceLock};

use claviger::id::TenantId;

use crate::feed::follower::Follower;

/// Who follows this node's commits, once somebody does.
pub(crate) type FollowerSlot = Arc<OnceLock<Arc<dyn Follower>>>;

/// Whose rows a unit of work reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// One tenant's.
    Tenant(TenantId),
    /// Everybody's, for the named job.
    System(&'static str),
}

/// The job that follows the feed. It never waits behind others: a node that does not hear of changes refuses all.
pub(crate) const FEED: Bound = Bound::System("feed");

/// The job that reads what decisions ask for.
pub(crate) const DIRECTORY: Bound = Bound::System("directory");

/// Which queue and which connections a unit of work has. What waits in one lane holds up nobody in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The change feed's alone: a node that does not hear of changes refuses all.
    Feed,
    /// Reads of what decisions ask for.
    Directory,
    /// What people and programs change and look at.
    Changes,
    /// Rows that grow or count, such as the audit's: where they are paged, claimed and retired. A change is never behind these,
    /// but for the one that is under way.
    Growth,
}

impl Lane {
    /// The lane of a unit that asks for none.
    pub(crate) fn of(bound: Bound) -> Self {
        match bound {
            FEED => Self::Feed,
            DIRECTORY => Self::Directory,
            Bound::Tenant(_) | Bound::System(_) => Self::Changes,
        }
    }
}

/// Whether a unit of work changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
}
