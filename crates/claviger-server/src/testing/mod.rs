//! A whole server for tests, and somebody to talk to it (feature `testing`).
//!
//! [`TestServer`] is started as `claviger serve` starts one, from a settings file with the three examples' APIs,
//! on ports of the machine's choosing and a store of its own. It makes tenants, people and credentials; a
//! [`Client`] sends requests byte by byte as it is told; a [`Recorder`] keeps what an upstream gets to see.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod actors;
mod client;
mod issuer;
mod log;
mod recorder;
mod server;

use std::time::Duration;

use claviger::clock::Clock;

pub use actors::{Home, Key, Person, Token};
pub use client::{Answer, Client, Connection, Request};
pub use issuer::TestIssuer;
pub use log::Log;
pub use recorder::{Received, Recorder};
pub use server::{Behind, Plan, TestServer, add_route};

use crate::clock::MachineClock;

/// Which engine a test's store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// A file in the test's folder.
    Sqlite,
    /// A database of its own in the run's cluster.
    Postgres,
}

/// Runs each test, a `fn(On)`, on a store of each engine.
#[macro_export]
macro_rules! on_every_store {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $test() {
                super::$test($crate::testing::On::Sqlite);
            })*
        }

        mod postgres {
            $(#[test]
            fn $test() {
                super::$test($crate::testing::On::Postgres);
            })*
        }
    };
}

/// How long `work` takes by the machine's clock.
pub fn took(work: impl FnOnce()) -> Duration {
    let clock = MachineClock::new();
    let began = clock.boot();
    work();
    Duration::from_millis(clock.boot().since(began))
}

/// Waits until `holds` does, and gives how long that took by the machine's clock.
///
/// # Panics
/// If it does not within `limit`.
#[track_caller]
pub fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let clock = MachineClock::new();
    let began = clock.boot();
    loop {
        let held = holds();
        let took = Duration::from_millis(clock.boot().since(began));
        if held {
            assert!(took <= limit, "too late, after {took:?}: {what}");
            return took;
        }
        assert!(took <= limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
