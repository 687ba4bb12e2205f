//! One server after another on the same embedded store: the next one waits for its turn, and the one before gives the store up while
//! what it has let in goes on.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claviger_store::memory::Memory;
use claviger_store::{Holding, Store};
use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::Config;
use crate::core::store_settings;
use crate::failure::{Failure, complaint};
use crate::management::AtWork;
use crate::wire::Beside;

/// How often it is looked whether it is this one's turn.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long after a signal it may take until a server says that it is about to stop.
const HEARS_WITHIN: Duration = Duration::from_secs(1);
/// How long one that is about to stop is waited for.
const AT_MOST: Duration = Duration::from_secs(600);
/// How long the next server has to begin to listen before the one before it stops: time to look some times.
const OVERLAP: Duration = Duration::from_millis(50);
/// How long after the last connection was taken the store is given up, if something is still under way: what has been sent whole by
/// then has been decided about.
const DECIDED_AFTER: Duration = Duration::from_millis(250);

/// What a server may take when its turn has come.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Whether somebody may still have the ports.
    pub(crate) beside: Beside,
    /// Held until the store is this one's: nobody else waits for it meanwhile.
    _next: Option<File>,
}

/// Waits while a server on the same store is about to stop and still takes what comes.
///
/// # Errors
/// If it stays, another one waits already, or it takes too long.
pub(crate) async fn await_turn(config: &Config) -> Result<Turn, Failure> {
    let settings = store_settings(config);
    let mut turn = Turn { beside: Beside::Nobody, _next: None };
    let begun = Instant::now();
    loop {
        match Store::holder(&settings).map_err(|error| Failure::new(error.to_string()))? {
            Some(holding @ (Holding::Leaving | Holding::Closing)) => {
                if turn.beside == Beside::Nobody {
                    turn = Turn {
                        beside: Beside::Predecessor,
                        _next: config.store.url.sqlite_path().map(next).transpose()?,
                    };
                    tracing::info!("waiting for the server before this one, which is about to stop");
                }
                if holding == Holding::Closing {
                    return Ok(turn);
                }
                if begun.elapsed() > AT_MOST {
                    let what = "the server on this data has been about to stop for ten minutes, and has not";
                    return Err(Failure::new(what).hint("a second SIGTERM ends it at once"));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // One that was told to stop just now may not have heard of it yet.
            Some(Holding::Serving) if begun.elapsed() < HEARS_WITHIN => tokio::time::sleep(LOOK_EVERY).await,
            Some(Holding::Serving) => {
                let lock = config.store.url.sqlite_path().map(|path| path.with_file_name("claviger.lock"));
                let what = format!(
                    "another process uses the database in this directory: `{}` is locked by a server, which stays",
                    lock.unwrap_or_default().display()
                );
                let hint =
                    "a server runs on this data: stop it first, or choose another place for this one's";
                return Err(Failure::new(what).hint(hint));
            }
            Some(Holding::Passing) | None => return Ok(turn),
        }
    }
}

/// Makes this process the next one.
fn next(database: &Path) -> Result<File, Failure> {
    let path = database.with_file_name("claviger.next");
    let cannot = |what: &str, error: &std::io::Error| {
        Failure::new(format!("cannot {what} `{}` ({})", path.display(), complaint(error)))
    };
    let options = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).clone();
    let file = options.open(&path).map_err(|error| cannot("open", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new("another server already waits to take over from the one on this data")
                .hint("let it start, or end it"))
        }
        Err(TryLockError::Error(error)) => Err(cannot("lock", &error)),
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
pub(crate) struct Succession {
    pub(crate) store: Store,
    pub(crate) memory: Arc<Memory>,
    /// Whether requests that come only now are refused.
    pub(crate) decides_nothing: Arc<AtomicBool>,
    /// What is being done for operators and people.
    pub(crate) at_work: AtWork,
    /// What is done beside requests, and writes.
    pub(crate) chores: Vec<AbortHandle>,
    /// Writes down what is not written down so far of what was let in.
    pub(crate) last_words: BoxFuture<'static, ()>,
}

impl std::fmt::Debug for Succession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Succession(..)")
    }
}

impl Succession {
    /// Gives an embedded store up a moment after the last connection was taken. From then on nothing is decided here; what was let in
    /// is asked about in what the next server writes.
    pub(crate) async fn hand_over(self) {
        tokio::time::sleep(DECIDED_AFTER).await;
        self.decides_nothing.store(true, Ordering::SeqCst);
        self.chores.iter().for_each(AbortHandle::abort);
        // What was begun is written first.
        if !self.at_work.finish().await {
            tracing::warn!("what an operator or somebody who signs in has begun takes too long, and fails");
        }
        self.last_words.await;
        if let Err(error) = self.memory.follow_others().await {
            tracing::warn!(%error, "what is still under way cannot be asked about, and ends");
        }
        self.store.hand_over().await;
        tracing::info!("the store is given up for the next server; what is still under way goes on");
    }
}
