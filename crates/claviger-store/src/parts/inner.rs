//! What the parts of a store share.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};

use claviger::clock::Clock;
use claviger::random::Random;

use crate::backend::{Backend, Bound, FollowerSlot, Lane, Mode, Tx};
use crate::error::StoreError;
use crate::feed::failover::Failover;
use crate::keyring::Keyring;
use crate::statement::Statement;
use crate::withdrawals::journal::Journal;

/// What the parts of a store share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) backend: Backend,
    pub(crate) keyring: Keyring,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) id: String,
    /// This process, as the holder of a lease.
    pub(crate) process: [u8; 16],
    pub(crate) journal: Option<Arc<Journal>>,
    /// Under which id this process serves, once it does.
    pub(crate) node: OnceLock<[u8; 16]>,
    pub(crate) failover: Failover,
    pub(crate) audit_count: AtomicU16,
    pub(crate) follower: FollowerSlot,
    /// Finds a registered statement by its name.
    pub(crate) find_statement: fn(&str) -> Option<&'static Statement>,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) faults: crate::testing::Faults,
}

impl Inner {
    /// What makes the next id of an audit entry one of its own: a UUID of version 7 (RFC 9562, section 5.7) has a counter
    /// of this node behind its time, so that entries of one millisecond sort as they were made.
    pub(crate) fn audit_tail(&self) -> [u8; 10] {
        let mut tail = [0; 10];
        self.random.fill(&mut tail);
        let [high, low] = self.audit_count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let [first, second, ..] = &mut tail;
        (*first, *second) = (high, low);
        tail
    }

    /// The clock of an embedded store.
    pub(crate) fn store_clock(&self) -> Arc<dyn Clock> {
        #[cfg(any(test, feature = "testing"))]
        return self.faults.skewed(&self.clock);
        #[cfg(not(any(test, feature = "testing")))]
        Arc::clone(&self.clock)
    }

    /// Runs a unit of work; see [`Backend::run`].
    pub(crate) async fn run<T, F>(&self, bound: Bound, mode: Mode, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        #[cfg(any(test, feature = "testing"))]
        self.faults.pass().await?;
        self.backend.run(bound, mode, self.store_clock(), work).await
    }

    /// The same in the lane of rows that grow or count.
    pub(crate) async fn run_in_growth<T, F>(&self, bound: Bound, mode: Mode, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        #[cfg(any(test, feature = "testing"))]
        self.faults.pass().await?;
        self.backend.run_in(Lane::Growth, bound, mode, self.store_clock(), work).await
    }
}
