//! Mail that waits to be sent, the links in it, and invitations.

use claviger::clock::Clock;
use claviger::directory::MemberState;
use claviger::secret::Secret;
use claviger_store::audit::AuditCursor;
use claviger_store::outbox::{Due, GIVEN_UP_AFTER_SECONDS, Letter};
use claviger_store::proofs::{LIFETIME_SECONDS, Proving};
use claviger_store::refresh_tokens::Begin;
use claviger_store::sign_up::NewTenant;
use claviger_store::testing::{Engine, TestStore, TestTenant, email};
use claviger_store::{Accounts, StoreError, SystemPermit, SystemStore, invitations, on_every_backend};

on_every_backend!(
    mail_waits_until_it_has_gone_and_is_tried_again_later,
    a_link_proves_an_address_once_and_for_half_an_hour_from_when_it_was_sent,
    what_somebody_else_may_have_set_is_void_at_the_proof,
    of_many_who_use_one_link_at_once_one_does,
    a_sign_up_that_waits_is_nothing_but_its_link,
    whoever_is_invited_says_yes_once_and_for_a_week,
    an_invitation_is_withdrawn_with_the_membership_and_sent_again_as_another_one,
);

const BEGIN: Begin = Begin { lifetime_seconds: 3600, is_direct: true, how: "test", proven_under: None };

fn letter(text: &str) -> Letter {
    Letter { to: "ann@x.example".into(), subject: "Hello".into(), text: text.into() }
}

