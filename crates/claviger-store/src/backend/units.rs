//! How units of work end, on both engines.

use std::sync::{Arc, OnceLock};

use claviger::id::{OrgId, TenantId};
use claviger::random::SystemRandom;
use claviger::secret::Secret;
use tokio::sync::{mpsc, oneshot};

use super::sqlite::{connect, writer::Writer};
use super::{Bound, Job, Mode, Tx, Typed};
use crate::error::StoreError;
use crate::nouns::NOUNS;
use crate::on_every_backend;
use crate::statement::{Statement, statements};
use crate::tenancy::orgs::ORG_ADD;
use crate::testing::{Engine, TestStore, TestTenant};
use crate::value::{Row, values};

statements! { "organization";
    COUNT: Tenant [Uuid] "SELECT CAST(count(*) AS bigint) FROM organization WHERE tenant_id = $1";
    FLAKY: Tenant [Uuid] "SELECT 1 FROM tenant WHERE tenant_id = $1"
        postgres "SELECT public.flaky() FROM tenant WHERE tenant_id = $1";
    NAMES: Tenant [Uuid] "SELECT name FROM organization WHERE tenant_id = $1 ORDER BY name";
}

#[test]
fn the_statements_of_these_tests_are_no_part_of_the_program() {
    let ours: Vec<&str> = STATEMENTS.iter().map(|statement| statement.name).collect();
    assert!(crate::registry::statements().all(|statement: &Statement| !ours.contains(&statement.name)));
}

on_every_backend!(
    a_unit_that_fails_leaves_nothing,
    a_unit_cannot_pass_over_a_failed_statement,
    a_unit_reaches_what_it_is_bound_to,
    a_caller_who_goes_away_leaves_no_open_transaction,
    writers_beside_each_other_all_succeed,
    store_10_a_unit_that_panics_fails_alone,
);

fn org() -> OrgId {
    OrgId::generate(&SystemRandom)
}

async fn count(tenant: &TestTenant) -> i64 {
    let id = tenant.tenant;
    let count =
        async move |tx: &mut Tx<'_>| tx.run_one(&COUNT, values![id]).await?.map(Row::read).unwrap().int();
    tenant.store.read(count).await.unwrap()
}

async fn store_10_a_unit_that_panics_fails_alone(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let id = acme.tenant;
    // As many as there are threads and connections, and more: none is lost.
    for _ in 0..12 {
        let wrote: Result<(), _> = acme
            .store
            .write(async move |tx: &mut Tx<'_>| {
                tx.run(&ORG_ADD, values![id, org(), "x", 1]).await?;
                panic!("a fault in a unit")
            })
            .await;
        assert!(
            matches!(wrote, Err(StoreError::Unavailable { .. } | StoreError::UnknownOutcome)),
            "{wrote:?}"
        );
        let read: Result<(), _> = acme
            .store
            .read(async move |tx: &mut Tx<'_>| {
                tx.run(&COUNT, values![id]).await?;
                panic!("a fault in a unit")
            })
            .await;
        assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
    }
    assert_eq!(count(&acme).await, 1, "what it did is undone");
    acme.store.org_create("North").await.unwrap();
    assert_eq!(count(&acme).await, 2);
}

async fn a_unit_that_fails_leaves_nothing(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let id = acme.tenant;
    let failed: Result<(), _> = acme
        .store
        .write(async move |tx: &mut Tx<'_>| {
            tx.run(&ORG_ADD, values![id, org(), "x", 1]).await?;
            Err(StoreError::Invalid("changed my mind".into()))
        })
        .await;
    assert_eq!(failed, Err(StoreError::Invalid("changed my mind".into())));
    assert_eq!(count(&acme).await, 1);
}

async fn a_unit_cannot_pass_over_a_failed_statement(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let (id, twice) = (acme.tenant, acme.org);
    let passed_over = acme
        .store
        .write(async move |tx: &mut Tx<'_>| {
            tx.run(&ORG_ADD, values![id, org(), "x", 1]).await?;
            let _ = tx.run(&ORG_ADD, values![id, twice, "x", 1]).await;
            Ok(())
        })
        .await;
    assert_eq!(passed_over, Err(StoreError::AlreadyExists { what: "organization" }));
    assert_eq!(count(&acme).await, 1);
}

