//! What servers say of themselves to each other, and wait for.

use std::sync::Arc;

use claviger::random::SystemRandom;
use claviger_store::nodes::{LEASE_MILLIS, Node};
use claviger_store::testing::{Engine, START, TestStore};
use claviger_store::{Keyring, OperatorPermit, Store, SystemPermit};

use crate::api_keys::new_key;
use crate::feed::cursor;
use crate::withdrawals::connect;

fn node(number: u8) -> Node {
    named(&format!("node-{number}"), number)
}

fn named(name: &str, id: u8) -> Node {
    Node {
        id: [id; 16],
        name: name.into(),
        version: "1".into(),
        settings_hash: "x".into(),
        started_at: START,
    }
}

#[tokio::test]
async fn store_18_what_is_made_hangs_on_keys_that_every_live_server_holds() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let open = async |more: usize, number: u8| {
        let mut keyring = Keyring::load(&test.keyring_path()).unwrap();
        for _ in 0..more {
            keyring.add_pepper(&claviger::testing::Counting::default()).unwrap();
            keyring.add_encryption_key(&claviger::testing::Counting::default());
        }
        let store =
            Store::open(&test.settings, keyring, test.clock.clone(), Arc::new(SystemRandom)).await.unwrap();
        store.system(&SystemPermit::for_job("test")).node_beat(&node(number), None).await.unwrap();
        store
    };
    let pepper_of = async |store: &Store| {
        let tenant = store.operator(&OperatorPermit::for_command("test")).tenant(acme.tenant);
        let made = tenant.key_create(new_key(&acme)).await.unwrap();
        let rotated = tenant.key_rotate(made.view.key, 0).await.unwrap();
        let named = [made, rotated].map(|shown| {
            let text = shown.key.secret.expose_text().unwrap().to_owned();
            ["_k1_", "_k2_"].into_iter().find(|name| text.contains(name)).unwrap()
        });
        assert_eq!(named[0], named[1]);
        named[0]
    };
    let (old, new) = (open(0, 1).await, open(1, 2).await);
    assert_eq!(
        (pepper_of(&old).await, pepper_of(&new).await),
        ("_k1_", "_k1_"),
        "one of them lacks the new one"
    );
    // Nor is anything sealed anew under what one of them could not open.
    let system = new.system(&SystemPermit::for_job("test"));
    let lease = system.lease("reseal", 60).await.unwrap().unwrap();
    assert_eq!(system.reseal(&lease).await, Ok(0));
    let listed = new.system(&SystemPermit::for_job("test")).node_list().await.unwrap();
    let keys: Vec<String> = listed.iter().map(|node| node.keys.join(" ")).collect();
    assert_eq!(keys, ["k1 e1", "k1 k2 e1 e2"]);

    // It knows what it lacks, which is for its answers.
    let source = old.source();
    let cursor = source.revoked_tokens().await.unwrap().1;
    test.clock.advance_millis(claviger_store::source::WALLS_EVERY_MILLIS);
    let polled = source.poll(cursor).await.unwrap();
    assert_eq!(polled.lacking_peppers, Some(vec!["k2".to_owned()]));
    let source = new.source();
    let cursor = source.revoked_tokens().await.unwrap().1;
    test.clock.advance_millis(claviger_store::source::WALLS_EVERY_MILLIS);
    assert_eq!(source.poll(cursor).await.unwrap().lacking_peppers, Some(Vec::new()));

    // The last one has it.
    old.close().await;
    let old = open(1, 1).await;
    assert_eq!((pepper_of(&old).await, pepper_of(&new).await), ("_k2_", "_k2_"));
    assert_eq!(system.reseal(&lease).await, Ok(1));
    // One that is gone is not waited for: it asks for its keyring when it comes back.
    let third = open(2, 3).await;
    assert_eq!(pepper_of(&third).await, "_k2_");
    let refused = Store::open(
        &test.settings,
        Keyring::load(&test.keyring_path()).unwrap(),
        test.clock.clone(),
        Arc::new(SystemRandom),
    );
    let refused = refused.await.map(drop).unwrap_err().to_string();
    assert!(
        refused.contains("lacks the pepper key `k2`") || refused.contains("lacks the encryption key"),
        "{refused}"
    );
    for store in [old, new, third] {
        store.close().await;
    }
}

