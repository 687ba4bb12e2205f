//! The schema that follows from the declarations. What is run is the migrations, which anybody can read and which never
//! change once they were released; tests compare the two, and write what a new noun needs.

use std::fmt::Write;

use super::{Column, Columns, Feed, Index, Noun, Rights};
use crate::statement::Kind;

/// Which engine's SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// What holds for all but a backfill, which the owner says so of in its transaction.
const NO_BACKFILL: &str =
    "current_user <> 'claviger_owner' OR current_setting('claviger.backfill', true) IS DISTINCT FROM 'on'";
/// As [`LEAST_KEPT_DAYS`](crate::retirement::LEAST_KEPT_DAYS).
const LEAST_KEPT_MILLIS: i64 = crate::retirement::LEAST_KEPT_DAYS * 24 * 60 * 60 * 1000;
const BOUND: &str = "tenant_id = (SELECT current_setting('app.tenant')::uuid)";

fn list(names: &[&str]) -> String {
    names.join(", ")
}

impl Column {
    fn sql(&self, engine: Engine) -> String {
        let kind = match (engine, self.kind) {
            (Engine::Sqlite, Kind::Int) => "INTEGER",
            (Engine::Sqlite, Kind::Text | Kind::Uuid) => "TEXT",
            (Engine::Sqlite, Kind::Blob) => "BLOB",
            (Engine::Postgres, Kind::Int) => "bigint",
            (Engine::Postgres, Kind::Text) => "text",
            (Engine::Postgres, Kind::Blob) => "bytea",
            (Engine::Postgres, Kind::Uuid) => "uuid",
        };
        let name = self.name;
        let mut sql = format!("{name} {kind}");
        if !self.may_lack {
            sql.push_str(" NOT NULL");
        }
        if let Some(default) = self.default {
            let _ = write!(sql, " DEFAULT {default}");
        }
        if let Some(is) = self.is {
            let _ = write!(sql, " CHECK ({name} {is})");
        }
        sql
    }

    /// Its value in a new row, as the feed spells it.
    fn in_feed(&self, engine: Engine) -> String {
        let name = self.name;
        match (engine, self.kind) {
            (Engine::Sqlite, Kind::Blob) => format!("lower(hex(NEW.{name}))"),
            (Engine::Sqlite, _) => format!("NEW.{name}"),
            (Engine::Postgres, Kind::Blob) => format!("encode(NEW.{name}, 'hex')"),
            (Engine::Postgres, Kind::Uuid) => format!("NEW.{name}::text"),
            (Engine::Postgres, Kind::Text | Kind::Int) => format!("NEW.{name}"),
        }
    }
}

impl Noun {
    /// All that makes the noun's table.
    pub(crate) fn schema(&self, engine: Engine) -> String {
        let mut sql = format!("-- {}\n{}", self.about, self.create(engine));
        for index in self.indices {
            let table = self.table;
            let _ = match index {
                Index::Unique(_) => Ok(()),
                Index::Plain(name, columns) => writeln!(sql, "CREATE INDEX {name} ON {table} ({columns});"),
                Index::UniqueNamed(name, columns, of) => {
                    let of = of.map(|of| format!(" WHERE {of}")).unwrap_or_default();
                    writeln!(sql, "CREATE UNIQUE INDEX {name} ON {table} ({columns}){of};")
                }
            };
        }
        match engine {
            Engine::Sqlite => self.sqlite_triggers(&mut sql),
            Engine::Postgres => {
                self.postgres_triggers(&mut sql);
                self.walls(&mut sql);
            }
        }
        sql
    }

    fn create(&self, engine: Engine) -> String {
        let mut lines: Vec<String> = self.columns.iter().map(|column| column.sql(engine)).collect();
        if self.is_versioned() {
            lines.push(super::int("row_version").or("1").sql(engine));
        }
        lines.push(format!("PRIMARY KEY ({})", list(self.key)));
        for index in self.indices {
            if let Index::Unique(columns) = index {
                lines.push(format!("UNIQUE ({columns})"));
            }
        }
        for (columns, there) in self.references {
            lines.push(format!("FOREIGN KEY ({}) REFERENCES {there}", list(columns)));
        }
        let strict = if engine == Engine::Sqlite { " STRICT" } else { "" };
        format!("CREATE TABLE {} (\n    {}\n){strict};\n", self.table, lines.join(",\n    "))
    }

    fn feed_id(&self, engine: Engine) -> String {
        let parts: Vec<String> = self.named_by().iter().map(|column| column.in_feed(engine)).collect();
        parts.join(if engine == Engine::Sqlite { " || char(10) || " } else { r" || E'\n' || " })
    }

