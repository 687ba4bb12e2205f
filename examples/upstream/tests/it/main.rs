//! The server as Claviger meets it, over a real socket, with a clock that the tests hold.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is a failure")]

mod apis;
mod guard;
mod support;
