//! Brings a database to the schema this program knows, as the owner, while others serve from it.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use super::ran::in_transaction;
use super::{check, errors};
use crate::error::StoreError;
use crate::migrations::{self, Later, Schema, hash};

/// How long a step waits for a table that somebody reads from. Whoever comes to it later waits behind the step, and no
/// longer than a unit of work may.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '2s'";
/// How long others have the tables to themselves before the next attempt, and how many attempts there are: five minutes.
const PAUSE: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 100;
/// How long others have the store to themselves between two parts of a backfill.
const BACKFILL_PAUSE: Duration = Duration::from_millis(10);

/// Migrates as the owner, one node at a time, while others serve.
///
/// # Errors
/// If a migration fails, or somebody keeps a table for minutes: nothing of the step under way stays, and whoever runs it
/// again goes on from there.
pub(super) async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    let schema = migrations::of_postgres();
    let mut attempt = 1;
    loop {
        let outcome = match finish_last(client, schema).await {
            Ok(()) => step(client, schema).await,
            Err(failed) => Err(failed),
        };
        match outcome {
            Ok(true) => attempt = 1,
            Ok(false) => return Ok(()),
            Err(Failed::Schema(error)) => return Err(error),
            Err(Failed::Database(error)) if is_in_the_way(&error) && attempt < ATTEMPTS => {
                tracing::info!(attempt, "somebody has a table that is to be changed; waiting");
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(Failed::Database(error)) if is_in_the_way(&error) => {
                return Err(StoreError::Setup(
                    "the database cannot be migrated: somebody has had a table for minutes that is to be changed; \
                     see `pg_stat_activity`, and run this again"
                        .into(),
                ));
            }
            Err(Failed::Database(error)) => {
                let error = errors::of(&error, "table");
                return Err(StoreError::Setup(format!("the database cannot be migrated: {error}")));
            }
        }
    }
}

fn is_in_the_way(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED))
}

enum Failed {
    Schema(StoreError),
    Database(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

/// Runs the next step, if there is one. Gives whether there was.
async fn step(client: &mut Client, schema: Schema) -> Result<bool, Failed> {
    client.batch_execute(LOCK_TIMEOUT).await?;
    let transaction = client.transaction().await?;
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('claviger.migration') AND attname = 'unfinished'";
    let is_there: i64 = transaction.query_one(columns, &[]).await?.try_get(0)?;
    if is_there == 0 {
        transaction
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS migration (name text NOT NULL PRIMARY KEY, sha256 text NOT NULL);
                 ALTER TABLE migration ADD COLUMN IF NOT EXISTS works_with text, ADD COLUMN IF NOT EXISTS walls text,
                     ADD COLUMN unfinished bigint NOT NULL DEFAULT 0;
                 GRANT USAGE ON SCHEMA claviger TO claviger_rt;
                 GRANT SELECT ON migration TO claviger_rt;",
            )
            .await?;
    }
    transaction.batch_execute("LOCK TABLE migration IN EXCLUSIVE MODE").await?;
    let ran = in_transaction(&transaction).await?;
    let missing = schema.missing(&ran).map_err(Failed::Schema)?;
    // Up to the first that has something to do later, which the next ones may rest on.
    let count = missing.iter().position(|one| !one.later.is_empty()).map_or(missing.len(), |at| at + 1);
    for migration in missing.iter().take(count) {
        transaction.batch_execute(migration.sql).await?;
        let unfinished = i64::try_from(migration.later.len()).unwrap_or(i64::MAX);
        transaction
            .execute(
                "INSERT INTO migration (name, sha256, works_with, unfinished) VALUES ($1, $2, $3, $4)",
                &[&migration.name, &hash(migration), &migration.works_with, &unfinished],
            )
            .await?;
    }
    keep_walls(&transaction, schema).await?;
    transaction.commit().await?;
    Ok(count > 0)
}

/// Records what walls an older program has to find once the last step is not one of its own. An older one that prepares a
/// newer database leaves that one's word as it is.
async fn keep_walls(transaction: &Transaction<'_>, schema: Schema) -> Result<(), Failed> {
    let ran = in_transaction(transaction).await?;
    let Some(last) = ran.last().filter(|_| ran.len() <= schema.all().count()) else { return Ok(()) };
    let walls = if ran.len() == schema.all().count() {
        schema.walls(&ran).map_err(Failed::Schema)?
    } else {
        // Between two steps they are what the steps have made of them.
        let rows = transaction.query_typed(check::WALLS.for_postgres(), &[]).await?;
        let lines: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        lines?.join("\n")
    };
    let keep = "UPDATE migration SET walls = $2 WHERE name = $1 AND walls IS DISTINCT FROM $2";
    transaction.execute(keep, &[&last.name, &walls]).await?;
    Ok(())
}

/// Does what is left to do of a step whose tables stand.
async fn finish_last(client: &mut Client, schema: Schema) -> Result<(), Failed> {
    let exists = "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('claviger.migration') AND attname = 'unfinished'";
    if client.query_one(exists, &[]).await?.try_get::<_, i64>(0)? == 0 {
        return Ok(());
    }
    let left = "SELECT name, unfinished FROM migration WHERE unfinished > 0 ORDER BY name";
    for row in client.query(left, &[]).await? {
        let (name, unfinished): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        // A newer program's is that one's to finish.
        let Some(migration) = schema.all().find(|migration| migration.name == name) else { continue };
        let done = migration.later.len().saturating_sub(usize::try_from(unfinished).unwrap_or(usize::MAX));
        for later in migration.later.iter().skip(done) {
            match later {
                Later::Index { name, sql } => make_index(client, name, sql).await?,
                Later::Backfill(sql) => backfill(client, sql).await?,
            }
            let note = "UPDATE migration SET unfinished = unfinished - 1 WHERE name = $1";
            client.execute(note, &[&migration.name]).await?;
        }
    }
    Ok(())
}

/// It waits for whoever has a transaction open, and nobody waits for it.
async fn make_index(client: &Client, name: &str, sql: &str) -> Result<(), Failed> {
    client.batch_execute("SET lock_timeout = 0").await?;
    // One whose making was cut short is there and of no use.
    let state = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)";
    match client.query_opt(state, &[&format!("claviger.{name}")]).await? {
        Some(row) if row.try_get(0)? => return Ok(()),
        Some(_) => client.batch_execute(&format!("DROP INDEX CONCURRENTLY {name}")).await?,
        None => {}
    }
    client.batch_execute(sql).await?;
    Ok(())
}

async fn backfill(client: &mut Client, sql: &str) -> Result<(), Failed> {
    client.batch_execute(LOCK_TIMEOUT).await?;
    loop {
        let transaction = client.transaction().await?;
        transaction.batch_execute("SET LOCAL claviger.backfill = 'on'").await?;
        let touched = transaction.execute(sql, &[]).await?;
        transaction.commit().await?;
        if touched == 0 {
            return Ok(());
        }
        // Others have the store to themselves for a moment.
        tokio::time::sleep(BACKFILL_PAUSE).await;
    }
}
