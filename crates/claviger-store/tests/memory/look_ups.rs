//! Hits, misses, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use claviger::directory::{Answer, Directory, DirectoryError, Floor};
use claviger_store::memory::MemorySettings;
use claviger_store::subject::Record;
use futures_util::future::join_all;

use crate::support::{Mood, World, is_known, quick, until};

#[test]
fn what_was_looked_up_once_is_answered_at_once() {
    let world = World::new();
    let (key, record) = world.written_key();
    assert_eq!(world.look_up(&key), Ok(Some(Arc::clone(&record))));
    assert!(matches!(world.ask(&key), Answer::Known(known) if known.record == record));
    assert_eq!(world.store.loads_of(&key), 1);
    let figures = world.memory.figures();
    assert_eq!((figures.hits, figures.misses, figures.entries), (1, 1, 1));
}

#[test]
fn what_does_not_exist_is_looked_up_once() {
    let world = World::new();
    let (key, _) = world.key();
    assert_eq!(world.look_up(&key), Ok(None));
    assert!(matches!(world.ask(&key), Answer::Absent));
    assert_eq!(world.store.loads_of(&key), 1);
    assert_eq!(world.memory.figures().absences, 1);
}

#[test]
fn ten_thousand_who_miss_one_key_make_one_load() {
    let world = World::new();
    let (key, record) = world.written_key();
    world.store.loads_are(Mood::Slow);
    let asked: Vec<_> = (0..10_000).map(|_| world.begin(&key)).collect();
    world.store.loads_are(Mood::Well);
    let answers = world.runtime.block_on(join_all(asked));
    assert!(answers.iter().all(|answer| *answer == Ok(Some(Arc::clone(&record)))));
    assert_eq!(world.store.loads_of(&key), 1);
}

#[test]
fn ten_thousand_different_misses_share_their_loads() {
    let world = World::new();
    let keys: Vec<_> = (0..10_000).map(|_| world.written_key()).collect();
    world.store.loads_are(Mood::Slow);
    let asked: Vec<_> = keys.iter().map(|(key, _)| world.begin(key)).collect();
    world.store.loads_are(Mood::Well);
    let answers = world.runtime.block_on(join_all(asked));
    for ((_, record), answer) in keys.iter().zip(answers) {
        assert_eq!(answer.unwrap().unwrap(), *record);
    }
    // 40 full ones, and at most 8 that were under way before they could fill.
    let batches = world.store.loads().len();
    assert!(batches <= 48, "{batches} batches");
    assert_eq!(world.memory.figures().loads, 10_000);
}

#[test]
fn a_failed_load_is_unavailable_for_all_who_wait_and_is_not_remembered() {
    let world = World::new();
    let (key, record) = world.written_key();
    for mood in [Mood::Failing, Mood::Panicking] {
        world.store.loads_are(Mood::Slow);
        let asked = [world.begin(&key), world.begin(&key)];
        world.store.loads_are(mood);
        for answer in world.runtime.block_on(join_all(asked)) {
            assert!(matches!(answer, Err(DirectoryError::Unavailable(_))), "{answer:?}");
        }
    }
    assert_eq!(world.memory.figures().absences, 0);
    world.store.loads_are(Mood::Well);
    assert_eq!(world.look_up(&key), Ok(Some(record)));
}

#[test]
fn another_tenants_row_is_no_answer() {
    let world = World::new();
    let tenants: Vec<_> = [world.tenant(), world.tenant()]
        .map(|tenant| (claviger_store::subject::Subject::Tenant(tenant), tenant))
        .into();
    for (subject, tenant) in &tenants {
        let record = claviger::directory::TenantRecord {
            tenant: *tenant,
            realm: "synq".parse().unwrap(),
            state: claviger::directory::State::Active,
            floor: Floor::default(),
            plan: "free".parse().unwrap(),
            requires_identity_headers: false,
        };
        world.store.write(subject, 1, Some(Record::Tenant(Arc::new(record))));
    }
    world.store.loads_are(Mood::Confused);
    let answers = world
        .runtime
        .block_on(join_all(tenants.iter().map(|(_, tenant)| world.memory.tenant(*tenant).resolve())));
    let refused =
        answers.iter().filter(|answer| matches!(answer, Err(DirectoryError::Unavailable(_)))).count();
    assert_eq!(refused, 1, "{answers:?}");
}

#[test]
fn one_look_up_too_many_is_overloaded_and_the_seats_are_given_back() {
    let world = World::with(MemorySettings { max_asks: 10, ..quick() }, |_| ());
    world.store.loads_are(Mood::Slow);
    let keys: Vec<_> = (0..10).map(|_| world.written_key().0).collect();
    let asked: Vec<_> = keys.iter().map(|key| world.begin(key)).collect();
    assert_eq!(world.look_up(&world.key().0), Err(DirectoryError::Overloaded));
    assert_eq!(world.memory.figures().refused, 1);
    world.store.loads_are(Mood::Well);
    assert!(world.runtime.block_on(join_all(asked)).into_iter().all(|answer| answer.unwrap().is_some()));
    assert_eq!(world.look_up(&world.key().0), Ok(None));
}

#[test]
fn a_look_up_ends_at_its_deadline() {
    let world = World::with(MemorySettings { ask_deadline: Duration::from_millis(50), ..quick() }, |_| ());
    let (key, record) = world.written_key();
    world.store.loads_are(Mood::Slow);
    assert!(matches!(world.look_up(&key), Err(DirectoryError::Unavailable(_))));
    // What comes in after everybody has gone is old, and is not kept.
    world.store.loads_are(Mood::Well);
    world.poll();
    assert_eq!(world.memory.figures().entries, 0);
    until("it is found in time", || {
        world.look_up(&key).is_ok_and(|found| found == Some(Arc::clone(&record)))
    });
}

