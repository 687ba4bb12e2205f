//! A store under full control, and a memory over it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use claviger::api_key::KeyDigest;
use claviger::clock::{Clock, UnixMillis};
use claviger::directory::{Answer, Directory, DirectoryError, Freshness, KeyRecord, State};
use claviger::grants::{Access, Grants};
use claviger::id::{Environment, KeyId, OrgId, TenantId};
use claviger::testing::{Counting, FixedClock};
use claviger_store::follower::Follower;
use claviger_store::memory::{Memory, MemorySettings};
use claviger_store::source::{Cursor, Forget, Poll, Source, SourceFuture};
use claviger_store::subject::{Change, Loaded, Record, Subject};
use futures_util::TryFutureExt;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// How the store treats a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers.
    Well,
    /// Says it cannot.
    Failing,
    /// Reads at once, and answers when its mood has changed.
    Slow,
    /// Says that it is not to be believed.
    Distrusted,
    /// Breaks off.
    Panicking,
    /// Answers with another subject's row.
    Confused,
}

#[derive(Debug, Default)]
struct Tables {
    lacking_peppers: Vec<String>,
    rows: HashMap<Subject, (i64, Record)>,
    feed: Vec<Change>,
    loads: Vec<Vec<Subject>>,
    polls: usize,
    token_reads: usize,
    forgets: Forget,
    is_outdated: bool,
    is_waited_for: bool,
    acknowledged: Vec<Cursor>,
}

#[derive(Debug)]
pub(crate) struct FakeStore {
    tables: Mutex<Tables>,
    loads: watch::Sender<Mood>,
    polls: watch::Sender<Mood>,
    clock: Arc<FixedClock>,
    pub(crate) clock_is_ahead: Mutex<i64>,
}

/// Answers in the `mood` of now, or of when it stops being slow.
fn in_mood<T: Send + 'static>(mood: &watch::Sender<Mood>, answer: T, confused: T) -> SourceFuture<T> {
    let mut mood = mood.subscribe();
    Box::pin(async move {
        let mood = *mood.wait_for(|mood| *mood != Mood::Slow).await.unwrap();
        match mood {
            Mood::Well | Mood::Slow => Ok(answer),
            Mood::Confused => Ok(confused),
            Mood::Failing => Err(DirectoryError::Unavailable("no route to the store".to_owned())),
            Mood::Distrusted => Err(DirectoryError::Distrusted("a wall is down".to_owned())),
            Mood::Panicking => panic!("the driver has a bug"),
        }
    })
}

impl Source for FakeStore {
    fn load(&self, subjects: Vec<Subject>) -> SourceFuture<Vec<Loaded>> {
        assert!(subjects.len() <= 256);
        let mut tables = self.tables.lock().unwrap();
        let found = subjects
            .iter()
            .map(|subject| Loaded { subject: subject.clone(), found: tables.rows.get(subject).cloned() })
            .collect();
        let any = tables.rows.values().next().cloned();
        let confused =
            subjects.iter().map(|subject| Loaded { subject: subject.clone(), found: any.clone() }).collect();
        tables.loads.push(subjects);
        in_mood(&self.loads, found, confused)
    }

    fn poll(&self, after: Cursor) -> SourceFuture<Poll> {
        let mut tables = self.tables.lock().unwrap();
        tables.polls += 1;
        let after: usize = after.0.parse().unwrap();
        let poll = Poll {
            changes: tables.feed[after..].to_vec(),
            cursor: Cursor(tables.feed.len().to_string()),
            forget: std::mem::take(&mut tables.forgets),
            is_outdated: tables.is_outdated,
            is_waited_for: tables.is_waited_for,
            store_now: self.clock.now().plus_millis(*self.clock_is_ahead.lock().unwrap()),
            lacking_peppers: Some(tables.lacking_peppers.clone()),
        };
        in_mood(&self.polls, poll.clone(), poll)
    }

    fn acknowledge(&self, cursor: Cursor) -> SourceFuture<()> {
        self.tables.lock().unwrap().acknowledged.push(cursor);
        Box::pin(async { Ok(()) })
    }

