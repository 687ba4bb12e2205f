//! What can be edited, found by what people know of it, and asked for twice.

use claviger::directory::Annotated;
use claviger_store::annotations::AnnotationUpdate;
use claviger_store::api_keys::ApiKeyUpdate;
use claviger_store::idempotency::{KEPT_SECONDS, Known, Once};
use claviger_store::key_lookups::KeysListed;
use claviger_store::tenants::TenantUpdate;
use claviger_store::testing::TestStore;
use claviger_store::{StoreError, on_every_backend};

use crate::api_keys::new_key;

on_every_backend!(
    a_key_is_changed_where_it_is_named_and_nowhere_else,
    nobody_undoes_what_they_have_not_seen,
    of_two_who_edit_at_once_one_is_told,
    of_two_who_annotate_at_once_one_is_told_the_first_time_too,
    things_are_found_by_what_people_know_of_them,
    what_was_asked_for_is_done_once,
);

async fn a_key_is_changed_where_it_is_named_and_nowhere_else(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    let before = acme.store.key_view(key).await.unwrap();
    acme.store.key_update(key, ApiKeyUpdate::default()).await.unwrap();
    assert_eq!(acme.store.key_view(key).await.unwrap(), before);
    let soon = before.created_at.plus_seconds(600);
    let networks = claviger::network::Networks::new(vec!["203.0.113.0/24".parse().unwrap()]);
    let update = ApiKeyUpdate {
        name: Some("another".into()),
        grants: Some("orders:read".parse().unwrap()),
        networks: Some(Some(networks.clone())),
        expires_at: Some(Some(soon)),
    };
    acme.store.key_update(key, update).await.unwrap();
    let changed = acme.store.key_view(key).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.grants.to_string()), ("another", "orders:read".into()));
    assert_eq!((changed.networks, changed.expires_at), (Some(networks), Some(soon)));
    // What is taken away is, and what is not named stays.
    let freed = ApiKeyUpdate { networks: Some(None), expires_at: Some(None), ..ApiKeyUpdate::default() };
    acme.store.key_update(key, freed).await.unwrap();
    let freed = acme.store.key_view(key).await.unwrap();
    assert_eq!((freed.networks, freed.expires_at, freed.name.as_str()), (None, None, "another"));
    // The past is no end, and what has ended stays so.
    let past = ApiKeyUpdate { expires_at: Some(Some(before.created_at)), ..ApiKeyUpdate::default() };
    assert!(matches!(acme.store.key_update(key, past).await, Err(StoreError::Invalid(_))));
    let ends = ApiKeyUpdate { expires_at: Some(Some(soon)), ..ApiKeyUpdate::default() };
    acme.store.key_update(key, ends.clone()).await.unwrap();
    test.clock.advance_millis(601_000);
    assert!(matches!(acme.store.key_update(key, ends).await, Err(StoreError::Refused { .. })));
    let other = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    acme.store.key_revoke(other).await.unwrap();
    let error = acme.store.key_update(other, ApiKeyUpdate::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
}

async fn nobody_undoes_what_they_have_not_seen(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    let called =
        |id: &str| AnnotationUpdate { external_id: Some(Some(id.to_owned())), ..AnnotationUpdate::default() };
    for about in [
        Annotated::Tenant(acme.tenant),
        Annotated::Org(acme.org),
        Annotated::Member(acme.org, acme.owner),
        Annotated::Key(key),
    ] {
        let edit = async |since: Option<claviger_store::versions::Version>, id: &str| match about {
            Annotated::Tenant(tenant) => {
                let operator = test.operator().unless_edited(tenant, since);
                operator.tenant_annotate(tenant, called(id)).await.map(drop)
            }
            _ => acme.store.clone().unless_edited(about, since).annotate(about, called(id)).await.map(drop),
        };
        let seen = acme.store.version(about).await.unwrap();
        edit(Some(seen), "first").await.unwrap();
        let error = edit(Some(seen), "second").await.unwrap_err();
        let now = acme.store.version(about).await.unwrap();
        assert_eq!(error, StoreError::Edited { now: now.to_string() });
        assert_eq!(acme.store.annotation(about).await.unwrap().external_id.as_deref(), Some("first"));
        edit(Some(now), "third").await.unwrap();
        edit(None, "fourth").await.unwrap();
    }
    // An edit of the thing itself counts too, and one that failed leaves nothing behind.
    let seen = acme.store.version(Annotated::Tenant(acme.tenant)).await.unwrap();
    let renamed = |name: &str| TenantUpdate { name: Some(name.into()), ..TenantUpdate::default() };
    let held = || acme.store.clone().unless_edited(Annotated::Tenant(acme.tenant), Some(seen));
    held().tenant_update(renamed("One")).await.unwrap();
    assert!(held().tenant_update(renamed("Two")).await.is_err());
    assert_eq!(acme.store.tenant_view().await.unwrap().name, "One");
    let key_seen = acme.store.version(Annotated::Key(key)).await.unwrap();
    acme.store.key_disable(key).await.unwrap();
    let stale = acme.store.clone().unless_edited(Annotated::Key(key), Some(key_seen));
    assert!(stale.key_update(key, ApiKeyUpdate::default()).await.is_err());
}

