//! The change feed, and what a node's memory reads.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use claviger::api_key::PresentedKey;
use claviger::directory::{Annotated, Directory, DirectoryError};
use claviger::id::{ApiName, TokenId};
use claviger::key_set::Algorithm;
use claviger::random::SystemRandom;
use claviger_store::annotations::AnnotationUpdate;
use claviger_store::follower::Follower;
use claviger_store::signing_keys::Line;
use claviger_store::source::{Cursor, Forget, Source};
use claviger_store::subject::{Change, Record, Subject};
use claviger_store::testing::{self, Engine, START, TestStore, TestTenant, email};
use claviger_store::{Ends, on_every_backend};
use tokio_postgres::NoTls;

use crate::api_keys::new_key;

on_every_backend!(
    each_change_is_in_the_feed_and_loads,
    a_load_answers_each_subject_once,
    an_unreadable_row_fails_alone_and_is_not_remembered,
    a_change_of_a_key_is_one_of_each_of_its_secrets,
    who_is_behind_the_sweep_forgets_everything,
    a_follower_hears_of_a_commit_before_and_after_it,
    a_store_that_is_cut_off_says_so,
    store_06_a_poll_reads_so_many_changes_and_no_more,
    store_12_a_kind_that_only_a_newer_program_knows_is_passed_over,
);

/// The feed from now on.
pub(crate) async fn cursor(source: &Arc<dyn Source>) -> Cursor {
    source.revoked_tokens().await.unwrap().1
}

pub(crate) async fn changes(source: &Arc<dyn Source>, after: &mut Cursor) -> Vec<Change> {
    let poll = source.poll(after.clone()).await.unwrap();
    assert_eq!(poll.forget, Forget::Nothing);
    *after = poll.cursor;
    poll.changes
}

fn subjects(changes: &[Change]) -> HashSet<Subject> {
    changes.iter().map(|change| change.subject.clone()).collect()
}

async fn each_change_is_in_the_feed_and_loads(test: TestStore) {
    let source = test.store.source();
    let mut after = cursor(&source).await;
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let api: ApiName = "syncello".parse().unwrap();
    let made = acme.store.key_create(new_key(&acme)).await.unwrap();
    let session = acme.store.session_create(acme.org, ann, 3600).await.unwrap();
    let secret = acme.store.user_secret_issue(&api, acme.org, ann).await.unwrap();
    acme.store.foreign_identity_link("https://id.example", "ann", ann).await.unwrap();
    let line = Line::Identity(acme.realm.clone());
    assert!(test.system().signing_key_ensure(&line, Algorithm::EdDsa).await.unwrap());
    assert!(test.system().signing_key_ensure(&Line::Principal, Algorithm::EdDsa).await.unwrap());
    let kid = test.system().signing_key_signer(&line).await.unwrap().kid().to_owned();
    let token = TokenId::generate(&SystemRandom);
    acme.store.token_revoke(token, START.plus_seconds(3600)).await.unwrap();
    let called = AnnotationUpdate { external_id: Some(Some("A-7".into())), ..AnnotationUpdate::default() };
    acme.store.annotate(Annotated::Org(acme.org), called).await.unwrap();

    let subjects_made = [
        Subject::Tenant(acme.tenant),
        Subject::Org(acme.tenant, acme.org),
        Subject::Account(ann),
        Subject::Member(acme.tenant, acme.org, ann),
        Subject::Key(made.key.digest),
        Subject::Session(acme.tenant, session.session),
        Subject::UserSecret(secret.kid.as_str().into()),
        Subject::ForeignIdentity(acme.tenant, "https://id.example".into(), "ann".into()),
        Subject::IdentityKey(acme.realm.clone(), kid.into()),
        Subject::RevokedToken(acme.tenant, token),
        Subject::Annotation(acme.tenant, "organization".into(), acme.org.to_string().into()),
    ];
    let seen = changes(&source, &mut after).await;
    for subject in &subjects_made {
        assert!(subjects(&seen).contains(subject), "{subject} is not in the feed");
    }
    assert_eq!(subjects(&seen).len(), subjects_made.len() + 2, "the owner and its membership beside them");
    assert!(changes(&source, &mut after).await.is_empty(), "nothing comes twice");

    let answer = source.load(subjects_made.to_vec()).await.unwrap();
    assert_eq!(answer.len(), subjects_made.len(), "a row that cannot be read is left out");
    for loaded in answer {
        let (version, record) = loaded.found.unwrap_or_else(|| panic!("{} does not load", loaded.subject));
        let last =
            seen.iter().filter(|change| change.subject == loaded.subject).map(|change| change.version).max();
        assert_eq!(Some(version), last, "{}", loaded.subject);
        match record {
            Record::Session(found) => assert_eq!(*found, session),
            Record::UserSecret(found) => assert_eq!((&found.secret, found.revoked), (&secret.secret, false)),
            Record::ForeignIdentity(found) => assert_eq!(found.account, ann),
            Record::Key(found) => assert_eq!((found.key, found.org), (made.view.key, acme.org)),
            Record::Member(found) => assert_eq!(found.role.as_str(), "EDITOR"),
            Record::Tenant(found) => {
                assert_eq!((found.plan.as_str(), found.floor.generation), ("Starter", 1))
            }
            Record::RevokedToken { expires_at } => assert_eq!(expires_at, START.plus_seconds(3600)),
            Record::Org(found) => assert_eq!(found.org, acme.org),
            Record::Account(found) => assert_eq!(found.realm, acme.realm),
            Record::Annotation(found) => assert_eq!(found.external_id.as_deref(), Some("A-7")),
            Record::IdentityKey(found) => assert_eq!(found.algorithm(), Algorithm::EdDsa),
        }
    }
    assert_eq!(source.revoked_tokens().await.unwrap().0.len(), 1);

    acme.store.foreign_identity_unlink("https://id.example", "ann").await.unwrap();
    acme.store.tenant_suspend().await.unwrap();
    acme.store.member_remove(acme.org, ann).await.unwrap();
    acme.store.session_end(session.session).await.unwrap();
    let withdrawn = changes(&source, &mut after).await;
    let expected: HashSet<Subject> = [0, 3, 5, 6, 7].map(|at| subjects_made[at].clone()).into();
    assert_eq!(subjects(&withdrawn), expected);
    let identity = source.load(vec![subjects_made[7].clone()]).await.unwrap();
    assert!(identity[0].found.is_none(), "an unlinked identity is nobody");
}

