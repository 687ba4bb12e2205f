//! Attempts to get past the walls of SQLite, each of which has to fail.

use std::path::PathBuf;

use claviger::id::TenantId;
use claviger::random::SystemRandom;
use rusqlite::Connection;

use super::binding::Binding;
use super::connect;
use crate::backend::Bound;
use crate::noun::{Feed, Noun};
use crate::nouns::NOUNS;
use crate::testing::Folder;

/// A file with the same rows in two tenants.
struct Site {
    _folder: Folder,
    path: PathBuf,
    writer: Connection,
    binding: Binding,
    ours: TenantId,
    theirs: TenantId,
}

impl Site {
    fn make() -> Self {
        let folder = Folder::make();
        let path = folder.path().join("claviger.db");
        let (writer, binding) = connect::writer(&path, NOUNS).unwrap();
        let (ours, theirs) = (TenantId::generate(&SystemRandom), TenantId::generate(&SystemRandom));
        {
            let _bound = binding.bind(Bound::System("test"));
            let mut sql = String::from(
                "INSERT INTO realm VALUES ('r', 1); INSERT INTO plan VALUES ('r', 'p', 1);
                 INSERT INTO account (account_id, realm, email, email_key, password_hash, created_at)
                     VALUES ('a', 'r', 'a@x', 'a@x', 'hash', 1);",
            );
            for tenant in [ours, theirs] {
                sql += &format!(
                    "INSERT INTO tenant (tenant_id, realm, name, plan, data_key, created_at)
                         VALUES ('{tenant}', 'r', 'n', 'p', x'00', 1);
                     INSERT INTO organization (tenant_id, org_id, name, created_at) VALUES ('{tenant}', 'o', 'n', 1);
                     INSERT INTO member (tenant_id, org_id, account_id, role, state, created_at)
                         VALUES ('{tenant}', 'o', 'a', 'ADMIN', 'active', 1);"
                );
            }
            writer.execute_batch(&sql).unwrap();
        }
        Self { _folder: folder, path, writer, binding, ours, theirs }
    }

    fn theirs_is_untouched(&self) {
        let _bound = self.binding.bind(Bound::System("test"));
        let read = |sql: &str| -> String {
            self.writer.query_row(sql, [self.theirs.to_string()], |row| row.get(0)).unwrap()
        };
        assert_eq!(read("SELECT name || state || generation FROM tenant WHERE tenant_id = ?1"), "nactive1");
        assert_eq!(read("SELECT name || state FROM organization WHERE tenant_id = ?1"), "nactive");
        assert_eq!(read("SELECT CAST(count(*) AS TEXT) FROM member WHERE tenant_id = ?1"), "1");
    }
}

/// Every text that the statement answers, or the refusal.
fn answers(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    assert_eq!(statement.is_explain(), 0, "EXPLAIN is not prepared");
    let width = statement.column_count();
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        for at in 0..width {
            found.push(format!("{:?}", row.get_ref(at)?));
        }
    }
    Ok(found)
}

#[test]
fn a_statement_is_planned_once_whatever_is_bound() {
    let site = Site::make();
    let (reader, reading) = connect::scoped_reader(&site.path, NOUNS).unwrap();
    let _bound = (site.binding.bind(Bound::Tenant(site.ours)), reading.bind(Bound::Tenant(site.ours)));
    // Tables with an index over some of their rows: a value that is bound could decide whether it serves.
    for sql in [
        "SELECT key_id FROM key_secret WHERE tenant_id = ?1 AND slot = ?2 AND revoked = 0",
        "SELECT key_id FROM key_secret WHERE tenant_id = ?1 AND slot = ?2 AND revoked = ?2",
        "SELECT kid FROM user_secret WHERE tenant_id = ?1 AND api = ?2 AND revoked = ?2",
        "SELECT role FROM member WHERE tenant_id = ?1 AND org_id = ?2",
    ] {
        for connection in [&site.writer, &reader] {
            let mut statement = connection.prepare(sql).unwrap();
            for value in ["o", "p", "q"] {
                let mut rows = statement.query([&site.ours.to_string(), value]).unwrap();
                while rows.next().unwrap().is_some() {}
            }
            assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0, "{sql}");
        }
    }
}

