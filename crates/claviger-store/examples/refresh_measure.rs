//! Measures how fast an embedded store uses refresh tokens up, beside a bare SQLite loop that writes the same.
//!
//! ```text
//! cargo run --release -p claviger-store --example refresh_measure
//! ```
//!
//! Prints one line of JSON: refreshes a second in each round, and the loop's.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures by the real clock, and acts as the operator")]

use std::error::Error;
use std::time::{Duration, Instant};

use claviger_store::refresh_tokens::{Begin, Shown};
use claviger_store::testing::{Engine, TestStore};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How many refresh at once, and how many writes a commit has in the bare loop.
const AT_ONCE: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

/// Refreshes a second, by so many who each use what they got the last time.
async fn refreshes(test: &TestStore, name: &str) -> Outcome<f64> {
    let accounts = test.operator().accounts();
    let acme = test.tenant(name).await;
    let begin = Begin { lifetime_seconds: 3600, is_direct: true, how: "measurement", proven_under: None };
    let mut tasks = Vec::new();
    let since = Instant::now();
    for _ in 0..AT_ONCE {
        let session = accounts.session_begin(acme.tenant, acme.org, acme.owner, begin).await?;
        let mut token = session.refresh_token.expose_text().unwrap_or_default().to_owned();
        let accounts = accounts.clone();
        tasks.push(tokio::spawn(async move {
            let mut done = 0_u32;
            while since.elapsed() < ROUND {
                let shown = Shown::read(&token)?;
                let session = accounts.session_refresh(&shown, None).await.ok()?.ok()?;
                token = session.refresh_token.expose_text()?.to_owned();
                done += 1;
            }
            Some(done)
        }));
    }
    let mut all = 0.0;
    for task in tasks {
        all += f64::from(task.await?.ok_or("a refresh failed")?);
    }
    Ok(all / since.elapsed().as_secs_f64())
}

/// The same writes a second, with nothing around them: the row of a refresh token, found by its key, so many in a transaction.
fn bare(folder: &std::path::Path, round: usize) -> Outcome<f64> {
    let mut connection = rusqlite::Connection::open(folder.join(format!("bare-{round}.db")))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         CREATE TABLE refresh_token (tenant_id TEXT NOT NULL, session_id TEXT NOT NULL, digest BLOB NOT NULL, used_digest BLOB,
             sequence INTEGER NOT NULL DEFAULT 1, used_at INTEGER, direct INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
             PRIMARY KEY (tenant_id, session_id)) STRICT;",
    )?;
    let name = |at: usize| format!("00000000-0000-4000-8000-{at:012}");
    for at in 0..AT_ONCE {
        connection.execute(
            "INSERT INTO refresh_token (tenant_id, session_id, digest, created_at) VALUES (?1, ?2, ?3, 1)",
            rusqlite::params![name(0), name(at), [0_u8; 32]],
        )?;
    }
    let (since, mut done) = (Instant::now(), 0_u32);
    while since.elapsed() < ROUND {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut write = transaction.prepare_cached(
                "UPDATE refresh_token SET digest = ?3, used_digest = ?4, used_at = ?5, sequence = sequence + 1
                 WHERE tenant_id = ?1 AND session_id = ?2",
            )?;
            for at in 0..AT_ONCE {
                let [first, second, ..] = done.to_be_bytes();
                write.execute(rusqlite::params![name(0), name(at), [first; 32], [second; 32], done])?;
                done += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(f64::from(done) / since.elapsed().as_secs_f64())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let test = TestStore::start(Engine::Sqlite).await;
    let folder = claviger_store::testing::Folder::make();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(refreshes(&test, &format!("Acme{round}")).await?);
        theirs.push(bare(folder.path(), round)?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{{\"refreshes\": {ours:.0}, \"bare\": {theirs:.0}, \"ratio\": {:.2}}}", ours / theirs);
    Ok(())
}