async fn a_load_answers_each_subject_once(test: TestStore) {
    let source = test.store.source();
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    let unknown = claviger::id::TenantId::generate(&SystemRandom);
    let asked = vec![
        Subject::Tenant(unknown),
        Subject::Tenant(acme.tenant),
        Subject::Tenant(rival.tenant),
        Subject::Org(acme.tenant, rival.org),
        Subject::Org(rival.tenant, rival.org),
        Subject::UserSecret("us_\"'; --".into()),
    ];
    let answer = source.load(asked.clone()).await.unwrap();
    assert_eq!(answer.iter().map(|loaded| loaded.subject.clone()).collect::<Vec<_>>(), asked);
    let found: Vec<bool> = answer.iter().map(|loaded| loaded.found.is_some()).collect();
    assert_eq!(found, [false, true, true, false, true, false]);
    assert!(source.load(Vec::new()).await.unwrap().is_empty());
}

/// Runs SQL as somebody whom no wall holds.
pub(crate) async fn tamper(test: &TestStore, sql: &str) {
    match &test.owner_url {
        None => {
            let file = rusqlite::Connection::open(test.folder().join("claviger.db")).unwrap();
            file.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            file.execute_batch(sql).unwrap();
        }
        Some(url) => {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(&format!("SET search_path = claviger; {sql}")).await.unwrap();
        }
    }
}

