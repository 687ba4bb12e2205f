//! Who has to go when the memory is full.
//!
//! Each tenant may hold the same share. What a tenant does not use of its share the others have in equal parts,
//! so the share is the level up to which all are filled when the memory is full. Only tenants above it lose
//! entries: first those that nobody used since they were loaded, then those unused for longest. A tenant that
//! fills the memory therefore pushes out its own, and a small tenant keeps all it has. What belongs to no
//! tenant, such as accounts, counts as one tenant's.

use std::collections::HashMap;

use claviger::id::TenantId;

/// How dispensable an entry is: those that nobody used after they were loaded come before all others, so that a
/// scan pushes out a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u8);

impl Rank {
    /// How many there are.
    pub(super) const COUNT: usize = 18;
    /// Of what nobody used since it was loaded.
    pub(super) const NEVER_USED: Self = Self(17);

    /// Of what nobody used for so many steps of [`Beat::used`](super::pulse::Beat::used).
    pub(super) fn unused_for(steps: u16) -> Self {
        Self((u16::BITS - steps.leading_zeros()) as u8)
    }

    /// From 0, the least dispensable, up.
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The tenants above their share, and what they lose.
#[derive(Debug)]
pub(super) struct Census {
    over: HashMap<Option<TenantId>, Surplus>,
}

#[derive(Debug)]
struct Surplus {
    /// How many entries it loses.
    entries: usize,
    /// How many it has of each rank; after the sentence, how many of these it loses.
    by_rank: [usize; Rank::COUNT],
}

impl Census {
    /// Finds the tenants above the share at which all together hold `most` entries.
    pub(super) fn of(counts: HashMap<Option<TenantId>, usize>, most: usize) -> Self {
        let share = share(counts.values().copied().collect(), most);
        let over = counts
            .into_iter()
            .filter(|(_, count)| *count > share)
            .map(|(tenant, count)| (tenant, Surplus { entries: count - share, by_rank: [0; Rank::COUNT] }))
            .collect();
        Self { over }
    }

    /// Enters one entry.
    pub(super) fn enter(&mut self, tenant: Option<TenantId>, rank: Rank) {
        if let Some(count) = self.over.get_mut(&tenant).and_then(|over| over.by_rank.get_mut(rank.index())) {
            *count += 1;
        }
    }

    /// Decides, once all are entered, how many of each rank go.
    pub(super) fn sentence(&mut self) {
        for surplus in self.over.values_mut() {
            let mut left = surplus.entries;
            for count in surplus.by_rank.iter_mut().rev() {
                *count = left.min(*count);
                left -= *count;
            }
        }
    }

    /// Whether this entry goes. Each that does is counted off.
    pub(super) fn takes(&mut self, tenant: Option<TenantId>, rank: Rank) -> bool {
        let count = self.over.get_mut(&tenant).and_then(|over| over.by_rank.get_mut(rank.index()));
        match count {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// The level up to which all may be filled, so that together they hold `most`.
fn share(mut counts: Vec<usize>, most: usize) -> usize {
    counts.sort_unstable();
    let mut left = most;
    for (at, count) in counts.iter().enumerate() {
        let even = left / (counts.len() - at);
        if *count > even {
            return even;
        }
        left -= count;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_small_tenants_do_not_use_the_large_ones_share() {
        assert_eq!(share(vec![1, 2, 3], 6), usize::MAX);
        assert_eq!(share(vec![10, 1000, 1000], 110), 50);
        assert_eq!(share(vec![100], 40), 40);
        assert_eq!(share(vec![], 40), usize::MAX);
    }
}
