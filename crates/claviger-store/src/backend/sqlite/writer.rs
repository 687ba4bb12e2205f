//! The thread that writes, one group of jobs per COMMIT.
//!
//! Each job has a savepoint of its own, so that one that fails takes nothing of its neighbours with it. Nothing
//! is answered before COMMIT has returned.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::attempt;
use super::binding::Binding;
use crate::backend::bound::{Bound, FollowerSlot, Lane};
use crate::backend::tx::{Engine, Tx};
use crate::backend::unit::Job;
use crate::error::StoreError;
use crate::subject::{self, Change};

/// How many jobs share a COMMIT at most.
const GROUP: usize = 256;
/// How many groups of changes come before a job of the rows that grow, if there are always more.
const GROUPS_IN_A_ROW: u32 = 64;

/// Which part of what the last commit took a group waits for more jobs.
const PATIENCE: u32 = 8;
/// How long the thread sleeps where that is long; otherwise it lets others run.
const NAP: Duration = Duration::from_micros(50);

/// How often it is tried to settle a commit that failed.
const SETTLE_EVERY: Duration = Duration::from_millis(200);

pub(crate) struct Writer {
    connection: Connection,
    binding: Binding,
    follower: FollowerSlot,
    /// The last line of the feed that was told to the follower.
    told: i64,
    /// Whether the log may hold a commit that failed, and that whoever reads the log after a crash would take for one that
    /// did not. The next commit writes over it.
    is_unsettled: bool,
    /// How many jobs the last group had, and how long its commit took.
    last: (usize, Duration),
    /// Waits for two queues at once, and for nothing else.
    waiting: Runtime,
}

/// Why a whole group came to nothing.
enum Lost {
    /// Another process keeps the file: it would keep each of them waiting as long.
    NotBegun(StoreError),
    /// Nothing of it is in the file; each job may be tried by itself.
    Undone(StoreError),
    /// It may or may not be in the file.
    Unknown,
}

/// Takes what waits; and then as many as were there the last time, if they come within a small part of what its commit took. Those who were
/// answered by the last one are about to ask again: a commit for the first of them alone would keep all others waiting for its whole
/// length.
fn gather<T>(group: &mut Vec<T>, changes: &mut mpsc::Receiver<T>, (expected, commit): (usize, Duration)) {
    let until = Instant::now() + commit / PATIENCE;
    loop {
        while group.len() < GROUP
            && let Ok(job) = changes.try_recv()
        {
            group.push(job);
        }
        let left = until.saturating_duration_since(Instant::now());
        if group.len() >= expected.min(GROUP) || left.is_zero() {
            return;
        }
        if left > 2 * NAP { std::thread::sleep(NAP) } else { std::thread::yield_now() }
    }
}

impl Writer {
    pub(crate) fn new(
        (connection, binding): (Connection, Binding),
        follower: FollowerSlot,
    ) -> Result<Self, StoreError> {
        let told = connection
            .query_row("SELECT coalesce(max(seq), 0) FROM change", [], |row| row.get(0))
            .map_err(|error| super::errors::of(&error, "change"))?;
        let waiting = tokio::runtime::Builder::new_current_thread().build();
        let waiting = waiting
            .map_err(|error| StoreError::Setup(format!("cannot start a runtime: {}", error.kind())))?;
        Ok(Self {
            connection,
            binding,
            follower,
            told,
            is_unsettled: false,
            last: (0, Duration::ZERO),
            waiting,
        })
    }

    /// Serves jobs until nobody can send one any more: all changes that wait, and then one job of the rows that grow, so that a
    /// change waits for one of these at most.
    pub(crate) fn serve(&mut self, mut changes: mpsc::Receiver<Job>, mut growth: mpsc::Receiver<Job>) {
        // Growth gets its turn after so many groups, however fast changes come.
        let mut groups = 0;
        while let Some(first) = self.next(&mut changes, &mut growth, groups >= GROUPS_IN_A_ROW) {
            let is_growth = first.lane == Lane::Growth;
            groups = if is_growth { 0 } else { groups + 1 };
            let mut group = vec![first];
            if !is_growth {
                gather(&mut group, &mut changes, self.last);
            }
            if let Err(error) = self.serve_group(group) {
                // Whoever came meanwhile has waited as long.
                while let Ok(mut job) = changes.try_recv() {
                    job.work.answer(Err(error.clone()));
                }
            }
        }
    }

