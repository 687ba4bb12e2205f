//! Sessions that are prolonged, and tries to sign in.

use claviger::clock::Clock;
use claviger::directory::MemberState;
use claviger::secret::Secret;
use claviger_store::audit::AuditCursor;
use claviger_store::members::NewRole;
use claviger_store::refresh_tokens::{Begin, GRACE_SECONDS, NotRefreshed, Session, Shown, TOKEN_PREFIX};
use claviger_store::sign_in_failures::{MOST, MOST_OF_A_BLOCK, MOST_SIGN_UPS, SPAN_SECONDS};
use claviger_store::sign_up::{NewTenant, UNPROVEN_OWNER};
use claviger_store::testing::{TestStore, TestTenant, email};
use claviger_store::{Accounts, Ends, StoreError, on_every_backend};

on_every_backend!(
    q11_a_refresh_token_is_for_one_use_and_its_successor_for_the_next,
    q11_a_repeat_gives_the_same_successor_for_a_while_and_then_ends_the_session,
    a_clock_that_is_set_back_ends_no_session_and_makes_no_grace_longer,
    q11_of_a_hundred_who_refresh_at_once_all_get_one_successor,
    what_is_made_up_ends_nobodys_session,
    a_session_whose_ground_is_gone_is_not_prolonged,
    tries_are_counted_alike_for_everybody_and_forgotten_with_success,
    many_addresses_from_one_block_are_counted_together_and_success_gives_its_try_back,
    a_session_that_was_proven_with_another_password_does_not_begin,
    whoever_goes_on_elsewhere_is_in_the_audit_they_come_from,
    what_an_address_is_given_waits_for_its_proof,
);

const LONG: i64 = 30 * 24 * 3600;
const BEGIN: Begin = Begin { lifetime_seconds: LONG, is_direct: true, how: "test", proven_under: None };

async fn begin(test: &TestStore, acme: &TestTenant) -> (Accounts, Session) {
    let accounts = test.operator().accounts();
    let session = accounts.session_begin(acme.tenant, acme.org, acme.owner, BEGIN).await.unwrap();
    (accounts, session)
}

fn text(session: &Session) -> String {
    session.refresh_token.expose_text().unwrap().to_owned()
}

async fn refresh(accounts: &Accounts, token: &str) -> Result<Session, NotRefreshed> {
    accounts.session_refresh(&Shown::read(token).unwrap(), None).await.unwrap()
}

async fn q11_a_refresh_token_is_for_one_use_and_its_successor_for_the_next(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let (accounts, first) = begin(&test, &acme).await;
    let mut token = text(&first);
    for _ in 0..5 {
        test.clock.advance_millis(3_600_000);
        let next = refresh(&accounts, &token).await.unwrap();
        assert_eq!((next.session.session, next.role.as_str()), (first.session.session, "ADMIN"));
        assert_ne!(text(&next), token);
        token = text(&next);
    }
    // Nothing that a decision reads was written.
    let again = accounts.session_view(acme.tenant, first.session.session).await.unwrap();
    assert_eq!(again, first.session);
    // The token stands nowhere.
    test.clock.advance_millis(u64::try_from(LONG).unwrap() * 1000);
    assert_eq!(
        refresh(&accounts, &token).await.unwrap_err(),
        NotRefreshed::Unknown,
        "past its session's end"
    );
}

async fn q11_a_repeat_gives_the_same_successor_for_a_while_and_then_ends_the_session(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let (accounts, first) = begin(&test, &acme).await;
    let second = text(&refresh(&accounts, &text(&first)).await.unwrap());
    for millis in [0, 19_000] {
        test.clock.advance_millis(millis);
        assert_eq!(text(&refresh(&accounts, &text(&first)).await.unwrap()), second);
    }
    // Used: from then on the first is an old one, even within its time.
    let third = text(&refresh(&accounts, &second).await.unwrap());
    assert_eq!(refresh(&accounts, &text(&first)).await.unwrap_err(), NotRefreshed::Unknown);
    let ended = accounts.session_view(acme.tenant, first.session.session).await.unwrap();
    assert!(ended.ended, "the session has ended");
    assert_eq!(
        refresh(&accounts, &third).await.unwrap_err(),
        NotRefreshed::Unknown,
        "and with it the good one"
    );

    // Late, though the successor is unused.
    let (accounts, first) = begin(&test, &acme).await;
    refresh(&accounts, &text(&first)).await.unwrap();
    test.clock.advance_millis(u64::try_from(GRACE_SECONDS).unwrap() * 1000);
    assert_eq!(refresh(&accounts, &text(&first)).await.unwrap_err(), NotRefreshed::Unknown);
    assert!(accounts.session_view(acme.tenant, first.session.session).await.unwrap().ended);
}

