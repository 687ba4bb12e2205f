//! Who may look something up now, and who has to wait until it is their turn: first come, first served, block by block.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Network;

/// How many look-ups a block may have under way at once.
pub(super) const AT_ONCE: usize = 64;
/// How many more may wait.
const MAX_WAITING: usize = 512;
const SHARDS: usize = 64;

/// The blocks that have look-ups under way.
pub(super) struct Turns {
    shards: Box<[Mutex<HashMap<Network, Block>>]>,
    hasher: RandomState,
}

/// The look-ups of one block.
#[derive(Default)]
struct Block {
    under_way: usize,
    waiting: VecDeque<Arc<Ticket>>,
}

/// Somebody's place in the queue.
#[derive(Default)]
struct Ticket(Mutex<State>);

#[derive(Default)]
enum State {
    /// Nobody has asked for it yet.
    #[default]
    New,
    /// To be woken when it is their turn.
    Waiting(Waker),
    /// It is their turn, and the seat is theirs.
    Called,
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turns(..)")
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

/// What came of asking for a seat.
pub(super) enum Taken<'a> {
    /// It is there.
    Seat(Seat<'a>),
    /// It will be.
    Wait(Waiting<'a>),
    /// Too many wait already.
    Full,
}

/// The right to one look-up. Goes to whoever waits next when it is dropped.
pub(super) struct Seat<'a> {
    turns: &'a Turns,
    block: Network,
}

impl fmt::Debug for Seat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seat(..)")
    }
}

/// Waits for a seat. Whoever gives up leaves the queue.
pub(super) struct Waiting<'a> {
    turns: &'a Turns,
    block: Network,
    ticket: Arc<Ticket>,
    is_over: bool,
}

/// What is locked is whole at any time: a thread that panicked left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder of a division by the number of shards is one of them"
    )]
    fn shard(&self, block: Network) -> MutexGuard<'_, HashMap<Network, Block>> {
        lock(&self.shards[usize::try_from(self.hasher.hash_one(block) % SHARDS as u64).unwrap_or(0)])
    }

    /// Asks for a seat for `block`, which may have `at_once` of them.
    pub(super) fn take(&self, block: Network, at_once: usize) -> Taken<'_> {
        let mut shard = self.shard(block);
        let own = shard.entry(block).or_default();
        if own.under_way < at_once && own.waiting.is_empty() {
            own.under_way += 1;
            return Taken::Seat(Seat { turns: self, block });
        }
        if own.waiting.len() >= MAX_WAITING {
            return Taken::Full;
        }
        let ticket = Arc::new(Ticket::default());
        own.waiting.push_back(ticket.clone());
        Taken::Wait(Waiting { turns: self, block, ticket, is_over: false })
    }

    /// A seat is free: it goes to the next in the queue.
    fn free(&self, block: Network) {
        let mut shard = self.shard(block);
        let Some(own) = shard.get_mut(&block) else { return };
        let called = own.waiting.pop_front();
        match &called {
            Some(ticket) => {
                let before = std::mem::replace(&mut *lock(&ticket.0), State::Called);
                drop(shard);
                if let State::Waiting(waker) = before {
                    waker.wake();
                }
            }
            None => {
                own.under_way = own.under_way.saturating_sub(1);
                if own.under_way == 0 {
                    shard.remove(&block);
                }
            }
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.turns.free(self.block);
    }
}

impl<'a> Future for Waiting<'a> {
    type Output = Seat<'a>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Seat<'a>> {
        let mut state = lock(&self.ticket.0);
        if matches!(*state, State::Called) {
            drop(state);
            self.is_over = true;
            return Poll::Ready(Seat { turns: self.turns, block: self.block });
        }
        *state = State::Waiting(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let was_called = {
            let mut shard = self.turns.shard(self.block);
            if let Some(own) = shard.get_mut(&self.block) {
                own.waiting.retain(|other| !Arc::ptr_eq(other, &self.ticket));
            }
            matches!(*lock(&self.ticket.0), State::Called)
        };
        if was_called {
            self.turns.free(self.block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(last: u8) -> Network {
        Network::of([192, 0, 2, last].into())
    }

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn waiting(taken: Taken<'_>) -> Waiting<'_> {
        match taken {
            Taken::Wait(waiting) => waiting,
            _ => panic!("there was a seat, or no room"),
        }
    }

    #[test]
    fn a_block_has_so_many_seats_and_the_next_wait_in_order() {
        let turns = Turns::default();
        let seats: Vec<_> = (0..2).map(|_| turns.take(block(1), 2)).collect();
        assert!(seats.iter().all(|seat| matches!(seat, Taken::Seat(_))));
        let (mut first, mut second) = (waiting(turns.take(block(1), 2)), waiting(turns.take(block(1), 2)));
        assert!(poll(&mut second).is_pending() && poll(&mut first).is_pending());
        assert!(matches!(turns.take(block(2), 2), Taken::Seat(_)), "another block has its own");

        let mut seats = seats.into_iter();
        drop(seats.next());
        assert!(poll(&mut second).is_pending(), "not before those who came earlier");
        let Poll::Ready(seat) = poll(&mut first) else { panic!("it was called") };
        drop(seat);
        assert!(poll(&mut second).is_ready());
        drop((seats, first, second));
        assert_eq!(
            turns.shards.iter().map(|shard| lock(shard).len()).sum::<usize>(),
            0,
            "nothing is left over"
        );
    }

    #[test]
    fn whoever_gives_up_leaves_the_queue_and_hands_on_a_seat_already_given() {
        let turns = Turns::default();
        let seat = turns.take(block(1), 1);
        let mut gone = waiting(turns.take(block(1), 1));
        let called = waiting(turns.take(block(1), 1));
        let mut last = waiting(turns.take(block(1), 1));
        assert!(poll(&mut gone).is_pending());
        drop(gone);
        drop(seat);
        assert!(poll(&mut last).is_pending(), "it is the second's turn");
        drop(called);
        assert!(poll(&mut last).is_ready());
        drop(last);
        assert_eq!(turns.shards.iter().map(|shard| lock(shard).len()).sum::<usize>(), 0);
    }

    #[test]
    fn nobody_overtakes_those_who_wait_and_the_queue_is_bounded() {
        let turns = Turns::default();
        let _seat = turns.take(block(1), 1);
        let _queue: Vec<_> = (0..MAX_WAITING).map(|_| waiting(turns.take(block(1), 1))).collect();
        assert!(matches!(turns.take(block(1), AT_ONCE), Taken::Full));
        assert!(matches!(turns.take(block(2), 1), Taken::Seat(_)));
    }

    #[test]
    fn the_waiter_is_woken() {
        struct Flag(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let turns = Turns::default();
        let seat = turns.take(block(1), 1);
        let mut next = waiting(turns.take(block(1), 1));
        let flag = Arc::new(Flag(false.into()));
        assert!(Pin::new(&mut next).poll(&mut Context::from_waker(&flag.clone().into())).is_pending());
        drop(seat);
        assert!(flag.0.load(std::sync::atomic::Ordering::SeqCst));
        assert!(poll(&mut next).is_ready());
    }
}
