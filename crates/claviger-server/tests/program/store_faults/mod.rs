//! A real PostgreSQL, two servers before it, and everything that can go wrong between them. Throughout it credentials
//! are withdrawn, and each server is asked fifty times a second: no withdrawn credential is let in later than
//! `max_staleness` after the acknowledgement, and good ones are let in again once the fault is over.
//!
//! A part of it runs with the other tests. `FAULTS=whole` withdraws a thousand credentials in each fault.

mod checker;
mod document;
mod pooled;
pub(crate) mod postgres;
mod replicated;
mod rig;

use std::time::Duration;

/// `directory.max_staleness_seconds`, as it is unless settings say otherwise.
const MAX_STALENESS: Duration = Duration::from_secs(5);

fn is_whole() -> bool {
    std::env::var_os("FAULTS").is_some_and(|value| value == "whole")
}

/// How many withdrawals there are in each fault.
fn withdrawals() -> usize {
    if is_whole() { 1000 } else { 120 }
}