async fn a_clock_that_is_set_back_ends_no_session_and_makes_no_grace_longer(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let used_at = test.clock.now();
    let back = |seconds: i64| test.clock.set_now(used_at.plus_seconds(-seconds));
    let (accounts, first) = begin(&test, &acme).await;
    let next = refresh(&accounts, &text(&first)).await.unwrap();
    // A little, as clocks are corrected: whoever has lost the answer gets it again.
    back(5);
    assert_eq!(text(&refresh(&accounts, &text(&first)).await.unwrap()), text(&next));
    // By an hour: the good one goes on, back and forth.
    back(3600);
    let third = refresh(&accounts, &text(&next)).await.unwrap();
    test.clock.set_now(used_at);
    let fourth = refresh(&accounts, &text(&third)).await.unwrap();
    refresh(&accounts, &text(&fourth)).await.unwrap();
    // And one that was used before is nobody's by then, whatever the clock says.
    let (accounts, first) = begin(&test, &acme).await;
    refresh(&accounts, &text(&first)).await.unwrap();
    back(3600);
    assert_eq!(refresh(&accounts, &text(&first)).await.unwrap_err(), NotRefreshed::Unknown);
    assert!(accounts.session_view(acme.tenant, first.session.session).await.unwrap().ended);
}

async fn q11_of_a_hundred_who_refresh_at_once_all_get_one_successor(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let (accounts, first) = begin(&test, &acme).await;
    let token = text(&first);
    let all = futures_util::future::join_all((0..100).map(|_| refresh(&accounts, &token))).await;
    let next: std::collections::BTreeSet<String> =
        all.iter().map(|session| text(session.as_ref().unwrap())).collect();
    assert_eq!(next.len(), 1);
    refresh(&accounts, next.first().unwrap()).await.unwrap();
}

async fn what_is_made_up_ends_nobodys_session(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let (accounts, first) = begin(&test, &acme).await;
    let token = text(&first);
    for wrong in ["", TOKEN_PREFIX, "rt_x", &token[..token.len() - 1], &format!("{token}A"), &token[3..]] {
        assert!(Shown::read(wrong).is_none(), "{wrong}");
    }
    // Whoever knows the session, as everybody does who sees a token of it, changes what they do not know.
    let other = accounts.session_begin(acme.tenant, acme.org, acme.owner, BEGIN).await.unwrap();
    let cut = token.len() - 43;
    let mixed = format!("{}{}", &token[..cut], &text(&other)[cut..]);
    let mut turned = token.clone().into_bytes();
    let last = turned.len() - 6;
    turned[last] = if turned[last] == b'A' { b'B' } else { b'A' };
    for wrong in [mixed, String::from_utf8(turned).unwrap()] {
        let Some(shown) = Shown::read(&wrong) else { continue };
        assert_eq!(accounts.session_refresh(&shown, None).await.unwrap().unwrap_err(), NotRefreshed::Unknown);
        assert!(!accounts.session_end_by(&shown).await.unwrap());
    }
    refresh(&accounts, &token).await.unwrap();
    // Signing out by it works once, and says so.
    let shown = text(&other);
    assert!(accounts.session_end_by(&Shown::read(&shown).unwrap()).await.unwrap());
    assert!(accounts.session_view(acme.tenant, other.session.session).await.unwrap().ended);
    assert_eq!(refresh(&accounts, &shown).await.unwrap_err(), NotRefreshed::Unknown);
}

