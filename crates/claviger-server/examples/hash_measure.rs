//! Measures how long a password takes to be compared, with as many at once as the program does at once.
//!
//! ```text
//! cargo run --release -p claviger-server --example hash_measure -- 2 5
//! ```
//!
//! Takes how many at once and for how many seconds, and prints one line of JSON: how many were compared, and the median and the 99th percentile
//! in microseconds.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures by the real clock")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger::random::SystemRandom;
use claviger::secret::Secret;
use claviger_server::passwords::Passwords;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn secret() -> Secret {
    Secret::new(b"a phrase of no meaning".to_vec())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let at_once: usize = words.next().ok_or("how many at once?")?.parse()?;
    let time = Duration::from_secs(words.next().ok_or("for how many seconds?")?.parse()?);
    let passwords =
        Passwords::new(at_once, Arc::new(SystemRandom)).map_err(|failure| format!("{failure:?}"))?;
    let hash = passwords.hash(secret()).await.map_err(|failure| format!("{failure:?}"))?;
    let hash = hash.expose_text().ok_or("the hash is no text")?.to_owned();
    let since = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..at_once {
        let (passwords, hash) = (passwords.clone(), hash.clone());
        tasks.push(tokio::spawn(async move {
            let mut micros = Vec::new();
            while since.elapsed() < time {
                let (begun, hash) = (Instant::now(), Secret::new(hash.clone().into_bytes()));
                let fits = passwords.verify(Some(hash), secret()).await;
                if !fits.map_err(|failure| format!("{failure:?}"))? {
                    return Err("the password does not fit its own hash".to_owned());
                }
                micros.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            Ok(micros)
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    all.sort_unstable();
    let at = |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).copied();
    let (p50, p99) = (at(50).ok_or("nothing was compared")?, at(99).ok_or("nothing was compared")?);
    println!("{{\"count\": {}, \"p50\": {p50}, \"p99\": {p99}}}", all.len());
    Ok(())
}
