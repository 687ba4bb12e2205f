//! Keys that are managed from within their tenant.

use claviger::clock::UnixMillis;
use claviger::id::{Environment, KeyId};
use claviger::network::Networks;
use claviger_store::api_keys::{ApiKeyUpdate, KeyView, NewApiKey};
use claviger_store::key_authority::{KEY_BEYOND, KeyManager};
use claviger_store::testing::{START, TestStore, TestTenant};
use claviger_store::{StoreError, TenantStore, on_every_backend};

use crate::api_keys::new_key;

on_every_backend!(
    a07_a_key_makes_none_that_may_do_more_than_itself,
    a07_a_key_gets_hold_of_none_that_may_do_more_than_itself_and_ends_any,
    a12_a_key_sees_its_own_side_and_organization_alone,
    a_manager_who_may_not_act_any_more_manages_nothing,
);

fn networks(list: &[&str]) -> Option<Networks> {
    Some(Networks::new(list.iter().map(|text| text.parse().unwrap()).collect()))
}

fn new(acme: &TestTenant, scope: &str) -> NewApiKey {
    NewApiKey { grants: scope.parse().unwrap(), networks: None, ..new_key(acme) }
}

async fn made(acme: &TestTenant, new: NewApiKey) -> KeyId {
    acme.store.key_create(new).await.unwrap().view.key
}

fn by(acme: &TestTenant, manager: KeyId) -> TenantStore {
    acme.store.clone().managed_by(KeyManager::Key(manager))
}

fn is_beyond<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert_eq!(answer.unwrap_err(), StoreError::Refused { why: KEY_BEYOND });
}

fn nothing() -> ApiKeyUpdate {
    ApiKeyUpdate { name: None, grants: None, networks: None, expires_at: None }
}

async fn a07_a_key_makes_none_that_may_do_more_than_itself(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let end = START.plus_seconds(86_400);
    let bounded = NewApiKey {
        networks: networks(&["10.0.0.0/8"]),
        expires_at: Some(end),
        ..new(&acme, "keys:admin leads:write")
    };
    let manager = made(&acme, bounded).await;
    let ours = by(&acme, manager);
    let view = |key: KeyView| (key.networks, key.expires_at);
    // What is not said is as it is for whoever asks.
    let plain = ours.key_create(new(&acme, "leads:read")).await.unwrap().view;
    assert_eq!(view(plain), (networks(&["10.0.0.0/8"]), Some(end)));
    let narrow = NewApiKey {
        networks: networks(&["10.1.0.0/16"]),
        expires_at: Some(START.plus_seconds(60)),
        ..new(&acme, "leads:write keys:admin")
    };
    ours.key_create(narrow).await.unwrap();
    let later = Some(UnixMillis(end.0 + 1));
    for beyond in [
        new(&acme, "leads:admin"),
        new(&acme, "read"),
        new(&acme, "orders:read"),
        NewApiKey { networks: networks(&["10.0.0.0/8", "192.0.2.1"]), ..new(&acme, "leads:read") },
        NewApiKey { expires_at: later, ..new(&acme, "leads:read") },
        NewApiKey { environment: Environment::Test, ..new(&acme, "leads:read") },
    ] {
        is_beyond(ours.key_create(beyond).await);
    }
    // Nor is one made so afterwards.
    let key = ours.key_create(new(&acme, "leads:read")).await.unwrap().view.key;
    for beyond in [
        ApiKeyUpdate { grants: Some("leads:admin".parse().unwrap()), ..nothing() },
        ApiKeyUpdate { networks: Some(None), ..nothing() },
        ApiKeyUpdate { networks: Some(networks(&["0.0.0.0/0"])), ..nothing() },
        ApiKeyUpdate { expires_at: Some(None), ..nothing() },
        ApiKeyUpdate { expires_at: Some(later), ..nothing() },
    ] {
        is_beyond(ours.key_update(key, beyond).await);
    }
    ours.key_update(key, ApiKeyUpdate { name: Some("renamed".into()), ..nothing() }).await.unwrap();
    assert_eq!(acme.store.key_view(key).await.unwrap().name, "renamed");
}

