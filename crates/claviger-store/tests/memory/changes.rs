//! Changes against what is remembered, and against reads under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use claviger::clock::UnixMillis;
use claviger::directory::{self, Answer, Directory, KeyRecord, State, Version};
use claviger::id::TokenId;
use claviger_store::subject::{Record, Subject};

use crate::support::{Mood, NOW, World, is_known, revoked, until};

fn record(record: &Arc<KeyRecord>) -> Option<Record> {
    Some(Record::Key(Arc::clone(record)))
}

#[test]
fn a_revocation_here_holds_from_before_the_commit() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    world.about_to_commit(&key, 2);
    assert!(!is_known(&world.ask(&key)));
    world.store.write(&key, 2, record(&revoked(&active)));
    world.committed(&key, 2);
    assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
}

#[test]
fn a_revocation_elsewhere_comes_in_with_the_feed() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    world.store.write_elsewhere(&key, 2, record(&revoked(&active)));
    world.poll();
    assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
}

#[test]
fn a_read_that_a_revocation_overtook_is_neither_answered_nor_kept() {
    for elsewhere in [false, true] {
        let world = World::new();
        let (key, active) = world.written_key();
        world.store.loads_are(Mood::Slow);
        let before = world.begin(&key);
        until("the row is read", || world.store.loads_of(&key) == 1);
        if elsewhere {
            world.store.write_elsewhere(&key, 2, record(&revoked(&active)));
            world.poll();
        } else {
            world.commit(&key, 2, record(&revoked(&active)));
        }
        // Who asks after the revocation was answered joins those who wait for the same read.
        let after = world.begin(&key);
        world.store.loads_are(Mood::Well);
        for asked in [before, after] {
            let answer = world.runtime.block_on(asked);
            assert_eq!(answer.unwrap().unwrap().state, State::Deleted);
        }
        assert_eq!(world.store.loads_of(&key), 2);
        assert!(matches!(world.ask(&key), Answer::Known(known) if known.state == State::Deleted));
    }
}

#[test]
fn trap_stale_negative_cache_after_create_or_import() {
    for elsewhere in [false, true] {
        let world = World::new();
        let (key, created) = world.key();
        assert_eq!(world.look_up(&key), Ok(None));
        assert!(matches!(world.ask(&key), Answer::Absent));
        if elsewhere {
            world.store.write_elsewhere(&key, 1, record(&created));
            world.poll();
        } else {
            world.commit(&key, 1, record(&created));
        }
        assert_eq!(world.look_up(&key), Ok(Some(created)));
    }
}

#[test]
fn a_read_that_a_creation_overtook_does_not_say_that_there_is_nothing() {
    for elsewhere in [false, true] {
        let world = World::new();
        let (key, created) = world.key();
        world.store.loads_are(Mood::Slow);
        let before = world.begin(&key);
        until("nothing is read", || world.store.loads_of(&key) == 1);
        if elsewhere {
            world.store.write_elsewhere(&key, 1, record(&created));
            world.poll();
        } else {
            world.commit(&key, 1, record(&created));
        }
        let after = world.begin(&key);
        world.store.loads_are(Mood::Well);
        for asked in [before, after] {
            assert_eq!(world.runtime.block_on(asked), Ok(Some(Arc::clone(&created))));
        }
        assert!(is_known(&world.ask(&key)));
    }
}

#[test]
fn while_a_commit_is_under_way_nothing_older_is_answered() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.about_to_commit(&key, 2);
    let asked = world.begin(&key);
    until("it is read again and again", || world.store.loads_of(&key) >= 4);
    assert!(!is_known(&world.ask(&key)));
    // The commit is visible before the store says so, and that is enough.
    world.store.write(&key, 2, record(&revoked(&active)));
    assert_eq!(world.runtime.block_on(asked).unwrap().unwrap().state, State::Deleted);
    world.committed(&key, 2);
    assert!(is_known(&world.ask(&key)));
}

#[test]
fn a_commit_that_failed_gives_the_record_back() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    world.about_to_commit(&key, 2);
    let asked = world.begin(&key);
    until("it is read in vain", || world.store.loads_of(&key) >= 3);
    world.not_committed(&key, 2);
    assert_eq!(world.runtime.block_on(asked), Ok(Some(Arc::clone(&active))));
    assert!(is_known(&world.ask(&key)));
    // The next writer of the row gives it the same version.
    world.commit(&key, 2, record(&revoked(&active)));
    assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
}

#[test]
fn a_commit_of_unknown_outcome_drops_what_was_known_and_what_was_being_read() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.store.loads_are(Mood::Slow);
    let asked = world.begin(&key);
    until("the row is read", || world.store.loads_of(&key) == 1);
    world.about_to_commit(&key, 2);
    world.store.write(&key, 2, record(&revoked(&active)));
    world.not_committed(&key, 2);
    world.store.loads_are(Mood::Well);
    assert_eq!(world.runtime.block_on(asked).unwrap().unwrap().state, State::Deleted);
}

#[test]
fn two_commits_of_one_row_may_overlap_in_what_they_tell() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.about_to_commit(&key, 2);
    world.store.write(&key, 2, record(&active));
    world.about_to_commit(&key, 3);
    world.committed(&key, 2);
    // The second is still under way.
    let asked = world.begin(&key);
    until("it is read in vain", || world.store.loads_of(&key) >= 2);
    world.store.write(&key, 3, record(&revoked(&active)));
    world.committed(&key, 3);
    assert_eq!(world.runtime.block_on(asked).unwrap().unwrap().state, State::Deleted);
}

