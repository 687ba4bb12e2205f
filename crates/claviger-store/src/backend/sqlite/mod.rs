//! SQLite: one writer thread with group commit, some reader threads, one process on the file. Rows that grow or count have queues
//! of their own, and a reader.

#[cfg(test)]
mod attacks;
mod attempt;
pub(crate) mod binding;
pub(crate) mod connect;
pub(crate) mod errors;
pub(crate) mod migrate;
pub(crate) mod reader;
pub(crate) mod run;
pub(crate) mod walls;
pub(crate) mod writer;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, watch};

use super::bound::{FollowerSlot, Lane, Mode};
use super::unit::Job;
use crate::error::StoreError;
use crate::noun::Nouns;

/// Jobs that may wait for a thread before callers wait for a place in the queue.
const QUEUE: usize = 1024;

/// Where jobs wait for a thread, until it is closed.
#[derive(Debug)]
struct Queue {
    open: Mutex<Option<mpsc::Sender<Job>>>,
    sender: mpsc::WeakSender<Job>,
}

impl Queue {
    fn new() -> (Self, mpsc::Receiver<Job>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender: sender.downgrade(), open: Mutex::new(Some(sender)) }, receiver)
    }

    async fn submit(&self, job: Job) -> Result<(), StoreError> {
        let closed = || StoreError::unavailable("the store was closed");
        self.sender.upgrade().ok_or_else(closed)?.send(job).await.map_err(|_| closed())
    }

    async fn close(&self) {
        drop(self.open.lock().await.take());
    }
}

/// An open database file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    write: Queue,
    write_growth: Queue,
    read: Queue,
    read_growth: Queue,
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
        let (write, changes) = Queue::new();
        let (write_growth, growth) = Queue::new();
        let (read, read_queue) = Queue::new();
        let (read_growth, read_growth_queue) = Queue::new();
        let (alive, threads) = watch::channel(());
        // In this order: the lock is gone before anybody hears that the threads are.
        let alive = Arc::new((lock, alive));
        let mut writer = writer::Writer::new(writer, follower)?;
        let writer_alive = Arc::clone(&alive);
        spawn("claviger-write", move || {
            writer.serve(changes, growth);
            // The file is given free after the connection is closed.
            drop(writer);
            drop(writer_alive);
        })?;
        let read_queue = Arc::new(std::sync::Mutex::new(read_queue));
        let read_growth_queue = Arc::new(std::sync::Mutex::new(read_growth_queue));
        let queues =
            std::iter::once(&read_growth_queue).chain(std::iter::repeat_n(&read_queue, readers.max(1)));
        for queue in queues {
            let reader = reader::Reader::open(path, nouns)?;
            let queue = Arc::clone(queue);
            let alive = Arc::clone(&alive);
            spawn("claviger-read", move || {
                reader.serve(&queue);
                drop(reader);
                drop(alive);
            })?;
        }
        Ok(Self { write, write_growth, read, read_growth, threads })
    }

    pub(crate) async fn submit(&self, job: Job) -> Result<(), StoreError> {
        let queue = match (job.mode, job.lane) {
            (Mode::Read, Lane::Growth) => &self.read_growth,
            (Mode::Read, Lane::Feed | Lane::Directory | Lane::Changes) => &self.read,
            (Mode::Write, Lane::Growth) => &self.write_growth,
            (Mode::Write, Lane::Feed | Lane::Directory | Lane::Changes) => &self.write,
        };
        queue.submit(job).await
    }

    pub(crate) async fn close(&self) {
        for queue in [&self.write, &self.write_growth, &self.read, &self.read_growth] {
            queue.close().await;
        }
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
