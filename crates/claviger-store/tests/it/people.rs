//! Accounts, sessions, user secrets, signing keys, revoked tokens and the audit.

use claviger::clock::Clock;
use claviger::clock::UnixMillis;
use claviger::directory::{Floor, Generations, MemberState, State};
use claviger::id::{ApiName, RoleName, TokenId};
use claviger::key_set::Algorithm;
use claviger::random::SystemRandom;
use claviger::secret::Secret;
use claviger_store::api_keys::NewApiKey;
use claviger_store::audit::AuditCursor;
use claviger_store::members::NewRole;
use claviger_store::signing_keys::{KeyState, Line, Schedule, Turn};
use claviger_store::subject::{Record, Subject};
use claviger_store::testing::{Engine, START, TestStore, TestTenant, email};
use claviger_store::user_secret_uses::UserSecretUse;
use claviger_store::{Actor, Ends, StoreError, SystemPermit, on_every_backend};
use tokio_postgres::NoTls;

use crate::api_keys::new_key;
use crate::feed::tamper;

on_every_backend!(
    accounts_are_one_per_address_and_realm,
    a_session_is_made_under_the_generations_of_its_moment,
    a_user_has_one_secret_per_api_which_dies_with_the_membership,
    of_two_who_ask_at_once_both_get_one_secret,
    when_a_token_was_last_used_is_the_latest_that_anybody_tells,
    a_user_secret_hangs_on_one_membership,
    a_member_who_comes_back_has_no_live_secret,
    store_08_one_row_ends_all_that_hangs_on_it,
    keys_and_user_secrets_are_made_under_the_numbers_of_their_moment,
    tokens_of_foreign_issuers_do_not_come_back_with_the_member,
    core_10_a_subject_that_is_linked_again_begins_anew,
    signing_keys_take_turns,
    signing_keys_take_turns_by_themselves,
    signing_keys_are_replaced_at_once,
    revoked_tokens_are_kept_until_they_end,
    store_03_times_are_the_stores_whatever_the_node_thinks,
    store_03_a_node_whose_clock_goes_ahead_loads_and_keeps_what_is_revoked,
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
    assert_eq!(accounts.account_password(made.account).await.unwrap().password_hash, hash());
    assert_eq!(accounts.account_password(elsewhere.account).await.unwrap().password_hash, None);
    accounts
        .account_set_password(made.account, (Secret::new(b"$argon2id$y".to_vec()), None), None, None)
        .await
        .unwrap();
    accounts.account_verify_email(made.account).await.unwrap();
    accounts.account_suspend(made.account).await.unwrap();
    let view = accounts.account_view(made.account).await.unwrap();
    assert!(view.email_verified && view.state == State::Suspended);
    accounts.account_resume(made.account).await.unwrap();
    assert_eq!(accounts.account_revoke(made.account, Ends::Tokens).await.unwrap(), 3);
    assert!(accounts.account_create(&"nowhere".parse().unwrap(), &email("a@x.example"), None).await.is_err());
}

