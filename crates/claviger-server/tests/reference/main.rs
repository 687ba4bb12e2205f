//! The documents that can be wrong: those made from the program, and those that name files, tests and commands.
//!
//! `UPDATE=1` writes `docs/reference/` anew (`make update`); without it, a document that has gone stale fails.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that cannot go on fails; tests wait by the real clock, and say what they had to leave out"
)]

mod cli;
mod documents;
mod management;
mod month;
mod names;
mod readme;
mod settings;
