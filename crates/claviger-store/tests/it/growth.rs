//! Rows that grow: who may clear them away, when, and that nobody waits for it.

use claviger_store::audit::AuditCursor;
use claviger_store::retirement::LEAST_KEPT_DAYS;
use claviger_store::testing::{Engine, TestStore};
use claviger_store::{OperatorPermit, StoreError, SystemPermit, SystemStore, on_every_backend};

on_every_backend!(what_happened_leaves_when_it_is_old_and_not_before, a_lease_that_runs_is_its_holders_alone);

const DAY: u64 = 24 * 60 * 60 * 1000;

async fn all_of_it(system: &SystemStore, kept_days: i64) -> usize {
    let lease = system.lease("retire", 60).await.unwrap().unwrap();
    let mut dropped = 0;
    loop {
        match system.retire(&lease, kept_days).await.unwrap() {
            0 => break dropped,
            some => dropped += some,
        }
    }
}

async fn what_happened_leaves_when_it_is_old_and_not_before(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let system = test.system();
    let entries = async || acme.store.audit_list(AuditCursor::NEWEST, 500).await.unwrap().len();
    let of_the_operator = async || test.operator().audit_list(AuditCursor::NEWEST, 500).await.unwrap().len();
    for at in 0..600 {
        acme.store.org_rename(acme.org, &format!("N{at}")).await.unwrap();
    }
    let (old, of_operator) = (601, of_the_operator().await);
    test.clock.advance_millis(40 * DAY);
    acme.store.org_rename(acme.org, "young").await.unwrap();
    assert_eq!(all_of_it(&system, 41).await, 0, "nothing is as old");
    let lease = system.lease("retire", 60).await.unwrap().unwrap();
    let refused = system.retire(&lease, LEAST_KEPT_DAYS - 1).await.unwrap_err();
    assert!(matches!(refused, StoreError::Invalid(_)), "{refused}");
    assert_eq!(all_of_it(&system, 39).await, old + of_operator);
    assert_eq!((entries().await, of_the_operator().await), (1, 0));
    assert_eq!(all_of_it(&system, 39).await, 0);
}

async fn a_lease_that_runs_is_its_holders_alone(test: TestStore) {
    test.tenant("Acme").await;
    let first = test.system();
    let lease = first.lease("retire", 60).await.unwrap().unwrap();
    assert_eq!(first.lease("retire", 60).await.unwrap(), Some(lease.clone()), "its own it may have again");
    assert!(first.lease("another", 60).await.unwrap().is_some());
    assert_eq!(first.retire(&lease, 40).await, Ok(0));
    test.clock.advance_millis(61_000);
    let late = first.retire(&lease, 40).await.unwrap_err();
    assert!(matches!(late, StoreError::Refused { .. }), "{late}");
    let again = first.lease("retire", 60).await.unwrap().unwrap();
    assert_ne!(again, lease, "a lease that has ended is another one, whoever takes it");
    assert!(first.retire(&lease, 40).await.is_err() && first.retire(&again, 40).await.is_ok());
    first.lease_end(again.clone()).await.unwrap();
    assert!(first.retire(&again, 40).await.is_err(), "given back");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test acts as a job")]
async fn a_server_whose_lease_was_taken_over_writes_nothing_more() {
    let test = TestStore::start(Engine::Postgres).await;
    test.tenant("Acme").await;
    let other = test.open_again().await.unwrap();
    let (first, second) = (test.system(), other.system(&SystemPermit::for_job("test")));
    let lease = first.lease("retire", 60).await.unwrap().unwrap();
    assert_eq!(second.lease("retire", 60).await.unwrap(), None);
    test.clock.advance_millis(61_000);
    let taken = second.lease("retire", 60).await.unwrap().unwrap();
    assert_eq!(first.lease("retire", 60).await.unwrap(), None);
    let late = first.retire(&lease, 40).await.unwrap_err();
    assert_eq!(late, StoreError::Refused { why: "another server does this job now" });
    assert_eq!(second.retire(&taken, 40).await, Ok(0));
    // What an ended one gives back is not the other's.
    first.lease_end(lease).await.unwrap();
    assert_eq!(second.retire(&taken, 40).await, Ok(0));
    let operator = other.operator(&OperatorPermit::for_command("test"));
    assert!(!operator.realm_list().await.unwrap().is_empty());
    other.close().await;
}
