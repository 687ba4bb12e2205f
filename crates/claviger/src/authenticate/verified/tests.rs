use super::super::claims::testing::claims;
use super::*;
use crate::id::SessionId;
use crate::testing::{Counting, api, synq};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const HOUR: i64 = 1_700_000_000 + 3600;

fn places(memory: &VerifiedTokens) -> usize {
    memory.sets.iter().map(|set| lock(set).entries.capacity()).sum()
}

/// What the sessions are counted at, all together.
fn counted(memory: &VerifiedTokens) -> usize {
    memory.sessions.iter().map(|count| usize::from(count.load(Ordering::Relaxed))).sum()
}

struct Rig {
    api: Arc<Api>,
    random: Counting,
    memory: VerifiedTokens,
}

impl Rig {
    fn new(bytes: usize) -> Self {
        Self { api: api(synq()), random: Counting::default(), memory: VerifiedTokens::new(bytes) }
    }

    fn show(
        &self,
        token: &str,
        whose: Result<SessionId, (usize, &str)>,
        expires_at: i64,
        now: UnixMillis,
    ) -> bool {
        if self.memory.get(&self.api, token).is_some() {
            return true;
        }
        let hash = TokenHash::of(&self.api, token);
        self.memory.insert(&Arc::new(claims(hash, whose, expires_at)), now);
        false
    }

    fn knows(&self, token: &str) -> bool {
        self.memory.get(&self.api, token).is_some()
    }
}

#[test]
fn trap_cache_key_not_scoped_to_its_configuration() {
    let rig = Rig::new(1 << 20);
    let session = SessionId::generate(&rig.random);
    rig.show("a.b.c", Ok(session), HOUR, NOW);
    assert!(rig.knows("a.b.c") && !rig.knows("a.b.d"));
    assert!(rig.memory.get(&api(synq()), "a.b.c").is_none(), "not by an API of the same name made anew");
}

#[test]
fn one_session_holds_64_places_however_many_tokens_it_shows() {
    let rig = Rig::new(32 << 20);
    let session = SessionId::generate(&rig.random);
    let mut hits = 0;
    for n in 0..65_000 {
        hits += usize::from(rig.show(&format!("{}", n % 65), Ok(session), HOUR, NOW));
    }
    assert_eq!(rig.memory.size().0, 64);
    assert!(hits > 62_000, "only the one too many is verified each time: {hits}");
    assert!(places(&rig.memory) < 600, "nothing is kept on the side: {}", places(&rig.memory));
    assert_eq!(counted(&rig.memory), 64);
    let other = SessionId::generate(&rig.random);
    rig.show("other", Ok(other), HOUR, NOW);
    assert!(rig.knows("other"));
}

#[test]
fn a_session_whose_tokens_have_expired_has_room_again() {
    let rig = Rig::new(32 << 20);
    let session = SessionId::generate(&rig.random);
    for n in 0..64 {
        rig.show(&format!("old {n}"), Ok(session), HOUR, NOW);
    }
    let later = NOW.plus_seconds(3600 + 301);
    rig.show("new", Ok(session), HOUR + 7200, later);
    assert!(rig.knows("new"));
    assert_eq!((rig.memory.size().0, counted(&rig.memory)), (1, 1));
}

#[test]
fn core_11_the_memory_stays_within_its_bytes_and_weighs_what_it_holds() {
    for bytes in [4 << 10, 64 << 10, 1 << 20] {
        let rig = Rig::new(bytes);
        for n in 0..20_000 {
            rig.show(&format!("{n}"), Ok(SessionId::generate(&rig.random)), HOUR, NOW);
        }
        let (count, weight) = rig.memory.size();
        assert!(weight <= bytes && weight > bytes / 2, "{weight} of {bytes}");
        assert!(weight / count > size_of::<IdentityClaims>() + 40 && count > bytes / 1000, "{count}");
        assert_eq!(counted(&rig.memory), count);
    }
    let long = "s".repeat(5000);
    let rig = Rig::new(4 << 10);
    rig.show("a", Err((0, &long)), HOUR, NOW);
    assert!(!rig.knows("a"), "what is too heavy is not remembered");
    let rig = Rig::new(0);
    rig.show("a", Err((0, "s")), HOUR, NOW);
    assert!(!rig.knows("a") && rig.memory.size() == (0, 0));
}

#[test]
fn no_issuer_pushes_out_another() {
    let rig = Rig::new(8 << 20);
    for n in 0..1000 {
        rig.show(&format!("own {n}"), Ok(SessionId::generate(&rig.random)), HOUR, NOW);
    }
    for n in 0..60_000 {
        rig.show(&format!("foreign {n}"), Err((0, &format!("subject {n}"))), HOUR, NOW);
    }
    let left = (0..1000).filter(|n| rig.knows(&format!("own {n}"))).count();
    assert_eq!(left, 1000);
    let newest = (59_000..60_000).filter(|n| rig.knows(&format!("foreign {n}"))).count();
    assert!(newest > 800, "the flood forgets its own oldest: {newest}");
}

