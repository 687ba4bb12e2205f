//! What is declared, compared with what the migrations make, on both engines.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tokio_postgres::{Client, NoTls};

use super::Noun;
use super::ddl::{Engine, feed_functions};
use crate::backend::postgres::check::WALLS;
use crate::backend::sqlite::migrate;
use crate::feed::loads;
use crate::migrations;
use crate::nouns::NOUNS;
use crate::testing::cluster;

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "this is no setting of a server")]
fn is_updated() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Compares a checked-in file with what it should say, or writes it.
fn is_checked_in(path: &Path, wanted: &str) {
    if is_updated() {
        std::fs::write(path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "`{}` is another one: run `make update`, and read the difference",
        path.display()
    );
}

/// Writes the migration that makes the tables of declared nouns that no migration makes.
fn add_migration(engine: Engine, lacking: &[&Noun]) {
    let Some(first) = lacking.first() else { return };
    let number = migrations::of_sqlite().all().count() + 1;
    let name = format!("{number:04}_{}", first.table);
    let folder = if engine == Engine::Sqlite { "sqlite" } else { "postgres" };
    let mut sql: String = lacking.iter().map(|noun| noun.schema(engine)).collect::<Vec<_>>().join("\n");
    if engine == Engine::Postgres && lacking.iter().any(|noun| noun.is_versioned()) {
        let _ = write!(sql, "\n{}", feed_functions(NOUNS));
    }
    let path = home().join(format!("migrations/{folder}/{name}.sql"));
    assert!(is_updated(), "no migration makes the table of `{}`: run `make update`", first.table);
    std::fs::write(&path, sql).unwrap();
    panic!("wrote `{}`: add it to the list in `migrations.rs`", path.display());
}

#[test]
fn the_schema_and_the_statements_that_follow_are_there_to_be_read() {
    for (engine, file) in [(Engine::Sqlite, "sqlite.sql"), (Engine::Postgres, "postgres.sql")] {
        let mut sql = "-- The tables of all nouns, as they are after the last migration: made from the declarations, and compared \
                       with what the\n-- migrations make. Nothing runs this.\n"
            .to_owned();
        for noun in NOUNS {
            let _ = write!(sql, "\n{}", noun.schema(engine));
        }
        if engine == Engine::Postgres {
            let _ = write!(sql, "\n{}", feed_functions(NOUNS));
        }
        sql.push_str("\n-- How decisions' records are read.\n");
        for load in loads::statements() {
            let text = if engine == Engine::Sqlite { load.for_sqlite() } else { load.for_postgres() };
            let _ = writeln!(sql, "\n-- {}\n{text};", load.name);
        }
        is_checked_in(&home().join("schema").join(file), &sql);
    }
}

/// What a database is made of, a line for each thing.
fn sqlite_lines(connection: &Connection) -> Vec<String> {
    let rows = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let width = statement.column_count();
        let read = |row: &rusqlite::Row<'_>| {
            Ok((0..width).map(|at| format!("{:?} ", row.get_ref(at).unwrap())).collect::<String>())
        };
        statement.query_map([], read).unwrap().map(Result::unwrap).collect()
    };
    let mut lines = rows(
        "SELECT t.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'",
    );
    lines.extend(rows("SELECT t.name, t.strict FROM pragma_table_list AS t WHERE t.name NOT LIKE 'sqlite%'"));
    lines.extend(rows(
        "SELECT t.name, f.\"table\", group_concat(f.\"from\"), group_concat(f.\"to\") FROM sqlite_schema AS t,
             pragma_foreign_key_list(t.name) AS f WHERE t.type = 'table' GROUP BY t.name, f.id",
    ));
    lines.extend(rows(
        "SELECT t.name, i.\"unique\", i.origin, i.partial,
             (SELECT group_concat(x.name) FROM pragma_index_info(i.name) AS x)
         FROM sqlite_schema AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table'",
    ));
    let mut texts = connection
        .prepare(
            "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'",
        )
        .unwrap();
    let text = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    };
    for text in texts.query_map([], text).unwrap() {
        let (kind, name, sql) = text.unwrap();
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        if kind == "table" {
            // Columns that came later stand elsewhere in the text, but what is checked is the same.
            lines.extend(
                sql.split("CHECK (")
                    .skip(1)
                    .map(|check| format!("{name} checks {}", check.split(')').next().unwrap_or_default())),
            );
        } else {
            lines.push(format!("{kind} {sql}"));
        }
    }
    lines.sort();
    lines
}

fn migrated() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate(&mut connection).unwrap();
    connection
}

#[test]
fn sqlites_migrations_make_what_is_declared() {
    let by_migrations = migrated();
    let has = |table: &str| {
        by_migrations.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1").unwrap().exists([table]).unwrap()
    };
    let lacking: Vec<&Noun> = NOUNS.iter().copied().filter(|noun| !has(noun.table)).collect();
    add_migration(Engine::Sqlite, &lacking);
    let by_declarations = migrated();
    by_declarations.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    for noun in NOUNS {
        by_declarations.execute_batch(&format!("DROP TABLE {}", noun.table)).unwrap();
    }
    for noun in NOUNS {
        by_declarations.execute_batch(&noun.schema(Engine::Sqlite)).unwrap();
    }
    compare(&sqlite_lines(&by_migrations), &sqlite_lines(&by_declarations));
}

/// Says what the one has and the other has not.
fn compare(migrations: &[String], declarations: &[String]) {
    let lacks = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    assert_eq!(
        (lacks(migrations, declarations), lacks(declarations, migrations)),
        (Vec::new(), Vec::new()),
        "what the migrations make and nobody declares, and what is declared and no migration makes"
    );
    assert_eq!(migrations.len(), declarations.len());
}

async fn postgres_lines(owner: &Client) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    // Walls, and the indices that are none.
    let indices = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'claviger' ORDER BY 1";
    for sql in [WALLS.for_postgres(), indices] {
        lines.extend(owner.query(sql, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
    }
    lines
}

#[tokio::test]
async fn postgres_migrations_make_what_is_declared() {
    let database = cluster::database().await.unwrap();
    let (owner, connection) = tokio_postgres::connect(&database.owner_url, NoTls).await.unwrap();
    tokio::spawn(connection);
    owner.batch_execute("SET search_path = claviger").await.unwrap();
    let by_migrations = postgres_lines(&owner).await;
    let has = |table: &str| by_migrations.iter().any(|line| line.starts_with(&format!("table {table} of")));
    let lacking: Vec<&Noun> = NOUNS.iter().copied().filter(|noun| !has(noun.table)).collect();
    add_migration(Engine::Postgres, &lacking);
    owner.batch_execute("SET ROLE claviger_owner").await.unwrap();
    for noun in NOUNS {
        owner.batch_execute(&format!("DROP TABLE {} CASCADE", noun.table)).await.unwrap();
    }
    for noun in NOUNS {
        owner.batch_execute(&noun.schema(Engine::Postgres)).await.unwrap();
    }
    owner.batch_execute(&feed_functions(NOUNS)).await.unwrap();
    compare(&by_migrations, &postgres_lines(&owner).await);
}

#[test]
fn a_table_is_a_nouns_or_one_that_holds_the_store_together() {
    let others = [
        "change",
        "keyring_check",
        "migration",
        "migration_reach",
        "node",
        "node_wait",
        "store_meta",
        "withdrawal",
    ];
    let connection = migrated();
    let mut statement = connection
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
        )
        .unwrap();
    let tables: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut known: Vec<&str> = NOUNS.iter().map(|noun| noun.table).chain(others).collect();
    known.sort_unstable();
    assert_eq!(tables, known);
}
