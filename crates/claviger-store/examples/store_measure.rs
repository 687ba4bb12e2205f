//! Measures a PostgreSQL store of a million keys, and writes what it finds into `docs/benchmarks-store.md`.
//!
//! ```text
//! cargo run --release -p claviger-store --example store_measure --features testing -- 1000000
//! ```
#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures by the real clock, and acts as the operator")]

use std::error::Error;
use std::fmt::Write;
use std::time::{Duration, Instant};

use claviger_store::Ends;
use claviger_store::api_keys::NewApiKey;
use claviger_store::testing::{Engine, TestStore, TestTenant};
use tokio_postgres::NoTls;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The time that so many hundredths of all are below.
fn quantile(times: &mut [Duration], hundredths: usize) -> Duration {
    times.sort();
    times.get(times.len() * hundredths / 100).copied().unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

async fn owner(test: &TestStore) -> Outcome<tokio_postgres::Client> {
    let url = test.owner_url.as_ref().ok_or("no owner")?;
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("SET search_path = claviger").await?;
    Ok(client)
}

/// Copies one key `count` times over, with a link for each, past the feed.
async fn fill(test: &TestStore, acme: &TestTenant, count: usize) -> Outcome<()> {
    let new = NewApiKey {
        org: acme.org,
        name: "ci".into(),
        prefix: "sk".parse()?,
        environment: claviger::id::Environment::Live,
        grants: "read".parse()?,
        networks: None,
        expires_at: None,
    };
    acme.store.key_create(new).await?;
    acme.store.foreign_identity_link("https://id.example", "first", acme.owner).await?;
    let copy = format!(
        "SET session_replication_role = replica;
         INSERT INTO api_key (tenant_id, key_id, org_id, name, prefix, environment, grants, created_at)
         SELECT k.tenant_id, gen_random_uuid(), k.org_id, k.name, k.prefix, k.environment, k.grants, k.created_at
         FROM api_key AS k, generate_series(1, {count});
         INSERT INTO key_secret (tenant_id, digest, key_id, slot, pepper, prefix, last_four, created_at)
         SELECT k.tenant_id, sha256(k.key_id::text::bytea), k.key_id, 'current', 'k1', 'sk_live_', 'abcd', k.created_at
         FROM api_key AS k WHERE NOT EXISTS (SELECT FROM key_secret AS s WHERE s.key_id = k.key_id);
         INSERT INTO foreign_identity (tenant_id, issuer, subject, account_id, created_at)
         SELECT f.tenant_id, f.issuer, 's' || i, f.account_id, f.created_at
         FROM foreign_identity AS f, generate_series(1, {count}) AS i;
         SET session_replication_role = origin; ANALYZE;"
    );
    owner(test).await?.batch_execute(&copy).await?;
    Ok(())
}

/// How fast the sweep of the measurement goes, in rows a second: what is wanted, and a little more.
const SWEPT_A_SECOND: f64 = 25_000.0;

/// How often quiet and sweep take turns, and for how long.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);

/// How long each of others' reads and writes takes while `meanwhile` lasts.
async fn others(acme: &TestTenant, meanwhile: impl Future<Output = ()>) -> Outcome<Vec<Duration>> {
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let ask = async {
        let mut times = Vec::new();
        while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
            for writes in [false, false, false, true] {
                let begun = Instant::now();
                if writes {
                    acme.store.org_create("North").await?;
                } else {
                    acme.store.tenant_view().await?;
                }
                times.push(begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok::<_, claviger_store::StoreError>(times)
    };
    let (times, ()) = tokio::join!(ask, async {
        meanwhile.await;
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    Ok(times?)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let count: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    fill(&test, &acme, count).await?;
    let mut rows: Vec<(String, String, &str)> = Vec::new();

    let mut times = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let store = test.open_again().await?;
        times.push(begun.elapsed());
        store.close().await;
    }
    rows.push((format!("open a store of {count} keys"), millis(quantile(&mut times, 50)), "100 ms"));
    let begun = Instant::now();
    let opened = futures_util::future::join_all((0..16).map(|_| test.open_again())).await;
    let failed = opened.iter().filter(|store| store.is_err()).count();
    rows.push((
        "sixteen opened at once, the last".into(),
        format!("{}, {failed} failed", millis(begun.elapsed())),
        "none fails",
    ));
    for store in opened.into_iter().flatten() {
        store.close().await;
    }

    // A transaction that stays open, and a million changes behind the cursor that nobody has swept.
    let source = test.store.source();
    let mut holder = owner(&test).await?;
    let held = holder.transaction().await?;
    held.execute("SELECT pg_current_xact_id()", &[]).await?;
    let many = format!(
        "INSERT INTO change (kind, id, row_version) SELECT 'user_secret', 'us_' || i, 1 FROM generate_series(1, {count}) AS i; ANALYZE change"
    );
    owner(&test).await?.batch_execute(&many).await?;
    let mut cursor = source.revoked_tokens().await?.1;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        cursor = source.poll(cursor).await?.cursor;
        times.push(begun.elapsed());
    }
    let both = format!("{}, p99 {}", millis(quantile(&mut times, 50)), millis(quantile(&mut times, 99)));
    rows.push((format!("a poll with {count} unswept changes and an open transaction"), both, "5 ms"));
    let mut times = Vec::new();
    for _ in 0..200 {
        // One each second asks for the mark of the walls, too.
        test.clock.advance_millis(claviger_store::source::WALLS_EVERY_MILLIS);
        let begun = Instant::now();
        cursor = source.poll(cursor).await?.cursor;
        times.push(begun.elapsed());
    }
    let both = format!("{}, p99 {}", millis(quantile(&mut times, 50)), millis(quantile(&mut times, 99)));
    rows.push(("the same that looks at the walls, once a second".into(), both, "5 ms"));
    held.rollback().await?;

    let mut times = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        acme.store.tenant_revoke(Ends::Everything).await?;
        times.push(begun.elapsed());
    }
    rows.push((
        format!("end all of a tenant with {count} keys and as many links"),
        millis(quantile(&mut times, 50)),
        "50 ms",
    ));

    // As long without a sweep as with one, and others write and read meanwhile.
    let system = test.system();
    owner(&test).await?.batch_execute(&many).await?;
    owner(&test).await?.batch_execute(&many).await?;
    system.feed_sweep(0).await?;
    let (mut quiet, mut swept_beside, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        quiet.extend(others(&acme, tokio::time::sleep(ROUND)).await?);
        let sweeping = async {
            let begun = Instant::now();
            let mut swept = 0;
            // As a server does it: some at a time, and others come in between.
            while begun.elapsed() < ROUND {
                match system.feed_sweep(0).await {
                    Ok(0) | Err(_) => break,
                    Ok(some) => swept += some,
                }
                let due = Duration::from_secs_f64(swept as f64 / SWEPT_A_SECOND);
                tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
            }
            rates.push(swept as f64 / begun.elapsed().as_secs_f64());
        };
        swept_beside.extend(others(&acme, sweeping).await?);
    }
    let rate = rates.iter().sum::<f64>() / ROUNDS as f64;
    rows.push((
        "sweep of the feed, as fast as a server does it".into(),
        format!("{rate:.0} rows a second"),
        "20,000",
    ));
    let before = quantile(&mut quiet, 99);
    let beside = quantile(&mut swept_beside, 99);
    let grown = (beside.as_secs_f64() / before.as_secs_f64() - 1.0) * 100.0;
    rows.push((
        "p99 of others' reads and writes beside it".into(),
        format!("{}, {} without: {grown:+.0} %", millis(beside), millis(before)),
        "less than +50 %",
    ));
    let begun = Instant::now();
    let mut swept = 0;
    loop {
        match system.feed_sweep(0).await? {
            0 => break,
            some => swept += some,
        }
    }
    let rate = swept as f64 / begun.elapsed().as_secs_f64();
    rows.push((
        "sweep of the feed, with nothing in between".into(),
        format!("{rate:.0} rows a second"),
        "20,000",
    ));

    let mut text = String::from(
        "# The store in numbers\n\nWritten by `make bench-store`; do not edit. On PostgreSQL, of the tests' own (without fsync), medians unless said\n\
         otherwise. What holds in faults is `make test-store-faults`.\n\n| | measured | wanted |\n|---|---|---|\n",
    );
    for (what, measured, wanted) in &rows {
        writeln!(text, "| {what} | {measured} | {wanted} |")?;
    }
    print!("{text}");
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks-store.md"), text)?;
    Ok(())
}
