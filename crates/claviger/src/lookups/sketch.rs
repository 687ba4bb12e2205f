//! Two fixed tables: how often each network was counted in a minute, and what was counted.
//!
//! Neither ever evicts. A network is one cell in each of four rows, and the lowest of them counts, so that filling the
//! table forgets nobody's count (a count-min sketch with conservative update: Estan and Varghese, 2002).

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

const ROWS: usize = 4;
const CELLS: usize = 1 << 14;

/// Counts per network and minute.
pub(super) struct Sketch {
    rows: [Box<[AtomicU64]>; ROWS],
    hashers: [RandomState; ROWS],
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            rows: std::array::from_fn(|_| (0..CELLS).map(|_| AtomicU64::new(0)).collect()),
            hashers: std::array::from_fn(|_| RandomState::new()),
        }
    }
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sketch({ROWS} x {CELLS})")
    }
}

impl Sketch {
    fn cells(&self, of: impl Hash + Copy) -> impl Iterator<Item = &AtomicU64> {
        self.rows
            .iter()
            .zip(&self.hashers)
            .filter_map(move |(row, hasher)| row.get(index(hasher.hash_one(of), CELLS)))
    }

    /// How often `of` was counted in `window`, or more if others share all of its cells.
    pub(super) fn count(&self, of: impl Hash + Copy, window: u32) -> u32 {
        self.cells(of).map(|cell| in_window(cell, window)).min().unwrap_or(0)
    }

    /// Counts `of` once more, up to `most`, and gives the new count.
    pub(super) fn add(&self, of: impl Hash + Copy, window: u32, most: u32) -> u32 {
        let count = self.count(of, window).saturating_add(1).min(most);
        // Only what is lower is raised: a cell that others share is not counted up for their sake.
        let raise =
            |value| (unpack(value).0 != window || unpack(value).1 < count).then(|| pack(window, count));
        for cell in self.cells(of) {
            // A cell that is high enough already is left alone, which is no failure.
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise);
        }
        count
    }

    /// Which part of the table is in use in `window`.
    pub(super) fn fill(&self, window: u32) -> f64 {
        let used = self.rows.iter().flatten().filter(|cell| in_window(cell, window) > 0).count();
        #[expect(clippy::cast_precision_loss, reason = "a table has far fewer than 2^53 cells")]
        let fill = used as f64 / (ROWS * CELLS) as f64;
        fill
    }
}

fn in_window(cell: &AtomicU64, window: u32) -> u32 {
    let (counted_in, count) = unpack(cell.load(Ordering::Relaxed));
    if counted_in == window { count } else { 0 }
}

fn pack(window: u32, count: u32) -> u64 {
    u64::from(window) << 32 | u64::from(count)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of a 64-bit word")]
fn unpack(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

fn index(hash: u64, of: usize) -> usize {
    usize::try_from(hash % of as u64).unwrap_or(0)
}

const PLACES: usize = 1 << 13;

/// What was counted lately, by 48 bits of a keyed hash each; a newcomer takes the place of whoever had it before.
pub(super) struct Seen(Box<[AtomicU64]>);

impl Default for Seen {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen({PLACES})")
    }
}

impl Seen {
    /// Notes a hash. Whether it is new in this window.
    pub(super) fn insert(&self, hash: u64, window: u32) -> bool {
        let mark = mark(hash, window);
        self.0.get(index(hash, PLACES)).is_none_or(|place| place.swap(mark, Ordering::Relaxed) != mark)
    }

    /// Whether a hash was noted in this window or the one before.
    pub(super) fn contain(&self, hash: u64, window: u32) -> bool {
        let known = self.0.get(index(hash, PLACES)).map(|place| place.load(Ordering::Relaxed));
        known.is_some_and(|known| {
            [window, window.wrapping_sub(1)].iter().any(|window| known == mark(hash, *window))
        })
    }
}

/// The upper bits of a hash, whose lower ones choose the place, and the window. Never 0, which is an empty place.
fn mark(hash: u64, window: u32) -> u64 {
    (hash & !0xffff) | u64::from(window & 0x7fff) << 1 | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_of_one_window_and_never_too_low() {
        let sketch = Sketch::default();
        assert_eq!(sketch.count(1, 5), 0);
        assert_eq!([sketch.add(1, 5, 9), sketch.add(1, 5, 9), sketch.add(2, 5, 9)], [1, 2, 1]);
        assert_eq!((sketch.count(1, 5), sketch.count(2, 5), sketch.count(1, 6)), (2, 1, 0));
        assert_eq!((0..20).map(|_| sketch.add(1, 5, 9)).max(), Some(9), "no higher than it has to be");
        assert_eq!(sketch.add(1, 6, 9), 1);
        assert!(sketch.fill(6) > 0.0 && sketch.fill(6) < 0.001 && sketch.fill(7) == 0.0);

        for other in 100..20_000 {
            sketch.add(other, 8, 1000);
        }
        for other in 100..20_000 {
            assert!(sketch.count(other, 8) >= 1);
        }
        let too_high = (100..20_000).filter(|other| sketch.count(*other, 8) > 2).count();
        assert!(too_high < 400, "{too_high}");
    }

    #[test]
    fn what_was_seen_is_new_once_a_window() {
        let seen = Seen::default();
        assert!(seen.insert(0xabcd_ef01_2345_6789, 3));
        assert!(!seen.insert(0xabcd_ef01_2345_6789, 3));
        assert!(seen.insert(0xabcd_ef01_2345_6789, 4));
        assert!(seen.insert(0xabcd_ee01_2345_6789, 4), "another in the same place");
        assert!(seen.insert(0xabcd_ef01_2345_6789, 4), "which it has taken");
        assert!(seen.contain(0xabcd_ef01_2345_6789, 5) && !seen.contain(0xabcd_ef01_2345_6789, 6));
        assert!(!seen.contain(0, 0) && seen.insert(0, 0) && seen.contain(0, 0));
    }
}
