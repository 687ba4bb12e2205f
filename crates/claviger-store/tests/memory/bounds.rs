//! What the memory may hold, and who loses when it is full.

use std::sync::Arc;

use claviger::id::TenantId;
use claviger_store::memory::MemorySettings;
use claviger_store::subject::{Record, Subject};
use futures_util::future::join_all;

use crate::support::{World, is_known, quick, until};

fn load(world: &World, keys: &[Subject]) {
    for some in keys.chunks(1000) {
        let asked = some.iter().map(|key| world.ask(key).resolve());
        assert!(world.runtime.block_on(join_all(asked)).into_iter().all(|answer| answer.is_ok()));
    }
}

fn written_keys_of(world: &World, tenant: TenantId, count: usize) -> Vec<Subject> {
    (0..count)
        .map(|_| {
            let (key, record) = world.key_of(tenant);
            world.store.write(&key, 1, Some(Record::Key(Arc::clone(&record))));
            key
        })
        .collect()
}

fn known_of(world: &World, keys: &[Subject]) -> usize {
    keys.iter().filter(|key| is_known(&world.ask(key))).count()
}

#[test]
fn a_flood_of_made_up_keys_pushes_out_no_record_and_stays_bounded() {
    let world = World::with(MemorySettings { max_absences: 500, ..quick() }, |_| ());
    let keys = written_keys_of(&world, world.tenant(), 100);
    load(&world, &keys);
    let made_up: Vec<_> = (0..20_000).map(|_| world.key().0).collect();
    load(&world, &made_up);
    let figures = world.memory.figures();
    assert!(figures.absences <= 500, "{figures:?}");
    assert_eq!(figures.entries, 100);
    assert_eq!(known_of(&world, &keys), 100);
}

#[test]
fn the_ring_is_bounded_and_a_full_one_lets_nothing_old_in() {
    let world = World::with(MemorySettings { max_ring: 64, ..quick() }, |_| ());
    let (key, active) = world.written_key();
    world.store.loads_are(crate::support::Mood::Slow);
    let asked = world.begin(&key);
    until("the row is read", || world.store.loads_of(&key) == 1);
    world.commit(&key, 2, Some(Record::Key(crate::support::revoked(&active))));
    for _ in 0..10_000 {
        world.commit(&world.key().0, 1, None);
    }
    assert!(world.memory.figures().ring <= 64);
    world.store.loads_are(crate::support::Mood::Well);
    let answer = world.runtime.block_on(asked).unwrap().unwrap();
    assert_eq!(answer.state, claviger::directory::State::Deleted);
}

#[test]
fn a_tenant_that_fills_the_memory_pushes_out_its_own() {
    let world = World::with(MemorySettings { max_entries: 1000, ..quick() }, |_| ());
    let small = written_keys_of(&world, world.tenant(), 100);
    load(&world, &small);
    let large = written_keys_of(&world, world.tenant(), 5_000);
    for some in large.chunks(50) {
        load(&world, some);
        assert!(world.memory.figures().entries <= 1000 + 1000 / 16 + 256);
        until("there is room", || world.memory.figures().entries <= 1000);
    }
    assert_eq!(known_of(&world, &small), 100);
    let figures = world.memory.figures();
    assert!(figures.evicted >= 4_000, "{figures:?}");
}

#[test]
fn what_is_used_again_outlives_a_scan() {
    let world = World::with(MemorySettings { max_entries: 1000, ..quick() }, |_| ());
    let tenant = world.tenant();
    let in_use = written_keys_of(&world, tenant, 300);
    load(&world, &in_use);
    assert_eq!(known_of(&world, &in_use), 300);
    let scanned = written_keys_of(&world, tenant, 5_000);
    for some in scanned.chunks(50) {
        load(&world, some);
        until("there is room", || world.memory.figures().entries <= 1000);
    }
    assert_eq!(known_of(&world, &in_use), 300);
}