async fn an_unreadable_row_fails_alone_and_is_not_remembered(test: TestStore) {
    let source = test.store.source();
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    let api: ApiName = "syncello".parse().unwrap();
    let lost = acme.store.user_secret_issue(&api, acme.org, acme.owner).await.unwrap().kid;
    let good = rival.store.user_secret_issue(&api, rival.org, rival.owner).await.unwrap().kid;
    let id = acme.owner;
    // A secret under a key that is not there, and a value that this program does not know.
    tamper(
        &test,
        &format!(
            "UPDATE user_secret SET sealed_secret = CAST('torn' AS {}) WHERE kid = '{lost}';
             UPDATE member SET role = '?' WHERE account_id = '{id}'",
            if test.engine == Engine::Sqlite { "BLOB" } else { "bytea" }
        ),
    )
    .await;
    let foreign =
        |subject: &str| Subject::ForeignIdentity(acme.tenant, "https://id.example".into(), subject.into());
    let unreadable =
        [Subject::UserSecret(lost.as_str().into()), Subject::Member(acme.tenant, acme.org, acme.owner)];
    let others = [
        Subject::UserSecret(good.as_str().into()),
        Subject::Member(rival.tenant, rival.org, rival.owner),
        foreign("nobody"),
        foreign("no\u{0}body"),
        Subject::UserSecret("us_\u{0}".into()),
        Subject::Tenant(acme.tenant),
    ];
    let asked: Vec<Subject> = unreadable.iter().chain(&others).cloned().collect();
    let found = |loaded: Vec<claviger_store::subject::Loaded>| -> Vec<(Subject, bool)> {
        loaded.into_iter().map(|loaded| (loaded.subject, loaded.found.is_some())).collect()
    };
    let expected: Vec<(Subject, bool)> =
        others.iter().cloned().zip([true, true, false, false, false, true]).collect();
    assert_eq!(found(source.load(asked.clone()).await.unwrap()), expected);

    let memory = claviger_store::memory::Memory::start(
        test.store.source(),
        test.clock.clone(),
        claviger_store::memory::MemorySettings::default(),
        &tokio::runtime::Handle::current(),
    );
    let (torn, kept) = (memory.user_secret(&lost).resolve(), memory.user_secret(&good).resolve());
    let (torn, kept, member) =
        tokio::join!(torn, kept, memory.member(acme.tenant, acme.org, acme.owner).resolve());
    assert!(matches!(member, Err(DirectoryError::Unavailable(_))), "{member:?}");
    assert!(matches!(torn, Err(DirectoryError::Unavailable(_))), "{torn:?}");
    assert_eq!(kept.unwrap().unwrap().tenant, rival.tenant);

    // A question that the engine itself cannot answer.
    let break_off = match test.engine {
        Engine::Sqlite => format!("UPDATE user_secret SET api = CAST(x'ff' AS TEXT) WHERE kid = '{lost}'"),
        Engine::Postgres => "REVOKE SELECT ON user_secret FROM claviger_system".to_owned(),
    };
    tamper(&test, &break_off).await;
    let mut left = found(source.load(asked).await.unwrap());
    left.retain(|(subject, _)| *subject != others[0]);
    let expected: Vec<_> = expected.into_iter().filter(|(subject, _)| *subject != others[0]).collect();
    assert_eq!(left, expected);

    // Of a failure nothing is remembered: what is mended is found.
    assert_eq!(memory.figures().absences, 0);
    tamper(&test, &format!("UPDATE member SET role = 'ADMIN' WHERE account_id = '{id}'")).await;
    let member = memory.member(acme.tenant, acme.org, acme.owner).resolve().await.unwrap().unwrap();
    assert_eq!(member.role.as_str(), "ADMIN");
}

async fn a_change_of_a_key_is_one_of_each_of_its_secrets(test: TestStore) {
    let source = test.store.source();
    let acme = test.tenant("Acme").await;
    let first = acme.store.key_create(new_key(&acme)).await.unwrap();
    let second = acme.store.key_rotate(first.view.key, 60).await.unwrap();
    let both: HashSet<Subject> = [Subject::Key(first.key.digest), Subject::Key(second.key.digest)].into();
    let mut after = cursor(&source).await;
    acme.store.key_disable(first.view.key).await.unwrap();
    assert_eq!(subjects(&changes(&source, &mut after).await), both);
    for loaded in source.load(both.iter().cloned().collect()).await.unwrap() {
        let Some((_, Record::Key(key))) = loaded.found else { panic!("the secret is there") };
        assert_eq!(key.state, claviger::directory::State::Suspended);
    }
    // What a caller shows is found by the digest that the store keeps.
    let text = second.key.secret.expose_text().unwrap();
    let shown = PresentedKey::parse(text, &"sk".parse().unwrap()).unwrap();
    let digest = test.store.keyring().peppers().unwrap().digest(&shown).digest;
    assert!(both.contains(&Subject::Key(digest)));
}

