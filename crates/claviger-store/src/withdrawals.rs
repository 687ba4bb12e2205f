//! Withdrawals that outlive the store: what this node has acknowledged, in a file of its own.
//!
//! A server that takes over after another one was lost may lack that one's last commits. Whoever was told that a credential
//! is revoked was told so by a node; so the node keeps it in a file, synced before the answer, and names it in a row of the
//! same transaction. A node that starts, or finds its feed to come from elsewhere, looks for names that the store does not
//! have, and does those withdrawals again before it believes the store. A withdrawal is a registered statement that takes
//! something away, with its parameters; done twice it takes away no more.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger::clock::UnixMillis;
use claviger::id::TenantId;
use claviger::random::Random;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::actor::Actor;
use crate::audit::Entry;
use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;
use crate::registry;
use crate::statement::statements;
use crate::store::Inner;
use crate::value::{Value, values};

statements! { "withdrawal";
    WITHDRAWAL_ADD: Shared [Uuid, Int]
        "INSERT INTO withdrawal (withdrawal_id, at) VALUES ($1, $2)";
    WITHDRAWALS_LACKING: System [Text]
        "SELECT j.value FROM json_each($1) AS j WHERE NOT EXISTS (SELECT 1 FROM withdrawal WHERE withdrawal_id = j.value)"
        postgres "SELECT j.value FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS j(value)
         WHERE NOT EXISTS (SELECT 1 FROM withdrawal WHERE withdrawal_id = CAST(j.value AS uuid))";
    WITHDRAWALS_SWEEP: System [Int] "DELETE FROM withdrawal WHERE at < $1 RETURNING at";
}

/// How long withdrawals are looked for after a failover, in seconds: a week. A store that is older than that is a restored
/// one, which somebody has to accept.
pub const KEPT_SECONDS: i64 = 7 * 24 * 60 * 60;

/// A parameter as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Parameter {
    Null,
    Int(i64),
    Text(String),
    Hex(String),
    Uuid(uuid::Uuid),
}

impl Parameter {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Int(*number),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Blob(bytes) => Self::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            Value::Uuid(bytes) => Self::Uuid(uuid::Uuid::from_bytes(*bytes)),
        }
    }

    fn value(&self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text.clone()),
            Self::Hex(hex) => {
                let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
                let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
                Value::Blob(bytes?)
            }
            Self::Uuid(id) => Value::Uuid(id.into_bytes()),
        })
    }
}

/// A statement that took something away, and what it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    statement: String,
    parameters: Vec<Parameter>,
}

impl Step {
    pub(crate) fn new(statement: &'static str, parameters: &[Value]) -> Self {
        Self { statement: statement.to_owned(), parameters: parameters.iter().map(Parameter::of).collect() }
    }
}

