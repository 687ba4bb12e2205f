//! The wire against raw sockets on both sides.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and measures by the real clock"
)]

mod bodies;
mod connections;
mod endings;
mod faults;
mod framing;
mod support;
mod tunnels;
