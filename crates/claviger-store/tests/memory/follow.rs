//! The feed, staleness, readiness, clocks and revoked tokens.

use std::sync::Arc;
use std::time::Duration;

use claviger::clock::{Clock, UnixMillis};
use claviger::directory::{Directory, DirectoryError, Freshness, State};
use claviger::id::TokenId;
use claviger_store::memory::{MemorySettings, NotReady};
use claviger_store::subject::{Record, Subject};
use futures_util::future::join_all;

use crate::support::{Mood, NOW, World, is_known, quick, revoked, until};

#[test]
fn trap_store_outage_behaviour_unspecified() {
    let settings = MemorySettings {
        shared_poll_deadline: Duration::from_millis(100),
        poll_deadline: Duration::from_millis(200),
        ..quick()
    };
    let world = World::with(settings, |_| ());
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    for (mood, version) in [(Mood::Failing, 2), (Mood::Slow, 4)] {
        world.store.polls_are(mood);
        world.store.loads_are(mood);
        let failures = world.memory.figures().poll_failures;
        until("polls fail", || mood == Mood::Slow || world.memory.figures().poll_failures > failures);
        // What is remembered serves for as long as it may be believed, to the millisecond.
        let sent = world.memory.figures().revision_lag_millis.unwrap();
        world.clock.advance_millis(5_000 - sent);
        assert!(matches!(world.memory.freshness(world.clock.boot()), Freshness::Fresh));
        assert!(is_known(&world.ask(&key)));
        world.clock.advance_millis(1);
        assert!(matches!(world.is_fresh(), Err(DirectoryError::Unavailable(_))));
        assert_eq!(world.memory.readiness(), Err(NotReady::Stale));
        // The store is back, and brings what happened in the meantime.
        world.store.write_elsewhere(&key, version, Some(Record::Key(revoked(&active))));
        world.store.loads_are(Mood::Well);
        world.store.polls_are(Mood::Well);
        // A poll that hung through the outage is too old to say anything; the next is not.
        until("it is fresh", || world.is_fresh().is_ok());
        world.poll();
        assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
        world.store.write_elsewhere(&key, version + 1, Some(Record::Key(Arc::clone(&active))));
        world.poll();
        world.look_up(&key).unwrap();
        assert_eq!(world.memory.readiness(), Ok(()));
    }
}

#[test]
fn store_04_a_store_that_is_not_to_be_believed_is_not_for_another_moment() {
    let world = World::new();
    let (key, _) = world.written_key();
    world.look_up(&key).unwrap();
    assert!(world.is_fresh().is_ok());
    world.store.polls_are(Mood::Distrusted);
    let is_believed = || matches!(world.memory.freshness(world.clock.boot()), Freshness::Fresh);
    // No time goes by here: what is remembered would be believed for 5 s more.
    until("the memory is not believed", || !is_believed());
    let why = world.is_fresh().unwrap_err();
    assert_eq!(why, DirectoryError::Distrusted("a wall is down".to_owned()));
    assert_eq!(world.memory.readiness(), Err(NotReady::Distrusted("a wall is down".to_owned())));
    world.store.polls_are(Mood::Well);
    until("it is believed again", is_believed);
    assert!(is_known(&world.ask(&key)));
}

#[test]
fn store_18_a_pepper_that_others_have_is_known_to_be_lacking() {
    let world = World::new();
    assert!(!world.memory.lacks_pepper("k2"));
    world.store.others_have_pepper("k2");
    world.poll();
    assert!(world.memory.lacks_pepper("k2") && !world.memory.lacks_pepper("k3"));
    assert_eq!(world.memory.readiness(), Ok(()), "all else is served");
}

#[test]
fn an_answer_counts_from_when_the_poll_was_sent() {
    let world = World::new();
    world.store.polls_are(Mood::Slow);
    let polls = world.store.polls();
    until("a poll hangs", || {
        world.store.polls() > polls || world.memory.figures().revision_lag_millis == Some(0)
    });
    // The machine sleeps, and wakes up to an answer from before.
    world.clock.advance_millis(3_600_000);
    let Freshness::Stale(wait) = world.memory.freshness(world.clock.boot()) else { panic!("it is stale") };
    world.store.polls_are(Mood::Well);
    world.runtime.block_on(wait).unwrap();
    // It took another poll to believe it.
    assert_eq!(world.memory.figures().revision_lag_millis, Some(0));
    assert!(world.store.polls() > polls);
}

