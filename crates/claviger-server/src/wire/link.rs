//! What is known of one client connection while it lives: how far its current
//! request is, since when, and whether it may go on.
//!
//! A core walks over its links at every beat (see [`Beat`]) and ends those
//! whose time is up or whose request is no longer allowed. A request therefore
//! costs no timer: it stores a number when it starts and when it ends.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::admission::Seat;
use super::counters::Counters;
use super::ending::Ended;
use super::listen::Limits;
use super::lock::lock;

/// Asked while a request, a response or a tunnel is under way.
pub trait StillAllowed: Send + Sync {
    /// Whether it may go on. Asked at least every 500 ms, on the core's own
    /// thread: it must answer from memory.
    fn still_allowed(self: Arc<Self>) -> bool;
}

/// Ends the exchange it belongs to when its permission is withdrawn.
///
/// It covers the whole exchange: the upload, the wait for an answer, the answer
/// itself and, if the client does not read it, that too.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Link>);

impl Watch {
    /// From now to the end of this exchange, `allowed` is asked at least every
    /// 500 ms. Within 1 s of its first no, the connection is reset, so that the
    /// client sees that the answer is not complete (decision 23).
    pub fn set(&self, allowed: Arc<dyn StillAllowed>) {
        *lock(&self.0.watched) = Some(allowed);
        self.0.is_watched.store(true, Ordering::Relaxed);
    }

    /// How an exchange ends that is given up now: for a reason of ours, or
    /// because its client has gone.
    #[must_use]
    pub fn how_it_ends(&self) -> Ended {
        match self.0.ended() {
            None => Ended::ClientGone,
            Some(End::Withdrawn) => Ended::Withdrawn,
            Some(End::Overdue) => Ended::ClientStalled,
            Some(End::Stopped) => Ended::Stopped,
        }
    }
}

/// Why a link was ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The permission of its exchange was withdrawn.
    Withdrawn,
    /// The client was silent, too slow with a head, or did not read.
    Overdue,
    /// The server stops and the time to finish is over.
    Stopped,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Before the end of a TLS handshake, which has its own limit.
    Opening,
    /// No request head was complete so far.
    First,
    /// Between two requests, without a byte of the next.
    Idle,
    /// Some bytes of a head have come.
    Head,
    /// A request is being served.
    Exchange,
    /// The connection has become a tunnel.
    Tunnel,
}

const PHASES: [Phase; 6] =
    [Phase::Opening, Phase::First, Phase::Idle, Phase::Head, Phase::Exchange, Phase::Tunnel];
const ENDS: [Option<End>; 4] = [None, Some(End::Withdrawn), Some(End::Overdue), Some(End::Stopped)];
/// Memory kept for the next head of a connection, in bytes.
const HEAD_KEPT: usize = 2048;
const NOT_BLOCKED: u64 = u64::MAX;

/// The time of a core, in milliseconds since it started, as of its last beat.
///
/// It counts beats rather than reading a clock: a core that was held up for a
/// while must not end connections for time in which it did not listen to them.
#[derive(Debug)]
pub(super) struct Beat {
    now: AtomicU64,
    /// Time between two beats.
    pub(super) period: Duration,
}

