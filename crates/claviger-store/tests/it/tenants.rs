//! Realms, plans, tenants, organizations and members.

use claviger::directory::{MemberState, State};
use claviger::id::RoleName;
use claviger_store::api_keys::ApiKeyUpdate;
use claviger_store::audit::AuditCursor;
use claviger_store::members::{BEYOND, LAST_MANAGER, Managed, Manager, NOT_JOINED, NewRole};
use claviger_store::refresh_tokens::Begin;
use claviger_store::sign_up::NewTenant;
use claviger_store::tenants::TenantUpdate;
use claviger_store::testing::{TestStore, email};
use claviger_store::{Actor, Ends, StoreError, on_every_backend};

use crate::api_keys::new_key;

on_every_backend!(
    a_tenant_is_made_whole_or_not_at_all,
    a_tenants_settings_state_and_generation_change,
    members_come_and_go,
    tenants_are_listed_page_by_page,
    somebody_who_manages_is_always_left_in_an_organization,
    a_tenant_has_an_owner_who_is_a_member,
    what_happened_in_an_organization_is_found_by_it_with_who_did_it,
);

async fn a_tenant_is_made_whole_or_not_at_all(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let members = acme.store.member_list(acme.org).await.unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!((members[0].account, members[0].role.as_str()), (acme.owner, "ADMIN"));
    let entries = acme.store.audit_list(AuditCursor::NEWEST, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].action.as_str(), entries[0].actor.as_str()), ("TENANT_CREATED", "operator:test"));

    let new = |plan: &str, owner: &str| NewTenant {
        realm: acme.realm.clone(),
        name: "Rival".into(),
        plan: plan.parse().unwrap(),
        organization: "Rival HQ".into(),
        owner: email(owner),
        password_hash: None,
        unproven_owner: false,
    };
    let begin = Begin { lifetime_seconds: 3600, is_direct: true, how: "test", proven_under: None };
    assert!(test.operator().tenant_create(new("Platinum", "rival@rival.example")).await.is_err());
    let accounts = test.store.accounts();
    let found = accounts.account_find(&acme.realm, &email("rival@rival.example")).await.unwrap();
    assert_eq!(found, None, "nothing of a tenant that failed is left");
    // The operator may give a customer a further tenant; sign-up may not give one to somebody who has an account.
    let again = test.operator().tenant_create(new("Starter", "OWNER@acme.example")).await.unwrap();
    assert_eq!((again.account, again.account_is_new), (acme.owner, false));
    let error = accounts.sign_up(new("Starter", "owner@acme.example"), begin, false).await.unwrap_err();
    assert_eq!(error, StoreError::AlreadyExists { what: "account" });
    assert_eq!(accounts.memberships(acme.owner).await.unwrap().len(), 2);
}

async fn a_tenants_settings_state_and_generation_change(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let update = TenantUpdate {
        name: Some("Acme Ltd".into()),
        plan: Some("Pro".parse().unwrap()),
        requires_identity_headers: Some(true),
        requires_direct_sign_in: Some(true),
        owner: None,
    };
    let view = acme.store.tenant_update(update).await.unwrap();
    assert_eq!(
        (
            view.name.as_str(),
            view.plan.as_str(),
            view.requires_identity_headers,
            view.requires_direct_sign_in
        ),
        ("Acme Ltd", "Pro", true, true)
    );
    let unchanged = acme.store.tenant_update(TenantUpdate::default()).await.unwrap();
    assert_eq!(unchanged, view);
    acme.store.tenant_suspend().await.unwrap();
    assert_eq!(acme.store.tenant_view().await.unwrap().state, State::Suspended);
    acme.store.tenant_resume().await.unwrap();
    assert_eq!(acme.store.tenant_revoke(Ends::Tokens).await.unwrap(), view.generation + 1);
    acme.store.tenant_delete().await.unwrap();
    assert_eq!(acme.store.tenant_resume().await.unwrap_err(), StoreError::NotFound { what: "tenant" });
    assert!(acme.store.org_create("Later").await.is_err(), "nothing is added to a deleted tenant");
}

