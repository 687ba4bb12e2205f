//! The door from outside: every test goes through a real [`Door`](claviger::Door), with real credentials.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod carriers;
mod decide;
mod guessing;
mod issuers;
mod layer;
mod limits;
mod public;
mod sessions;
mod settings;
mod standing;
mod tokens;
mod traps;
mod vectors;

use claviger::{Permit, Refusal};

/// What a client would see: 200 for who was let in.
fn status(outcome: &Result<Permit, Refusal>) -> u16 {
    outcome.as_ref().map_or_else(|refusal| refusal.status().as_u16(), |_| 200)
}

/// The code a client would see; `let in` for who was.
fn code(outcome: &Result<Permit, Refusal>) -> &'static str {
    outcome.as_ref().map_or_else(|refusal| refusal.code().as_str(), |_| "let in")
}