async fn who_is_behind_the_sweep_forgets_everything(test: TestStore) {
    let source = test.store.source();
    let old = cursor(&source).await;
    let acme = test.tenant("Acme").await;
    let system = test.system();
    assert_eq!(system.feed_sweep(0).await.unwrap(), 0, "the first sweep only marks");
    let recent = cursor(&source).await;
    assert_eq!(system.feed_sweep(600_000).await.unwrap(), 0, "the mark is not that old");
    assert_eq!(source.poll(old.clone()).await.unwrap().forget, Forget::Nothing);
    assert!(system.feed_sweep(0).await.unwrap() > 0);
    assert_eq!(source.poll(old).await.unwrap().forget, Forget::Everything);
    acme.store.tenant_suspend().await.unwrap();
    let poll = source.poll(recent).await.unwrap();
    assert!(
        poll.forget == Forget::Nothing && subjects(&poll.changes).contains(&Subject::Tenant(acme.tenant))
    );
    let foreign = Cursor("another-store sqlite 1".into());
    let poll = source.poll(foreign).await.unwrap();
    assert_eq!(poll.forget, Forget::Origin);
    assert_eq!(source.poll(poll.cursor).await.unwrap().forget, Forget::Nothing);
}

/// Notes the calls it gets.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<(&'static str, HashSet<Subject>)>>);

impl Notes {
    fn note(&self, call: &'static str, changes: &[Change]) {
        self.0.lock().unwrap().push((call, subjects(changes)));
    }
}

impl Follower for Notes {
    fn about_to_commit(&self, changes: &[Change]) {
        self.note("about to commit", changes);
    }

    fn committed(&self, changes: &[Change]) {
        self.note("committed", changes);
    }

    fn not_committed(&self, changes: &[Change]) {
        self.note("not committed", changes);
    }
}

async fn a_follower_hears_of_a_commit_before_and_after_it(test: TestStore) {
    let notes = Arc::new(Notes::default());
    let acme = test.tenant("Acme").await;
    // What came before it began to follow is no news.
    assert!(test.store.set_follower(notes.clone()));
    assert!(!test.store.set_follower(notes.clone()), "there is one at most");
    acme.store.tenant_suspend().await.unwrap();
    let tenant: HashSet<Subject> = [Subject::Tenant(acme.tenant)].into();
    let heard = std::mem::take(&mut *notes.0.lock().unwrap());
    let last: Vec<_> = heard
        .iter()
        .map(|(call, subjects)| (*call, subjects.contains(&Subject::Tenant(acme.tenant))))
        .collect();
    assert_eq!(last, [("about to commit", true), ("committed", true)]);
    acme.store.tenant_resume().await.unwrap();
    let heard = std::mem::take(&mut *notes.0.lock().unwrap());
    assert_eq!(heard, [("about to commit", tenant.clone()), ("committed", tenant)]);
    let refused = acme.store.org_suspend(test.tenant("Rival").await.org).await;
    assert!(refused.is_err());
    let heard = std::mem::take(&mut *notes.0.lock().unwrap());
    assert!(heard.iter().all(|(_, subjects)| !subjects.contains(&Subject::Tenant(acme.tenant))), "{heard:?}");
}

async fn a_store_that_is_cut_off_says_so(test: TestStore) {
    let source = test.store.source();
    let acme = test.tenant("Acme").await;
    let after = cursor(&source).await;
    test.cut();
    assert!(source.poll(after.clone()).await.is_err());
    assert!(acme.store.tenant_suspend().await.is_err());
    test.stall();
    let stalled = tokio::spawn(source.poll(after.clone()));
    tokio::task::yield_now().await;
    assert!(!stalled.is_finished());
    test.mend();
    assert!(stalled.await.unwrap().unwrap().changes.is_empty(), "what was refused did not happen");
}

/// A connection of the runtime role in a transaction bound to the tenant, as another node has it.
pub(crate) async fn writer(test: &TestStore, tenant: &TestTenant) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&test.settings.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; SET LOCAL app.tenant = '{}'", tenant.tenant)).await.unwrap();
    client
}

const BUMP: &str = "UPDATE tenant SET generation = generation + 1";

