//! PostgreSQL: a pool of connections on a runtime of the store's own.

pub(crate) mod check;
pub(crate) mod connect;
pub(crate) mod errors;
mod migrate;
pub(crate) mod prepare;
pub(crate) mod ran;
pub(crate) mod transaction;
pub(crate) mod withdrawn;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};

use super::bound::{Bound, FollowerSlot, Lane, Mode};
use super::tx::{Engine, Tx};
use super::unit::Job;
use crate::error::StoreError;
use crate::feed::follower::Follower;
use crate::settings::Settings;
use crate::subject::Change;
use crate::withdrawals::journal::Journal;
use connect::DEADLINE;
use errors::Failure;
use transaction::Transaction;

/// Jobs that may wait for the runtime before callers wait for a place in the queue.
const QUEUE: usize = 1024;
/// Jobs that may be under way, most of them waiting for a connection. One more is refused.
const UNDER_WAY: usize = 4096;
/// Connections that read what decisions ask for, at most.
const LOADS: usize = 2;
/// How often connections that nobody needs are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// How often a unit is tried again that could not be put in an order with another one.
const RETRIES: u32 = 5;

/// What keeps the withdrawals of this node, and the store's id, once that is known.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) journal: Arc<Journal>,
    pub(crate) store: String,
}

pub(crate) type KeeperSlot = Arc<OnceLock<Keeper>>;

/// An open database.
#[derive(Debug)]
pub(crate) struct Postgres {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    queue: mpsc::WeakSender<Job>,
    thread: watch::Receiver<()>,
}

impl Postgres {
    /// Connects as the runtime role, checks the walls and starts the runtime.
    ///
    /// # Errors
    /// If the database does not answer, or a wall does not stand.
    pub(crate) async fn open(
        settings: &Settings,
        follower: FollowerSlot,
        keeper: KeeperSlot,
    ) -> Result<Self, StoreError> {
        let (url, ca_file) = (&settings.url, settings.ca_file.as_deref());
        let feed_url = settings.feed_url.as_ref().unwrap_or(url);
        let pools = Pools {
            changes: connect::pool(url, ca_file, settings.connections.saturating_sub(2 + LOADS))?,
            growth: connect::pool(url, ca_file, 1)?,
            loads: connect::pool(url, ca_file, LOADS)?,
            feed: connect::pool(feed_url, ca_file, 1)?,
        };
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (alive, thread) = watch::channel(());
        let (checked, check) = oneshot::channel();
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = checked
                        .send(Err(StoreError::Setup(format!("cannot start a runtime: {}", error.kind()))));
                    return;
                }
            };
            LocalSet::new().block_on(&runtime, async move {
                let standing = check::walls(&pools.changes).await;
                let go_on = standing.is_ok();
                if checked.send(standing).is_ok() && go_on {
                    serve(queue, pools, follower, keeper).await;
                }
            });
            drop(alive);
        };
        let thread_of = std::thread::Builder::new().name("claviger-postgres".to_owned());
        thread_of
            .spawn(body)
            .map_err(|error| StoreError::Setup(format!("cannot start a thread: {}", error.kind())))?;
        check.await.map_err(|_| StoreError::unavailable("the store's runtime ended"))??;
        Ok(Self { queue: jobs.downgrade(), jobs: Mutex::new(Some(jobs)), thread })
    }

    pub(crate) async fn submit(&self, job: Job) -> Result<(), StoreError> {
        let closed = || StoreError::unavailable("the store was closed");
        self.queue.upgrade().ok_or_else(closed)?.send(job).await.map_err(|_| closed())
    }

    pub(crate) async fn close(&self) {
        drop(self.jobs.lock().await.take());
        let mut thread = self.thread.clone();
        while thread.changed().await.is_ok() {}
    }
}

/// The connections of each lane: whatever lists and commands are under way, they take none of another's.
struct Pools {
    changes: Pool,
    growth: Pool,
    loads: Pool,
    feed: Pool,
}

impl Pools {
    fn of(&self, lane: Lane) -> &Pool {
        match lane {
            Lane::Feed => &self.feed,
            Lane::Directory => &self.loads,
            Lane::Changes => &self.changes,
            Lane::Growth => &self.growth,
        }
    }

    fn drop_idle(&self) {
        [&self.changes, &self.growth, &self.loads, &self.feed].into_iter().for_each(connect::drop_idle);
    }
}

