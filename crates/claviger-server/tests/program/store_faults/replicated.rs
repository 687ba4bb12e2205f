//! Faults of the server and of its replica.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::Signal;

use super::postgres::Postgres;
use super::rig::{Layout, Rig};
use super::{MAX_STALENESS, is_whole};
use crate::support::{get, program, run_with, try_get, until};

#[test]
fn a_withdrawal_holds_through_every_fault_of_server_and_replica() {
    let mut rig = Rig::new(&Layout::Replicated);

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
        let (seconds, changes) = if is_whole() { (150, 2_000_000) } else { (4, 50_000) };
        let hold = format!("BEGIN; SELECT pg_current_xact_id(); SELECT pg_sleep({seconds}); COMMIT");
        std::thread::scope(|scope| {
            scope.spawn(|| rig.primary.try_sql("claviger", &hold));
            rig.primary.sql(
                "claviger",
                &format!(
                    "INSERT INTO claviger.change (kind, id, row_version)
                     SELECT 'user_secret', 'us_' || i, 1 FROM generate_series(1, {changes}) AS i"
                ),
            );
        });
        if is_whole() {
            // Open for minutes, it was named, in each server's log and figures.
            for (node, server) in ["one", "two"].iter().zip(&rig.servers) {
                let log = rig.folder.read(&format!("{node}.err"));
                assert!(log.contains("a transaction stays open") && log.contains("role=\"owner\""), "{log}");
                assert!(
                    get(server.ops, "/metrics", None)
                        .body
                        .contains("claviger_store_oldest_transaction_seconds")
                );
            }
        }
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
        // Whoever acknowledged them stands still: the other one finds the new server first, and must not believe it alone.
        rig.waits.store(true, Ordering::SeqCst);
        rig.servers[0].process.signal(Signal::STOP);
        rig.primary.crash();
        behind.start();
        behind.sql("postgres", "SELECT pg_promote()");
        std::thread::sleep(MAX_STALENESS + Duration::from_secs(1));
        rig.servers[0].process.signal(Signal::CONT);
        rig.waits.store(false, Ordering::SeqCst);
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
    for node in &rig.servers {
        until("it is believed again", || (try_get(node.address(), "/", &good) == Some(200)).then_some(()));
    }
    rig.during("after a restore that was accepted", |_| {});
}
