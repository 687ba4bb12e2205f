//! Attempts to get past the walls of PostgreSQL, and a store that refuses to open when one is down.

use claviger_store::Store;
use claviger_store::source::{Forget, WALLS_EVERY_MILLIS};
use claviger_store::store::Settings;
use claviger_store::testing::{self, Engine, TestStore, cluster};
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn the_runtime_role_reaches_one_tenant_at_a_time() {
    let test = TestStore::start(Engine::Postgres).await;
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    let client = connect(&test.settings.url).await;
    let unbound = "SELECT count(*) FROM tenant";
    assert!(client.query(unbound, &[]).await.is_err(), "unbound is an error and not an empty answer");
    let bind = format!("BEGIN; SELECT set_config('app.tenant', '{}', true)", acme.tenant);
    client.batch_execute(&bind).await.unwrap();
    assert_eq!(count(&client, unbound).await, 1);
    assert_eq!(count(&client, "SELECT count(*) FROM member").await, 1);
    client.batch_execute("COMMIT").await.unwrap();
    assert!(client.query(unbound, &[]).await.is_err(), "nothing is left bound");
    for broken in ["", "a3f8c120", &rival.tenant.to_string()[..35]] {
        let bind = format!("BEGIN; SELECT set_config('app.tenant', '{broken}', true)");
        client.batch_execute(&bind).await.unwrap();
        assert!(client.query(unbound, &[]).await.is_err(), "`{broken}` binds nobody");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    let (theirs, org) = (rival.tenant, rival.org);
    for sql in [
        &format!("INSERT INTO organization (tenant_id, org_id, name, created_at) VALUES ('{theirs}', gen_random_uuid(), 'x', 1)"),
        &format!("UPDATE organization SET tenant_id = '{theirs}', org_id = gen_random_uuid()"),
        &format!(
            "INSERT INTO organization (tenant_id, org_id, name, created_at) VALUES ('{theirs}', '{org}', 'x', 1)
             ON CONFLICT (tenant_id, org_id) DO UPDATE SET name = 'x'"
        ),
        "SET ROLE claviger_owner",
        "SET SESSION AUTHORIZATION owner",
        "SET LOCAL row_security = off; SELECT count(*) FROM tenant",
        "SELECT password_hash FROM account",
        "UPDATE account SET state = 'suspended'",
        "SELECT * FROM signing_key",
        "SELECT * FROM keyring_check",
        "SELECT * FROM operator_audit",
        "UPDATE audit SET actor = 'x'",
        "DELETE FROM audit",
        "DELETE FROM member",
        "TRUNCATE tenant CASCADE",
        "INSERT INTO change (kind, id, row_version) VALUES ('tenant', 'x', 1)",
        "SELECT note_change()",
        "ALTER TABLE tenant DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tenant NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY bound_tenant ON tenant",
        "CREATE POLICY all_rows ON tenant USING (true)",
        "CREATE TABLE claviger.loot (x int)",
        "CREATE VIEW claviger.loot AS SELECT * FROM tenant",
        "ALTER TABLE tenant DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    ] {
        client.batch_execute(&bind).await.unwrap();
        assert!(client.batch_execute(sql).await.is_err(), "{sql} was run");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    client.batch_execute(&bind).await.unwrap();
    for sql in [
        format!("UPDATE tenant SET name = 'x' WHERE tenant_id = '{theirs}'"),
        format!("UPDATE organization AS o SET name = 'x' FROM tenant AS t WHERE o.tenant_id = '{theirs}'"),
    ] {
        assert_eq!(client.execute(&sql, &[]).await.unwrap(), 0, "{sql}");
    }
    for sql in [
        "WITH t AS (SELECT * FROM tenant) SELECT count(*) FROM t",
        "SELECT count(*) FROM claviger.tenant",
        "SELECT count(*) FROM ONLY tenant",
        "SELECT count(DISTINCT tenant_id) FROM member",
    ] {
        assert_eq!(count(&client, sql).await, 1, "{sql}");
    }
    assert_eq!(count(&client, "SELECT count(*) FROM change").await, 0, "others' changes are not for it");
    client.batch_execute("ROLLBACK").await.unwrap();
    // What passes a backfill by is the owner's alone.
    client.batch_execute(&bind).await.unwrap();
    client
        .batch_execute("SET LOCAL claviger.backfill = 'on'; UPDATE organization SET name = 'x'")
        .await
        .unwrap();
    assert_eq!(count(&client, "SELECT count(*) FROM change").await, 1, "it is told of all the same");
    assert_eq!(count(&client, "SELECT count(*) FROM tenant").await, 1);
}

#[tokio::test]
async fn the_owner_of_the_tables_sees_no_tenants_row() {
    let test = TestStore::start(Engine::Postgres).await;
    test.tenant("Acme").await;
    let owner = connect(test.owner_url.as_ref().unwrap()).await;
    owner.batch_execute("SET search_path = claviger; SET ROLE claviger_owner").await.unwrap();
    assert_eq!(count(&owner, "SELECT count(*) FROM tenant").await, 0);
    owner.batch_execute("SET claviger.backfill = 'on'").await.unwrap();
    assert_eq!(count(&owner, "SELECT count(*) FROM tenant").await, 1, "but when it fills up a column");
    owner.batch_execute("SET claviger.backfill = 'off'").await.unwrap();
    owner.batch_execute("ALTER TABLE tenant NO FORCE ROW LEVEL SECURITY").await.unwrap();
    assert_eq!(count(&owner, "SELECT count(*) FROM tenant").await, 1, "this is why it is forced");
}

#[tokio::test]
async fn store_04_the_walls_are_those_of_the_manifest() {
    // Not one of those that tests have, whose clock is the tests'.
    let database = cluster::database().await.unwrap();
    let beside = |url: &str| {
        let (before, after) = url.split_once("/test_").unwrap();
        format!("{before}/walls_{after}")
    };
    let owner_url = beside(&database.owner_url);
    let (name, _) = owner_url.rsplit_once('/').unwrap().1.split_once('?').unwrap();
    connect(&database.owner_url).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let settings = Settings {
        url: beside(&database.runtime_url),
        ca_file: None,
        feed_url: None,
        withdrawals_file: None,
        readers: 1,
        connections: 1,
    };
    Store::prepare(&owner_url, &settings).await.unwrap();
    let owner = connect(&owner_url).await;
    owner.batch_execute("SET search_path = claviger").await.unwrap();
    let rows = owner.query(testing::walls_sql(), &[]).await.unwrap();
    let mut found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    found.push(String::new());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres/walls.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, found.join("\n")).unwrap();
    }
    let manifest = std::fs::read_to_string(&path).unwrap();
    for (found, wanted) in found.iter().zip(manifest.split('\n')) {
        assert_eq!(found, wanted, "run `make update`, and read the difference");
    }
    assert_eq!(found.join("\n"), manifest);
}

