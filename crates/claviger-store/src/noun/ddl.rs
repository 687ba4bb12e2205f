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
