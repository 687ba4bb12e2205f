//! How a command reaches the server that holds the store.
//!
//! An embedded store belongs to one process. Where a server has it, a command goes through a socket in the data
//! directory, which only its owner can open, and comes back after the server has applied it. Where none has,
//! the command opens the store itself. A store that several processes may use is opened by the command.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger::random::SystemRandom;
use claviger_store::{Holding, Store, StoreError};
use serde_json::Value;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::afar;
use crate::answered::{Answer, Answered, MAX_LINE};
use crate::asked::Asked;
use crate::checks;
use crate::clock::MachineClock;
use crate::config::{Config, Source};
use crate::control_socket::{is_served, socket_of};
use crate::core::{Core, Holds, store_settings};
use crate::failure::{Failure, FailureKind, complaint};
use crate::management::{self, Caller};
use crate::world::World;

/// How long a server may take to answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
/// How long a server that has the store may take until it listens for commands.
const SOON: std::time::Duration = std::time::Duration::from_secs(5);
/// How often it is looked whether it does.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(10);

/// How a command finds who carries it out.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// By the settings in this file: the server on the store that they name, or the store itself.
    Home(PathBuf),
    /// Over the management API of a server.
    Afar(afar::Place),
}

impl Way {
    /// The settings' file, for what is done with files and settings.
    ///
    /// # Errors
    /// If the command is to be carried out afar.
    pub(crate) fn home(&self) -> Result<&Path, Failure> {
        match self {
            Self::Home(file) => Ok(file),
            Self::Afar(_) => {
                Err(Failure::new("this command works with files of its own machine, and no server does it")
                    .hint("run it there, without `--server`"))
            }
        }
    }
}

/// What a command gave.
pub(crate) struct Done {
    pub(crate) value: Value,
    /// How far the store's changes have come with it, if it changed something.
    pub(crate) revision: Option<String>,
    /// Whether every server was heard to have applied it, if that was waited for. A failure is none of the command's.
    pub(crate) applied: Result<(), Failure>,
    /// The keyring, if it was made for this, as the store is new.
    pub(crate) new_keyring: Option<PathBuf>,
}

/// Has an operation carried out: by the server on the same store if there is one, else here; and waits until every server has
/// applied it, if `waits`. Of what is answered in pages, all are asked for, as long as there are.
///
/// # Errors
/// If it fails, or the store can be reached in neither way.
pub(crate) fn ask(way: &Way, asked: &Asked, waits: bool) -> Result<Done, Failure> {
    match way {
        Way::Home(file) => ask_at_home(file, asked, waits),
        Way::Afar(place) => ask_afar(place, asked, waits),
    }
}

fn ask_afar(place: &afar::Place, asked: &Asked, waits: bool) -> Result<Done, Failure> {
    if let Some(path) = place.url.strip_prefix("unix:") {
        return ask_at(Path::new(path), asked, waits);
    }
    let server = afar::Server::at(place)?;
    let whole = Whole::of(asked);
    loop {
        let afar::Told { value, revision, behind } = server.ask(&whole.next_of(asked), waits)?;
        if let Some(value) = whole.add(value) {
            let applied = behind.map_or(Ok(()), |names| Err(not_yet(&names)));
            return Ok(Done { value, revision, applied, new_keyring: None });
        }
    }
}

/// Asks the server that listens at this socket.
fn ask_at(socket: &Path, asked: &Asked, waits: bool) -> Result<Done, Failure> {
    let whole = Whole::of(asked);
    loop {
        let stream = BlockingStream::connect(socket).map_err(|error| {
            let what = format!("no server listens at `{}` ({})", socket.display(), complaint(&error));
            Failure::of(FailureKind::Unavailable, what)
        })?;
        let Answered { answer, revision, behind } =
            ask_server(stream, &Asked { waits, ..whole.next_of(asked) })?;
        let value = match answer {
            Answer::Done(value) => value,
            Answer::Failed(failure) => return Err(failure),
        };
        if let Some(value) = whole.add(value) {
            let applied = behind.map_or(Ok(()), |names| Err(not_yet(&names)));
            return Ok(Done { value, revision, applied, new_keyring: None });
        }
    }
}

