//! The access log and the log.

use std::io::{BufReader, Write};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Folder, Server, Upstream, connect, customer, get, orders, read_answer, serve, until};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// Sends a target no well-behaved client would.
fn send(server: &Server, target: &[u8], key: &str) -> u16 {
    let mut stream = connect(server.address());
    stream.write_all(b"GET ").unwrap();
    stream.write_all(target).unwrap();
    let rest =
        format!(" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n");
    stream.write_all(rest.as_bytes()).unwrap();
    read_answer(&mut BufReader::new(stream)).status
}

#[test]
fn every_request_is_one_line_of_json_and_none_tells_a_secret() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    folder.write("claviger.toml", &orders(upstream.address, "[log]\naccess = \"access.log\"\n"));
    let server = serve(&folder, "claviger.toml");
    let known = customer(&folder, "claviger.toml");
    assert_eq!(send(&server, b"/plain?token=hunter2", &known.key), 200);
    assert_eq!(send(&server, b"/a%22b%C3%A9", &known.key), 200);
    assert_eq!(send(&server, b"/a\"b", &known.key), 200);
    assert_eq!(send(&server, b"/a%01/../b", &known.key), 400);
    assert_eq!(send(&server, b"/refused", "sk_live_k1_hunter2"), 401);
    assert_eq!(send(&server, b"/.well-known/jwks.json", &known.key), 200);
    let read = || folder.read("access.log");
    until("six lines are written", || (read().lines().count() == 6).then_some(()));
    let text = read();
    assert!(!text.contains("hunter2") && !text.contains(&known.key[12..]), "{text}");
    // Lines of different cores may change places; ids are given in the order of the requests.
    let mut told = lines(&text);
    told.sort_by_key(|line| line["request_id"].as_str().unwrap().to_owned());
    let names = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let always = ["at", "request_id", "api", "method", "path", "client", "status", "micros", "total_micros"];
    for line in &told {
        for name in always {
            assert!(!line[name].is_null(), "no `{name}` in {line}");
        }
        assert!(line["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert_eq!((&line["api"], &line["method"]), (&"orders".into(), &"GET".into()));
        assert_eq!(line["client"], "127.0.0.1");
    }
    assert_eq!(
        names(&told[0]),
        "api at client credential environment method micros org path request_id status tenant total_micros"
    );
    assert_eq!((&told[0]["path"], &told[0]["status"]), (&"/plain".into(), &200.into()));
    assert_eq!(told[0]["tenant"], known.tenant.as_str());
    assert_eq!(told[0]["org"], known.org.as_str());
    assert_eq!(told[0]["environment"], "live");
    assert_eq!(told[1]["path"], "/a%22b%C3%A9");
    assert_eq!(told[2]["path"], "/a\"b");
    assert_eq!(told[3]["path"], "/a%01/../b");
    assert_eq!((&told[3]["status"], &told[3]["code"]), (&400.into(), &"bad_request".into()));
    assert_eq!(
        names(&told[4]),
        "api at client code method micros path reason request_id status total_micros"
    );
    assert_eq!((&told[4]["status"], &told[4]["code"]), (&401.into(), &"unauthorized".into()));
    assert_eq!(names(&told[5]), names(&told[0]), "an API that takes no identity token publishes no keys");
}

#[test]
fn sighup_opens_the_file_anew_and_a_restart_writes_at_its_end() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    folder.write(
        "claviger.toml",
        &orders(upstream.address, "[log]\naccess = \"access.log\"\nformat = \"json\"\n"),
    );
    let mut server = serve(&folder, "claviger.toml");
    let count = |name: &str| folder.read(name).lines().count();
    let refused = |server: &Server| assert_eq!(get(server.address(), "/a", None).status, 401);
    refused(&server);
    until("the first line is written", || (count("access.log") == 1).then_some(()));
    std::fs::rename(folder.path("access.log"), folder.path("access.log.1")).unwrap();
    server.process.signal(Signal::HUP);
    until("there is a new file", || folder.path("access.log").exists().then_some(()));
    refused(&server);
    until("the second line is written", || (count("access.log") == 1).then_some(()));
    assert_eq!(count("access.log.1"), 1);
    refused(&server);
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.wait().code(), Some(0));
    assert_eq!(count("access.log"), 2, "what was noted is written out before the end");
    // The log itself is JSON too, and tells of the signal.
    let log = lines(&folder.read("claviger.err"));
    let said = |what: &str| {
        log.iter().any(|line| line["fields"]["message"].as_str().is_some_and(|said| said.contains(what)))
    };
    assert!(said("ready") && said("opening the access log anew") && said("stopping"), "{log:?}");
    assert_eq!(folder.read("claviger.out"), "");

    let server = serve(&folder, "claviger.toml");
    refused(&server);
    until("the line stands behind the others", || (count("access.log") == 3).then_some(()));
}

#[test]
fn the_access_log_can_go_to_standard_output_or_nowhere() {
    let folder = Folder::new();
    for (to, expected) in [("stdout", 2), ("off", 0)] {
        folder.write("claviger.toml", &orders("127.0.0.1:1", &format!("[log]\naccess = \"{to}\"\n")));
        let mut server = serve(&folder, "claviger.toml");
        get(server.address(), "/a", None);
        get(server.address(), "/b", None);
        server.process.signal(Signal::TERM);
        assert_eq!(server.process.wait().code(), Some(0));
        assert_eq!(lines(&folder.read("claviger.out")).len(), expected);
    }
}