#[test]
fn a_deleted_row_is_absent_and_one_made_anew_is_found() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    world.commit(&key, 2, None);
    assert_eq!(world.look_up(&key), Ok(None));
    world.commit(&key, 3, record(&active));
    assert_eq!(world.look_up(&key), Ok(Some(active)));
}

#[test]
fn trap_expires_in_cache_not_refreshed_by_rotate() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.look_up(&key).unwrap();
    let ends = UnixMillis(NOW.0 + 60_000);
    let rotated = Arc::new(KeyRecord { expires_at: Some(ends), ..KeyRecord::clone(&active) });
    world.commit(&key, 2, record(&rotated));
    assert_eq!(world.look_up(&key).unwrap().unwrap().expires_at, Some(ends));
}

#[test]
fn changes_told_twice_or_out_of_order_do_no_harm() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.store.write(&key, 3, record(&revoked(&active)));
    world.store.tell(&key, 3);
    world.store.tell(&key, 2);
    world.store.tell(&key, 3);
    world.poll();
    let version = world.memory.version();
    assert_eq!(world.look_up(&key).unwrap().unwrap().state, State::Deleted);
    world.store.tell(&key, 2);
    world.store.tell(&key, 3);
    world.poll();
    assert!(is_known(&world.ask(&key)));
    assert_eq!(world.memory.version(), version);
    assert_eq!(world.memory.figures().changes, 1);
}

#[test]
fn the_version_grows_with_every_change() {
    let world = World::new();
    let (key, active) = world.written_key();
    let mut last = world.memory.version();
    let mut grew = |what: &str| {
        let version = world.memory.version();
        assert!(version > last, "{what}");
        last = version;
    };
    world.about_to_commit(&key, 2);
    grew("a commit announced");
    world.store.write(&key, 2, record(&active));
    world.committed(&key, 2);
    grew("a commit");
    world.about_to_commit(&key, 3);
    world.not_committed(&key, 3);
    grew("a commit withdrawn");
    world.store.write_elsewhere(&key, 4, record(&active));
    world.poll();
    grew("a change elsewhere");
    world.store.forget_all();
    world.poll();
    grew("everything forgotten");
}

#[test]
fn a_subjects_version_stands_for_one_state_of_it() {
    let world = World::new();
    let (key, active) = world.written_key();
    let Subject::Key(digest) = &key else { panic!("a key") };
    let known = || world.memory.version_of(directory::Subject::Key(digest));
    let found = || world.runtime.block_on(world.ask(&key).resolve()).unwrap().unwrap().version;
    assert_eq!(known(), None, "nobody has looked");
    let loaded = found();
    assert_eq!((known(), found()), (Some(loaded), loaded), "as loaded, as remembered");

    world.about_to_commit(&key, 2);
    assert_eq!(known(), None, "whoever derived something from it asks again");
    world.store.write(&key, 2, record(&revoked(&active)));
    world.committed(&key, 2);
    let second = found();
    assert_ne!(second, loaded);
    world.commit(&key, 3, None);
    assert_eq!(world.look_up(&key), Ok(None));
    assert_eq!(known(), Some(Version::ABSENT));
    world.commit(&key, 4, record(&active));
    assert!(![loaded, second, Version::ABSENT].contains(&found()));

    let before = found();
    world.store.forget_all();
    world.poll();
    assert_eq!(known(), None);
    assert_ne!(found(), before, "a store that was put back to an earlier state may count anew");
    world.clock.advance_millis(100_000_000);
    world.poll();
    assert_eq!(known(), None, "it is to be read again");
}

#[test]
fn a_tokens_version_tells_whether_it_is_revoked() {
    let world = World::new();
    let (tenant, token) = (world.tenant(), TokenId::generate(&world.random));
    let known = || world.memory.version_of(directory::Subject::RevokedToken(tenant, token));
    assert_eq!(known(), Some(Version::ABSENT));
    let subject = Subject::RevokedToken(tenant, token);
    world.commit(&subject, 1, Some(Record::RevokedToken { expires_at: NOW }));
    assert!(known().is_some_and(|version| version != Version::ABSENT));
}

#[test]
fn an_announced_commit_that_nobody_ends_is_given_up_and_counted() {
    let world = World::new();
    let (key, active) = world.written_key();
    world.about_to_commit(&key, 2);
    let asked = world.begin(&key);
    world.clock.advance_millis(61_000);
    until("it is given up", || world.memory.figures().lost_commits == 1);
    assert_eq!(world.runtime.block_on(asked), Ok(Some(active)));
}

#[test]
fn under_load_nobody_is_served_less_than_somebody_was_told() {
    let world = World::new();
    let (key, active) = world.written_key();
    let told = AtomicI64::new(1);
    let expires = |version| Some(UnixMillis(version));
    world.store.write(&key, 1, Some(with_expiry(&active, expires(1))));
    let Subject::Key(digest) = key.clone() else { panic!("a key") };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let mut seen = 1;
                while seen < 2_000 {
                    let told = told.load(Ordering::SeqCst);
                    let answer = runtime.block_on(world.memory.key(&digest).resolve()).unwrap().unwrap();
                    seen = answer.expires_at.unwrap().0;
                    assert!(seen >= told, "told {told}, served {seen}");
                }
            });
        }
        scope.spawn(|| {
            for version in 2..=2_000 {
                world.about_to_commit(&key, version);
                world.store.write(&key, version, Some(with_expiry(&active, expires(version))));
                told.store(version, Ordering::SeqCst);
                if version % 3 == 0 {
                    world.store.tell(&key, version);
                }
                world.committed(&key, version);
            }
        });
    });
}

fn with_expiry(active: &KeyRecord, expires_at: Option<UnixMillis>) -> Record {
    Record::Key(Arc::new(KeyRecord { expires_at, ..active.clone() }))
}
