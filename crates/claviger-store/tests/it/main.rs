//! The store on both engines, through its public doors.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails; tests act as the operator and as jobs"
)]

mod addresses;
mod annotations;
mod api_keys;
mod edits;
mod feed;
mod growth;
mod handing_over;
mod key_authority;
mod mail;
mod nodes;
mod opening;
mod operators;
mod origin;
mod people;
mod refreshing;
mod tenants;
mod twins;
mod walls;
mod withdrawals;
