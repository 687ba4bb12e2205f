//! A real PostgreSQL with a replica, two servers before it, and everything that can go wrong between them. Throughout it
//! credentials are withdrawn, and each server is asked fifty times a second: no withdrawn credential is let in later than
//! `max_staleness` after the acknowledgement, and good ones are let in again once the fault is over.
//!
//! A part of it runs with the other tests. `FAULTS=whole` withdraws a thousand credentials in each fault.

mod checker;
mod document;
mod postgres;

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

use crate::support::Outcome;
use crate::support::{
    Folder, Server, Upstream, customer, get, orders, program, run_with, serve_as, try_get, until,
};
use checker::{Checker, Key, Verdict};
use postgres::Postgres;

/// `directory.max_staleness_seconds`, as it is unless settings say otherwise.
const MAX_STALENESS: Duration = Duration::from_secs(5);

fn is_whole() -> bool {
    std::env::var_os("FAULTS").is_some_and(|value| value == "whole")
}

/// How many withdrawals there are in each fault.
fn withdrawals() -> usize {
    if is_whole() { 1000 } else { 120 }
}

struct Rig {
    // Dropped in this order: those who ask before those who answer.
    checker: Checker,
    servers: Vec<Server>,
    store: TenantStore,
    whole: Store,
    runtime: Runtime,
    org: claviger::id::OrgId,
    primary: Postgres,
    replica: Option<Postgres>,
    url: String,
    folder: Folder,
    /// While this is set, nothing is withdrawn.
    waits: Arc<AtomicBool>,
    _upstream: Upstream,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let place = folder.path("");
        // PostgreSQL's user has to get to its own folders below.
        std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let primary = Postgres::new(&place, "a");
        primary.sql("postgres", "CREATE DATABASE claviger");
        let hosts = ["a", "b", "c"].map(|name| format!("&host={}", folder.path(name).display()));
        let hosts = hosts.concat().replace('/', "%2F");
        let url = format!("postgres:///claviger?user=claviger_rt{hosts}");
        let owner_url =
            format!("postgres:///claviger?user=owner&host={}", primary.socket().replace('/', "%2F"));
        let upstream = Upstream::start();
        for node in ["one", "two"] {
            let store = format!(
                "[store]\nurl = \"{url}\"\nwithdrawals_file = \"{node}.jsonl\"\n[keyring]\nfile = \"keyring.toml\"\n"
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
        let replica = Postgres::replica_of(&primary, &place, "b");
        let servers: Vec<Server> = ["one.toml", "two.toml"]
            .map(|settings| {
                let mut command = program(&folder);
                command.args(["--config", settings, "serve"]);
                serve_as(&folder, settings, command)
            })
            .into();
        let made = customer(&folder, "one.toml");
        let runtime = Runtime::new().unwrap();
        let settings = Settings {
            url: url.clone(),
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
        let replica = Some(replica);
        Self {
            checker,
            servers,
            store,
            whole,
            runtime,
            org,
            primary,
            replica,
            url,
            folder,
            waits: Arc::default(),
            _upstream: upstream,
        }
    }

    fn command(&self, words: &[&str]) -> Outcome {
        let mut command = program(&self.folder);
        command.args(["--config", "one.toml", "--json"]).args(words);
        run_with(command, "")
    }

    fn a_command_that_waits_comes_back_when_all_have_applied_it(&self) {
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
    }

    /// Withdraws one key after the other while `fault` happens, waits until all is well again, and judges.
    fn during(&mut self, what: &str, fault: impl FnOnce(&mut Self)) -> Verdict {
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
        self.runtime.block_on(withdraw).unwrap();
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

#[test]
fn a_withdrawal_holds_through_every_fault_of_the_store() {
    let mut rig = Rig::new();

    rig.a_command_that_waits_comes_back_when_all_have_applied_it();
    let healthy = rig.during("nothing", |_| {});
    assert_eq!(healthy.good_refused, 0, "{healthy:?}");
    if is_whole() {
        // The numbers that are promised in health, on a machine that has nothing else to do.
        assert!(
            healthy.p99 <= Duration::from_secs(1) && healthy.median <= Duration::from_millis(100),
            "{healthy:?}"
        );
    }

    // Abort records are not flushed: recovery gives out transaction ids again that a cursor has seen. A node that stands
    // still for a moment meets the server again when its numbers have passed the cursor's.
    rig.during("a crash under rollbacks", |rig| {
        rig.waits.store(true, Ordering::SeqCst);
        // What is under way is done, and what is rolled back comes last; then every node asks how far it is.
        std::thread::sleep(Duration::from_millis(300));
        let writer = rig.primary.hold_wal_writer();
        rig.primary.sql("claviger", &"BEGIN; SELECT pg_current_xact_id(); ROLLBACK;".repeat(40));
        std::thread::sleep(Duration::from_millis(300));
        rig.servers[0].process.signal(Signal::STOP);
        rig.primary.crash_with(writer);
        rig.primary.start();
        let before = rig.checker.all_withdrawn().len();
        rig.waits.store(false, Ordering::SeqCst);
        until("more are withdrawn than were rolled back", || {
            (rig.checker.all_withdrawn().len() >= before + 50).then_some(())
        });
        rig.servers[0].process.signal(Signal::CONT);
    });
    rig.during("crash after crash", |rig| {
        for _ in 0..3 {
            rig.primary.crash();
            rig.primary.start();
        }
    });

    rig.during("connections cut", |rig| {
        for _ in 0..10 {
            rig.primary.sql(
                "claviger",
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'claviger_rt'",
            );
        }
    });

    rig.during("a node that stands still", |rig| {
        rig.servers[0].process.signal(Signal::STOP);
        std::thread::sleep(MAX_STALENESS + Duration::from_secs(1));
        rig.servers[0].process.signal(Signal::CONT);
    });

    rig.during("a server that stands still", |rig| {
        rig.primary.pause();
        std::thread::sleep(MAX_STALENESS + Duration::from_secs(1));
        rig.primary.go_on();
    });

    rig.during("a backlog, and a transaction that stays open", |rig| {
        let hold = "BEGIN; SELECT pg_current_xact_id(); SELECT pg_sleep(4); COMMIT";
        std::thread::scope(|scope| {
            scope.spawn(|| rig.primary.try_sql("claviger", hold));
            rig.primary.sql(
                "claviger",
                "INSERT INTO claviger.change (kind, id, row_version)
                 SELECT 'user_secret', 'us_' || i, 1 FROM generate_series(1, 50000) AS i",
            );
        });
    });

    for hours in [2, -2] {
        rig.during(&format!("the server's clock {hours} h off"), |rig| {
            let clock = |shift: &str| {
                format!(
                    "CREATE OR REPLACE FUNCTION claviger.claviger_now() RETURNS bigint LANGUAGE sql VOLATILE
                     SET search_path = claviger, pg_temp AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint{shift}
$$"
                )
            };
            rig.primary.sql("claviger", &clock(&format!(" + {}", hours * 3_600_000)));
            for node in &rig.servers {
                until("its clock is noticed", || {
                    (get(node.ops, "/readyz", None).status == 503).then_some(())
                });
                let figure =
                    format!("claviger_store_clock_offset_millis {}", if hours > 0 { "7" } else { "-7" });
                assert!(get(node.ops, "/metrics", None).body.contains(&figure));
                assert_eq!(
                    try_get(node.address(), "/", &rig.checker.good()),
                    Some(200),
                    "it serves all the same"
                );
            }
            rig.primary.sql("claviger", &clock(""));
        });
    }

    rig.during("a promotion, with connections left on the old primary", |rig| {
        let replica = rig.replica.take().unwrap();
        // Fenced: who is connected to it may still read.
        rig.primary.sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
        rig.primary.sql("postgres", "SELECT pg_reload_conf()");
        let written = rig.primary.sql("postgres", "SELECT pg_current_wal_flush_lsn()");
        until("the replica has all of it", || {
            (replica.sql("postgres", &format!("SELECT pg_last_wal_replay_lsn() >= '{written}'")) == "t")
                .then_some(())
        });
        replica.sql("postgres", "SELECT pg_promote()");
        until("a node reads from the new primary", || {
            let there = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'claviger_rt'";
            (replica.sql("postgres", there) != "0").then_some(())
        });
        let old = std::mem::replace(&mut rig.primary, replica);
        rig.replica = Some(old);
    });
    rig.replica = None;

    // A replica that is behind takes over: what was committed last is lost, and withdrawn all the same.
    rig.during("a failover that loses commits", |rig| {
        let place = rig.folder.path("");
        rig.waits.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        let mut behind = Postgres::replica_of(&rig.primary, &place, "c");
        behind.crash();
        let before = rig.checker.all_withdrawn().len();
        rig.waits.store(false, Ordering::SeqCst);
        until("some are withdrawn that it does not hear of", || {
            (rig.checker.all_withdrawn().len() >= before + 40).then_some(())
        });
        rig.primary.crash();
        behind.start();
        behind.sql("postgres", "SELECT pg_promote()");
        rig.primary = behind;
    });

    // Nothing may be read of a database that came out of a dump until somebody has looked at it.
    let dump = rig.folder.path("c/dump").display().to_string();
    let socket = rig.primary.socket();
    rig.primary.run("pg_dump", &["-h", &socket, "-U", "owner", "-Fc", "-f", &dump, "claviger"]);
    rig.primary.sql("postgres", "ALTER DATABASE claviger ALLOW_CONNECTIONS false");
    rig.primary.sql(
        "postgres",
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'claviger'",
    );
    rig.primary.sql("postgres", "ALTER DATABASE claviger RENAME TO before");
    rig.primary.sql("postgres", "CREATE DATABASE claviger");
    rig.primary.run("pg_restore", &["-h", &socket, "-U", "owner", "-d", "claviger", &dump]);
    let good = rig.checker.good();
    for node in &rig.servers {
        until("a restored database is not believed", || {
            (try_get(node.address(), "/", &good) == Some(503)).then_some(())
        });
        let told = get(node.ops, "/readyz", None);
        assert_eq!(told.status, 503, "{}", told.body);
    }
    let checked = rig.command(&["store", "check"]);
    assert!(checked.code == Some(1) && checked.err.contains("claviger store accept"), "{checked:?}");
    let mut accept = program(&rig.folder);
    accept.args(["--config", "one.toml", "--json", "store", "accept"]);
    let accepted = run_with(accept, "").json();
    assert_eq!(
        (&accepted["state"], &accepted["tenants_whose_tokens_were_ended"]),
        (&"accepted".into(), &1.into())
    );
    rig.during("after a restore that was accepted", |_| {});
    let _ = (&rig.url, &rig.whole);
}