#[test]
fn a_reader_sees_the_bound_tenant_and_no_other() {
    let site = Site::make();
    let (reader, binding) = connect::scoped_reader(&site.path, NOUNS).unwrap();
    let count = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    {
        let _bound = binding.bind(Bound::Tenant(site.ours));
        for table in ["tenant", "organization", "member"] {
            assert_eq!(count(&format!("SELECT count(*) FROM {table}")), 1, "{table}");
        }
    }
    assert_eq!(count("SELECT count(*) FROM tenant"), 0, "nothing is left bound");
}

#[test]
fn what_a_reader_can_say_never_reaches_another_tenant() {
    let site = Site::make();
    let (reader, binding) = connect::scoped_reader(&site.path, NOUNS).unwrap();
    let _bound = binding.bind(Bound::Tenant(site.ours));
    let theirs = site.theirs.to_string();
    let mut refused = 0;
    for sql in [
        "SELECT * FROM main.tenant",
        "SELECT count(*) FROM main.tenant",
        "SELECT rowid FROM main.tenant",
        "SELECT * FROM \"main\".\"tenant\"",
        "SELECT 1 FROM main.tenant LIMIT 1",
        "SELECT t.* FROM tenant AS t, main.tenant AS m",
        "SELECT (SELECT name FROM main.organization LIMIT 1)",
        "SELECT EXISTS (SELECT 1 FROM main.organization)",
        "WITH tenant AS (SELECT * FROM main.tenant) SELECT * FROM tenant",
        "WITH tenant(tenant_id) AS (SELECT tenant_id FROM main.tenant) SELECT * FROM tenant",
        "WITH RECURSIVE member AS (SELECT * FROM main.member UNION SELECT * FROM member) SELECT * FROM member",
        "WITH x AS (SELECT * FROM main.tenant) SELECT * FROM x",
        "SELECT * FROM (SELECT * FROM main.tenant) AS tenant",
        "SELECT * FROM tenant UNION ALL SELECT * FROM main.tenant",
        "SELECT * FROM tenant WHERE tenant_id IN (SELECT tenant_id FROM main.tenant)",
        "SELECT max(name) OVER () FROM main.tenant",
        "SELECT group_concat(name) FROM tenant",
        "SELECT * FROM main.change",
        "SELECT * FROM change",
        "SELECT * FROM signing_key",
        "SELECT * FROM keyring_check",
        "SELECT * FROM store_meta",
        "SELECT * FROM operator_audit",
        "SELECT password_hash FROM account",
        "SELECT password_hash FROM main.account",
        "SELECT * FROM sqlite_schema",
        "SELECT sql FROM main.sqlite_master",
        "SELECT name FROM sqlite_temp_schema",
        "SELECT name FROM temp.sqlite_master",
        "SELECT * FROM pragma_table_list",
        "SELECT * FROM pragma_table_info('tenant')",
        "SELECT * FROM json_each('[1]')",
        "SELECT * FROM dbstat",
        "PRAGMA table_info(tenant)",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA trusted_schema = ON",
        "ATTACH ':memory:' AS other",
        "DETACH temp",
        "CREATE TEMP TABLE loot AS SELECT * FROM tenant",
        "CREATE TEMP VIEW loot AS SELECT * FROM main.tenant",
        "DROP VIEW tenant",
        "CREATE TABLE loot (x)",
        "VACUUM INTO 'loot.db'",
        "ANALYZE",
        "REINDEX",
        "SELECT load_extension('loot')",
        "SELECT writefile('loot', 'x')",
        "SELECT readfile('/etc/passwd')",
        "INSERT INTO tenant SELECT * FROM main.tenant",
        "UPDATE tenant SET name = 'x'",
        "DELETE FROM tenant",
    ] {
        match answers(&reader, sql) {
            Err(_) => refused += 1,
            Ok(found) => {
                let text = found.join(" ");
                assert!(!text.contains(&theirs), "{sql} answers another tenant's row");
                assert!(found.len() <= 1, "{sql} is answered: {text}");
            }
        }
    }
    assert!(refused >= 50, "only {refused} were refused");
    assert!(
        reader.prepare("EXPLAIN SELECT * FROM tenant").is_ok_and(|statement| statement.is_explain() == 1)
    );
    let explain: &'static crate::statement::Statement = Box::leak(Box::new(crate::statement::Statement {
        name: "EXPLAIN",
        reach: crate::statement::Reach::Tenant,
        noun: "plan",
        params: &[],
        sql: "EXPLAIN SELECT * FROM tenant".into(),
        postgres: None,
        withdraws: false,
        grants: false,
        for_sqlite: std::sync::OnceLock::new(),
    }));
    assert!(super::run::run(&reader, explain, &[]).is_err(), "what tells the shape of the walls is not run");
}

