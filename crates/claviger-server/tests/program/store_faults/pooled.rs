//! Faults of what stands between: a pooler, the machines' clocks, a disk, and the walls.

use std::time::{Duration, Instant};

use claviger_store::StoreError;
use rustix::process::Signal;

use super::MAX_STALENESS;
use super::rig::{Layout, Rig};
use crate::support::{Server, get, try_get, until};

/// Room for what PostgreSQL begins with, and for some more.
const DISK: u64 = 320 << 20;

/// How a wall is taken down, and put up again, by somebody who may.
const WALLS: [(&str, &str); 10] = [
    (
        "ALTER TABLE api_key DISABLE TRIGGER ALL; ALTER TABLE key_secret DISABLE TRIGGER ALL",
        "ALTER TABLE api_key ENABLE TRIGGER ALL; ALTER TABLE key_secret ENABLE TRIGGER ALL",
    ),
    (
        "ALTER FUNCTION note_change() RENAME TO note_change_before;
         CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "DROP FUNCTION note_change(); ALTER FUNCTION note_change_before() RENAME TO note_change",
    ),
    ("CREATE RULE silence AS ON INSERT TO change DO INSTEAD NOTHING", "DROP RULE silence ON change"),
    ("CREATE POLICY more ON api_key TO claviger_rt USING (true)", "DROP POLICY more ON api_key"),
    ("ALTER TABLE session DISABLE ROW LEVEL SECURITY", "ALTER TABLE session ENABLE ROW LEVEL SECURITY"),
    ("GRANT UPDATE (details) ON audit TO claviger_rt", "REVOKE UPDATE (details) ON audit FROM claviger_rt"),
    ("GRANT SELECT ON signing_key TO PUBLIC", "REVOKE SELECT ON signing_key FROM PUBLIC"),
    ("ALTER ROLE claviger_rt REPLICATION", "ALTER ROLE claviger_rt NOREPLICATION"),
    ("GRANT claviger_owner TO claviger_rt", "REVOKE claviger_owner FROM claviger_rt"),
    (
        "ALTER TABLE member OWNER TO claviger_rt",
        "ALTER TABLE member OWNER TO claviger_owner; GRANT SELECT, INSERT, UPDATE ON member TO claviger_rt",
    ),
];

fn both(rig: &Rig, what: &str, condition: impl Fn(&Server) -> bool) {
    for node in &rig.servers {
        until(what, || condition(node).then_some(()));
    }
}

/// Waits until the server is not ready for this reason.
fn says(server: &Server, why: &str) {
    until(why, || {
        let told = get(server.ops, "/readyz", None);
        (told.status == 503 && told.body.contains(why)).then_some(())
    });
}

#[test]
fn a_withdrawal_holds_behind_a_pooler_with_wrong_clocks_a_full_disk_and_walls_taken_down() {
    let mut rig = Rig::new(&Layout::Pooled { disk: DISK });
    let good = rig.checker.good();

    let healthy = rig.during("nothing, behind a pooler", |_| {});
    assert_eq!(healthy.good_refused, 0, "{healthy:?}");

    rig.during("a pooler that stands still", |rig| {
        let pooler = rig.pooler.as_ref().unwrap();
        pooler.signal(Signal::STOP);
        std::thread::sleep(MAX_STALENESS + Duration::from_secs(1));
        pooler.signal(Signal::CONT);
    });
    rig.during("a pooler that dies, and another in its place", |rig| {
        for _ in 0..3 {
            let pooler = rig.pooler.as_mut().unwrap();
            pooler.kill();
            std::thread::sleep(Duration::from_millis(300));
            pooler.start();
            both(rig, "it is let in again", |node| try_get(node.address(), "/", &good) == Some(200));
        }
    });

    let tenant = rig.store.tenant().to_string();
    for hours in [2, -2] {
        rig.during(&format!("a node's own clock {hours} h off"), |rig| {
            let create = ["key", "create", "--tenant", &tenant, "--org", &rig.org.to_string(), "--name", "k"];
            let made = rig.command(&create).json();
            rig.turn_clock("one", hours * 3_600_000);
            let [one, two] = &rig.servers[..] else { panic!("two servers") };
            says(one, "the clock differs");
            let behind = if hours > 0 { "-7" } else { "7" };
            let figure = format!("claviger_store_clock_offset_millis {behind}");
            assert!(get(one.ops, "/metrics", None).body.contains(&figure));
            until("it is that machine's clock alone", || {
                (get(two.ops, "/readyz", None).status == 200).then_some(())
            });
            assert_eq!(try_get(one.address(), "/", &good), Some(200), "it serves all the same");
            let refused = rig.command(&create);
            assert!(refused.err.contains("nothing is granted while"), "{refused:?}");
            let key = made["key_id"].as_str().unwrap();
            let revoked = rig.command(&["key", "revoke", "--tenant", &tenant, key]).json();
            assert_eq!(revoked["state"], "revoked", "and withdraws");
            rig.turn_clock("one", 0);
            until("it is set right", || (get(one.ops, "/readyz", None).status == 200).then_some(()));
        });
    }
    rig.during("a node's own clock that jumps", |rig| {
        let over = Instant::now() + Duration::from_secs(3);
        for hours in [3, -3, 1, -5, 0].into_iter().cycle() {
            rig.turn_clock("one", hours * 3_600_000);
            rig.turn_clock("two", -hours * 3_600_000);
            std::thread::sleep(Duration::from_millis(150));
            if hours == 0 && Instant::now() > over {
                break;
            }
        }
        // Started with a wrong clock it serves, too, by the store's.
        rig.turn_clock("three", 2 * 3_600_000);
        let third = rig.another_node();
        assert_eq!(try_get(third.address(), "/", &good), Some(200));
        let withdrawn = rig.checker.all_withdrawn();
        assert_eq!(try_get(third.address(), "/", &withdrawn[0].text), Some(401));
        says(&third, "the clock differs");
        rig.turn_clock("three", 0);
        until("it is set right", || (get(third.ops, "/readyz", None).status == 200).then_some(()));
    });

    rig.during("walls taken down, one at a time", |rig| {
        for (down, up) in WALLS {
            rig.primary.sql("claviger", &format!("SET search_path = claviger; {down}"));
            both(rig, down, |node| try_get(node.address(), "/", &good) == Some(503));
            says(&rig.servers[0], "the walls of the database are not those");
            rig.primary.sql("claviger", &format!("SET search_path = claviger; {up}"));
            both(rig, up, |node| try_get(node.address(), "/", &good) == Some(200));
        }
    });

    if !rig.primary.has_a_disk() {
        return;
    }
    rig.during("a full disk", |rig| {
        rig.primary.fill_disk();
        // Tables cannot grow; then the log of what is written cannot either, which ends the server.
        let full = "CREATE TABLE public.more AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
        let told = rig.primary.try_sql("claviger", full);
        assert!(told.contains("No space left on device"), "{told}");
        let made = rig.runtime.block_on(rig.store.org_create(&"x".repeat(100)));
        assert!(
            matches!(made, Ok(_) | Err(StoreError::Unavailable { .. } | StoreError::UnknownOutcome)),
            "{made:?}"
        );
        let log = "SELECT count(pg_logical_emit_message(false, 'x', repeat('x', 1000000))) FROM generate_series(1, 400)";
        let told = rig.primary.try_sql("claviger", log);
        assert!(told.contains("server closed the connection unexpectedly"), "{told}");
        std::thread::sleep(Duration::from_secs(2));
        rig.primary.empty_disk();
        rig.primary.start_if_it_ended();
    });
}