async fn a_session_is_made_under_the_generations_of_its_moment(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    acme.store.tenant_revoke(Ends::Tokens).await.unwrap();
    acme.store.member_revoke(acme.org, ann, Ends::Tokens).await.unwrap();
    acme.store.member_revoke(acme.org, ann, Ends::Tokens).await.unwrap();
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

async fn a_user_secret_hangs_on_one_membership(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let branch = acme.store.org_create("Branch").await.unwrap().org;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let (role, address) = ("EDITOR".parse().unwrap(), email("ann@acme.example"));
    acme.store.member_add(branch, &address, &role, MemberState::Active).await.unwrap();
    let api: ApiName = "syncello".parse().unwrap();
    let first = acme.store.user_secret_issue(&api, acme.org, ann).await.unwrap();
    for answer in [
        acme.store.user_secret_issue(&api, branch, ann).await,
        acme.store.user_secret_regenerate(&api, branch, ann).await,
    ] {
        assert!(matches!(answer, Err(StoreError::Refused { .. })), "{answer:?}");
    }
    assert_eq!(acme.store.user_secret_issue(&api, acme.org, ann).await.unwrap(), first, "untouched");
    acme.store.user_secret_revoke(&api, ann).await.unwrap();
    assert_eq!(acme.store.user_secret_issue(&api, branch, ann).await.unwrap().org, branch);
}

async fn a_member_who_comes_back_has_no_live_secret(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let api: ApiName = "syncello".parse().unwrap();
    acme.store.user_secret_issue(&api, acme.org, ann).await.unwrap();
    acme.store.member_remove(acme.org, ann).await.unwrap();
    tamper(&test, "UPDATE user_secret SET revoked = 0").await;
    acme.member("ann@acme.example", "EDITOR").await;
    let left = acme.store.user_secret_revoke(&api, ann).await.unwrap_err();
    assert_eq!(left, StoreError::NotFound { what: "user secret" });
}

#[tokio::test]
async fn a_secret_is_not_made_beside_the_removal_of_its_member() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let (mut removal, connection) = tokio_postgres::connect(&test.settings.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let removal = removal.transaction().await.unwrap();
    let remove = format!(
        "SET LOCAL app.tenant = '{}'; UPDATE member SET state = 'removed' WHERE account_id = '{}'",
        acme.tenant, acme.owner
    );
    removal.batch_execute(&remove).await.unwrap();
    let (store, org, owner) = (acme.store.clone(), acme.org, acme.owner);
    let issue =
        tokio::spawn(
            async move { store.user_secret_regenerate(&"syncello".parse().unwrap(), org, owner).await },
        );
    let (watcher, connection) =
        tokio_postgres::connect(test.owner_url.as_ref().unwrap(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let waits =
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watcher.query(waits, &[]).await.unwrap().is_empty() {
        assert!(!issue.is_finished(), "it was made beside the removal");
    }
    removal.commit().await.unwrap();
    let refused = issue.await.unwrap();
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
}

const ISSUER: &str = "https://id.example";

/// The time floor of a subject's link.
async fn floor(test: &TestStore, tenant: &TestTenant, subject: &str) -> UnixMillis {
    let subject = Subject::ForeignIdentity(tenant.tenant, ISSUER.into(), subject.into());
    let loaded = test.store.source().load(vec![subject]).await.unwrap();
    let Some((_, Record::ForeignIdentity(link))) = &loaded[0].found else { panic!("the link is there") };
    link.not_before
}

/// What has been ended of whom `subject` is.
async fn ended(test: &TestStore, subject: Subject) -> Floor {
    let loaded = test.store.source().load(vec![subject]).await.unwrap();
    match &loaded[0].found {
        Some((_, Record::Tenant(found))) => found.floor,
        Some((_, Record::Org(found))) => found.floor,
        Some((_, Record::Account(found))) => found.floor,
        Some((_, Record::Member(found))) => found.floor,
        _ => panic!("it is there, and has a floor"),
    }
}

async fn store_08_one_row_ends_all_that_hangs_on_it(test: TestStore) {
    let (acme, rival) = (test.tenant("Acme").await, test.tenant("Rival").await);
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    acme.store.foreign_identity_link(ISSUER, "ann", ann).await.unwrap();
    let subjects = [
        Subject::Member(acme.tenant, acme.org, ann),
        Subject::Org(acme.tenant, acme.org),
        Subject::Account(ann),
        Subject::Tenant(acme.tenant),
        Subject::Tenant(rival.tenant),
    ];
    let floors = async || {
        let mut floors = Vec::new();
        for subject in &subjects {
            floors.push(ended(&test, subject.clone()).await);
        }
        floors
    };
    let mut expected = vec![Floor::default(); 5];
    assert_eq!(floors().await, expected);
    let source = test.store.source();
    let mut after = source.revoked_tokens().await.unwrap().1;
    for at in 0..4 {
        for ends in [Ends::Tokens, Ends::Everything] {
            test.clock.advance_millis(10_300);
            let generation = match at {
                0 => acme.store.member_revoke(acme.org, ann, ends).await,
                1 => acme.store.org_revoke(acme.org, ends).await,
                2 => test.store.accounts().account_revoke(ann, ends).await,
                _ => acme.store.tenant_revoke(ends).await,
            };
            let floor = &mut expected[at];
            floor.generation += 1;
            floor.credentials += i64::from(ends == Ends::Everything);
            // The first second after: how far ahead an issuer's clock may be is for the door to add.
            floor.tokens_from = UnixMillis::from_seconds(test.clock.now().seconds() + 1);
            assert_eq!(generation.unwrap(), floor.generation);
            assert_eq!(floors().await, expected);
            let poll = source.poll(after).await.unwrap();
            after = poll.cursor;
            let heard: Vec<&Subject> = poll.changes.iter().map(|change| &change.subject).collect();
            assert_eq!(heard, [&subjects[at]], "one row, whatever hangs on it");
        }
    }
    // A clock that was set back takes no floor back.
    test.store.clock_is_ahead(-3_600_000);
    acme.store.tenant_revoke(Ends::Tokens).await.unwrap();
    expected[3].generation += 1;
    assert_eq!(floors().await, expected);
}

async fn keys_and_user_secrets_are_made_under_the_numbers_of_their_moment(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let api: ApiName = "syncello".parse().unwrap();
    let load = async |subject: Subject| {
        test.store.source().load(vec![subject]).await.unwrap().remove(0).found.unwrap().1
    };
    let key_under = async |digest| match load(Subject::Key(digest)).await {
        Record::Key(key) => key.made_under,
        _ => panic!("a key"),
    };
    let first = acme.store.key_create(new_key(&acme)).await.unwrap();
    let secret = acme.store.user_secret_issue(&api, acme.org, acme.owner).await.unwrap();
    acme.store.tenant_revoke(Ends::Everything).await.unwrap();
    acme.store.org_revoke(acme.org, Ends::Everything).await.unwrap();
    acme.store.org_revoke(acme.org, Ends::Everything).await.unwrap();
    let second = acme.store.key_create(new_key(&acme)).await.unwrap();
    assert_eq!(key_under(first.key.digest).await, 2);
    assert_eq!(key_under(second.key.digest).await, 5);
    let rotated = acme.store.key_rotate(first.view.key, 0).await.unwrap();
    assert_eq!(key_under(rotated.key.digest).await, 2, "what was ended does not come back");
    acme.store.member_revoke(acme.org, acme.owner, Ends::Everything).await.unwrap();
    let secret_under = async |kid: &str| match load(Subject::UserSecret(kid.into())).await {
        Record::UserSecret(secret) => secret.made_under,
        _ => panic!("a secret"),
    };
    assert_eq!(secret_under(&secret.kid).await, Generations::default());
    let fresh = acme.store.user_secret_issue(&api, acme.org, acme.owner).await.unwrap();
    assert_ne!(fresh.kid, secret.kid, "an ended one is replaced");
    assert_eq!(secret_under(&fresh.kid).await, Generations { tenant: 2, org: 3, account: 1, member: 2 });
    let again = acme.store.user_secret_issue(&api, acme.org, acme.owner).await.unwrap();
    assert_eq!(again.kid, fresh.kid);
}

async fn tokens_of_foreign_issuers_do_not_come_back_with_the_member(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    acme.store.member_remove(acme.org, ann).await.unwrap();
    test.clock.advance_millis(60_000);
    acme.member("ann@acme.example", "EDITOR").await;
    let floor = ended(&test, Subject::Member(acme.tenant, acme.org, ann)).await;
    assert_eq!(floor.tokens_from, START.plus_seconds(1));
}

async fn core_10_a_subject_that_is_linked_again_begins_anew(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let bob = acme.member("bob@acme.example", "VIEWER").await;
    let relink = async |account| {
        acme.store.foreign_identity_unlink(ISSUER, "subject").await.unwrap();
        acme.store.foreign_identity_link(ISSUER, "subject", account).await.unwrap();
        floor(&test, &acme, "subject").await
    };
    acme.store.foreign_identity_link(ISSUER, "subject", ann).await.unwrap();
    assert_eq!(floor(&test, &acme, "subject").await, UnixMillis(0), "what it was issued before counts");
    test.clock.advance_millis(60_300);
    assert_eq!(relink(bob).await, START.plus_seconds(61), "what was Ann's is not Bob's");
    test.clock.advance_millis(60_000);
    assert_eq!(relink(bob).await, START.plus_seconds(121), "nor that of whoever is meant by it again");
    let late = START.plus_seconds(3600);
    acme.store.foreign_identity_not_before(ISSUER, "subject", late).await.unwrap();
    assert_eq!(relink(ann).await, late, "a floor never goes back");
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
    assert_eq!(test.system().revoked_token_sweep().await.unwrap(), 0, "ended, and kept for a day");
    assert_eq!(source.revoked_tokens().await.unwrap().0.len(), 2);
    test.clock.advance_millis(86_400_000);
    assert_eq!(test.system().revoked_token_sweep().await.unwrap(), 1);
    assert_eq!(source.revoked_tokens().await.unwrap().0.len(), 1);
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

/// As far as clocks may be apart, either way.
const APART: [i64; 2] = [2000, -2000];

async fn store_03_times_are_the_stores_whatever_the_node_thinks(test: TestStore) {
    let acme = test.tenant("Acme").await;
    for millis in APART {
        test.store.clock_is_ahead(millis);
        let there = UnixMillis(START.0 + millis);
        let session = acme.store.session_create(acme.org, acme.owner, 3600).await.unwrap();
        assert_eq!(session.expires_at, there.plus_seconds(3600));
        let made = acme.store.key_create(new_key(&acme)).await.unwrap();
        assert_eq!((made.view.created_at, made.view.secrets[0].created_at), (there, there));
        let over = NewApiKey { expires_at: Some(there), ..new_key(&acme) };
        assert!(acme.store.key_create(over).await.is_err(), "ended by the store's clock");
        let open = NewApiKey { expires_at: Some(there.plus_millis(1)), ..new_key(&acme) };
        acme.store.key_create(open).await.unwrap();
        let member = acme.member(&format!("m{millis}@acme.example"), "EDITOR").await;
        acme.store.member_revoke(acme.org, member, Ends::Tokens).await.unwrap();
        let floor = ended(&test, Subject::Member(acme.tenant, acme.org, member)).await.tokens_from;
        assert!(floor.0 > there.0 && floor.0 <= there.0 + 1000, "{} {}", floor.0, there.0);
        let audit = acme.store.audit_list(AuditCursor::NEWEST, 100).await.unwrap();
        let told = audit.iter().filter(|entry| entry.action == "KEY_CREATED" && entry.created_at == there);
        assert_eq!(told.count(), 2);
    }
}

#[tokio::test]
async fn store_03_while_clocks_disagree_nothing_is_granted_and_all_is_withdrawn() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let api: ApiName = "syncello".parse().unwrap();
    let ann = acme.member("ann@acme.example", "EDITOR").await;
    let session = acme.store.session_create(acme.org, ann, 3600).await.unwrap();
    let off = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
    acme.store.key_disable(off).await.unwrap();
    for millis in [2001, -2001, 2 * 3_600_000, -2 * 3_600_000] {
        test.store.clock_is_ahead(0);
        let key = acme.store.key_create(new_key(&acme)).await.unwrap().view.key;
        test.store.clock_is_ahead(millis);
        let role: RoleName = "ADMIN".parse().unwrap();
        let grants = [
            acme.store.key_create(new_key(&acme)).await.map(drop),
            acme.store.key_rotate(key, 60).await.map(drop),
            acme.store.key_enable(off).await.map(drop),
            acme.store.session_create(acme.org, ann, 3600).await.map(drop),
            acme.store.user_secret_issue(&api, acme.org, ann).await.map(drop),
            acme.store.foreign_identity_link(ISSUER, "ann", ann).await.map(drop),
            acme.store
                .member_update_role(acme.org, ann, NewRole { to: role.clone(), within: Vec::new() })
                .await
                .map(drop),
            acme.store
                .member_add(acme.org, &email("x@acme.example"), &role, MemberState::Active)
                .await
                .map(drop),
            acme.store.tenant_resume().await.map(drop),
        ];
        assert!(grants.iter().all(|grant| *grant == Err(StoreError::ClockOff(millis))), "{grants:?}");
        acme.store.key_revoke(key).await.unwrap();
        acme.store.member_suspend(acme.org, ann).await.unwrap();
        acme.store.token_revoke(TokenId::generate(&SystemRandom), START.plus_seconds(60)).await.unwrap();
        acme.store.tenant_revoke(Ends::Everything).await.unwrap();
        acme.store.tenant_suspend().await.unwrap();
        test.store.clock_is_ahead(0);
        acme.store.tenant_resume().await.unwrap();
        acme.store.member_resume(acme.org, ann).await.unwrap();
    }
    test.store.clock_is_ahead(7_200_000);
    acme.store.session_end(session.session).await.unwrap();
}

async fn store_03_a_node_whose_clock_goes_ahead_loads_and_keeps_what_is_revoked(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let token = TokenId::generate(&SystemRandom);
    acme.store.token_revoke(token, START.plus_seconds(3600)).await.unwrap();
    let source = test.store.source();
    let revoked = async || source.revoked_tokens().await.unwrap().0.len();
    // A day ahead of when it ends: loaded, and not swept.
    let kept = claviger::clock::LEEWAY_SECONDS.unsigned_abs() + 86_400;
    test.clock.advance_millis((3600 + kept) * 1000);
    assert_eq!((test.system().revoked_token_sweep().await.unwrap(), revoked().await), (0, 1));
    test.clock.advance_millis(1);
    assert_eq!((test.system().revoked_token_sweep().await.unwrap(), revoked().await), (1, 0));
}

async fn when_a_token_was_last_used_is_the_latest_that_anybody_tells(test: TestStore) {
    let acme = test.tenant("Acme").await;
    let api: ApiName = "syncello".parse().unwrap();
    let kid = acme.store.user_secret_issue(&api, acme.org, acme.owner).await.unwrap().kid;
    assert_eq!(acme.store.user_secret_last_used(&kid).await.unwrap(), None);
    let system = test.store.system(&SystemPermit::for_job("last-uses"));
    let used = |kid: &str, at: i64| UserSecretUse {
        tenant: acme.tenant,
        kid: kid.into(),
        at: UnixMillis(at),
        address: Some([127, 0, 0, 1].into()),
    };
    // One of a secret that is not there is passed over, and an earlier one changes nothing.
    system.user_secrets_used(vec![used(&kid, 5000), used("us_nobody", 1)]).await.unwrap();
    system.user_secrets_used(vec![used(&kid, 4000)]).await.unwrap();
    assert_eq!(acme.store.user_secret_last_used(&kid).await.unwrap(), Some(UnixMillis(5000)));
    let list = acme.store.user_secret_list(acme.owner).await.unwrap();
    assert_eq!(list[0].last_used_at, Some(UnixMillis(5000)));
    // It is this tenant's alone.
    let rival = test.tenant("Rival").await;
    assert_eq!(rival.store.user_secret_last_used(&kid).await.unwrap(), None);
}

async fn signing_keys_take_turns_by_themselves(test: TestStore) {
    let system = test.store.system(&SystemPermit::for_job("signing-keys"));
    let line = Line::Identity("synq".parse().unwrap());
    test.operator().realm_ensure(&"synq".parse().unwrap()).await.unwrap();
    system.signing_key_ensure(&line, Algorithm::EdDsa).await.unwrap();
    let turns = async |signs_seconds: i64, published_seconds: i64, believed_seconds: i64| {
        let schedule = Schedule { signs_seconds, published_seconds, believed_seconds };
        let lease = system.lease("signing-keys", 60).await.unwrap().unwrap();
        system.signing_key_turns(&lease, (&line, Algorithm::EdDsa), schedule).await.unwrap()
    };
    let states = async || -> Vec<(String, KeyState)> {
        let keys = system.signing_key_list(&line).await.unwrap();
        keys.iter().map(|key| (key.public.kid().to_owned(), key.state)).collect()
    };
    let first = states().await[0].0.clone();
    assert_eq!(turns(100, 10, 5).await, [], "nothing is due");
    // Its time is over: the next one is published, and signs only after everybody has had time to read it.
    let taken = turns(0, 0, 1000).await;
    let [Turn::Next(second)] = taken.as_slice() else { panic!("{taken:?}") };
    assert_eq!(turns(0, 1000, 1000).await, [], "nobody may know it yet");
    assert_eq!(turns(0, 0, 1000).await, [Turn::Active(second.clone())]);
    assert!(states().await.contains(&(first.clone(), KeyState::Retired)), "what it signed is still believed");
    let taken = turns(1000, 10, 0).await;
    assert_eq!(taken, [Turn::Dropped(first.clone())]);
    assert_eq!(states().await, [(second.clone(), KeyState::Active)]);
    // Nobody does it whose lease has ended.
    let lease = system.lease("signing-keys", 60).await.unwrap().unwrap();
    system.lease_end(lease.clone()).await.unwrap();
    let schedule = Schedule { signs_seconds: 0, published_seconds: 0, believed_seconds: 0 };
    assert!(system.signing_key_turns(&lease, (&line, Algorithm::EdDsa), schedule).await.is_err());
}

async fn signing_keys_are_replaced_at_once(test: TestStore) {
    let system = test.store.system(&SystemPermit::for_job("signing-keys"));
    let line = Line::Identity("synq".parse().unwrap());
    test.operator().realm_ensure(&"synq".parse().unwrap()).await.unwrap();
    system.signing_key_ensure(&line, Algorithm::EdDsa).await.unwrap();
    system.signing_key_next(&line, Algorithm::EdDsa).await.unwrap();
    let kid = system.signing_key_replace(&line, Algorithm::Es256).await.unwrap();
    let keys = system.signing_key_list(&line).await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!((keys[0].public.kid(), keys[0].state), (kid.as_str(), KeyState::Active));
    assert_eq!(system.signing_key_signer(&line).await.unwrap().kid(), kid);
}
