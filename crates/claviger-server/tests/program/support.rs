//! The program as a process, folders of its own, an upstream behind it, and plain HTTP to speak to it.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test gives up. Nothing waits for this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory of a test's own, gone with it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("claviger-{}-{next}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Every file below with a digest of what is in it. Of a database it is only said that it is there, as closing one
    /// may tidy it up, and of its lock, which whoever takes it writes into.
    pub(crate) fn contents(&self) -> Vec<(PathBuf, u64)> {
        fn visit(directory: &Path, found: &mut Vec<(PathBuf, u64)>) {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let end = path.extension().and_then(OsStr::to_str);
                if path.is_dir() {
                    found.push((path.clone(), 0));
                    visit(&path, found);
                } else if matches!(end, Some("db" | "lock")) {
                    found.push((path, 0));
                } else if !matches!(end, Some("db-shm" | "db-wal")) {
                    let mut digest = DefaultHasher::new();
                    std::fs::read(&path).unwrap().hash(&mut digest);
                    found.push((path, digest.finish()));
                }
            }
        }
        let mut found = Vec::new();
        visit(&self.0, &mut found);
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program, not started yet, in a folder and with none of our environment's settings.
pub(crate) fn program(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.current_dir(&folder.0).stdin(Stdio::null());
    command.env_remove("CLAVIGER_STORE_URL").env_remove("CLAVIGER_STORE_OWNER_URL");
    command.env_remove("RUST_BACKTRACE");
    command
}

/// What a command that has ended left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    /// What it printed, if it did well.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The errors it ended with and the hint to the last, if it failed as programs should.
    pub(crate) fn error(&self) -> (String, Option<String>) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert!(!self.err.contains("panicked") && !self.err.contains("backtrace"), "{self:?}");
        // Before it fails, a program may have logged; lines of the log begin with a time.
        // An excerpt of the settings is set in.
        let told: Vec<&str> =
            self.err.lines().filter(|line| !line.starts_with("20") && !line.starts_with(' ')).collect();
        let errors: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("error: ")).collect();
        let hints: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("hint: ")).collect();
        assert!(told[0].starts_with("error: ") && errors.len() + hints.len() == told.len(), "{self:?}");
        assert!(hints.len() <= errors.len(), "{self:?}");
        for error in &errors {
            assert!(!error.ends_with('.') && !error.contains("os error"), "{error}");
        }
        (errors.join("\n"), hints.last().map(|hint| (*hint).to_owned()))
    }
}

/// Runs a command to its end, with `input` on its standard input.
pub(crate) fn run_with(mut command: Command, input: &str) -> Outcome {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    // One that does not read its input is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let pid = Pid::from_child(&child);
    let (done, ended) = std::sync::mpsc::channel();
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(PATIENCE).is_err() {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    watch.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `claviger` with these arguments to its end.
pub(crate) fn run(folder: &Folder, arguments: &[&str]) -> Outcome {
    let mut command = program(folder);
    command.args(arguments);
    run_with(command, "")
}

/// A process that is killed when the test ends before it does.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.0;
        until("the process ends", || child.try_wait().unwrap())
    }

    /// Closes its standard input, and waits for its end.
    pub(crate) fn hang_up(mut self) {
        drop(self.0.stdin.take());
        self.wait();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `claviger serve`, ready.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Running,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) ops: SocketAddr,
    pub(crate) console: Option<SocketAddr>,
}

/// Starts a server and waits until it says that it is ready. Its standard output and error go to `NAME.out` and
/// `NAME.err`, `NAME` being its settings file's.
pub(crate) fn serve(folder: &Folder, settings: &str) -> Server {
    let mut command = program(folder);
    command.args(["--config", settings, "serve"]);
    serve_as(folder, settings, command)
}

/// The same with a command of the test's own.
pub(crate) fn serve_as(folder: &Folder, settings: &str, mut command: Command) -> Server {
    let name = settings.trim_end_matches(".toml");
    let file = |end: &str| std::fs::File::create(folder.path(&format!("{name}.{end}"))).unwrap();
    let child = command.stdout(file("out")).stderr(file("err")).spawn().unwrap();
    let mut process = Running(child);
    let (addresses, ops, console) = until("the server is ready", || {
        let log = folder.read(&format!("{name}.err"));
        assert!(!process.has_ended(), "the server ended: {log}");
        ready(&log)
    });
    Server { process, addresses, ops, console }
}