async fn members_come_and_go(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let viewer = "VIEWER".parse().unwrap();
    let twice =
        acme.store.member_add(acme.org, &email("Ann@acme.example"), &viewer, MemberState::Active).await;
    assert_eq!(twice.unwrap_err(), StoreError::AlreadyExists { what: "membership" });
    acme.store
        .member_update_role(acme.org, ann, NewRole { to: viewer.clone(), within: Vec::new() })
        .await
        .unwrap();
    acme.store.member_suspend(acme.org, ann).await.unwrap();
    assert_eq!(acme.store.member_view(acme.org, ann).await.unwrap().state, MemberState::Suspended);
    acme.store.member_resume(acme.org, ann).await.unwrap();
    acme.store.member_remove(acme.org, ann).await.unwrap();
    let gone = acme.store.member_suspend(acme.org, ann).await.unwrap_err();
    assert_eq!(gone, StoreError::NotFound { what: "membership" });
    assert_eq!(acme.store.member_list(acme.org).await.unwrap().len(), 1);
    acme.member("ann@acme.example", "MEMBER").await;
    let back = acme.store.member_view(acme.org, ann).await.unwrap();
    assert_eq!((back.state, back.role.as_str(), back.generation), (MemberState::Active, "MEMBER", 2));

    let second = acme.store.org_create("Second").await.unwrap();
    acme.store.org_rename(second.org, "Branch").await.unwrap();
    assert_eq!(acme.store.org_list().await.unwrap().len(), 2);
    assert_eq!(acme.store.org_revoke(second.org, Ends::Tokens).await.unwrap(), 2);
    acme.store.org_delete(second.org).await.unwrap();
    assert_eq!(acme.store.org_list().await.unwrap().len(), 1);
    let late =
        acme.store.member_add(second.org, &email("bob@acme.example"), &viewer, MemberState::Active).await;
    assert_eq!(late.unwrap_err(), StoreError::NotFound { what: "organization" });
}

