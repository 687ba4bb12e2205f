//! Reads from the store what is not in memory: each subject once for all who wait, many subjects in one read.
//!
//! One task, on the background runtime, knows who waits for what. What a read finds goes through
//! [`Known::admit`] before anybody gets to see it; what is older than a change is read again. Nothing is
//! remembered of a read that failed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use claviger::directory::DirectoryError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::deadline::{at, by_deadline};
use super::known::Known;
use super::ring::{Moment, Verdict};
use super::seats::{Seat, Seats};
use super::shelf::state;
use super::shelves::{Remembered, is_of};
use crate::feed::source::Source;
use crate::subject::{Loaded, Subject};

/// What a look-up comes to.
pub(super) type Reply = Result<Option<Remembered>, DirectoryError>;

/// How many look-ups are taken in before the next read is sent.
const TAKEN_AT_ONCE: usize = 4096;
/// The longest pause before something is read again, in milliseconds.
const LONGEST_PAUSE_MILLIS: u64 = 32;

/// Where look-ups are handed in.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    asks: mpsc::UnboundedSender<Ask>,
    seats: Seats,
}

/// A look-up handed in.
#[derive(Debug)]
pub(super) struct Ask {
    subject: Subject,
    waiter: Waiter,
}

#[derive(Debug)]
struct Waiter {
    reply: oneshot::Sender<Reply>,
    _seat: Seat,
}

impl Desk {
    /// A desk for `most` look-ups at a time, and what a [`Loader`] takes them from.
    pub(super) fn new(most: usize) -> (Self, mpsc::UnboundedReceiver<Ask>) {
        let (asks, taken) = mpsc::unbounded_channel();
        (Self { asks, seats: Seats::new(most) }, taken)
    }

    /// Hands in a look-up. Never waits.
    ///
    /// # Errors
    /// If too many are under way, or nobody is there to do them.
    pub(super) fn ask(&self, subject: Subject) -> Result<oneshot::Receiver<Reply>, DirectoryError> {
        let seat = self.seats.take().ok_or(DirectoryError::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        let ask = Ask { subject, waiter: Waiter { reply, _seat: seat } };
        self.asks.send(ask).map_err(|_| stopped())?;
        Ok(answer)
    }
}

/// The error of those who wait for somebody that has gone.
pub(super) fn stopped() -> DirectoryError {
    DirectoryError::Unavailable("the directory has been shut down".to_owned())
}

/// All that is known of one subject being looked up.
#[derive(Debug)]
struct Flight {
    /// Tells this look-up from an earlier one of the same subject that was given up.
    number: u64,
    waiters: Vec<Waiter>,
    tries: u32,
}

/// A look-up of a subject, to be found among the [`Flight`]s.
type Ticket = (u64, Subject);

/// A read that has come back.
#[derive(Debug)]
struct Landed {
    tickets: Vec<Ticket>,
    sent: Moment,
    outcome: Result<Vec<Loaded>, DirectoryError>,
}

/// The task that reads.
pub(super) struct Loader {
    known: Arc<Known>,
    source: Arc<dyn Source>,
    asks: mpsc::UnboundedReceiver<Ask>,
    flights: HashMap<Subject, Flight>,
    /// To be read with the next batch.
    queue: VecDeque<Ticket>,
    /// Since when the first of the queue waits.
    open_since: Instant,
    /// To be read again, at its time.
    pausing: BTreeMap<(Instant, u64), Subject>,
    /// When to give up, in the order of the look-ups' beginnings.
    deadlines: VecDeque<(Instant, Ticket)>,
    batches: JoinSet<Landed>,
    /// The number of the last flight.
    numbers: u64,
}

impl Loader {
    /// A loader for what comes in at the desk.
    pub(super) fn new(
        known: Arc<Known>,
        source: Arc<dyn Source>,
        asks: mpsc::UnboundedReceiver<Ask>,
    ) -> Self {
        Self {
            known,
            source,
            asks,
            flights: HashMap::new(),
            queue: VecDeque::new(),
            open_since: Instant::now(),
            pausing: BTreeMap::new(),
            deadlines: VecDeque::new(),
            batches: JoinSet::new(),
            numbers: 0,
        }
    }

    /// Works until the desk is gone.
    pub(super) async fn run(mut self) {
        let mut taken = Vec::new();
        loop {
            let next = self.next_time();
            tokio::select! {
                count = self.asks.recv_many(&mut taken, TAKEN_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    taken.drain(..).for_each(|ask| self.take_in(ask));
                }
                Some(landed) = self.batches.join_next() => {
                    // A task that broke off says nothing; who waits for it is given up at the deadline.
                    if let Ok(landed) = landed {
                        self.land(landed);
                    }
                }
                () = at(next) => {}
            }
            self.work_off(Instant::now());
        }
    }

    fn take_in(&mut self, ask: Ask) {
        let Ask { subject, waiter } = ask;
        // It may have come in since the look-up was handed in.
        if let Some(known) = self.known.peek(&subject) {
            waiter.answer(Ok(known));
            return;
        }
        match self.flights.entry(subject) {
            Entry::Occupied(mut flight) => flight.get_mut().waiters.push(waiter),
            Entry::Vacant(place) => {
                self.numbers += 1;
                let ticket = (self.numbers, place.key().clone());
                place.insert(Flight { number: self.numbers, waiters: vec![waiter], tries: 0 });
                let deadline = Instant::now() + self.known.settings.ask_deadline;
                self.deadlines.push_back((deadline, ticket.clone()));
                self.enqueue(ticket);
            }
        }
    }

    fn enqueue(&mut self, ticket: Ticket) {
        if self.queue.is_empty() {
            self.open_since = Instant::now();
        }
        self.queue.push_back(ticket);
    }

