//! Brings a database to the schema this program knows, and refuses one that somebody changed.
//!
//! Migrations have the same numbers and names on both engines. What ran is recorded with its hash.

use rusqlite::{Connection, TransactionBehavior};
use tokio_postgres::Client;

use crate::error::StoreError;

/// One step of the schema.
pub(crate) struct Migration {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

pub(crate) const SQLITE: &[Migration] = &[
    Migration { name: "0001_start", sql: include_str!("../migrations/sqlite/0001_start.sql") },
    Migration {
        name: "0002_foreign_by_account",
        sql: include_str!("../migrations/sqlite/0002_foreign_by_account.sql"),
    },
    Migration { name: "0003_origin", sql: include_str!("../migrations/sqlite/0003_origin.sql") },
    Migration { name: "0004_floors", sql: include_str!("../migrations/sqlite/0004_floors.sql") },
    Migration { name: "0005_withdrawals", sql: include_str!("../migrations/sqlite/0005_withdrawals.sql") },
    Migration { name: "0006_nodes", sql: include_str!("../migrations/sqlite/0006_nodes.sql") },
    Migration { name: "0007_walls_mark", sql: include_str!("../migrations/sqlite/0007_walls_mark.sql") },
];

pub(crate) const POSTGRES: &[Migration] = &[
    Migration { name: "0001_start", sql: include_str!("../migrations/postgres/0001_start.sql") },
    Migration {
        name: "0002_foreign_by_account",
        sql: include_str!("../migrations/postgres/0002_foreign_by_account.sql"),
    },
    Migration { name: "0003_origin", sql: include_str!("../migrations/postgres/0003_origin.sql") },
    Migration { name: "0004_floors", sql: include_str!("../migrations/postgres/0004_floors.sql") },
    Migration { name: "0005_withdrawals", sql: include_str!("../migrations/postgres/0005_withdrawals.sql") },
    Migration { name: "0006_nodes", sql: include_str!("../migrations/postgres/0006_nodes.sql") },
    Migration { name: "0007_walls_mark", sql: include_str!("../migrations/postgres/0007_walls_mark.sql") },
];

fn hash(migration: &Migration) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, migration.sql.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Which migrations are still to run after those that did.
///
/// # Errors
/// If one that ran is not the one this program knows, or is one that it does not know.
fn missing<'a>(known: &'a [Migration], ran: &[(String, String)]) -> Result<&'a [Migration], StoreError> {
    for (at, (name, sha256)) in ran.iter().enumerate() {
        match known.get(at) {
            None => {
                return Err(StoreError::Setup(format!(
                    "the database was migrated by a newer program: `{name}` is unknown to this one"
                )));
            }
            Some(migration) if migration.name != name || hash(migration) != *sha256 => {
                return Err(StoreError::Setup(format!(
                    "the migration `{name}` is not the one that this program knows"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(known.get(ran.len()..).unwrap_or_default())
}

/// Migrates a file that this process has locked.
///
/// # Errors
/// If a migration fails: nothing of it stays.
pub(crate) fn sqlite(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| {
        let error = crate::backend::sqlite::errors::of(&error, "table");
        StoreError::Setup(format!("the database file cannot be migrated: {error}"))
    };
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS migration (name TEXT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL) STRICT",
        )
        .map_err(failed)?;
    let ran: Vec<(String, String)> = connection
        .prepare("SELECT name, sha256 FROM migration ORDER BY name")
        .and_then(|mut statement| statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(failed)?;
    for migration in missing(SQLITE, &ran)? {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute_batch(migration.sql).map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO migration (name, sha256) VALUES (?1, ?2)",
                (migration.name, hash(migration)),
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// Migrates as the owner, one node at a time.
///
/// # Errors
/// If a migration fails: nothing of it stays.
pub(crate) async fn postgres(client: &mut Client) -> Result<(), StoreError> {
    let failed = |error: tokio_postgres::Error| {
        let error = crate::backend::postgres::errors::of(&error, "table");
        StoreError::Setup(format!("the database cannot be migrated: {error}"))
    };
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS migration (name text NOT NULL PRIMARY KEY, sha256 text NOT NULL);
             GRANT USAGE ON SCHEMA claviger TO claviger_rt;
             GRANT SELECT ON migration TO claviger_rt;",
        )
        .await
        .map_err(failed)?;
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute("LOCK TABLE migration IN EXCLUSIVE MODE").await.map_err(failed)?;
    let rows =
        transaction.query("SELECT name, sha256 FROM migration ORDER BY name", &[]).await.map_err(failed)?;
    let ran = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<_>, _>>();
    for migration in missing(POSTGRES, &ran.map_err(failed)?)? {
        transaction.batch_execute(migration.sql).await.map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO migration (name, sha256) VALUES ($1, $2)",
                &[&migration.name, &hash(migration)],
            )
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

/// Refuses a database that is not migrated as far as this program knows: the runtime role cannot do it.
///
/// # Errors
/// If a migration is missing, changed or unknown.
pub(crate) async fn postgres_is_current(client: &Client) -> Result<(), StoreError> {
    let unread = |_| StoreError::Setup("the database is not prepared; run `claviger store prepare`".into());
    let sql = "SELECT name, sha256 FROM migration ORDER BY name";
    let rows = client.query_typed(sql, &[]).await.map_err(unread)?;
    let ran = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<_>, _>>();
    match missing(POSTGRES, &ran.map_err(unread)?)? {
        [] => Ok(()),
        [first, ..] => Err(StoreError::Setup(format!(
            "the migration `{}` is missing; run `claviger store prepare`",
            first.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_have_the_same_migrations() {
        let names = |list: &[Migration]| list.iter().map(|migration| migration.name).collect::<Vec<_>>();
        assert_eq!(names(SQLITE), names(POSTGRES));
        for (engine, list) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .filter_map(|entry| {
                    Some(entry.unwrap().file_name().to_str()?.strip_suffix(".sql")?.to_owned())
                })
                .collect();
            files.sort();
            assert_eq!(files, names(list), "{engine}: each file is in the list");
        }
    }

    #[test]
    fn a_changed_or_unknown_migration_is_refused() {
        let [first, second, ..] = SQLITE else { panic!("two migrations and more") };
        let ran = |name: &str, sha256: String| vec![(name.to_owned(), sha256)];
        let left = |ran: &[(String, String)]| missing(SQLITE, ran).map(<[Migration]>::len);
        assert_eq!(left(&[]).unwrap(), SQLITE.len());
        assert_eq!(left(&ran(first.name, hash(first))).unwrap(), SQLITE.len() - 1);
        assert!(left(&ran(first.name, "0".repeat(64))).is_err());
        let both = [ran(first.name, hash(first)), ran(second.name, hash(second))].concat();
        assert_eq!(left(&both).unwrap(), SQLITE.len() - 2);
        let all: Vec<_> = SQLITE.iter().map(|one| (one.name.to_owned(), hash(one))).collect();
        assert_eq!(left(&all).unwrap(), 0);
        let newer = [all, ran("9999_later", "0".repeat(64))].concat();
        assert!(left(&newer).is_err());
    }
}