async fn a_session_whose_ground_is_gone_is_not_prolonged(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let accounts = test.operator().accounts();
    let token = async || {
        let begun = accounts.session_begin(acme.tenant, acme.org, ann, BEGIN).await.unwrap();
        text(&begun)
    };
    let (unknown, not_active) = (NotRefreshed::Unknown, NotRefreshed::NotActive);
    let before = token().await;
    acme.store.member_suspend(acme.org, ann).await.unwrap();
    assert_eq!(refresh(&accounts, &before).await.unwrap_err(), not_active);
    acme.store.member_resume(acme.org, ann).await.unwrap();
    let role: claviger::id::RoleName = "VIEWER".parse().unwrap();
    acme.store
        .member_update_role(acme.org, ann, NewRole { to: role.clone(), within: Vec::new() })
        .await
        .unwrap();
    let next = refresh(&accounts, &before).await.unwrap();
    assert_eq!(next.role, role, "the role of now");
    acme.store.member_revoke(acme.org, ann, Ends::Tokens).await.unwrap();
    assert_eq!(refresh(&accounts, &text(&next)).await.unwrap_err(), unknown);
    let before = token().await;
    acme.store.tenant_suspend().await.unwrap();
    assert_eq!(refresh(&accounts, &before).await.unwrap_err(), not_active);
    acme.store.tenant_resume().await.unwrap();
    accounts.account_revoke(ann, Ends::Tokens).await.unwrap();
    assert_eq!(refresh(&accounts, &before).await.unwrap_err(), unknown);
    let before = token().await;
    acme.store.member_remove(acme.org, ann).await.unwrap();
    assert_eq!(refresh(&accounts, &before).await.unwrap_err(), unknown);
    assert!(accounts.session_begin(acme.tenant, acme.org, ann, BEGIN).await.is_err());
}

async fn tries_are_counted_alike_for_everybody_and_forgotten_with_success(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let trying = |address: &str, block: &str| accounts.trying(&acme.realm, &email(address), block);
    for address in ["owner@acme.example", "nobody@acme.example"] {
        let whose = trying(address, "203.0.113.0/24");
        for _ in 0..MOST {
            assert_eq!(accounts.sign_in_try(whose.clone()).await.unwrap(), None);
        }
        let until = accounts.sign_in_try(whose.clone()).await.unwrap().unwrap();
        assert_eq!(until, test.clock.now().plus_seconds(SPAN_SECONDS));
        // From elsewhere the same address is tried anew, and the same place tries another address.
        assert_eq!(accounts.sign_in_try(trying(address, "198.51.100.0/24")).await.unwrap(), None);
        assert_eq!(accounts.sign_in_try(trying("other@acme.example", "203.0.113.0/24")).await.unwrap(), None);
        assert_eq!(trying(&address.to_uppercase(), "203.0.113.0/24"), whose, "as addresses are compared");
    }
    let whose = trying("owner@acme.example", "203.0.113.0/24");
    test.clock.advance_millis(u64::try_from(SPAN_SECONDS).unwrap() * 1000 + 1);
    assert_eq!(accounts.sign_in_try(whose.clone()).await.unwrap(), None, "a while later it begins anew");
    for _ in 1..MOST {
        accounts.sign_in_try(whose.clone()).await.unwrap();
    }
    accounts.sign_in_done(whose.clone()).await.unwrap();
    assert_eq!(accounts.sign_in_try(whose).await.unwrap(), None);
    // Of many at once each counts.
    let whose = trying("many@acme.example", "203.0.113.0/24");
    let all = futures_util::future::join_all((0..30).map(|_| accounts.sign_in_try(whose.clone()))).await;
    let let_through = all.iter().filter(|tried| matches!(tried, Ok(None))).count();
    assert_eq!(i64::try_from(let_through).unwrap(), MOST);
    // Sign-ups are counted by the block alone, apart from tries to sign in.
    let up = |block: &str| accounts.signing_up(&acme.realm, block);
    for _ in 0..MOST_SIGN_UPS {
        assert_eq!(accounts.sign_in_try(up("203.0.113.0/24")).await.unwrap(), None);
    }
    assert!(accounts.sign_in_try(up("203.0.113.0/24")).await.unwrap().is_some());
    assert_eq!(accounts.sign_in_try(up("198.51.100.0/24")).await.unwrap(), None);
}

async fn many_addresses_from_one_block_are_counted_together_and_success_gives_its_try_back(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let trying = |at: i64| {
        accounts.trying(&acme.realm, &email(&format!("somebody-{at}@acme.example")), "203.0.113.9/32")
    };
    for at in 0..MOST_OF_A_BLOCK {
        assert_eq!(accounts.sign_in_try(trying(at)).await.unwrap(), None, "{at}");
    }
    // Who succeeds gives back the one that was counted, and no other.
    accounts.sign_in_done(trying(0)).await.unwrap();
    assert_eq!(accounts.sign_in_try(trying(-1)).await.unwrap(), None);
    assert!(accounts.sign_in_try(trying(-2)).await.unwrap().is_some());
    let elsewhere = accounts.trying(&acme.realm, &email("somebody-1@acme.example"), "203.0.113.10/32");
    assert_eq!(accounts.sign_in_try(elsewhere).await.unwrap(), None);
}

