//! Two programs, one a step of the schema further than the other, take turns on one PostgreSQL while requests come in.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::store_faults::postgres::Postgres;
use crate::support::{
    Customer, Folder, Outcome, Server, Upstream, customer, get, orders, program, run, run_with, serve_as,
    try_get, until,
};

/// Five hundred requests a second.
const CLIENTS: u32 = 10;
const EACH_EVERY: Duration = Duration::from_millis(20);

/// Which program: this tree's, or the next one's.
#[derive(Clone, Copy, PartialEq)]
enum Program {
    This,
    Next,
}

/// The servers that requests are sent to, as a balancer has them, and what came back.
#[derive(Default)]
struct Rotation {
    servers: RwLock<Vec<SocketAddr>>,
    is_over: AtomicBool,
    answered: AtomicUsize,
    /// What was not let in, with when and where.
    refused: RwLock<Vec<String>>,
}

impl Rotation {
    fn send(&self, key: &str, from: usize) {
        let begun = Instant::now();
        for turn in from.. {
            let due = Instant::now() + EACH_EVERY;
            {
                // Nobody leaves the rotation while a request is under way there.
                let servers = self.servers.read().unwrap();
                if let Some(address) = servers.get(turn % servers.len().max(1)) {
                    match try_get(*address, "/", key) {
                        Some(200) => self.answered.fetch_add(1, Ordering::SeqCst),
                        other => {
                            let told =
                                format!("{other:?} of {address}, {:?} after the first", begun.elapsed());
                            self.refused.write().unwrap().push(told);
                            0
                        }
                    };
                }
            }
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

struct Fleet {
    folder: Folder,
    owner_url: String,
    rotation: Arc<Rotation>,
    clients: Vec<JoinHandle<()>>,
    servers: Vec<Option<Server>>,
    postgres: Postgres,
    _upstream: Upstream,
}

impl Fleet {
    fn new() -> Self {
        let folder = Folder::new();
        let place = folder.path("");
        std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let postgres = Postgres::new(&place, "a");
        postgres.sql("postgres", "CREATE DATABASE claviger");
        let host = postgres.socket().replace('/', "%2F");
        let owner_url = format!("postgres:///claviger?user=owner&host={host}");
        let upstream = Upstream::start();
        for node in ["one", "two"] {
            let store = format!(
                "[store]\nurl = \"postgres:///claviger?user=claviger_rt&host={host}\"\nwithdrawals_file = \"{node}.jsonl\"\n\
                 [keyring]\nfile = \"{node}.keyring.toml\"\n"
            );
            folder.write(&format!("{node}.toml"), &orders(upstream.address, &store));
        }
        let rotation = Arc::new(Rotation::default());
        Self {
            folder,
            owner_url,
            rotation,
            clients: Vec::new(),
            servers: vec![None, None],
            postgres,
            _upstream: upstream,
        }
    }

    fn command(&self, of: Program, words: &[&str]) -> Outcome {
        let mut command = program(&self.folder);
        command.args(["--config", "one.toml", "--json"]).args(words);
        command.env("CLAVIGER_STORE_OWNER_URL", &self.owner_url);
        if of == Program::Next {
            command.env("CLAVIGER_TEST_FURTHER", "1");
        }
        run_with(command, "")
    }

    /// Gives `to` the keyring of `from`, as whoever runs the servers does.
    fn hand_keyring(&self, from: &str, to: &str) {
        let file = |node: &str| self.folder.path(&format!("{node}.keyring.toml"));
        std::fs::copy(file(from), file(to)).unwrap();
    }

    fn start_clients(&mut self, key: &str) {
        for client in 0..CLIENTS as usize {
            let (rotation, key) = (self.rotation.clone(), key.to_owned());
            self.clients.push(std::thread::spawn(move || rotation.send(&key, client)));
        }
    }

    /// A store, two servers of this program, a customer, and requests.
    fn begin(&mut self) -> Customer {
        self.command(Program::This, &["keyring", "create"]).json();
        self.hand_keyring("one", "two");
        self.command(Program::This, &["store", "prepare"]).json();
        self.replace(0, Program::This);
        self.replace(1, Program::This);
        let made = customer(&self.folder, "one.toml");
        self.start_clients(&made.key);
        until("requests come in", || (count(self) > 100).then_some(()));
        made
    }

    /// Takes a server out of the rotation, lets it finish, and puts one of `of` in its place.
    fn replace(&mut self, at: usize, of: Program) {
        if let Some(mut old) = self.servers[at].take() {
            let address = old.address();
            self.rotation.servers.write().unwrap().retain(|server| *server != address);
            old.process.signal(Signal::TERM);
            assert_eq!(old.process.wait().code(), Some(0));
        }
        let settings = ["one.toml", "two.toml"][at];
        let mut command = program(&self.folder);
        command.args(["--config", settings, "serve"]);
        if of == Program::Next {
            command.env("CLAVIGER_TEST_FURTHER", "1");
        }
        let server = serve_as(&self.folder, settings, command);
        until("it is ready", || (get(server.ops, "/readyz", None).status == 200).then_some(()));
        self.rotation.servers.write().unwrap().push(server.address());
        self.servers[at] = Some(server);
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().flatten()
    }

    /// What one program grants and takes away, the other heeds.
    fn agree(&self, programs: &[Program], tenant: &str, org: &str) {
        for of in programs.iter().copied() {
            let create =
                ["key", "create", "--tenant", tenant, "--org", org, "--name", "k", "--scope", "admin"];
            let made = self.command(of, &create).json();
            let (id, key) = (made["key_id"].as_str().unwrap(), made["key"].as_str().unwrap());
            for server in self.servers() {
                assert_eq!(try_get(server.address(), "/", key), Some(200));
            }
            let revoke = ["key", "revoke", "--tenant", tenant, id, "--wait"];
            assert_eq!(self.command(of, &revoke).json()["state"], "revoked");
            for server in self.servers() {
                assert_eq!(try_get(server.address(), "/", key), Some(401));
            }
        }
    }

    fn refused(&self) -> Vec<String> {
        self.rotation.refused.read().unwrap().clone()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.rotation.is_over.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

/// How many requests were let in so far.
fn count(fleet: &Fleet) -> usize {
    fleet.rotation.answered.load(Ordering::SeqCst)
}

#[test]
fn store_11_programs_and_schema_roll_forward_and_back_and_nothing_is_refused() {
    let mut fleet = Fleet::new();
    let made = fleet.begin();
    let key = made.key.clone();
    fleet.agree(&[Program::This], &made.tenant, &made.org);

    let more = "INSERT INTO claviger.tenant SELECT (jsonb_populate_record(t, jsonb_build_object('tenant_id', gen_random_uuid()))).*
                FROM claviger.tenant AS t, generate_series(1, 3000)";
    fleet.postgres.sql("claviger", more);
    let told =
        "SELECT (SELECT count(*) FROM claviger.change), (SELECT sum(row_version) FROM claviger.tenant)";
    let told_before = fleet.postgres.sql("claviger", told);

    // The next program's schema, while somebody reads from the table that it changes.
    std::thread::scope(|scope| {
        let long = "BEGIN; SELECT count(*) FROM claviger.tenant; SELECT pg_sleep(5); COMMIT";
        scope.spawn(|| fleet.postgres.sql("claviger", long));
        until("somebody reads", || {
            let held = "SELECT count(*) FROM pg_locks WHERE relation = 'claviger.tenant'::regclass
                        AND mode = 'AccessShareLock' AND granted";
            (fleet.postgres.sql("claviger", held) != "0").then_some(())
        });
        let begun = Instant::now();
        assert_eq!(fleet.command(Program::Next, &["store", "prepare"]).json()["state"], "prepared");
        assert!(begun.elapsed() > Duration::from_secs(2), "it waited for whoever reads, and not they for it");
    });
    let both = [Program::This, Program::Next];
    let has = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'claviger.tenant'::regclass AND attname = 'further'";
    assert_eq!(fleet.postgres.sql("claviger", has), "1");
    let filled = "SELECT count(*) FROM claviger.tenant WHERE further = 'filled'";
    assert_eq!(fleet.postgres.sql("claviger", filled), "3001");
    assert_eq!(fleet.postgres.sql("claviger", told), told_before, "the feed tells of no backfill");
    // One that was cut short is finished by the next who prepares, and an index of no use is made anew.
    fleet.postgres.sql(
        "claviger",
        "SET allow_system_table_mods = on;
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'claviger.tenant_further'::regclass;
         UPDATE claviger.migration SET unfinished = 2 WHERE name = '9000_further'",
    );
    assert_eq!(fleet.command(Program::Next, &["store", "prepare"]).json()["state"], "prepared");
    let finished = "SELECT indisvalid, (SELECT sum(unfinished) FROM claviger.migration)
                    FROM pg_index WHERE indexrelid = 'claviger.tenant_further'::regclass";
    assert_eq!(fleet.postgres.sql("claviger", finished), "t|0");
    fleet.agree(&both, &made.tenant, &made.org);
    for server in fleet.servers() {
        let told = get(server.ops, "/readyz", None);
        assert_eq!(told.status, 200, "this program works with the next one's schema: {}", told.body);
    }
    assert_eq!(fleet.refused(), [""; 0], "when the schema changed");

    for (order, of) in [([1, 0], Program::Next), ([0, 1], Program::This)] {
        for at in order {
            fleet.replace(at, of);
            fleet.agree(&both, &made.tenant, &made.org);
        }
    }
    // Preparing with this program again leaves the next one's schema alone.
    assert_eq!(fleet.command(Program::This, &["store", "prepare"]).json()["state"], "prepared");
    assert_eq!(fleet.command(Program::This, &["store", "check"]).code, Some(0));
    assert_eq!(fleet.command(Program::Next, &["store", "check"]).code, Some(0));
    fleet.agree(&both, &made.tenant, &made.org);
    let before = count(&fleet);
    until("requests still come in", || (count(&fleet) > before + 100).then_some(()));
    assert_eq!(fleet.refused(), [""; 0]);

    // A wall of the next program's schema is a wall, too.
    fleet.postgres.sql("claviger", "ALTER TABLE claviger.tenant DISABLE ROW LEVEL SECURITY");
    let refused = fleet.command(Program::This, &["store", "check"]);
    assert!(refused.err.contains("missing: `table tenant"), "{refused:?}");
    fleet.postgres.sql("claviger", "ALTER TABLE claviger.tenant ENABLE ROW LEVEL SECURITY");
    // And a step that leaves older programs behind ends them, with what to do.
    fleet
        .postgres
        .sql("claviger", "UPDATE claviger.migration SET works_with = name WHERE name = '9000_further'");
    fleet.postgres.sql("claviger", "ALTER TABLE claviger.tenant ADD COLUMN more text");
    for server in fleet.servers() {
        until("this program is left behind, and says so", || {
            let told = get(server.ops, "/readyz", None).body;
            (told.contains("9000_further") && told.contains("update this one")).then_some(())
        });
        assert_eq!(try_get(server.address(), "/", &key), Some(503));
    }
    assert!(fleet.command(Program::This, &["store", "check"]).err.contains("update this one"));
}

#[test]
fn store_18_a_new_pepper_is_used_once_every_server_holds_it_and_no_key_is_refused() {
    let mut fleet = Fleet::new();
    let made = fleet.begin();
    let create =
        ["key", "create", "--tenant", &made.tenant, "--org", &made.org, "--name", "k", "--scope", "admin"];
    let key_of = |fleet: &Fleet| {
        let key = fleet.command(Program::This, &create).json()["key"].as_str().unwrap().to_owned();
        for server in fleet.servers() {
            assert_eq!(try_get(server.address(), "/", &key), Some(200), "everywhere, whoever made it");
        }
        key
    };
    let words = ["--config", "two.toml", "--json", "keyring", "add-pepper"];
    assert_eq!(run(&fleet.folder, &words).json()["peppers"], serde_json::json!(["k1", "k2"]));
    assert!(key_of(&fleet).contains("_k1_"));
    // Announced by the first that starts with it, and not used yet: the other one could not read it.
    fleet.replace(1, Program::This);
    assert!(key_of(&fleet).contains("_k1_"));
    fleet.hand_keyring("two", "one");
    assert!(key_of(&fleet).contains("_k1_"), "a command that has it waits for the server that has not");
    let node_keys = |fleet: &Fleet| {
        let nodes = fleet.command(Program::This, &["node", "list"]).json();
        let mut keys: Vec<String> =
            nodes.as_array().unwrap().iter().map(|node| node["keys"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    };
    assert_eq!(node_keys(&fleet), ["k1 e1", "k1 k2 e1"]);
    fleet.replace(0, Program::This);
    assert_eq!(node_keys(&fleet), ["k1 k2 e1", "k1 k2 e1"]);
    let new = key_of(&fleet);
    assert!(new.contains("_k2_"), "all of them have it");
    fleet.replace(1, Program::This);
    for server in fleet.servers() {
        assert_eq!(try_get(server.address(), "/", &new), Some(200));
    }
    assert_eq!(fleet.refused(), [""; 0]);
}