#[test]
fn what_the_writer_runs_never_changes_another_tenant() {
    let site = Site::make();
    let (ours, theirs) = (site.ours, site.theirs);
    let run = |sql: &str| {
        site.writer.prepare(sql).and_then(|mut statement| {
            let mut rows = statement.query([])?;
            let mut count = 0;
            while rows.next()?.is_some() {
                count += 1;
            }
            Ok(count)
        })
    };
    {
        let _bound = site.binding.bind(Bound::Tenant(ours));
        for sql in [
            "UPDATE tenant SET name = 'x'".to_owned(),
            format!("UPDATE tenant SET name = 'x' WHERE tenant_id = '{theirs}'"),
            format!("UPDATE tenant SET name = 'x' WHERE tenant_id = '{theirs}' RETURNING data_key"),
            format!("UPDATE organization SET tenant_id = '{theirs}', org_id = 'p' WHERE tenant_id = '{ours}'"),
            format!("UPDATE organization SET tenant_id = '{ours}', org_id = 'p' WHERE tenant_id = '{theirs}'"),
            format!("UPDATE organization AS o SET name = t.name FROM tenant AS t WHERE o.tenant_id = '{theirs}'"),
            format!("INSERT INTO organization (tenant_id, org_id, name, created_at) VALUES ('{theirs}', 'p', 'x', 1)"),
            format!(
                "INSERT INTO organization (tenant_id, org_id, name, created_at) VALUES ('{theirs}', 'o', 'x', 1)
                 ON CONFLICT (tenant_id, org_id) DO UPDATE SET name = 'x'"
            ),
            format!(
                "INSERT INTO organization (tenant_id, org_id, name, created_at) VALUES ('{theirs}', 'o', 'x', 1)
                 ON CONFLICT DO NOTHING RETURNING name"
            ),
            format!("REPLACE INTO organization (tenant_id, org_id, name, created_at) VALUES ('{theirs}', 'o', 'x', 1)"),
            format!("DELETE FROM member WHERE tenant_id = '{theirs}'"),
            "DELETE FROM member".to_owned(),
            "DELETE FROM change".to_owned(),
            "UPDATE change SET row_version = 0".to_owned(),
            "UPDATE account SET password_hash = 'x'".to_owned(),
            "INSERT INTO realm VALUES ('x', 1)".to_owned(),
            "INSERT INTO store_meta VALUES ('x', 'x')".to_owned(),
            "UPDATE signing_key SET state = 'active'; ".to_owned() + "DROP TABLE tenant",
            "DROP TRIGGER temp.wall_UPDATE_tenant".to_owned(),
            "DROP TABLE tenant".to_owned(),
            "ALTER TABLE tenant ADD COLUMN x".to_owned(),
            "CREATE TRIGGER x AFTER INSERT ON tenant BEGIN SELECT 1; END".to_owned(),
            "PRAGMA foreign_keys = OFF".to_owned(),
            "ATTACH ':memory:' AS other".to_owned(),
            "VACUUM".to_owned(),
            "SELECT * FROM sqlite_schema".to_owned(),
        ] {
            assert!(run(&sql).is_err(), "{sql} was run");
        }
        assert_eq!(
            run(&format!("UPDATE tenant SET name = 'y' WHERE tenant_id = '{ours}' RETURNING name")).unwrap(),
            1
        );
    }
    site.theirs_is_untouched();
    assert!(run("UPDATE tenant SET name = 'x'").is_err(), "nothing is left bound");
    site.theirs_is_untouched();
}

