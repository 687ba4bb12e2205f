//! The directory's memory: what a node knows of the store, and how it keeps it true.
//!
//! [`Memory`] answers a decision's questions from shelves that are read without a lock. What is not there is
//! read from the store, once for all who ask at the same time. What changes is taken off the shelves: by the
//! store's [`Follower`] calls before and after each COMMIT of this node, and by the feed for all others.
//!
//! What must stay true:
//! * what is older than a change that was heard, or than a commit of this node under way, is neither answered
//!   nor put on a shelf (`ring.rs`);
//! * nothing remembered is believed once the feed has been silent for `max_staleness` (`feed.rs`);
//! * a read that failed says nothing about what was read, and is not remembered (`loader.rs`);
//! * what somebody else can choose, such as made-up keys, takes up bounded room and pushes out no record
//!   (`absences.rs`, `share.rs`).

mod absences;
mod deadline;
mod feed;
mod figures;
mod janitor;
mod known;
mod loader;
#[cfg(test)]
mod model;
mod pulse;
mod revoked;
mod ring;
mod seats;
mod settings;
mod share;
mod shelf;
mod shelves;
mod store_time;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use claviger::clock::{BootMillis, Clock, MAX_OFFSET_MILLIS};
use claviger::directory::{self, Directory, DirectoryError, Freshness, Reply, Version};
use claviger::id::{TenantId, TokenId};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use figures::MemoryFigures;
pub use settings::MemorySettings;
pub use store_time::StoreClock;

use feed::{Feed, WaitingRoom};
use known::Known;
use loader::{Desk, Loader, stopped};

use crate::feed::follower::Follower;
use crate::feed::source::Source;
use crate::subject::{Change, Subject};

/// What a node remembers of its store. Dropping it ends its work in the background.
#[derive(Debug)]
pub struct Memory {
    known: Arc<Known>,
    desk: Desk,
    waiting_room: WaitingRoom,
    ready: watch::Receiver<bool>,
    tasks: [AbortHandle; 3],
}

/// Why the memory must not be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The revoked tokens have not been read, or the feed has not answered for the first time.
    #[error("the directory has not been read yet")]
    Loading,
    /// The feed has been silent for too long.
    #[error("the change feed has been silent for too long")]
    Stale,
    /// The store answers, and is not to be believed until somebody has looked at it.
    #[error("{0}")]
    Distrusted(String),
    /// The feed has told of something that this program must understand and does not: it is older than the others.
    #[error("this program is too old for the store: the change feed tells of what it does not understand")]
    Outdated,
    /// The node's time of day is too far from the store's. Milliseconds; positive if the node is behind.
    #[error("the clock differs from the store's by {0} ms")]
    ClockOff(i64),
}

impl Memory {
    /// Begins to remember what `source` holds. Polls, reads and clearing up run on `runtime`, which needs its
    /// timer; look-ups may come from any thread, whether it belongs to a runtime or not. `clock` is the
    /// node's own: boot clock and time of day.
    pub fn start(
        source: Arc<dyn Source>,
        clock: Arc<dyn Clock>,
        settings: MemorySettings,
        runtime: &Handle,
    ) -> Self {
        let known = Arc::new(Known::new(clock, settings));
        let (desk, asks) = Desk::new(known.settings.max_asks);
        let (waiting_room, arriving) = WaitingRoom::new(known.settings.max_asks);
        let (loaded, ready) = watch::channel(false);
        let loader = Loader::new(Arc::clone(&known), Arc::clone(&source), asks);
        let feed = Feed::new(Arc::clone(&known), source, arriving, loaded);
        let tasks = [
            runtime.spawn(loader.run()).abort_handle(),
            runtime.spawn(feed.run()).abort_handle(),
            runtime.spawn(janitor::run(Arc::clone(&known), desk.clone())).abort_handle(),
        ];
        Self { known, desk, waiting_room, ready, tasks }
    }

