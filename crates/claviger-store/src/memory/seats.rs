//! A number of places that are taken and given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A fixed number of places.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<AtomicUsize>);

impl Seats {
    /// This many places.
    pub(super) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// Takes a place; `None` if there is none left.
    pub(super) fn take(&self) -> Option<Seat> {
        if self.taken.fetch_add(1, Ordering::Relaxed) < self.most {
            return Some(Seat(Arc::clone(&self.taken)));
        }
        self.taken.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