#[test]
fn all_who_find_it_stale_share_one_poll() {
    let world = World::with(MemorySettings { poll_every: Duration::from_secs(3600), ..quick() }, |_| ());
    world.clock.advance_millis(60_000);
    world.store.polls_are(Mood::Slow);
    let polls = world.store.polls();
    let waiting: Vec<_> = (0..1000)
        .map(|_| match world.memory.freshness(world.clock.boot()) {
            Freshness::Stale(wait) => wait,
            Freshness::Fresh => panic!("it is stale"),
        })
        .collect();
    until("one poll is sent", || world.store.polls() == polls + 1);
    world.store.polls_are(Mood::Well);
    assert!(world.runtime.block_on(join_all(waiting)).into_iter().all(|outcome| outcome.is_ok()));
    assert_eq!(world.store.polls(), polls + 1);
    assert!(matches!(world.memory.freshness(world.clock.boot()), Freshness::Fresh));
}

#[test]
fn those_who_wait_in_vain_wait_half_a_second() {
    let half_a_second = Duration::from_millis(500);
    let world = World::with(MemorySettings { shared_poll_deadline: half_a_second, ..quick() }, |_| ());
    world.clock.advance_millis(60_000);
    world.store.polls_are(Mood::Slow);
    world.clock.advance_millis(60_000);
    let begun = std::time::Instant::now();
    assert!(matches!(world.is_fresh(), Err(DirectoryError::Unavailable(_))));
    assert!(begun.elapsed() < Duration::from_secs(30), "it waited for the poll: {:?}", begun.elapsed());
}

#[test]
fn a_feed_that_may_have_lost_something_empties_the_memory() {
    let world = World::new();
    let (key, active) = world.written_key();
    let (absent, created) = world.key();
    let (under_way, other) = world.written_key();
    world.look_up(&key).unwrap();
    world.look_up(&absent).unwrap();
    world.store.loads_are(Mood::Slow);
    let asked = world.begin(&under_way);
    until("a read is under way", || world.store.loads_of(&under_way) == 1);
    // Nobody tells of these: a subject that only a newer version of the program knows was among them.
    world.store.write(&key, 2, Some(Record::Key(revoked(&active))));
    world.store.write(&absent, 1, Some(Record::Key(created)));
    world.store.write(&under_way, 2, Some(Record::Key(revoked(&other))));
    let token_reads = world.store.token_reads();
    world.store.forget_all();
    world.poll();
    assert_eq!(world.store.token_reads(), token_reads + 1);
    world.store.loads_are(Mood::Well);
    assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
    assert!(world.look_up(&absent).unwrap().is_some());
    assert_eq!(world.runtime.block_on(asked).unwrap().unwrap().state, State::Deleted);
    assert_eq!(world.memory.figures().forgotten, 1);
    assert_eq!(world.memory.figures().reread_differences, 0);
    until("what was forgotten is buried", || world.memory.figures().entries == 3);
}

#[test]
fn store_14_after_a_failover_that_lost_a_commit_what_is_there_holds() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    let stands_for = |world: &World| {
        world.memory.version_of(claviger::directory::Subject::Key(match &key {
            Subject::Key(digest) => digest,
            _ => panic!("a key"),
        }))
    };
    // Told of on the old server, and read there; on the new one it never happened.
    world.store.write_elsewhere(&key, 3, Some(Record::Key(revoked(&active))));
    world.poll();
    assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
    let before = stands_for(&world);
    world.store.write(&key, 2, Some(Record::Key(active.clone())));
    world.store.come_from_elsewhere();
    world.poll();
    assert_eq!(
        world.look_up(&key).unwrap().unwrap().state,
        State::Active,
        "and not 503 until the ring forgets it"
    );
    // The lost version's number stands for another state there.
    world.store.write_elsewhere(&key, 3, Some(Record::Key(active)));
    world.poll();
    world.look_up(&key).unwrap();
    assert!(before.is_some() && stands_for(&world) != before);
}

#[test]
fn store_12_a_change_that_must_be_understood_and_is_not_ends_readiness() {
    let world = World::new();
    let (key, _) = world.written_key();
    world.look_up(&key).unwrap();
    assert_eq!(world.memory.readiness(), Ok(()));
    world.store.outgrow();
    world.poll();
    assert_eq!(world.memory.readiness(), Err(NotReady::Outdated));
    world.look_up(&key).unwrap();
    assert_eq!(world.memory.figures().forgotten, 0);
}

