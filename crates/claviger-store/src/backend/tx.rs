//! An open transaction, on either engine.

use std::sync::Arc;

use claviger::clock::{Clock, MAX_OFFSET_MILLIS, UnixMillis};

use super::bound::Bound;
use super::postgres::transaction::Transaction;
use super::sqlite::run::run;
use crate::error::StoreError;
use crate::statement::{Reach, Statement, statements};
use crate::value::{Row, Value};
use crate::withdrawals::step::Step;

statements! { "clock";
    /// Only PostgreSQL is asked.
    NOW: Shared [] "SELECT 0" postgres "SELECT claviger_now()";
}

/// An open transaction.
pub(crate) struct Tx<'c> {
    bound: Bound,
    pub(super) engine: Engine<'c>,
    /// The first statement that failed: what follows it in the transaction is not to be trusted.
    failed: Option<StoreError>,
    /// Whether the connection must serve nobody any more.
    pub(super) is_discarded: bool,
    clock: Arc<dyn Clock>,
    now: Option<UnixMillis>,
    pub(super) withdrawn: Vec<Step>,
    /// Whether it lets somebody in.
    grants: bool,
    /// How far this machine's clock is behind the store's, beyond what the question took.
    behind_millis: i64,
}

pub(super) enum Engine<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(Transaction<'c>),
}

impl<'c> Tx<'c> {
    /// Runs a registered statement and gives its rows.
    ///
    /// A unit in which a statement failed cannot commit, on neither engine, whatever it makes of the error.
    pub(crate) async fn run(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        self.guard(statement, params)?;
        let answer = match &mut self.engine {
            Engine::Sqlite(connection) => run(connection, statement, params),
            Engine::Postgres(transaction) => transaction.run(statement, params).await,
        };
        self.grants |= answer.is_ok() && statement.grants(params);
        match &answer {
            // The one node of an embedded store is lost and found with it.
            Ok(_) if statement.withdraws(params) && !self.is_embedded() => {
                self.withdrawn.push(Step::new(statement.name, params));
            }
            Ok(_) => {}
            Err(error) => {
                self.failed.get_or_insert_with(|| error.clone());
            }
        }
        answer
    }

    /// Runs a statement that gives one row at most.
    pub(crate) async fn run_one(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.run(statement, params).await?.into_iter().next())
    }

    /// The store's time of day, the same for the whole unit: no node's own. To be asked for once the unit holds what it
    /// has to wait for.
    pub(crate) async fn now(&mut self) -> Result<UnixMillis, StoreError> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let now = match &self.engine {
            // The one process that has the file has the one clock.
            Engine::Sqlite(_) => self.clock.now(),
            Engine::Postgres(_) => {
                let asked = self.clock.time_of_day();
                let row = self.run_one(&NOW, &[]).await?;
                let now = row.ok_or(StoreError::Corrupt { what: "clock" })?.read().time()?;
                self.behind_millis =
                    match (now.0.saturating_sub(asked.0), now.0.saturating_sub(self.clock.time_of_day().0)) {
                        (ahead_of_question, _) if ahead_of_question < 0 => ahead_of_question,
                        (_, ahead_of_answer) => ahead_of_answer.max(0),
                    };
                now
            }
        };
        Ok(*self.now.insert(now))
    }

    /// Nothing is granted while this machine's clock and the store's differ: one of them is wrong, and what is granted has
    /// an end by one of them. The clock of an embedded store is this process's.
    pub(crate) async fn may_grant(&mut self) -> Result<(), StoreError> {
        if !self.grants || self.is_embedded() {
            return Ok(());
        }
        self.now().await?;
        match self.behind_millis {
            off if off.unsigned_abs() > MAX_OFFSET_MILLIS => Err(StoreError::ClockOff(off)),
            _ => Ok(()),
        }
    }

    /// Where a named job's read was answered, in the snapshot that all its statements share: server, timeline, table
    /// and epoch of the feed. `None` before the first statement, of other units, and while the server's feed has no
    /// epoch.
    pub(crate) fn origin(&self) -> Option<&str> {
        match &self.engine {
            Engine::Sqlite(_) => Some("sqlite"),
            Engine::Postgres(transaction) => transaction.origin(),
        }
    }

    /// Whether the store is this process's alone, and its clock this process's.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.engine, Engine::Sqlite(_))
    }

    /// What was withdrawn is kept elsewhere.
    pub(crate) fn forget_withdrawn(&mut self) {
        self.withdrawn.clear();
    }

    /// Whether the engine was asked anything.
    pub(crate) fn has_run(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(_) => true,
            Engine::Postgres(transaction) => transaction.has_begun(),
        }
    }

    /// The connection is not to be used again: it leads to another server than the one wanted.
    pub(crate) fn discard(&mut self) {
        self.is_discarded = true;
    }

    /// The binding guard: a statement runs for the tenant that is bound or not at all.
    fn guard(&self, statement: &'static Statement, params: &[Value]) -> Result<(), StoreError> {
        let allowed = match (self.bound, statement.reach) {
            (_, Reach::Shared) | (Bound::System(_), Reach::System) => true,
            (Bound::Tenant(tenant), Reach::Tenant) => params.first() == Some(&Value::from(tenant)),
            (Bound::System(_), Reach::Tenant) | (Bound::Tenant(_), Reach::System) => false,
        };
        if allowed && params.len() == statement.params.len() {
            return Ok(());
        }
        Err(StoreError::Refused { why: "the statement reaches beyond what the transaction is bound to" })
    }

    pub(super) fn new(bound: Bound, clock: Arc<dyn Clock>, engine: Engine<'c>) -> Self {
        Self {
            bound,
            engine,
            failed: None,
            is_discarded: false,
            clock,
            now: None,
            withdrawn: Vec::new(),
            grants: false,
            behind_millis: 0,
        }
    }

    /// The end of the unit: its own error, or the first statement's that it passed over.
    pub(super) fn verdict(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        match (outcome, self.failed.take()) {
            (Err(error), _) | (Ok(()), Some(error)) => Err(error),
            (Ok(()), None) => Ok(()),
        }
    }
}
