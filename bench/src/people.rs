//! What people do: signing in beside the hash alone, refreshing beside a bare loop, and whether anybody comes in after a revocation.
#![expect(clippy::disallowed_methods, reason = "it measures by the real clock")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::server::Server;
use crate::workshop::{PATH, Workshop};
use crate::{ports, say};

/// As many as the server hashes at once: its cores.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

const SECONDS: u64 = 10;
/// How many tokens are good when the load begins, and how often one of them is revoked.
const TOKENS: usize = 80;
const REVOKE_EVERY: Duration = Duration::from_millis(100);
/// The load beside it: so many connections, and every so often a request on each, a thousand a second.
const CLIENTS: usize = 4;
const ASK_EVERY: Duration = Duration::from_millis(4);
const EMAIL: &str = "somebody@bench.example";
const PASSWORD: &str = "a phrase of no meaning";

/// Microseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Times {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

/// How many in a second.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Refreshes {
    pub(crate) refreshes: f64,
    pub(crate) bare: f64,
}

/// What became of requests beside revocations.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Revocation {
    pub(crate) revoked: u64,
    pub(crate) per_second: f64,
    /// Begun after the answer to the revocation, and how many of them were let in.
    pub(crate) after: u64,
    pub(crate) let_in: u64,
    /// Ended before the revocation was asked for, and refused all the same.
    pub(crate) refused: u64,
}

/// All of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct People {
    pub(crate) at_once: usize,
    pub(crate) sign_in: Times,
    pub(crate) hash: Times,
    pub(crate) refresh: Refreshes,
    pub(crate) revocation: Revocation,
}

/// Measures it. `None` if one of the programs has not been built.
pub(crate) fn measure(workshop: &Workshop, upstream: u16) -> anyhow::Result<Option<People>> {
    let program = std::env::current_exe()?.with_file_name("claviger");
    let [hash, refresh] =
        ["hash_measure", "refresh_measure"].map(|name| program.with_file_name("examples").join(name));
    if ![&program, &hash, &refresh].iter().all(|path| path.exists()) {
        return Ok(None);
    }
    say("people: refreshing beside a bare loop");
    let refresh = run(&refresh, &[])?;
    let [port, ops] = ports::free()?;
    // A directory of its own, as each server locks its own.
    std::fs::create_dir(workshop.path("people"))?;
    let settings = workshop.fill("people.toml", &[("port", port), ("ops", ops), ("upstream", upstream)])?;
    let arguments = ["serve".to_owned(), "--config".to_owned(), settings.display().to_string()];
    let _server = Server::start(workshop, "people", &program, &arguments)?
        .until_ready(workshop, "people", ops, "/readyz")?;
    let account = json!({ "email": EMAIL, "password": PASSWORD, "tenant_name": "Bench" });
    let (status, _) = Connection::open(port)?.post("/auth/v1/sign-up", &account)?;
    ensure!(status == 201, "sign-up answers {status}");
    say("people: signing in, and the hash alone");
    let hash = run(&hash, &[at_once().to_string(), SECONDS.to_string()])?;
    let sign_in = sign_ins(port)?;
    say("people: revoking under load");
    let revocation = revocation(port)?;
    Ok(Some(People { at_once: at_once(), sign_in, hash, refresh, revocation }))
}

/// What a program that measures prints.
fn run<T: serde::de::DeserializeOwned>(program: &Path, arguments: &[String]) -> anyhow::Result<T> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot start `{}`", program.display()))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{}` failed: {}", program.display(), error.trim());
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn sign_in(connection: &mut Connection) -> anyhow::Result<String> {
    let (status, body) =
        connection.post("/auth/v1/sign-in", &json!({ "email": EMAIL, "password": PASSWORD }))?;
    ensure!(status == 200, "sign-in answers {status}");
    let body: Value = serde_json::from_str(&body)?;
    Ok(body.get("access_token").and_then(Value::as_str).context("sign-in gives no token")?.to_owned())
}

/// So many sign in again and again. Anything but 200, a 503 too, is no figure but an error.
fn sign_ins(port: u16) -> anyhow::Result<Times> {
    let since = Instant::now();
    let one = || {
        let mut connection = Connection::open(port)?;
        let mut micros = Vec::new();
        while since.elapsed() < Duration::from_secs(SECONDS) {
            let begun = Instant::now();
            sign_in(&mut connection)?;
            micros.push(micros_of(begun.elapsed()));
        }
        anyhow::Ok(micros)
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once()).map(|_| scope.spawn(one)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow::anyhow!("a client ended badly"))??);
        }
        anyhow::Ok(all)
    })?;
    times(all)
}