    /// Waits for a job, and settles what is left of a failed commit meanwhile.
    fn next(
        &mut self,
        changes: &mut mpsc::Receiver<Job>,
        growth: &mut mpsc::Receiver<Job>,
        is_growths_turn: bool,
    ) -> Option<Job> {
        if is_growths_turn && let Ok(job) = growth.try_recv() {
            return Some(job);
        }
        while self.is_unsettled {
            match changes.try_recv() {
                Ok(job) => return Some(job),
                Err(mpsc::error::TryRecvError::Disconnected) => break,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            if self.settle() {
                tracing::warn!(
                    "the disk takes changes again: the one whose outcome was not known did not happen"
                );
            } else {
                std::thread::sleep(SETTLE_EVERY);
            }
        }
        self.waiting.block_on(async {
            tokio::select! {
                biased;
                Some(job) = changes.recv() => Some(job),
                Some(job) = growth.recv() => Some(job),
                else => None,
            }
        })
    }

    /// Writes something of no meaning over what a failed commit may have left in the log. Gives whether that worked.
    fn settle(&mut self) -> bool {
        let _bound = self.binding.bind(Bound::System("settle"));
        self.roll_back();
        let settled = self.control(
            "INSERT INTO store_meta (name, value) VALUES ('settled', '1')
             ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)",
        );
        self.is_unsettled = settled.is_err();
        settled.is_ok()
    }

    /// Fails if no transaction could be begun: all of the group were told so.
    fn serve_group(&mut self, mut group: Vec<Job>) -> Result<(), StoreError> {
        let lost = match self.commit(&mut group) {
            Ok(ends) => {
                for (job, end) in group.iter_mut().zip(ends) {
                    job.work.answer(end);
                }
                return Ok(());
            }
            Err(lost) => lost,
        };
        let error = match lost {
            // One of them took the transaction down: alone, each gets what is its own.
            Lost::Undone(_) if group.len() > 1 => {
                return group.into_iter().try_for_each(|job| self.serve_group(vec![job]));
            }
            Lost::NotBegun(ref error) | Lost::Undone(ref error) => error.clone(),
            Lost::Unknown => StoreError::UnknownOutcome,
        };
        for job in &mut group {
            job.work.answer(Err(error.clone()));
        }
        match lost {
            Lost::NotBegun(error) => Err(error),
            Lost::Undone(_) | Lost::Unknown => Ok(()),
        }
    }

    /// Runs the jobs in one transaction and gives each one's end.
    fn commit(&mut self, group: &mut [Job]) -> Result<Vec<Result<(), StoreError>>, Lost> {
        self.roll_back();
        self.control("BEGIN IMMEDIATE").map_err(|error| Lost::NotBegun(error.0))?;
        let mut ends = Vec::with_capacity(group.len());
        for job in group {
            match self.run(job) {
                Ok(end) => ends.push(end),
                Err(error) => {
                    self.roll_back();
                    return Err(Lost::Undone(error));
                }
            }
        }
        let changes = self.changes().map_err(|error| {
            self.roll_back();
            Lost::Undone(error)
        })?;
        if let Some(follower) = self.follower.get() {
            follower.about_to_commit(&changes.1);
        }
        let begun = Instant::now();
        let committed = self.control("COMMIT");
        self.last = (ends.len(), begun.elapsed());
        if let Some(follower) = self.follower.get() {
            match committed {
                Ok(()) => follower.committed(&changes.1),
                Err(_) => follower.not_committed(&changes.1),
            }
        }
        match committed {
            Ok(()) => {
                self.told = changes.0;
                self.is_unsettled = false;
                Ok(ends)
            }
            Err((error, code)) => {
                self.roll_back();
                // A failed write or sync of the log may have left the commit in the file.
                self.is_unsettled |= code == Some(ErrorCode::SystemIoFailure);
                Err(if code == Some(ErrorCode::SystemIoFailure) {
                    Lost::Unknown
                } else {
                    Lost::Undone(error)
                })
            }
        }
    }

