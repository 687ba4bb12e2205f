//! One attempt at a unit of work.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::backend::tx::Tx;
use crate::backend::unit::Work;
use crate::error::StoreError;

/// Polls the unit of work once: on this engine no statement ever waits.
pub(super) fn attempt(work: &mut dyn Work, tx: &mut Tx<'_>) -> Result<(), StoreError> {
    // A unit that panics fails by itself: the thread serves all the others, and what the unit did is undone.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut future = pin!(work.attempt(tx));
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                Err(StoreError::Refused { why: "a unit of work waits for something else than the store" })
            }
        }
    }));
    tx.verdict(outcome.unwrap_or_else(|_| Err(StoreError::unavailable("the unit of work broke off"))))
}
