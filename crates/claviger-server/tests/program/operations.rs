//! The operations address, signals, and commands to a running server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use rustix::process::Signal;

use crate::support::{
    Folder, Upstream, connect, customer, get, new_key, orders, program, read_answer, run, run_with, serve,
    until,
};

/// Checks a text against the OpenMetrics format, as far as counters, gauges and histograms go, and gives its
/// samples.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (body, end) = text.split_at(text.len() - "# EOF\n".len());
    assert_eq!(end, "# EOF\n");
    let is_name = |name: &str| {
        let letter = |c: char| c.is_ascii_alphabetic() || "_:".contains(c);
        name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
    };
    let (mut found, mut families, mut current) = (BTreeMap::new(), BTreeSet::new(), (String::new(), ""));
    for line in body.lines() {
        if let Some(told) = line.strip_prefix("# ") {
            let mut words = told.splitn(3, ' ');
            let (what, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(is_name(name), "{line}");
            match what {
                "HELP" => {
                    assert!(families.insert(name.to_owned()), "a family must not be torn apart: {line}");
                    current = (name.to_owned(), "");
                }
                "TYPE" => {
                    let kind = ["counter", "gauge", "histogram"].into_iter().find(|kind| *kind == rest);
                    assert_eq!(current.0, name, "{line}");
                    current.1 = kind.unwrap_or_else(|| panic!("an unknown kind: {line}"));
                }
                "UNIT" => assert!(current.0 == name && name.ends_with(rest), "{line}"),
                _ => panic!("not OpenMetrics: {line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels end")),
            None => (series, ""),
        };
        let suffix = name.strip_prefix(current.0.as_str()).unwrap_or_else(|| panic!("no family's: {line}"));
        let allowed: &[&str] = match current.1 {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[],
        };
        assert!(allowed.contains(&suffix), "{line}");
        for label in labels.split("\",").filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once("=\"").expect("a label has a value in quotes");
            assert!(is_name(label) && !value.trim_end_matches('"').contains(['"', '\\', '\n']), "{line}");
        }
        let value: f64 = value.parse().expect("a value is a number");
        assert!(found.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    found
}

#[test]
fn metrics_count_by_outcome_and_operations_are_no_api() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    folder.write("claviger.toml", &orders(upstream.address, ""));
    let server = serve(&folder, "claviger.toml");
    let known = customer(&folder, "claviger.toml");
    let requests = |outcome: &str| {
        let answer = get(server.ops, "/metrics", None);
        assert!(answer.head.contains("application/openmetrics-text; version=1.0.0"), "{}", answer.head);
        let samples = samples(&answer.body);
        assert!(samples["claviger_accepted_connections_total"] > 0.0);
        assert!(samples["claviger_revision_lag_seconds"] < 5.0);
        samples[&format!("claviger_requests_total{{api=\"orders\",outcome=\"{outcome}\"}}")]
    };
    assert_eq!((requests("admitted"), requests("unauthorized")), (0.0, 0.0));
    for _ in 0..3 {
        assert_eq!(get(server.address(), "/a", Some(&known.key)).status, 200);
    }
    assert_eq!(get(server.address(), "/a", None).status, 401);
    assert_eq!(get(server.address(), "/a", Some("sk_live_k1_nonsense")).status, 401);
    assert_eq!((requests("admitted"), requests("unauthorized")), (3.0, 2.0));

    assert_eq!(get(server.ops, "/healthz", None).body, "ok\n");
    assert_eq!(get(server.ops, "/readyz", None).body, "ready\n");
    assert_eq!(get(server.ops, "/a", Some(&known.key)).status, 404);
    let mut stream = connect(server.ops);
    write!(stream, "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut BufReader::new(stream)).status, 405);
    // And the API's address has no operations.
    assert_eq!(get(server.address(), "/metrics", None).status, 401);
}

#[test]
fn commands_have_taken_effect_when_they_return() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    folder.write("claviger.toml", &orders(upstream.address, "[store]\nurl = \"sqlite:data/claviger.db\"\n"));
    let mut server = serve(&folder, "claviger.toml");
    let known = customer(&folder, "claviger.toml");
    let socket = folder.path("data/control.sock");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let key = |verb: &str| {
        let outcome = run(&folder, &["key", verb, "--tenant", &known.tenant, &known.key_id]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    };
    let status = || get(server.address(), "/a", Some(&known.key)).status;
    // The very next request each time, the memory being warm.
    for _ in 0..5 {
        assert_eq!(status(), 200);
        key("disable");
        assert_eq!(status(), 401);
        key("enable");
    }
    assert_eq!(status(), 200);
    key("revoke");
    assert_eq!(status(), 401);

    // Many at once: each gets its own answer.
    let made: BTreeSet<String> = std::thread::scope(|scope| {
        let make = || new_key(&folder, "claviger.toml", &known.tenant, &known.org).expect("a key").1;
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.len(), 8);
    for key in &made {
        assert_eq!(get(server.address(), "/a", Some(key)).status, 200);
    }

    // A killed server's socket is there still. A command without a server works, and so does the next server.
    server.process.signal(Signal::KILL);
    server.process.wait();
    assert!(socket.exists());
    new_key(&folder, "claviger.toml", &known.tenant, &known.org).expect("a command needs no server");
    let mut server = serve(&folder, "claviger.toml");
    new_key(&folder, "claviger.toml", &known.tenant, &known.org).expect("the new server answers");
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.wait().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn requests_under_way_are_finished_and_those_that_hang_are_cut() {
    let folder = Folder::new();
    for (drain, is_answered) in [(20, true), (1, false)] {
        let upstream = Upstream::start();
        folder.write(
            "claviger.toml",
            &orders(upstream.address, &format!("[server]\ndrain_seconds = {drain}\n")),
        );
        let mut server = serve(&folder, "claviger.toml");
        let known = customer(&folder, "claviger.toml");
        let mut stream = connect(server.address());
        let key = &known.key;
        write!(stream, "GET /slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n")
            .unwrap();
        until("the upstream has the request", || (upstream.waiting() == 1).then_some(()));
        server.process.signal(if is_answered { Signal::TERM } else { Signal::INT });
        until("nobody listens any more", || TcpStream::connect(server.address()).is_err().then_some(()));
        if is_answered {
            assert!(!server.process.has_ended());
            upstream.release();
            assert_eq!(read_answer(&mut BufReader::new(stream)).body, "here\n");
        }
        assert_eq!(server.process.wait().code(), Some(0));
        std::fs::remove_dir_all(folder.path("data")).unwrap();
    }
}

#[test]
fn o01_o02_a_server_that_leaves_says_so_first_and_takes_what_comes_meanwhile() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    let server_settings = "[server]\ndrain_seconds = 20\nclose_delay_seconds = 3\n";
    folder.write("claviger.toml", &orders(upstream.address, server_settings));
    let mut server = serve(&folder, "claviger.toml");
    let known = customer(&folder, "claviger.toml");
    assert_eq!(get(server.ops, "/readyz", None).status, 200);
    server.process.signal(Signal::TERM);
    let left = until("it says that it leaves", || {
        let answer = get(server.ops, "/readyz", None);
        (answer.status == 503).then_some(answer.body)
    });
    assert_eq!(left, "not ready: this server is about to stop\n");
    assert_eq!(get(server.address(), "/a", Some(&known.key)).status, 200, "who has not heard of it yet");
    assert_eq!(server.process.wait().code(), Some(0));
}

#[test]
fn o04_a_second_signal_ends_what_is_under_way_at_once() {
    for settings in ["drain_seconds = 600\n", "drain_seconds = 600\nclose_delay_seconds = 600\n"] {
        let folder = Folder::new();
        let upstream = Upstream::start();
        folder.write("claviger.toml", &orders(upstream.address, &format!("[server]\n{settings}")));
        let mut server = serve(&folder, "claviger.toml");
        let known = customer(&folder, "claviger.toml");
        let mut stream = connect(server.address());
        let key = &known.key;
        write!(stream, "GET /slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n")
            .unwrap();
        until("the upstream has the request", || (upstream.waiting() == 1).then_some(()));
        server.process.signal(Signal::INT);
        until("it says that it leaves", || (get(server.ops, "/readyz", None).status == 503).then_some(()));
        server.process.signal(Signal::INT);
        assert_eq!(server.process.wait().code(), Some(0));
    }
}

#[test]
fn operating_11_doctor_says_of_files_that_it_may_not_use_that_it_may_not() {
    let folder = Folder::new();
    folder.write("claviger.toml", &orders("127.0.0.1:1", ""));
    customer(&folder, "claviger.toml");
    let mut command = program(&folder);
    command.args(["--json", "doctor"]);
    if rustix::process::geteuid().is_root() {
        command.uid(65534);
    } else {
        let nobodys = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(folder.path("data"), nobodys).unwrap();
    }
    let outcome = run_with(command, "");
    let ours = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder.path("data"), ours).unwrap();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let findings: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    for what in ["keyring `", "database `"] {
        let of = |check: &&serde_json::Value| check["check"].as_str().unwrap_or_default().starts_with(what);
        let found = findings.as_array().unwrap().iter().find(of);
        let said = found.and_then(|check| check["finding"].as_str()).unwrap_or_default();
        assert!(said.contains("permission denied"), "{what}: {findings}");
    }
}

#[test]
fn operating_10_a_command_does_not_wait_for_ever_for_a_server_that_stands_still() {
    let folder = Folder::new();
    folder.write("claviger.toml", &orders("127.0.0.1:1", ""));
    let server = serve(&folder, "claviger.toml");
    server.process.signal(rustix::process::Signal::STOP);
    let (said, hint) = run(&folder, &["realm", "list"]).error();
    server.process.signal(rustix::process::Signal::CONT);
    assert_eq!(said, "the server on this data has not answered for 20 seconds");
    assert!(hint.unwrap().contains("whether it is done"));
}

#[test]
fn operating_12_whoever_makes_a_keyring_is_told_to_keep_a_copy() {
    let folder = Folder::new();
    folder.write("claviger.toml", &orders("127.0.0.1:1", ""));
    let first = run(&folder, &["--json", "realm", "list"]);
    assert_eq!(first.json()[0]["realm"], "orders");
    assert!(first.err.contains("made the keyring `data/keyring.toml`: keep a copy"), "{first:?}");
    assert_eq!(run(&folder, &["--json", "realm", "list"]).err, "");
}

#[test]
fn init_leads_from_nothing_to_an_api_that_is_served() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    let url = format!("http://{}", upstream.address);
    let init = |more: &[&str]| {
        let mut words = vec!["--json", "init", "--upstream", &url, "--owner-email", "you@example.com"];
        words.extend(more);
        run(&folder, &words)
    };
    // What cannot be meant leaves nothing behind.
    let nothing = folder.contents();
    for (more, error) in [(["--name", "no such name"], "name"), (["--host", "http://a"], "host")] {
        let (said, _) = init(&more).error();
        assert!(said.contains(error), "{said}");
        assert_eq!(folder.contents(), nothing);
    }
    let (said, _) =
        run(&folder, &["init", "--upstream", "nowhere", "--owner-email", "you@example.com"]).error();
    assert!(said.contains("`nowhere` is not an upstream"), "{said}");
    let (said, _) = run(&folder, &["init", "--upstream", &url, "--owner-email", "nobody"]).error();
    assert!(said.contains("nobody"), "{said}");
    assert!(!folder.path("claviger.toml").exists() && !folder.path("operator.token").exists());

    let (said, _) = init(&["--tenant", ""]).error();
    assert!(said.contains("name"), "{said}");
    assert_eq!(folder.contents(), nothing, "what was begun is taken back");

    // Nor is a store taken for a new one that the environment names.
    let mut command = program(&folder);
    command.env("CLAVIGER_STORE_URL", "sqlite:elsewhere.db");
    command.args(["init", "--upstream", &url, "--owner-email", "you@example.com"]);
    let (said, hint) = run_with(command, "").error();
    assert!(said.contains("the environment names a store of its own"), "{said}");
    assert!(hint.unwrap().contains("CLAVIGER_STORE_URL"));
    assert_eq!(folder.contents(), nothing);
    // What is there already stays, and what was begun beside it goes again.
    std::fs::create_dir(folder.path("data")).unwrap();
    init(&["--tenant", ""]).error();
    assert!(std::fs::read_dir(folder.path("data")).unwrap().next().is_none());
    std::fs::remove_dir(folder.path("data")).unwrap();

    let made = init(&["--name", "orders", "--host", "orders.example"]).json();
    let mode = |name: &str| std::fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("operator.token"), mode("data")), (0o600, 0o700));
    assert_eq!(run(&folder, &["--json", "check-config"]).json()["apis"][0], "orders");
    let server = serve(&folder, "claviger.toml");
    assert_eq!(get(server.address(), "/anything", None).status, 401);
    assert_eq!(get(server.address(), "/anything", made["key"].as_str()).status, 200);
    let console = made["console"].as_str().unwrap();
    let list = [
        "--json",
        "--server",
        console,
        "--token-file",
        "operator.token",
        "tenant",
        "list",
        "--realm",
        "orders",
    ];
    assert_eq!(run(&folder, &list).json()[0]["tenant_id"], made["tenant_id"]);
    drop(server);
    // A second time takes nothing from the first.
    let before = folder.read("claviger.toml") + &folder.read("operator.token");
    let (said, _) = init(&[]).error();
    assert!(said.contains("`claviger.toml` is there already"), "{said}");
    assert_eq!(folder.read("claviger.toml") + &folder.read("operator.token"), before);
}