#[test]
fn audit_entries_stay_as_they_were_written() {
    let site = Site::make();
    let _bound = site.binding.bind(Bound::System("test"));
    let ours = site.ours;
    let run = |sql: &str| site.writer.execute_batch(sql);
    run(&format!(
        "INSERT INTO audit (tenant_id, audit_id, actor, action, entity_type, entity_id, details, created_at)
         VALUES ('{ours}', 'i', 'a', 'b', 'c', 'd', '{{}}', 1)"
    ))
    .unwrap();
    let replace = format!(
        "REPLACE INTO audit (tenant_id, audit_id, actor, action, entity_type, entity_id, details, created_at)
         VALUES ('{ours}', 'i', 'x', 'b', 'c', 'd', '{{}}', 1)"
    );
    let replaced = replace.replace("REPLACE INTO", "INSERT OR REPLACE INTO");
    for sql in [
        "UPDATE audit SET actor = 'x'",
        "DELETE FROM audit",
        "UPDATE audit SET seq = 1, created_at = 2",
        // Which deletes and inserts, and asks the triggers only since they are recursive.
        &replace,
        &replaced,
    ] {
        assert!(run(sql).is_err(), "{sql} was run");
    }
    run("UPDATE audit SET seq = 1, batch = 'b'").unwrap();
    assert!(run("UPDATE audit SET seq = 2").is_err(), "sealed once");
}

#[test]
fn every_table_that_a_decision_reads_writes_the_feed() {
    let site = Site::make();
    let file = Connection::open(&site.path).unwrap();
    let list = |sql: &str| -> Vec<String> {
        let mut statement = file.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let versioned = list(
        "SELECT t.name FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c ON c.name = 'row_version'
         WHERE t.type = 'table' AND t.name NOT IN ('change', 'api_key')",
    );
    let triggers = list("SELECT name FROM sqlite_schema WHERE type = 'trigger'");
    let told = |noun: &&&Noun| matches!(noun.feed, Feed::Tells { .. });
    assert_eq!(versioned.len(), NOUNS.iter().filter(|noun| told(noun)).count());
    for table in versioned {
        for what in ["inserted", "updated", "versioned"] {
            assert!(triggers.contains(&format!("{table}_{what}")), "{table} has no trigger `{what}`");
        }
    }
}

#[test]
fn keys_and_references_of_tenants_tables_begin_with_the_tenant() {
    let site = Site::make();
    let file = Connection::open(&site.path).unwrap();
    let (tenants, others) = super::walls::tables(&file).unwrap();
    let without = [
        "store_meta",
        "keyring_check",
        "realm",
        "plan",
        "account",
        "signing_key",
        "operator_audit",
        "idempotency",
        "sign_in_failure",
        "mail",
        "proof",
        "lease",
        "tenant_external_id",
        "operator",
        "change",
        "migration",
        "migration_reach",
        "withdrawal",
        "node",
        "node_wait",
    ];
    let mut others = others;
    others.sort();
    let mut expected = without.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(others, expected, "a table without a tenant is on the list");
    for table in &tenants {
        let one = |sql: &str| -> Vec<String> {
            let mut statement = file.prepare(sql).unwrap();
            let rows = statement.query_map([table], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        assert_eq!(one("SELECT name FROM pragma_table_info(?1) WHERE pk = 1"), ["tenant_id"], "{table}");
        let unique =
            "SELECT c.name FROM pragma_index_list(?1) AS i JOIN pragma_index_info(i.name) AS c ON c.seqno = 0
                      WHERE i.\"unique\" = 1";
        assert!(
            one(unique).iter().all(|column| column == "tenant_id"),
            "{table}: a unique key without the tenant"
        );
        let foreign = "SELECT \"table\" || ' ' || \"from\" FROM pragma_foreign_key_list(?1) WHERE seq = 0";
        for reference in one(foreign) {
            let (to, from) = reference.split_once(' ').unwrap();
            assert!(
                !tenants.iter().any(|name| name == to) || from == "tenant_id",
                "{table} refers to {to} by {from}"
            );
        }
    }
}
