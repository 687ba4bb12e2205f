//! How a command reaches the server that holds the store.
//!
//! An embedded store belongs to one process. Where a server has it, a command goes through a socket in the data
//! directory, which only its owner can open, and comes back after the server has applied it. Where none has,
//! the command opens the store itself. A store that several processes may use is opened by the command.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use claviger::random::SystemRandom;
use claviger_store::{Holding, Store, StoreError};
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use crate::afar;
use crate::asked::Asked;
use crate::checks;
use crate::clock::MachineClock;
use crate::config::{Config, Source};
use crate::control_socket::{SOCKET, is_served, socket_of};
use crate::core::{Core, Holds, store_settings};
use crate::failure::{Failure, FailureKind, complaint};
use crate::management::{self, Caller, Management, Outcome};
use crate::world::World;

/// The longest question or answer, in bytes.
const MAX_LINE: u64 = 64 << 20;
/// The longest question of a user of this machine who is not its owner, in bytes.
const GUEST_LINE: u64 = 1 << 20;
/// How many connections such users may have at once, all of them together.
const MOST_GUESTS: usize = 64;
/// How many one of them may have.
const MOST_OF_A_GUEST: usize = 8;
/// How long a server may take to answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
/// How long a server that has the store may take until it listens for commands.
const SOON: std::time::Duration = std::time::Duration::from_secs(5);
/// How often it is looked whether it does.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(10);

/// An answer on its way back.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Done(Value),
    Failed(Failure),
}

/// An answer with how far the store's changes have come, if something was changed.
#[derive(Serialize, Deserialize)]
struct Answered {
    #[serde(flatten)]
    answer: Answer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// Which servers have not applied it, if that was waited for and somebody knows; names, or why nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    behind: Option<String>,
}

impl From<Result<Outcome, Failure>> for Answered {
    fn from(outcome: Result<Outcome, Failure>) -> Self {
        match outcome {
            Ok(Outcome { value, revision, .. }) => {
                Self { answer: Answer::Done(value), revision, behind: None }
            }
            Err(failure) => Self { answer: Answer::Failed(failure), revision: None, behind: None },
        }
    }
}

/// A server's end of the socket. Dropped, the socket is gone, and whoever is still connected is answered what they have asked.
#[derive(Debug)]
pub(crate) struct Listening {
    path: PathBuf,
    /// Which file it is, so that another's in its place is left alone.
    file: Option<(u64, u64)>,
    task: JoinHandle<()>,
    /// Dropped, everybody hears that it is over.
    _open: watch::Sender<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        if self.file.is_some() && self.file == file_at(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// How many of a machine's other users are connected, by their numbers: none of them keeps out the rest, and together they do not fill
/// the memory.
#[derive(Debug, Clone, Default)]
struct Guests(Arc<Mutex<BTreeMap<u32, usize>>>);

/// A connection of a user of this machine, until it is dropped.
#[derive(Debug)]
struct Guest {
    guests: Guests,
    /// The user; `None` of root and the user whose server this is, who are not counted.
    counted: Option<u32>,
}

impl Guests {
    fn let_in(&self, uid: u32) -> Option<Guest> {
        if Caller::on_this_machine(uid).is_ok() {
            return Some(Guest { guests: self.clone(), counted: None });
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of_this_one, all) = (known.get(&uid).copied().unwrap_or(0), known.values().sum::<usize>());
        if of_this_one >= MOST_OF_A_GUEST || all >= MOST_GUESTS {
            return None;
        }
        known.insert(uid, of_this_one + 1);
        Some(Guest { guests: self.clone(), counted: Some(uid) })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(uid) = self.counted else { return };
        let mut known = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&uid).copied() {
            Some(2..) => {
                known.entry(uid).and_modify(|connections| *connections -= 1);
            }
            _ => {
                known.remove(&uid);
            }
        }
    }
}

impl Guest {
    /// The longest command it may send, in bytes.
    fn longest(&self) -> u64 {
        if self.counted.is_some() { GUEST_LINE } else { MAX_LINE }
    }
}

/// Answers a request of the management API for a user of this machine, who is known by their number.
pub(crate) type Face =
    Arc<dyn Fn(http::Request<Incoming>, u32) -> BoxFuture<'static, http::Response<Bytes>> + Send + Sync>;

/// What a socket's questions are answered with.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) management: Management,
    pub(crate) face: Face,
}

/// Listens for commands in `directory`, whose store this process holds: from root and the user whose server this is.
///
/// # Errors
/// If the socket cannot be made.
pub(crate) fn listen(directory: &Path, desk: &Desk, runtime: &Runtime) -> Result<Listening, Failure> {
    listen_at(&directory.join(SOCKET), 0o600, desk, runtime)
}

/// Listens at this path for whoever may be somebody.
///
/// # Errors
/// If the socket cannot be made.
pub(crate) fn listen_for_all(path: &Path, desk: &Desk, runtime: &Runtime) -> Result<Listening, Failure> {
    listen_at(path, 0o666, desk, runtime)
}