    fn sqlite_triggers(&self, sql: &mut String) {
        let table = self.table;
        let same = |columns: &[&str]| {
            columns.iter().map(|name| format!("{name} = NEW.{name}")).collect::<Vec<_>>().join(" AND ")
        };
        let itself = same(self.key);
        let raise = format!("UPDATE {table} SET row_version = OLD.row_version + 1 WHERE {itself};");
        match self.feed {
            Feed::Silent => {}
            Feed::Tells { kind, only, since, .. } => {
                let id = self.feed_id(Engine::Sqlite);
                let needs = if since == 1 { "".into() } else { format!(", {since}") };
                let column = if since == 1 { "" } else { ", needs" };
                let line = format!(
                    "INSERT INTO change (kind, id, row_version{column}) VALUES ('{kind}', {id}, NEW.row_version{needs});"
                );
                let when = only.map(|only| format!(" WHEN {only}")).unwrap_or_default();
                let and = only.map(|only| format!(" AND {only}")).unwrap_or_default();
                let _ = writeln!(
                    sql,
                    "CREATE TRIGGER {table}_inserted AFTER INSERT ON {table}{when} BEGIN\n    {line}\nEND;\n\
                     CREATE TRIGGER {table}_updated AFTER UPDATE ON {table} WHEN NEW.row_version = OLD.row_version BEGIN\n    \
                         {raise}\nEND;\n\
                     CREATE TRIGGER {table}_versioned AFTER UPDATE OF row_version ON {table} \
                         WHEN NEW.row_version > OLD.row_version{and} BEGIN\n    {line}\nEND;"
                );
            }
            Feed::Through { table: other, by, .. } => {
                let _ = writeln!(
                    sql,
                    "CREATE TRIGGER {table}_updated AFTER UPDATE ON {table} WHEN NEW.row_version = OLD.row_version BEGIN\n    \
                         {raise}\n    UPDATE {other} SET row_version = row_version + 1 WHERE {};\nEND;",
                    same(by)
                );
            }
        }
        let refuse = |why: &str| format!("SELECT RAISE(ABORT, '{why}');");
        if self.is_versioned() && !self.jobs.delete {
            let _ = writeln!(
                sql,
                "CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} BEGIN\n    {}\nEND;",
                refuse("rows are withdrawn by their state")
            );
        }
        let Some(later) = self.fixed_but else { return };
        let fixed: Vec<&str> =
            self.columns.iter().map(|column| column.name).filter(|name| !later.contains(name)).collect();
        let refused = refuse("audit entries are immutable");
        let once = later.first().copied().unwrap_or_default();
        let age = self.grows_by.unwrap_or("created_at");
        let _ = writeln!(
            sql,
            "CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} WHEN OLD.{age} >= coalesce(\n        \
                 (SELECT CAST(value AS INTEGER) FROM store_meta WHERE name = 'audit_kept_from'), 0) BEGIN\n    {refused}\nEND;\n\
             CREATE TRIGGER {table}_fixed BEFORE UPDATE OF {} ON {table} BEGIN\n    {refused}\nEND;\n\
             CREATE TRIGGER {table}_sealed BEFORE UPDATE OF {} ON {table} WHEN OLD.{once} IS NOT NULL BEGIN\n    {refused}\nEND;",
            list(&fixed),
            list(later),
        );
    }

    fn postgres_triggers(&self, sql: &mut String) {
        let table = self.table;
        let mut trigger = |name: &str, on: &str, when: &str, function: &str| {
            let _ = writeln!(
                sql,
                "CREATE TRIGGER {table}_{name} {on} ON {table} FOR EACH ROW{when} EXECUTE FUNCTION {function}();"
            );
        };
        let when = format!("\n    WHEN ({NO_BACKFILL})\n   ");
        match self.feed {
            Feed::Silent => {}
            Feed::Tells { only, .. } => {
                let told = only.map_or_else(
                    || when.clone(),
                    |only| format!("\n    WHEN ({only} AND ({NO_BACKFILL}))\n   "),
                );
                trigger("updated", "BEFORE UPDATE", &when, "raise_version");
                trigger("changed", "AFTER INSERT OR UPDATE", &told, "note_change");
            }
            Feed::Through { function, .. } => {
                trigger("updated", "BEFORE UPDATE", &when, "raise_version");
                trigger("changed", "AFTER UPDATE", &when, function);
            }
        }
        if self.fixed_but.is_some() {
            trigger("fixed", "BEFORE UPDATE OR DELETE", "", "refuse_audit_change");
        }
    }

