//! A restart on the embedded store, with requests that do not end by themselves.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    Folder, Running, Upstream, connect, customer, new_key, orders, read_answer, run, serve, serve_as,
    try_get, until,
};

/// Addresses that nobody listens on.
fn free() -> [SocketAddr; 2] {
    [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap()).map(|listener| listener.local_addr().unwrap())
}

fn asks_slowly(address: SocketAddr, key: &str) -> TcpStream {
    let mut stream = connect(address);
    write!(stream, "GET /slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n").unwrap();
    stream
}

#[test]
fn operating_05_a_restart_waits_for_no_stream_and_those_that_are_open_are_still_withdrawn() {
    let folder = Arc::new(Folder::new());
    let upstream = Upstream::start();
    let [address, ops] = free();
    let more = "[server]\ndrain_seconds = 60\nclose_delay_seconds = 2\n";
    let settings = orders(upstream.address, more).replacen("127.0.0.1:0", &ops.to_string(), 1).replacen(
        "127.0.0.1:0",
        &address.to_string(),
        1,
    );
    folder.write("claviger.toml", &settings);
    let mut first = serve(&folder, "claviger.toml");
    let known = customer(&folder, "claviger.toml");
    let another = || new_key(&folder, "claviger.toml", &known.tenant, &known.org).unwrap();
    let ((stays_id, stays), (_, asks)) = (another(), another());
    let mut ends_soon = asks_slowly(address, &known.key);
    let goes_on = asks_slowly(address, &stays);
    until("both wait for the upstream", || (upstream.waiting() == 2).then_some(()));

    // Somebody who asks all the time, each time on a connection of their own.
    let is_over = Arc::new(AtomicBool::new(false));
    let everybody = {
        let is_over = is_over.clone();
        std::thread::spawn(move || {
            let mut statuses = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                statuses.push(try_get(address, "/a", &asks));
                std::thread::sleep(Duration::from_millis(2));
            }
            statuses
        })
    };

    // And somebody who has something done all the time: whoever has the store does it.
    let operator = {
        let (is_over, folder) = (is_over.clone(), folder.clone());
        let key = stays_id.clone();
        let tenant = known.tenant.clone();
        std::thread::spawn(move || {
            let mut failed = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let done = run(&folder, &["key", "update", "--tenant", &tenant, &key, "--name", "another"]);
                failed.extend((done.code != Some(0)).then_some(done));
            }
            failed
        })
    };

    first.process.signal(Signal::TERM);
    let began = Instant::now();
    let mut command = crate::support::program(&folder);
    command.args(["--config", "claviger.toml", "serve"]);
    let second = serve_as(&folder, "second.toml", command);
    assert!(began.elapsed() < Duration::from_secs(10), "ready after {:?}", began.elapsed());
    assert!(!first.process.has_ended(), "the first one still has its requests");
    assert_eq!(second.addresses, [address]);

    // What is withdrawn at the second ends at the first.
    let revoked = run(&folder, &["key", "revoke", "--tenant", &known.tenant, &known.key_id]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let began = Instant::now();
    let mut rest = Vec::new();
    let read = ends_soon.read_to_end(&mut rest);
    assert!(read.is_err() || rest.is_empty() || !rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "withdrawn after {:?}", began.elapsed());
    assert_eq!(try_get(address, "/a", &known.key), Some(401));

    is_over.store(true, Ordering::SeqCst);
    let statuses = everybody.join().unwrap();
    let failed = operator.join().unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    let odd: Vec<_> = statuses.iter().enumerate().filter(|(_, status)| **status != Some(200)).collect();
    assert!(statuses.len() > 100 && odd.is_empty(), "of {}: {odd:?}", statuses.len());

    // What is still good goes on to its end, which is the first one's too.
    assert!(!first.process.has_ended());
    upstream.release();
    assert_eq!(read_answer(&mut BufReader::new(goes_on)).status, 200);
    assert!(first.process.wait().success());
    let log = folder.read("claviger.err");
    assert!(log.contains("given up for the next server") && !log.contains("ERROR"), "{log}");
    // And the store is the second one's alone, whole.
    assert_eq!(run(&folder, &["key", "view", "--tenant", &known.tenant, &stays_id]).code, Some(0));
}

#[test]
fn operating_05_a_server_that_stays_is_not_waited_for() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    folder.write("claviger.toml", &orders(upstream.address, ""));
    let server = serve(&folder, "claviger.toml");
    // Not even where it has the ports as well: which server it is says more than which port.
    let fixed = orders(upstream.address, "").replacen("127.0.0.1:0", &server.ops.to_string(), 1);
    folder.write("claviger.toml", &fixed);
    let began = Instant::now();
    let (error, hint) = run(&folder, &["serve"]).error();
    assert!(error.contains("another process uses the database"), "{error}");
    assert!(hint.is_some_and(|hint| hint.contains("stop it first")));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn operating_05_one_server_waits_at_a_time_and_can_be_ended_while_it_does() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    let stays_long = "[server]\nclose_delay_seconds = 60\n";
    folder.write("claviger.toml", &orders(upstream.address, stays_long));
    let mut first = serve(&folder, "claviger.toml");
    let wait = |name: &str| {
        let mut command = crate::support::program(&folder);
        command.arg("serve").stderr(std::fs::File::create(folder.path(name)).unwrap());
        Running(command.spawn().unwrap())
    };
    first.process.signal(Signal::TERM);
    until("it is about to stop", || folder.read("data/claviger.lock").starts_with("leaving").then_some(()));
    let mut second = wait("second.err");
    until("the second one waits", || {
        folder.read("second.err").contains("waiting for the server").then_some(())
    });
    let (error, hint) = run(&folder, &["serve"]).error();
    assert!(error.contains("another server already waits"), "{error}");
    assert!(hint.is_some());
    // Whoever rotates logs does not end it.
    second.signal(Signal::HUP);
    // Its turn has not come, and nobody has to wait for it to end it.
    second.signal(Signal::TERM);
    let began = Instant::now();
    assert!(second.wait().success());
    assert!(folder.read("second.err").contains("stopped while waiting"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The place is free again, and the first one still serves.
    let mut third = wait("third.err");
    until("the third one waits", || {
        folder.read("third.err").contains("waiting for the server").then_some(())
    });
    assert!(!first.process.has_ended());
    first.process.signal(Signal::TERM);
    first.process.wait();
    until("the third one has the store", || {
        assert!(!third.has_ended(), "{}", folder.read("third.err"));
        folder.read("third.err").contains("ready").then_some(())
    });
    third.signal(Signal::TERM);
    until("it is about to stop", || folder.read("data/claviger.lock").starts_with("leaving").then_some(()));
    third.signal(Signal::TERM);
    assert!(third.wait().success());
}

#[test]
fn operating_05_what_a_crashed_server_has_said_last_keeps_nobody_waiting() {
    let folder = Folder::new();
    let upstream = Upstream::start();
    folder.write("claviger.toml", &orders(upstream.address, ""));
    let mut first = serve(&folder, "claviger.toml");
    first.process.signal(Signal::KILL);
    first.process.wait();
    assert!(folder.read("data/claviger.lock").starts_with("serving"));
    let _next = serve(&folder, "claviger.toml");
    assert!(!folder.read("claviger.err").contains("waiting"));
}
