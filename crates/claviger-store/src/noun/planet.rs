//! A noun that only this test has, declared as `docs/adding-a-noun.md` says, and put to use on both engines.

use std::sync::Arc;

use claviger::id::TenantId;
use claviger::random::SystemRandom;
use tokio_postgres::NoTls;

use super::ddl::{Engine, feed_functions};
use super::reading::Name;
use super::{Feed, Index, Noun, Rights, Rows, STATE, int, text, uuid};
use crate::backend::bound::Bound;
use crate::backend::sqlite::connect;
use crate::backend::sqlite::run::run;
use crate::statement::{Statement, statements};
use crate::testing::{Folder, cluster};
use crate::value::{Row, Value, values};

static PLANET_ROWS: Noun = Noun {
    table: "planet",
    about: "Something that circles around a tenant.",
    columns: &[uuid("tenant_id"), text("name"), STATE, int("moons").or("0").is("BETWEEN 0 AND 300")],
    key: &["tenant_id", "name"],
    references: &[(&["tenant_id"], "tenant (tenant_id)")],
    indices: &[Index::Plain("planet_by_moons", "tenant_id, moons")],
    tenant: Rights::CHANGE,
    jobs: Rights::SEE,
    feed: Feed::Tells { kind: "planet", id: &["tenant_id", "name"], only: None, since: 7 },
    fixed_but: None,
    grows_by: None,
};

/// What a decision would read of one.
const ROWS: Rows = Rows { noun: &PLANET_ROWS, columns: "r.state, r.moons", with: "", only: "r.moons < 200" };

static NOUNS: &[&Noun] = &[&PLANET_ROWS];

statements! { "planet";
    PLANET_ADD: Tenant [Uuid, Text, Int]
        "INSERT INTO planet (tenant_id, name, moons) VALUES ($1, $2, $3)";
    PLANETS: Tenant [Uuid] "SELECT name, moons FROM planet WHERE tenant_id = $1";
    PLANET_MOONS: Tenant [Uuid, Text, Int] "UPDATE planet SET moons = $3 WHERE tenant_id = $1 AND name = $2";
}

fn wanted(tenant: TenantId, names: &[&str]) -> String {
    let name = |name: &&str| (tenant, Arc::<str>::from(*name)).in_statement();
    serde_json::Value::from(names.iter().map(name).collect::<Vec<_>>()).to_string()
}

/// What a load says of the planet `Mars` of this tenant, and that it says nothing of `Jupiter`, which has too many moons.
fn is_mars(rows: Vec<Row>, tenant: TenantId) {
    let [row] = <[Row; 1]>::try_from(rows).unwrap();
    let mut columns = row.read();
    let name = <(TenantId, Arc<str>)>::from_columns(&mut columns).unwrap();
    assert_eq!(name, (tenant, "Mars".into()));
    let (version, state, moons) = (columns.int().unwrap(), columns.text().unwrap(), columns.int().unwrap());
    assert_eq!((version, state.as_str(), moons), (2, "active", 2));
}

#[test]
fn a_noun_that_is_declared_is_a_table_with_walls_a_feed_and_records() {
    assert!(STATEMENTS.iter().all(|statement| statement.noun == PLANET_ROWS.table && !statement.withdraws));
    let folder = Folder::make();
    let path = folder.path().join("claviger.db");
    drop(connect::writer(&path, NOUNS).unwrap());
    let (ours, theirs) = (TenantId::generate(&SystemRandom), TenantId::generate(&SystemRandom));
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch(&PLANET_ROWS.schema(Engine::Sqlite)).unwrap();
    file.execute_batch("INSERT INTO realm VALUES ('r', 1); INSERT INTO plan VALUES ('r', 'p', 1);").unwrap();
    for tenant in [ours, theirs] {
        let sql = format!(
            "INSERT INTO tenant (tenant_id, realm, name, plan, data_key, created_at) VALUES ('{tenant}', 'r', 't', 'p', x'00', 1)"
        );
        file.execute_batch(&sql).unwrap();
    }
    let (writer, binding) = connect::writer(&path, NOUNS).unwrap();
    let (reader, reads_of) = connect::scoped_reader(&path, NOUNS).unwrap();
    let system = connect::system_reader(&path).unwrap();
    let write = |statement: &'static Statement, params: &[Value]| run(&writer, statement, params);
    {
        let _bound = binding.bind(Bound::Tenant(ours));
        write(&PLANET_ADD, values![ours, "Mars", 1]).unwrap();
        write(&PLANET_ADD, values![ours, "Jupiter", 250]).unwrap();
        write(&PLANET_MOONS, values![ours, "Mars", 2]).unwrap();
        assert!(write(&PLANET_ADD, values![ours, "Mars", 1]).is_err(), "a key is a key");
        assert!(write(&PLANET_ADD, values![ours, "Saturn", 301]).is_err(), "what is checked is checked");
        assert!(write(&PLANET_ADD, values![theirs, "Venus", 0]).is_err(), "a row of another tenant");
        assert!(writer.execute_batch("DELETE FROM planet").is_err(), "rows are withdrawn by their state");
    }
    for (tenant, there) in [(ours, 2), (theirs, 0)] {
        let _bound = reads_of.bind(Bound::Tenant(tenant));
        let mut all = reader.prepare("SELECT count(*) FROM planet").unwrap();
        assert_eq!(all.query_row([], |row| row.get::<_, i64>(0)).unwrap(), there);
        assert_eq!(run(&reader, &PLANETS, values![ours]).unwrap().len(), usize::try_from(there).unwrap());
    }
    let lines = "SELECT id, row_version, needs FROM change WHERE kind = 'planet' ORDER BY seq";
    let mut told = file.prepare(lines).unwrap();
    let told: Vec<(String, i64, i64)> = told
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let line = |name: &str, version| (format!("{ours}\n{name}"), version, 7);
    assert_eq!(told, [line("Mars", 1), line("Jupiter", 1), line("Mars", 2)]);
    let load: &'static Statement = Box::leak(Box::new(ROWS.load("LOAD_planet")));
    let rows = run(&system, load, values![wanted(ours, &["Mars", "Jupiter", "Pluto"])]).unwrap();
    is_mars(rows, ours);
    assert!(run(&system, load, values![wanted(theirs, &["Mars"])]).unwrap().is_empty());
}