/// The addresses of the line that says `ready`.
fn ready(log: &str) -> Option<(Vec<SocketAddr>, SocketAddr, Option<SocketAddr>)> {
    let line = log.lines().find(|line| line.contains("ready") && line.contains("addresses"))?;
    let (_, rest) = line.split_once("addresses")?;
    let (list, rest) = rest.split_once('[')?.1.split_once(']')?;
    let address = |text: &str| {
        let text: String = text
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(|c| !"\",} \u{1b}\n".contains(*c))
            .collect();
        text.parse::<SocketAddr>().ok()
    };
    let console = rest.split_once("console").and_then(|(_, rest)| address(rest));
    let addresses = list.split(", ").map(|address| address.parse().unwrap()).collect();
    Some((addresses, address(rest)?, console))
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }
}

/// Settings of one API `orders` at the host `localhost`, which takes keys and forwards to `upstream`.
pub(crate) fn orders(upstream: impl std::fmt::Display, more: &str) -> String {
    format!(
        "[ops]\naddress = \"127.0.0.1:0\"\n{more}\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[api]]\nname = \"orders\"\nrealm = \"orders\"\nhosts = [\"localhost\"]\n\
         credentials = [\"api-key\"]\nupstream = \"http://{upstream}\"\n[api.roles]\nADMIN = \"admin\"\n"
    )
}

/// A tenant of the API `orders` with one key.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) tenant: String,
    pub(crate) org: String,
    pub(crate) key_id: String,
    pub(crate) key: String,
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}")).to_owned()
}

/// Makes a tenant and a key by commands.
pub(crate) fn customer(folder: &Folder, settings: &str) -> Customer {
    let tenant = run(
        folder,
        &["--config", settings, "--json", "tenant", "create", "--realm", "orders", "--name", "Acme"]
            .into_iter()
            .chain(["--owner-email", "owner@acme.example"])
            .collect::<Vec<_>>(),
    )
    .json();
    let (tenant, org) = (text(&tenant, "tenant_id"), text(&tenant, "org_id"));
    let (key_id, key) = new_key(folder, settings, &tenant, &org).expect("a key can be made");
    Customer { tenant, org, key_id, key }
}

/// Makes a key; `None` if it could not be.
pub(crate) fn new_key(folder: &Folder, settings: &str, tenant: &str, org: &str) -> Option<(String, String)> {
    let mut command = vec!["--config", settings, "--json", "key", "create", "--scope", "admin"];
    command.extend(["--tenant", tenant, "--org", org, "--name", "k"]);
    let made = run(folder, &command);
    (made.code == Some(0)).then(|| (text(&made.json(), "key_id"), text(&made.json(), "key")))
}

/// What came back over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Connects; reads and writes are bounded in time.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads one answer with a `Content-Length`.
pub(crate) fn read_answer(reader: &mut impl BufRead) -> Answer {
    let mut head = String::new();
    loop {
        let before = head.len();
        let read = reader.read_line(&mut head).unwrap();
        assert!(read > 0, "the connection ended within a head: {head:?}");
        if &head[before..] == "\r\n" {
            break;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Answer { status: head[9..12].parse().unwrap(), head, body: String::from_utf8(body).unwrap() }
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str, key: Option<&str>) -> Answer {
    let mut stream = connect(address);
    let credential = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n{credential}Connection: close\r\n\r\n")
        .unwrap();
    read_answer(&mut BufReader::new(stream))
}

/// One request that may fail: its status, if there was an answer.
pub(crate) fn try_get(address: SocketAddr, target: &str, key: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.get(9..12)?.parse().ok()
}

/// An upstream that answers everything with 200, and paths with `slow` in them only when told to.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    waiting: Arc<AtomicUsize>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream =
            Self { address: listener.local_addr().unwrap(), waiting: Arc::default(), gate: Arc::default() };
        let shared = upstream.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), shared.clone());
                // A gateway that closes its connection ends the thread.
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        upstream
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let (mut first, mut line) = (String::new(), String::new());
            if reader.read_line(&mut first)? == 0 {
                return Ok(());
            }
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line)?;
            }
            if first.contains("slow") {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                let mut open = self.gate.0.lock().unwrap();
                while !*open {
                    open = self.gate.1.wait(open).unwrap();
                }
            }
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhere\n")?;
        }
    }

    /// How many slow requests have come.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Answers slow requests from now on.
    pub(crate) fn release(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}
