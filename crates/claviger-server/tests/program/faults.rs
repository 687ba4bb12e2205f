//! A disk that is full, and a process that is killed.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, prlimit};

use crate::support::{
    Folder, Upstream, customer, get, new_key, orders, program, run, run_with, serve, serve_as, until,
};

const STORE: &str = "[store]\nurl = \"sqlite:data/claviger.db\"\n";

/// How often the server is killed.
const KILLS: usize = 24;

#[test]
fn a_full_disk_refuses_changes_and_nothing_else() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    folder.write("claviger.toml", &orders(upstream.address, STORE));
    // A file that may not grow fails a write as a full disk does, where the signal that would come first is ignored.
    let claviger = program(&folder);
    let mut command = Command::new("sh");
    command.current_dir(folder.path("")).args(["-c", "trap '' XFSZ; exec \"$0\" serve"]);
    command.arg(claviger.get_program());
    let server = serve_as(&folder, "claviger.toml", command);
    let known = customer(&folder, "claviger.toml");
    assert_eq!(get(server.address(), "/a", Some(&known.key)).status, 200);

    let limit = |bytes: Option<u64>| {
        let _ =
            prlimit(Some(server.process.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None })
                .unwrap();
    };
    limit(Some(0));
    let create = ["--config", "claviger.toml", "key", "create", "--name", "k"];
    let create = [&create[..], &["--tenant", &known.tenant, "--org", &known.org]].concat();
    let before = run(
        &folder,
        &[
            "--config",
            "claviger.toml",
            "--json",
            "key",
            "list",
            "--tenant",
            &known.tenant,
            "--org",
            &known.org,
        ],
    )
    .json();
    for _ in 0..3 {
        let (said, hint) = run(&folder, &create).error();
        assert_eq!(said, "it is not known whether the change was stored");
        assert!(hint.unwrap().contains("look whether it is there"));
        assert_eq!(get(server.address(), "/a", Some(&known.key)).status, 200, "a known key is let in");
        assert_eq!(get(server.ops, "/healthz", None).status, 200);
    }
    limit(None);
    let list = [
        "--config",
        "claviger.toml",
        "--json",
        "key",
        "list",
        "--tenant",
        &known.tenant,
        "--org",
        &known.org,
    ];
    assert_eq!(run(&folder, &list).json(), before, "what was refused is not there");
    let (_, key) = new_key(&folder, "claviger.toml", &known.tenant, &known.org).expect("there is room again");
    assert_eq!(get(server.address(), "/a", Some(&key)).status, 200);
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    let text = orders(upstream.address, &format!("{STORE}[log]\naccess = \"off\"\n"));
    folder.write("claviger.toml", &text);
    let known = customer(&folder, "claviger.toml");
    let acknowledged = Mutex::new(vec![(known.key_id.clone(), known.key.clone())]);
    for round in 0..KILLS {
        let mut server = serve(&folder, "claviger.toml");
        let before = acknowledged.lock().unwrap().len();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) {
                        // `None` is a command the kill came before: nothing was promised.
                        let made = new_key(&folder, "claviger.toml", &known.tenant, &known.org);
                        acknowledged.lock().unwrap().extend(made);
                    }
                });
            }
            until("two keys are acknowledged", || {
                (acknowledged.lock().unwrap().len() >= before + 2).then_some(())
            });
            // Each round strikes at another point of whatever is being written.
            std::thread::sleep(Duration::from_micros(700 * round as u64));
            is_over.store(true, Ordering::SeqCst);
            server.process.signal(Signal::KILL);
        });
        assert!(server.process.wait().code().is_none());
        // The dead server's socket is in nobody's way, neither of commands nor of the next server.
        assert!(folder.path("data/control.sock").exists());
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 2 * KILLS);
    let list = [
        "--config",
        "claviger.toml",
        "--json",
        "key",
        "list",
        "--tenant",
        &known.tenant,
        "--org",
        &known.org,
    ];
    let listed = run(&folder, &list).json();
    let listed: Vec<&str> =
        listed.as_array().unwrap().iter().map(|key| key["key_id"].as_str().unwrap()).collect();
    let server = serve(&folder, "claviger.toml");
    for (id, key) in &acknowledged {
        assert!(listed.contains(&id.as_str()), "{id} was acknowledged and is lost");
        assert_eq!(get(server.address(), "/a", Some(key)).status, 200, "{id}");
    }
}

