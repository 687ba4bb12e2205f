//! What is known not to exist.
//!
//! A table of its own, bounded, the oldest out first: a flood of made-up names pushes out made-up names and no
//! record.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::pulse::Beat;
use crate::subject::{Subject, chosen_length};

/// Names longer than this are looked up each time: whoever makes them up shall not fill the table with text.
const LONGEST_NAME: usize = 256;

#[derive(Debug)]
struct Absence {
    /// The second from which on it is looked up again.
    due: u32,
    life: u16,
}

/// The bounded table of absences.
#[derive(Debug)]
pub(super) struct Absences {
    known: papaya::HashMap<Subject, Absence>,
    /// In the order of their coming. May name what has left or come again; never longer than `most`.
    order: Mutex<VecDeque<Subject>>,
    most: usize,
}

impl Absences {
    /// An empty table for `most` absences.
    pub(super) fn new(most: usize) -> Self {
        Self { known: papaya::HashMap::new(), order: Mutex::default(), most }
    }

    /// Whether `subject` is known not to exist.
    pub(super) fn contain(&self, subject: &Subject, beat: Beat) -> bool {
        let known = self.known.pin();
        known.get(subject).is_some_and(|absence| absence.life == beat.life && beat.second < absence.due)
    }

    /// Remembers that `subject` does not exist, until the second `due`.
    pub(super) fn insert(&self, subject: &Subject, beat: Beat, due: u32) {
        if self.most == 0 || chosen_length(subject) > LONGEST_NAME {
            return;
        }
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.pin();
        while order.len() >= self.most {
            if let Some(oldest) = order.pop_front() {
                known.remove(&oldest);
            }
        }
        order.push_back(subject.clone());
        known.insert(subject.clone(), Absence { due, life: beat.life });
    }

    /// Forgets that `subject` does not exist. Says whether that was remembered.
    pub(super) fn remove(&self, subject: &Subject, beat: Beat) -> bool {
        self.known.pin().remove(subject).is_some_and(|absence| absence.life == beat.life)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
