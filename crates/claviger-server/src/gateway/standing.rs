//! Ends what stays open when its credential, session or tenant is withdrawn (decision 23).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use claviger::refusal::Refusal;
use claviger::{Door, Permit, PublicPermit};
use http::{Method, Uri};

use crate::wire::StillAllowed;

/// How often the whole question is asked of an open exchange even if nothing seems to have changed, in
/// milliseconds: expiry is no change.
const AT_LEAST_EVERY_MILLIS: u64 = 1000;

/// What an exchange was let in on, and whether it still would be.
pub(super) struct Standing {
    door: Arc<Door>,
    permit: Permit,
    method: Method,
    uri: Uri,
    lost: AtomicBool,
    asking: AtomicBool,
    /// When the whole question was last asked, or first came up, by the boot clock; 0 before that.
    asked_at: AtomicU64,
}

/// A question under way.
struct Asked(Arc<Standing>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asking.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Standing({:?})", self.permit.principal().credential_id())
    }
}

impl Standing {
    /// Of a request for this.
    pub(super) fn new(door: Arc<Door>, permit: Permit, (method, uri): (&Method, &Uri)) -> Self {
        let (lost, asking) = (AtomicBool::new(false), AtomicBool::new(false));
        let (method, uri) = (method.clone(), uri.clone());
        Self { door, permit, method, uri, lost, asking, asked_at: AtomicU64::new(0) }
    }

    pub(super) fn permit(&self) -> &Permit {
        &self.permit
    }
}

impl Standing {
    async fn still_stands(&self) -> Result<(), Refusal> {
        self.door.still_stands_for(&self.permit, &self.method, &self.uri).await
    }
}

/// What an exchange was let in on that asked for nobody. Only changed settings can withdraw it.
pub(super) struct PublicStanding {
    door: Arc<Door>,
    permit: PublicPermit,
    method: Method,
    uri: Uri,
}

impl fmt::Debug for PublicStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicStanding")
    }
}

impl PublicStanding {
    /// Of a request for this.
    pub(super) fn new(door: Arc<Door>, permit: PublicPermit, (method, uri): (&Method, &Uri)) -> Self {
        Self { door, permit, method: method.clone(), uri: uri.clone() }
    }

    pub(super) fn permit(&self) -> &PublicPermit {
        &self.permit
    }
}

impl StillAllowed for PublicStanding {
    fn still_allowed(self: Arc<Self>) -> bool {
        self.door.is_still_public(&self.permit, &self.method, &self.uri)
    }
}

impl StillAllowed for Standing {
    /// Answers from memory at once; where something has changed, the question goes through the same checks as the
    /// request did, and its answer is there at the next beat.
    fn still_allowed(self: Arc<Self>) -> bool {
        let now = self.door.clock().boot();
        let asked_at = match self.asked_at.load(Ordering::Relaxed) {
            // Most requests are over before anybody wants to know; the others were let in less than a beat ago.
            0 => {
                self.asked_at.store(now.0, Ordering::Relaxed);
                now.0
            }
            asked_at => asked_at,
        };
        let is_due = now.0.saturating_sub(asked_at) >= AT_LEAST_EVERY_MILLIS;
        if (is_due || !self.door.is_unchanged(&self.permit)) && !self.asking.swap(true, Ordering::AcqRel) {
            self.asked_at.store(now.0, Ordering::Relaxed);
            // However it ends, the question can be asked again.
            let asked = Asked(self.clone());
            tokio::spawn(async move {
                let Asked(standing) = &asked;
                // A directory that cannot say ends the exchange too: nothing stays open on faith.
                if standing.still_stands().await.is_err() {
                    standing.lost.store(true, Ordering::Release);
                }
            });
        }
        !self.lost.load(Ordering::Acquire)
    }
}
