//! Ends what stays open when its credential, session or tenant is withdrawn (decision 23).

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use claviger::directory::Freshness;
use claviger::route::Need;
use claviger::{Api, Door, Permit};

use crate::wire::StillAllowed;

/// How often the whole question is asked of an open stream even if nothing seems to have changed, in
/// milliseconds: expiry is no change.
const AT_LEAST_EVERY_MILLIS: u64 = 1000;

/// What a stream was let in on.
pub(super) struct Standing {
    door: Arc<Door>,
    api: Arc<Api>,
    client: IpAddr,
    permit: Arc<Permit>,
    need: Arc<Need>,
    /// Made when the question is first asked: most requests are over before.
    answer: OnceLock<Arc<AnswerToCome>>,
    seen_version: AtomicU64,
    asked_at: AtomicU64,
}

/// What the asking has found so far.
#[derive(Debug, Default)]
struct AnswerToCome {
    lost: AtomicBool,
    asking: AtomicBool,
}

/// A question under way.
struct Asked(Arc<AnswerToCome>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asking.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Standing({:?})", self.answer.get())
    }
}

impl Standing {
    pub(super) fn new(
        door: Arc<Door>,
        api: Arc<Api>,
        client: IpAddr,
        permit: Arc<Permit>,
        need: Arc<Need>,
        directory_version: u64,
    ) -> Self {
        let seen_version = AtomicU64::new(directory_version);
        let asked_at = AtomicU64::new(door.clock().boot().0);
        Self { door, api, client, permit, need, answer: OnceLock::new(), seen_version, asked_at }
    }
}

impl StillAllowed for Standing {
    /// Answers from memory at once; where something has changed, the question goes through the same checks as the
    /// request did, and its answer is there at the next beat.
    fn still_allowed(&self) -> bool {
        let now = self.door.clock().boot();
        let version = self.door.directory().version();
        let unchanged = self.seen_version.load(Ordering::Relaxed) == version
            && now.0.saturating_sub(self.asked_at.load(Ordering::Relaxed)) < AT_LEAST_EVERY_MILLIS
            && matches!(self.door.directory().freshness(now), Freshness::Fresh);
        let answer = match (unchanged, self.answer.get()) {
            (true, None) => return true,
            _ => self.answer.get_or_init(Arc::default),
        };
        if !unchanged && !answer.asking.swap(true, Ordering::AcqRel) {
            self.seen_version.store(version, Ordering::Relaxed);
            self.asked_at.store(now.0, Ordering::Relaxed);
            let (door, api, client) = (self.door.clone(), self.api.clone(), self.client);
            let (permit, need, answer) = (self.permit.clone(), self.need.clone(), answer.clone());
            tokio::spawn(async move {
                // However it ends, the question can be asked again.
                let _asked = Asked(answer.clone());
                // A directory that cannot say ends the stream too: nothing stays open on faith.
                if door.still_stands(&api, client, permit.principal(), &need).await.is_err() {
                    answer.lost.store(true, Ordering::Release);
                }
            });
        }
        !answer.lost.load(Ordering::Acquire)
    }
}
