//! A PostgreSQL server of the test's own that can be crashed, stopped, copied and promoted, with fsync on.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::support::{Running, until};

/// The folder with PostgreSQL's programs.
pub(super) fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    found.sort();
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    found.extend(told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())));
    let complete =
        |folder: &&PathBuf| folder.join("initdb").exists() && folder.join("pg_basebackup").exists();
    found
        .iter()
        .rev()
        .find(complete)
        .expect("PostgreSQL's server programs: `make test` installs them")
        .clone()
}

/// PostgreSQL refuses to run as root.
pub(super) fn user() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("a user `postgres`");
    let mut numbers = line.split(':').skip(2).map(|number| number.parse::<u32>().unwrap());
    Some((numbers.next().unwrap(), numbers.next().unwrap()))
}

/// Ends the server when whoever started it is gone, however that ended.
const SUPERVISE: &str = r#""$0" "$@" </dev/null & cat >/dev/null; kill -QUIT $! 2>/dev/null; wait $!"#;

/// A server, running or not, in a folder that holds its socket too.
pub(crate) struct Postgres {
    folder: PathBuf,
    process: Option<Running>,
}

impl Postgres {
    pub(crate) fn place(parent: &Path, name: &str) -> Self {
        let folder = parent.join(name);
        std::fs::create_dir(&folder).unwrap();
        if let Some((user, group)) = user() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        Self { folder, process: None }
    }

    /// A new server in a folder of that name, started.
    pub(crate) fn new(parent: &Path, name: &str) -> Self {
        let mut made = Self::place(parent, name);
        made.run("initdb", &["-U", "owner", "-A", "trust", "--no-locale", "-E", "UTF8", "-D", &made.data()]);
        made.start();
        made
    }

    /// A copy that follows `primary`, started.
    pub(crate) fn replica_of(primary: &Self, parent: &Path, name: &str) -> Self {
        let mut made = Self::place(parent, name);
        let socket = primary.socket();
        made.run(
            "pg_basebackup",
            &["-D", &made.data(), "-h", &socket, "-U", "owner", "-R", "-X", "stream", "-c", "fast"],
        );
        made.start();
        made
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    /// The folder of the socket: a host, as PostgreSQL calls it.
    pub(crate) fn socket(&self) -> String {
        self.folder.display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        self.as_its_user(Command::new(programs().join(program)))
    }

    fn as_its_user(&self, mut command: Command) -> Command {
        command.current_dir(&self.folder).stdin(Stdio::null()).process_group(0);
        if let Some((user, group)) = user() {
            command.uid(user).gid(group);
        }
        command
    }

    /// Runs one of PostgreSQL's programs to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&mut self) {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = self.as_its_user(Command::new("/bin/sh"));
        command.arg("-c").arg(SUPERVISE).arg(programs().join("postgres"));
        command.args([
            "-D",
            &self.data(),
            "-k",
            &self.socket(),
            "-c",
            "listen_addresses=",
            "-c",
            "max_connections=100",
        ]);
        command.args(["-c", "shared_buffers=64MB", "-c", "fsync=on", "-c", "autovacuum=off"]);
        let child =
            command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.process = Some(Running(child));
        until("PostgreSQL answers", || {
            let alive = self.process.as_mut().is_some_and(|process| !process.has_ended());
            assert!(alive, "{}", std::fs::read_to_string(self.folder.join("log")).unwrap_or_default());
            let ready = self.command("pg_isready").args(["-q", "-h", &self.socket()]).status().unwrap();
            ready.success().then_some(())
        });
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a running server");
        kill_process_group(Pid::from_child(&process.0), signal).unwrap();
    }

    fn postmaster(&self) -> Pid {
        let text = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap()).unwrap()
    }

    /// Ends it without writing anything more: the next start is a recovery.
    pub(crate) fn crash(&mut self) {
        // To the postmaster alone, which ends the others.
        kill_process(self.postmaster(), Signal::QUIT).unwrap();
        self.process.take().unwrap().hang_up();
    }

    /// Keeps what no commit waits for from reaching the disk, as it may at any time.
    pub(crate) fn hold_wal_writer(&self) -> Pid {
        let pid = self.sql("postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        pid
    }

    /// The same as [`Self::crash`] where the writer of the log is held.
    pub(crate) fn crash_with(&mut self, writer: Pid) {
        kill_process(self.postmaster(), Signal::QUIT).unwrap();
        // It has been told to end at once when it goes on.
        until("the writer is told", || {
            let status =
                std::fs::read_to_string(format!("/proc/{}/status", writer.as_raw_nonzero())).unwrap();
            let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
            let pending = u64::from_str_radix(pending.unwrap_or("0").trim(), 16).unwrap();
            (pending & (1 << (Signal::QUIT.as_raw() - 1)) != 0).then_some(())
        });
        kill_process(writer, Signal::CONT).unwrap();
        self.process.take().unwrap().hang_up();
    }

    /// Somebody else has stopped it.
    pub(crate) fn is_stopped(&mut self) {
        self.process.take().unwrap().hang_up();
    }

    /// Lets nothing of it run until [`Self::go_on`].
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Runs SQL as the owner, and gives what it answers.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let socket = self.socket();
        let all = ["-h", &socket, "-U", "owner", "-d", database, "-v", "ON_ERROR_STOP=1", "-qAt", "-c", sql];
        self.run("psql", &all).trim().to_owned()
    }

    /// The same where it may fail.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) {
        let socket = self.socket();
        let all = ["-h", &socket, "-U", "owner", "-d", database, "-qAt", "-c", sql];
        let _ = self.command("psql").args(all).output();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // A paused one does not hear anything else.
            let _ = kill_process_group(Pid::from_child(&process.0), Signal::CONT);
            process.hang_up();
        }
    }
}
