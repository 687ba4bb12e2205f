//! SQLite: one writer thread with group commit, some reader threads, one process on the file.

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

use super::bound::{FollowerSlot, Mode};
use super::unit::Job;
use crate::error::StoreError;
use crate::noun::Nouns;

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