fn times(mut micros: Vec<u64>) -> anyhow::Result<Times> {
    micros.sort_unstable();
    let at = |share: usize| {
        let last = micros.len().checked_sub(1).context("nothing was measured")?;
        micros.get((micros.len() * share / 100).min(last)).copied().context("nothing was measured")
    };
    Ok(Times { count: u64::try_from(micros.len())?, p50: at(50)?, p99: at(99)? })
}

fn micros_of(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A token, and when its revocation was asked for and answered, in microseconds since the beginning.
struct Token {
    text: String,
    asked: AtomicU64,
    answered: AtomicU64,
}

fn revocation(port: u16) -> anyhow::Result<Revocation> {
    let mut connection = Connection::open(port)?;
    let tokens = (0..TOKENS).map(|_| {
        let text = sign_in(&mut connection)?;
        anyhow::Ok(Token { text, asked: AtomicU64::new(u64::MAX), answered: AtomicU64::new(u64::MAX) })
    });
    let tokens = tokens.collect::<anyhow::Result<Vec<_>>>()?;
    let (is_over, since) = (AtomicBool::new(false), Instant::now());
    let client = |first: usize| {
        let (mut connection, mut found, mut asked) = (Connection::open(port)?, Revocation::default(), 0_u64);
        for turn in 0_u32.. {
            if is_over.load(Ordering::SeqCst) {
                break;
            }
            if let Some(left) = (ASK_EVERY * turn).checked_sub(since.elapsed()) {
                std::thread::sleep(left);
            }
            // Another step for each, so that every token is asked with all the time.
            let at = (first + turn as usize * (2 * first + 1)) % tokens.len();
            let Some(token) = tokens.get(at) else { continue };
            found.add(token, ask(&mut connection, token, since)?)?;
            asked += 1;
        }
        anyhow::Ok((found, asked))
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|first| scope.spawn(move || client(first))).collect();
        let revoked = revoke_all(&mut connection, &tokens, since);
        is_over.store(true, Ordering::SeqCst);
        let time = since.elapsed().as_secs_f64();
        let mut all = revoked?;
        let mut asked = 0;
        for client in clients {
            let (found, of) = client.join().map_err(|_| anyhow::anyhow!("a client ended badly"))??;
            all.after += found.after;
            all.let_in += found.let_in;
            all.refused += found.refused;
            asked += of;
        }
        all.per_second = asked as f64 / time;
        Ok(all)
    })
}

/// Revokes one after the other, and asks with each as soon as that is answered.
fn revoke_all(connection: &mut Connection, tokens: &[Token], since: Instant) -> anyhow::Result<Revocation> {
    let mut found = Revocation::default();
    for token in tokens {
        token.asked.store(micros_of(since.elapsed()), Ordering::SeqCst);
        let (status, _) = connection.post("/auth/v1/revoke", &json!({ "token": token.text }))?;
        ensure!(status == 200, "a revocation answers {status}");
        token.answered.store(micros_of(since.elapsed()), Ordering::SeqCst);
        found.revoked += 1;
        found.add(token, ask(connection, token, since)?)?;
        std::thread::sleep(REVOKE_EVERY);
    }
    Ok(found)
}

/// When a request began and ended, and its status.
fn ask(connection: &mut Connection, token: &Token, since: Instant) -> anyhow::Result<(u64, u64, u16)> {
    let begun = micros_of(since.elapsed());
    let status = connection.get(PATH, &format!("Bearer {}", token.text))?;
    Ok((begun, micros_of(since.elapsed()), status))
}

impl Revocation {
    fn add(&mut self, token: &Token, (begun, ended, status): (u64, u64, u16)) -> anyhow::Result<()> {
        ensure!(status == 200 || status == 401, "a request answers {status}");
        if begun >= token.answered.load(Ordering::SeqCst) {
            self.after += 1;
            self.let_in += u64::from(status == 200);
        } else if ended < token.asked.load(Ordering::SeqCst) {
            self.refused += u64::from(status == 401);
        }
        Ok(())
    }
}