fn ask_at_home(file: &Path, asked: &Asked, waits: bool) -> Result<Done, Failure> {
    let (config, source) = Config::load(file)?;
    let database = config.store.url.sqlite_path();
    if let Some(database) = database
        && is_served(database)
    {
        // The one server that there is has applied it when it answers.
        return ask_at(&socket_of(database), asked, false);
    }
    match (ask_here(&config, &source, asked, waits), database) {
        (Err(Unasked::Taken(failure)), Some(database)) => {
            // A server that has only just taken the store over is about to listen.
            let begun = Instant::now();
            while begun.elapsed() < SOON {
                if is_served(database) {
                    return ask_at(&socket_of(database), asked, false);
                }
                std::thread::sleep(LOOK_EVERY);
            }
            Err(failure)
        }
        (Err(Unasked::Taken(failure) | Unasked::Failed(failure)), _) => Err(failure),
        (Ok(done), _) => Ok(done),
    }
}

/// Why a command was not carried out here.
enum Unasked {
    /// Somebody else has the store, and stays.
    Taken(Failure),
    Failed(Failure),
}

impl From<Failure> for Unasked {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn ask_here(config: &Config, source: &Source, asked: &Asked, waits: bool) -> Result<Done, Unasked> {
    let served = checks::check(config, source)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("no runtime could be made ({})", complaint(&error))))?;
    let world = World { clock: MachineClock::new(), random: Arc::new(SystemRandom), is_demo: false };
    let outcome = runtime.block_on(async {
        let opened = Core::open(config, served, &world, Holds::Either).await;
        let core = opened.map_err(|failure| match Store::holder(&store_settings(config)) {
            Ok(Some(Holding::Serving)) => Unasked::Taken(failure),
            _ => Unasked::Failed(failure),
        })?;
        let answer = async {
            let (whole, caller) = (Whole::of(asked), Caller::at_home());
            let (value, revision) = loop {
                let Asked { id, input, idempotency_key, .. } = whole.next_of(asked);
                let key = idempotency_key.as_deref();
                let outcome = management::call(&core.management, &caller, &id, input, key).await?;
                if let Some(value) = whole.add(outcome.value) {
                    break (value, outcome.revision);
                }
            };
            let applied = if waits { applied(core.management.behind().await) } else { Ok(()) };
            let new_keyring = core.has_new_keyring.then(|| config.keyring.file.clone());
            Ok(Done { value, revision, applied, new_keyring })
        };
        let answer = answer.await;
        core.management.store.clone().close().await;
        answer.map_err(Unasked::Failed)
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    outcome
}

/// The pages of a list, put together.
#[derive(Debug)]
struct Whole {
    most: usize,
    read: std::cell::RefCell<(Vec<Value>, Option<String>)>,
}

impl Whole {
    /// As many as are asked for; all, if nobody says.
    fn of(asked: &Asked) -> Self {
        Self { most: asked.most.unwrap_or(usize::MAX), read: std::cell::RefCell::default() }
    }

    /// What to ask next.
    fn next_of(&self, asked: &Asked) -> Asked {
        asked.reading_on(self.read.borrow().1.as_deref())
    }

    /// Takes an answer, and gives what there is if it was the last.
    fn add(&self, answer: Value) -> Option<Value> {
        let Value::Object(mut members) = answer else { return Some(answer) };
        let Some(Value::Array(items)) = members.get_mut("items").map(Value::take) else {
            return Some(members.into());
        };
        let (all, next) = &mut *self.read.borrow_mut();
        all.extend(items);
        *next = members.get("next").and_then(Value::as_str).map(str::to_owned);
        if next.is_some() && all.len() < self.most {
            return None;
        }
        all.truncate(self.most);
        Some(std::mem::take(all).into())
    }
}

/// What is said after a command that is done: by then what it gave is shown, and must not be lost to a failed wait.
fn applied(waited: Result<Vec<String>, StoreError>) -> Result<(), Failure> {
    match waited.as_deref() {
        Ok([]) => Ok(()),
        Ok(names) => Err(not_yet(&names.join("`, `"))),
        Err(error) => {
            Err(Failure::new(format!("it is done, and who has applied it is not known: {error}")).hint(STALE))
        }
    }
}

const STALE: &str =
    "a server that hears nothing of the store for `directory.max_staleness_seconds` lets nobody in";

fn not_yet(names: &str) -> Failure {
    Failure::new(format!("it is done, and not yet applied by `{names}`")).hint(STALE)
}

/// What is said of a server that took the question and gave no answer in time, or went away.
fn silent(error: &std::io::Error) -> Failure {
    if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) {
        return lost();
    }
    let what = format!("the server on this data has not answered for {} seconds", PATIENCE.as_secs());
    Failure::of(FailureKind::Unavailable, what)
        .hint("it may be stopped or overloaded; look whether it is done before you try again")
}

