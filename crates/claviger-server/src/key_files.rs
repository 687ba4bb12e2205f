//! Public keys of other issuers, read again when their file changes: an issuer's next key needs no restart.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claviger::key_set::KeySet;

use crate::config::KeyFile;
use crate::file_version::FileVersion;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The files of all issuers.
#[derive(Debug)]
pub(crate) struct KeyFiles(Mutex<Vec<Watched>>);

#[derive(Debug)]
struct Watched {
    file: KeyFile,
    /// What the file was when it was last read, whether it could be used or not.
    seen: Option<FileVersion>,
}

impl KeyFiles {
    /// Files that were read just now.
    pub(crate) fn new(files: impl IntoIterator<Item = KeyFile>) -> Arc<Self> {
        let watched = |file: KeyFile| Watched { seen: FileVersion::of(&file.path), file };
        Arc::new(Self(Mutex::new(files.into_iter().map(watched).collect())))
    }

    /// Looks at these from now on, and reads each at the next look: what is remembered of one may be older than its file.
    pub(crate) fn replace(&self, files: impl IntoIterator<Item = KeyFile>) {
        let watched = |file: KeyFile| Watched { seen: None, file };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = files.into_iter().map(watched).collect();
    }

    /// Looks at them from now on, until the runtime ends.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let files = self.clone();
            // A file may be on a disk that does not answer.
            if tokio::task::spawn_blocking(move || files.look(false)).await.is_err() {
                return;
            }
        }
    }

    /// Reads those that have changed; all of them if that is asked for.
    pub(crate) fn look(&self, all: bool) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for watched in watched.iter_mut() {
            // Before the file is read: what is written meanwhile is a change the next time.
            let version = FileVersion::of(&watched.file.path);
            if all || version != watched.seen {
                watched.seen = version;
                read_again(&watched.file);
            }
        }
    }
}

fn read_again(file: &KeyFile) {
    let issuer = &file.issuer;
    match file.read() {
        Ok(keys) => {
            let names: Vec<&str> = keys.keys().iter().map(|key| key.kid()).collect();
            tracing::info!(%issuer, keys = ?names, "the issuer's keys were read again");
            tell_passed_over(issuer, &keys);
            file.keys.replace(keys);
        }
        Err(why) => {
            tracing::error!(%issuer, "the issuer's keys could not be read again, and the last ones stay: {why}");
        }
    }
}

/// Keys that are of no use are named, or whoever published them would not know why their tokens are refused.
pub(crate) fn tell_passed_over(issuer: &str, keys: &KeySet) {
    for passed in keys.passed_over() {
        tracing::warn!(%issuer, "the key {passed}");
    }
}