    /// The outer error is the transaction's: it is gone, and with it all that the jobs before have done.
    fn run(&self, job: &mut Job) -> Result<Result<(), StoreError>, StoreError> {
        self.control("SAVEPOINT job").map_err(|error| error.0)?;
        let end = {
            let _bound = self.binding.bind(job.bound);
            attempt(
                &mut *job.work,
                &mut Tx::new(job.bound, job.clock.clone(), Engine::Sqlite(&self.connection)),
            )
        };
        if self.connection.is_autocommit() {
            return Err(end.err().unwrap_or_else(|| StoreError::unavailable("the transaction was lost")));
        }
        if end.is_err() {
            self.control("ROLLBACK TO job").map_err(|error| error.0)?;
        }
        self.control("RELEASE job").map_err(|error| error.0)?;
        Ok(end)
    }

    /// What the transaction has changed, for the follower, and the last line of the feed.
    fn changes(&self) -> Result<(i64, Vec<Change>), StoreError> {
        if self.follower.get().is_none() {
            return Ok((self.told, Vec::new()));
        }
        let read = || -> rusqlite::Result<Vec<(i64, String, String, i64)>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT seq, kind, id, row_version FROM change WHERE seq > ?1 ORDER BY seq",
            )?;
            let rows = statement
                .query_map([self.told], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect()
        };
        let rows = read().map_err(|error| super::errors::of(&error, "change"))?;
        let mut told = self.told;
        let mut changes = Vec::with_capacity(rows.len());
        for (seq, kind, id, version) in rows {
            told = told.max(seq);
            // A trigger of a newer schema may tell of what this program has no memory of.
            changes.extend(subject::read(&kind, &id).ok().map(|subject| Change { subject, version }));
        }
        Ok((told, changes))
    }

    fn control(&self, sql: &str) -> Result<(), (StoreError, Option<ErrorCode>)> {
        let run = || self.connection.prepare_cached(sql)?.raw_execute();
        run().map(drop).map_err(|error| (super::errors::of(&error, "transaction"), error.sqlite_error_code()))
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit() && self.control("ROLLBACK").is_err() {
            tracing::error!("a transaction could not be rolled back; the next one will fail too");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_those_whom_the_last_commit_answered_and_for_nobody_else() {
        let (sender, mut changes) = mpsc::channel(QUEUED);
        let long = Duration::from_secs(3600) * PATIENCE;
        // Three more come, once it waits for them; it has an hour.
        let late = std::thread::spawn(move || {
            for job in 1..4 {
                sender.blocking_send(job).unwrap();
                std::thread::yield_now();
            }
            sender
        });
        let mut group = vec![0];
        gather(&mut group, &mut changes, (4, long));
        assert_eq!(group, [0, 1, 2, 3]);
        // As many as the last time, and nobody is waited for.
        let sender = late.join().unwrap();
        let mut group = vec![0];
        gather(&mut group, &mut changes, (1, long));
        assert_eq!(group, [0]);
        // What waits comes along, however many there were; and a group has its most.
        for job in 0..QUEUED {
            sender.blocking_send(job).unwrap();
        }
        let mut group = vec![0];
        gather(&mut group, &mut changes, (usize::MAX, long));
        assert_eq!(group.len(), GROUP);
        // Who does not come is not waited for beyond the part.
        let mut group = vec![0];
        while changes.try_recv().is_ok() {}
        gather(&mut group, &mut changes, (9, Duration::ZERO));
        assert_eq!(group, [0]);
    }

    const QUEUED: usize = GROUP + 10;
}
