//! The README's commands, run as they are written.
//!
//! A fenced block belongs to a walk by the word after `sh`: the blocks of a walk are one script, in their order. A
//! block with `server=URL` stays in the background, and the walk goes on when the URL answers. A `text` block
//! after a block is what must have come out of it. Only ports are changed, so that nobody else's are in the way.

use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::documents::text;

/// A block of commands, and what has to come out of it.
#[derive(Debug)]
struct Block {
    commands: String,
    server: Option<String>,
    expected: Vec<String>,
}

/// The blocks of a walk.
fn walk(name: &str) -> Vec<Block> {
    let readme = text("README.md");
    let mut blocks: Vec<Block> = Vec::new();
    // Whether a `text` block would belong to this walk's last block.
    let mut follows = false;
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<String> = lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
        let words: Vec<&str> = info.split_whitespace().collect();
        if words.starts_with(&["sh", name]) {
            let server = words.iter().find_map(|word| word.strip_prefix("server=")).map(str::to_owned);
            blocks.push(Block { commands: body.join("\n"), server, expected: Vec::new() });
            follows = true;
        } else if words == ["text"] && follows {
            blocks.last_mut().unwrap().expected = body;
            follows = false;
        } else {
            follows = false;
        }
    }
    assert!(!blocks.is_empty(), "the README has no block of the walk `{name}`");
    blocks
}

/// The walk as one script. Each block writes to a file of its own, and what a failed one said is shown.
fn script(blocks: &[Block]) -> String {
    let mut script = "set -eu\nPATH=\"$PWD/target/release:$PATH\"\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n".to_owned();
    for (number, Block { commands, server, .. }) in blocks.iter().enumerate() {
        match server {
            None => writeln!(script, "{{\n{commands}\n}} > {number}.out 2>&1"),
            Some(url) => writeln!(
                script,
                "{{\nexec {commands}\n}} > {number}.out 2>&1 &\n\
                 until curl -s -f -o answer {url}; do kill -0 $!; sleep 0.05; done"
            ),
        }
        .unwrap();
    }
    script
}

/// A directory of one test, with the program where a build would have put it.
fn workplace(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(place.join("target/release")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_claviger"), place.join("target/release/claviger"))
        .unwrap();
    place
}

/// Bash, for two minutes at most.
fn bash(place: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["120", "bash"]).current_dir(place);
    command
}

/// Runs the blocks and compares what came out.
fn follow(place: &Path, blocks: &[Block], ports: &[(&str, u16)]) {
    let mut script = script(blocks);
    for (written, free) in ports {
        script = script.replace(&format!(":{written}"), &format!(":{free}"));
        script = script.replace(&format!("http.server {written}"), &format!("http.server {free}"));
    }
    fs::write(place.join("walk.sh"), script).unwrap();
    let Output { status, .. } = bash(place).arg("walk.sh").output().unwrap();
    let said = |number: usize| fs::read_to_string(place.join(format!("{number}.out"))).unwrap_or_default();
    let all: String =
        (0..blocks.len()).map(|number| format!("-- block {number}\n{}", said(number))).collect();
    assert!(status.success(), "the README's commands fail ({status}):\n{all}");
    for (number, block) in blocks.iter().enumerate() {
        let said = said(number);
        for line in &block.expected {
            assert!(said.contains(line.as_str()), "`{line}` did not come out of {block:#?}, but\n{said}");
        }
    }
}

/// Ports that nobody has. They are held until all are known, so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// The demonstration, ended with the test.
struct Demonstration(Child);

impl Demonstration {
    fn start(place: &Path) -> Self {
        let log = fs::File::create(place.join("demo.out")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(["demo", "--port-base", "0"]).current_dir(place).stdout(log).stderr(Stdio::null());
        let mut demonstration = Self(command.spawn().unwrap());
        // Its variables are written when everything is ready.
        while !place.join("data/demo/demo.env").exists() {
            assert!(demonstration.0.try_wait().unwrap().is_none(), "the demonstration ended");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        demonstration
    }
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_readmes_demonstration_works_as_written() {
    let place = workplace("readme-demo");
    let _running = Demonstration::start(&place);
    follow(&place, &walk("demo"), &[]);
}

#[test]
fn the_readmes_first_own_configuration_works_as_written() {
    let place = workplace("readme-own");
    let [api, ops, console, upstream] = free_ports();
    follow(&place, &walk("own"), &[("8000", api), ("8009", ops), ("8010", console), ("3000", upstream)]);
}
