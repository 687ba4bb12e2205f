//! Accounts, sessions, user secrets, signing keys, revoked tokens and the audit.

use claviger::directory::{Generations, MemberState, State};
use claviger::id::{ApiName, TokenId};
use claviger::key_set::Algorithm;
use claviger::random::SystemRandom;
use claviger::secret::Secret;
use claviger_store::audit::AuditCursor;
use claviger_store::signing_keys::{KeyState, Line};
use claviger_store::testing::{START, TestStore, email};
use claviger_store::{Actor, StoreError, on_every_backend};

on_every_backend!(
    accounts_are_one_per_address_and_realm,
    a_session_is_made_under_the_generations_of_its_moment,
    a_user_has_one_secret_per_api_which_dies_with_the_membership,
    of_two_who_ask_at_once_both_get_one_secret,
    signing_keys_take_turns,
    revoked_tokens_are_kept_until_they_end,
    the_audit_is_paged_from_the_newest_and_names_who_did_it,
);

async fn accounts_are_one_per_address_and_realm(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.store.accounts();
    let other = "other".parse().unwrap();
    test.operator().realm_ensure(&other).await.unwrap();
    let hash = || Some(Secret::new(b"$argon2id$x".to_vec()));
    let made = accounts.account_create(&acme.realm, &email("Ann@x.example"), hash()).await.unwrap();
    let twice = accounts.account_create(&acme.realm, &email("ann@X.example"), None).await.unwrap_err();
    assert_eq!(twice, StoreError::AlreadyExists { what: "account" });
    let elsewhere = accounts.account_create(&other, &email("ann@x.example"), None).await.unwrap();
    assert_ne!(elsewhere.account, made.account);
    let found = accounts.account_find(&acme.realm, &email("ANN@x.example")).await.unwrap().unwrap();
    assert_eq!(
        (found.account, found.email.as_str(), found.email_verified),
        (made.account, "Ann@x.example", false)
    );
    assert_eq!(accounts.account_password(made.account).await.unwrap(), hash());
    assert_eq!(accounts.account_password(elsewhere.account).await.unwrap(), None);
    accounts.account_set_password(made.account, Secret::new(b"$argon2id$y".to_vec())).await.unwrap();
    accounts.account_verify_email(made.account).await.unwrap();
    accounts.account_suspend(made.account).await.unwrap();
    let view = accounts.account_view(made.account).await.unwrap();
    assert!(view.email_verified && view.state == State::Suspended);
    accounts.account_resume(made.account).await.unwrap();
    assert_eq!(accounts.account_revoke_tokens(made.account).await.unwrap(), 2);
    assert!(accounts.account_create(&"nowhere".parse().unwrap(), &email("a@x.example"), None).await.is_err());
}

async fn a_session_is_made_under_the_generations_of_its_moment(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    acme.store.tenant_revoke_tokens().await.unwrap();
    acme.store.member_revoke_tokens(acme.org, ann).await.unwrap();
    acme.store.member_revoke_tokens(acme.org, ann).await.unwrap();
    let session = test.store.accounts().session_create(acme.tenant, acme.org, ann, 3600).await.unwrap();
    assert_eq!(session.made_under, Generations { tenant: 2, org: 1, account: 1, member: 3 });
    assert_eq!((session.ended, session.expires_at), (false, START.plus_seconds(3600)));
    assert_eq!(acme.store.session_list(ann).await.unwrap(), std::slice::from_ref(&session));
    acme.store.session_end(session.session).await.unwrap();
    acme.store.session_end(session.session).await.unwrap();
    assert!(acme.store.session_list(ann).await.unwrap().is_empty());
    let ended = test.store.accounts().session_view(acme.tenant, session.session).await.unwrap();
    assert!(ended.ended);
    acme.store.member_remove(acme.org, ann).await.unwrap();
    let late = acme.store.session_create(acme.org, ann, 60).await.unwrap_err();
    assert_eq!(late, StoreError::NotFound { what: "membership" });
}

async fn a_user_has_one_secret_per_api_which_dies_with_the_membership(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let api: ApiName = "syncello".parse().unwrap();
    let first = acme.store.user_secret_issue(&api, acme.org, ann).await.unwrap();
    assert_eq!((first.kid.len(), first.secret.expose().len(), first.version), (25, 32, 1));
    assert_eq!(acme.store.user_secret_issue(&api, acme.org, ann).await.unwrap(), first);
    let other = acme.store.user_secret_issue(&"synq".parse().unwrap(), acme.org, ann).await.unwrap();
    assert_ne!((&other.kid, &other.secret), (&first.kid, &first.secret));
    let second = acme.store.user_secret_regenerate(&api, acme.org, ann).await.unwrap();
    assert!(second.kid != first.kid && second.secret != first.secret && second.version == 2);
    acme.store.member_suspend(acme.org, ann).await.unwrap();
    let refused = acme.store.user_secret_issue(&api, acme.org, ann).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }));
    acme.store.member_resume(acme.org, ann).await.unwrap();
    acme.store.member_remove(acme.org, ann).await.unwrap();
    let gone = acme.store.user_secret_revoke(&api, ann).await.unwrap_err();
    assert_eq!(gone, StoreError::NotFound { what: "user secret" }, "it went with the membership");
    acme.member("ann@acme.example", "EDITOR").await;
    assert_eq!(acme.store.user_secret_issue(&api, acme.org, ann).await.unwrap().version, 3);
}