async fn of_two_who_edit_at_once_one_is_told(test: TestStore) {
    let acme = test.tenant("Acme").await;
    for round in 0..20 {
        let about = Annotated::Org(acme.org);
        let seen = acme.store.version(about).await.unwrap();
        let store = || acme.store.clone().unless_edited(about, Some(seen));
        let (first, second) = (store(), store());
        let (one, other) = (format!("one {round}"), format!("other {round}"));
        let both = tokio::join!(first.org_rename(acme.org, &one), second.org_rename(acme.org, &other));
        assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
        let name = acme.store.org_view(acme.org).await.unwrap().name;
        assert_eq!(name, if both.0.is_ok() { one } else { other });
    }
}

async fn of_two_who_annotate_at_once_one_is_told_the_first_time_too(test: TestStore) {
    let called = |id: String| AnnotationUpdate { external_id: Some(Some(id)), ..AnnotationUpdate::default() };
    for round in 0..10 {
        // Each time something that has no annotation yet.
        let acme = test.tenant("Acme").await;
        let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
        for about in [Annotated::Org(acme.org), Annotated::Member(acme.org, acme.owner), Annotated::Key(key)]
        {
            let seen = acme.store.version(about).await.unwrap();
            let store = || acme.store.clone().unless_edited(about, Some(seen));
            let (first, second) = (store(), store());
            let one = first.annotate(about, called(format!("one {round}")));
            let other = second.annotate(about, called(format!("other {round}")));
            let both = tokio::join!(one, other);
            assert!(both.0.is_ok() != both.1.is_ok(), "{about:?}: {both:?}");
        }
        // Beside somebody who does not ask: who does has either come first, or is told.
        let other_key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
        let about = Annotated::Key(other_key);
        let seen = acme.store.version(about).await.unwrap();
        let careful = acme.store.clone().unless_edited(about, Some(seen));
        let both = tokio::join!(
            careful.annotate(about, called(format!("careful {round}"))),
            acme.store.annotate(about, called(format!("careless {round}")))
        );
        both.1.unwrap();
        let last = acme.store.annotation(about).await.unwrap().external_id;
        assert_eq!(last, Some(format!("careless {round}")), "{:?}", both.0);
        let about = Annotated::Tenant(acme.tenant);
        let seen = acme.store.version(about).await.unwrap();
        let operator = || test.operator().unless_edited(acme.tenant, Some(seen));
        let (first, second) = (operator(), operator());
        let one = first.tenant_annotate(acme.tenant, called(format!("one {round}")));
        let other = second.tenant_annotate(acme.tenant, called(format!("other {round}")));
        let both = tokio::join!(one, other);
        assert!(both.0.is_ok() != both.1.is_ok(), "tenant: {both:?}");
        let fresh = test.tenant("Fresh").await.tenant;
        let seen = test.operator().tenant(fresh).version(Annotated::Tenant(fresh)).await.unwrap();
        let (careful, careless) = (test.operator().unless_edited(fresh, Some(seen)), test.operator());
        let both = tokio::join!(
            careful.tenant_annotate(fresh, called(format!("first {round}"))),
            careless.tenant_annotate(fresh, called(format!("last {round}")))
        );
        both.1.unwrap();
        let last = careless.tenant(fresh).annotation(Annotated::Tenant(fresh)).await.unwrap().external_id;
        assert_eq!(last, Some(format!("last {round}")), "{:?}", both.0);
        // The thing itself and what it is called, at once.
        let seen = acme.store.version(about).await.unwrap();
        let store = acme.store.clone().unless_edited(about, Some(seen));
        let operator = test.operator().unless_edited(acme.tenant, Some(seen));
        let renamed = TenantUpdate { name: Some("New".into()), ..TenantUpdate::default() };
        let both = tokio::join!(
            store.tenant_update(renamed),
            operator.tenant_annotate(acme.tenant, called(format!("third {round}")))
        );
        assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    }
}