#[tokio::test]
async fn no_change_is_missed_whatever_the_order_of_commits() {
    let test = TestStore::start(Engine::Postgres).await;
    let source = test.store.source();
    let tenants = [test.tenant("A").await, test.tenant("B").await, test.tenant("C").await];
    let mut after = cursor(&source).await;
    let sees = |changes: Vec<Change>| {
        tenants.each_ref().map(|t| subjects(&changes).contains(&Subject::Tenant(t.tenant)))
    };

    // A writes first and stays open; B writes later and commits first; a transaction between them is undone, so
    // that its number is a gap.
    let a = writer(&test, &tenants[0]).await;
    a.batch_execute(BUMP).await.unwrap();
    let gap = writer(&test, &tenants[2]).await;
    gap.batch_execute(BUMP).await.unwrap();
    gap.batch_execute("ROLLBACK").await.unwrap();
    let b = writer(&test, &tenants[1]).await;
    b.batch_execute(BUMP).await.unwrap();
    assert_eq!(sees(changes(&source, &mut after).await), [false, false, false]);
    b.batch_execute("COMMIT").await.unwrap();
    assert_eq!(sees(changes(&source, &mut after).await), [false, true, false]);
    assert_eq!(sees(changes(&source, &mut after).await), [false, false, false], "not twice");
    // Many others come and go while A is still at work.
    for _ in 0..20 {
        tenants[2].store.tenant_revoke(Ends::Tokens).await.unwrap();
        assert_eq!(sees(changes(&source, &mut after).await), [false, false, true]);
    }
    a.batch_execute("COMMIT").await.unwrap();
    assert_eq!(sees(changes(&source, &mut after).await), [true, false, false]);
}

#[tokio::test]
async fn two_nodes_see_each_others_changes() {
    let test = TestStore::start(Engine::Postgres).await;
    let other = test.open_again().await.unwrap();
    let (here, there) = (test.store.source(), other.source());
    let mut after = cursor(&there).await;
    let acme = test.tenant("Acme").await;
    let seen = changes(&there, &mut after).await;
    assert!(subjects(&seen).contains(&Subject::Tenant(acme.tenant)));
    let mut after = cursor(&here).await;
    let operator = other.operator(&claviger_store::OperatorPermit::for_command("other"));
    let (viewer, active) = ("VIEWER".parse().unwrap(), claviger::directory::MemberState::Active);
    operator
        .tenant(acme.tenant)
        .member_add(acme.org, &email("b@acme.example"), &viewer, active)
        .await
        .unwrap();
    assert_eq!(changes(&here, &mut after).await.len(), 2, "an account and a membership");
    other.close().await;
}

#[tokio::test]
async fn under_concurrent_writers_every_change_reaches_the_feed() {
    let test = TestStore::start(Engine::Postgres).await;
    let source = test.store.source();
    let mut tenants = Vec::new();
    for number in 0..8 {
        tenants.push(test.tenant(&format!("T{number}")).await);
    }
    let mut after = cursor(&source).await;
    let writers: Vec<_> = tenants
        .iter()
        .map(|tenant| {
            let store = tenant.store.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    store.tenant_revoke(Ends::Tokens).await.unwrap();
                }
            })
        })
        .collect();
    let mut seen = HashSet::new();
    let mut count = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        for change in changes(&source, &mut after).await {
            count += 1;
            seen.insert((change.subject, change.version));
        }
    }
    for change in changes(&source, &mut after).await {
        count += 1;
        seen.insert((change.subject, change.version));
    }
    assert_eq!(seen.len(), 200, "25 changes of 8 tenants");
    assert_eq!(count, 200, "and none of them twice");
}

#[tokio::test]
async fn loads_that_hang_do_not_hold_up_the_feed() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let source = test.store.source();
    let after = cursor(&source).await;
    let (mut owner, connection) =
        tokio_postgres::connect(test.owner_url.as_ref().unwrap(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let held = owner.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE claviger.tenant").await.unwrap();
    let loads: Vec<_> =
        (0..32).map(|_| tokio::spawn(source.load(vec![Subject::Tenant(acme.tenant)]))).collect();
    // Every connection that is for loads waits.
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let all = 2;
    loop {
        // A transaction sees the activity as it was when it first looked, unless it is told to look again.
        held.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
        if held.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) >= all {
            break;
        }
        tokio::task::yield_now().await;
    }
    source.poll(after).await.unwrap();
    assert!(loads.iter().all(|load| !load.is_finished()));
    held.rollback().await.unwrap();
    for load in loads {
        assert!(load.await.unwrap().unwrap()[0].found.is_some());
    }
}