async fn of_two_who_ask_at_once_both_get_one_secret(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let api: ApiName = "syncello".parse().unwrap();
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (store, api, org, owner) = (acme.store.clone(), api.clone(), acme.org, acme.owner);
            tokio::spawn(async move { store.user_secret_issue(&api, org, owner).await.unwrap() })
        })
        .collect();
    let mut secrets = Vec::new();
    for one in asked {
        secrets.push(one.await.unwrap());
    }
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
}

async fn signing_keys_take_turns(test: TestStore) {
    let system = test.system();
    let line = Line::Identity("synq".parse().unwrap());
    assert!(system.signing_key_signer(&line).await.is_err(), "there is none yet");
    assert!(system.signing_key_ensure(&line, Algorithm::EdDsa).await.unwrap());
    assert!(!system.signing_key_ensure(&line, Algorithm::Es256).await.unwrap());
    let first = system.signing_key_signer(&line).await.unwrap();
    assert!(system.signing_key_activate(&line).await.is_err(), "nobody is next");
    assert_eq!(
        system.signing_key_signer(&line).await.unwrap().kid(),
        first.kid(),
        "and so nothing has changed"
    );
    let next = system.signing_key_next(&line, Algorithm::Es256).await.unwrap();
    assert!(system.signing_key_next(&line, Algorithm::Es256).await.is_err(), "one is next at most");
    assert_eq!(system.signing_key_signer(&line).await.unwrap().kid(), first.kid());
    assert_eq!(system.signing_key_activate(&line).await.unwrap(), next);
    let signer = system.signing_key_signer(&line).await.unwrap();
    assert_eq!((signer.kid(), signer.algorithm()), (next.as_str(), Algorithm::Es256));
    let states: Vec<KeyState> =
        system.signing_key_list(&line).await.unwrap().iter().map(|key| key.state).collect();
    assert!(states.contains(&KeyState::Retired) && states.contains(&KeyState::Active) && states.len() == 2);
    assert!(system.signing_key_drop(&line, &next).await.is_err(), "the one that signs is not dropped");
    system.signing_key_drop(&line, first.kid()).await.unwrap();
    assert_eq!(system.signing_key_list(&line).await.unwrap().len(), 1);
    let other = Line::Identity("other".parse().unwrap());
    assert!(system.signing_key_list(&other).await.unwrap().is_empty());
    assert!(system.signing_key_list(&Line::Principal).await.unwrap().is_empty());
}

async fn revoked_tokens_are_kept_until_they_end(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let (soon, late) = (TokenId::generate(&SystemRandom), TokenId::generate(&SystemRandom));
    for _ in 0..2 {
        acme.store.token_revoke(soon, START.plus_seconds(60)).await.unwrap();
    }
    acme.store.token_revoke(late, START.plus_seconds(7200)).await.unwrap();
    let source = test.store.source();
    assert_eq!(source.revoked_tokens().await.unwrap().0.len(), 2);
    assert_eq!(test.system().revoked_token_sweep().await.unwrap(), 0);
    test.clock.advance_millis(3_700_000);
    assert_eq!(source.revoked_tokens().await.unwrap().0.len(), 1);
    assert_eq!(test.system().revoked_token_sweep().await.unwrap(), 1);
}

async fn the_audit_is_paged_from_the_newest_and_names_who_did_it(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let actor = Actor::account(acme.owner).from("192.0.2.7".parse().unwrap()).with_credential("session-1");
    let store = acme.store.clone().by(actor);
    for number in 0..5 {
        test.clock.advance_millis(number % 2);
        store.org_create(&format!("org {number}")).await.unwrap();
    }
    let whole = store.audit_list(AuditCursor::NEWEST, 500).await.unwrap();
    assert_eq!(whole.len(), 6);
    assert!(whole.windows(2).all(|pair| pair[0].created_at >= pair[1].created_at));
    assert_eq!(whole[5].action, "TENANT_CREATED");
    let newest = &whole[0];
    assert_eq!(
        (newest.actor.clone(), newest.action.as_str()),
        (format!("account:{}", acme.owner), "ORGANIZATION_CREATED")
    );
    assert_eq!((newest.address, newest.credential.as_deref()), ("192.0.2.7".parse().ok(), Some("session-1")));
    let mut paged = store.audit_list(AuditCursor::NEWEST, 2).await.unwrap();
    // What is written meanwhile is before the cursor.
    test.clock.advance_millis(10);
    let viewer = "VIEWER".parse().unwrap();
    store.member_add(acme.org, &email("v@acme.example"), &viewer, MemberState::Invited).await.unwrap();
    loop {
        let page = store.audit_list(AuditCursor::after(paged.last().unwrap()), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    let operators = test.operator().audit_list(AuditCursor::NEWEST, 500).await.unwrap();
    assert!(operators.iter().any(|entry| entry.action == "REALM_CREATED"));
    assert!(!format!("{whole:?}").contains("v@acme.example"));
}
