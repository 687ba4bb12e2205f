//! Counts, per client address, the look-ups that found nothing, and makes those who guess wait.
//!
//! It gates only what costs something: a directory miss, or a signature not seen before. A known credential
//! passes whatever its neighbours do. The table is fixed and never evicts: an address is two cells of it, and
//! the lower of the two counts, so that filling the table forgets nobody's count.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::clock::BootMillis;
use crate::network::client_block;
use crate::refusal::Reason;

const CELLS: usize = 1 << 14;
const WINDOW_MILLIS: u64 = 60_000;
/// How many look-ups of one address may be under way at once.
const MAX_IN_FLIGHT: u32 = 64;

/// The table.
pub struct Lookups {
    rows: [Box<[Cell]>; 2],
    hashers: [RandomState; 2],
    max_per_window: u32,
}

#[derive(Default)]
struct Cell {
    /// The window's number in the upper half, what was found empty in it in the lower.
    count: AtomicU64,
    in_flight: AtomicU32,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lookups(at most {} empty ones a minute)", self.max_per_window)
    }
}

/// A look-up under way.
#[derive(Debug)]
pub struct Entry<'a> {
    table: &'a Lookups,
    cells: [usize; 2],
    window: u32,
}

impl Lookups {
    /// Lets each address find nothing this many times in a minute by the clock.
    pub fn new(max_per_minute: u32) -> Self {
        let row = || (0..CELLS).map(|_| Cell::default()).collect();
        Self {
            rows: [row(), row()],
            hashers: [RandomState::new(), RandomState::new()],
            max_per_window: max_per_minute,
        }
    }

    fn cells(&self, at: [usize; 2]) -> impl Iterator<Item = &Cell> {
        self.rows.iter().zip(at).filter_map(|(row, at)| row.get(at))
    }

    /// Begins a look-up for `client`.
    ///
    /// # Errors
    /// 429 if the address has found nothing too often in this minute, or has too many look-ups under way.
    pub fn enter(&self, client: IpAddr, now: BootMillis) -> Result<Entry<'_>, Reason> {
        let block = client_block(client);
        let window = u32::try_from(now.0 / WINDOW_MILLIS).unwrap_or(u32::MAX);
        let mut at = [0; 2];
        for (slot, hasher) in at.iter_mut().zip(&self.hashers) {
            *slot = usize::try_from(hasher.hash_one(block) % CELLS as u64).unwrap_or(0);
        }
        let empty = self.cells(at).map(|cell| cell.empty_in(window)).min().unwrap_or(0);
        if empty >= self.max_per_window {
            let retry_after_seconds = (WINDOW_MILLIS - now.0 % WINDOW_MILLIS).div_ceil(1000);
            return Err(Reason::TooManyLookups { retry_after_seconds });
        }
        let in_flight =
            self.cells(at).map(|cell| cell.in_flight.fetch_add(1, Ordering::Relaxed)).min().unwrap_or(0);
        let entry = Entry { table: self, cells: at, window };
        if in_flight >= MAX_IN_FLIGHT {
            return Err(Reason::TooManyLookups { retry_after_seconds: 1 });
        }
        Ok(entry)
    }
}

impl Cell {
    fn empty_in(&self, window: u32) -> u32 {
        let (counted_in, count) = unpack(self.count.load(Ordering::Relaxed));
        if counted_in == window { count } else { 0 }
    }

    fn add(&self, window: u32) {
        let add = |value| {
            let (counted_in, count) = unpack(value);
            let count = if counted_in == window { count.saturating_add(1) } else { 1 };
            Some(u64::from(window) << 32 | u64::from(count))
        };
        // The closure never gives up, so the update never fails.
        let _ = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of a 64-bit word")]
fn unpack(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

impl Entry<'_> {
    /// Counts this look-up as one that found nothing.
    pub fn found_nothing(&self) {
        for cell in self.table.cells(self.cells) {
            cell.add(self.window);
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        for cell in self.table.cells(self.cells) {
            cell.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: BootMillis = BootMillis(600_000);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_finds_nothing_too_often_waits_for_the_next_minute() {
        let table = Lookups::new(3);
        let guesser = address("2001:db8::1");
        for _ in 0..3 {
            table.enter(guesser, NOW).unwrap().found_nothing();
        }
        let refused = table.enter(address("2001:db8::2"), BootMillis(NOW.0 + 20_500)).unwrap_err();
        assert_eq!(refused, Reason::TooManyLookups { retry_after_seconds: 40 });
        assert!(
            table.enter(address("2001:db8:0:1::1"), NOW).is_ok(),
            "a neighbour network is another client"
        );
        assert!(table.enter(guesser, BootMillis(NOW.0 + 60_000)).is_ok());
    }

    #[test]
    fn a_look_up_that_finds_something_costs_nothing() {
        let table = Lookups::new(3);
        for _ in 0..1000 {
            table.enter(address("192.0.2.1"), NOW).unwrap();
        }
        assert!(table.enter(address("192.0.2.1"), NOW).is_ok());
    }

    #[test]
    fn an_address_has_64_look_ups_under_way_at_most() {
        let table = Lookups::new(1000);
        let client = address("192.0.2.1");
        let entries: Vec<_> = (0..MAX_IN_FLIGHT).map(|_| table.enter(client, NOW).unwrap()).collect();
        assert!(table.enter(client, NOW).is_err());
        drop(entries);
        assert!(table.enter(client, NOW).is_ok());
    }

    #[test]
    fn trap_eviction_resetting_a_limit() {
        let table = Lookups::new(3);
        let guesser = address("192.0.2.1");
        for _ in 0..3 {
            table.enter(guesser, NOW).unwrap().found_nothing();
        }
        for n in 0..100_000_u32 {
            if let Ok(entry) = table.enter(IpAddr::from((n | 0x0a00_0000).to_be_bytes()), NOW) {
                entry.found_nothing();
            }
        }
        assert!(table.enter(guesser, NOW).is_err());
    }
}
