//! The directory's memory, over a store that does what the test says.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it must be"
)]

mod bounds;
mod changes;
mod follow;
mod look_ups;
mod support;
