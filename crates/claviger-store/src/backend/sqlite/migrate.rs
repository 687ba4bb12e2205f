//! Brings a file to the schema this program knows.

use rusqlite::{Connection, TransactionBehavior};

use super::errors;
use crate::error::StoreError;
use crate::migrations::{self, Ran, hash};

/// Migrates a file that this process has locked.
///
/// # Errors
/// If a migration fails: nothing of it stays.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| {
        let error = errors::of(&error, "table");
        StoreError::Setup(format!("the database file cannot be migrated: {error}"))
    };
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS migration (name TEXT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS migration_reach (name TEXT NOT NULL PRIMARY KEY, works_with TEXT NOT NULL) STRICT",
        )
        .map_err(failed)?;
    let ran: Vec<Ran> = connection
        .prepare("SELECT m.name, m.sha256, r.works_with FROM migration AS m LEFT JOIN migration_reach AS r USING (name) ORDER BY m.name")
        .and_then(|mut statement| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Ran { name: row.get(0)?, sha256: row.get(1)?, works_with: row.get(2)?, walls: None })
            };
            statement.query_map([], read)?.collect()
        })
        .map_err(failed)?;
    for migration in migrations::of_sqlite().missing(&ran)? {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute_batch(migration.sql).map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO migration (name, sha256) VALUES (?1, ?2)",
                (migration.name, hash(migration)),
            )
            .and_then(|_| {
                transaction.execute(
                    "INSERT OR REPLACE INTO migration_reach (name, works_with) VALUES (?1, ?2)",
                    (migration.name, migration.works_with),
                )
            })
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}
