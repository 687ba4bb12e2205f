//! The rows of `docs/systems.md` as black-box tests, on both stores. A test has the number of its row.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod a;
mod addresses;
mod around;
mod at_console;
mod c;
mod carriers;
mod console;
mod edits;
mod endings;
mod foreign;
mod forwarding;
mod introspection;
mod limits;
mod mail;
mod mail_server;
mod outage;
mod own_keys;
mod public;
mod q;
mod refusals;
mod reload;
mod rotation;
mod secrets;
mod sign_in;
mod snippets;
mod streams;
mod switching;
mod systems;
mod team;
mod verification;
mod withdrawal;