fn lost() -> Failure {
    Failure::new("the server went away before it answered").hint("look at its log, then try again")
}

fn ask_server(mut stream: BlockingStream, asked: &Asked) -> Result<Answered, Failure> {
    // It may carry a credential to be explained.
    let line = serde_json::to_vec(asked).map_err(|error| Failure::new(error.to_string()))?;
    let mut line = Zeroizing::new(line);
    line.push(b'\n');
    let limits =
        stream.set_write_timeout(Some(PATIENCE)).and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
    limits.map_err(|_| lost())?;
    stream.write_all(&line).map_err(|error| silent(&error))?;
    let mut answer = String::new();
    let read = BufReader::new(std::io::Read::take(stream, MAX_LINE)).read_line(&mut answer);
    read.map_err(|error| silent(&error))?;
    serde_json::from_str(&answer).map_err(|_| lost())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_of_before_says_is_said() {
        let old =
            r#"{"failed":{"what":"the server does not know this command","hint":"restart the server"}}"#;
        let Answered { answer: Answer::Failed(failure), .. } = serde_json::from_str(old).unwrap() else {
            panic!("it has failed")
        };
        assert_eq!(failure.to_string(), "the server does not know this command");
        assert_eq!(failure.hint.as_deref(), Some("restart the server"));
    }

    #[test]
    fn what_is_listed_is_put_together_and_no_more_of_it_than_was_asked_for() {
        let page = |items: &[u8], next: Option<&str>| serde_json::json!({ "items": items, "next": next });
        let asked = |most| Asked { most, ..Asked::new("org.list", serde_json::json!({})) };
        let whole = Whole::of(&asked(None));
        assert_eq!(whole.add(page(&[1, 2], Some("b"))), None);
        assert_eq!(whole.next_of(&asked(None)).input["after"], "b");
        assert_eq!(whole.add(page(&[3], None)), Some(serde_json::json!([1, 2, 3])));
        let bounded = Whole::of(&asked(Some(3)));
        assert_eq!(bounded.add(page(&[1, 2], Some("b"))), None);
        assert_eq!(bounded.add(page(&[3, 4], Some("c"))), Some(serde_json::json!([1, 2, 3])));
        assert_eq!(
            Whole::of(&asked(None)).add(serde_json::json!({ "a": 1 })),
            Some(serde_json::json!({ "a": 1 }))
        );
    }

    #[test]
    fn a_failed_wait_says_that_the_command_is_done() {
        let said = |waited| applied(waited).map_err(|failure: Failure| failure.to_string());
        assert_eq!(said(Ok(Vec::new())), Ok(()));
        let behind = said(Ok(vec!["a/1".into(), "b/2".into()])).unwrap_err();
        assert_eq!(behind, "it is done, and not yet applied by `a/1`, `b/2`");
        let error = said(Err(StoreError::Unavailable { why: "gone".into() })).unwrap_err();
        assert!(error.starts_with("it is done, and who has applied it is not known: "), "{error}");
        assert!(error.contains("gone"), "{error}");
    }
}
