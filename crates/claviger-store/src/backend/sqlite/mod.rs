//! SQLite: one writer thread with group commit, some reader threads, one process on the file.

#[cfg(test)]
mod attacks;
pub(crate) mod connect;
pub(crate) mod errors;
pub(crate) mod reader;
pub(crate) mod walls;
pub(crate) mod writer;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio::sync::{Mutex, mpsc, watch};

use super::{Bound, FollowerSlot, Job, Mode, Tx, Work};
use crate::error::StoreError;
use crate::noun::Nouns;
use crate::statement::Statement;
use crate::value::{Row, Value};

/// Jobs that may wait for a thread before callers wait for a place in the queue.
const QUEUE: usize = 1024;

/// An open database file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    writer: Mutex<Option<mpsc::Sender<Job>>>,
    write: mpsc::WeakSender<Job>,
    read: mpsc::WeakSender<Job>,
    reader: Mutex<Option<mpsc::Sender<Job>>>,
    /// Closed once the last thread has ended.
    threads: watch::Receiver<()>,
}

impl Sqlite {
    /// Opens the file at `path`, which is made if there is none, and starts the threads.
    ///
    /// # Errors
    /// If another process has it, a wall does not stand, or the file cannot be used.
    pub(crate) fn open(
        path: &Path,
        nouns: Nouns,
        readers: usize,
        follower: FollowerSlot,
    ) -> Result<Self, StoreError> {
        let lock = connect::lock(path)?;
        let writer = connect::writer(path, nouns)?;
        let (write, write_queue) = mpsc::channel(QUEUE);
        let (read, read_queue) = mpsc::channel(QUEUE);
        let (alive, threads) = watch::channel(());
        // In this order: the lock is gone before anybody hears that the threads are.
        let alive = Arc::new((lock, alive));
        let mut writer = writer::Writer::new(writer, follower)?;
        let writer_alive = Arc::clone(&alive);
        spawn("claviger-write", move || {
            writer.serve(write_queue);
            // The file is given free after the connection is closed.
            drop(writer);
            drop(writer_alive);
        })?;
        let read_queue = Arc::new(std::sync::Mutex::new(read_queue));
        for _ in 0..readers.max(1) {
            let reader = reader::Reader::open(path, nouns)?;
            let queue = Arc::clone(&read_queue);
            let alive = Arc::clone(&alive);
            spawn("claviger-read", move || {
                reader.serve(&queue);
                drop(reader);
                drop(alive);
            })?;
        }
        Ok(Self {
            write: write.downgrade(),
            writer: Mutex::new(Some(write)),
            read: read.downgrade(),
            reader: Mutex::new(Some(read)),
            threads,
        })
    }

    pub(crate) async fn submit(&self, job: Job) -> Result<(), StoreError> {
        let queue = match job.mode {
            Mode::Read => &self.read,
            Mode::Write => &self.write,
        };
        let closed = || StoreError::unavailable("the store was closed");
        queue.upgrade().ok_or_else(closed)?.send(job).await.map_err(|_| closed())
    }

    pub(crate) async fn close(&self) {
        drop(self.writer.lock().await.take());
        drop(self.reader.lock().await.take());
        let mut threads = self.threads.clone();
        // Nothing is ever sent: this ends when the last thread has dropped its end.
        while threads.changed().await.is_ok() {}
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(body)
        .map(drop)
        .map_err(|error| StoreError::Setup(format!("cannot start a thread: {}", error.kind())))
}

/// Polls the unit of work once: on this engine no statement ever waits.
fn attempt(work: &mut dyn Work, tx: &mut Tx<'_>) -> Result<(), StoreError> {
    // A unit that panics fails by itself: the thread serves all the others, and what the unit did is undone.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut future = pin!(work.attempt(tx));
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                Err(StoreError::Refused { why: "a unit of work waits for something else than the store" })
            }
        }
    }));
    tx.verdict(outcome.unwrap_or_else(|_| Err(StoreError::unavailable("the unit of work broke off"))))
}

/// Prepares, binds and runs a statement, and reads every row of it.
pub(crate) fn run(
    connection: &Connection,
    statement: &'static Statement,
    params: &[Value],
) -> Result<Vec<Row>, StoreError> {
    let answer = (|| {
        let mut prepared = connection.prepare_cached(statement.for_sqlite())?;
        // The authorizer is not asked about EXPLAIN, which tells how the walls are made.
        if prepared.is_explain() != 0 {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let mut rows = prepared.query(rusqlite::params_from_iter(params))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let width = row.as_ref().column_count();
            let columns =
                (0..width).map(|at| row.get_ref(at).map(value_of)).collect::<Result<Vec<_>, _>>()?;
            found.push(columns);
        }
        Ok(found)
    })();
    let found = answer.map_err(|error| errors::of(&error, statement.noun))?;
    let row = |columns: Option<Vec<Value>>| {
        columns
            .map(|columns| Row { noun: statement.noun, columns })
            .ok_or(StoreError::Corrupt { what: statement.noun })
    };
    found.into_iter().map(|columns| row(columns.into_iter().collect())).collect()
}

/// `None` for what our tables never hold: a fraction, or text that is not UTF-8.
fn value_of(column: ValueRef<'_>) -> Option<Value> {
    match column {
        ValueRef::Null => Some(Value::Null),
        ValueRef::Integer(number) => Some(Value::Int(number)),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(Value::from),
        ValueRef::Blob(bytes) => Some(Value::from(bytes)),
        ValueRef::Real(_) => None,
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Int(number) => ToSqlOutput::Owned((*number).into()),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Uuid(bytes) => ToSqlOutput::Owned(uuid::Uuid::from_bytes(*bytes).to_string().into()),
        })
    }
}

/// What `current_tenant()` and `system_job()` of one connection answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Binding(Arc<std::sync::Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    tenant: Option<String>,
    system: bool,
}

impl Binding {
    /// Binds the connection until the guard is dropped.
    fn bind(&self, bound: Bound) -> BoundGuard<'_> {
        self.set(match bound {
            Bound::Tenant(tenant) => Held { tenant: Some(tenant.to_string()), system: false },
            Bound::System(_) => Held { tenant: None, system: true },
        });
        BoundGuard(self)
    }

    fn set(&self, held: Held) {
        // Nothing can panic while the lock is held, so that a poisoned one still holds a whole value.
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = held;
    }

    fn tenant(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).tenant.clone()
    }

    fn is_system(&self) -> bool {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).system
    }
}

/// Unbinds the connection when it goes. Every statement of the unit was read to its end and reset by then.
struct BoundGuard<'a>(&'a Binding);

impl Drop for BoundGuard<'_> {
    fn drop(&mut self) {
        self.0.set(Held::default());
    }
}
