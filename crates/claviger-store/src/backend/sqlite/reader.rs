//! A thread that reads.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::attempt::attempt;
use super::binding::Binding;
use super::connect;
use crate::backend::bound::Bound;
use crate::backend::tx::{Engine, Tx};
use crate::backend::unit::Job;
use crate::error::StoreError;
use crate::noun::Nouns;

/// Two connections: one that sees the bound tenant, one for named jobs.
pub(crate) struct Reader {
    scoped: Connection,
    binding: Binding,
    system: Connection,
}

impl Reader {
    pub(crate) fn open(path: &Path, nouns: Nouns) -> Result<Self, StoreError> {
        let (scoped, binding) = connect::scoped_reader(path, nouns)?;
        Ok(Self { scoped, binding, system: connect::system_reader(path)? })
    }

    /// Answers jobs until nobody can send one any more.
    pub(crate) fn serve(&self, queue: &Mutex<mpsc::Receiver<Job>>) {
        loop {
            // Whoever holds the lock waits for the next job; the others wait for the lock.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            let Some(mut job) = next else { return };
            let end = self.answer(&mut job);
            job.work.answer(end);
        }
    }

    fn answer(&self, job: &mut Job) -> Result<(), StoreError> {
        let connection = match job.bound {
            Bound::Tenant(_) => &self.scoped,
            Bound::System(_) => &self.system,
        };
        let _bound = self.binding.bind(job.bound);
        let control = |sql: &str| -> Result<(), StoreError> {
            let mut statement =
                connection.prepare_cached(sql).map_err(|e| super::errors::of(&e, "transaction"))?;
            statement.raw_execute().map(drop).map_err(|e| super::errors::of(&e, "transaction"))
        };
        if !connection.is_autocommit() {
            // What another one could not end is not this one's to be held up by.
            control("ROLLBACK")?;
        }
        control("BEGIN")?;
        let outcome =
            attempt(&mut *job.work, &mut Tx::new(job.bound, job.clock.clone(), Engine::Sqlite(connection)));
        control("COMMIT")?;
        outcome
    }
}
