//! Two servers on one store, and one who withdraws what the [`Checker`] then asks for.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use claviger::danger::OperatorPermit;
use claviger::random::SystemRandom;
use claviger_server::clock::MachineClock;
use claviger_store::api_keys::NewApiKey;
use claviger_store::{Keyring, Settings, Store, StoreError, TenantStore};
use rustix::process::Signal;
use tokio::runtime::Runtime;

use super::checker::{Checker, Key, Verdict};
use super::postgres::{Pooler, Postgres};
use super::{MAX_STALENESS, withdrawals};
use crate::support::{
    Folder, Outcome, Server, Upstream, customer, orders, program, run_with, serve_as, try_get, until,
};

/// How long it may take until all is withdrawn, once the fault is over.
const LONGEST: Duration = Duration::from_secs(120);

/// What stands between the servers and PostgreSQL, and what it stands on.
pub(super) enum Layout {
    /// A replica that may take over.
    Replicated,
    /// A pooler in transaction mode, and a disk that can be filled, of so many bytes.
    Pooled { disk: u64 },
}

pub(super) struct Rig {
    // Dropped in this order: those who ask before those who answer.
    pub(super) checker: Checker,
    pub(super) servers: Vec<Server>,
    pub(super) store: TenantStore,
    _whole: Store,
    pub(super) runtime: Runtime,
    pub(super) org: claviger::id::OrgId,
    pub(super) pooler: Option<Pooler>,
    pub(super) primary: Postgres,
    pub(super) replica: Option<Postgres>,
    pub(super) folder: Folder,
    /// While this is set, nothing is withdrawn.
    pub(super) waits: Arc<AtomicBool>,
    _upstream: Upstream,
}

impl Rig {
    pub(super) fn new(layout: &Layout) -> Self {
        let folder = Folder::new();
        let place = folder.path("");
        // PostgreSQL's user has to get to its own folders below.
        std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let primary = match layout {
            Layout::Replicated => Postgres::new(&place, "a"),
            Layout::Pooled { disk } => Postgres::on_a_disk_of(&place, "a", *disk),
        };
        primary.sql("postgres", "CREATE DATABASE claviger");
        let at = |socket: &str| format!("&host={}", socket.replace('/', "%2F"));
        let direct = match layout {
            Layout::Replicated => {
                ["a", "b", "c"].map(|name| at(&folder.path(name).display().to_string())).concat()
            }
            Layout::Pooled { .. } => at(&primary.socket()),
        };
        let direct = format!("postgres:///claviger?user=claviger_rt{direct}");
        let pooler =
            matches!(layout, Layout::Pooled { .. }).then(|| Pooler::before(&primary, &place, "pooler"));
        let url = pooler.as_ref().map_or_else(
            || direct.clone(),
            |pooler| {
                format!("postgres:///claviger?user=claviger_rt{}&port={}", at(&pooler.socket()), Pooler::PORT)
            },
        );
        let owner_url = format!("postgres:///claviger?user=owner{}", at(&primary.socket()));
        let upstream = Upstream::start();
        for node in ["one", "two", "three"] {
            // One of them has its feed past the pooler.
            let feed = if node == "two" && pooler.is_some() {
                format!("feed_url = \"{direct}\"\n")
            } else {
                String::new()
            };
            let store = format!(
                "[store]\nurl = \"{url}\"\n{feed}withdrawals_file = \"{node}.jsonl\"\n[keyring]\nfile = \"keyring.toml\"\n"
            );
            folder.write(&format!("{node}.toml"), &orders(upstream.address, &store));
        }
        let command = |words: &[&str]| {
            let mut command = program(&folder);
            command.args(["--config", "one.toml"]).args(words).env("CLAVIGER_STORE_OWNER_URL", &owner_url);
            let outcome = run_with(command, "");
            assert_eq!(outcome.code, Some(0), "{words:?}: {outcome:?}");
        };
        command(&["keyring", "create"]);
        command(&["store", "prepare"]);
        let replica =
            matches!(layout, Layout::Replicated).then(|| Postgres::replica_of(&primary, &place, "b"));
        let servers: Vec<Server> = ["one", "two"].map(|node| serve_node(&folder, node)).into();
        let made = customer(&folder, "one.toml");
        let runtime = Runtime::new().unwrap();
        let settings = Settings {
            url,
            ca_file: None,
            feed_url: None,
            // As a command on the first node's machine does.
            withdrawals_file: Some(folder.path("one.jsonl")),
            readers: 1,
            connections: 6,
        };
        let keyring = Keyring::load(&folder.path("keyring.toml")).unwrap();
        let whole = runtime
            .block_on(Store::open(&settings, keyring, MachineClock::new(), Arc::new(SystemRandom)))
            .unwrap();
        let operator = whole.operator(&OperatorPermit::for_command("test"));
        let store = operator.tenant(made.tenant.parse().unwrap());
        let org = made.org.parse().unwrap();
        let nodes: Vec<SocketAddr> = servers.iter().map(Server::address).collect();
        let good = (0..8).map(|_| make_key(&runtime, &store, org)).collect();
        let checker = Checker::start(&nodes, good);
        Self {
            checker,
            servers,
            store,
            _whole: whole,
            runtime,
            org,
            pooler,
            primary,
            replica,
            folder,
            waits: Arc::default(),
            _upstream: upstream,
        }
    }