fn listen_at(path: &Path, mode: u32, desk: &Desk, runtime: &Runtime) -> Result<Listening, Failure> {
    let _guard = runtime.enter();
    let listener = bind(path, mode).map_err(|error| {
        let what = format!("the socket `{}` cannot be made ({})", path.display(), complaint(&error));
        Failure::new(what).hint(
            "its folder has to be there and this user's to write in; its path may have about 90 characters",
        )
    })?;
    let desk = desk.clone();
    let (open, closing) = watch::channel(());
    let guests = Guests::default();
    let task = runtime.spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (desk, guests, closing) = (desk.clone(), guests.clone(), closing.clone());
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, &desk, &guests, closing).await {
                            tracing::debug!(%error, "a command went away");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a command could not be taken");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(Listening { file: file_at(path), path: path.to_owned(), task, _open: open })
}

/// Binds the socket in a directory that nobody else can enter, so that it is its owner's alone from its first
/// moment, and then puts it in its place. Whoever holds the store's lock is the only one here: what was in that
/// place is a dead server's.
fn bind(path: &Path, mode: u32) -> std::io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
        return Err(std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "a file that is no socket is there",
        ));
    }
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let private = directory.join(".control");
    match std::fs::remove_dir_all(&private) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::DirBuilder::new().mode(0o700).create(&private)?;
    let bound = (|| {
        let draft = private.join("s");
        let listener = UnixListener::bind(&draft)?;
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&draft, path)?;
        Ok(listener)
    })();
    std::fs::remove_dir_all(&private)?;
    bound
}

/// How long the head of a request may take.
const HEAD: std::time::Duration = std::time::Duration::from_secs(10);

/// Answers whoever is at the other end: a command, which is a line, or the management API over HTTP.
async fn answer(
    stream: UnixStream,
    desk: &Desk,
    guests: &Guests,
    mut closing: watch::Receiver<()>,
) -> std::io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let Some(guest) = guests.let_in(uid) else {
        tracing::warn!(
            uid,
            "a user of this machine has too many connections to the socket; one more is closed"
        );
        return Ok(());
    };
    let (read, write) = stream.into_split();
    let mut read = AsyncBufReader::new(read);
    // Whoever says nothing wants nothing.
    let Ok(begins) = timeout(HEAD, read.fill_buf()).await else { return Ok(()) };
    if begins?.first() == Some(&b'{') {
        return answer_command(read.take(guest.longest()), write, uid, &desk.management).await;
    }
    let face = desk.face.clone();
    let service = service_fn(move |request| {
        let answer = face(request, uid);
        async move { Ok::<_, std::convert::Infallible>(answer.await.map(Full::new)) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(tokio::io::join(read, write)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return done.map_err(std::io::Error::other),
        _ = closing.changed() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.map_err(std::io::Error::other)
}

async fn answer_command(
    mut read: impl tokio::io::AsyncBufRead + Unpin,
    mut write: OwnedWriteHalf,
    uid: u32,
    management: &Management,
) -> std::io::Result<()> {
    let mut line = Zeroizing::new(String::new());
    let Ok(taken) = timeout(HEAD, read.read_line(&mut line)).await else { return Ok(()) };
    taken?;
    let answer: Answered = match serde_json::from_str::<Asked>(&line) {
        Ok(Asked { id, input, idempotency_key, waits, .. }) => {
            let answer = async {
                let caller = management.caller_at(uid).await?;
                management::call(management, &caller, &id, input, idempotency_key.as_deref()).await
            };
            let mut answer: Answered = answer.await.into();
            if waits && answer.revision.is_some() {
                answer.behind = match management.behind().await {
                    Ok(names) if names.is_empty() => None,
                    Ok(names) => Some(names.join("`, `")),
                    Err(error) => Some(error.to_string()),
                };
            }
            answer
        }
        Err(_) => Err(Failure::new("the server does not know this command")
            .hint("the server and this program are of different versions; restart the server"))
        .into(),
    };
    let text = serde_json::to_string(&answer)?;
    write.write_all(text.as_bytes()).await?;
    write.write_all(b"\n").await
}

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
    fn other_users_of_the_machine_do_not_keep_each_other_out() {
        let guests = Guests::default();
        let own = rustix::process::geteuid().as_raw();
        let (first, others) = (own + 1000, own + 2000);
        let mut all: Vec<_> = (0..MOST_OF_A_GUEST).map(|_| guests.let_in(first).unwrap()).collect();
        assert!(guests.let_in(first).is_none());
        all.extend(
            (MOST_OF_A_GUEST..MOST_GUESTS)
                .map(|more| guests.let_in(others + u32::try_from(more / MOST_OF_A_GUEST).unwrap()).unwrap()),
        );
        assert!(guests.let_in(others).is_none());
        assert!(guests.let_in(own).is_some() && guests.let_in(0).is_some());
        all.clear();
        assert!(guests.0.lock().unwrap().is_empty());
        assert_eq!(guests.let_in(first).unwrap().longest(), GUEST_LINE);
    }

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