    /// Row security, and who may do what.
    fn walls(&self, sql: &mut String) {
        let (table, jobs) = (self.table, self.jobs);
        if self.is_of_a_tenant() {
            let _ = writeln!(
                sql,
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {table} FORCE ROW LEVEL SECURITY;\n\
                 CREATE POLICY bound_tenant ON {table} TO claviger_rt\n    USING ({BOUND})\n    WITH CHECK ({BOUND});"
            );
            if let Some(age) = self.grows_by {
                // What jobs may see, and drop: the old rows alone.
                let _ = writeln!(
                    sql,
                    "CREATE POLICY retired ON {table} TO claviger_system USING ({age} < (SELECT claviger_now() - {LEAST_KEPT_MILLIS}));"
                );
            } else if jobs.select != Columns::None {
                let what = if jobs.delete { "" } else { " FOR SELECT" };
                let _ = writeln!(
                    sql,
                    "CREATE POLICY named_job ON {table}{what} TO claviger_system USING (true);"
                );
            }
            if jobs.insert != Columns::None {
                let _ = writeln!(
                    sql,
                    "CREATE POLICY named_job_adds ON {table} FOR INSERT TO claviger_system WITH CHECK (true);"
                );
            }
            if jobs.update != Columns::None {
                let _ = writeln!(
                    sql,
                    "CREATE POLICY named_job_ends ON {table} FOR UPDATE TO claviger_system USING (true);"
                );
            }
            if self.is_versioned() {
                let _ = writeln!(
                    sql,
                    "CREATE POLICY backfill ON {table} TO claviger_owner \
                     USING (current_setting('claviger.backfill', true) = 'on');"
                );
            }
        }
        for (rights, role) in [(self.tenant, "claviger_rt"), (jobs, "claviger_system")] {
            let Rights { select, insert, update, delete } = rights;
            let delete = if delete { Columns::All } else { Columns::None };
            for (verb, columns) in
                [("SELECT", select), ("INSERT", insert), ("UPDATE", update), ("DELETE", delete)]
            {
                let _ = match columns {
                    Columns::None => Ok(()),
                    Columns::All => writeln!(sql, "GRANT {verb} ON {table} TO {role};"),
                    Columns::These(names) => {
                        writeln!(sql, "GRANT {verb} ({}) ON {table} TO {role};", list(names))
                    }
                };
            }
        }
    }
}

/// The functions of PostgreSQL by which changes come to be lines of the feed.
pub(crate) fn feed_functions(nouns: &[&Noun]) -> String {
    let mut cases = String::new();
    let mut through = String::new();
    for noun in nouns {
        let table = noun.table;
        let _ = match noun.feed {
            Feed::Silent => Ok(()),
            Feed::Tells { kind, since, .. } => {
                let needs = if since == 1 { String::new() } else { format!(" subject_needs := {since};") };
                writeln!(
                    cases,
                    "        WHEN '{table}' THEN\n            subject_kind := '{kind}'; subject_id := {};{needs}",
                    noun.feed_id(Engine::Postgres)
                )
            }
            Feed::Through { table: other, by, function } => {
                let same: Vec<String> = by.iter().map(|name| format!("{name} = NEW.{name}")).collect();
                write!(
                    through,
                    "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path = claviger, pg_temp \
                     AS $$\nBEGIN\n    UPDATE {other} SET row_version = row_version + 1 WHERE {};\n    RETURN NULL;\nEND $$;\n",
                    same.join(" AND ")
                )
            }
        };
    }
    format!(
        "-- Runs as its owner, so that nobody else needs a right on the feed to change what it tells of.\n\
         CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
         SET search_path = claviger, pg_temp AS $$\nDECLARE\n    subject_kind text;\n    subject_id text;\n    subject_needs bigint := 1;\nBEGIN\n    \
         CASE TG_TABLE_NAME\n{cases}    END CASE;\n    \
         INSERT INTO change (kind, id, row_version, needs)\n        \
         VALUES (subject_kind, subject_id, NEW.row_version, subject_needs);\n    \
         RETURN NULL;\nEND $$;\n{through}"
    )
}

mod tests {
    use std::path::{Path, PathBuf};

    use rusqlite::Connection;
    use tokio_postgres::{Client, NoTls};

    use super::*;
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
        lines.extend(rows(
            "SELECT t.name, t.strict FROM pragma_table_list AS t WHERE t.name NOT LIKE 'sqlite%'",
        ));
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
                    sql.split("CHECK (").skip(1).map(|check| {
                        format!("{name} checks {}", check.split(')').next().unwrap_or_default())
                    }),
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
            by_migrations
                .prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")
                .unwrap()
                .exists([table])
                .unwrap()
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
        let has =
            |table: &str| by_migrations.iter().any(|line| line.starts_with(&format!("table {table} of")));
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
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
            .unwrap();
        let tables: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut known: Vec<&str> = NOUNS.iter().map(|noun| noun.table).chain(others).collect();
        known.sort_unstable();
        assert_eq!(tables, known);
    }
}
