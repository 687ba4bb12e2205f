//! Guessing costs the guesser: counts, per block of client addresses, the distinct credentials that turned out to be
//! nobody's, and makes those who show many of them take turns.
//!
//! It gates only what costs something: a look-up in the store, or a signature not seen before. A known credential
//! passes whatever its neighbours do, and one that is good and not known gets its turn: a block that has shown too much
//! is served one look-up after the other, and only what turns out to be nobody's is refused for it.

mod sketch;
mod turns;

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::BootMillis;
use crate::network::Client;
use crate::refusal::Reason;

use sketch::{Seen, Sketch};
use turns::{Seat, Turns};

const WINDOW_MILLIS: u64 = 60_000;

/// How much more than a client's a network of IPv6 may show: its /48, which one customer gets, and its /32, which is a
/// whole provider's.
const NETWORK_SHARES: [(u8, u32); 2] = [(32, 64), (48, 8)];

/// What is counted together: the first so many bits of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr, u8);

/// The table.
#[derive(Debug)]
pub(crate) struct Lookups {
    counts: Sketch,
    seen: Seen,
    turns: Turns,
    hasher: RandomState,
    max_per_window: u32,
    refused: AtomicU64,
    waited: AtomicU64,
}

/// What the table has to tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LookupFigures {
    /// Credentials that were refused with 429.
    pub refused: u64,
    /// Look-ups that had to wait for their turn.
    pub waited: u64,
    /// How much of the table is in use in this minute, from 0 to 1.
    pub fill: f64,
}

/// A look-up under way.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    table: &'a Lookups,
    _seat: Seat<'a>,
    client: Client,
    /// Whether it is of a block that has shown too much, and had to wait for its turn.
    is_over: bool,
    has_waited: bool,
    now: BootMillis,
}

impl Lookups {
    /// Lets each client show this many credentials that are nobody's in a minute by the clock.
    pub(crate) fn new(max_per_minute: u32) -> Self {
        Self {
            counts: Sketch::default(),
            seen: Seen::default(),
            turns: Turns::default(),
            hasher: RandomState::new(),
            max_per_window: max_per_minute,
            refused: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }
    }

    /// Begins a look-up for `client`, when it is its turn.
    ///
    /// # Errors
    /// 429 if too many of its block wait for theirs.
    pub(crate) async fn enter(&self, client: Client, now: BootMillis) -> Result<Entry<'_>, Reason> {
        let over = self.network_over(client.block(), window_of(now));
        let (network, at_once) = match over {
            Some(network) => (network, 1),
            None => (Network::of(client.block()), turns::AT_ONCE),
        };
        let seat = match self.turns.take(network, at_once) {
            turns::Taken::Seat(seat) => (seat, false),
            turns::Taken::Wait(waiting) => {
                self.waited.fetch_add(1, Ordering::Relaxed);
                (waiting.await, true)
            }
            turns::Taken::Full => return Err(self.refuse(1)),
        };
        let (seat, has_waited) = seat;
        Ok(Entry { table: self, _seat: seat, client, is_over: over.is_some(), has_waited, now })
    }

    /// Whether this very thing was found to be nobody's in this minute or the one before: no work need be spent on it.
    pub(crate) fn is_known_bad(&self, name: &[u8], now: BootMillis) -> bool {
        self.seen.contain(self.hasher.hash_one(name), window_of(now))
    }

    /// What there is to tell.
    pub(crate) fn figures(&self, now: BootMillis) -> LookupFigures {
        LookupFigures {
            refused: self.refused.load(Ordering::Relaxed),
            waited: self.waited.load(Ordering::Relaxed),
            fill: self.counts.fill(window_of(now)),
        }
    }

    /// The widest network of `block` that has shown too much.
    fn network_over(&self, block: IpAddr, window: u32) -> Option<Network> {
        networks(block)
            .find(|(network, share)| {
                self.counts.count(network, window) >= self.max_per_window.saturating_mul(*share)
            })
            .map(|(network, _)| network)
    }

    /// Counts for every network of `block`, the widest first. What a network that has shown too much shows further is
    /// its own affair: it fills no more of the table.
    fn count(&self, block: IpAddr, window: u32) {
        for (network, share) in networks(block) {
            let most = self.max_per_window.saturating_mul(share);
            if self.counts.add(network, window, most) >= most {
                return;
            }
        }
    }

    fn refuse(&self, retry_after_seconds: u64) -> Reason {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Reason::TooManyLookups { retry_after_seconds }
    }
}

fn window_of(now: BootMillis) -> u32 {
    u32::try_from(now.0 / WINDOW_MILLIS).unwrap_or(u32::MAX)
}

impl Network {
    /// A block by itself.
    fn of(block: IpAddr) -> Self {
        Self(block, if block.is_ipv4() { 32 } else { 64 })
    }
}

/// The networks that a block counts for, with how many clients' worth each may show; the widest first.
fn networks(block: IpAddr) -> impl Iterator<Item = (Network, u32)> {
    let wider = NETWORK_SHARES.into_iter().filter_map(move |(bits, share)| match block {
        IpAddr::V4(_) => None,
        IpAddr::V6(block) => {
            let network = Ipv6Addr::from_bits(block.to_bits() & (u128::MAX << (128 - bits)));
            Some((Network(network.into(), bits), share))
        }
    });
    wider.chain([(Network::of(block), 1)])
}

