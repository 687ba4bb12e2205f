//! Very many connections that are idle, and one that dribbles.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Folder, Upstream, connect, customer, get, orders, read_answer, serve};

const WANTED: usize = 10_000;
/// Fewer than this would prove nothing.
const LEAST: usize = 2_000;
/// Files this process needs beside the connections, other tests' included.
const SPARE: usize = 500;

/// How many connections both this process and the server, which has the same limit, can hold.
fn possible() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let files = maximum.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    files.saturating_sub(SPARE).min(WANTED)
}

#[test]
fn idle_connections_are_held_while_others_are_served_and_a_dribbler_goes() {
    let count = possible();
    assert!(count >= LEAST, "raise the limit on open files: it leaves room for {count} connections");
    let folder = Folder::new();
    let upstream = Upstream::start();
    let more = "[server]\nhead_seconds = 3\nkeep_alive_seconds = 120\n[log]\naccess = \"off\"\n";
    folder.write("claviger.toml", &orders(upstream.address, more));
    let server = serve(&folder, "claviger.toml");
    let known = customer(&folder, "claviger.toml");
    let request =
        format!("GET /a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", known.key);

    // A head that never ends.
    let mut dribbler = connect(server.address());
    let began = Instant::now();
    dribbler.write_all(b"GET /a HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    let dribble = std::thread::spawn(move || {
        dribbler.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut answer = Vec::new();
        loop {
            // Each byte is in time; the head as a whole is not.
            let _ = dribbler.write_all(b"x");
            let mut buffer = [0; 512];
            match dribbler.read(&mut buffer) {
                Ok(0) => return (answer, began.elapsed()),
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return (answer, began.elapsed()),
            }
            assert!(began.elapsed() < Duration::from_secs(20), "a dribbler is held for ever");
        }
    });

    let ask = |mut stream: &TcpStream| {
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut BufReader::new(stream)).status, 200);
    };
    let mut held: Vec<TcpStream> = Vec::with_capacity(count);
    for at in 0..count {
        let stream = connect(server.address());
        // Each makes a request first: a connection that has made none is not kept for long.
        ask(&stream);
        held.push(stream);
        if at % 100 == 99 {
            // Meanwhile, others are served.
            assert_eq!(get(server.address(), "/b", Some(&known.key)).status, 200);
        }
    }
    for _ in 0..100 {
        assert_eq!(get(server.address(), "/c", Some(&known.key)).status, 200);
    }
    let (answer, after) = dribble.join().unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    assert!(after >= Duration::from_secs(2), "closed after {after:?}");
    // All of them are there still.
    held.iter().for_each(ask);
}