/// Runs jobs beside each other until nobody can send one any more, and those under way to their end.
async fn serve(mut queue: mpsc::Receiver<Job>, pools: Pools, follower: FollowerSlot, keeper: KeeperSlot) {
    let mut under_way = JoinSet::new();
    let mut tidying = tokio::time::interval(TIDY_EVERY);
    loop {
        let mut job = tokio::select! {
            job = queue.recv() => match job {
                Some(job) => job,
                None => break,
            },
            _ = tidying.tick() => {
                pools.drop_idle();
                continue;
            }
        };
        let is_feed = job.lane == Lane::Feed;
        if under_way.len() >= UNDER_WAY && !is_feed {
            job.work.answer(Err(StoreError::unavailable("too many wait for postgres")));
            while under_way.try_join_next().is_some() {}
            continue;
        }
        let pool = pools.of(job.lane).clone();
        let (follower, keeper) = (follower.clone(), keeper.clone());
        under_way.spawn_local(async move { serve_one(job, &pool, &follower, &keeper).await });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

async fn serve_one(mut job: Job, pool: &Pool, follower: &FollowerSlot, keeper: &KeeperSlot) {
    let committing = AtomicBool::new(false);
    let mut end = Err(StoreError::unavailable("postgres did not answer in time"));
    for _ in 0..=RETRIES {
        let attempt = attempt(&mut job, pool, follower, keeper, &committing);
        end = match tokio::time::timeout(DEADLINE, attempt).await {
            Ok(Err(Failure::Retry(error))) => {
                end = Err(error);
                continue;
            }
            Ok(Err(Failure::Final(error))) => Err(error),
            Ok(Ok(())) => Ok(()),
            Err(_) if committing.load(Ordering::SeqCst) => Err(StoreError::UnknownOutcome),
            Err(_) => Err(StoreError::unavailable("postgres did not answer in time")),
        };
        break;
    }
    job.work.answer(end);
}

async fn attempt(
    job: &mut Job,
    pool: &Pool,
    follower: &FollowerSlot,
    keeper: &KeeperSlot,
    committing: &AtomicBool,
) -> Result<(), Failure> {
    let borrowed = pool.get().await.map_err(|error| {
        Failure::Final(match connect::refused(&error, "the store's url") {
            // What kept a server from starting keeps it from working now.
            StoreError::Setup(why) => StoreError::Unavailable { why },
            other => other,
        })
    })?;
    let mut guard = ScopeGuard { connection: Some(borrowed), finished: false };
    let Some(connection) = guard.connection.as_ref() else {
        return Err(Failure::Final(StoreError::unavailable("no connection to postgres")));
    };
    let mut tx = Tx::new(
        job.bound,
        job.clock.clone(),
        Engine::Postgres(Transaction::new(connection, job.bound, job.mode, &job.clock)),
    );
    let outcome = job.work.attempt(&mut tx).await;
    let mut verdict = tx.verdict(outcome);
    if verdict.is_ok() {
        verdict = tx.may_grant().await;
    }
    let mut withdrawal = None;
    if let (Ok(()), Some(Keeper { journal, store })) = (&verdict, keeper.get())
        && !tx.withdrawn.is_empty()
    {
        let steps = std::mem::take(&mut tx.withdrawn);
        let tenant = match job.bound {
            Bound::Tenant(tenant) => Some(tenant),
            Bound::System(_) => None,
        };
        match withdrawn::name(&mut tx, journal, store, tenant, steps).await {
            Ok(record) => withdrawal = Some((Arc::clone(journal), record)),
            Err(error) => verdict = Err(error),
        }
    }
    let is_discarded = tx.is_discarded;
    let Engine::Postgres(transaction) = &mut tx.engine else {
        return Err(Failure::Final(StoreError::unavailable("the engines were mixed up")));
    };
    if let Err(error) = verdict {
        let retry = transaction.could_not_be_ordered();
        let leads_astray = transaction.is_read_only();
        let finished = transaction.roll_back().await.is_ok();
        guard.finished = finished && !is_discarded && !leads_astray;
        return Err(if retry { Failure::Retry(error) } else { Failure::Final(error) });
    }
    let mut told = Told::nobody();
    if job.mode == Mode::Read {
        // What was read is read: nobody waits for the end of the transaction.
        job.work.answer(Ok(()));
    } else {
        if let Some(follower) = follower.get() {
            let changes = transaction.own_changes().await.map_err(Failure::Final)?;
            told = Told::of(follower.as_ref(), changes);
        }
        committing.store(true, Ordering::SeqCst);
    }
    match transaction.commit().await {
        Ok(()) => {
            told.committed();
            guard.finished = !is_discarded;
            drop(guard);
            let Some((journal, record)) = withdrawal else { return Ok(()) };
            // Nobody else's unit waits for this disk.
            let kept = tokio::task::spawn_blocking(move || journal.keep(&record)).await;
            kept.unwrap_or(Err(StoreError::UnknownOutcome)).map_err(Failure::Final)
        }
        Err(_) if job.mode == Mode::Read => Ok(()),
        Err(error) => {
            committing.store(false, Ordering::SeqCst);
            Err(errors::of_commit(&error))
        }
    }
}

/// A follower that was told of changes, and is told that they did not happen unless they did.
struct Told<'a> {
    follower: Option<&'a dyn Follower>,
    changes: Vec<Change>,
}

impl<'a> Told<'a> {
    fn nobody() -> Self {
        Self { follower: None, changes: Vec::new() }
    }

    fn of(follower: &'a dyn Follower, changes: Vec<Change>) -> Self {
        follower.about_to_commit(&changes);
        Self { follower: Some(follower), changes }
    }

    fn committed(mut self) {
        if let Some(follower) = self.follower.take() {
            follower.committed(&self.changes);
        }
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if let Some(follower) = self.follower {
            follower.not_committed(&self.changes);
        }
    }
}

/// A connection on loan. One whose transaction was not ended never goes back into the pool, where the next
/// borrower would find itself in another tenant's transaction.
struct ScopeGuard {
    connection: Option<Object>,
    finished: bool,
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        if !self.finished
            && let Some(connection) = self.connection.take()
        {
            drop(Object::take(connection));
        }
    }
}

/// Runs `work` on a runtime of its own, so that the caller's need not be tokio's.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let (reply, answer) = oneshot::channel();
    let body = move || {
        let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(work),
            Err(error) => Err(StoreError::Setup(format!("cannot start a runtime: {}", error.kind()))),
        };
        let _ = reply.send(outcome);
    };
    std::thread::Builder::new()
        .name("claviger-prepare".to_owned())
        .spawn(body)
        .map_err(|error| StoreError::Setup(format!("cannot start a thread: {}", error.kind())))?;
    answer.await.unwrap_or_else(|_| Err(StoreError::unavailable("the store's runtime ended")))
}
