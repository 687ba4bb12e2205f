//! Another address for an account.

use claviger::secret::Secret;
use claviger_store::accounts::AccountView;
use claviger_store::outbox::Letter;
use claviger_store::proofs::{NewAddress, Proving};
use claviger_store::refresh_tokens::{Begin, Session, Shown};
use claviger_store::testing::{TestStore, TestTenant, email};
use claviger_store::{Accounts, Email, StoreError, SystemPermit, on_every_backend};

on_every_backend!(
    an_account_has_another_address_once_that_is_proven_and_what_the_old_one_was_mailed_is_void,
    an_address_is_changed_for_nobody_else_and_not_after_anything_has_ended,
    of_many_who_want_one_address_at_once_one_has_it,
);

const BEGIN: Begin = Begin { lifetime_seconds: 3600, is_direct: true, how: "test", proven_under: None };

fn letter(to: &Email, text: &str) -> Letter {
    Letter { to: to.as_str().into(), subject: "Hello".into(), text: text.into() }
}

/// A link to that address, for what is to be proven.
async fn link(accounts: &Accounts, acme: &TestTenant, to: &Email, proving: Proving) -> String {
    let proof = accounts.proof();
    let secret = proof.expose_text().to_owned();
    accounts.proof_post((&acme.realm, to), proof, proving, letter(to, &secret)).await.unwrap();
    secret
}

async fn wish(accounts: &Accounts, acme: &TestTenant, of: &AccountView, to: &str) -> (String, NewAddress) {
    let wished = NewAddress { account: of.account, email: email(to), under: of.generation };
    let secret = link(accounts, acme, &wished.email, Proving::Change(wished.clone())).await;
    (secret, wished)
}

async fn change(
    accounts: &Accounts,
    (secret, wished): &(String, NewAddress),
    staying: &Session,
) -> Result<Option<AccountView>, StoreError> {
    let staying = (staying.session.tenant, staying.session.session);
    accounts.account_readdress(secret, wished, staying, letter(&email("old@x.example"), "changed")).await
}

async fn goes_on(accounts: &Accounts, session: &Session) -> bool {
    let text = session.refresh_token.expose_text().unwrap();
    accounts.session_refresh(&Shown::read(text).unwrap(), None).await.unwrap().is_ok()
}

/// The texts of all mail that waits.
async fn waiting(test: &TestStore) -> Vec<String> {
    let postman = test.store.system(&SystemPermit::for_job("mail"));
    let lease = postman.lease("mail", 60).await.unwrap().unwrap();
    let due = postman.mail_due(&lease, 100).await.unwrap();
    postman.lease_end(lease).await.unwrap();
    due.iter().map(|mail| mail.letter.as_ref().unwrap().text.clone()).collect()
}

async fn invite(acme: &TestTenant, address: &str) -> String {
    let invitation = acme.store.invitation();
    let secret = invitation.expose_text().to_owned();
    let mailed = Some((invitation, letter(&email(address), &secret)));
    let role = "VIEWER".parse().unwrap();
    acme.store.member_invite(acme.org, &email(address), (&role, None), mailed).await.unwrap();
    secret
}

/// An account that is a member of a tenant, and nothing besides.
async fn somebody(test: &TestStore, address: &str) -> (TestTenant, AccountView, Session) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let hash = Secret::new(b"$h".to_vec());
    let account = accounts.account_create(&acme.realm, &email(address), Some(hash)).await.unwrap();
    let (role, active) = ("VIEWER".parse().unwrap(), claviger::directory::MemberState::Active);
    acme.store.member_add(acme.org, &email(address), &role, active).await.unwrap();
    let session = accounts.session_begin(acme.tenant, acme.org, account.account, BEGIN).await.unwrap();
    (acme, account, session)
}

