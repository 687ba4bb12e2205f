//! Follows the store's changes.
//!
//! One task polls. A poll counts from the moment it was *sent*: what it told is true of that moment, however
//! long the answer took. Whoever finds the memory stale waits here for the next poll to end, together with
//! everybody else; there is never more than one under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use claviger::clock::Clock;
use claviger::directory::DirectoryError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::deadline::{at, by_deadline};
use super::known::Known;
use super::loader::stopped;
use super::seats::{Seat, Seats};
use crate::feed::source::{Cursor, Forget, Source};

/// Reading all revoked tokens may take longer than a poll.
const TOKENS_DEADLINE: Duration = Duration::from_secs(30);
/// The shortest time from one poll to the next when somebody waits for it.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// Where those wait who found the memory stale.
#[derive(Debug, Clone)]
pub(super) struct WaitingRoom {
    waiters: mpsc::UnboundedSender<Waiter>,
    seats: Seats,
}

#[derive(Debug)]
pub(super) struct Waiter {
    reply: oneshot::Sender<Result<(), DirectoryError>>,
    _seat: Seat,
}

impl WaitingRoom {
    /// A room for `most`, and what a [`Feed`] calls them from.
    pub(super) fn new(most: usize) -> (Self, mpsc::UnboundedReceiver<Waiter>) {
        let (waiters, called) = mpsc::unbounded_channel();
        (Self { waiters, seats: Seats::new(most) }, called)
    }

    /// Waits until the memory is fresh again.
    ///
    /// # Errors
    /// If the store did not answer in time, or too many wait.
    pub(super) fn wait(&self) -> impl Future<Output = Result<(), DirectoryError>> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        let entered = match self.seats.take() {
            Some(seat) => self.waiters.send(Waiter { reply, _seat: seat }).map_err(|_| stopped()),
            None => Err(DirectoryError::Overloaded),
        };
        async move {
            entered?;
            answer.await.map_err(|_| stopped())?
        }
    }
}

/// The task that polls.
pub(super) struct Feed {
    known: Arc<Known>,
    source: Arc<dyn Source>,
    arriving: mpsc::UnboundedReceiver<Waiter>,
    waiting: VecDeque<(Instant, Waiter)>,
    ready: watch::Sender<bool>,
    state: State,
    /// What it said when it last failed, if that was last.
    fails: Option<String>,
}

/// How far the feed has been followed. Moves into a round and comes back out of it.
#[derive(Debug, Clone, Default)]
struct State {
    cursor: Option<Cursor>,
    /// Whether all revoked tokens have been read since everything was last forgotten.
    has_tokens: bool,
}

impl Feed {
    /// A feed that calls `ready` when the memory may be used.
    pub(super) fn new(
        known: Arc<Known>,
        source: Arc<dyn Source>,
        arriving: mpsc::UnboundedReceiver<Waiter>,
        ready: watch::Sender<bool>,
    ) -> Self {
        Self {
            known,
            source,
            arriving,
            waiting: VecDeque::new(),
            ready,
            state: State::default(),
            fails: None,
        }
    }

    /// Follows until the memory is gone.
    pub(super) async fn run(mut self) {
        loop {
            let begun = Instant::now();
            if !self.round_with_waiters().await || !self.pause(begun).await {
                return;
            }
        }
    }

    /// Polls once, while those who arrive join those who wait. `false` if nobody can arrive any more.
    async fn round_with_waiters(&mut self) -> bool {
        let round = round(Arc::clone(&self.known), Arc::clone(&self.source), self.state.clone());
        tokio::pin!(round);
        loop {
            let overdue = self.waiting.front().map(|(deadline, _)| *deadline);
            tokio::select! {
                (state, outcome) = &mut round => {
                    self.state = state;
                    self.end_round(&outcome);
                    return true;
                }
                waiter = self.arriving.recv() => match waiter {
                    Some(waiter) => self.admit(waiter),
                    None => return false,
                },
                () = at(overdue) => self.dismiss_overdue(),
            }
        }
    }

    /// Waits for the time of the next poll. `false` if nobody can arrive any more.
    async fn pause(&mut self, begun: Instant) -> bool {
        loop {
            let settles = self.known.follows_by_itself() && self.state.has_tokens;
            let next = match (settles, self.waiting.is_empty()) {
                (true, true) => None,
                (false, true) => Some(begun + self.known.settings.poll_every),
                (_, false) => Some(begun + SHORTEST_PAUSE.min(self.known.settings.poll_every)),
            };
            tokio::select! {
                waiter = self.arriving.recv() => match waiter {
                    Some(waiter) => self.admit(waiter),
                    None => return false,
                },
                () = at(next) => return true,
            }
        }
    }

