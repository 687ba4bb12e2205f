//! The program as its users start it: spawned, signalled, killed, and spoken to over its sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the program runs by the machine's clock, and so does what waits for it"
)]

mod access_log;
mod afar;
mod clients;
mod commands;
mod connections;
mod demo;
mod edits;
mod faults;
mod first_release;
mod guide;
mod operations;
mod refusals;
mod rolling;
mod settings;
mod sockets;
mod store_faults;
mod succession;
mod support;
mod tap;
mod upstream_checks;
mod upstream_samples;