fn hash(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn postman(test: &TestStore) -> SystemStore {
    test.store.system(&SystemPermit::for_job("mail"))
}

async fn due(test: &TestStore) -> Vec<Due> {
    let postman = postman(test);
    let lease = postman.lease("mail", 60).await.unwrap().unwrap();
    let due = postman.mail_due(&lease, 100).await.unwrap();
    postman.lease_end(lease).await.unwrap();
    due
}

async fn mail_waits_until_it_has_gone_and_is_tried_again_later(test: TestStore) {
    let accounts = test.operator().accounts();
    accounts.mail_post(letter("first")).await.unwrap();
    accounts.mail_post(letter("second")).await.unwrap();
    assert_eq!(postman(&test).mail_waiting().await.unwrap().0, 2);
    let found = due(&test).await;
    let mut texts: Vec<String> =
        found.iter().map(|mail| mail.letter.as_ref().unwrap().text.clone()).collect();
    texts.sort();
    assert_eq!((texts.as_slice(), found[0].tries), (["first".to_owned(), "second".to_owned()].as_slice(), 0));
    assert!(due(&test).await.is_empty(), "both are being tried");
    postman(&test).mail_gone(&found[0]).await.unwrap();
    assert_eq!(postman(&test).mail_waiting().await.unwrap().0, 1);
    if test.engine == Engine::Sqlite {
        test.clock.advance_millis(10_000);
        let again = due(&test).await;
        assert_eq!((again.len(), again[0].tries, again[0].name()), (1, 1, found[1].name()));
        test.clock.advance_millis(29_000);
        assert!(due(&test).await.is_empty(), "it waits longer each time");
        test.clock.advance_millis(1_000);
        assert_eq!(due(&test).await.len(), 1);
    }
    // Nobody sends whose lease has ended.
    let postman = postman(&test);
    let lease = postman.lease("mail", 60).await.unwrap().unwrap();
    postman.lease_end(lease.clone()).await.unwrap();
    assert!(matches!(postman.mail_due(&lease, 1).await, Err(StoreError::Refused { .. })));
}

async fn proof(accounts: &Accounts, acme: &TestTenant, address: &str, proving: Proving) -> String {
    let proof = accounts.proof();
    let secret = proof.expose_text().to_owned();
    let whose = email(address);
    accounts.proof_post((&acme.realm, &whose), proof, proving, letter(&secret)).await.unwrap();
    secret
}

async fn a_link_proves_an_address_once_and_for_half_an_hour_from_when_it_was_sent(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let ann = accounts.account_create(&acme.realm, &email("ann@x.example"), Some(hash("$h"))).await.unwrap();
    let of_ann = || Proving::Address(ann.account);
    let secret = proof(&accounts, &acme, "ann@x.example", of_ann()).await;
    assert!(secret.starts_with("pf_") && accounts.has_made_proof(&secret));
    assert!(
        matches!(accounts.proof_view(&secret).await.unwrap(), Some(Proving::Address(account)) if account == ann.account)
    );
    assert!(accounts.proof_view("pf_nonsense").await.unwrap().is_none());
    // It is for nothing else.
    assert!(accounts.proof_of_password(&secret, hash("$new"), letter("changed")).await.unwrap().is_none());
    let proven = accounts.proof_of_address(&secret, None).await.unwrap().unwrap().account;
    // Nobody but an operator had made it: what it has stays.
    assert!(proven.email_verified && proven.generation == 1);
    assert_eq!(accounts.account_password(ann.account).await.unwrap().password_hash, Some(hash("$h")));
    assert!(accounts.proof_of_address(&secret, None).await.unwrap().is_none(), "it is used up");
    if test.engine == Engine::Sqlite {
        // It waits for its mail, and is good for its time once that has gone.
        let secret = proof(&accounts, &acme, "ann@x.example", of_ann()).await;
        test.clock.advance_millis(1000 * GIVEN_UP_AFTER_SECONDS.unsigned_abs() - 1000);
        assert!(!due(&test).await.is_empty());
        test.clock.advance_millis(1000 * LIFETIME_SECONDS.unsigned_abs() - 1);
        assert!(accounts.proof_view(&secret).await.unwrap().is_some());
        test.clock.advance_millis(1);
        assert!(accounts.proof_view(&secret).await.unwrap().is_none());
        assert!(accounts.proof_of_address(&secret, None).await.unwrap().is_none());
    }
}

async fn what_somebody_else_may_have_set_is_void_at_the_proof(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let new = |address: &str| NewTenant {
        realm: acme.realm.clone(),
        name: "Theirs".into(),
        plan: "Starter".parse().unwrap(),
        organization: "Theirs".into(),
        owner: email(address),
        password_hash: Some(hash("$stranger")),
        unproven_owner: false,
    };
    let session = accounts.sign_up(new("ann@x.example"), BEGIN, false).await.unwrap();
    let account = session.session.account;
    let secret = proof(&accounts, &acme, "ann@x.example", Proving::Address(account)).await;
    let proven = accounts.proof_of_address(&secret, None).await.unwrap().unwrap().account;
    assert!(proven.email_verified && !proven.may_be_anothers() && proven.generation == 2);
    assert_eq!(accounts.account_password(account).await.unwrap().password_hash, None);
    // Whoever is signed in as that account and reads its mail is both.
    let session = accounts.sign_up(new("bob@x.example"), BEGIN, false).await.unwrap();
    let account = session.session.account;
    let secret = proof(&accounts, &acme, "bob@x.example", Proving::Address(account)).await;
    let proven = accounts.proof_of_address(&secret, Some(account)).await.unwrap().unwrap().account;
    assert_eq!(proven.generation, 1);
    assert!(accounts.account_password(account).await.unwrap().password_hash.is_some());
}

async fn of_many_who_use_one_link_at_once_one_does(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let ann = accounts.account_create(&acme.realm, &email("ann@x.example"), None).await.unwrap().account;
    let other = proof(&accounts, &acme, "ann@x.example", Proving::Password(ann)).await;
    let secret = proof(&accounts, &acme, "ann@x.example", Proving::Password(ann)).await;
    let tries = (0..20).map(|at| {
        let (accounts, secret) = (accounts.clone(), secret.clone());
        async move {
            accounts.proof_of_password(&secret, hash(&format!("${at}")), letter("changed")).await.unwrap()
        }
    });
    let all = futures_util::future::join_all(tries).await;
    let used: Vec<_> = all.into_iter().flatten().collect();
    assert_eq!((used.len(), used[0].generation, used[0].email_verified), (1, 2, true));
    assert!(accounts.proof_view(&other).await.unwrap().is_none(), "the others that were asked for are void");
    let notices = due(&test).await;
    let changed = notices.iter().filter(|mail| mail.letter.as_ref().unwrap().text == "changed").count();
    assert_eq!(changed, 1, "the address is told once");
}

async fn a_sign_up_that_waits_is_nothing_but_its_link(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let new = |name: &str| NewTenant {
        realm: acme.realm.clone(),
        name: name.into(),
        plan: "Starter".parse().unwrap(),
        organization: "HQ".into(),
        owner: email("Ann@x.example"),
        password_hash: Some(hash("$theirs")),
        unproven_owner: false,
    };
    let first = proof(&accounts, &acme, "ann@x.example", Proving::SignUp(new("First"))).await;
    let second = proof(&accounts, &acme, "ann@x.example", Proving::SignUp(new("Second"))).await;
    assert!(accounts.account_find(&acme.realm, &email("ann@x.example")).await.unwrap().is_none());
    let waiting = accounts.sign_up_waiting(&acme.realm, &email("ANN@x.example")).await.unwrap();
    assert!(waiting.is_some());
    let Some(Proving::SignUp(found)) = accounts.proof_view(&second).await.unwrap() else {
        panic!("no sign-up")
    };
    assert_eq!((found.name.as_str(), found.owner.as_str()), ("Second", "Ann@x.example"));
    assert_eq!(found.password_hash, None, "what was set before the proof is nothing");
    let session = accounts.sign_up(found, BEGIN, true).await.unwrap();
    let account = accounts.account_view(session.session.account).await.unwrap();
    assert!(account.email_verified && !account.self_registered);
    accounts.sign_ups_end(&acme.realm, &email("ann@X.example")).await.unwrap();
    assert!(
        accounts.proof_view(&first).await.unwrap().is_none()
            && accounts.proof_view(&second).await.unwrap().is_none()
    );
}

async fn invite(acme: &TestTenant, address: &str, role: &str) -> String {
    let invitation = acme.store.invitation();
    let secret = invitation.expose_text().to_owned();
    let mailed = Some((invitation, letter(&secret)));
    let member = acme
        .store
        .member_invite(acme.org, &email(address), (&role.parse().unwrap(), None), mailed)
        .await
        .unwrap();
    assert_eq!((member.state, member.role.as_str()), (MemberState::Invited, role));
    secret
}

async fn whoever_is_invited_says_yes_once_and_for_a_week(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let secret = invite(&acme, "ann@x.example", "EDITOR").await;
    let invited = accounts.invitation_view(&secret).await.unwrap().unwrap();
    assert_eq!((invited.tenant, invited.org), (acme.tenant, acme.org));
    assert!(accounts.invitation_view("iv_nonsense").await.unwrap().is_none());
    assert!(accounts.invitation_accept("iv_nonsense", BEGIN).await.unwrap().is_none());
    let tries = (0..10).map(|_| {
        let (accounts, secret) = (accounts.clone(), secret.clone());
        async move { accounts.invitation_accept(&secret, BEGIN).await.unwrap() }
    });
    let joined: Vec<_> = futures_util::future::join_all(tries).await.into_iter().flatten().collect();
    assert_eq!(
        (joined.len(), joined[0].session.account, joined[0].role.as_str()),
        (1, invited.account, "EDITOR")
    );
    assert_eq!(acme.store.member_view(acme.org, invited.account).await.unwrap().state, MemberState::Active);
    let entries = acme.store.audit_list(AuditCursor::NEWEST, 10).await.unwrap();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert!(actions.contains(&"USER_JOINED") && actions.contains(&"USER_INVITED"), "{actions:?}");
    // Whoever is a member is invited no more.
    let again = acme
        .store
        .member_invite(acme.org, &email("ann@x.example"), (&"VIEWER".parse().unwrap(), None), None)
        .await;
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
    if test.engine == Engine::Sqlite {
        let secret = invite(&acme, "bob@x.example", "EDITOR").await;
        let before = test.clock.now();
        test.clock.advance_millis(1000 * invitations::LIFETIME_SECONDS.unsigned_abs() - 1);
        assert!(accounts.invitation_view(&secret).await.unwrap().is_some(), "{before:?}");
        test.clock.advance_millis(1);
        assert!(accounts.invitation_view(&secret).await.unwrap().is_none());
        assert!(accounts.invitation_accept(&secret, BEGIN).await.unwrap().is_none());
    }
}

async fn an_invitation_is_withdrawn_with_the_membership_and_sent_again_as_another_one(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let first = invite(&acme, "ann@x.example", "EDITOR").await;
    let second = invite(&acme, "ann@x.example", "VIEWER").await;
    assert!(accounts.invitation_view(&first).await.unwrap().is_none(), "another one was sent");
    let invited = accounts.invitation_view(&second).await.unwrap().unwrap();
    acme.store.member_remove(acme.org, invited.account).await.unwrap();
    assert!(accounts.invitation_view(&second).await.unwrap().is_none());
    assert!(accounts.invitation_accept(&second, BEGIN).await.unwrap().is_none());
    assert_eq!(acme.store.member_view(acme.org, invited.account).await.unwrap().state, MemberState::Removed);
    // Where nobody may act for now, nobody comes in.
    let third = invite(&acme, "bob@x.example", "EDITOR").await;
    acme.store.tenant_suspend().await.unwrap();
    assert!(accounts.invitation_view(&third).await.unwrap().is_none());
    acme.store.tenant_resume().await.unwrap();
    assert!(accounts.invitation_view(&third).await.unwrap().is_some());
}