    fn revoked_tokens(&self) -> SourceFuture<(Vec<Loaded>, Cursor)> {
        let mut tables = self.tables.lock().unwrap();
        tables.token_reads += 1;
        let tokens = tables
            .rows
            .iter()
            .filter(|(subject, _)| matches!(subject, Subject::RevokedToken(..)))
            .map(|(subject, row)| Loaded { subject: subject.clone(), found: Some(row.clone()) })
            .collect();
        let answer: (Vec<Loaded>, Cursor) = (tokens, Cursor(tables.feed.len().to_string()));
        in_mood(&self.polls, answer.clone(), answer)
    }
}

impl FakeStore {
    pub(crate) fn loads_are(&self, mood: Mood) {
        self.loads.send_replace(mood);
    }

    pub(crate) fn polls_are(&self, mood: Mood) {
        self.polls.send_replace(mood);
    }

    /// Writes a row that nobody is told of.
    pub(crate) fn write(&self, subject: &Subject, version: i64, record: Option<Record>) {
        let mut tables = self.tables.lock().unwrap();
        match record {
            Some(record) => tables.rows.insert(subject.clone(), (version, record)),
            None => tables.rows.remove(subject),
        };
    }

    /// Tells of a change in the feed.
    pub(crate) fn tell(&self, subject: &Subject, version: i64) {
        self.tables.lock().unwrap().feed.push(Change { subject: subject.clone(), version });
    }

    /// What another node's commit does.
    pub(crate) fn write_elsewhere(&self, subject: &Subject, version: i64, record: Option<Record>) {
        self.write(subject, version, record);
        self.tell(subject, version);
    }

    /// The next poll says that changes may have been missed.
    pub(crate) fn forget_all(&self) {
        self.tables.lock().unwrap().forgets = Forget::Everything;
    }

    /// The next poll comes from another server, or from one that has been down.
    pub(crate) fn come_from_elsewhere(&self) {
        self.tables.lock().unwrap().forgets = Forget::Origin;
    }

    /// Somebody waits until everybody has applied what there is. Gives what was acknowledged until now.
    pub(crate) fn wait_for_all(&self, waits: bool) -> Vec<Cursor> {
        let mut tables = self.tables.lock().unwrap();
        tables.is_waited_for = waits;
        std::mem::take(&mut tables.acknowledged)
    }

    /// The next polls tell of what this program should understand.
    pub(crate) fn others_have_pepper(&self, name: &str) {
        self.tables.lock().unwrap().lacking_peppers.push(name.to_owned());
    }

    pub(crate) fn outgrow(&self) {
        self.tables.lock().unwrap().is_outdated = true;
    }

    pub(crate) fn loads(&self) -> Vec<Vec<Subject>> {
        self.tables.lock().unwrap().loads.clone()
    }

    pub(crate) fn loads_of(&self, subject: &Subject) -> usize {
        self.loads().iter().flatten().filter(|loaded| *loaded == subject).count()
    }

    pub(crate) fn polls(&self) -> usize {
        self.tables.lock().unwrap().polls
    }

    pub(crate) fn token_reads(&self) -> usize {
        self.tables.lock().unwrap().token_reads
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) store: Arc<FakeStore>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) random: Counting,
    /// Of the look-ups.
    pub(crate) runtime: Runtime,
    pub(crate) _background: Runtime,
}

/// Settings under which the memory's own work is never late, and nobody runs out of time on a busy machine.
pub(crate) fn quick() -> MemorySettings {
    MemorySettings {
        poll_deadline: Duration::from_secs(60),
        shared_poll_deadline: Duration::from_secs(60),
        ask_deadline: Duration::from_secs(60),
        poll_every: Duration::from_millis(2),
        tidy_every: Duration::from_millis(5),
        ..MemorySettings::default()
    }
}

/// What a look-up comes to.
pub(crate) type Looked = Result<Option<Arc<KeyRecord>>, DirectoryError>;

impl World {
    pub(crate) fn new() -> Self {
        Self::with(quick(), |_| ())
    }

    /// A memory that is ready, over a store that `fill` has filled.
    pub(crate) fn with(settings: MemorySettings, fill: impl FnOnce(&FakeStore)) -> Self {
        let world = Self::unready(settings, fill);
        world.runtime.block_on(world.memory.ready()).unwrap();
        world
    }

