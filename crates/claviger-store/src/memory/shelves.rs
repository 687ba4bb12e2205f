//! The remembered records of all kinds, named by subject.

use std::collections::HashMap;
use std::sync::Arc;

use claviger::directory::{self, Found, Version};
use claviger::for_each_record;

use super::pulse::Beat;
use super::share::Census;
use super::shelf::{Before, LentName, Shelf};
use crate::noun::{Name, Recorded};
use crate::subject::{Record, Subject};

/// A record and the state of its subject that it is.
pub(super) type Remembered = (Version, Record);

fn as_a<T>(kind: fn(Arc<T>) -> Record) -> impl FnOnce(Found<T>) -> Remembered {
    move |found| (found.version, kind(found.record))
}

macro_rules! shelves {
    ($($(#[$doc:meta])* $look_up:ident: $kind:ident($($part:ident: $kept:ty as $lent:ty),+) => $record:ty;)*) => {
        /// A shelf per kind. Revoked tokens have none: they are held in full.
        #[derive(Debug)]
        pub(super) struct Shelves {
            $($look_up: Shelf<($($kept,)+), $record, <($($kept,)+) as Name>::Hash>,)*
        }

        impl Shelves {
            /// Empty shelves.
            pub(super) fn new() -> Self {
                Self { $($look_up: Shelf::new(),)* }
            }

            /// The record of `subject` and its state, if it is here and may be believed, and notes that it was used.
            pub(super) fn get(&self, subject: directory::Subject<'_>, beat: Beat) -> Option<Remembered> {
                match subject {
                    $(directory::Subject::$kind($($part),+) => {
                        self.$look_up.get(&LentName(($($part,)+)), beat).map(as_a(Record::$kind))
                    })*
                    directory::Subject::RevokedToken(..) => None,
                }
            }

            /// The record of `subject` and its state, if it is here and may be believed. Does not count as a use.
            pub(super) fn peek(&self, subject: directory::Subject<'_>, beat: Beat) -> Option<Remembered> {
                match subject {
                    $(directory::Subject::$kind($($part),+) => {
                        self.$look_up.peek(&LentName(($($part,)+)), beat).map(as_a(Record::$kind))
                    })*
                    directory::Subject::RevokedToken(..) => None,
                }
            }

            /// The state of `subject`, if it is here and may be believed. Does not count as a use.
            pub(super) fn version(&self, subject: directory::Subject<'_>, beat: Beat) -> Option<Version> {
                match subject {
                    $(directory::Subject::$kind($($part),+) => {
                        self.$look_up.version(&LentName(($($part,)+)), beat)
                    })*
                    directory::Subject::RevokedToken(..) => None,
                }
            }

            /// Puts the record of `subject` on its shelf. Answers what it replaced. A record of another kind than its
            /// subject's is not put anywhere; see [`is_of`].
            pub(super) fn put(
                &self,
                subject: &Subject,
                version: i64,
                record: &Record,
                beat: Beat,
                due: u32,
            ) -> Option<Before> {
                match (subject, record) {
                    $((Subject::$kind($($part),+), Record::$kind(record)) => {
                        self.$look_up.put(($($part.clone(),)+), version, Arc::clone(record), beat, due)
                    })*
                    _ => None,
                }
            }

            /// Takes the record of `subject` off its shelf if it is older than `older_than`, or in any case if that is
            /// `None`. Answers what it was.
            pub(super) fn take_off(
                &self,
                subject: directory::Subject<'_>,
                older_than: Option<i64>,
                beat: Beat,
            ) -> Option<Before> {
                match subject {
                    $(directory::Subject::$kind($($part),+) => {
                        self.$look_up.take_off(&LentName(($($part,)+)), older_than, beat)
                    })*
                    directory::Subject::RevokedToken(..) => None,
                }
            }

            /// Whether there is an entry for `subject`, believed or not.
            pub(super) fn hold(&self, subject: directory::Subject<'_>) -> bool {
                match subject {
                    $(directory::Subject::$kind($($part),+) => self.$look_up.holds(&LentName(($($part,)+))),)*
                    directory::Subject::RevokedToken(..) => false,
                }
            }

            /// How many records there are.
            pub(super) fn len(&self) -> usize {
                0 $(+ self.$look_up.len())*
            }

            /// Drops what was remembered before everything was forgotten.
            pub(super) fn bury(&self, beat: Beat) {
                $(self.$look_up.bury(beat);)*
            }

            /// Brings the number of entries down to `most`. Takes as long as walking over all of them three times.
            /// Answers how many went.
            pub(super) fn evict_to(&self, most: usize, beat: Beat) -> usize {
                let mut counts = HashMap::new();
                $(self.$look_up.count_tenants(&mut counts);)*
                let mut census = Census::of(counts, most);
                $(self.$look_up.enter_into(&mut census, beat);)*
                census.sentence();
                0 $(+ self.$look_up.evict(&mut census, beat))*
            }
        }

        /// Whether `record` is what `subject` names, as far as the record says itself. A store that answered one
        /// tenant's question with another tenant's row is not believed.
        pub(super) fn is_of(record: &Record, subject: &Subject) -> bool {
            match (subject, record) {
                $((Subject::$kind($($part),+), Record::$kind(record)) => record.is_of(&($($part.clone(),)+)),)*
                (Subject::RevokedToken(..), Record::RevokedToken { .. }) => true,
                _ => false,
            }
        }
    };
}
for_each_record!(shelves);