async fn store_06_a_poll_reads_so_many_changes_and_no_more(test: TestStore) {
    let source = test.store.source();
    let after = cursor(&source).await;
    let insert = |from: usize, to: usize| match test.engine {
        Engine::Sqlite => format!(
            "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
             INSERT INTO change (kind, id, row_version) SELECT 'user_secret', 'us_' || i, 1 FROM n"
        ),
        Engine::Postgres => format!(
            "INSERT INTO change (kind, id, row_version) \
             SELECT 'user_secret', 'us_' || i, 1 FROM generate_series({from}, {to}) AS i"
        ),
    };
    tamper(&test, &insert(1, 20_000)).await;
    let poll = source.poll(after.clone()).await.unwrap();
    assert_eq!((poll.forget, poll.changes.len()), (Forget::Nothing, 20_000));
    tamper(&test, &insert(20_001, 20_001)).await;
    let poll = source.poll(after).await.unwrap();
    assert_eq!((poll.forget, poll.changes.len()), (Forget::Everything, 0));
    let next = source.poll(poll.cursor).await.unwrap();
    assert_eq!((next.forget, next.changes.len()), (Forget::Nothing, 0), "it goes on from here");
}

async fn store_12_a_kind_that_only_a_newer_program_knows_is_passed_over(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let source = test.store.source();
    let mut after = cursor(&source).await;
    let needs = testing::needs_a_newer_program();
    let line =
        format!("INSERT INTO change (kind, id, row_version, needs) VALUES ('planet', 'mars', 1, {needs})");
    tamper(&test, &line).await;
    acme.store.org_create("North").await.unwrap();
    let poll = source.poll(after).await.unwrap();
    assert_eq!((poll.forget, poll.is_outdated, poll.changes.len()), (Forget::Nothing, false, 1));
    after = poll.cursor;
    tamper(&test, "INSERT INTO change (kind, id, row_version, needs) VALUES ('planet', 'mars', 2, 1)").await;
    let poll = source.poll(after).await.unwrap();
    assert_eq!((poll.forget, poll.is_outdated, poll.changes.len()), (Forget::Nothing, true, 0));
}

#[tokio::test]
async fn a_transaction_that_stays_open_makes_no_poll_read_more() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let source = test.store.source();
    let mut open = writer(&test, &acme).await;
    let held = open.transaction().await.unwrap();
    held.execute("SELECT pg_current_xact_id()", &[]).await.unwrap();
    let mut after = cursor(&source).await;
    let many = "INSERT INTO change (kind, id, row_version) SELECT 'user_secret', 'us_' || i, 1 FROM generate_series(1, 200000) AS i; ANALYZE change";
    tamper(&test, many).await;
    after = source.poll(after).await.unwrap().cursor;
    acme.store.org_create("North").await.unwrap();
    assert_eq!(changes(&source, &mut after).await.len(), 1);
    let Cursor(text) = &after;
    let position = text.rsplit_once(' ').unwrap().1;
    let (owner, connection) = tokio_postgres::connect(test.owner_url.as_ref().unwrap(), NoTls).await.unwrap();
    tokio::spawn(connection);
    owner.batch_execute("SET search_path = claviger; SET claviger.test_now = 0").await.unwrap();
    let sql = claviger_store::testing::poll_sql().replace("$1", &format!("'{position}'"));
    let sql = sql.replace("$2", "20001").replace("$3", "1");
    let plan = owner.query(&format!("EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF) {sql}"), &[]).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(!plan.contains("Seq Scan on change"), "{plan}");
    assert!(plan.contains("change_by_xid"), "{plan}");
    drop(held);
}

#[tokio::test]
async fn store_02_the_transaction_that_is_open_for_longest_is_known_by_its_process() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let mut open = writer(&test, &acme).await;
    let held = open.transaction().await.unwrap();
    let own = "SELECT CAST(pg_current_xact_id() AS text), CAST(pg_backend_pid() AS text), CAST(current_database() AS text)";
    let own = held.query_one(own, &[]).await.unwrap();
    let oldest = async || test.system().oldest_transaction().await.unwrap();
    let id: String = own.get(0);
    // Others of these tests may be older, and end.
    let found = loop {
        match oldest().await {
            Some(found) if found.id == id => break found,
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!(found.process, Some(own.get(1)));
    assert_eq!((found.role.as_deref(), found.database), (Some("claviger_rt"), Some(own.get(2))));
    held.rollback().await.unwrap();
    assert_ne!(oldest().await.map(|found| found.id), Some(id));
}