    pub(crate) fn unready(settings: MemorySettings, fill: impl FnOnce(&FakeStore)) -> Self {
        let clock = Arc::new(FixedClock::at(NOW));
        let store = Arc::new(FakeStore {
            tables: Mutex::default(),
            loads: watch::Sender::new(Mood::Well),
            polls: watch::Sender::new(Mood::Well),
            clock: Arc::clone(&clock),
            clock_is_ahead: Mutex::default(),
        });
        fill(&store);
        let background =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let memory = Memory::start(
            Arc::clone(&store) as Arc<dyn Source>,
            Arc::clone(&clock) as Arc<dyn Clock>,
            settings,
            background.handle(),
        );
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self {
            clock,
            store,
            memory: Arc::new(memory),
            random: Counting::default(),
            runtime,
            _background: background,
        }
    }

    pub(crate) fn digest(&self) -> KeyDigest {
        let mut bytes = [0; 32];
        claviger::random::Random::fill(&self.random, &mut bytes);
        KeyDigest::from_bytes(&bytes).unwrap()
    }

    pub(crate) fn tenant(&self) -> TenantId {
        TenantId::generate(&self.random)
    }

    /// A new key of a new tenant, not written anywhere.
    pub(crate) fn key(&self) -> (Subject, Arc<KeyRecord>) {
        self.key_of(self.tenant())
    }

    pub(crate) fn key_of(&self, tenant: TenantId) -> (Subject, Arc<KeyRecord>) {
        let record = KeyRecord {
            key: KeyId::generate(&self.random),
            tenant,
            org: OrgId::generate(&self.random),
            environment: Environment::Live,
            grants: Grants::bundle(Access::Read),
            state: State::Active,
            expires_at: None,
            secret_revoked: false,
            networks: None,
            made_under: 2,
        };
        (Subject::Key(self.digest()), Arc::new(record))
    }

    /// A new key, in the store in version 1.
    pub(crate) fn written_key(&self) -> (Subject, Arc<KeyRecord>) {
        let (subject, record) = self.key();
        self.store.write(&subject, 1, Some(Record::Key(Arc::clone(&record))));
        (subject, record)
    }

    /// What a decision is told of a key.
    pub(crate) fn ask(&self, subject: &Subject) -> Answer<KeyRecord> {
        let Subject::Key(digest) = subject else { panic!("not a key") };
        self.memory.key(digest)
    }

    /// Looks a key up to the end.
    pub(crate) fn look_up(&self, subject: &Subject) -> Looked {
        self.runtime.block_on(self.ask(subject).resolve()).map(|found| found.map(|found| found.record))
    }

    /// Looks a key up as far as the question's being handed in.
    pub(crate) fn begin(&self, subject: &Subject) -> Pin<Box<dyn Future<Output = Looked>>> {
        let asked = self.ask(subject).resolve();
        let mut begun = Box::pin(asked.map_ok(|found| found.map(|found| found.record)));
        assert!(begun.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        begun
    }

    /// Whether a decision made now would believe the memory, after asking where it must.
    pub(crate) fn is_fresh(&self) -> Result<(), DirectoryError> {
        match self.memory.freshness(self.clock.boot()) {
            Freshness::Fresh => Ok(()),
            Freshness::Stale(wait) => self.runtime.block_on(wait),
        }
    }

    /// Waits until two polls that began after the call have ended.
    pub(crate) fn poll(&self) {
        let polls = self.store.polls();
        // The third begins only when the second has been applied.
        until("the feed is polled", || self.store.polls() >= polls + 3);
    }

    pub(crate) fn about_to_commit(&self, subject: &Subject, version: i64) {
        self.memory.about_to_commit(&[Change { subject: subject.clone(), version }]);
    }

    pub(crate) fn committed(&self, subject: &Subject, version: i64) {
        self.memory.committed(&[Change { subject: subject.clone(), version }]);
    }

    pub(crate) fn not_committed(&self, subject: &Subject, version: i64) {
        self.memory.not_committed(&[Change { subject: subject.clone(), version }]);
    }

    /// A commit of this node, from beginning to end.
    pub(crate) fn commit(&self, subject: &Subject, version: i64, record: Option<Record>) {
        self.about_to_commit(subject, version);
        self.store.write(subject, version, record);
        self.committed(subject, version);
    }
}

/// The key, withdrawn.
pub(crate) fn revoked(record: &KeyRecord) -> Arc<KeyRecord> {
    Arc::new(KeyRecord { state: State::Deleted, ..record.clone() })
}

pub(crate) fn is_known<T>(answer: &Answer<T>) -> bool {
    matches!(answer, Answer::Known(_))
}

/// Waits for a condition, and not for ever.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: waited too long");
        std::thread::sleep(Duration::from_micros(200));
    }
}