#[tokio::test]
async fn after_a_failover_nobody_believes_the_new_server_before_all_have_done_their_withdrawals_again() {
    let test = TestStore::start(Engine::Postgres).await;
    let owner = connect(test.owner_url.as_ref().unwrap()).await;
    owner.batch_execute("SET search_path = claviger").await.unwrap();
    // As a node finds the others when it comes to the new server first: they speak of the old one.
    let left_behind = "UPDATE node SET repeated = '7/7/00000001', believed = '7/7/00000001' WHERE name = ";
    let opens = async |number: u8| {
        let store = test.open_again().await.unwrap();
        let beat = store.system(&SystemPermit::for_job("test")).node_beat(&node(number), None).await;
        beat.unwrap();
        store
    };
    let (one, two) = (opens(1).await, opens(2).await);
    let believes = async |store: &Store| store.source().revoked_tokens().await.map(drop);
    believes(&one).await.unwrap();
    one.system(&SystemPermit::for_job("test")).node_beat(&node(1), None).await.unwrap();
    believes(&two).await.unwrap();
    for name in ["'node-1'", "'node-2'"] {
        owner.batch_execute(&format!("{left_behind}{name}")).await.unwrap();
    }

    let three = opens(3).await;
    let waits = believes(&three).await.unwrap_err().to_string();
    assert!(waits.contains("`node-1`, `node-2` has not done its withdrawals again"), "{waits}");
    // One of them has: it says so with its first word on the new server.
    two.system(&SystemPermit::for_job("test")).node_beat(&node(2), None).await.unwrap();
    owner.batch_execute("UPDATE node SET believed = NULL").await.unwrap();
    let waits = believes(&three).await.unwrap_err().to_string();
    assert!(waits.contains("`node-1` has not"), "{waits}");
    // One that was gone well before the old server was is not waited for.
    let gone = "UPDATE node SET seen_at = seen_at - 30001 WHERE name = 'node-1';
         INSERT INTO node (node_id, name, version, settings_hash, started_at, seen_at, repeated)
         SELECT gen_random_uuid(), 'node-9', '1', 'x', 0, seen_at + 30001, '7/7/00000001' FROM node WHERE name = 'node-1'";
    owner.batch_execute(gone).await.unwrap();
    let waits = believes(&three).await.unwrap_err().to_string();
    assert!(waits.contains("`node-9` has not"), "{waits}");
    // One that went with it is waited for for a while, by the first who comes.
    test.clock.advance_millis(9_999);
    assert!(believes(&three).await.is_err());
    test.clock.advance_millis(1);
    believes(&three).await.unwrap();
    three.system(&SystemPermit::for_job("test")).node_beat(&node(3), None).await.unwrap();
    let four = opens(4).await;
    believes(&four).await.unwrap();
    for store in [one, two, three, four] {
        store.close().await;
    }
}

#[tokio::test]
async fn whoever_waits_hears_which_node_has_not_applied_a_change() {
    let test = TestStore::start(Engine::Postgres).await;
    let acme = test.tenant("Acme").await;
    let other = test.open_again().await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test acts as a job")]
    let job = claviger_store::SystemPermit::for_job("test");
    let system = test.system();
    assert_eq!(system.wait_for_all().await.unwrap(), [""; 0], "there is no node");
    system.node_beat(&named("one", 1), Some(3)).await.unwrap();
    other.system(&job).node_beat(&named("two", 2), None).await.unwrap();
    let nodes = system.node_list().await.unwrap();
    assert_eq!(
        nodes.iter().map(|node| (node.name.as_str(), node.offset_millis, node.is_live)).collect::<Vec<_>>(),
        [("one", Some(3), true), ("two", None, true)]
    );

    let (first, second) = (test.store.source(), other.source());
    let (mut one, mut two) = (cursor(&first).await, cursor(&second).await);
    acme.store.tenant_suspend().await.unwrap();
    let waiting = tokio::spawn(async move { system.wait_for_all().await });
    // Each says what it has applied for as long as somebody waits, and both have to.
    for _ in 0..20 {
        one = first.poll(one).await.unwrap().cursor;
        first.acknowledge(one.clone()).await.unwrap();
    }
    assert!(!waiting.is_finished());
    while !waiting.is_finished() {
        one = first.poll(one).await.unwrap().cursor;
        let poll = second.poll(two).await.unwrap();
        assert!(poll.is_waited_for);
        two = poll.cursor;
        first.acknowledge(one.clone()).await.unwrap();
        second.acknowledge(two.clone()).await.unwrap();
    }
    assert_eq!(waiting.await.unwrap().unwrap(), [""; 0]);

    // One that has gone is not waited for, and one that is gone without a word only as long as its lease runs.
    let system = test.system();
    other.system(&job).node_leave(&named("two", 2)).await.unwrap();
    let waiting = tokio::spawn(async move { system.wait_for_all().await });
    loop {
        one = first.poll(one).await.unwrap().cursor;
        first.acknowledge(one.clone()).await.unwrap();
        if waiting.is_finished() {
            break;
        }
    }
    assert_eq!(waiting.await.unwrap().unwrap(), [""; 0]);
    test.clock.advance_millis(LEASE_MILLIS as u64 + 1);
    assert!(!test.system().node_list().await.unwrap()[0].is_live);
    assert_eq!(test.system().wait_for_all().await.unwrap(), [""; 0]);
    other.close().await;
}