#[test]
fn until_the_revoked_tokens_are_read_again_a_memory_that_forgot_is_not_believed() {
    let world = World::new();
    let token = Subject::RevokedToken(world.tenant(), TokenId::generate(&world.random));
    let Subject::RevokedToken(tenant, id) = token.clone() else { panic!("a token") };
    world.store.write(&token, 1, Some(Record::RevokedToken { expires_at: NOW.plus_seconds(3600) }));
    assert!(!world.memory.token_is_revoked(tenant, id));
    world.store.forget_all();
    until("it is forgotten", || world.memory.figures().forgotten == 1);
    world.is_fresh().unwrap();
    assert!(world.memory.token_is_revoked(tenant, id));
}

#[test]
fn revoked_tokens_are_held_in_full_before_readiness() {
    let tenant = "a3f8c120-4e72-4b91-9d63-1c5e7a09bf44".parse().unwrap();
    let random = claviger::testing::Counting::default();
    let tokens: Vec<_> = (0..1000).map(|_| TokenId::generate(&random)).collect();
    let world = World::unready(quick(), |store| {
        store.polls_are(Mood::Slow);
        for token in &tokens {
            let record = Record::RevokedToken { expires_at: NOW.plus_seconds(3600) };
            store.write(&Subject::RevokedToken(tenant, *token), 1, Some(record));
        }
    });
    assert_eq!(world.memory.readiness(), Err(NotReady::Loading));
    assert!(matches!(world.memory.freshness(world.clock.boot()), Freshness::Stale(_)));
    world.store.polls_are(Mood::Well);
    world.runtime.block_on(world.memory.ready()).unwrap();
    assert!(tokens.iter().all(|token| world.memory.token_is_revoked(tenant, *token)));
    assert!(!world.memory.token_is_revoked(world.tenant(), tokens[0]));
    assert_eq!(world.memory.figures().revoked_tokens, 1000);
}

#[test]
fn a_token_is_revoked_from_before_the_commit_until_it_has_expired() {
    let world = World::new();
    let (tenant, id) = (world.tenant(), TokenId::generate(&world.random));
    let token = Subject::RevokedToken(tenant, id);
    world.about_to_commit(&token, 1);
    assert!(world.memory.token_is_revoked(tenant, id));
    world.store.write(&token, 1, Some(Record::RevokedToken { expires_at: NOW.plus_seconds(600) }));
    world.committed(&token, 1);
    until("its expiry is looked up", || world.store.loads_of(&token) > 0 && world.memory.figures().loads > 0);
    world.clock.advance_millis(600_000);
    world.poll();
    assert!(world.memory.token_is_revoked(tenant, id));
    world.clock.advance_millis(86_400_000 - 1000);
    world.poll();
    assert!(world.memory.token_is_revoked(tenant, id), "a clock that goes ahead by hours brings none back");
    world.clock.advance_millis(2000);
    until("it is dropped", || !world.memory.token_is_revoked(tenant, id));
}

#[test]
fn a_revocation_of_unknown_outcome_holds_until_it_is_known() {
    let world = World::new();
    let (tenant, id) = (world.tenant(), TokenId::generate(&world.random));
    let token = Subject::RevokedToken(tenant, id);
    world.store.loads_are(Mood::Failing);
    world.about_to_commit(&token, 1);
    world.not_committed(&token, 1);
    let failures = world.memory.figures().load_failures;
    until("nobody knows", || world.memory.figures().load_failures > failures + 2);
    assert!(world.memory.token_is_revoked(tenant, id));
    world.store.loads_are(Mood::Well);
    until("it did not happen", || !world.memory.token_is_revoked(tenant, id));
}

#[test]
fn a_token_revoked_elsewhere_comes_in_with_the_feed() {
    let world = World::new();
    let (tenant, id) = (world.tenant(), TokenId::generate(&world.random));
    let record = Record::RevokedToken { expires_at: NOW.plus_seconds(600) };
    world.store.loads_are(Mood::Failing);
    world.store.write_elsewhere(&Subject::RevokedToken(tenant, id), 1, Some(record));
    world.poll();
    assert!(world.memory.token_is_revoked(tenant, id));
}

