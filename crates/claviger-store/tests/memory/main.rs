//! The directory's memory, over a store that does what the test says.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test ends where something is not as it must be, and waits by the real clock"
)]

mod bounds;
mod changes;
mod follow;
mod look_ups;
mod support;