async fn tenants_are_listed_page_by_page(test: TestStore) {
    let realm = test.tenant("T0").await.realm;
    for number in 1..5 {
        test.clock.advance_millis(number % 2);
        test.tenant(&format!("T{number}")).await;
    }
    let operator = test.operator();
    let whole = operator.tenant_list(&realm, None, 100).await.unwrap();
    assert_eq!(whole.len(), 5);
    let mut paged = operator.tenant_list(&realm, None, 2).await.unwrap();
    loop {
        let page = operator.tenant_list(&realm, paged.last().map(Into::into), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    assert!(operator.tenant_list(&"other".parse().unwrap(), None, 10).await.unwrap().is_empty());
}

async fn somebody_who_manages_is_always_left_in_an_organization(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let (admin, viewer): (RoleName, RoleName) = ("ADMIN".parse().unwrap(), "VIEWER".parse().unwrap());
    let last = StoreError::Refused { why: LAST_MANAGER };
    let manager = || Manager { managing: vec![admin.clone()], touchable: None };
    let to_viewer = || Managed::Role(NewRole { to: viewer.clone(), within: vec![admin.clone()] });
    let manage = |account, managed| acme.store.member_manage(acme.org, account, managed, manager());
    for managed in [to_viewer(), Managed::Suspend, Managed::Remove] {
        assert_eq!(manage(acme.owner, managed).await.unwrap_err(), last);
    }
    // One who is suspended, invited, elsewhere or may less does not count.
    let ann = acme.member("ann@x.example", "ADMIN").await;
    acme.store.member_suspend(acme.org, ann).await.unwrap();
    acme.member("bob@x.example", "VIEWER").await;
    let other = acme.store.org_create("Other").await.unwrap().org;
    acme.store.member_add(other, &email("eve@x.example"), &admin, MemberState::Active).await.unwrap();
    acme.store.member_invite(acme.org, &email("joe@x.example"), (&admin, None), None).await.unwrap();
    assert_eq!(manage(acme.owner, Managed::Remove).await.unwrap_err(), last);
    assert_eq!(manage(ann, Managed::Resume).await.unwrap().state, MemberState::Active);
    // Of two who take each other out at once, one stays.
    let both = futures_util::future::join(manage(ann, to_viewer()), manage(acme.owner, to_viewer()));
    let (first, second) = both.await;
    assert_eq!([&first, &second].iter().filter(|one| one.is_ok()).count(), 1, "{first:?} {second:?}");
    // Whoever is invited is not let in by another, but taken out.
    let joe = acme.store.member_find(acme.org, &email("joe@x.example")).await.unwrap().account;
    let refused = StoreError::Refused { why: NOT_JOINED };
    for managed in [Managed::Resume, Managed::Suspend] {
        assert_eq!(manage(joe, managed).await.unwrap_err(), refused);
    }
    assert_eq!(acme.store.member_suspend(acme.org, joe).await.unwrap_err(), refused);
    assert_eq!(acme.store.member_resume(acme.org, joe).await.unwrap_err(), refused);
    // Whoever may touch fewer roles does not touch these.
    let fewer = Manager { managing: vec![admin.clone()], touchable: Some(vec![viewer.clone()]) };
    let beyond = acme.store.member_manage(acme.org, joe, Managed::Remove, fewer.clone()).await.unwrap_err();
    assert_eq!(beyond, StoreError::Refused { why: BEYOND });
    let over = Some(vec![viewer.clone()]);
    let again = acme.store.member_invite(acme.org, &email("joe@x.example"), (&viewer, over), None).await;
    assert_eq!(again.unwrap_err(), StoreError::Refused { why: BEYOND });
    assert_eq!(manage(joe, Managed::Remove).await.unwrap().state, MemberState::Removed);
    assert_eq!(manage(joe, Managed::Remove).await.unwrap_err(), StoreError::NotFound { what: "membership" });
}

async fn a_tenant_has_an_owner_who_is_a_member(test: TestStore) {
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    assert_eq!(acme.store.tenant_view().await.unwrap().owner, Some(acme.owner));
    let ann = acme.member("ann@x.example", "VIEWER").await;
    let to = |owner| TenantUpdate { owner: Some(owner), ..TenantUpdate::default() };
    assert_eq!(acme.store.tenant_update(to(ann)).await.unwrap().owner, Some(ann));
    let stranger = acme.store.tenant_update(to(rival.owner)).await.unwrap_err();
    assert_eq!(stranger, StoreError::NotFound { what: "membership" });
    // Whoever makes an organization is its first member.
    let admin = "ADMIN".parse().unwrap();
    let second = acme.store.org_create_with("Second", ann, &admin).await.unwrap();
    let names =
        |orgs: Vec<claviger_store::orgs::OrgView>| orgs.into_iter().map(|org| org.name).collect::<Vec<_>>();
    let mut both = names(acme.store.orgs_of(ann).await.unwrap());
    both.sort();
    assert_eq!(both, ["Acme HQ", "Second"]);
    assert_eq!(names(acme.store.orgs_of(acme.owner).await.unwrap()), ["Acme HQ"]);
    let member = acme.store.member_view(second.org, ann).await.unwrap();
    assert_eq!((member.role.as_str(), member.state), ("ADMIN", MemberState::Active));
    assert!(acme.store.org_create_with(" ", ann, &admin).await.is_err());
}

async fn what_happened_in_an_organization_is_found_by_it_with_who_did_it(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let second = acme.store.org_create("Second").await.unwrap().org;
    let by = acme.store.clone().by(Actor::account(acme.owner));
    by.member_invite(second, &email("ann@x.example"), (&"VIEWER".parse().unwrap(), None), None)
        .await
        .unwrap();
    let found = acme.store.audit_of(Some(second), AuditCursor::NEWEST, 10).await.unwrap();
    let told: Vec<(&str, Option<&str>)> =
        found.iter().map(|(entry, email)| (entry.action.as_str(), email.as_deref())).collect();
    assert_eq!(told, [("USER_INVITED", Some("owner@acme.example")), ("ORGANIZATION_CREATED", None)]);
    let all = acme.store.audit_of(None, AuditCursor::NEWEST, 10).await.unwrap();
    assert_eq!(all.len(), 3);
    // What becomes of its keys, sessions and user tokens is its own too.
    let (store, api) = (&acme.store, "syncello".parse().unwrap());
    let key = store.key_create(new_key(&acme)).await.unwrap().view.key;
    let name = ApiKeyUpdate { name: Some("other".into()), ..ApiKeyUpdate::default() };
    store.key_update(key, name).await.unwrap();
    store.key_rotate(key, 60).await.unwrap();
    store.key_revoke_old(key).await.unwrap();
    store.key_disable(key).await.unwrap();
    store.key_revoke(key).await.unwrap();
    let session = store.session_create(acme.org, acme.owner, 3600).await.unwrap().session;
    store.session_end(session).await.unwrap();
    store.user_secret_issue(&api, acme.org, acme.owner).await.unwrap();
    store.user_secret_revoke(&api, acme.owner).await.unwrap();
    let found = store.audit_of(Some(acme.org), AuditCursor::NEWEST, 500).await.unwrap();
    let actions: Vec<&str> = found.iter().map(|(entry, _)| entry.action.as_str()).collect();
    for action in [
        "KEY_CREATED",
        "KEY_UPDATED",
        "KEY_ROTATED",
        "KEY_OLD_REVOKED",
        "KEY_DISABLED",
        "KEY_REVOKED",
        "SESSION_CREATED",
        "SESSION_ENDED",
        "USER_TOKEN_ISSUED",
        "USER_TOKEN_REVOKED",
    ] {
        assert!(actions.contains(&action), "{action} is not among {actions:?}");
    }
    let after = AuditCursor::after(&all[0].0);
    assert_eq!(acme.store.audit_of(None, after, 1).await.unwrap()[0].0, all[1].0);
}
