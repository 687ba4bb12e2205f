//! A PostgreSQL server of the test's own that can be crashed, stopped, copied and promoted, with fsync on.

use std::io::Write;
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

/// A folder below `parent` that PostgreSQL's user may write to.
fn folder_of_its_user(parent: &Path, name: &str) -> PathBuf {
    let folder = parent.join(name);
    std::fs::create_dir(&folder).unwrap();
    if let Some((user, group)) = user() {
        std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
    }
    folder
}

/// Ends the server when whoever started it is gone, however that ended.
const SUPERVISE: &str = r#""$0" "$@" </dev/null & cat >/dev/null; kill -QUIT $! 2>/dev/null; wait $!"#;

/// Makes a file system of its own in a folder that nobody else sees, and keeps it until whoever wants it is gone.
const MOUNT: &str =
    r#"mount -t tmpfs -o "size=$1,uid=$2,gid=$3,mode=700" tmpfs "$0" && echo mounted && exec cat"#;

/// A server, running or not, in a folder that holds its socket too.
pub(crate) struct Postgres {
    folder: PathBuf,
    process: Option<Running>,
    /// Keeps the file system that its data is in, if that is one of its own.
    disk: Option<Running>,
}

impl Postgres {
    pub(crate) fn place(parent: &Path, name: &str) -> Self {
        let folder = folder_of_its_user(parent, name);
        Self { folder, process: None, disk: None }
    }

    /// A new server in a folder of that name, started.
    pub(crate) fn new(parent: &Path, name: &str) -> Self {
        let mut made = Self::place(parent, name);
        made.run("initdb", &["-U", "owner", "-A", "trust", "--no-locale", "-E", "UTF8", "-D", &made.data()]);
        made.start();
        made
    }

    /// The same with its data on a disk of so many bytes, in memory. Where the platform lets nobody mount one, it says so
    /// and takes the one there is.
    pub(crate) fn on_a_disk_of(parent: &Path, name: &str, bytes: u64) -> Self {
        let mut made = Self::place(parent, name);
        std::fs::create_dir(made.data()).unwrap();
        made.disk = made.mount(bytes);
        if made.disk.is_none() {
            std::fs::remove_dir(made.data()).unwrap();
            let said =
                "SKIPPED: the fault `a full disk`, as nobody may mount a file system here (it takes root)\n";
            let _unseen = std::io::stderr().write_all(said.as_bytes());
        }
        made.run("initdb", &["-U", "owner", "-A", "trust", "--no-locale", "-E", "UTF8", "-D", &made.data()]);
        made.start();
        made
    }