async fn a_session_that_was_proven_with_another_password_does_not_begin(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let (accounts, staying) = begin(&test, &acme).await;
    let (_, other) = begin(&test, &acme).await;
    let hash = |text: &str| Secret::new(text.as_bytes().to_vec());
    // Somebody has compared the old password, and is about to begin.
    let compared = accounts.account_password(acme.owner).await.unwrap().account.generation;
    let stays = Some((acme.tenant, staying.session.session));
    accounts.account_set_password(acme.owner, (hash("$argon2id$new"), None), stays, None).await.unwrap();
    let late = Begin { proven_under: Some(compared), ..BEGIN };
    let begun = accounts.session_begin(acme.tenant, acme.org, acme.owner, late).await.unwrap_err();
    assert_eq!(begun, StoreError::NotFound { what: "membership" });
    // Of those that were there the one that asked goes on, and no other.
    let refreshed = |session: &Session| {
        let token = text(session);
        let accounts = accounts.clone();
        async move { accounts.session_refresh(&Shown::read(&token).unwrap(), None).await.unwrap() }
    };
    assert!(refreshed(&staying).await.is_ok());
    assert_eq!(refreshed(&other).await.unwrap_err(), NotRefreshed::Unknown);
    let now = Begin { proven_under: Some(compared + 1), ..BEGIN };
    accounts.session_begin(acme.tenant, acme.org, acme.owner, now).await.unwrap();
}

async fn whoever_goes_on_elsewhere_is_in_the_audit_they_come_from(test: TestStore) {
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    let (accounts, session) = begin(&test, &acme).await;
    let token = text(&session);
    let towards = Some((rival.tenant, rival.org));
    accounts.session_refresh(&Shown::read(&token).unwrap(), towards).await.unwrap().unwrap();
    let entries = acme.store.audit_list(AuditCursor::NEWEST, 10).await.unwrap();
    let switched = entries.iter().find(|entry| entry.action == "SESSION_SWITCHED").unwrap();
    assert_eq!(switched.details["to_tenant"], rival.tenant.to_string());
    // One that did not begin with a password goes nowhere, and its token is not used up.
    let indirect = Begin { is_direct: false, ..BEGIN };
    let session = accounts.session_begin(acme.tenant, acme.org, acme.owner, indirect).await.unwrap();
    let token = text(&session);
    let refused = accounts.session_refresh(&Shown::read(&token).unwrap(), towards).await.unwrap();
    assert_eq!(refused.unwrap_err(), NotRefreshed::NotActive);
    test.clock.advance_millis(1000 * (GRACE_SECONDS.unsigned_abs() + 1));
    assert!(accounts.session_refresh(&Shown::read(&token).unwrap(), None).await.unwrap().is_ok());
}

async fn what_an_address_is_given_waits_for_its_proof(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let accounts = test.operator().accounts();
    let new = |unproven_owner| NewTenant {
        realm: acme.realm.clone(),
        name: "Rival".into(),
        plan: "Starter".parse().unwrap(),
        organization: "Rival HQ".into(),
        owner: email("Ceo@Acme.example"),
        password_hash: None,
        unproven_owner,
    };
    // Somebody says that the address is theirs.
    let stranger = accounts.sign_up(new(false), BEGIN, false).await.unwrap().session.account;
    assert!(accounts.account_view(stranger).await.unwrap().may_be_anothers());
    let (address, admin) = (email("ceo@acme.example"), "ADMIN".parse().unwrap());
    let added = acme.store.member_add(acme.org, &address, &admin, MemberState::Active).await.unwrap();
    assert_eq!((added.account, added.state), (stranger, MemberState::Invited));
    let entries = acme.store.audit_list(AuditCursor::NEWEST, 1).await.unwrap();
    assert_eq!(entries[0].details["state"], "invited");
    let refused = test.operator().tenant_create(new(false)).await.unwrap_err();
    assert_eq!(refused, StoreError::Refused { why: UNPROVEN_OWNER });
    assert_eq!(test.operator().tenant_create(new(true)).await.unwrap().account, stranger);
    // Where somebody let them in, they are known there.
    acme.store.member_let_in(acme.org, stranger).await.unwrap();
    let second = acme.store.org_create("Second").await.unwrap().org;
    let added = acme.store.member_add(second, &address, &admin, MemberState::Active).await.unwrap();
    assert_eq!(added.state, MemberState::Active);
    // And everywhere, once they have proved it.
    accounts.account_verify_email(stranger).await.unwrap();
    assert!(!test.operator().tenant_create(new(false)).await.unwrap().account_is_new);
}
