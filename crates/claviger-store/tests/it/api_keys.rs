//! API keys and their rotation.

use claviger::api_key::KeyDigest;
use claviger::clock::UnixMillis;
use claviger::directory::State;
use claviger::id::Environment;
use claviger::network::Networks;
use claviger_store::api_keys::{NewApiKey, PLAN_IS_FULL};
use claviger_store::audit::AuditCursor;
use claviger_store::key_rotation::{BOTH_IN_USE, DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS};
use claviger_store::key_secret_uses::KeySecretUse;
use claviger_store::on_every_backend;
use claviger_store::subject::{Record, Subject};
use claviger_store::testing::{START, TestStore, TestTenant};
use claviger_store::{StoreError, SystemPermit};

on_every_backend!(
    a_key_is_shown_once_and_listed_without_its_secret,
    a_rotation_leaves_the_old_secret_its_grace,
    trap_grace_extends_an_expiring_key,
    rotating_again_replaces_the_newer_secret,
    a09_rotating_again_replaces_the_secret_that_was_never_used_and_none_that_was,
    the_last_use_of_a_secret_is_the_latest_that_anybody_tells_of,
    of_many_keys_that_are_made_at_once_no_more_are_made_than_the_plan_allows,
    trap_prefix_containing_an_underscore_on_rotate,
    a_key_that_may_not_act_is_not_rotated,
    lists_go_page_by_page,
    operating_07_a_key_revoked_twice_is_revoked_and_never_comes_back,
);

async fn operating_07_a_key_revoked_twice_is_revoked_and_never_comes_back(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    acme.store.key_revoke(key).await.unwrap();
    let entries = async || acme.store.audit_list(AuditCursor::NEWEST, 100).await.unwrap().len();
    let before = entries().await;
    acme.store.key_revoke(key).await.unwrap();
    assert_eq!(entries().await, before, "nothing happened the second time");
    for answer in [acme.store.key_disable(key).await, acme.store.key_enable(key).await] {
        assert!(matches!(answer, Err(StoreError::Refused { .. })), "{answer:?}");
    }
    assert_eq!(acme.store.key_view(key).await.unwrap().state, State::Deleted);
    // Another tenant's, and one that never was, are none.
    let other = test.tenant("Other").await;
    let answer = other.store.key_revoke(key).await;
    assert!(matches!(answer, Err(StoreError::NotFound { .. })), "{answer:?}");
}

pub(crate) fn new_key(tenant: &TestTenant) -> NewApiKey {
    NewApiKey {
        org: tenant.org,
        name: "ci".into(),
        prefix: "sk".parse().unwrap(),
        environment: Environment::Live,
        grants: "leads:write".parse().unwrap(),
        networks: Some(Networks::new(vec!["10.0.0.0/8".parse().unwrap()])),
        expires_at: None,
    }
}

async fn a_key_is_shown_once_and_listed_without_its_secret(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let made = acme.store.key_create(new_key(&acme)).await.unwrap();
    let text = made.key.secret.expose_text().unwrap();
    assert!(text.starts_with("sk_live_k1_"));
    let listed = acme.store.key_list(acme.org).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&made.view));
    assert_eq!(listed[0].secrets.len(), 1);
    assert_eq!(listed[0].secrets[0].last_four, made.key.last_four);
    assert_eq!(listed[0].grants.to_string(), "leads:write");
    assert!(!format!("{listed:?}").contains(text));
    let past = NewApiKey { expires_at: Some(START), ..new_key(&acme) };
    assert!(matches!(acme.store.key_create(past).await.unwrap_err(), StoreError::Invalid(_)));
    acme.store.key_revoke(made.view.key).await.unwrap();
    assert!(acme.store.key_list(acme.org).await.unwrap().is_empty());
    let revoked = acme.store.key_view(made.view.key).await.unwrap();
    assert_eq!((revoked.state, revoked.secrets.len()), (State::Deleted, 0));
    assert!(acme.store.key_enable(made.view.key).await.is_err(), "a revoked key stays revoked");
}

