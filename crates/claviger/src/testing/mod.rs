//! Clocks, randomness, directories and doors for the tests of those who embed the crate (feature `testing`).
//!
//! There is no way round the door here either: [`TestDoor`] is a real [`Door`](crate::Door) before a directory
//! that says what a test has put into it, and every credential is made and checked for real.

mod apis;
mod clock;
mod directory;
mod door;
mod random;
mod request;
mod tokens;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub use apis::{api, synaptiq, syncello, synq, table};
pub use clock::FixedClock;
pub use directory::{FakeDirectory, Lookup, Silence};
pub use door::{Home, Someone, TestDoor, TestKey, TestUserSecret};
pub use random::Counting;
pub use request::TestRequest;
pub use tokens::{Unsigned, keypair};

/// The value of a future that has nothing to wait for, as none has over a [`FakeDirectory`].
///
/// # Panics
/// If it has to wait.
#[expect(clippy::panic, reason = "a test that waits for nobody would hang")]
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits for something"),
    }
}