/// What makes a process' disk fail, compiled by whatever compiles SQLite.
fn failing_disk(folder: &Folder) -> std::path::PathBuf {
    let library = folder.path("eio.so");
    let mut command = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/eio.c")).arg("-ldl");
    let outcome = run_with(command, "");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    library
}

#[test]
fn a_disk_that_fails_loses_nothing_that_was_acknowledged_and_lets_nobody_in_for_it() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    folder.write("claviger.toml", &orders(upstream.address, STORE));
    let library = failing_disk(&folder);
    let start = || {
        let mut command = program(&folder);
        command.env("LD_PRELOAD", &library).env("FAILS", folder.path("fails"));
        command.args(["--config", "claviger.toml", "serve"]);
        serve_as(&folder, "claviger.toml", command)
    };
    let mut server = start();
    let known = customer(&folder, "claviger.toml");
    let make = || new_key(&folder, "claviger.toml", &known.tenant, &known.org);
    let command = |words: &[&str]| {
        let words =
            [&["--config", "claviger.toml", "--json", "key"], words, &["--tenant", &known.tenant]].concat();
        run(&folder, &words)
    };
    let listed = || command(&["list", "--org", &known.org]).json();
    assert_eq!(get(server.address(), "/a", Some(&known.key)).status, 200);

    let mut withdrawn = Vec::new();
    let mut of_unknown_end = Vec::new();
    for what in ["write", "sync"] {
        for _ in 0..3 {
            let (gone, unsure, unread) = (make().unwrap(), make().unwrap(), make().unwrap());
            assert_eq!(get(server.address(), "/a", Some(&gone.1)).status, 200);
            assert_eq!(command(&["revoke", &gone.0]).json()["state"], "revoked");
            folder.write("fails", what);
            for words in [&["revoke", &*unsure.0][..], &["create", "--org", &known.org, "--name", "k"]] {
                let (said, hint) = command(words).error();
                assert!(
                    said == "it is not known whether the change was stored"
                        || said.starts_with("the store is unavailable"),
                    "{said}"
                );
                assert!(hint.is_some());
            }
            assert_eq!(get(server.address(), "/a", Some(&known.key)).status, 200, "a known key is let in");
            assert_eq!(get(server.address(), "/a", Some(&gone.1)).status, 401, "a withdrawn one is not");
            std::fs::remove_file(folder.path("fails")).unwrap();
            assert_eq!(get(server.address(), "/a", Some(&unread.1)).status, 200, "it goes on");
            withdrawn.push(gone);
            of_unknown_end.push(unsure);
        }
    }
    // What the last failed commit left in the file's log is written over, so that no crash brings it back.
    until("the last change of unknown outcome is settled", || {
        folder.read("claviger.err").lines().last()?.contains("did not happen").then_some(())
    });
    let before = listed();
    for is_killed in [false, true] {
        if is_killed {
            server.process.signal(Signal::KILL);
            server.process.wait();
            server = start();
            // What nobody remembers cannot be read, and that is no answer.
            folder.write("fails", "read");
            assert_eq!(get(server.address(), "/a", Some(&known.key)).status, 503);
            assert_eq!(get(server.address(), "/a", Some(&withdrawn[0].1)).status, 503);
            let (said, _) = command(&["list", "--org", &known.org]).error();
            assert!(said.contains("database file c"), "what cannot be read, or could not: {said}");
            std::fs::remove_file(folder.path("fails")).unwrap();
        }
        assert_eq!(listed(), before, "what is there is there for good");
        let is_listed = |id: &str| before.as_array().unwrap().iter().any(|key| key["key_id"] == id);
        for (id, key) in &withdrawn {
            assert!(!is_listed(id));
            assert_eq!(get(server.address(), "/a", Some(key)).status, 401, "{id}");
        }
        for (id, key) in &of_unknown_end {
            let expected = if is_listed(id) { 200 } else { 401 };
            assert_eq!(get(server.address(), "/a", Some(key)).status, expected, "{id}");
        }
    }
}
