//! Withdrawals that outlive the store: what this node has acknowledged, in a file of its own.
//!
//! A server that takes over after another one was lost may lack that one's last commits. Whoever was told that a credential
//! is revoked was told so by a node; so the node keeps it in a file, synced before the answer, and names it in a row of the
//! same transaction. A node that starts, or finds its feed to come from elsewhere, looks for names that the store does not
//! have, and does those withdrawals again before it believes the store. A withdrawal is a registered statement that takes
//! something away, with its parameters; done twice it takes away no more.

pub(crate) mod journal;
pub(crate) mod repeat;
pub(crate) mod step;

pub use journal::KEPT_SECONDS;