#[tokio::test]
async fn a_noun_that_is_declared_has_its_walls_in_postgres_too() {
    let database = cluster::database().await.unwrap();
    let connect = async |url: &str| {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let (ours, theirs) = (TenantId::generate(&SystemRandom), TenantId::generate(&SystemRandom));
    let owner = connect(&database.owner_url).await;
    let schema = format!(
        "SET search_path = claviger; SET ROLE claviger_owner; {} {} RESET ROLE;
         INSERT INTO realm VALUES ('r', 1); INSERT INTO plan VALUES ('r', 'p', 1); SET session_replication_role = replica;
         INSERT INTO tenant (tenant_id, realm, name, plan, data_key, created_at)
         VALUES ('{ours}', 'r', 't', 'p', '', 1), ('{theirs}', 'r', 't', 'p', '', 1)",
        PLANET_ROWS.schema(Engine::Postgres),
        feed_functions(NOUNS)
    );
    owner.batch_execute(&schema).await.unwrap();
    let runtime = connect(&database.runtime_url).await;
    let bind = format!("BEGIN; SELECT set_config('app.tenant', '{ours}', true)");
    runtime.batch_execute(&bind).await.unwrap();
    let ours_as = uuid::Uuid::from_bytes(*ours.as_bytes()).to_string();
    let add = format!(
        "INSERT INTO planet (tenant_id, name, moons) VALUES ('{ours_as}', 'Mars', 1), ('{ours_as}', 'Jupiter', 250);
         UPDATE planet SET moons = 2 WHERE name = 'Mars'; COMMIT"
    );
    runtime.batch_execute(&add).await.unwrap();
    for (sql, why) in [
        (
            format!("INSERT INTO planet (tenant_id, name) VALUES ('{theirs}', 'Venus')"),
            "another tenant's row",
        ),
        (format!("INSERT INTO planet (tenant_id, name, moons) VALUES ('{ours}', 'Saturn', 301)"), "a check"),
        (format!("INSERT INTO planet (tenant_id, name) VALUES ('{ours}', 'Mars')"), "a key"),
        ("DELETE FROM planet".to_owned(), "what a tenant may do"),
    ] {
        runtime.batch_execute(&bind).await.unwrap();
        assert!(runtime.batch_execute(&sql).await.is_err(), "{why}: {sql} was run");
        runtime.batch_execute("ROLLBACK").await.unwrap();
    }
    let count = "SELECT count(*) FROM planet";
    for (tenant, there) in [(ours, 2_i64), (theirs, 0)] {
        let bind = format!("BEGIN; SELECT set_config('app.tenant', '{tenant}', true)");
        runtime.batch_execute(&bind).await.unwrap();
        assert_eq!(runtime.query_one(count, &[]).await.unwrap().get::<_, i64>(0), there);
        runtime.batch_execute("ROLLBACK").await.unwrap();
    }
    assert!(runtime.query_one(count, &[]).await.is_err(), "nothing without a tenant");
    let lines = "SELECT id, row_version, needs FROM change WHERE kind = 'planet' ORDER BY row_version, id";
    let told: Vec<(String, i64, i64)> = owner
        .query(lines, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let line = |name: &str, version| (format!("{ours}\n{name}"), version, 7);
    assert_eq!(told, [line("Jupiter", 1), line("Mars", 1), line("Mars", 2)]);
    let load = ROWS.load("LOAD_planet");
    let asked = async |ids: String| {
        let found =
            owner.query_typed(load.for_postgres(), &[(&ids, tokio_postgres::types::Type::TEXT)]).await;
        let found = found.unwrap();
        let text =
            |row: &tokio_postgres::Row| (row.get::<_, String>(1), row.get::<_, i64>(2), row.get::<_, i64>(4));
        found.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(asked(wanted(ours, &["Mars", "Jupiter", "Pluto"])).await, [("Mars".to_owned(), 2, 2)]);
    assert!(asked(wanted(theirs, &["Mars"])).await.is_empty());
}
