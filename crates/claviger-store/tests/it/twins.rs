//! The same call as two tenants: what one does changes nothing of the other, and finds nothing of it.

use std::path::Path;

use claviger::code::Code;
use claviger::credential::CredentialKind;
use claviger::directory::{Annotated, MemberState};
use claviger::id::{ApiName, Environment, RoleName, SessionId, TokenId};
use claviger::random::SystemRandom;
use claviger::refusal::Who;
use claviger_store::annotations::AnnotationUpdate;
use claviger_store::api_keys::ApiKeyUpdate;
use claviger_store::audit::{AuditCursor, RefusedRequests};
use claviger_store::key_lookups::KeysListed;
use claviger_store::members::{Managed, Manager, NewRole};
use claviger_store::outbox::Letter;
use claviger_store::tenants::TenantUpdate;
use claviger_store::testing::{self, Engine, START, TestStore, TestTenant, email};
use claviger_store::{Ends, on_every_backend};
use tokio_postgres::NoTls;

use crate::api_keys::new_key;

on_every_backend!(what_one_tenant_does_changes_nothing_of_another);

/// Every row of the tenant, to the letter.
async fn rows(test: &TestStore, tenant: &TestTenant) -> Vec<String> {
    let id = tenant.tenant.to_string();
    let mut found = Vec::new();
    match test.engine {
        Engine::Sqlite => {
            let path = test.settings.url.strip_prefix("sqlite:").unwrap();
            let file = rusqlite::Connection::open(path).unwrap();
            for table in testing::tables_of_tenants() {
                let mut statement =
                    file.prepare(&format!("SELECT * FROM {table} WHERE tenant_id = ?1")).unwrap();
                let width = statement.column_count();
                let read = |row: &rusqlite::Row<'_>| {
                    Ok((0..width).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect::<String>())
                };
                found.extend(statement.query_map([&id], read).unwrap().map(Result::unwrap));
            }
        }
        Engine::Postgres => {
            let (client, connection) =
                tokio_postgres::connect(test.owner_url.as_ref().unwrap(), NoTls).await.unwrap();
            tokio::spawn(connection);
            for table in testing::tables_of_tenants() {
                let sql = format!(
                    "SELECT to_jsonb(t)::text FROM claviger.{table} t WHERE tenant_id = '{id}' ORDER BY 1"
                );
                found
                    .extend(client.query(&sql, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
            }
        }
    }
    found.sort();
    found
}

struct Belongings {
    key: claviger::id::KeyId,
    session: SessionId,
    ann: claviger::id::AccountId,
}

async fn furnish(tenant: &TestTenant, api: &ApiName) -> Belongings {
    let ann = tenant.member("ann@shared.example", "EDITOR").await;
    let key = tenant.store.key_create(new_key(tenant)).await.unwrap().view.key;
    tenant.store.key_rotate(key, 3600).await.unwrap();
    let session = tenant.store.session_create(tenant.org, ann, 3600).await.unwrap().session;
    tenant.store.user_secret_issue(api, tenant.org, ann).await.unwrap();
    tenant.store.foreign_identity_link("https://id.example", "ann", ann).await.unwrap();
    for about in [Annotated::Org(tenant.org), Annotated::Member(tenant.org, ann), Annotated::Key(key)] {
        tenant.store.annotate(about, called("the same")).await.unwrap();
    }
    Belongings { key, session, ann }
}

fn letter() -> Letter {
    Letter { to: "bob@rival.example".into(), subject: "x".into(), text: "x".into() }
}

fn called(id: &str) -> AnnotationUpdate {
    AnnotationUpdate { external_id: Some(Some(id.to_owned())), ..AnnotationUpdate::default() }
}

async fn what_one_tenant_does_changes_nothing_of_another(test: TestStore) {
    let api: ApiName = "syncello".parse().unwrap();
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    let (theirs, own) = (furnish(&acme, &api).await, furnish(&rival, &api).await);
    let before = rows(&test, &acme).await;
    assert!(before.len() > 15);
    let (viewer, store): (RoleName, _) = ("VIEWER".parse().unwrap(), &rival.store);
    let to_viewer = || NewRole { to: viewer.clone(), within: Vec::new() };

    // With the other tenant's ids: nothing is found, and it is the same answer as for ids that exist nowhere.
    let bob = email("bob@rival.example");
    macro_rules! is_refused {
        ($($call:expr),* $(,)?) => { $(
            let error = $call.await.map(drop).unwrap_err();
            assert!(matches!(error, claviger_store::StoreError::NotFound { .. }), "{}: {error}", stringify!($call));
        )* };
    }
    is_refused!(
        store.org_view(acme.org),
        store.org_rename(acme.org, "x"),
        store.org_suspend(acme.org),
        store.org_resume(acme.org),
        store.org_delete(acme.org),
        store.org_revoke(acme.org, Ends::Tokens),
        store.member_add(acme.org, &bob, &viewer, MemberState::Active),
        store.member_invite(acme.org, &bob, (&viewer, None), Some((store.invitation(), letter()))),
        store.member_manage(
            acme.org,
            theirs.ann,
            Managed::Remove,
            Manager { managing: Vec::new(), touchable: None }
        ),
        store.member_let_in(acme.org, theirs.ann),
        store.tenant_update(TenantUpdate { owner: Some(acme.owner), ..TenantUpdate::default() }),
        store.member_list(acme.org),
        store.member_page(acme.org, None, 500),
        store.member_view(acme.org, theirs.ann),
        store.member_find(acme.org, &email("ann@shared.example")),
        store.member_update_role(acme.org, theirs.ann, to_viewer()),
        store.member_suspend(acme.org, theirs.ann),
        store.member_resume(acme.org, theirs.ann),
        store.member_remove(acme.org, theirs.ann),
        store.member_revoke(acme.org, theirs.ann, Ends::Tokens),
        store.session_create(acme.org, theirs.ann, 60),
        store.session_end(theirs.session),
        store.key_create(claviger_store::api_keys::NewApiKey { org: acme.org, ..new_key(&rival) }),
        store.key_create_under(
            claviger_store::api_keys::NewApiKey { org: acme.org, ..new_key(&rival) },
            [("Starter".parse().unwrap(), 9)].into(),
        ),
        store.key_list(acme.org),
        store.key_page(KeysListed { org: Some(acme.org), revoked_too: true }, None, 500),
        store.key_update(theirs.key, ApiKeyUpdate::default()),
        store.version(Annotated::Org(acme.org)),
        store.version(Annotated::Key(theirs.key)),
        store.key_view(theirs.key),
        store.key_rotate(theirs.key, 0),
        store.key_revoke_old(theirs.key),
        store.key_disable(theirs.key),
        store.key_enable(theirs.key),
        store.key_revoke(theirs.key),
        store.user_secret_issue(&api, acme.org, theirs.ann),
        store.user_secret_regenerate(&api, acme.org, theirs.ann),
        store.annotate(Annotated::Org(acme.org), called("x")),
        store.annotate(Annotated::Member(acme.org, theirs.ann), called("x")),
        store.annotate(Annotated::Key(theirs.key), called("x")),
    );
    assert_eq!(rows(&test, &acme).await, before);

    // What lists or shows has its own alone, though the other's is called the same.
    assert_eq!(store.tenant_view().await.unwrap().tenant, rival.tenant);
    let orgs = store.org_list().await.unwrap();
    assert_eq!(orgs, store.org_page(None, 500).await.unwrap());
    assert!(orgs.iter().all(|org| org.org == rival.org));
    assert_eq!(store.annotated("organization", "the same").await.unwrap(), Annotated::Org(rival.org));
    assert_eq!(store.orgs_named("Acme", 3).await.unwrap(), []);
    let named = acme.store.key_view(theirs.key).await.unwrap().name;
    assert_eq!(store.keys_named(&named, 3).await.unwrap(), [own.key]);
    let end = acme.store.key_view(theirs.key).await.unwrap().secrets[0].last_four.clone();
    assert!(!store.keys_ending(&end, 10).await.unwrap().contains(&theirs.key));
    let all = KeysListed { org: None, revoked_too: true };
    let keys = store.key_page(all, None, 500).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.key).collect::<Vec<_>>(), [own.key]);
    assert_eq!(
        store.foreign_identities(theirs.ann).await.unwrap().len(),
        1,
        "the same person is linked in each"
    );
    assert_eq!(store.user_secret_list(theirs.ann).await.unwrap()[0].org, rival.org);
    assert_eq!(store.annotated("key", "the same").await.unwrap(), Annotated::Key(own.key));
    let none = store.annotation(Annotated::Key(theirs.key)).await.unwrap();
    assert_eq!(none.external_id, None);
    let entities = vec![Annotated::Key(theirs.key).entity(), Annotated::Key(own.key).entity()];
    let found = store.annotations("key", entities).await.unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [own.key.to_string()]);
    let entries = store.audit_list(AuditCursor::NEWEST, 500).await.unwrap();
    assert!(
        !entries.is_empty() && entries.iter().all(|entry| !entry.entity_id.contains(&theirs.key.to_string()))
    );
    let kid = acme.store.user_secret_list(theirs.ann).await.unwrap()[0].kid.clone();
    assert_eq!(store.user_secret_last_used(&kid).await.unwrap(), None);
    assert!(store.audit_of(Some(acme.org), AuditCursor::NEWEST, 500).await.unwrap().is_empty());
    let own_orgs = store.orgs_of(theirs.ann).await.unwrap();
    assert!(own_orgs.iter().all(|org| org.org == rival.org));

    // With its own ids, which differ from the other's in the tenant alone where that is possible.
    assert_eq!(own.ann, theirs.ann, "one person in both");
    store.tenant_update(TenantUpdate { name: Some("R".into()), ..TenantUpdate::default() }).await.unwrap();
    store.org_rename(rival.org, "x").await.unwrap();
    store.org_create("North").await.unwrap();
    store.org_create_with("South", own.ann, &viewer).await.unwrap();
    store.annotate(Annotated::Key(own.key), called("another")).await.unwrap();
    let who = Who {
        kind: CredentialKind::ApiKey,
        tenant: rival.tenant,
        org: rival.org,
        environment: Environment::Live,
        credential: "key_2".into(),
        key: None,
        account: None,
    };
    let refused = RefusedRequests {
        who,
        code: Code::Forbidden,
        count: 2,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    store.requests_refused(&refused).await.unwrap();
    store.credential_seen_in_clear("key_1", std::net::Ipv4Addr::LOCALHOST.into()).await.unwrap();
    store.tenant_suspend().await.unwrap();
    store.tenant_resume().await.unwrap();
    store.org_revoke(rival.org, Ends::Tokens).await.unwrap();
    store.key_revoke_old(own.key).await.unwrap();
    store.key_revoke(own.key).await.unwrap();
    store.session_end(own.session).await.unwrap();
    store.user_secret_regenerate(&api, rival.org, own.ann).await.unwrap();
    store.user_secret_revoke(&api, own.ann).await.unwrap();
    store.foreign_identity_not_before("https://id.example", "ann", START.plus_seconds(60)).await.unwrap();
    store.foreign_identity_unlink("https://id.example", "ann").await.unwrap();
    store.token_revoke(TokenId::generate(&SystemRandom), START.plus_seconds(60)).await.unwrap();
    store.member_update_role(rival.org, own.ann, to_viewer()).await.unwrap();
    store.member_revoke(rival.org, own.ann, Ends::Tokens).await.unwrap();
    store.member_remove(rival.org, own.ann).await.unwrap();
    store.tenant_revoke(Ends::Tokens).await.unwrap();
    store.org_delete(rival.org).await.unwrap();
    store.tenant_delete().await.unwrap();
    assert_eq!(rows(&test, &acme).await, before);
    assert_eq!(acme.store.session_list(theirs.ann).await.unwrap().len(), 1);
}

/// The names of the functions that a tenant's part of the store has, as the sources have them.
fn calls_of_a_tenant(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            calls_of_a_tenant(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for part in text.split("\nimpl TenantStore {\n").skip(1) {
            let part = part.split("\n}").next().unwrap();
            let names = part.split("\n    pub async fn ").skip(1);
            found.extend(names.map(|name| name.split('(').next().unwrap().to_owned()));
        }
    }
}

#[test]
fn every_call_of_a_tenant_is_made_as_two() {
    let mut calls = Vec::new();
    calls_of_a_tenant(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut calls);
    assert!(calls.len() > 40, "{calls:?}");
    let here = include_str!("twins.rs");
    calls.retain(|call| !here.contains(&format!("store.{call}(")));
    assert_eq!(
        calls,
        Vec::<String>::new(),
        "what one tenant does with it, and finds by another's ids, is tried nowhere"
    );
}
