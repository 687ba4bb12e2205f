//! SQLite: one writer thread with group commit, some reader threads, one process on the file. Rows that grow or count have queues
//! of their own, and a reader.

#[cfg(test)]
mod attacks;
mod attempt;
pub(crate) mod binding;
pub(crate) mod connect;
pub(crate) mod errors;
pub(crate) mod lock;
pub(crate) mod migrate;
pub(crate) mod reader;
pub(crate) mod run;
pub(crate) mod walls;
pub(crate) mod writer;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, mpsc, watch};

use super::bound::{FollowerSlot, Lane, Mode};
use super::unit::Job;
use crate::error::StoreError;
use crate::noun::Nouns;
use lock::{Holding, LockFile};

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
    path: PathBuf,
    lock: LockFile,
    /// Closed once the writer has ended and given the lock back.
    writer: watch::Receiver<()>,
    /// Closed once the last thread has ended.
    threads: watch::Receiver<()>,
    /// Which file it is, from the moment on that another process may write it.
    handed_over: OnceLock<Option<FileId>>,
}

/// A file, whatever it is called: device and inode.
type FileId = (u64, u64);

fn file_id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Sqlite {
    /// Opens the file at `path`, which is made if there is none, and starts the threads.
    ///
    /// # Errors
    /// If another process has it, a wall does not stand, or the file cannot be used.
    pub(crate) async fn open(
        path: &Path,
        nouns: Nouns,
        readers: usize,
        follower: FollowerSlot,
    ) -> Result<Self, StoreError> {
        let lock_file = LockFile::of(path);
        let lock = lock_file.take().await?;
        let writer = connect::writer(path, nouns)?;
        let (write, changes) = Queue::new();
        let (write_growth, growth) = Queue::new();
        let (read, read_queue) = Queue::new();
        let (read_growth, read_growth_queue) = Queue::new();
        let (alive, threads) = watch::channel(());
        let alive = Arc::new(alive);
        let (writes, writer_ends) = watch::channel(());
        let mut writer = writer::Writer::new(writer, follower)?;
        let writer_alive = Arc::clone(&alive);
        spawn("claviger-write", move || {
            writer.serve(changes, growth);
            // In this order: the connection is closed before the lock is gone, which is before anybody hears of it.
            drop(writer);
            drop(lock);
            drop(writes);
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
        Ok(Self {
            write,
            write_growth,
            read,
            read_growth,
            path: path.to_owned(),
            lock: lock_file,
            writer: writer_ends,
            threads,
            handed_over: OnceLock::new(),
        })
    }

    /// Tells whoever wants the file next what this process is about to do.
    pub(crate) fn say(&self, holding: Holding) -> Result<(), StoreError> {
        self.lock.say(holding)
    }

    /// Writes nothing from now on and gives the lock back, once what was begun is done. Readers go on, and see what the next
    /// process writes.
    pub(crate) async fn hand_over(&self) {
        let _only_one = self.handed_over.set(file_id(&self.path));
        for queue in [&self.write, &self.write_growth] {
            queue.close().await;
        }
        let mut writer = self.writer.clone();
        // Nothing is ever sent: this ends with the writer.
        while writer.changed().await.is_ok() {}
    }

    /// Whether what is read is what others write. A file that was put in another's place is read no more by those who have the
    /// old one open.
    fn is_read(&self) -> Result<(), StoreError> {
        match self.handed_over.get() {
            Some(file) if file.is_none() || file_id(&self.path) != *file => Err(StoreError::unavailable(
                "another database file stands in the place of the one that is read",
            )),
            _ => Ok(()),
        }
    }

    pub(crate) async fn submit(&self, job: Job) -> Result<(), StoreError> {
        self.is_read()?;
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