async fn an_account_has_another_address_once_that_is_proven_and_what_the_old_one_was_mailed_is_void(
    test: TestStore,
) {
    let (acme, ann, staying) = somebody(&test, "Ann@x.example").await;
    let accounts = test.operator().accounts();
    let other = accounts.session_begin(acme.tenant, acme.org, ann.account, BEGIN).await.unwrap();
    let elsewhere = acme.store.org_create("Second").await.unwrap().org;
    let beside = TestTenant { org: elsewhere, ..acme.clone() };
    let invited = invite(&beside, "ann@x.example").await;
    let old = email("ann@x.example");
    let reset = link(&accounts, &acme, &old, Proving::Password(ann.account)).await;
    let second = wish(&accounts, &acme, &ann, "third@y.example").await;
    let wished = wish(&accounts, &acme, &ann, "Ann@y.example").await;
    let seen = accounts.proof_view(&wished.0).await.unwrap();
    assert!(matches!(seen, Some(Proving::Change(seen)) if seen == wished.1));
    // What was mailed is of that millisecond; what is mailed later is good.
    test.clock.advance_millis(1);
    let changed = change(&accounts, &wished, &staying).await.unwrap().unwrap();
    let expected = (ann.account, "Ann@y.example", true, ann.generation + 1);
    assert_eq!(
        (changed.account, changed.email.as_str(), changed.email_verified, changed.generation),
        expected
    );
    assert!(accounts.account_find(&acme.realm, &old).await.unwrap().is_none());
    let password = accounts.account_password(ann.account).await.unwrap().password_hash;
    assert_eq!(password.unwrap().expose_text(), Some("$h"), "the password stays");
    // The session that did it goes on, and no other one.
    assert!(goes_on(&accounts, &staying).await && !goes_on(&accounts, &other).await);
    // Nothing that the old address was mailed is good for anything, and nothing else that was wished.
    assert!(accounts.invitation_view(&invited).await.unwrap().is_none());
    assert!(accounts.invitation_accept(&invited, BEGIN).await.unwrap().is_none());
    for secret in [&reset, &second.0, &wished.0] {
        assert!(accounts.proof_view(secret).await.unwrap().is_none());
    }
    assert!(change(&accounts, &wished, &staying).await.unwrap().is_none(), "it is for one use");
    // Nor is anything mailed there that was asked for before, and comes to it after.
    assert!(waiting(&test).await.contains(&"changed".to_owned()), "the old address is told");
    let late = link(&accounts, &acme, &old, Proving::Password(ann.account)).await;
    assert!(accounts.proof_view(&late).await.unwrap().is_none());
    assert_eq!(waiting(&test).await, [""; 0]);
    // It is somebody else's to have now; and an invitation to the new one is good.
    let next = accounts.account_create(&acme.realm, &old, None).await.unwrap();
    assert_ne!(next.account, ann.account);
    test.clock.advance_millis(1);
    let again = invite(&beside, "ann@y.example").await;
    assert_eq!(accounts.invitation_view(&again).await.unwrap().unwrap().account, ann.account);
}

async fn an_address_is_changed_for_nobody_else_and_not_after_anything_has_ended(test: TestStore) {
    let (acme, ann, staying) = somebody(&test, "ann@x.example").await;
    let accounts = test.operator().accounts();
    let bob = accounts.account_create(&acme.realm, &email("bob@x.example"), None).await.unwrap();
    // Somebody has it, however it is spelt.
    let taken = wish(&accounts, &acme, &ann, "BOB@x.example").await;
    let refused = change(&accounts, &taken, &staying).await;
    assert!(matches!(refused, Err(StoreError::AlreadyExists { what: "account" })), "{refused:?}");
    // Of another account, and what was mailed for something else, it is nobody's.
    let wished = wish(&accounts, &acme, &ann, "ann@y.example").await;
    let of_bob = NewAddress { account: bob.account, ..wished.1.clone() };
    assert_eq!(change(&accounts, &(wished.0.clone(), of_bob), &staying).await.unwrap(), None);
    let reset = link(&accounts, &acme, &email("ann@x.example"), Proving::Password(ann.account)).await;
    assert_eq!(change(&accounts, &(reset, wished.1.clone()), &staying).await.unwrap(), None);
    // Only its spelling may be another one.
    let spelt = wish(&accounts, &acme, &ann, "ANN@x.example").await;
    let spelt = change(&accounts, &spelt, &staying).await.unwrap().unwrap();
    assert_eq!((spelt.email.as_str(), spelt.generation), ("ANN@x.example", ann.generation + 1));
    // Whoever ends all that there is ends the wish too.
    let wished = wish(&accounts, &acme, &spelt, "ann@y.example").await;
    accounts.account_revoke(ann.account, claviger_store::Ends::Tokens).await.unwrap();
    assert_eq!(change(&accounts, &wished, &staying).await.unwrap(), None);
    // And nobody changes it who may not act, or has not proven the one that there is.
    let now = accounts.account_view(ann.account).await.unwrap();
    let wished = wish(&accounts, &acme, &now, "ann@y.example").await;
    accounts.account_suspend(ann.account).await.unwrap();
    assert_eq!(change(&accounts, &wished, &staying).await.unwrap(), None);
    assert_eq!(accounts.account_view(ann.account).await.unwrap().email, "ANN@x.example");
}

async fn of_many_who_want_one_address_at_once_one_has_it(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let mut wishes = Vec::new();
    let staying = accounts.session_begin(acme.tenant, acme.org, acme.owner, BEGIN).await.unwrap();
    for at in 0..6 {
        let address = email(&format!("ann{at}@x.example"));
        let account = accounts.account_create(&acme.realm, &address, None).await.unwrap();
        wishes.push(wish(&accounts, &acme, &account, "wanted@y.example").await);
    }
    let all =
        futures_util::future::join_all(wishes.iter().map(|wish| change(&accounts, wish, &staying))).await;
    let had = all.iter().filter(|changed| matches!(changed, Ok(Some(_)))).count();
    assert_eq!(had, 1, "{all:?}");
    assert!(
        all.iter().all(|changed| matches!(
            changed,
            Ok(Some(_)) | Err(StoreError::AlreadyExists { what: "account" })
        ))
    );
    assert!(accounts.account_find(&acme.realm, &email("wanted@y.example")).await.unwrap().is_some());
}
