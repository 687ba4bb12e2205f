//! External ids and metadata.

use std::collections::BTreeMap;

use claviger::directory::Annotated;
use claviger::id::{AccountId, KeyId, OrgId};
use claviger::random::SystemRandom;
use claviger_store::annotations::{AnnotationUpdate, AnnotationView, MAX_METADATA_ENTRIES};
use claviger_store::testing::TestStore;
use claviger_store::{StoreError, on_every_backend};

use crate::api_keys::new_key;

on_every_backend!(
    what_is_annotated_is_shown_and_found_by_its_external_id,
    an_external_id_is_one_things_alone_and_given_back_with_it,
    a_tenants_external_id_is_its_own_within_its_realm,
    what_is_no_external_id_or_metadata_is_refused_and_nothing_is_changed,
    an_annotation_is_written_down_without_its_values,
    of_those_who_annotate_at_once_nobody_undoes_what_another_did,
    what_hangs_on_an_organization_gives_its_external_id_back_with_it,
);

fn called(id: &str) -> AnnotationUpdate {
    AnnotationUpdate { external_id: Some(Some(id.to_owned())), metadata: BTreeMap::new() }
}

fn with(entries: &[(&str, Option<&str>)]) -> AnnotationUpdate {
    let entry = |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
    AnnotationUpdate { external_id: None, metadata: entries.iter().map(entry).collect() }
}

async fn what_is_annotated_is_shown_and_found_by_its_external_id(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    for about in [Annotated::Org(acme.org), Annotated::Member(acme.org, ann), Annotated::Key(key)] {
        assert_eq!(acme.store.annotation(about).await.unwrap(), AnnotationView::default());
        acme.store.annotate(about, called("crm-1")).await.unwrap();
        acme.store.annotate(about, with(&[("tier", Some("gold")), ("since", Some("2027"))])).await.unwrap();
        let now =
            acme.store.annotate(about, with(&[("since", None), ("tier", Some("silver"))])).await.unwrap();
        let wanted = AnnotationView {
            external_id: Some("crm-1".into()),
            metadata: BTreeMap::from([("tier".to_owned(), "silver".to_owned())]),
        };
        assert_eq!(now, wanted);
        assert_eq!(acme.store.annotation(about).await.unwrap(), wanted);
        assert_eq!(acme.store.annotated(about.kind(), "crm-1").await.unwrap(), about);
        let many = vec![about.entity(), "nothing".to_owned()];
        let found = acme.store.annotations(about.kind(), many).await.unwrap();
        assert_eq!(found, BTreeMap::from([(about.entity(), wanted)]));
        assert!(acme.store.annotated(about.kind(), "crm-2").await.is_err());
    }
    // None again, and the rest stays.
    let none = AnnotationUpdate { external_id: Some(None), metadata: BTreeMap::new() };
    let now = acme.store.annotate(Annotated::Key(key), none).await.unwrap();
    assert_eq!((now.external_id, now.metadata.len()), (None, 1));
}

async fn an_external_id_is_one_things_alone_and_given_back_with_it(test: TestStore) {
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    let first = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    let second = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    acme.store.annotate(Annotated::Key(first), called("backup")).await.unwrap();
    let taken = acme.store.annotate(Annotated::Key(second), called("backup")).await.unwrap_err();
    assert_eq!(taken, StoreError::AlreadyExists { what: "external id" });
    acme.store.annotate(Annotated::Key(first), called("backup")).await.unwrap();
    // Of another kind, and in another tenant, it is free.
    acme.store.annotate(Annotated::Org(acme.org), called("backup")).await.unwrap();
    let theirs = rival.store.key_create(new_key(&rival)).await.unwrap().view.key;
    rival.store.annotate(Annotated::Key(theirs), called("backup")).await.unwrap();
    acme.store.key_revoke(first).await.unwrap();
    acme.store.annotate(Annotated::Key(second), called("backup")).await.unwrap();
    assert_eq!(acme.store.annotated("key", "backup").await.unwrap(), Annotated::Key(second));
    assert_eq!(acme.store.annotation(Annotated::Key(first)).await.unwrap().external_id, None);
    // What is gone, or was never there, or is another tenant's, is not annotated.
    let stranger = KeyId::generate(&SystemRandom);
    let nobody = AccountId::generate(&SystemRandom);
    for about in [
        Annotated::Key(first),
        Annotated::Key(stranger),
        Annotated::Key(theirs),
        Annotated::Org(OrgId::generate(&SystemRandom)),
        Annotated::Org(rival.org),
        Annotated::Member(acme.org, nobody),
    ] {
        let refused = acme.store.annotate(about, called("x")).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound { .. }), "{about:?}: {refused}");
    }
}

async fn a_tenants_external_id_is_its_own_within_its_realm(test: TestStore) {
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    let operator = test.operator();
    operator.tenant_annotate(acme.tenant, called("4711")).await.unwrap();
    let taken = operator.tenant_annotate(rival.tenant, called("4711")).await.unwrap_err();
    assert_eq!(taken, StoreError::AlreadyExists { what: "external id" });
    assert_eq!(operator.tenant_called(&acme.realm, "4711").await.unwrap(), Some(acme.tenant));
    assert_eq!(operator.tenant_called(&acme.realm, "4712").await.unwrap(), None);
    let found = operator.tenant_annotations(vec![acme.tenant, rival.tenant]).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), [&acme.tenant.to_string()]);
    // A tenant does not say itself what the operator calls it, and so cannot find out what others are called.
    let refused = acme.store.annotate(Annotated::Tenant(acme.tenant), called("4713")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }));
    // A customer who comes back gets the number of before.
    acme.store.tenant_delete().await.unwrap();
    operator.tenant_annotate(rival.tenant, called("4711")).await.unwrap();
    assert_eq!(operator.tenant_called(&acme.realm, "4711").await.unwrap(), Some(rival.tenant));
}

