//! The example does what it says when it starts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// The program, ended with the test.
struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        // One that has ended is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_example_serves_what_it_says() {
    let mut example = Example(
        Command::new(env!("CARGO_BIN_EXE_claviger-example-layer")).stdout(Stdio::piped()).spawn().unwrap(),
    );
    let mut lines = BufReader::new(example.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("Bearer")).unwrap();
    let (_, rest) = line.split_once("http://").unwrap();
    let (at, _) = rest.split_once("/orders").unwrap();
    let (_, key) = rest.split_once("Bearer ").unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", key.trim_end_matches('\''));
    for (head, status, answer) in [
        ("GET /status", "200", "GET /status for somebody"),
        ("GET /orders", "401", r#""code":"unauthorized""#),
        ("GET /orders", "200", "GET /orders for tenant "),
        ("POST /orders", "403", r#""code":"forbidden""#),
        ("GET /elsewhere", "404", r#""code":"not_found""#),
    ] {
        let shown = if status == "401" { "" } else { &*bearer };
        let mut connection = TcpStream::connect(at).unwrap();
        write!(connection, "{head} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{shown}\r\n").unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).unwrap();
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")) && response.contains(answer),
            "{response}"
        );
    }
}
