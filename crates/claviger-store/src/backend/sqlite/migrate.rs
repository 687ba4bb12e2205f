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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_are_out_are_good_after_an_upgrade() {
        let mut connection = Connection::open_in_memory().unwrap();
        let before = migrations::SQLITE.iter().take_while(|step| step.name < "0021_email_since");
        connection
            .execute_batch(
                "CREATE TABLE migration (name TEXT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL) STRICT;
                 CREATE TABLE migration_reach (name TEXT NOT NULL PRIMARY KEY, works_with TEXT NOT NULL) STRICT",
            )
            .unwrap();
        for step in before {
            connection.execute_batch(step.sql).unwrap();
            let recorded = (step.name, hash(step));
            connection.execute("INSERT INTO migration (name, sha256) VALUES (?1, ?2)", recorded).unwrap();
        }
        let proofs = |connection: &Connection| {
            let query = "SELECT hex(digest), purpose, hex(whose), hex(sealed), mail_id, expires_at, created_at FROM proof";
            let mut statement = connection.prepare(query).unwrap();
            let read = |row: &rusqlite::Row<'_>| {
                let text = |at| row.get::<_, Option<String>>(at);
                Ok((
                    text(0)?,
                    text(1)?,
                    text(2)?,
                    text(3)?,
                    text(4)?,
                    row.get::<_, i64>(5)?,
                    row.get::<_, i64>(6)?,
                ))
            };
            statement.query_map([], read).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
        };
        connection
            .execute_batch(
                "INSERT INTO proof (digest, purpose, whose, sealed, mail_id, expires_at, created_at)
                 VALUES (x'01', 'sign-up', x'02', x'03', 'm', 5, 4), (x'11', 'reset', x'12', NULL, 'n', 15, 14)",
            )
            .unwrap();
        let out = proofs(&connection);
        migrate(&mut connection).unwrap();
        assert_eq!((proofs(&connection), out.len()), (out, 2));
    }
}