#[test]
fn a_store_that_is_followed_by_itself_is_never_polled_and_never_stale() {
    let world = World::with(MemorySettings { follows_by_itself: true, ..quick() }, |_| ());
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    world.clock.advance_millis(60_000);
    assert!(matches!(world.memory.freshness(world.clock.boot()), Freshness::Fresh));
    assert!(is_known(&world.ask(&key)));
    world.commit(&key, 2, Some(Record::Key(revoked(&active))));
    assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
    assert_eq!(world.store.polls(), 0);
    assert_eq!(world.memory.readiness(), Ok(()));
    assert_eq!(world.memory.store_time_offset_millis(), None);
    world.clock.set_now(UnixMillis(5));
    assert_eq!(world.memory.clock().now(), UnixMillis(5));
}

#[test]
fn time_is_the_stores_and_a_clock_that_is_far_off_is_not_ready() {
    let world = World::new();
    assert_eq!(world.memory.readiness(), Ok(()));
    world.clock.set_now(NOW.plus_millis(-3_000));
    *world.store.clock_is_ahead.lock().unwrap() = 3_000;
    world.poll();
    assert_eq!(world.memory.store_time_offset_millis(), Some(3_000));
    assert_eq!(world.memory.readiness(), Err(NotReady::ClockOff(3_000)));
    assert_eq!(world.memory.clock().now(), NOW);
    world.clock.set_now(NOW.plus_millis(-2_000));
    *world.store.clock_is_ahead.lock().unwrap() = 2_000;
    world.poll();
    assert_eq!(world.memory.readiness(), Ok(()));
}

#[test]
fn an_old_entry_is_read_again_when_used_and_agrees() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    world.clock.advance_millis(11 * 60_000);
    world.is_fresh().unwrap();
    assert!(is_known(&world.ask(&key)), "no entry is read again before twelve minutes");
    world.clock.advance_millis(8 * 60_000);
    world.is_fresh().unwrap();
    assert!(!is_known(&world.ask(&key)), "every entry is read again after eighteen minutes");
    assert_eq!(world.look_up(&key), Ok(Some(active)));
    world.poll();
    assert_eq!(world.memory.figures().reread_differences, 0);
}

#[test]
fn a_change_that_nobody_told_of_is_an_alarm() {
    let world = World::new();
    let (key, active) = world.written_key();
    let (silent, other) = world.written_key();
    let (absent, created) = world.key();
    for subject in [&key, &silent, &absent] {
        world.look_up(subject).unwrap();
    }
    // A new version, new content under the old version, and a row where there was none.
    world.store.write(&key, 2, Some(Record::Key(revoked(&active))));
    world.store.write(&silent, 1, Some(Record::Key(revoked(&other))));
    world.store.write(&absent, 1, Some(Record::Key(created)));
    let version = world.memory.version();
    world.clock.advance_millis(20 * 60_000);
    world.is_fresh().unwrap();
    assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
    assert_eq!(world.look_up(&silent).unwrap().unwrap().state, State::Deleted);
    assert!(world.look_up(&absent).unwrap().is_some());
    assert!(world.memory.version() > version);
    world.clock.advance_millis(1_000);
    until("the alarm is raised", || world.memory.figures().reread_differences == 3);
}

#[test]
fn a_change_that_the_feed_tells_of_a_little_later_is_no_alarm() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    world.clock.advance_millis(20 * 60_000);
    world.is_fresh().unwrap();
    world.store.write(&key, 2, Some(Record::Key(revoked(&active))));
    assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
    world.store.tell(&key, 2);
    world.poll();
    world.clock.advance_millis(1_000);
    world.poll();
    // The janitor has looked since: it is the one that gives up on a commit nobody ends.
    world.about_to_commit(&world.key().0, 1);
    world.clock.advance_millis(61_000);
    until("the janitor has passed", || world.memory.figures().lost_commits == 1);
    assert_eq!(world.memory.figures().reread_differences, 0);
}

#[test]
fn what_was_applied_is_acknowledged_while_somebody_waits_and_at_no_other_time() {
    let world = World::new();
    world.poll();
    assert_eq!(world.store.wait_for_all(true), []);
    let (key, _) = world.written_key();
    world.store.tell(&key, 1);
    world.poll();
    until("it is acknowledged", || !world.store.wait_for_all(true).is_empty());
    world.store.wait_for_all(false);
    world.poll();
    world.store.wait_for_all(false);
    world.poll();
    assert_eq!(world.store.wait_for_all(false), []);
}