async fn a_unit_reaches_what_it_is_bound_to(test: TestStore) {
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    let id = rival.tenant;
    let reached =
        acme.store.read(async move |tx: &mut Tx<'_>| tx.run(&COUNT, values![id]).await.map(drop)).await;
    assert!(matches!(reached, Err(StoreError::Refused { .. })), "another tenant than the bound one");
    let reached =
        test.system().read(async move |tx: &mut Tx<'_>| tx.run(&COUNT, values![id]).await.map(drop)).await;
    assert!(matches!(reached, Err(StoreError::Refused { .. })), "a tenant's statement in a job");
    let system = &crate::facts::META;
    let reached =
        acme.store.read(async move |tx: &mut Tx<'_>| tx.run(system, values!["x"]).await.map(drop)).await;
    assert!(matches!(reached, Err(StoreError::Refused { .. })), "a job's statement in a tenant");
}

async fn a_caller_who_goes_away_leaves_no_open_transaction(test: TestStore) {
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    for _ in 0..50 {
        let id = acme.tenant;
        let mut unit = Box::pin(acme.store.write(async move |tx: &mut Tx<'_>| {
            tx.run(&ORG_ADD, values![id, org(), "x", 1]).await?;
            tx.run(&COUNT, values![id]).await.map(drop)
        }));
        // Polled once, so that it is under way, and then dropped.
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(unit.as_mut().poll(context).is_pending()));
        assert!(polled.await);
        drop(unit);
        assert_eq!(count(&rival).await, 1);
    }
    // Each of them was finished all the same.
    while count(&acme).await < 51 {
        tokio::task::yield_now().await;
    }
}

async fn writers_beside_each_other_all_succeed(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let writers: Vec<_> = (0..64)
        .map(|number| {
            let store = acme.store.clone();
            // Every fourth fails, beside the others in the same group.
            tokio::spawn(async move {
                let name = if number % 4 == 0 { String::new() } else { format!("org {number:02}") };
                store.org_create(&name).await.is_ok()
            })
        })
        .collect();
    let mut made = 0;
    for writer in writers {
        made += i64::from(writer.await.unwrap());
    }
    assert_eq!((made, count(&acme).await), (48, 49));
}

#[tokio::test]
async fn a_full_disk_fails_the_job_that_filled_it_and_no_other() {
    let test = TestStore::start(Engine::Sqlite).await;
    let acme = test.tenant("Acme").await;
    let path = test.folder().join("claviger.db");
    test.store.clone().close().await;
    let (mut connection, binding) = connect::writer(&path, NOUNS).unwrap();
    connection
        .authorizer(None::<fn(rusqlite::hooks::AuthContext<'_>) -> rusqlite::hooks::Authorization>)
        .unwrap();
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let set = format!("PRAGMA max_page_count = {}; PRAGMA cache_size = 5", pages + 30);
    connection.execute_batch(&set).unwrap();

    let id: TenantId = acme.tenant;
    let (queue, jobs) = mpsc::channel(8);
    let submit = |name: String| {
        let (reply, answer) = oneshot::channel();
        let org = org();
        let work = async move |tx: &mut Tx<'_>| tx.run(&ORG_ADD, values![id, org, &name, 1]).await.map(drop);
        let job = Job {
            lane: super::Lane::Changes,
            bound: Bound::Tenant(id),
            mode: Mode::Write,
            clock: test.clock.clone(),
            work: Box::new(Typed::new(work, reply)),
        };
        queue.try_send(job).unwrap();
        answer
    };
    // All of them wait before the writer starts, and so are one group.
    let before = submit("before".into());
    let huge = submit("x".repeat(1_000_000));
    let after = submit("after".into());
    let mut writer = Writer::new((connection, binding), Arc::new(OnceLock::new())).unwrap();
    let (growth, nothing_grows) = mpsc::channel(1);
    let thread = std::thread::spawn(move || writer.serve(jobs, nothing_grows));
    assert_eq!(huge.await.unwrap(), Err(StoreError::unavailable("the disk is full")));
    assert_eq!((before.await.unwrap(), after.await.unwrap()), (Ok(()), Ok(())));
    let later = submit("later".into());
    assert_eq!(later.await.unwrap(), Ok(()), "it is usable again");
    drop((queue, growth));
    thread.join().unwrap();

    let store = test.open_again().await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test acts as the operator")]
    let again = store.operator(&claviger::danger::OperatorPermit::for_command("test")).tenant(id);
    let names = again.read(async move |tx: &mut Tx<'_>| {
        tx.run(&NAMES, values![id])
            .await?
            .into_iter()
            .map(|row| row.read().text())
            .collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(names.await.unwrap(), ["Acme HQ", "after", "before", "later"]);
    store.close().await;
}

#[tokio::test]
async fn a_connection_that_dies_is_replaced() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let url = test.owner_url.clone().unwrap();
    let (owner, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE usename = 'claviger_rt' AND datname = current_database()";
    let mut answered = 0;
    for _ in 0..10 {
        owner.execute(kill, &[]).await.unwrap();
        // The first one may meet the dead connection: it fails as unavailable, and never as an empty answer.
        match acme.store.tenant_view().await {
            Ok(view) => assert_eq!(view.tenant, acme.tenant),
            Err(StoreError::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        answered += i64::from(acme.store.tenant_view().await.is_ok());
    }
    assert!(answered > 0);
}

#[tokio::test]
async fn a_unit_that_postgres_cannot_put_in_order_is_tried_again_a_few_times() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let url = test.owner_url.clone().unwrap();
    let (owner, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let flaky = "CREATE SEQUENCE tries; GRANT USAGE ON SEQUENCE tries TO claviger_rt;
         CREATE FUNCTION flaky() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('public.tries') < 3 THEN RAISE EXCEPTION 'again' USING ERRCODE = 'serialization_failure'; END IF;
             RETURN 1;
         END $$";
    owner.batch_execute(flaky).await.unwrap();
    let id = acme.tenant;
    let unit = async move |tx: &mut Tx<'_>| {
        tx.run(&ORG_ADD, values![id, org(), "x", 1]).await?;
        tx.run(&FLAKY, values![id]).await.map(drop)
    };
    acme.store.write(unit).await.unwrap();
    assert_eq!(count(&acme).await, 2, "what was undone was done once more, and once");
    owner.batch_execute("ALTER SEQUENCE tries MINVALUE -1000 RESTART WITH -1000").await.unwrap();
    assert!(matches!(acme.store.write(unit).await, Err(StoreError::Unavailable { .. })), "not for ever");
    assert_eq!(count(&acme).await, 2);
}

#[tokio::test]
async fn nothing_secret_is_in_the_file() {
    let test = TestStore::start(Engine::Sqlite).await;
    let acme = test.tenant("Acme").await;
    let api = "syncello".parse().unwrap();
    let user = acme.store.user_secret_issue(&api, acme.org, acme.owner).await.unwrap();
    let key = acme.store.key_create(crate::credentials::api_keys::NewApiKey {
        org: acme.org,
        name: "ci".into(),
        prefix: "sk".parse().unwrap(),
        environment: claviger::id::Environment::Live,
        grants: "read".parse().unwrap(),
        networks: None,
        expires_at: None,
    });
    let key = key.await.unwrap().key;
    let path = test.folder().join("claviger.db");
    test.store.clone().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(std::fs::read(path.with_extension("db-wal")).unwrap_or_default());
    let holds =
        |secret: &Secret| bytes.windows(secret.expose().len()).any(|window| window == secret.expose());
    assert!(
        bytes.windows(user.kid.len()).any(|window| window == user.kid.as_bytes()),
        "it is the right file"
    );
    assert!(!holds(&user.secret) && !holds(&key.secret));
}