    fn mount(&self, bytes: u64) -> Option<Running> {
        let (uid, gid) = user()?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", MOUNT, &self.data()]);
        command.args([bytes.to_string(), uid.to_string(), gid.to_string()]);
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 8];
        let mounted = std::io::Read::read_exact(keeper.stdout.as_mut().unwrap(), &mut said);
        let keeper = Running(keeper);
        mounted.ok().map(|()| keeper)
    }

    /// Whether its disk can be filled.
    pub(crate) fn has_a_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// A file of the data as others than the server see it.
    fn seen(&self, name: &str) -> PathBuf {
        let root = self
            .disk
            .as_ref()
            .map_or_else(String::new, |keeper| format!("/proc/{}/root", keeper.pid().as_raw_nonzero()));
        PathBuf::from(format!("{root}{}/{name}", self.data()))
    }

    /// Leaves no room on its disk.
    pub(crate) fn fill_disk(&self) {
        let mut ballast = std::fs::File::create(self.seen("ballast")).unwrap();
        let block = vec![0_u8; 64 * 1024];
        for part in [&block[..], &block[..512]] {
            while ballast.write_all(part).is_ok() {}
        }
    }

    /// Makes room again.
    pub(crate) fn empty_disk(&self) {
        std::fs::remove_file(self.seen("ballast")).unwrap();
    }

    /// Waits until it answers again by itself, or has given up; then it is started.
    pub(crate) fn start_if_it_ended(&mut self) {
        let has_ended = until("it answers or gives up", || {
            // It takes its file with it; one that could not is its supervisor's to bury.
            let file = std::fs::read_to_string(self.seen("postmaster.pid")).ok();
            let pid = file.and_then(|text| text.lines().next().map(str::to_owned));
            let stat = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).ok());
            let has_ended = stat.is_none_or(|stat| stat.contains(") Z "));
            (has_ended || self.answers()).then_some(has_ended)
        });
        if has_ended {
            self.process.take().unwrap().hang_up();
            self.start();
        }
    }

    fn answers(&self) -> bool {
        self.command("pg_isready").args(["-q", "-h", &self.socket()]).status().unwrap().success()
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

    fn as_its_user(&self, command: Command) -> Command {
        let mut command = match &self.disk {
            None => command,
            Some(keeper) => {
                // Entering is root's alone, and comes before it is given up.
                let (uid, gid) = user().expect("root");
                let mut entered = Command::new("nsenter");
                entered.arg(format!("--target={}", keeper.pid().as_raw_nonzero())).arg("--mount");
                entered.args([format!("--setuid={uid}"), format!("--setgid={gid}")]);
                entered.arg("--").arg(command.get_program()).args(command.get_args());
                entered.stdin(Stdio::null()).process_group(0);
                return entered;
            }
        };
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
            self.answers().then_some(())
        });
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a running server");
        kill_process_group(Pid::from_child(&process.0), signal).unwrap();
    }

    fn postmaster(&self) -> Pid {
        let text = std::fs::read_to_string(self.seen("postmaster.pid")).unwrap();
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

    /// The same where it may fail; gives what was said against it.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> String {
        let socket = self.socket();
        let all = ["-h", &socket, "-U", "owner", "-d", database, "-qAt", "-c", sql];
        let output = self.command("psql").args(all).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
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

/// A pooler before a server, in transaction mode.
pub(crate) struct Pooler {
    folder: PathBuf,
    process: Option<Running>,
}

impl Pooler {
    pub(crate) const PORT: u16 = 6432;

    pub(crate) fn before(server: &Postgres, parent: &Path, name: &str) -> Self {
        let folder = folder_of_its_user(parent, name);
        let settings = format!(
            "[databases]\n* = host={}\n[pgbouncer]\nlisten_addr =\nlisten_port = {}\nunix_socket_dir = {}\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 12\nmax_client_conn = 200\n\
             server_login_retry = 0\nlogfile = {}\nignore_startup_parameters = extra_float_digits\n",
            server.socket(),
            Self::PORT,
            folder.display(),
            folder.join("log").display(),
        );
        // `auth_type = any` lets everybody in as the one user that a database names.
        let settings = settings.replace("host=", "user=claviger_rt host=");
        std::fs::write(folder.join("ini"), settings).unwrap();
        let mut made = Self { folder, process: None };
        made.start();
        made
    }

    /// The folder of the socket.
    pub(crate) fn socket(&self) -> String {
        self.folder.display().to_string()
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&mut self) {
        let program =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.expect("pgbouncer: `make test` installs it"));
        command.arg("-q").arg(self.folder.join("ini")).current_dir(&self.folder).stdin(Stdio::null());
        if let Some((user, group)) = user() {
            command.uid(user).gid(group);
        }
        self.process = Some(Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
        let socket = self.folder.join(format!(".s.PGSQL.{}", Self::PORT));
        until("the pooler answers", || {
            let ended = self.process.as_mut().unwrap().has_ended();
            assert!(!ended, "{}", std::fs::read_to_string(self.folder.join("log")).unwrap_or_default());
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
    }

    /// Ends it without a word to anybody.
    pub(crate) fn kill(&mut self) {
        // Its socket is in nobody's way: the next one takes it over.
        self.process = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("a running pooler").signal(signal);
    }
}
