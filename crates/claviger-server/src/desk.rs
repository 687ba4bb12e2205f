//! A server's sockets on its own machine, where who asks is one of its users: commands, and the management API over HTTP.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncBufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::answered::{Answered, MAX_LINE};
use crate::asked::Asked;
use crate::control_socket::SOCKET;
use crate::failure::{Failure, complaint};
use crate::management::{self, Caller, Management};

/// The longest question of a user of this machine who is not its owner, in bytes.
const GUEST_LINE: u64 = 1 << 20;
/// How many connections such users may have at once, all of them together.
const MOST_GUESTS: usize = 64;
/// How many one of them may have.
const MOST_OF_A_GUEST: usize = 8;
/// How long the head of a request, or a command, may take.
const HEAD: Duration = Duration::from_secs(10);

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
    let (listener, file) = bind(path, mode).map_err(|error| {
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
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(Listening { file, path: path.to_owned(), task, _open: open })
}

/// Binds the socket in a directory that nobody else can enter, so that it is its owner's alone from its first
/// moment, and then puts it in its place. Whoever holds the store's lock is the only one here: what was in that
/// place is a dead server's. Gives which file it is, too.
fn bind(path: &Path, mode: u32) -> std::io::Result<(UnixListener, Option<(u64, u64)>)> {
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
        let file = file_at(&draft);
        std::fs::rename(&draft, path)?;
        Ok((listener, file))
    })();
    std::fs::remove_dir_all(&private)?;
    bound
}

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
}
