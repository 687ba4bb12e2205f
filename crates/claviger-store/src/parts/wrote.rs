//! Whether something was written: whoever fails afterwards must not say that nothing was changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::StoreError;

/// Told of what was written. Clones are told together.
#[derive(Debug, Clone, Default)]
pub struct Wrote(Arc<AtomicBool>);

impl Wrote {
    /// Whether something was, or may have been.
    pub fn anything(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Of something that was written.
    #[cfg(any(test, feature = "testing"))]
    pub fn something() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(crate) fn note<T>(&self, written: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(written, Ok(_) | Err(StoreError::UnknownOutcome)) {
            self.0.store(true, Ordering::SeqCst);
        }
        written
    }
}