impl Entry<'_> {
    /// Whether it had to wait, so that what it was about to find out may be known by now.
    pub(crate) fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// The credential called `name` is nobody's: it is counted, unless it was in this minute already.
    ///
    /// # Errors
    /// 429 if the block has shown too much: it is told to wait, and nothing else.
    pub(crate) fn found_nothing(self, name: &[u8]) -> Result<(), Reason> {
        let window = window_of(self.now);
        let block = self.client.block();
        if self.table.seen.insert(self.table.hasher.hash_one(name), window) {
            self.table.count(block, window);
        }
        if self.is_over {
            return Err(self.table.refuse((WINDOW_MILLIS - self.now.0 % WINDOW_MILLIS).div_ceil(1000)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::now as ready;

    const NOW: BootMillis = BootMillis(600_000);

    fn client(text: &str) -> Client {
        Client::At(text.parse().unwrap())
    }

    /// Shows something that is nobody's.
    fn guess(table: &Lookups, from: Client, name: u64, now: BootMillis) -> Result<(), Reason> {
        ready(table.enter(from, now))?.found_nothing(&name.to_be_bytes())
    }

    #[test]
    fn who_shows_too_much_that_is_nobodys_is_told_to_wait_for_the_next_minute() {
        let table = Lookups::new(3);
        let guesser = client("2001:db8::1");
        for name in 0..3 {
            assert_eq!(guess(&table, guesser, name, NOW), Ok(()));
        }
        let refused = guess(&table, client("2001:db8::2"), 3, BootMillis(NOW.0 + 20_500));
        assert_eq!(refused, Err(Reason::TooManyLookups { retry_after_seconds: 40 }));
        assert_eq!(
            guess(&table, client("2001:db8:0:1::1"), 4, NOW),
            Ok(()),
            "a neighbour network is another"
        );
        assert_eq!(guess(&table, guesser, 5, BootMillis(NOW.0 + 60_000)), Ok(()));
        assert_eq!(table.figures(NOW).refused, 1);
    }

    #[test]
    fn a_good_credential_gets_its_turn_whatever_its_neighbours_do() {
        let table = Lookups::new(3);
        let office = client("192.0.2.1");
        for name in 0..100 {
            let _ = guess(&table, office, name, NOW);
        }
        for _ in 0..1000 {
            let entry = ready(table.enter(office, NOW)).unwrap();
            assert!(!entry.has_waited(), "nobody is before it");
        }
        assert_eq!(table.figures(NOW).refused, 97);
    }

    #[test]
    fn one_thing_shown_again_and_again_is_counted_once() {
        let table = Lookups::new(3);
        let client = client("192.0.2.1");
        for _ in 0..1000 {
            assert_eq!(guess(&table, client, 7, NOW), Ok(()));
        }
        assert!(table.is_known_bad(&7_u64.to_be_bytes(), NOW));
        assert!(!table.is_known_bad(&8_u64.to_be_bytes(), NOW));
        assert!(table.is_known_bad(&7_u64.to_be_bytes(), BootMillis(NOW.0 + 60_000)));
        assert!(!table.is_known_bad(&7_u64.to_be_bytes(), BootMillis(NOW.0 + 120_000)));
    }

    #[test]
    fn an_ipv6_network_does_not_fill_the_table_for_strangers() {
        let table = Lookups::new(30);
        let mut name = 0;
        let mut flood = |prefix: u128, many: u128| {
            for n in 0..many {
                let from = Ipv6Addr::from_bits(prefix << 80 | n << 64 | 1);
                name += 1;
                let _ = guess(&table, Client::At(from.into()), name, NOW);
            }
        };
        flood(0x2001_0db8_0001, 60_000);
        let fill = table.figures(NOW).fill;
        assert!(fill < 0.02, "a /48 fills {fill}");
        flood(0x2001_0db8_0002, 60_000);
        let over = (0..10_000_u32).filter(|n| {
            let stranger = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            table.network_over(stranger, window_of(NOW)).is_some()
        });
        assert_eq!(over.count(), 0, "no stranger is taken for a guesser");
        let same = client("2001:db8:1:ffff::1");
        assert!(guess(&table, same, u64::MAX, NOW).is_err(), "the network itself is one");
    }

    #[test]
    fn a_providers_whole_network_has_a_bound_too() {
        let table = Lookups::new(1);
        let from = |customer: u128| {
            let bits = 0x2001_0db8_u128 << 96 | customer << 80;
            Client::At(Ipv6Addr::from_bits(bits).into())
        };
        for customer in 0..64 {
            assert_eq!(guess(&table, from(customer), u64::try_from(customer).unwrap(), NOW), Ok(()));
        }
        assert!(guess(&table, from(64), 64, NOW).is_err());
        assert_eq!(guess(&table, client("2001:db9::1"), 65, NOW), Ok(()));
    }

    #[test]
    fn trap_eviction_resetting_a_limit() {
        let table = Lookups::new(3);
        let guesser = client("192.0.2.1");
        for name in 0..3 {
            guess(&table, guesser, name, NOW).unwrap();
        }
        for n in 0..100_000_u32 {
            let from = Client::At(IpAddr::from((n | 0x0a00_0000).to_be_bytes()));
            let _ = guess(&table, from, u64::from(n) + 10, NOW);
        }
        assert!(guess(&table, guesser, u64::MAX, NOW).is_err());
    }

    #[test]
    fn a_block_of_ipv4_addresses_is_one_address() {
        assert_eq!(networks("192.0.2.1".parse().unwrap()).count(), 1);
        let all: Vec<_> = networks("2001:db8:1:2::".parse().unwrap()).collect();
        let network = |text: &str, bits| Network(text.parse().unwrap(), bits);
        assert_eq!(
            all,
            [
                (network("2001:db8::", 32), 64),
                (network("2001:db8:1::", 48), 8),
                (network("2001:db8:1:2::", 64), 1)
            ]
        );
    }
}