async fn a_rotation_leaves_the_old_secret_its_grace(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    let rotated = acme.store.key_rotate(key, DEFAULT_GRACE_SECONDS).await.unwrap().view;
    assert_eq!(rotated.secrets.len(), 2);
    let old = rotated.secrets.iter().find(|secret| secret.is_old).unwrap();
    assert_eq!(old.expires_at, Some(START.plus_seconds(24 * 60 * 60)));
    let after = acme.store.key_revoke_old(key).await.unwrap();
    assert!(after.secrets.len() == 1 && !after.secrets[0].is_old);
    let again = acme.store.key_revoke_old(key).await.unwrap_err();
    assert_eq!(again, StoreError::NotFound { what: "old secret of the key" });
    let at_once = acme.store.key_rotate(key, 0).await.unwrap().view;
    assert_eq!(at_once.secrets.len(), 1);
    for bad in [-1, MAX_GRACE_SECONDS + 1] {
        assert!(matches!(acme.store.key_rotate(key, bad).await.unwrap_err(), StoreError::Invalid(_)));
    }
}

async fn trap_grace_extends_an_expiring_key(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let end = START.plus_seconds(600);
    let made = acme.store.key_create(NewApiKey { expires_at: Some(end), ..new_key(&acme) }).await.unwrap();
    let key = made.view.key;
    let successor = acme.store.key_rotate(key, MAX_GRACE_SECONDS).await.unwrap();
    let rotated = successor.view;
    let ends: Vec<Option<UnixMillis>> = rotated.secrets.iter().map(|secret| secret.expires_at).collect();
    assert!(ends.contains(&Some(end)) && rotated.expires_at == Some(end), "{ends:?}");
    assert_eq!(ends_known(&test, &[made.key.digest, successor.key.digest]).await, [Some(end); 2]);
    let short = acme.store.key_create(NewApiKey { expires_at: Some(end), ..new_key(&acme) }).await.unwrap();
    let longer = acme.store.key_rotate(short.view.key, 60).await.unwrap();
    let both = ends_known(&test, &[short.key.digest, longer.key.digest]).await;
    assert_eq!(both, [Some(START.plus_seconds(60)), Some(end)], "what ends first ends it");
    test.clock.advance_millis(600_000);
    assert!(matches!(acme.store.key_rotate(key, 0).await.unwrap_err(), StoreError::Refused { .. }));
}

/// When the secrets of these digests end, as decisions have it.
async fn ends_known(test: &TestStore, digests: &[KeyDigest]) -> Vec<Option<UnixMillis>> {
    let subjects = digests.iter().map(|digest| Subject::Key(*digest)).collect();
    let loaded = test.store.source().load(subjects).await.unwrap();
    let end = |digest: &KeyDigest| {
        let subject = Subject::Key(*digest);
        match &loaded.iter().find(|loaded| loaded.subject == subject).unwrap().found {
            Some((_, Record::Key(record))) => record.expires_at,
            other => panic!("{other:?}"),
        }
    };
    digests.iter().map(end).collect()
}

async fn rotating_again_replaces_the_newer_secret(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let first = acme.store.key_create(new_key(&acme)).await.unwrap();
    let key = first.view.key;
    let second = acme.store.key_rotate(key, 3600).await.unwrap();
    test.clock.advance_millis(1_800_000);
    let third = acme.store.key_rotate(key, DEFAULT_GRACE_SECONDS).await.unwrap();
    let shown: Vec<&str> = third.view.secrets.iter().map(|secret| secret.last_four.as_str()).collect();
    assert_eq!(shown, [&first.key.last_four, &third.key.last_four], "the second one is gone");
    assert_ne!(second.key.last_four, third.key.last_four);
    assert_eq!(third.view.secrets[0].expires_at, Some(START.plus_seconds(3600)), "the grace did not grow");
    test.clock.advance_millis(1_800_000);
    let fourth = acme.store.key_rotate(key, 60).await.unwrap().view;
    assert_eq!(
        fourth.secrets[0].last_four, third.key.last_four,
        "after the grace the newer one is the one in use"
    );
}