async fn what_is_no_external_id_or_metadata_is_refused_and_nothing_is_changed(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let about = Annotated::Org(acme.org);
    acme.store.annotate(about, with(&[("a", Some("b"))])).await.unwrap();
    let before = acme.store.annotation(about).await.unwrap();
    let long = "x".repeat(501);
    let many: Vec<String> = (0..=MAX_METADATA_ENTRIES).map(|at| format!("n{at}")).collect();
    let many: Vec<(&str, Option<&str>)> = many.iter().map(|name| (name.as_str(), Some("v"))).collect();
    for (update, says) in [
        (called(""), "1 to 255 bytes"),
        (called(&"x".repeat(256)), "1 to 255 bytes"),
        (called("a\nb"), "control characters"),
        (with(&[("", Some("v"))]), "1 to 40 letters"),
        (with(&[(&"n".repeat(41), Some("v"))]), "1 to 40 letters"),
        (with(&[("a b", Some("v"))]), "1 to 40 letters"),
        (with(&[("n", Some(&long))]), "at most 500 characters"),
        (with(&[("n", Some("\0"))]), "none of them NUL"),
        (with(&many), "at most 50 entries"),
    ] {
        let refused = acme.store.annotate(about, update.clone()).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{update:?}: {refused}");
        assert_eq!(acme.store.annotation(about).await.unwrap(), before);
    }
    acme.store.annotate(about, with(&many[..MAX_METADATA_ENTRIES - 1])).await.unwrap();
}

async fn an_annotation_is_written_down_without_its_values(test: TestStore) {
    let acme = test.tenant("Acme").await;
    acme.store.annotate(Annotated::Org(acme.org), with(&[("note", Some("theirs alone"))])).await.unwrap();
    let entries = acme.store.audit_list(claviger_store::audit::AuditCursor::NEWEST, 10).await.unwrap();
    let entry = entries.iter().find(|entry| entry.action == "METADATA_UPDATED").unwrap();
    assert_eq!(
        (entry.entity_type.as_str(), entry.entity_id.as_str()),
        ("organization", &*acme.org.to_string())
    );
    assert_eq!(entry.details, serde_json::json!({ "metadata": ["note"] }));
}

async fn of_those_who_annotate_at_once_nobody_undoes_what_another_did(test: TestStore) {
    let acme = test.tenant("Acme").await;
    acme.store.annotate(Annotated::Org(acme.org), called("crm-1")).await.unwrap();
    test.operator().tenant_annotate(acme.tenant, called("cus-1")).await.unwrap();
    let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    let names: Vec<String> = (0..24).map(|number| format!("n{number:02}")).collect();
    let tasks = names.iter().flat_map(|name| {
        let update = with(&[(name, Some("x"))]);
        // One that is there already, one that is not, and a tenant's.
        let of = |about| {
            let (store, update) = (acme.store.clone(), update.clone());
            tokio::spawn(async move { store.annotate(about, update).await.map(drop) })
        };
        let operator = test.operator();
        let (tenant, of_tenant) = (acme.tenant, update.clone());
        [
            of(Annotated::Org(acme.org)),
            of(Annotated::Key(key)),
            tokio::spawn(async move { operator.tenant_annotate(tenant, of_tenant).await.map(drop) }),
        ]
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let org = acme.store.annotation(Annotated::Org(acme.org)).await.unwrap();
    let key = acme.store.annotation(Annotated::Key(key)).await.unwrap();
    let tenants = test.operator().tenant_annotations(vec![acme.tenant]).await.unwrap();
    let tenant = &tenants[&acme.tenant.to_string()];
    for (view, external_id) in [(&org, Some("crm-1")), (&key, None), (tenant, Some("cus-1"))] {
        assert_eq!(view.metadata.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        assert_eq!(view.external_id.as_deref(), external_id);
    }
}

async fn what_hangs_on_an_organization_gives_its_external_id_back_with_it(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let (gone, stays) = (acme.store.org_create("Gone").await.unwrap().org, acme.org);
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let (address, role) = (claviger_store::testing::email("ann@acme.example"), "EDITOR".parse().unwrap());
    let active = claviger::directory::MemberState::Active;
    acme.store.member_add(gone, &address, &role, active).await.unwrap();
    let of_gone = claviger_store::api_keys::NewApiKey { org: gone, ..new_key(&acme) };
    let key = acme.store.key_create(of_gone).await.unwrap().view.key;
    let other = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    acme.store.annotate(Annotated::Member(gone, ann), called("crm-1")).await.unwrap();
    acme.store.annotate(Annotated::Key(key), called("backup")).await.unwrap();
    acme.store.org_delete(gone).await.unwrap();
    acme.store.annotate(Annotated::Member(stays, ann), called("crm-1")).await.unwrap();
    acme.store.annotate(Annotated::Key(other), called("backup")).await.unwrap();
    assert_eq!(acme.store.annotated("member", "crm-1").await.unwrap(), Annotated::Member(stays, ann));
    for about in [Annotated::Member(gone, ann), Annotated::Key(key)] {
        let refused = acme.store.annotate(about, called("x")).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotFound { .. }), "{about:?}: {refused}");
    }
}