impl Beat {
    pub(super) fn new(limits: &Limits) -> Self {
        let shortest = [limits.first_request, limits.head, limits.idle, limits.write_stall]
            .into_iter()
            .min()
            .unwrap_or(Duration::MAX);
        let period = (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(250));
        Self { now: AtomicU64::new(0), period }
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// One period has passed. Gives the new time.
    pub(super) fn strike(&self) -> u64 {
        self.now.fetch_add(millis(self.period), Ordering::Relaxed) + millis(self.period)
    }

    /// Whether more than `limit` has passed since `since`, whichever part of a
    /// beat either was in.
    fn is_over(&self, since: u64, limit: Duration) -> bool {
        self.now().saturating_sub(since) > millis(limit).saturating_add(millis(self.period))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The state of one connection. See the module.
pub(super) struct Link {
    beat: Arc<Beat>,
    counters: Arc<Counters>,
    _seat: Seat,
    phase: AtomicU8,
    since: AtomicU64,
    blocked_since: AtomicU64,
    end: AtomicU8,
    draining: AtomicBool,
    must_reset: AtomicBool,
    /// Whether a request began whose answer has not been written.
    owes_an_answer: AtomicBool,
    is_watched: AtomicBool,
    watched: Mutex<Option<Arc<dyn StillAllowed>>>,
    waker: Mutex<Option<Waker>>,
    /// The bytes of the head being read, for what hyper does not show.
    head: Mutex<Vec<u8>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Link").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(beat: Arc<Beat>, counters: Arc<Counters>, seat: Seat) -> Arc<Self> {
        let since = AtomicU64::new(beat.now());
        Arc::new(Self {
            beat,
            counters,
            _seat: seat,
            phase: AtomicU8::new(Phase::Opening as u8),
            since,
            blocked_since: AtomicU64::new(NOT_BLOCKED),
            end: AtomicU8::new(0),
            draining: AtomicBool::new(false),
            must_reset: AtomicBool::new(false),
            owes_an_answer: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            watched: Mutex::new(None),
            waker: Mutex::new(None),
            head: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        Watch(self.clone())
    }

    fn phase(&self) -> Phase {
        let phase = usize::from(self.phase.load(Ordering::Relaxed));
        PHASES.get(phase).copied().unwrap_or(Phase::Exchange)
    }

    fn enter(&self, phase: Phase) {
        self.since.store(self.beat.now(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// From here on requests can come.
    pub(super) fn opened(&self) {
        self.enter(Phase::First);
    }

    /// Bytes came from the client. Outside a request they are part of a head,
    /// of which at most `keep` bytes are remembered.
    pub(super) fn received(&self, bytes: &[u8], keep: usize) {
        match self.phase() {
            Phase::Idle => self.enter(Phase::Head),
            Phase::First | Phase::Head => {}
            Phase::Opening | Phase::Exchange | Phase::Tunnel => return,
        }
        let mut head = lock(&self.head);
        let room = keep.saturating_sub(head.len()).min(bytes.len());
        head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// A request head is complete.
    pub(super) fn request_began(&self) {
        self.owes_an_answer.store(true, Ordering::Relaxed);
        self.phase.store(Phase::Exchange as u8, Ordering::Relaxed);
    }

    /// Everything that there was to write has been written.
    pub(super) fn answer_written(&self) {
        // While the answer is being made, there may be more of it.
        if self.phase() != Phase::Exchange {
            self.owes_an_answer.store(false, Ordering::Relaxed);
        }
    }

    /// Whether what is written may be a request's answer.
    pub(super) fn owes_an_answer(&self) -> bool {
        self.owes_an_answer.load(Ordering::Relaxed)
    }

    /// Gives the remembered head to `look` and forgets it.
    pub(super) fn take_head<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        let mut head = lock(&self.head);
        let seen = look(&head);
        head.clear();
        // A large head must not be paid for as long as the connection lives.
        head.shrink_to(HEAD_KEPT);
        seen
    }

    /// The response has been made to its end, or given up.
    pub(super) fn request_ended(&self) {
        if self.phase() != Phase::Exchange {
            return;
        }
        self.enter(Phase::Idle);
        if self.is_watched.swap(false, Ordering::Relaxed) {
            *lock(&self.watched) = None;
        }
    }

    /// The connection becomes a tunnel; who watches it goes on watching.
    pub(super) fn tunnel_began(&self) {
        self.enter(Phase::Tunnel);
    }

    /// Bytes wait for the client to take them.
    pub(super) fn write_blocked(&self) {
        if self.blocked_since.load(Ordering::Relaxed) == NOT_BLOCKED {
            self.blocked_since.store(self.beat.now(), Ordering::Relaxed);
        }
    }

    /// The client took bytes.
    pub(super) fn write_moved(&self) {
        if self.blocked_since.load(Ordering::Relaxed) != NOT_BLOCKED {
            self.blocked_since.store(NOT_BLOCKED, Ordering::Relaxed);
        }
    }

    /// From here on, only a reset tells the client that the answer is not complete.
    pub(super) fn reset_on_close(&self) {
        self.must_reset.store(true, Ordering::Relaxed);
    }

    pub(super) fn must_reset(&self) -> bool {
        self.must_reset.load(Ordering::Relaxed) || self.ended() == Some(End::Withdrawn)
    }

    pub(super) fn ended(&self) -> Option<End> {
        ENDS.get(usize::from(self.end.load(Ordering::Relaxed))).copied().flatten()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Remembers whom to wake when the link is ended or drained.
    pub(super) fn wake_with(&self, waker: &Waker) {
        *lock(&self.waker) = Some(waker.clone());
    }

    /// Ready once the link was ended by us.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<End> {
        self.wake_with(context.waker());
        self.ended().map_or(Poll::Pending, Poll::Ready)
    }

    pub(super) fn end(&self, end: End) {
        let code = ENDS.iter().position(|known| *known == Some(end)).unwrap_or_default();
        self.end.store(u8::try_from(code).unwrap_or_default(), Ordering::Relaxed);
        self.wake();
    }

    /// No further request is taken on this connection.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = lock(&self.waker).as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Ends the link if its time is up or its exchange is no longer allowed.
    pub(super) fn inspect(&self, limits: &Limits) {
        if self.ended().is_some() {
            return;
        }
        if self.is_watched.load(Ordering::Relaxed) {
            let allowed = lock(&self.watched).clone();
            if allowed.is_some_and(|allowed| !allowed.still_allowed()) {
                self.counters.withdrawn.add();
                return self.end(End::Withdrawn);
            }
        }
        let since = self.since.load(Ordering::Relaxed);
        let blocked = self.blocked_since.load(Ordering::Relaxed);
        let overdue = match self.phase() {
            Phase::First => self.beat.is_over(since, limits.first_request),
            Phase::Idle => self.beat.is_over(since, limits.idle),
            Phase::Head => self.beat.is_over(since, limits.head),
            Phase::Opening | Phase::Exchange | Phase::Tunnel => false,
        };
        if overdue {
            self.counters.overdue.add();
            return self.end(End::Overdue);
        }
        if blocked != NOT_BLOCKED && self.beat.is_over(blocked, limits.write_stall) {
            self.counters.stalled.add();
            self.reset_on_close();
            self.end(End::Overdue);
        }
    }
}

/// The links of one core.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<Vec<Weak<Link>>>);

impl Links {
    pub(super) fn add(&self, link: &Arc<Link>) {
        lock(&self.0).push(Arc::downgrade(link));
    }

    /// Calls `visit` for every link that lives, and forgets the others. Gives
    /// the number of those that live.
    pub(super) fn each(&self, visit: impl Fn(&Link)) -> usize {
        let mut links = lock(&self.0);
        links.retain(|link| link.upgrade().inspect(|link| visit(link)).is_some());
        links.len()
    }
}