async fn used(
    test: &TestStore,
    acme: &TestTenant,
    digests: &[KeyDigest],
    at: UnixMillis,
    from: Option<&str>,
) {
    let address = from.map(|address| address.parse().unwrap());
    let one = |digest: &KeyDigest| KeySecretUse { tenant: acme.tenant, digest: *digest, at, address };
    let uses = digests.iter().map(one).collect();
    test.store.system(&SystemPermit::for_job("last-uses")).key_secrets_used(uses).await.unwrap();
}

async fn a09_rotating_again_replaces_the_secret_that_was_never_used_and_none_that_was(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    let second = acme.store.key_rotate(key, 3600).await.unwrap();
    // Everybody has gone over to the new one: the one before makes room.
    used(&test, &acme, &[second.key.digest], START, None).await;
    test.clock.advance_millis(1_000);
    let third = acme.store.key_rotate(key, 600).await.unwrap();
    let shown: Vec<&str> = third.view.secrets.iter().map(|secret| secret.last_four.as_str()).collect();
    assert_eq!(shown, [&second.key.last_four, &third.key.last_four]);
    assert_eq!(third.view.secrets[0].expires_at, Some(START.plus_seconds(601)));
    // Both are in use: nobody loses theirs.
    used(&test, &acme, &[third.key.digest], START, None).await;
    let refused = acme.store.key_rotate(key, 600).await.unwrap_err();
    assert_eq!(refused, StoreError::Refused { why: BOTH_IN_USE });
    let left = acme.store.key_view(key).await.unwrap();
    assert_eq!(left.secrets.len(), 2, "nothing was changed");
    // Unless somebody ends one of them, or wants both to end at once.
    acme.store.key_revoke_old(key).await.unwrap();
    test.clock.advance_millis(1_000);
    let fourth = acme.store.key_rotate(key, 600).await.unwrap();
    assert_eq!(fourth.view.secrets[0].last_four, third.key.last_four);
    used(&test, &acme, &[fourth.key.digest], START, None).await;
    let at_once = acme.store.key_rotate(key, 0).await.unwrap().view;
    assert_eq!((at_once.secrets.len(), at_once.secrets[0].last_used_at), (1, None));
}

async fn the_last_use_of_a_secret_is_the_latest_that_anybody_tells_of(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let made = acme.store.key_create(new_key(&acme)).await.unwrap();
    assert_eq!(made.view.secrets[0].last_used_at, None);
    let (key, digest) = (made.view.key, made.key.digest);
    let seen = async || {
        let view = acme.store.key_view(key).await.unwrap();
        (view.secrets[0].last_used_at, view.secrets[0].last_used_from.map(|address| address.to_string()))
    };
    used(&test, &acme, &[digest], UnixMillis(2_000), Some("2001:db8::1")).await;
    assert_eq!(seen().await, (Some(UnixMillis(2_000)), Some("2001:db8::1".to_owned())));
    // Another server tells of an earlier one, later.
    used(&test, &acme, &[digest], UnixMillis(1_000), Some("192.0.2.1")).await;
    assert_eq!(seen().await.0, Some(UnixMillis(2_000)));
    used(&test, &acme, &[digest], UnixMillis(3_000), None).await;
    assert_eq!(seen().await, (Some(UnixMillis(3_000)), None));
    // In lists too; and of another tenant's digest, or none's, nothing is noted.
    let listed = acme.store.key_list(acme.org).await.unwrap();
    assert_eq!(listed[0].secrets[0].last_used_at, Some(UnixMillis(3_000)));
    let rival = test.tenant("Rival").await;
    used(&test, &rival, &[digest], UnixMillis(9_000), None).await;
    assert_eq!(seen().await.0, Some(UnixMillis(3_000)));
}