async fn a07_a_key_gets_hold_of_none_that_may_do_more_than_itself_and_ends_any(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let manager = made(&acme, new(&acme, "keys:admin leads:read")).await;
    let ours = by(&acme, manager);
    let stronger = made(&acme, new(&acme, "leads:write")).await;
    acme.store.key_rotate(stronger, 3600).await.unwrap();
    is_beyond(ours.key_rotate(stronger, 0).await);
    is_beyond(ours.key_revoke_old(stronger).await);
    is_beyond(
        ours.key_update(stronger, ApiKeyUpdate { grants: Some("leads:read".parse().unwrap()), ..nothing() })
            .await,
    );
    // To take away what it may do is another thing; to give it back is not.
    ours.key_disable(stronger).await.unwrap();
    is_beyond(ours.key_enable(stronger).await);
    ours.key_revoke(stronger).await.unwrap();
    let weaker = made(&acme, new(&acme, "leads:read")).await;
    assert_eq!(ours.key_rotate(weaker, 3600).await.unwrap().view.secrets.len(), 2);
    ours.key_revoke_old(weaker).await.unwrap();
    // Its own too.
    ours.key_rotate(manager, 60).await.unwrap();
    // As it is in that moment: with less of its own it reaches less.
    acme.store
        .key_update(manager, ApiKeyUpdate { grants: Some("keys:admin".parse().unwrap()), ..nothing() })
        .await
        .unwrap();
    is_beyond(ours.key_rotate(weaker, 60).await);
    // A person is bound by their grants.
    let person = KeyManager::Person {
        org: Some(acme.org),
        environment: Some(Environment::Live),
        grants: vec!["keys:admin leads:read".parse().unwrap(), "keys:admin leads:admin".parse().unwrap()],
    };
    let theirs = acme.store.clone().managed_by(person);
    theirs.key_rotate(weaker, 0).await.unwrap();
    is_beyond(theirs.key_create(new(&acme, "leads:write")).await);
}

async fn a12_a_key_sees_its_own_side_and_organization_alone(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let manager = made(&acme, NewApiKey { environment: Environment::Test, ..new(&acme, "admin") }).await;
    let ours = by(&acme, manager);
    let live = made(&acme, new(&acme, "read")).await;
    let elsewhere = acme.store.org_create("Second").await.unwrap().org;
    let beside = NewApiKey { org: elsewhere, environment: Environment::Test, ..new(&acme, "read") };
    let beside = made(&acme, beside).await;
    let none = StoreError::NotFound { what: "API key" };
    for hidden in [live, beside] {
        assert_eq!(ours.key_view(hidden).await.unwrap_err(), none);
        assert_eq!(
            ours.key_update(hidden, ApiKeyUpdate { name: Some("x".into()), ..nothing() }).await.unwrap_err(),
            none
        );
        assert_eq!(ours.key_rotate(hidden, 0).await.unwrap_err(), none);
        assert_eq!(ours.key_revoke_old(hidden).await.unwrap_err(), none);
        assert_eq!(ours.key_disable(hidden).await.unwrap_err(), none);
        assert_eq!(ours.key_enable(hidden).await.unwrap_err(), none);
        assert_eq!(ours.key_revoke(hidden).await.unwrap_err(), none);
    }
    is_beyond(ours.key_create(NewApiKey { environment: Environment::Live, ..new(&acme, "read") }).await);
    is_beyond(
        ours.key_create(NewApiKey { org: elsewhere, environment: Environment::Test, ..new(&acme, "read") })
            .await,
    );
    let own =
        ours.key_create(NewApiKey { environment: Environment::Test, ..new(&acme, "read") }).await.unwrap();
    assert_eq!(ours.key_view(own.view.key).await.unwrap().environment, Environment::Test);
}

async fn a_manager_who_may_not_act_any_more_manages_nothing(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let other = made(&acme, new(&acme, "read")).await;
    let manager = made(&acme, new(&acme, "admin")).await;
    let ours = by(&acme, manager);
    acme.store.key_disable(manager).await.unwrap();
    is_beyond(ours.key_rotate(other, 0).await);
    acme.store.key_enable(manager).await.unwrap();
    ours.key_rotate(other, 0).await.unwrap();
    acme.store.key_revoke(manager).await.unwrap();
    is_beyond(ours.key_create(new(&acme, "read")).await);
    is_beyond(ours.key_revoke(other).await);
    let ending = NewApiKey { expires_at: Some(START.plus_seconds(60)), ..new(&acme, "admin") };
    let ours = by(&acme, made(&acme, ending).await);
    ours.key_disable(other).await.unwrap();
    test.clock.advance_millis(60_000);
    is_beyond(ours.key_enable(other).await);
}
