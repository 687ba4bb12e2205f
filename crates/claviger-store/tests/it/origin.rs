//! Where the feed comes from: another server, timeline or epoch is another feed, and a restored database none at all.

use std::collections::HashSet;
use std::sync::Arc;

use claviger::directory::DirectoryError;
use claviger_store::audit::AuditCursor;
use claviger_store::source::{Cursor, Forget, Source};
use claviger_store::subject::{Record, Subject};
use claviger_store::testing::{Engine, START, TestStore};

use crate::feed::{changes, cursor, tamper};

#[tokio::test]
async fn another_timeline_of_the_server_is_another_origin() {
    let test = TestStore::start(Engine::Postgres).await;
    let source = test.store.source();
    let Cursor(here) = cursor(&source).await;
    let there = here.replacen("/00000001/", "/00000002/", 1);
    assert_ne!(here, there, "it names the timeline");
    assert_eq!(source.poll(Cursor(here)).await.unwrap().forget, Forget::Nothing);
    assert_eq!(source.poll(Cursor(there)).await.unwrap().forget, Forget::Origin);
}

/// What crash recovery and promotion do to the feed.
const CRASH: &str = "TRUNCATE feed_epoch";

#[tokio::test]
async fn store_01_after_a_crash_the_feed_begins_anew_and_nothing_read_before_it_counts() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let source = test.store.source();
    let mut after = cursor(&source).await;
    let tenant = || vec![Subject::Tenant(acme.tenant)];
    assert!(source.load(tenant()).await.unwrap()[0].found.is_some());
    for _ in 0..3 {
        tamper(&test, CRASH).await;
        // Nobody has polled: what is read now cannot be held against the changes that were heard.
        let refused = source.load(tenant()).await.unwrap_err();
        assert!(
            matches!(&refused, DirectoryError::Unavailable(why) if why.contains("followed")),
            "{refused:?}"
        );
        let poll = source.poll(after).await.unwrap();
        assert_eq!(poll.forget, Forget::Origin);
        after = poll.cursor;
        assert!(source.load(tenant()).await.unwrap()[0].found.is_some());
        acme.store.org_create("North").await.unwrap();
        assert_eq!(changes(&source, &mut after).await.len(), 1);
    }
}

#[tokio::test]
async fn nodes_that_find_no_epoch_at_once_agree_on_one() {
    let test = TestStore::start(Engine::Postgres).await;
    let nodes: Vec<_> = (0..8).map(|_| test.store.source()).collect();
    tamper(&test, CRASH).await;
    let begin = |node: &Arc<dyn Source>| {
        let node = Arc::clone(node);
        tokio::spawn(async move { cursor(&node).await })
    };
    let mut origins = HashSet::new();
    for begun in nodes.iter().map(begin).collect::<Vec<_>>() {
        let Cursor(text) = begun.await.unwrap();
        origins.insert(text.rsplit_once(' ').unwrap().0.to_owned());
    }
    assert_eq!(origins.len(), 1);
}

#[tokio::test]
async fn what_was_read_before_the_server_changed_is_found_out_by_the_next_poll() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let source = test.store.source();
    // A read before the first cursor, and the crash between them.
    source.load(vec![Subject::Tenant(acme.tenant)]).await.unwrap();
    tamper(&test, CRASH).await;
    let after = cursor(&source).await;
    let poll = source.poll(after).await.unwrap();
    assert_eq!(poll.forget, Forget::Origin);
    assert_eq!(source.poll(poll.cursor).await.unwrap().forget, Forget::Nothing);
}

#[tokio::test]
async fn store_07_a_restored_database_is_not_believed_until_somebody_has_looked() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let session = acme.store.session_create(acme.org, acme.owner, 3600).await.unwrap();
    let source = test.store.source();
    let mut after = cursor(&source).await;
    assert!(test.system().is_at_home().await.unwrap());
    assert_eq!(test.system().restored_accept().await.unwrap(), None, "there is nothing to accept");

    // What a dump carries into another server: its name for the old one, lines and marks with that one's numbers.
    tamper(
        &test,
        "UPDATE store_meta SET value = '7000000000000000000/16384' WHERE name = 'home';
         INSERT INTO store_meta VALUES ('swept_to', '90000000:90000000:');
         INSERT INTO tenant SELECT (jsonb_populate_record(t, jsonb_build_object('tenant_id', gen_random_uuid()))).*
             FROM tenant AS t, generate_series(1, 12000);
         INSERT INTO change (kind, id, row_version, xid) VALUES ('tenant', 'x', 1, '80000000')",
    )
    .await;
    for _ in 0..2 {
        let refused = source.poll(after.clone()).await.unwrap_err();
        assert!(
            matches!(&refused, DirectoryError::Distrusted(why) if why.contains("claviger store accept")),
            "{refused:?}"
        );
    }
    assert!(source.revoked_tokens().await.is_err());
    assert!(test.system().feed_sweep(0).await.is_err(), "nor is it swept");
    assert!(!test.system().is_at_home().await.unwrap());

    let accepted = test.system().restored_accept().await.unwrap().unwrap();
    assert_eq!(accepted.tenants, 12_001, "more than one transaction ends");
    let poll = source.poll(after).await.unwrap();
    assert_eq!(poll.forget, Forget::Origin);
    after = poll.cursor;
    let loaded = source.load(vec![Subject::Tenant(acme.tenant)]).await.unwrap();
    let Some((_, Record::Tenant(tenant))) = &loaded[0].found else { panic!("a tenant") };
    assert_eq!(tenant.floor.generation, session.made_under.tenant + 1, "its sessions are ended");
    assert_eq!(tenant.floor.tokens_from, START.plus_seconds(1));
    acme.store.org_create("North").await.unwrap();
    assert_eq!(changes(&source, &mut after).await.len(), 1);
    assert_eq!(test.system().feed_sweep(0).await.unwrap(), 0);
    let told = test.operator().audit_list(AuditCursor::NEWEST, 1).await.unwrap();
    assert_eq!(told[0].action, "STORE_ACCEPTED");
}
