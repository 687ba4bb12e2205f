//! The README's commands, run as they are written.
//!
//! A fenced block belongs to a walk by the word after `sh`, and to a terminal if it says `terminal=NAME`. Each terminal is a shell that
//! somebody sits at, and gets its blocks as they would be pasted, in the order of the page; a walk without terminals has one. A block
//! with `server=URL` keeps its terminal, and the walk goes on when the URL answers. A `text` block after a block is what must have come out
//! of it. Only ports are changed, so that nobody else's are in the way.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::documents::text;

/// A block of commands, and what has to come out of it.
#[derive(Debug)]
pub(crate) struct Block {
    commands: String,
    terminal: String,
    server: Option<String>,
    expected: Vec<String>,
}

/// The blocks of a walk of the README.
fn walk(name: &str) -> Vec<Block> {
    walk_of("README.md", name)
}

/// The blocks of a walk of a page.
pub(crate) fn walk_of(page: &str, name: &str) -> Vec<Block> {
    let readme = text(page);
    let mut blocks: Vec<Block> = Vec::new();
    // Whether a `text` block would belong to this walk's last block.
    let mut follows = false;
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<String> = lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
        let words: Vec<&str> = info.split_whitespace().collect();
        if words.starts_with(&["sh", name]) {
            let said = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
            let terminal = said("terminal=").unwrap_or_default();
            let server = said("server=");
            blocks.push(Block { commands: body.join("\n"), terminal, server, expected: Vec::new() });
            follows = true;
        } else if words == ["text"] && follows {
            blocks.last_mut().unwrap().expected = body;
            follows = false;
        } else {
            follows = false;
        }
    }
    assert!(!blocks.is_empty(), "{page} has no block of the walk `{name}`");
    blocks
}

/// A directory of one test, with the program where a build would have put it.
pub(crate) fn workplace(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(place.join("target/release")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_claviger"), place.join("target/release/claviger"))
        .unwrap();
    place
}

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with a shell in it, which ends with this.
struct Terminal {
    shell: Child,
    keyboard: ChildStdin,
    screen: PathBuf,
}

impl Terminal {
    /// Opens one in a directory, with this shell and these variables.
    fn open(place: &Path, name: &str, shell: &str, environment: &[(&str, &str)]) -> Self {
        let screen = place.join(format!("{name}.screen"));
        let shown = fs::File::create(&screen).unwrap();
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", shell, "/dev/null"]);
        command.current_dir(place).env_remove("CLAVIGER_OPERATOR_TOKEN").env("HISTFILE", "/dev/null");
        command.envs(environment.iter().copied());
        let mut shell = command.stdin(Stdio::piped()).stdout(shown).spawn().unwrap();
        let keyboard = shell.stdin.take().unwrap();
        let mut terminal = Self { shell, keyboard, screen };
        // What is typed is not shown, so that all that is was said by a command.
        terminal.run("stty -echo; bind 'set enable-bracketed-paste off'; PS1= PS2=");
        terminal
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.screen).unwrap()).replace("\r\n", "\n")
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Types a block and waits for its end. Gives what was shown meanwhile, and how its last command ended.
    fn run(&mut self, block: &str) -> (String, String) {
        let before = self.shown().len();
        // The words are put together by the shell, so that they are not found where they are typed.
        self.type_in(&format!("{block}\nprintf '%s%s %s.\\n' the -end $?\n"));
        let began = Instant::now();
        loop {
            let shown = self.shown().split_off(before);
            if let Some((said, end)) = shown.rsplit_once("the-end ")
                && let Some((code, _)) = end.split_once(".\n")
            {
                return (said.to_owned(), code.to_owned());
            }
            assert!(self.shell.try_wait().unwrap().is_none(), "the shell has ended: {shown}");
            assert!(began.elapsed() < PATIENCE, "`{block}` does not end: {shown}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // As somebody does who is done: what runs is interrupted, what runs behind is ended, and the shell is left.
        let _ = self.keyboard.write_all(b"\x03\nkill $(jobs -p) 2>/dev/null\nexit\n");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) && matches!(self.shell.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Whether something answers at this address, and well.
fn answers(url: &str) -> bool {
    let curl = Command::new("curl").args(["-s", "-f", "-o", "/dev/null", url]).status();
    curl.is_ok_and(|status| status.success())
}

/// Does what the blocks say, and compares what comes of it.
fn follow(place: &Path, blocks: &[Block], ports: &[(&str, u16)]) {
    follow_with(place, blocks, ports, "bash --noprofile --norc", &[]);
}

/// The same with a shell and variables of the test's own.
pub(crate) fn follow_with(
    place: &Path,
    blocks: &[Block],
    ports: &[(&str, u16)],
    shell: &str,
    environment: &[(&str, &str)],
) {
    let with_free_ports = |text: &str| {
        ports.iter().fold(text.to_owned(), |text, (written, free)| {
            let text = text.replace(&format!(":{written}"), &format!(":{free}"));
            text.replace(&format!("http.server {written}"), &format!("http.server {free}"))
        })
    };
    let mut terminals: BTreeMap<&str, Terminal> = BTreeMap::new();
    for block in blocks {
        let name = block.terminal.as_str();
        let terminal =
            terminals.entry(name).or_insert_with(|| Terminal::open(place, name, shell, environment));
        let commands = with_free_ports(&block.commands);
        if let Some(url) = &block.server {
            terminal.type_in(&format!("{commands}\n"));
            let (url, began) = (with_free_ports(url), Instant::now());
            while !answers(&url) {
                assert!(began.elapsed() < PATIENCE, "`{commands}` does not answer: {}", terminal.shown());
                std::thread::sleep(Duration::from_millis(20));
            }
            continue;
        }
        let (said, code) = terminal.run(&commands);
        assert_eq!(code, "0", "the commands fail: {block:#?}\n{said}");
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
