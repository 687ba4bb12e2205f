//! The lock of a directory with an embedded store: one process at a time writes, and says how long it will.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::StoreError;

/// How often it is tried again to take a lock whose holder is about to give it up.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// How long somebody may have it who only looks whether it is free: a crashed server's last word still stands there then.
const LOOKED_AT_MOST: Duration = Duration::from_millis(100);
/// How long a holder who says nothing may take.
const PASSING_AT_MOST: Duration = Duration::from_secs(10);
/// How long one who is leaving may take.
const LEAVING_AT_MOST: Duration = Duration::from_secs(600);

/// What a process that has a store open is about to do. Whoever wants the store next goes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// It does something and ends, as a command does.
    Passing,
    /// It stays: whoever else wants an embedded store is told that it is taken.
    Serving,
    /// It is about to stop, and still takes what comes.
    Leaving,
    /// It takes nothing more from now on, and gives the store up as soon as it can.
    Closing,
}

impl Holding {
    fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Serving => "serving",
            Self::Leaving => "leaving",
            Self::Closing => "closing",
        }
    }

    fn read(text: &str) -> Self {
        let known = [Self::Serving, Self::Leaving, Self::Closing];
        known.into_iter().find(|holding| holding.as_str() == text).unwrap_or(Self::Passing)
    }

    fn patience(self) -> Duration {
        match self {
            Self::Serving => LOOKED_AT_MOST,
            Self::Passing => PASSING_AT_MOST,
            Self::Leaving | Self::Closing => LEAVING_AT_MOST,
        }
    }
}

/// The directory's lock, held until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Not left to closing the file: a process that is just being started may still have it open.
        let _ = self.0.unlock();
    }
}

/// Where the lock of the database at `path` is.
#[derive(Debug, Clone)]
pub(crate) struct LockFile(PathBuf);

impl LockFile {
    pub(crate) fn of(path: &Path) -> Self {
        Self(path.with_file_name("claviger.lock"))
    }

    fn cannot(&self, what: &str, error: &std::io::Error) -> StoreError {
        StoreError::Setup(format!("cannot {what} `{}`: {}", self.0.display(), error.kind()))
    }

    fn open(&self) -> Result<File, StoreError> {
        let options =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).clone();
        options.open(&self.0).map_err(|error| self.cannot("open", &error))
    }

    /// What whoever has the lock says. Means nothing where nobody has it.
    fn said(&self) -> Holding {
        let mut text = String::new();
        let read = File::open(&self.0).and_then(|file| file.take(64).read_to_string(&mut text));
        read.map_or(Holding::Passing, |_| Holding::read(text.trim()))
    }

    /// Says what the holder of the lock, which is this process, is about to do.
    pub(crate) fn say(&self, holding: Holding) -> Result<(), StoreError> {
        // Every word is as long, so that a reader finds the old one or the new one.
        let written = OpenOptions::new()
            .write(true)
            .open(&self.0)
            .and_then(|mut file| file.write_all(format!("{}\n", holding.as_str()).as_bytes()));
        written.map_err(|error| self.cannot("write", &error))
    }

    /// What the process that has the lock is about to do; `None` if none has it.
    pub(crate) fn holder(&self) -> Option<Holding> {
        let said = self.said();
        let is_free = File::open(&self.0).is_ok_and(|file| match file.try_lock_shared() {
            Ok(()) => file.unlock().is_ok(),
            Err(_) => false,
        });
        if is_free || !self.0.exists() {
            return None;
        }
        Some(said)
    }

    /// Takes the lock; waits for it where its holder is about to give it up.
    ///
    /// # Errors
    /// If the one who has it stays, or takes too long.
    pub(crate) async fn take(&self) -> Result<Lock, StoreError> {
        let (begun, file) = (Instant::now(), self.open()?);
        let mut is_told = false;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    let lock = Lock(file);
                    self.say(Holding::Passing)?;
                    return Ok(lock);
                }
                Err(TryLockError::WouldBlock) => {
                    let said = self.said();
                    if begun.elapsed() >= said.patience() {
                        return Err(StoreError::Setup(format!(
                            "another process uses the database in this directory: `{}` is locked",
                            self.0.display()
                        )));
                    }
                    if said != Holding::Passing && !is_told {
                        tracing::info!("waiting for the server before this one, which is about to stop");
                        is_told = true;
                    }
                    sleep(TRY_EVERY).await;
                }
                Err(TryLockError::Error(error)) => return Err(self.cannot("lock", &error)),
            }
        }
    }
}