async fn things_are_found_by_what_people_know_of_them(test: TestStore) {
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Acme").await);
    let made = acme.store.key_create(new_key(&acme)).await.unwrap();
    let (key, operator) = (made.view.key, test.operator());
    let mut named = operator.tenants_named(&acme.realm, "Acme", 3).await.unwrap();
    named.sort();
    let mut both = vec![acme.tenant, rival.tenant];
    both.sort();
    assert_eq!(named, both);
    assert_eq!(operator.tenants_named(&acme.realm, "Acme", 1).await.unwrap().len(), 1);
    assert_eq!(operator.tenants_named(&"elsewhere".parse().unwrap(), "Acme", 3).await.unwrap(), []);
    let name = acme.store.org_view(acme.org).await.unwrap().name;
    assert_eq!(acme.store.orgs_named(&name, 3).await.unwrap(), [acme.org]);
    assert_eq!(acme.store.keys_named(&made.view.name, 3).await.unwrap(), [key]);
    let end = &made.view.secrets[0].last_four;
    assert_eq!(operator.keys_ending(&acme.realm, end, 10).await.unwrap(), [(acme.tenant, key)]);
    assert_eq!(operator.keys_ending(&"elsewhere".parse().unwrap(), end, 10).await.unwrap(), []);
    assert_eq!(acme.store.keys_ending(end, 10).await.unwrap(), [key]);
    assert_eq!(rival.store.keys_ending(end, 10).await.unwrap(), []);
    assert_eq!(operator.key_with(made.key.digest).await.unwrap(), Some((acme.tenant, key)));
    let second = acme.store.org_create("Second").await.unwrap().org;
    let more = claviger_store::api_keys::NewApiKey { org: second, ..new_key(&acme) };
    let more = acme.store.key_create(more).await.unwrap().view.key;
    let page = async |org, revoked_too| {
        let keys = acme.store.key_page(KeysListed { org, revoked_too }, None, 500).await.unwrap();
        keys.into_iter().map(|view| (view.key, view.secrets.len())).collect::<Vec<_>>()
    };
    let (mut all, mut wanted) = (page(None, false).await, vec![(key, 1), (more, 1)]);
    all.sort();
    wanted.sort();
    assert_eq!(all, wanted);
    assert_eq!(page(Some(second), false).await, [(more, 1)]);
    // What has ended is found by whoever looks for it, and by no name.
    acme.store.key_revoke(key).await.unwrap();
    assert_eq!(page(None, false).await, [(more, 1)]);
    assert_eq!(page(None, true).await.len(), 2);
    assert_eq!(page(Some(acme.org), true).await, [(key, 0)]);
    assert_eq!(acme.store.keys_named(&made.view.name, 3).await.unwrap(), [more]);
    assert_eq!(operator.key_with(made.key.digest).await.unwrap(), Some((acme.tenant, key)));
    acme.store.tenant_delete().await.unwrap();
    assert_eq!(operator.tenants_named(&acme.realm, "Acme", 3).await.unwrap(), [rival.tenant]);
}

async fn what_was_asked_for_is_done_once(test: TestStore) {
    let operator = test.operator();
    let once = Once { owner: "operator:ada".into(), key_digest: [1; 32], request_digest: [2; 32] };
    let begin = async |once: &Once| operator.once_begin(once.clone()).await.unwrap();
    assert_eq!(begin(&once).await, Known::New);
    assert_eq!(begin(&once).await, Known::UnderWay);
    assert_eq!(begin(&Once { request_digest: [3; 32], ..once.clone() }).await, Known::Other);
    assert_eq!(begin(&Once { owner: "operator:bob".into(), ..once.clone() }).await, Known::New);
    test.clock.advance_millis(61_000);
    assert_eq!(begin(&once).await, Known::Unknown);
    // What has changed nothing may be tried again; what is done is not forgotten.
    operator.once_forget(once.clone()).await.unwrap();
    assert_eq!(begin(&once).await, Known::New);
    operator.once_end(once.clone(), "{}".into()).await.unwrap();
    operator.once_forget(once.clone()).await.unwrap();
    assert_eq!(begin(&once).await, Known::Done("{}".into()));
    // Of many at once one does it.
    let many = Once { key_digest: [9; 32], ..once.clone() };
    let all = futures_util::future::join_all((0..20).map(|_| operator.once_begin(many.clone()))).await;
    assert_eq!(all.iter().filter(|known| **known == Ok(Known::New)).count(), 1, "{all:?}");
    test.clock.advance_millis((KEPT_SECONDS.unsigned_abs() + 1) * 1000);
    assert_eq!(begin(&once).await, Known::New);
    // What is old leaves though nobody asks for anything more.
    let system = test.system();
    let lease = system.lease("sweep", 60).await.unwrap().unwrap();
    assert_eq!(system.once_sweep(&lease).await.unwrap(), 0);
    test.clock.advance_millis((KEPT_SECONDS.unsigned_abs() + 1) * 1000);
    assert!(system.once_sweep(&lease).await.is_err(), "its lease has ended");
    let lease = system.lease("sweep", 60).await.unwrap().unwrap();
    assert!(system.once_sweep(&lease).await.unwrap() > 0);
    assert_eq!(system.once_sweep(&lease).await.unwrap(), 0);
}
