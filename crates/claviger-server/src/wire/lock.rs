//! Locks that no panic closes for good.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A poisoned lock means that a visitor panicked; what it guards are single
/// values, which are whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