#[test]
fn look_ups_end_when_the_memory_is_dropped() {
    let world = World::new();
    world.store.loads_are(Mood::Slow);
    let (key, _) = world.key();
    let begun = world.begin(&key);
    let World { memory, runtime, _background, .. } = world;
    let late = memory.tenant(claviger::id::TenantId::generate(&claviger::testing::Counting::default()));
    drop(memory);
    assert!(matches!(runtime.block_on(begun), Err(DirectoryError::Unavailable(_))));
    assert!(matches!(runtime.block_on(late.resolve()), Err(DirectoryError::Unavailable(_))));
}

#[test]
fn nothing_is_asked_before_somebody_waits() {
    let world = World::new();
    let (key, _) = world.written_key();
    drop(world.ask(&key));
    let (other, _) = world.written_key();
    world.look_up(&other).unwrap();
    assert_eq!((world.store.loads_of(&key), world.store.loads_of(&other)), (0, 1));
}

#[test]
fn every_kind_of_record_is_found_again() {
    use claviger::directory::{
        AccountRecord, ForeignIdentityRecord, Generations, MemberRecord, MemberState, OrgRecord,
        SessionRecord, State, UserSecretRecord,
    };
    use claviger::id::{AccountId, OrgId, SessionId};
    use claviger::key_set::Algorithm;
    use claviger::signing_key::SigningKey;
    use claviger_store::subject::Subject;

    let world = World::new();
    let (tenant, org) = (world.tenant(), OrgId::generate(&world.random));
    let (account, session) = (AccountId::generate(&world.random), SessionId::generate(&world.random));
    let realm: claviger::id::RealmName = "synq".parse().unwrap();
    let signing = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let verifying =
        SigningKey::from_pkcs8("id_1", Algorithm::EdDsa, &signing).unwrap().verifying_key().unwrap();
    let made_under = Generations { tenant: 1, org: 1, account: 1, member: 1 };
    let state = State::Active;
    let write = |subject: Subject, record: Record| world.store.write(&subject, 1, Some(record));
    write(
        Subject::Org(tenant, org),
        Record::Org(Arc::new(OrgRecord { tenant, org, state, floor: Floor::default() })),
    );
    let record =
        AccountRecord { account, realm: realm.clone(), state, email_verified: true, floor: Floor::default() };
    write(Subject::Account(account), Record::Account(Arc::new(record)));
    let role = "ADMIN".parse().unwrap();
    let record =
        MemberRecord { tenant, org, account, role, state: MemberState::Active, floor: Floor::default() };
    write(Subject::Member(tenant, org, account), Record::Member(Arc::new(record)));
    let expires_at = crate::support::NOW;
    let record = SessionRecord { tenant, session, account, org, ended: false, expires_at, made_under };
    write(Subject::Session(tenant, session), Record::Session(Arc::new(record)));
    let secret = claviger::secret::Secret::new(vec![1; 32]);
    let (kid, api) = ("us_1".to_owned(), "cello".parse().unwrap());
    let record = UserSecretRecord {
        kid,
        api,
        tenant,
        org,
        account,
        secret,
        revoked: false,
        made_under: Generations::default(),
    };
    write(Subject::UserSecret("us_1".into()), Record::UserSecret(Arc::new(record)));
    let record = ForeignIdentityRecord { tenant, account, not_before: expires_at };
    let subject = Subject::ForeignIdentity(tenant, "https://id.example".into(), "me".into());
    write(subject, Record::ForeignIdentity(Arc::new(record)));
    write(Subject::IdentityKey(realm.clone(), "id_1".into()), Record::IdentityKey(Arc::new(verifying)));

    let memory = &world.memory;
    let found = |asked: bool| {
        world.runtime.block_on(async {
            assert_eq!(is_known(&memory.org(tenant, org)), asked);
            assert_eq!(memory.org(tenant, org).resolve().await.unwrap().unwrap().org, org);
            assert_eq!(is_known(&memory.account(account)), asked);
            assert_eq!(memory.account(account).resolve().await.unwrap().unwrap().account, account);
            assert_eq!(is_known(&memory.member(tenant, org, account)), asked);
            assert_eq!(
                memory.member(tenant, org, account).resolve().await.unwrap().unwrap().account,
                account
            );
            assert_eq!(is_known(&memory.session(tenant, session)), asked);
            assert_eq!(memory.session(tenant, session).resolve().await.unwrap().unwrap().session, session);
            assert_eq!(is_known(&memory.user_secret("us_1")), asked);
            assert_eq!(memory.user_secret("us_1").resolve().await.unwrap().unwrap().kid, "us_1");
            let (issuer, name) = ("https://id.example", "me");
            assert_eq!(is_known(&memory.foreign_identity(tenant, issuer, name)), asked);
            assert!(memory.foreign_identity(tenant, issuer, name).resolve().await.unwrap().is_some());
            assert!(memory.foreign_identity(tenant, name, issuer).resolve().await.unwrap().is_none());
            assert_eq!(is_known(&memory.identity_key(&realm, "id_1")), asked);
            assert_eq!(memory.identity_key(&realm, "id_1").resolve().await.unwrap().unwrap().kid(), "id_1");
        });
    };
    found(false);
    found(true);
    until("each is held", || memory.figures().entries == 7);
}
