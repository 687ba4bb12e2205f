//! The file in which a node keeps the withdrawals that it has acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger::clock::UnixMillis;
use claviger::random::Random;

use super::step::Record;
use crate::error::StoreError;

/// How long withdrawals are looked for after a failover, in seconds: a week. A store that is older than that is a restored
/// one, which somebody has to accept.
pub const KEPT_SECONDS: i64 = 7 * 24 * 60 * 60;

/// The file, and the one before it.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    random: Arc<dyn Random>,
}

impl Journal {
    /// Keeps withdrawals in the file at `path`, which is made if there is none.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub(crate) fn open(path: &Path, random: Arc<dyn Random>) -> Result<Self, StoreError> {
        let failed = |why: &dyn std::fmt::Display| {
            let shown = path.display();
            StoreError::Setup(format!(
                "the withdrawals cannot be kept in `{shown}`: {why}; name another `store.withdrawals_file`"
            ))
        };
        if let Some(folder) = folder_of(path) {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| failed(&error.kind()))?;
        }
        let journal = Self { path: path.to_owned(), random };
        let file = journal.file().map_err(|error| failed(&error.kind()))?;
        if !file.metadata().map_err(|error| failed(&error.kind()))?.is_file() {
            return Err(failed(&"it is no file"));
        }
        Ok(journal)
    }

    /// A new name for a withdrawal.
    pub(crate) fn name(&self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Opened anew for each withdrawal, as another process of this node may have moved it away.
    fn file(&self) -> std::io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)
    }

    /// Where the file before this one is.
    fn older(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".old");
        name.into()
    }

    /// Begins a new file once all of the one before is too old to be looked for: none grows for longer than twice the time
    /// that withdrawals are kept.
    ///
    /// # Errors
    /// If the file cannot be read or moved.
    pub(super) fn rotate(&self, now: UnixMillis) -> std::io::Result<bool> {
        let mut first = String::new();
        BufReader::new(File::open(&self.path)?).read_line(&mut first)?;
        let begun = serde_json::from_str::<Record>(&first).map_or(now.0, |record| record.at);
        if begun >= now.plus_seconds(-KEPT_SECONDS).0 {
            return Ok(false);
        }
        std::fs::rename(&self.path, self.older()).map(|()| true)
    }

    /// Keeps a withdrawal that was committed: on the disk when it returns.
    ///
    /// # Errors
    /// If it could not be: it must not be acknowledged.
    pub(crate) fn keep(&self, record: &Record) -> Result<(), StoreError> {
        let write = || -> std::io::Result<()> {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            let mut file = self.file()?;
            // In one piece: other processes of this node write to the same file.
            file.write_all(&line)?;
            file.sync_data()?;
            // The file itself may be new, and has to be found again. Whether it is cannot be told from its length, as another
            // process may have begun it and not got this far; of a folder that has not changed it costs next to nothing.
            File::open(folder_of(&self.path).unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|error| {
            tracing::error!(file = %self.path.display(), %error, "a withdrawal was stored and could not be kept here");
            StoreError::UnknownOutcome
        })
    }

    /// The withdrawals of this store since `since`. A last line without its end was never acknowledged.
    pub(super) fn records(&self, store: &str, since: UnixMillis) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        for path in [self.older(), self.path.clone()] {
            let shown = path.display();
            let text = match std::fs::read_to_string(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                text => text.map_err(|error| {
                    let kind = error.kind();
                    StoreError::unavailable(format!("the withdrawals in `{shown}` cannot be read ({kind})"))
                })?,
            };
            let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
            for (at, line) in whole.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
                match serde_json::from_str::<Record>(line) {
                    Ok(record) if record.store == store && record.at >= since.0 => records.push(record),
                    Ok(_) => {}
                    // Torn by a crash in the middle of a write, and followed by others since: never acknowledged.
                    Err(error) => {
                        tracing::warn!(file = %shown, line = at + 1, %error, "no withdrawal is in this line")
                    }
                }
            }
        }
        Ok(records)
    }
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use claviger::testing::Counting;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_withdrawal_that_cannot_be_kept_is_not_acknowledged() {
        let folder = Folder::make();
        let path = folder.path().join("withdrawals.jsonl");
        let record =
            Record { id: uuid::Uuid::nil(), at: 7, store: "s".into(), tenant: None, steps: Vec::new() };
        let journal = Journal::open(&path, Arc::new(Counting::default())).unwrap();
        journal.keep(&record).unwrap();
        assert_eq!(journal.records("s", UnixMillis(7)).unwrap(), std::slice::from_ref(&record));
        assert_eq!(
            (journal.records("t", UnixMillis(7)).unwrap(), journal.records("s", UnixMillis(8)).unwrap()),
            (vec![], vec![])
        );
        // Where nothing can be written any more.
        let gone = Journal { path: folder.path().join("gone/withdrawals.jsonl"), ..journal };
        assert_eq!(gone.keep(&record), Err(StoreError::UnknownOutcome));
        let error = Journal::open(Path::new("/dev/full"), Arc::new(Counting::default())).unwrap_err();
        assert!(error.to_string().contains("it is no file"), "{error}");
    }

    #[test]
    fn a_file_gives_way_when_all_of_the_one_before_it_is_too_old() {
        let folder = Folder::make();
        let path = folder.path().join("withdrawals.jsonl");
        let journal = Journal::open(&path, Arc::new(Counting::default())).unwrap();
        let keep = |at: i64| {
            let record =
                Record { id: uuid::Uuid::nil(), at, store: "s".into(), tenant: None, steps: Vec::new() };
            journal.keep(&record).unwrap();
        };
        let kept = || -> Vec<i64> {
            journal.records("s", UnixMillis(i64::MIN)).unwrap().iter().map(|record| record.at).collect()
        };
        let (day, week) = (86_400_000, KEPT_SECONDS * 1000);
        assert!(!journal.rotate(UnixMillis(week)).unwrap(), "an empty one is not old");
        keep(0);
        keep(6 * day);
        assert!(!journal.rotate(UnixMillis(week)).unwrap());
        assert!(journal.rotate(UnixMillis(week + 1)).unwrap());
        keep(week + 2);
        assert_eq!(kept(), [0, 6 * day, week + 2]);
        // A week after the new one was begun nothing of the old one counts.
        assert!(!journal.rotate(UnixMillis(2 * week + 2)).unwrap());
        assert!(journal.rotate(UnixMillis(2 * week + 3)).unwrap());
        keep(2 * week + 3);
        assert_eq!(kept(), [week + 2, 2 * week + 3]);
    }
}
