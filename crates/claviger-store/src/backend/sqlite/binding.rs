//! To whom a connection is bound.

use std::sync::Arc;

use crate::backend::bound::Bound;

/// What `current_tenant()` and `system_job()` of one connection answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Binding(Arc<std::sync::Mutex<Held>>);

#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) tenant: Option<String>,
    pub(super) system: bool,
}

impl Binding {
    /// Binds the connection until the guard is dropped.
    pub(crate) fn bind(&self, bound: Bound) -> BoundGuard<'_> {
        self.set(match bound {
            Bound::Tenant(tenant) => Held { tenant: Some(tenant.to_string()), system: false },
            Bound::System(_) => Held { tenant: None, system: true },
        });
        BoundGuard(self)
    }

    pub(super) fn set(&self, held: Held) {
        // Nothing can panic while the lock is held, so that a poisoned one still holds a whole value.
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = held;
    }

    pub(super) fn tenant(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).tenant.clone()
    }

    pub(super) fn is_system(&self) -> bool {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).system
    }
}

/// Unbinds the connection when it goes. Every statement of the unit was read to its end and reset by then.
pub(crate) struct BoundGuard<'a>(&'a Binding);

impl Drop for BoundGuard<'_> {
    fn drop(&mut self) {
        self.0.set(Held::default());
    }
}
