//! One PostgreSQL cluster per test process, one database per test.
//!
//! The server belongs to a supervisor, a shell that waits for the end of its standard input. That ends with this
//! process, however it ends; the shell then stops the server and removes its files.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use crate::backend::postgres::aside;
use crate::error::StoreError;
use crate::settings::Settings;
use crate::store::Store;

/// A database that nobody else uses.
#[derive(Debug, Clone)]
pub struct Database {
    /// As the runtime role.
    pub runtime_url: String,
    /// As the cluster's superuser.
    pub owner_url: String,
}

impl Database {
    /// Takes the database away: nobody can connect, and who is connected is thrown out.
    ///
    /// # Errors
    /// What the cluster says against it.
    pub async fn take_away(&self) -> Result<(), String> {
        let name = self.name()?;
        self.administer(&[
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
        ])
        .await
    }

    /// Gives it back.
    ///
    /// # Errors
    /// What the cluster says against it.
    pub async fn give_back(&self) -> Result<(), String> {
        self.administer(&[format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name()?)]).await
    }

    fn name(&self) -> Result<&str, String> {
        let front = self.owner_url.split_once('?').map_or(&*self.owner_url, |(front, _)| front);
        front.rsplit_once('/').map(|(_, name)| name).ok_or_else(|| "the url names no database".to_owned())
    }

    /// Runs statements as the cluster's superuser, beside this database.
    async fn administer(&self, statements: &[String]) -> Result<(), String> {
        let beside = self.owner_url.replacen(&format!("/{}?", self.name()?), "/postgres?", 1);
        let (client, connection) = tokio_postgres::connect(&beside, tokio_postgres::NoTls)
            .await
            .map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        for statement in statements {
            client.batch_execute(statement).await.map_err(|error| error.to_string())?;
        }
        drop(client);
        connection.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// A running server.
#[derive(Debug)]
struct Cluster {
    /// Holds the socket, and tells the supervisor when this process ends.
    folder: PathBuf,
    #[expect(dead_code, reason = "holds the pipe whose end stops the server")]
    supervisor: Child,
    databases: Mutex<u32>,
}

const SUPERVISE: &str = r#"
trap '' INT TERM HUP
"$BIN/initdb" -D "$FOLDER/data" -U owner -A trust -N --no-locale -E UTF8 </dev/null >"$FOLDER/log" 2>&1 || exit 1
"$BIN/postgres" -D "$FOLDER/data" -k "$FOLDER" -c listen_addresses= -c fsync=off -c full_page_writes=off \
    -c synchronous_commit=off -c max_connections=300 -c shared_buffers=32MB -c autovacuum=off \
    </dev/null >>"$FOLDER/log" 2>&1 &
cat >/dev/null
kill -INT $!
wait $!
rm -rf "$FOLDER"
"#;

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

const INSTALL: &str =
    "install Debian's `postgresql` package, or put its server programs where `pg_config --bindir` points";

/// A fresh, prepared database.
///
/// # Errors
/// If there are no server programs, or the server does not start; says what to do.
pub async fn database() -> Result<Database, String> {
    aside(async { fresh().await.map_err(StoreError::Setup) }).await.map_err(|error| error.to_string())
}

async fn fresh() -> Result<Database, String> {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    // Runs on a thread of its own, so that waiting here blocks no test.
    let cluster = CLUSTER.get_or_init(Cluster::start).as_ref().map_err(Clone::clone)?;
    let number = {
        let mut made = cluster.databases.lock().unwrap_or_else(PoisonError::into_inner);
        if *made == 0 {
            cluster.on_a_runtime(async { cluster.make_template().await })?;
        }
        *made += 1;
        // One after the other: nobody may be connected to the template while it is copied.
        let copy = format!("CREATE DATABASE test_{made} TEMPLATE template_claviger");
        cluster.on_a_runtime(async { cluster.run("postgres", &copy).await })?;
        *made
    };
    Ok(cluster.database(&format!("test_{number}")))
}

impl Cluster {
    fn start() -> Result<Self, String> {
        let programs = programs()?;
        let folder = std::env::temp_dir().join(format!("claviger-pg-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(|error| format!("no folder for the cluster: {error}"))?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SUPERVISE]).env("BIN", &programs).env("FOLDER", &folder);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command.current_dir(&folder);
        if rustix::process::getuid().is_root() {
            let (user, group) = postgres_user()?;
            std::os::unix::fs::chown(&folder, Some(user), Some(group))
                .map_err(|error| format!("the cluster's folder cannot be given away: {error}"))?;
            command.uid(user).gid(group);
        }
        let supervisor =
            command.spawn().map_err(|error| format!("the supervisor does not start: {error}"))?;
        let cluster = Self { folder, supervisor, databases: Mutex::new(0) };
        cluster.await_start()?;
        Ok(cluster)
    }

    /// Waits until the server answers.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a real server takes is measured by the real clock"
    )]
    fn await_start(&self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            match self.on_a_runtime(async { self.run("postgres", "SELECT 1").await }) {
                Ok(()) => return Ok(()),
                Err(error) if started.elapsed() > PATIENCE => {
                    let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                    return Err(format!("the server does not answer ({error}); {INSTALL}; its log:\n{log}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// A runtime within the thread at hand cannot block on another one: each question gets a thread.
    fn on_a_runtime(&self, work: impl Future<Output = Result<(), String>> + Send) -> Result<(), String> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map_err(|error| error.to_string())?.block_on(work)
            });
            thread.join().unwrap_or_else(|_| Err("the question ended early".into()))
        })
    }

    async fn run(&self, database: &str, sql: &str) -> Result<(), String> {
        self.run_at(&self.database(database).owner_url, sql).await
    }

    async fn run_at(&self, url: &str, sql: &str) -> Result<(), String> {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let done = client.batch_execute(sql).await.map_err(|error| error.to_string());
        drop(client);
        // The server has forgotten the connection when its task ends.
        let _ = connection.await;
        done
    }

    /// The database that every test's is copied from.
    async fn make_template(&self) -> Result<(), String> {
        self.run("postgres", "CREATE DATABASE template_claviger").await?;
        let Database { runtime_url, owner_url } = self.database("template_claviger");
        let settings = Settings {
            url: runtime_url,
            ca_file: None,
            feed_url: None,
            withdrawals_file: None,
            readers: 1,
            connections: 1,
        };
        Store::prepare(&owner_url, &settings).await.map_err(|error| error.to_string())?;
        // Tests say what time it is, in the transaction.
        let clock = "CREATE OR REPLACE FUNCTION claviger.claviger_now() RETURNS bigint LANGUAGE sql VOLATILE
             SET search_path = claviger, pg_temp AS $$ SELECT current_setting('claviger.test_now')::bigint $$";
        let owner = self.database("template_claviger");
        self.run_at(&owner.owner_url, clock).await?;
        // The connection that prepared it may still be on its way out.
        let gone =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'template_claviger'";
        self.run("postgres", gone).await
    }

    fn database(&self, name: &str) -> Database {
        let host = self.folder.display().to_string().replace('/', "%2F");
        let url = |user: &str| format!("postgres:///{name}?user={user}&host={host}");
        Database { runtime_url: url("claviger_rt"), owner_url: url("owner") }
    }
}

/// The folder with `initdb` and `postgres`.
fn programs() -> Result<PathBuf, String> {
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told =
        told.and_then(|output| String::from_utf8(output.stdout).ok()).map(|text| PathBuf::from(text.trim()));
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    found.sort();
    found.extend(told);
    let complete = |folder: &&PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).exists());
    found.iter().rev().find(complete).cloned().ok_or_else(|| format!("there is no `initdb`; {INSTALL}"))
}

/// The user PostgreSQL runs as where this process is root's, which PostgreSQL refuses.
fn postgres_user() -> Result<(u32, u32), String> {
    let users = fs::read_to_string(Path::new("/etc/passwd")).map_err(|error| error.to_string())?;
    users
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == "postgres").then_some(())?;
            let mut numbers = fields.skip(1).map(str::parse::<u32>);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
        .ok_or_else(|| format!("there is no user `postgres` to run it as; {INSTALL}"))
}
