//! One server after another on the same embedded store: the next one waits for its turn, and the one before gives the store up while
//! what it has let in goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claviger_store::memory::Memory;
use claviger_store::{Holding, Store};
use tokio::task::AbortHandle;

use crate::config::Config;
use crate::core::store_settings;
use crate::failure::Failure;
use crate::wire::Beside;

/// How often it is looked whether it is this one's turn.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long the next server has to begin to listen before the one before it stops: time to look some times.
const OVERLAP: Duration = Duration::from_millis(50);
/// How long after the last connection was taken the store is given up, if something is still under way: what has been sent whole by
/// then has been decided about.
const DECIDED_AFTER: Duration = Duration::from_millis(250);

/// Waits while a server on the same store is about to stop and still takes what comes. Gives whether one may still have the ports.
pub(crate) fn await_turn(config: &Config) -> Result<Beside, Failure> {
    let settings = store_settings(config);
    let mut beside = Beside::Nobody;
    loop {
        match Store::holder(&settings).map_err(|error| Failure::new(error.to_string()))? {
            Some(Holding::Leaving) => {
                if beside == Beside::Nobody {
                    tracing::info!("waiting for the server before this one, which is about to stop");
                }
                beside = Beside::Predecessor;
                std::thread::sleep(LOOK_EVERY);
            }
            Some(Holding::Closing) => return Ok(Beside::Predecessor),
            Some(Holding::Passing | Holding::Serving) | None => return Ok(beside),
        }
    }
}

/// Tells the next server, if there is one, how far this one is.
pub(crate) fn say(store: &Store, holding: Holding) {
    if let Err(error) = store.say(holding) {
        tracing::warn!(%error, "the next server on this store is not told what this one does");
    }
}

/// Says that nothing more is taken from now on, and leaves the next server a moment to begin to.
pub(crate) async fn close(store: &Store, database: Option<&Path>) {
    if database.is_some() {
        say(store, Holding::Closing);
        tokio::time::sleep(OVERLAP).await;
    }
}

/// What stands between a server that stops and the next one's having the store.
#[derive(Debug)]
pub(crate) struct Succession {
    pub(crate) store: Store,
    pub(crate) memory: Arc<Memory>,
    /// Whether requests that come only now are refused.
    pub(crate) decides_nothing: Arc<AtomicBool>,
    /// What is done beside requests, and writes.
    pub(crate) chores: Vec<AbortHandle>,
}

impl Succession {
    /// Gives an embedded store up a moment after the last connection was taken. From then on nothing is decided here; what was let in
    /// is asked about in what the next server writes.
    pub(crate) async fn hand_over(self) {
        tokio::time::sleep(DECIDED_AFTER).await;
        self.decides_nothing.store(true, Ordering::SeqCst);
        self.chores.iter().for_each(AbortHandle::abort);
        if let Err(error) = self.memory.follow_others().await {
            tracing::warn!(%error, "what is still under way cannot be asked about, and ends");
        }
        self.store.hand_over().await;
        tracing::info!("the store is given up for the next server; what is still under way goes on");
    }
}