/// What one unit of work withdrew: a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    id: uuid::Uuid,
    at: i64,
    store: String,
    /// Whose; of nobody in particular if there is none.
    tenant: Option<String>,
    steps: Vec<Step>,
}

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
    fn rotate(&self, now: UnixMillis) -> std::io::Result<bool> {
        let mut first = String::new();
        BufReader::new(File::open(&self.path)?).read_line(&mut first)?;
        let begun = serde_json::from_str::<Record>(&first).map_or(now.0, |record| record.at);
        if begun >= now.plus_seconds(-KEPT_SECONDS).0 {
            return Ok(false);
        }
        std::fs::rename(&self.path, self.older()).map(|()| true)
    }

    /// Names what a unit withdrew in its transaction.
    pub(crate) async fn name(
        &self,
        tx: &mut Tx<'_>,
        store: &str,
        tenant: Option<TenantId>,
        steps: Vec<Step>,
    ) -> Result<Record, StoreError> {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let at = tx.now().await?;
        tx.run(&WITHDRAWAL_ADD, values![Value::Uuid(id.into_bytes()), at]).await?;
        let tenant = tenant.map(|tenant| tenant.to_string());
        Ok(Record { id, at: at.0, store: store.to_owned(), tenant, steps })
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
    fn records(&self, store: &str, since: UnixMillis) -> Result<Vec<Record>, StoreError> {
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

/// Does again what this node has acknowledged and the store does not have. Gives how many.
///
/// # Errors
/// If the store does not answer, or there is a withdrawal that this program does not know: then the store must not be
/// believed yet.
pub(crate) async fn repeat_missing(inner: &Inner) -> Result<usize, StoreError> {
    let Some(journal) = inner.journal.as_deref() else { return Ok(0) };
    let job = Bound::System("withdrawals");
    let now = inner.run(job, Mode::Read, async |tx: &mut Tx<'_>| tx.now().await).await?;
    let records = journal.records(&inner.id, now.plus_seconds(-KEPT_SECONDS))?;
    let mut done = 0;
    // So many at a time that none of the questions is long.
    for part in records.chunks(5000) {
        let ids = json!(part.iter().map(|record| record.id).collect::<Vec<_>>()).to_string();
        let lacking = inner
            .run(job, Mode::Read, async move |tx: &mut Tx<'_>| {
                let rows = tx.run(&WITHDRAWALS_LACKING, values![&ids]).await?;
                rows.into_iter().map(|row| row.read().text()).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        for record in part.iter().filter(|record| lacking.contains(&record.id.to_string())) {
            repeat(inner, record.clone()).await?;
            done += 1;
        }
    }
    if done > 0 {
        tracing::warn!(
            withdrawals = done,
            "the store lacked withdrawals that this node had acknowledged: done again"
        );
    }
    Ok(done)
}

/// Begins a new file if it is time. What goes wrong with it is for the log: the old one is as good.
pub(crate) fn rotate(inner: &Inner, now: UnixMillis) {
    if let Some(Err(error)) = inner.journal.as_ref().map(|journal| journal.rotate(now)) {
        tracing::warn!(%error, "the file of withdrawals could not be begun anew");
    }
}

async fn repeat(inner: &Inner, record: Record) -> Result<(), StoreError> {
    let unknown =
        || StoreError::unavailable("a withdrawal that this program does not know was lost; update it");
    let mut steps = Vec::with_capacity(record.steps.len());
    for step in &record.steps {
        let statement = registry::statements().find(|known| known.name == step.statement && known.withdraws);
        let parameters: Option<Vec<Value>> = step.parameters.iter().map(Parameter::value).collect();
        steps.push((statement.ok_or_else(unknown)?, parameters.ok_or_else(unknown)?));
    }
    let tenant: Option<TenantId> =
        record.tenant.as_deref().map(str::parse).transpose().map_err(|_| unknown())?;
    let bound = tenant.map_or(Bound::System("withdrawals"), Bound::Tenant);
    let names: Vec<&str> = record.steps.iter().map(|step| step.statement.as_str()).collect();
    let entity = ("withdrawal", record.id.to_string());
    let actor = Actor::named("job:withdrawals");
    let entry =
        Entry::new(inner, tenant, &actor, "WITHDRAWAL_REPEATED", entity, &json!({ "statements": names }));
    let id = Value::Uuid(record.id.into_bytes());
    inner
        .run(bound, Mode::Write, async move |tx: &mut Tx<'_>| {
            for (statement, parameters) in &steps {
                tx.run(statement, parameters).await?;
            }
            tx.run(&WITHDRAWAL_ADD, values![id.clone(), UnixMillis(record.at)]).await?;
            // It is kept already.
            tx.forget_withdrawn();
            entry.write(tx).await
        })
        .await
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

    #[test]
    fn every_parameter_reads_back_from_the_file() {
        for value in [
            Value::Null,
            Value::Int(i64::MIN),
            Value::Text("a \u{e9}\n\"".into()),
            Value::Blob(vec![0, 255, 16]),
            Value::Uuid([7; 16]),
        ] {
            let text = serde_json::to_string(&Parameter::of(&value)).unwrap();
            assert_eq!(serde_json::from_str::<Parameter>(&text).unwrap().value(), Some(value), "{text}");
        }
        assert_eq!(Parameter::Hex("0g".into()).value(), None);
    }
}
