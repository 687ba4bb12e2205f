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

/// Whether a unit of work changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    Write,
}