    fn admit(&mut self, waiter: Waiter) {
        self.waiting.push_back((Instant::now() + self.known.settings.shared_poll_deadline, waiter));
    }

    fn dismiss_overdue(&mut self) {
        let now = Instant::now();
        while self.waiting.front().is_some_and(|(deadline, _)| *deadline <= now) {
            if let Some((_, waiter)) = self.waiting.pop_front() {
                let error = "the change feed did not answer in time";
                let _gone = waiter.reply.send(Err(DirectoryError::Unavailable(error.to_owned())));
            }
        }
    }

    fn end_round(&mut self, outcome: &Result<(), DirectoryError>) {
        match outcome {
            Ok(()) => {
                if self.fails.take().is_some() {
                    tracing::info!("the change feed answers again");
                }
                self.ready.send_replace(true);
                // An answer that took too long is good and yet too old: those who wait go on waiting.
                if !self.known.pulse.is_fresh(self.known.boot()) {
                    return;
                }
            }
            Err(error) => {
                self.known.counts.poll_failures.add(1);
                let why = error.to_string();
                if self.fails.as_ref() != Some(&why) {
                    tracing::warn!(error = %why, "the change feed does not answer");
                }
                self.fails = Some(why);
            }
        }
        for (_, waiter) in self.waiting.drain(..) {
            let _gone = waiter.reply.send(outcome.clone());
        }
    }
}

/// Asks for what is missing: the revoked tokens first, then the changes since the last time.
async fn round(
    known: Arc<Known>,
    source: Arc<dyn Source>,
    mut state: State,
) -> (State, Result<(), DirectoryError>) {
    let outcome = try_round(&known, &source, &mut state).await;
    match &outcome {
        Err(DirectoryError::Distrusted(why)) => known.distrust(Some(why.clone())),
        Ok(()) => known.distrust(None),
        Err(_) => {}
    }
    (state, outcome)
}

async fn try_round(known: &Known, source: &Arc<dyn Source>, state: &mut State) -> Result<(), DirectoryError> {
    if !state.has_tokens {
        read_tokens(known, source, state).await?;
    }
    if known.follows_by_itself() {
        known.pulse.follow_by_itself();
        if known.follows_by_itself() {
            return Ok(());
        }
        // It was told so just now.
        known.pulse.doubt();
    }
    let Some(cursor) = state.cursor.clone() else {
        return Err(DirectoryError::Unavailable("the store gave no cursor to follow from".to_owned()));
    };
    let sent = known.boot();
    let deadline = Instant::now() + known.settings.poll_deadline;
    let asked = Arc::clone(source);
    let poll = by_deadline(deadline, move || asked.poll(cursor)).await?;
    if poll.forget != Forget::Nothing {
        tracing::warn!(why = ?poll.forget, "changes may have been missed: everything remembered is forgotten");
        known.pulse.doubt();
        known.forget(poll.forget);
        state.has_tokens = false;
    }
    known.note_outdated(poll.is_outdated);
    if let Some(lacking) = poll.lacking_peppers {
        known.note_lacking(lacking);
    }
    known.changed(&poll.changes);
    state.cursor = Some(poll.cursor.clone());
    known.clock.store.read(poll.store_now, sent, known.clock.boot());
    if !state.has_tokens {
        read_tokens(known, source, state).await?;
    }
    known.pulse.polled(sent);
    if poll.is_waited_for {
        let asked = Arc::clone(source);
        // Whoever waits asks again; the next poll does not wait for this.
        tokio::spawn(async move {
            if let Err(error) = asked.acknowledge(poll.cursor).await {
                tracing::warn!(%error, "what was applied could not be acknowledged");
            }
        });
    }
    Ok(())
}

/// Reads every revoked token. The cursor of an earlier moment, if there is one, is kept: it tells of more.
async fn read_tokens(
    known: &Known,
    source: &Arc<dyn Source>,
    state: &mut State,
) -> Result<(), DirectoryError> {
    let deadline = Instant::now() + TOKENS_DEADLINE;
    let asked = Arc::clone(source);
    let (tokens, cursor) = by_deadline(deadline, move || asked.revoked_tokens()).await?;
    for token in &tokens {
        known.hold_revoked(token)?;
    }
    state.cursor.get_or_insert(cursor);
    state.has_tokens = true;
    Ok(())
}
