//! What a store tells this node's memory about the node's own commits.

use std::fmt;

use crate::subject::Change;

/// Follows the commits of this node, so that a change has reached its memory before it is answered.
///
/// A store calls `about_to_commit`, commits, and then calls exactly one of the other two with the same changes.
/// Between the two calls a record older than its change must not be served: a withdrawal holds from before the
/// COMMIT, and a grant shows only after it, because reads see committed rows alone.
pub trait Follower: fmt::Debug + Send + Sync + 'static {
    /// These changes may become visible to others from now on.
    fn about_to_commit(&self, changes: &[Change]);

    /// They are durable.
    fn committed(&self, changes: &[Change]);

    /// They did not happen, or nobody knows: what is remembered of these subjects is to be dropped.
    fn not_committed(&self, changes: &[Change]);
}