async fn of_many_keys_that_are_made_at_once_no_more_are_made_than_the_plan_allows(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let second = acme.store.org_create("Second").await.unwrap().org;
    let plan = acme.store.tenant_view().await.unwrap().plan;
    let most = || [(plan.clone(), 20)].into();
    let tries = (0..60).map(|at| {
        let (store, most) = (acme.store.clone(), most());
        // Wherever in the tenant.
        let new = NewApiKey { org: if at % 2 == 0 { acme.org } else { second }, ..new_key(&acme) };
        async move { store.key_create_under(new, most).await }
    });
    let all = futures_util::future::join_all(tries).await;
    let made: Vec<_> = all.iter().filter_map(|made| made.as_ref().ok()).collect();
    assert_eq!(made.len(), 20);
    for refused in all.iter().filter_map(|made| made.as_ref().err()) {
        assert_eq!(*refused, StoreError::Refused { why: PLAN_IS_FULL });
    }
    let one_more = async |new: NewApiKey| acme.store.key_create_under(new, most()).await.is_ok();
    // The sandbox has its own; a disabled key counts, an ended one does not.
    assert!(one_more(NewApiKey { environment: Environment::Test, ..new_key(&acme) }).await);
    acme.store.key_disable(made[0].view.key).await.unwrap();
    assert!(!one_more(new_key(&acme)).await);
    acme.store.key_revoke(made[0].view.key).await.unwrap();
    let ending = NewApiKey { expires_at: Some(START.plus_seconds(60)), ..new_key(&acme) };
    assert!(one_more(ending).await);
    assert!(!one_more(new_key(&acme)).await);
    test.clock.advance_millis(60_000);
    assert!(one_more(new_key(&acme)).await);
    // A plan that is not named allows any number.
    let other = [("Other".parse().unwrap(), 1)].into();
    acme.store.key_create_under(new_key(&acme), other).await.unwrap();
}

async fn trap_prefix_containing_an_underscore_on_rotate(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let made =
        NewApiKey { prefix: "my_app".parse().unwrap(), environment: Environment::Test, ..new_key(&acme) };
    let key = acme.store.key_create(made).await.unwrap().view.key;
    let rotated = acme.store.key_rotate(key, 0).await.unwrap();
    assert!(rotated.key.secret.expose_text().unwrap().starts_with("my_app_test_k1_"));
}

async fn a_key_that_may_not_act_is_not_rotated(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    acme.store.key_disable(key).await.unwrap();
    assert!(matches!(acme.store.key_rotate(key, 0).await.unwrap_err(), StoreError::Refused { .. }));
    acme.store.key_enable(key).await.unwrap();
    acme.store.key_rotate(key, 0).await.unwrap();
    acme.store.key_revoke(key).await.unwrap();
    assert_eq!(acme.store.key_rotate(key, 0).await.unwrap_err(), StoreError::NotFound { what: "API key" });
    let rival = test.tenant("Rival").await;
    assert_eq!(rival.store.key_view(key).await.unwrap_err(), StoreError::NotFound { what: "API key" });
}

async fn lists_go_page_by_page(test: TestStore) {
    let acme = test.tenant("Acme").await;
    // Two pages and some, all made in one millisecond.
    let tasks: Vec<_> = (0..1005)
        .map(|_| {
            let (store, new) = (acme.store.clone(), new_key(&acme));
            tokio::spawn(async move { store.key_create(new).await.unwrap().view.key })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await.unwrap());
    }
    let page = claviger_store::key_lookups::KeysListed { org: Some(acme.org), revoked_too: false };
    let first = acme.store.key_page(page, None, 500).await.unwrap();
    assert_eq!(first.len(), 500);
    assert!(first.iter().all(|key| key.secrets.len() == 1));
    let second = acme.store.key_page(page, first.last().map(Into::into), 500).await.unwrap();
    let third = acme.store.key_page(page, second.last().map(Into::into), 500).await.unwrap();
    assert_eq!((second.len(), third.len()), (500, 5));
    let mut listed: Vec<_> = acme.store.key_list(acme.org).await.unwrap().iter().map(|key| key.key).collect();
    assert_eq!(listed, [first, second, third].concat().iter().map(|key| key.key).collect::<Vec<_>>());
    listed.sort();
    made.sort();
    assert_eq!(listed, made);
    assert_eq!(acme.store.org_page(None, 500).await.unwrap().len(), 1);
    let owner = acme.store.member_page(acme.org, None, 500).await.unwrap();
    assert_eq!(
        (
            owner.len(),
            acme.store.member_page(acme.org, owner.last().map(Into::into), 500).await.unwrap().len()
        ),
        (1, 0)
    );
}