    /// When there is something to do although nothing comes in.
    fn next_time(&self) -> Option<Instant> {
        let has_room = self.batches.len() < self.known.settings.max_batches;
        let batch =
            (has_room && !self.queue.is_empty()).then(|| self.open_since + self.known.settings.batch_window);
        let pause = self.pausing.first_key_value().map(|((time, _), _)| *time);
        let deadline = self.deadlines.front().map(|(time, _)| *time);
        [batch, pause, deadline].into_iter().flatten().min()
    }

    fn work_off(&mut self, now: Instant) {
        // Those that have ended leave from the front as well, or all of the last seconds would queue here.
        while let Some((deadline, (number, subject))) = self.deadlines.front() {
            let is_under_way = self.flights.get(subject).is_some_and(|flight| flight.number == *number);
            if is_under_way && *deadline > now {
                break;
            }
            if let Some((_, (number, subject))) = self.deadlines.pop_front() {
                self.fail(number, &subject, &DirectoryError::Unavailable("no answer in time".to_owned()));
            }
        }
        while let Some(pause) = self.pausing.first_entry().filter(|pause| pause.key().0 <= now) {
            let number = pause.key().1;
            let subject = pause.remove();
            self.enqueue((number, subject));
        }
        self.send(now);
    }

    /// Sends what is due: a batch that is full or has waited long enough, and any if no other is under way.
    fn send(&mut self, now: Instant) {
        let (size, window, most) = {
            let settings = &self.known.settings;
            (settings.batch_size.clamp(1, 256), settings.batch_window, settings.max_batches.max(1))
        };
        while !self.queue.is_empty() && self.batches.len() < most {
            let is_due =
                self.queue.len() >= size || now >= self.open_since + window || self.batches.is_empty();
            if !is_due {
                return;
            }
            let mut tickets: Vec<Ticket> = Vec::with_capacity(size.min(self.queue.len()));
            while tickets.len() < size
                && let Some((number, subject)) = self.queue.pop_front()
            {
                if self.flights.get(&subject).is_some_and(|flight| flight.number == number) {
                    tickets.push((number, subject));
                }
            }
            if tickets.is_empty() {
                return;
            }
            self.known.counts.batches.add(1);
            self.known.counts.loads.add(tickets.len());
            // Taken before the read is sent: a change heard later is not known to be in it.
            let sent = self.known.ring.moment();
            let deadline = now + self.known.settings.ask_deadline;
            let source = Arc::clone(&self.source);
            self.batches.spawn(async move {
                let subjects = tickets.iter().map(|(_, subject)| subject.clone()).collect();
                let outcome = by_deadline(deadline, move || source.load(subjects)).await;
                Landed { tickets, sent, outcome }
            });
        }
    }

    fn land(&mut self, landed: Landed) {
        let Landed { tickets, sent, outcome } = landed;
        let loaded = match outcome {
            Ok(loaded) => loaded,
            Err(error) => {
                for (number, subject) in tickets {
                    self.fail(number, &subject, &error);
                }
                return;
            }
        };
        let mut loaded: HashMap<Subject, Loaded> =
            loaded.into_iter().map(|loaded| (loaded.subject.clone(), loaded)).collect();
        for (number, subject) in tickets {
            // A look-up given up in the meantime: its read may be old, and is nobody's.
            if self.flights.get(&subject).is_none_or(|flight| flight.number != number) {
                continue;
            }
            let fits =
                |loaded: &Loaded| loaded.found.as_ref().is_none_or(|(_, record)| is_of(record, &subject));
            let error = match loaded.remove(&subject) {
                Some(answer) if fits(&answer) => {
                    self.judge((number, subject), &answer, sent);
                    continue;
                }
                Some(_) => "the store answered something else than it was asked",
                None => "the store could not read the row",
            };
            self.fail(number, &subject, &DirectoryError::Unavailable(error.to_owned()));
        }
    }

    fn judge(&mut self, ticket: Ticket, answer: &Loaded, sent: Moment) {
        // Read before: if everything is forgotten meanwhile, the answer belongs to the life that has ended.
        let life = self.known.pulse.beat().life;
        let verdict = self.known.admit(answer, sent);
        if verdict == Verdict::Admitted {
            if let Some(flight) = self.flights.remove(&ticket.1) {
                let found =
                    answer.found.as_ref().map(|(version, record)| (state(life, *version), record.clone()));
                flight.waiters.into_iter().for_each(|waiter| waiter.answer(Ok(found.clone())));
            }
            return;
        }
        self.known.counts.rereads.add(1);
        let Some(flight) = self.flights.get_mut(&ticket.1) else { return };
        // A read overtaken by a change will do better at once. A commit under way takes the time of a disk.
        let pause = match (verdict, flight.tries) {
            (Verdict::Outdated | Verdict::Admitted, 0) => 0,
            (_, tries) => 1u64.checked_shl(tries).unwrap_or(u64::MAX).min(LONGEST_PAUSE_MILLIS),
        };
        flight.tries += 1;
        self.pausing.insert((Instant::now() + Duration::from_millis(pause), ticket.0), ticket.1);
    }

    fn fail(&mut self, number: u64, subject: &Subject, error: &DirectoryError) {
        if self.flights.get(subject).is_none_or(|flight| flight.number != number) {
            return;
        }
        if let Some(flight) = self.flights.remove(subject) {
            self.known.counts.load_failures.add(1);
            flight.waiters.into_iter().for_each(|waiter| waiter.answer(Err(error.clone())));
        }
    }
}

impl Waiter {
    fn answer(self, reply: Reply) {
        // Whoever has stopped waiting does not mind.
        let _gone = self.reply.send(reply);
    }
}