    /// A third server, which nobody withdraws from.
    pub(super) fn another_node(&self) -> Server {
        serve_node(&self.folder, "three")
    }

    /// Turns the clock of a node's machine, by so many milliseconds from what it is.
    pub(super) fn turn_clock(&self, node: &str, millis: i64) {
        let file = self.folder.path(&format!("{node}.clock"));
        // Whoever reads it sees all of it or nothing.
        let new = file.with_extension("new");
        std::fs::write(&new, millis.to_string()).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// A command on the first node's machine.
    pub(super) fn command(&self, words: &[&str]) -> Outcome {
        let mut command = program(&self.folder);
        command.env("CLAVIGER_TEST_CLOCK", self.folder.path("one.clock"));
        command.args(["--config", "one.toml", "--json"]).args(words);
        run_with(command, "")
    }

    pub(super) fn a_command_that_waits_comes_back_when_all_have_applied_it(&self) {
        let nodes = self.command(&["node", "list"]).json();
        let nodes = nodes.as_array().unwrap();
        assert_eq!(nodes.len(), 2, "{nodes:?}");
        assert!(
            nodes.iter().all(|node| node["live"] == true && node["settings"] == nodes[0]["settings"]),
            "{nodes:?}"
        );
        let tenant = self.store.tenant().to_string();
        for _ in 0..5 {
            let key = make_key(&self.runtime, &self.store, self.org);
            let both = || {
                self.servers.iter().map(|node| try_get(node.address(), "/", &key.text)).collect::<Vec<_>>()
            };
            assert_eq!(both(), [Some(200), Some(200)]);
            let revoke = ["key", "revoke", "--tenant", &tenant, &key.id.to_string(), "--wait"];
            assert_eq!(self.command(&revoke).json()["state"], "revoked");
            assert_eq!(both(), [Some(401), Some(401)], "at once, on every node");
        }
        // A node that stands still is named, and the change is done all the same.
        let key = make_key(&self.runtime, &self.store, self.org);
        self.servers[1].process.signal(Signal::STOP);
        let revoke = ["key", "revoke", "--tenant", &tenant, &key.id.to_string(), "--wait"];
        let told = self.command(&revoke);
        self.servers[1].process.signal(Signal::CONT);
        assert_eq!(told.code, Some(1));
        let name = self.servers[1].ops.to_string();
        assert!(
            told.out.contains("revoked")
                && told.err.contains("not yet applied by")
                && told.err.contains(&name),
            "{told:?}"
        );
        // A wait that fails takes nothing back, and loses nothing of what was done.
        let key = make_key(&self.runtime, &self.store, self.org);
        let told = std::thread::scope(|scope| {
            let hold = "BEGIN; LOCK TABLE claviger.node_wait IN EXCLUSIVE MODE; SELECT pg_sleep(6); COMMIT";
            scope.spawn(|| self.primary.sql("claviger", hold));
            until("nobody can wait", || {
                let held = "SELECT count(*) FROM pg_locks WHERE relation = 'claviger.node_wait'::regclass
                     AND mode = 'ExclusiveLock' AND granted";
                (self.primary.sql("claviger", held) == "1").then_some(())
            });
            self.command(&["key", "revoke", "--tenant", &tenant, &key.id.to_string(), "--wait"])
        });
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(
            told.out.contains("revoked")
                && told.err.contains("it is done, and who has applied it is not known"),
            "{told:?}"
        );
        assert_eq!(try_get(self.servers[0].address(), "/", &key.text), Some(401));
    }

    /// Withdraws one key after the other while `fault` happens, waits until all is well again, and judges.
    pub(super) fn during(&mut self, what: &str, fault: impl FnOnce(&mut Self)) -> Verdict {
        let count = withdrawals();
        let keys: Vec<Key> = (0..count).map(|_| make_key(&self.runtime, &self.store, self.org)).collect();
        let _before = self.checker.verdict();
        for node in &self.servers {
            assert!(
                keys.iter().take(8).all(|key| try_get(node.address(), "/", &key.text) == Some(200)),
                "{what}"
            );
        }
        let store = self.store.clone();
        let (acknowledge, acknowledged) = std::sync::mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let waits = Arc::clone(&self.waits);
        let withdraw = self.runtime.spawn(async move {
            // Most while the fault lasts, and some after it, whether it takes long or not.
            let late = keys.len() - 20;
            for (at, key) in keys.into_iter().enumerate() {
                while waits.load(Ordering::SeqCst) || at >= late && !over.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                loop {
                    match store.key_revoke(key.id).await {
                        // One of unknown outcome that did happen.
                        Ok(()) | Err(StoreError::NotFound { .. }) => break,
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
                acknowledge.send((key, Instant::now())).unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        // Acknowledged when the store said so, not when somebody reads of it here.
        let seen = self.checker.withdrawals();
        let tell = std::thread::spawn(move || {
            for (key, at) in acknowledged {
                seen(key, at);
            }
        });
        fault(self);
        is_over.store(true, Ordering::SeqCst);
        let withdrawn = self.runtime.block_on(async { tokio::time::timeout(LONGEST, withdraw).await });
        withdrawn.expect("every withdrawal is acknowledged in the end").unwrap();
        tell.join().unwrap();
        let servers: Vec<SocketAddr> = self.servers.iter().map(Server::address).collect();
        let good = self.checker.good();
        for node in servers {
            until("a good credential is let in again", || {
                (try_get(node, "/", &good) == Some(200)).then_some(())
            });
        }
        // As long as an answer may be out of date, and a little more.
        let until_then = Instant::now() + MAX_STALENESS + Duration::from_secs(1);
        until("what may be late has been asked for", || (Instant::now() > until_then).then_some(()));
        let verdict = self.checker.verdict();
        // What was measured, for whoever runs the suite to see it.
        let _unseen = writeln!(std::io::stderr(), "{what}: {count} withdrawals; {verdict:?}");
        assert!(verdict.latest <= MAX_STALENESS, "{what}: {verdict:?}");
        assert!(
            verdict.withdrawn_answers > 20 && verdict.good_answers > 20,
            "{what}: who is asked nothing passes nothing: {verdict:?}"
        );
        for node in &self.servers {
            for key in self.checker.all_withdrawn() {
                assert_eq!(try_get(node.address(), "/", &key.text), Some(401), "{what}: for good");
            }
        }
        verdict
    }
}

fn serve_node(folder: &Folder, node: &str) -> Server {
    let settings = format!("{node}.toml");
    let mut command = program(folder);
    command.env("CLAVIGER_TEST_CLOCK", folder.path(&format!("{node}.clock")));
    command.args(["--config", &settings, "serve"]);
    serve_as(folder, &settings, command)
}

fn make_key(runtime: &Runtime, store: &TenantStore, org: claviger::id::OrgId) -> Key {
    let new = NewApiKey {
        org,
        name: "probe".into(),
        prefix: "sk".parse().unwrap(),
        environment: claviger::id::Environment::Live,
        grants: "admin".parse().unwrap(),
        networks: None,
        expires_at: None,
    };
    let made = runtime.block_on(store.key_create(new)).unwrap();
    Key { id: made.view.key, text: made.key.secret.expose_text().unwrap().to_owned() }
}