#[tokio::test]
async fn store_04_a_store_refuses_to_open_when_a_wall_is_down_and_names_it() {
    let test = TestStore::start(Engine::Postgres).await;
    test.tenant("Acme").await;
    let owner = connect(test.owner_url.as_ref().unwrap()).await;
    owner.batch_execute("SET search_path = claviger").await.unwrap();
    let source = test.store.source();
    let good = "tenant_id = (SELECT current_setting('app.tenant')::uuid)";
    let lax = "tenant_id = (SELECT nullif(current_setting('app.tenant', true), '')::uuid)";
    let again =
        format!("CREATE POLICY bound_tenant ON member TO claviger_rt USING ({good}) WITH CHECK ({good})");
    let body: String = owner
        .query_one("SELECT pg_get_functiondef('claviger.note_change'::regproc)", &[])
        .await
        .unwrap()
        .get(0);
    let index: String = owner
        .query_one("SELECT pg_get_indexdef('claviger.key_secret_current'::regclass)", &[])
        .await
        .unwrap()
        .get(0);
    for (breaks, says, mends) in [
        ("DROP POLICY bound_tenant ON member", "missing: `policy member.bound_tenant", again.as_str()),
        (
            &format!(
                "DROP POLICY bound_tenant ON member; CREATE POLICY bound_tenant ON member TO claviger_rt USING ({lax}) WITH CHECK ({lax})"
            ),
            "there is: `policy member.bound_tenant",
            &format!("DROP POLICY bound_tenant ON member; {again}"),
        ),
        (
            "CREATE POLICY more ON member TO claviger_rt USING (true)",
            "there is: `policy member.more",
            "DROP POLICY more ON member",
        ),
        (
            "CREATE POLICY named_job ON audit TO PUBLIC USING (true)",
            "there is: `policy audit.named_job",
            "DROP POLICY named_job ON audit",
        ),
        (
            "ALTER TABLE session NO FORCE ROW LEVEL SECURITY",
            "missing: `table session",
            "ALTER TABLE session FORCE ROW LEVEL SECURITY",
        ),
        (
            "ALTER TABLE session DISABLE ROW LEVEL SECURITY",
            "missing: `table session",
            "ALTER TABLE session ENABLE ROW LEVEL SECURITY",
        ),
        ("CREATE VIEW loot AS SELECT * FROM tenant", "there is: `column loot", "DROP VIEW loot"),
        (
            "CREATE FUNCTION loot() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM claviger.tenant'",
            "there is: `function loot()",
            "DROP FUNCTION loot()",
        ),
        (
            "ALTER FUNCTION note_change() RESET search_path",
            "there is: `function note_change() of claviger_owner, plpgsql, as its owner, no settings",
            "ALTER FUNCTION note_change() SET search_path = claviger, pg_temp",
        ),
        (
            "CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = claviger, pg_temp AS $$ BEGIN RETURN NULL; END $$",
            "missing: `function note_change()",
            &body,
        ),
        (
            "ALTER TABLE session DISABLE TRIGGER session_changed",
            "there is: `trigger session.session_changed DISABLED",
            "ALTER TABLE session ENABLE TRIGGER session_changed",
        ),
        (
            "ALTER TABLE audit DISABLE TRIGGER audit_fixed",
            "there is: `trigger audit.audit_fixed DISABLED",
            "ALTER TABLE audit ENABLE TRIGGER audit_fixed",
        ),
        (
            "ALTER TABLE session DISABLE TRIGGER ALL",
            "there is: `trigger of a foreign key on session is DISABLED",
            "ALTER TABLE session ENABLE TRIGGER ALL",
        ),
        (
            "ALTER TABLE member OWNER TO claviger_rt",
            "missing: `table member of claviger_owner",
            "ALTER TABLE member OWNER TO claviger_owner; GRANT SELECT, INSERT, UPDATE ON member TO claviger_rt",
        ),
        (
            "GRANT TRUNCATE ON member TO claviger_rt",
            "there is: `grant TRUNCATE on member to claviger_rt",
            "REVOKE TRUNCATE ON member FROM claviger_rt",
        ),
        (
            "GRANT UPDATE (details) ON audit TO claviger_rt",
            "there is: `grant UPDATE on audit.details to claviger_rt",
            "REVOKE UPDATE (details) ON audit FROM claviger_rt",
        ),
        (
            "GRANT SELECT (password_hash) ON account TO claviger_rt",
            "there is: `grant SELECT on account.password_hash",
            "REVOKE SELECT (password_hash) ON account FROM claviger_rt",
        ),
        (
            "GRANT SELECT ON signing_key TO PUBLIC",
            "there is: `grant SELECT on signing_key to PUBLIC",
            "REVOKE SELECT ON signing_key FROM PUBLIC",
        ),
        (
            "GRANT EXECUTE ON FUNCTION take_home() TO claviger_rt",
            "there is: `grant EXECUTE on function take_home to claviger_rt",
            "REVOKE EXECUTE ON FUNCTION take_home() FROM claviger_rt",
        ),
        (
            "CREATE RULE silence AS ON INSERT TO change DO INSTEAD NOTHING",
            "there is: `rule change.silence",
            "DROP RULE silence ON change",
        ),
        ("DROP INDEX key_secret_current", "missing: `unique CREATE UNIQUE INDEX key_secret_current", &index),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA claviger GRANT SELECT ON TABLES TO claviger_rt",
            "there is: `default privileges",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA claviger REVOKE SELECT ON TABLES FROM claviger_rt",
        ),
        (
            "DO $$ BEGIN EXECUTE format('ALTER ROLE claviger_rt IN DATABASE %I SET row_security = off', current_database()); END $$",
            "there is: `setting of claviger_rt: row_security=off",
            "DO $$ BEGIN EXECUTE format('ALTER ROLE claviger_rt IN DATABASE %I RESET row_security', current_database()); END $$",
        ),
        (
            "UPDATE migration SET sha256 = 'x' || sha256",
            "is not the one",
            "UPDATE migration SET sha256 = substr(sha256, 2)",
        ),
    ] {
        let cursor = source.revoked_tokens().await.unwrap().1;
        let calm = source.poll(cursor).await.unwrap();
        assert_eq!(calm.forget, Forget::Nothing, "{breaks}");
        owner.batch_execute(breaks).await.unwrap();
        test.clock.advance_millis(WALLS_EVERY_MILLIS);
        let error = test.open_again().await.map(drop).unwrap_err().to_string();
        assert!(error.contains(says), "{breaks}: {error}");
        if !says.contains("is not the one") {
            // While a server runs, it finds the same out by itself.
            let found = test.system().walls_stand().await.unwrap_err().to_string();
            assert!(found.contains(says), "{breaks}: {found}");
            // And so does the feed, with its next poll: what it does not tell of is not believed to be as it was.
            let polled = source.poll(calm.cursor.clone()).await.map(drop).unwrap_err().to_string();
            assert!(polled.contains(says), "{breaks}: {polled}");
            owner.batch_execute(mends).await.unwrap();
            test.clock.advance_millis(WALLS_EVERY_MILLIS);
            let again = source.poll(calm.cursor).await.unwrap();
            assert_eq!(
                again.forget,
                Forget::Everything,
                "{mends}: what was changed meanwhile may have no line in the feed"
            );
            assert_eq!(source.poll(again.cursor).await.unwrap().forget, Forget::Nothing, "{mends}");
        } else {
            owner.batch_execute(mends).await.unwrap();
        }
    }
    test.system().walls_stand().await.unwrap();
    test.open_again().await.unwrap().close().await;
    let mut as_owner = test.settings.clone();
    as_owner.url = test.owner_url.clone().unwrap();
    let keyring = claviger_store::Keyring::load(&test.keyring_path()).unwrap();
    let random = std::sync::Arc::new(claviger::random::SystemRandom);
    let opened = claviger_store::Store::open(&as_owner, keyring, test.clock.clone(), random).await;
    let error = opened.map(drop).unwrap_err().to_string();
    assert!(error.contains("runtime role"), "{error}");
}

#[tokio::test]
async fn every_table_that_a_decision_reads_writes_the_feed() {
    let test = TestStore::start(Engine::Postgres).await;
    let owner = connect(test.owner_url.as_ref().unwrap()).await;
    let silent = "SELECT count(*) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'row_version'
         WHERE c.relnamespace = 'claviger'::regnamespace AND c.relkind = 'r' AND c.relname <> 'change'
         AND (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
              AND t.tgname IN (c.relname || '_updated', c.relname || '_changed')) <> 2";
    assert_eq!(count(&owner, silent).await, 0);
    let versioned = "SELECT count(*) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'row_version'
         WHERE c.relnamespace = 'claviger'::regnamespace AND c.relkind = 'r'";
    // The feed itself besides.
    assert_eq!(
        count(&owner, versioned).await,
        i64::try_from(testing::tables_with_versions().count()).unwrap() + 1
    );
    // Keys, unique constraints and references of tenants' tables begin with the tenant.
    let loose = "SELECT count(*) FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND c.relkind = 'r'
         JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique
         WHERE c.relnamespace = 'claviger'::regnamespace AND i.indkey[0] <> a.attnum";
    assert_eq!(count(&owner, loose).await, 0);
}