#[test]
fn settings_are_read_again_at_sighup_and_stay_where_they_are_wrong() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    let text = orders(upstream.address, "");
    folder.write("claviger.toml", &text);
    let known = customer(&folder, "claviger.toml");
    let server = serve(&folder, "claviger.toml");
    let status = |target: &str| get(server.address(), target, Some(&known.key)).status;
    assert_eq!(status("/a"), 200);
    // With a first route, what is not listed is not there.
    folder.write("claviger.toml", &format!("{text}[[api.route]]\npath = \"/b\"\nresource = \"b\"\n"));
    server.process.signal(Signal::HUP);
    until("the settings are taken up", || (status("/a") == 404).then_some(()));
    assert_eq!(status("/b"), 200);
    folder.write("claviger.toml", "[[api");
    server.process.signal(Signal::HUP);
    until("the refusal is said", || {
        folder.read("claviger.err").contains("refused, and the old ones stay in force").then_some(())
    });
    assert_eq!((status("/a"), status("/b")), (404, 200));
    // Without a server there is nothing to reload.
    folder.write("claviger.toml", &text);
    drop(server);
    let (said, hint) = run(&folder, &["settings", "reload"]).error();
    assert!(said.contains("no server runs on this data"), "{said}");
    assert!(hint.unwrap().contains("SIGHUP"));
}
