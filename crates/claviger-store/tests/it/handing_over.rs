//! An embedded store goes from one process to the next while the first still has streams open.

use std::sync::Arc;
use std::time::Duration;

use claviger::directory::Subject;
use claviger::directory::{Directory, Reply};
use claviger_store::memory::{Memory, MemorySettings};
use claviger_store::testing::{Engine, TestStore};
use claviger_store::{Holding, Store};

use crate::api_keys::new_key;

/// Whether the memory finds the record, asking where it must.
async fn finds(memory: &Memory, subject: Subject<'_>) -> bool {
    match memory.look_up(subject) {
        Reply::Known(..) => true,
        Reply::Absent => false,
        Reply::Ask(answer) => answer.await.unwrap().is_some(),
    }
}

fn following(store: &Store, test: &TestStore) -> Arc<Memory> {
    let settings = MemorySettings::following_by_itself();
    let runtime = tokio::runtime::Handle::current();
    let memory = Arc::new(Memory::start(store.source(), test.clock.clone(), settings, &runtime));
    assert!(store.set_follower(memory.clone()));
    memory
}

#[tokio::test(flavor = "multi_thread")]
async fn operating_05_who_hands_over_hears_what_the_next_one_writes_and_writes_nothing() {
    let test = TestStore::start(Engine::Sqlite).await;
    let acme = test.tenant("Acme").await;
    let made = acme.store.key_create(new_key(&acme)).await.unwrap();
    let (key, digest) = (made.view.key, made.key.digest);
    let memory = following(&test.store, &test);
    memory.ready().await.unwrap();
    let version = |memory: &Memory| memory.version_of(Subject::Key(&digest));
    assert!(finds(&memory, Subject::Key(&digest)).await);
    let before = version(&memory).unwrap();

    test.store.say(Holding::Closing).unwrap();
    let next = {
        let (settings, clock, keyring) =
            (test.settings.clone(), test.clock.clone(), test.store.keyring().clone());
        tokio::spawn(async move {
            Store::open(&settings, keyring, clock, Arc::new(claviger::random::SystemRandom)).await
        })
    };
    memory.follow_others().await.unwrap();
    test.store.hand_over().await;
    let next = next.await.unwrap().unwrap();

    let theirs = next.operator(&claviger_store::OperatorPermit::for_command("next")).tenant(acme.tenant);
    theirs.key_revoke(key).await.unwrap();
    let heard = async {
        while version(&memory) == Some(before) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), heard).await.expect("it hears of it within a second");
    assert!(acme.store.key_create(new_key(&acme)).await.is_err(), "it writes nothing any more");
    assert!(acme.store.key_view(key).await.is_ok(), "and reads");

    // A file that takes this one's place, such as a restored one, is not read: nothing is known from then on.
    next.close().await;
    let file = test.folder().join("claviger.db");
    std::fs::copy(&file, test.folder().join("copy")).unwrap();
    std::fs::rename(test.folder().join("copy"), &file).unwrap();
    assert!(acme.store.key_view(key).await.is_err());
    let distrusts = async {
        while memory.readiness().is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            test.clock.advance_millis(100);
        }
    };
    tokio::time::timeout(Duration::from_secs(5), distrusts).await.expect("its memory goes stale");
}

#[tokio::test]
async fn operating_05_who_wants_the_store_goes_by_what_its_holder_says() {
    let test = TestStore::start(Engine::Sqlite).await;
    let holder = || Store::holder(&test.settings).unwrap();
    assert_eq!(holder(), Some(Holding::Passing));
    for holding in [Holding::Serving, Holding::Leaving, Holding::Closing] {
        test.store.say(holding).unwrap();
        assert_eq!(holder(), Some(holding));
    }
    test.store.clone().close().await;
    assert_eq!(holder(), None, "what the last one said means nothing once it is gone");
    let store = test.open_again().await.unwrap();
    assert_eq!(holder(), Some(Holding::Passing));
    store.close().await;
}