    /// Waits until the revoked tokens are held in full and the feed has been heard of.
    ///
    /// # Errors
    /// If the background work has ended.
    pub async fn ready(&self) -> Result<(), DirectoryError> {
        let mut ready = self.ready.clone();
        ready.wait_for(|ready| *ready).await.map(|_| ()).map_err(|_| stopped())
    }

    /// Follows the feed from now on, where it followed by itself: another process is about to write to the store. Returns when
    /// the feed has been heard.
    ///
    /// # Errors
    /// If the store does not answer; nothing remembered is believed until it does.
    pub async fn follow_others(&self) -> Result<(), DirectoryError> {
        self.known.others_write();
        self.waiting_room.wait().await
    }

    /// Whether the memory may be relied on now.
    ///
    /// # Errors
    /// If it may not, why.
    pub fn readiness(&self) -> Result<(), NotReady> {
        if !*self.ready.borrow() {
            return Err(NotReady::Loading);
        }
        if !self.known.pulse.is_fresh(self.known.boot()) {
            if let Some(why) = self.known.distrusted() {
                return Err(NotReady::Distrusted(why));
            }
            return Err(NotReady::Stale);
        }
        if self.known.is_outdated.load(Ordering::Relaxed) {
            return Err(NotReady::Outdated);
        }
        match self.store_time_offset_millis() {
            Some(offset) if offset.unsigned_abs() > MAX_OFFSET_MILLIS => Err(NotReady::ClockOff(offset)),
            _ => Ok(()),
        }
    }

    /// How far this node's time of day is behind the store's, in milliseconds; `None` before the first poll,
    /// and where there is nothing to poll.
    pub fn store_time_offset_millis(&self) -> Option<i64> {
        self.known.store_time_offset_millis()
    }

    /// The clock that expiry and grace are measured by: its time of day is the store's.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.known.clock) as Arc<dyn Clock>
    }

    /// What was counted, and how much there is.
    pub fn figures(&self) -> MemoryFigures {
        self.known.figures()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Directory for Memory {
    fn freshness(&self, now: BootMillis) -> Freshness {
        self.known.pulse.tell_time(now);
        if self.known.pulse.is_fresh(now) {
            return Freshness::Fresh;
        }
        let wait: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(self.waiting_room.wait());
        Freshness::Stale(wait)
    }

    fn lacks_pepper(&self, name: &str) -> bool {
        self.known.lacks_pepper(name)
    }

    fn version(&self) -> u64 {
        self.known.pulse.version()
    }

    fn version_of(&self, subject: directory::Subject<'_>) -> Option<Version> {
        self.known.version_of(subject)
    }

    /// Answers from a shelf, from the absences, or by asking. Nothing is asked before somebody waits for the answer.
    fn look_up(&self, subject: directory::Subject<'_>) -> Reply {
        let (counts, beat) = (&self.known.counts, self.known.pulse.beat());
        if let Some((version, record)) = self.known.shelves.get(subject, beat) {
            counts.hits.count();
            return Reply::Known(version, record);
        }
        let subject = Subject::from(subject);
        if self.known.absences.contain(&subject, beat) {
            counts.hits.count();
            return Reply::Absent;
        }
        counts.misses.count();
        let (desk, known) = (self.desk.clone(), Arc::clone(&self.known));
        Reply::Ask(Box::pin(async move {
            let handed_in = desk.ask(subject);
            if matches!(handed_in, Err(DirectoryError::Overloaded)) {
                known.counts.refused.add(1);
            }
            handed_in?.await.map_err(|_| stopped())?
        }))
    }

    fn token_is_revoked(&self, tenant: TenantId, token: TokenId) -> bool {
        self.known.revoked.contain(tenant, token)
    }
}

impl Follower for Memory {
    fn about_to_commit(&self, changes: &[Change]) {
        self.known.about_to_commit(changes);
    }

    fn committed(&self, changes: &[Change]) {
        self.known.changed(changes);
    }

    fn not_committed(&self, changes: &[Change]) {
        self.known.not_committed(changes);
    }
}
