//! The store on both engines, through its public doors.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod api_keys;
mod feed;
mod opening;
mod people;
mod tenants;
mod twins;
mod walls;
