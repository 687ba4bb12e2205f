//! The remembered records of one kind, found without a lock.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use claviger::directory::{Found, Lent, Version};
use claviger::id::TenantId;
use papaya::Equivalent;

use super::pulse::Beat;
use super::share::{Census, Rank};
use crate::noun::Recorded;

/// One remembered record. There are millions: 24 bytes beside key and record.
struct Entry<T> {
    record: Arc<T>,
    version: i64,
    /// The second from which on it is read again.
    due: u32,
    /// Which of the memory's lives it belongs to.
    life: u16,
    /// When it was last used, in [`Beat::used`]'s steps; 0 if never since it was loaded.
    used: AtomicU16,
}

impl<T> Entry<T> {
    fn is_believed(&self, beat: Beat) -> bool {
        self.life == beat.life && beat.second < self.due
    }

    fn found(&self) -> Found<T> {
        Found { record: Arc::clone(&self.record), version: state(self.life, self.version) }
    }

    fn rank(&self, beat: Beat) -> Rank {
        match self.used.load(Ordering::Relaxed) {
            0 => Rank::NEVER_USED,
            used => Rank::unused_for(beat.used().wrapping_sub(used)),
        }
    }
}

/// The state that a row's version stands for in one of the memory's lives.
pub(super) fn state(life: u16, version: i64) -> Version {
    Version::new(life, version.cast_unsigned())
}

/// What an entry that was replaced or taken off had said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Before {
    /// Its version.
    pub(super) version: i64,
    /// Whether it agrees with what took its place.
    pub(super) agrees: bool,
}

/// The records of one kind by what they are found by.
pub(super) struct Shelf<K, T, S> {
    entries: papaya::HashMap<K, Entry<T>, S>,
}

impl<K, T, S> fmt::Debug for Shelf<K, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf(..)")
    }
}

impl<K, T, S> Shelf<K, T, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Recorded,
    S: BuildHasher + Default,
{
    /// An empty shelf.
    pub(super) fn new() -> Self {
        Self { entries: papaya::HashMap::with_hasher(S::default()) }
    }

    /// The record, if it is here and may be believed, and notes that it was used.
    pub(super) fn get<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q, beat: Beat) -> Option<Found<T>> {
        let entries = self.entries.pin();
        let entry = entries.get(key).filter(|entry| entry.is_believed(beat))?;
        // Written once in a while and not at each use, or the cores would take the line from each other.
        let used = beat.used();
        if entry.used.load(Ordering::Relaxed) != used {
            entry.used.store(used, Ordering::Relaxed);
        }
        Some(entry.found())
    }

    /// The record, if it is here and may be believed.
    pub(super) fn peek<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q, beat: Beat) -> Option<Found<T>> {
        let entries = self.entries.pin();
        entries.get(key).filter(|entry| entry.is_believed(beat)).map(Entry::found)
    }

    /// The record's state, if it is here and may be believed. Does not count as a use.
    pub(super) fn version<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q, beat: Beat) -> Option<Version> {
        let entries = self.entries.pin();
        let entry = entries.get(key).filter(|entry| entry.is_believed(beat))?;
        Some(state(entry.life, entry.version))
    }

    /// Puts a record here, to be read again at the second `due`. Answers what it replaced.
    pub(super) fn put(&self, key: K, version: i64, record: Arc<T>, beat: Beat, due: u32) -> Option<Before> {
        let entries = self.entries.pin();
        let entry =
            Entry { record: Arc::clone(&record), version, due, life: beat.life, used: AtomicU16::new(0) };
        let before = entries.get(&key).filter(|entry| entry.life == beat.life);
        // Somebody asked for it again, so a re-read does not make it one that nobody used.
        if let Some(before) = before {
            entry.used.store(before.used.load(Ordering::Relaxed).max(1), Ordering::Relaxed);
        }
        let before = before
            .map(|before| Before { version: before.version, agrees: before.record.agrees_with(&record) });
        entries.insert(key, entry);
        before
    }

    /// Takes off a record older than `version`; any if that is `None`. Answers what it was.
    pub(super) fn take_off<Q: Equivalent<K> + Hash + ?Sized>(
        &self,
        key: &Q,
        older_than: Option<i64>,
        beat: Beat,
    ) -> Option<Before> {
        let entries = self.entries.pin();
        let outdated = |_: &K, entry: &Entry<T>| older_than.is_none_or(|version| entry.version < version);
        let (_, taken) = entries.remove_if(key, outdated).ok().flatten()?;
        (taken.life == beat.life).then_some(Before { version: taken.version, agrees: false })
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is an entry under `key`.
    pub(super) fn holds<Q: Equivalent<K> + Hash + ?Sized>(&self, key: &Q) -> bool {
        self.entries.pin().contains_key(key)
    }

    /// Drops the entries of the memory's earlier lives.
    pub(super) fn bury(&self, beat: Beat) {
        self.entries.pin().retain(|_, entry| entry.life == beat.life);
    }

    /// Counts each tenant's entries.
    pub(super) fn count_tenants(&self, counts: &mut HashMap<Option<TenantId>, usize>) {
        for (_, entry) in &self.entries.pin() {
            *counts.entry(entry.record.tenant()).or_default() += 1;
        }
    }

    /// Enters the entries of the tenants that are over their share.
    pub(super) fn enter_into(&self, census: &mut Census, beat: Beat) {
        for (_, entry) in &self.entries.pin() {
            census.enter(entry.record.tenant(), entry.rank(beat));
        }
    }

    /// Drops the entries that the census sentences, and answers how many. One that was used in the meantime may
    /// still go.
    pub(super) fn evict(&self, census: &mut Census, beat: Beat) -> usize {
        let mut evicted = 0;
        self.entries.pin().retain(|_, entry| {
            let goes = census.takes(entry.record.tenant(), entry.rank(beat));
            evicted += usize::from(goes);
            !goes
        });
        evicted
    }
}

/// The parts of a name, lent for a look-up.
#[derive(Clone, Copy, Hash)]
pub(super) struct LentName<T>(pub(super) T);

macro_rules! lent_names {
    ($(($($lent:ident $kept:ident)+);)*) => {$(
        #[expect(non_snake_case, reason = "the types' names are the parts' names")]
        impl<$($lent: Lent),+> Equivalent<($($lent::Kept,)+)> for LentName<($($lent,)+)> {
            fn equivalent(&self, ($($kept,)+): &($($lent::Kept,)+)) -> bool {
                let ($($lent,)+) = self.0;
                true $(&& $lent.is($kept))+
            }
        }
    )*};
}
lent_names! {
    (A a);
    (A a B b);
    (A a B b C c);
    (A a B b C c D d);
}