#[test]
fn what_was_used_lately_stays_longest() {
    let rig = Rig::new(SET_BYTES);
    let show = |token: &str| rig.show(token, Ok(SessionId::generate(&rig.random)), HOUR, NOW);
    show("kept");
    show("left");
    for n in 0..10_000 {
        show(&format!("{n}"));
        assert!(rig.knows("kept"));
    }
    assert!(!rig.knows("left"));
}

#[test]
fn a_sweep_forgets_what_has_expired_and_nothing_else() {
    let rig = Rig::new(1 << 20);
    rig.show("a", Ok(SessionId::generate(&rig.random)), HOUR, NOW);
    rig.show("b", Ok(SessionId::generate(&rig.random)), HOUR + 1000, NOW);
    rig.memory.sweep(NOW.plus_seconds(3600 + 299));
    assert_eq!(rig.memory.size().0, 2);
    rig.memory.sweep(NOW.plus_seconds(3600 + 300));
    assert!(!rig.knows("a") && rig.knows("b"));
}

#[test]
fn claims_weigh_all_the_texts_that_they_hold() {
    let hash = TokenHash::of(&api(synq()), "a.b.c");
    let fixed = "k".len() + "a3f8c120-4e72-4b91-9d63-1c5e7a09bf44".len();
    let mut held = claims(hash, Err((0, "their-42")), HOUR);
    assert_eq!(held.heap_bytes(), fixed + "EDITOR".len() + "their-42".len());
    held.role = None;
    assert_eq!(held.heap_bytes(), fixed + "their-42".len());
    let ours = claims(hash, Ok(SessionId::generate(&Counting::default())), HOUR);
    assert_eq!(ours.heap_bytes(), fixed + "EDITOR".len(), "an account's id has no text");
}

#[test]
fn a_memory_of_exactly_so_many_bytes_holds_what_weighs_so_much() {
    let rig = Rig::new(1 << 20);
    let session = SessionId::generate(&rig.random);
    rig.show("a", Ok(session), HOUR, NOW);
    let texts = "k".len() + "a3f8c120-4e72-4b91-9d63-1c5e7a09bf44".len() + "EDITOR".len();
    // Two counters of the shared piece, and what five pieces of memory cost beside what is in them.
    let weight = size_of::<Entry>() + size_of::<IdentityClaims>() + texts + 16 + 80;
    assert_eq!(rig.memory.size(), (1, weight));
    let exact = Rig::new(weight);
    exact.show("a", Ok(session), HOUR, NOW);
    assert!(exact.knows("a"));
    let short = Rig::new(weight - 1);
    short.show("a", Ok(session), HOUR, NOW);
    assert_eq!(short.memory.size(), (0, 0));
}

#[test]
fn what_was_used_longest_ago_goes() {
    let weight = {
        let rig = Rig::new(1 << 20);
        rig.show("a", Ok(SessionId::generate(&rig.random)), HOUR, NOW);
        rig.memory.size().1
    };
    let rig = Rig::new(2 * weight);
    let session = SessionId::generate(&rig.random);
    let insert = |token: &str| assert!(!rig.show(token, Ok(session), HOUR, NOW));
    // Looking would be a use.
    let there = || -> Vec<&str> {
        let set = lock(&rig.memory.sets[0]);
        let holds =
            |token: &&str| set.entries.iter().any(|entry| entry.hash == TokenHash::of(&rig.api, token));
        ["a", "b", "c", "d"].into_iter().filter(holds).collect()
    };
    insert("a");
    insert("b");
    assert!(rig.knows("a"));
    insert("c");
    assert_eq!(there(), ["a", "c"]);
    insert("d");
    assert_eq!(there(), ["c", "d"]);
}

#[test]
fn a_full_session_takes_the_place_of_its_own_tokens_and_of_no_others() {
    let rig = Rig::new(8 << 20);
    let session = SessionId::generate(&rig.random);
    // Sessions are counted in cells, and some may share one.
    let cell = |session: SessionId| {
        let holder = claims(TokenHash::of(&rig.api, "t"), Ok(session), HOUR).holder();
        rig.memory.hasher.hash_one(holder) % SESSION_CELLS as u64
    };
    let others: Vec<String> = (0..500).map(|n| format!("other {n}")).collect();
    for other in &others {
        let mut sessions = std::iter::repeat_with(|| SessionId::generate(&rig.random));
        let other_session = sessions.find(|other| cell(*other) != cell(session)).unwrap();
        rig.show(other, Ok(other_session), HOUR, NOW);
    }
    for n in 0..20_000 {
        rig.show(&format!("{n}"), Ok(session), HOUR, NOW);
    }
    assert!(others.iter().all(|other| rig.knows(other)));
    assert_eq!(rig.memory.size().0, 564);
}

#[test]
fn no_token_is_printed() {
    let rig = Rig::new(1 << 20);
    assert_eq!(
        format!("{:?} {:?}", rig.memory, TokenHash::of(&rig.api, "a.b.c")),
        "VerifiedTokens(64 sets) TokenHash(..)"
    );
}
