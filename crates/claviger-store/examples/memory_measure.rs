//! Measures the directory's memory: nanoseconds per hit and bytes per API key.
//!
//! ```text
//! cargo run --release -p claviger-store --example memory_measure -- 1000000
//! ```
#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures by the real clock")]

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use claviger::api_key::KeyDigest;
use claviger::clock::{Clock, UnixMillis};
use claviger::directory::{Answer, Directory, DirectoryError, KeyRecord, State};
use claviger::grants::{Access, Grants};
use claviger::id::{Environment, KeyId, OrgId, TenantId};
use claviger::random::Random;
use claviger::testing::{Counting, FixedClock};
use claviger_store::memory::{Memory, MemorySettings};
use claviger_store::source::{Cursor, Poll, Source, SourceFuture};
use claviger_store::subject::{Loaded, Record, Subject};
use futures_util::future::join_all;

/// A store in which every key exists, one tenant for a hundred keys.
#[derive(Debug)]
struct Endless {
    random: Counting,
    tenants: Vec<(TenantId, OrgId)>,
}

impl Endless {
    fn key(&self, digest: &KeyDigest) -> Option<KeyRecord> {
        let number = digest.as_bytes().first_chunk().map(|first| u64::from_le_bytes(*first))?;
        let at = usize::try_from(number % self.tenants.len() as u64).ok()?;
        let (tenant, org) = *self.tenants.get(at)?;
        Some(KeyRecord {
            key: KeyId::generate(&self.random),
            tenant,
            org,
            environment: Environment::Live,
            grants: Grants::bundle(Access::Write),
            state: State::Active,
            expires_at: None,
            secret_revoked: false,
            networks: None,
            made_under: 2,
        })
    }
}

impl Source for Endless {
    fn load(&self, subjects: Vec<Subject>) -> SourceFuture<Vec<Loaded>> {
        let loaded = subjects
            .into_iter()
            .map(|subject| {
                let record = match &subject {
                    Subject::Key(digest) => self.key(digest),
                    _ => None,
                };
                Loaded { subject, found: record.map(|record| (1, Record::Key(Arc::new(record)))) }
            })
            .collect();
        Box::pin(async move { Ok(loaded) })
    }

    fn poll(&self, _after: Cursor) -> SourceFuture<Poll> {
        Box::pin(async { Err(DirectoryError::Unavailable("there is nothing to poll".to_owned())) })
    }

    fn acknowledge(&self, _: Cursor) -> SourceFuture<()> {
        Box::pin(async { Ok(()) })
    }

    fn revoked_tokens(&self) -> SourceFuture<(Vec<Loaded>, Cursor)> {
        Box::pin(async { Ok((Vec::new(), Cursor(String::new()))) })
    }
}

/// What `--write` adds to.
const BENCHMARKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks-store.md");

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(100_000), |count| count.parse())?;
    let random = Counting::default();
    let tenants =
        (0..=count / 100).map(|_| (TenantId::generate(&random), OrgId::generate(&random))).collect();
    let source = Arc::new(Endless { random: Counting::default(), tenants });
    let clock = Arc::new(FixedClock::at(UnixMillis(1_800_000_000_000)));
    let mut digests = Vec::with_capacity(count);
    for _ in 0..count {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        digests.extend(KeyDigest::from_bytes(&bytes));
    }

    let background = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let settings = MemorySettings { max_entries: 2 * count, ..MemorySettings::following_by_itself() };
    let memory = Memory::start(source, Arc::clone(&clock) as Arc<dyn Clock>, settings, background.handle());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(memory.ready())?;

    let before = resident()?;
    let begun = Instant::now();
    for some in digests.chunks(8192) {
        let asked = some.iter().map(|digest| memory.key(digest).resolve());
        for answer in runtime.block_on(join_all(asked)) {
            answer?;
        }
    }
    let filled = begun.elapsed();
    let bytes = resident()?.saturating_sub(before);
    println!("keys {count}; a record is {} bytes; filled in {filled:?}", size_of::<KeyRecord>());
    println!("bytes per key, resident: {}", bytes / count);
    let figures = memory.figures();
    println!("loads {}, batches {}, entries {}", figures.loads, figures.batches, figures.entries);

    // A walk in an order that is not that of loading: a step that shares no divisor with most counts.
    let mut at = 0;
    let hits = 5_000_000;
    for round in 0..3 {
        let begun = Instant::now();
        let mut known = 0usize;
        for _ in 0..hits {
            at = (at + 7_368_787) % count;
            let Some(digest) = digests.get(at) else { continue };
            if let Answer::Known(record) = black_box(memory.key(digest)) {
                known += usize::from(record.state == State::Active);
            }
        }
        let took = begun.elapsed();
        println!("round {round}: {} ns per hit ({known} of {hits} hit)", took.as_nanos() / hits);
    }

    // Some keys in use among them all.
    let mut hit_nanos = 0;
    for in_use in [1_000, 100_000] {
        let step = (count / in_use).max(1);
        let some: Vec<KeyDigest> = digests.iter().copied().step_by(step).collect();
        let begun = Instant::now();
        for digest in some.iter().cycle().take(usize::try_from(hits)?) {
            black_box(memory.key(digest));
        }
        hit_nanos = begun.elapsed().as_nanos() / hits;
        println!("{} keys in use: {hit_nanos} ns per hit", some.len());
    }
    let begun = Instant::now();
    for _ in 0..hits {
        black_box(memory.freshness(clock.boot()));
    }
    println!("freshness: {} ns", begun.elapsed().as_nanos() / hits);
    if std::env::args().nth(2).as_deref() == Some("--write") {
        // Two rows more of the table that `store_measure` has begun.
        let rows = format!(
            "| memory for each of {count} keys | {} bytes | 250 bytes |\n| a hit, with a hundred thousand of them in use | {:.2} µs | 0.32 µs |\n",
            bytes / count,
            hit_nanos as f64 / 1000.0
        );
        let mut file = std::fs::OpenOptions::new().append(true).open(BENCHMARKS)?;
        file.write_all(rows.as_bytes())?;
    }
    Ok(())
}

/// Bytes of this process in memory.
fn resident() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}
