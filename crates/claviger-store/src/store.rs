//! Opens a store, and hands out its parts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};

use claviger::Permit;
use claviger::clock::Clock;
use claviger::danger::{OperatorPermit, SystemPermit};
use claviger::random::Random;

use crate::accounts::Accounts;
use crate::actor::Actor;
use crate::backend::postgres::{Keeper, KeeperSlot};
use crate::backend::{Backend, Bound, FEED, FollowerSlot, Mode, Tx, postgres, sqlite};
use crate::error::StoreError;
use crate::failover::Failover;
use crate::feed::{FEED_EPOCH, Feed};
use crate::follower::Follower;
use crate::keyring::Keyring;
use crate::nouns::NOUNS;
use crate::operator::Operator;
use crate::source::Source;
use crate::statement::statements;
use crate::system_store::SystemStore;
use crate::tenant_store::TenantStore;
use crate::value::values;
use crate::withdrawals::{Journal, repeat_missing};

statements! { "keyring check";
    META: System [Text] "SELECT value FROM store_meta WHERE name = $1";
    META_ADD: System [Text, Text] "INSERT INTO store_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    META_SET: System [Text, Text]
        "INSERT INTO store_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    CHECKS: System [] "SELECT kind, key_id, check_hash FROM keyring_check";
    CHECK_ADD: System [Text, Text, Blob]
        "INSERT INTO keyring_check (kind, key_id, check_hash) VALUES ($1, $2, $3) ON CONFLICT (kind, key_id) DO NOTHING";
    PEPPERS_IN_USE: System []
        "SELECT pepper, CAST(count(*) AS bigint) FROM key_secret WHERE revoked = 0 GROUP BY pepper";
}

/// Where a store is, and how many hands it has.
#[derive(Clone)]
pub struct Settings {
    /// `sqlite:` and a path, or a `postgres://` URL that names the role `claviger_rt`. May hold a password.
    pub url: String,
    /// The certificates to trust for PostgreSQL over TLS, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Where the change feed is read, if not at `url`: past a pooler, so that a queue there holds up no poll.
    pub feed_url: Option<String>,
    /// Where this node keeps the withdrawals that it has acknowledged, so that they outlive a failover of PostgreSQL. Without
    /// one, what a failover loses is lost.
    pub withdrawals_file: Option<PathBuf>,
    /// Reading threads of SQLite.
    pub readers: usize,
    /// Connections to PostgreSQL at most.
    pub connections: usize,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings(..)")
    }
}

/// Which engine a URL names.
enum Engine<'a> {
    Sqlite(&'a Path),
    Postgres,
}

impl Settings {
    /// Whether a store can be reached with these at all, as far as that can be said without reaching it.
    ///
    /// # Errors
    /// If not, what is wrong.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.engine()? {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres => [Some(&self.url), self.feed_url.as_ref()]
                .into_iter()
                .flatten()
                .try_for_each(|url| postgres::connect::check_url(url, self.ca_file.as_deref())),
        }
    }

    fn engine(&self) -> Result<Engine<'_>, StoreError> {
        if let Some(path) = self.url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Engine::Sqlite(Path::new(path)));
        }
        if self.url.starts_with("postgres://") || self.url.starts_with("postgresql://") {
            return Ok(Engine::Postgres);
        }
        Err(StoreError::Setup("the store's url must begin with `sqlite:` or `postgres://`".into()))
    }
}

/// An open store. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// What the parts of a store share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) backend: Backend,
    pub(crate) keyring: Keyring,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) id: String,
    pub(crate) journal: Option<Arc<Journal>>,
    /// Under which id this process serves, once it does.
    pub(crate) node: OnceLock<[u8; 16]>,
    pub(crate) failover: Failover,
    audit_count: AtomicU16,
    follower: FollowerSlot,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) faults: crate::testing::Faults,
}

impl Inner {
    /// What makes the next id of an audit entry one of its own: a UUID of version 7 (RFC 9562, section 5.7) has a counter
    /// of this node behind its time, so that entries of one millisecond sort as they were made.
    pub(crate) fn audit_tail(&self) -> [u8; 10] {
        let mut tail = [0; 10];
        self.random.fill(&mut tail);
        let [high, low] = self.audit_count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let [first, second, ..] = &mut tail;
        (*first, *second) = (high, low);
        tail
    }

    /// The clock of an embedded store.
    pub(crate) fn store_clock(&self) -> Arc<dyn Clock> {
        #[cfg(any(test, feature = "testing"))]
        return self.faults.skewed(&self.clock);
        #[cfg(not(any(test, feature = "testing")))]
        Arc::clone(&self.clock)
    }

    /// Runs a unit of work; see [`Backend::run`].
    pub(crate) async fn run<T, F>(&self, bound: Bound, mode: Mode, work: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        #[cfg(any(test, feature = "testing"))]
        self.faults.pass().await?;
        self.backend.run(bound, mode, self.store_clock(), work).await
    }
}

impl Store {
    /// Makes the roles and the schema of a PostgreSQL database, as a role that may. `settings.url` is the
    /// runtime role's and gives it its password. SQLite needs no preparing.
    ///
    /// # Errors
    /// If the database does not answer, is too old, or `owner_url` may not do this.
    pub async fn prepare(owner_url: &str, settings: &Settings) -> Result<(), StoreError> {
        match settings.engine()? {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres => {
                let (owner_url, settings) = (owner_url.to_owned(), settings.clone());
                postgres::aside(async move {
                    postgres::prepare::prepare(&owner_url, &settings.url, settings.ca_file.as_deref()).await
                })
                .await
            }
        }
    }

    /// Opens the store and checks its walls and that `keyring` is its own. SQLite is migrated first.
    ///
    /// # Errors
    /// If a wall does not stand, the keyring is another one or incomplete, or the database cannot be used. Nothing
    /// is written to a store that is refused.
    pub async fn open(
        settings: &Settings,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StoreError> {
        let follower: FollowerSlot = Arc::new(OnceLock::new());
        let keeper: KeeperSlot = Arc::new(OnceLock::new());
        let backend = match settings.engine()? {
            Engine::Sqlite(path) => {
                Backend::Sqlite(sqlite::Sqlite::open(path, NOUNS, settings.readers, follower.clone())?)
            }
            Engine::Postgres => {
                Backend::Postgres(postgres::Postgres::open(settings, follower.clone(), keeper.clone()).await?)
            }
        };
        let id = match accept_keyring(&backend, &keyring, &clock, random.as_ref()).await {
            Ok(id) => id,
            Err(error) => {
                backend.close().await;
                return Err(error);
            }
        };
        let file = settings.withdrawals_file.as_deref().filter(|_| !backend.is_embedded());
        let journal = match file.map(|file| Journal::open(file, Arc::clone(&random))).transpose() {
            Ok(journal) => journal.map(Arc::new),
            Err(error) => {
                backend.close().await;
                return Err(error);
            }
        };
        if let Some(journal) = &journal {
            let _only_one = keeper.set(Keeper { journal: Arc::clone(journal), store: id.clone() });
        }
        let inner = Inner {
            backend,
            keyring,
            clock,
            random,
            id,
            journal,
            node: OnceLock::new(),
            failover: Failover::default(),
            audit_count: AtomicU16::new(0),
            follower,
            #[cfg(any(test, feature = "testing"))]
            faults: crate::testing::Faults::default(),
        };
        let store = Self { inner: Arc::new(inner) };
        if let Err(error) = repeat_missing(&store.inner).await {
            store.close().await;
            return Err(error);
        }
        Ok(store)
    }

    /// Lets `follower` hear of this node's own commits from now on. There is one at most; gives whether it is
    /// this one.
    pub fn set_follower(&self, follower: Arc<dyn Follower>) -> bool {
        self.inner.follower.set(follower).is_ok()
    }

    /// What a node's memory reads from.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(Feed::new(Arc::clone(&self.inner)))
    }

    /// The keyring the store was opened with.
    pub fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    /// The part of the store that `permit` opens: one tenant's, with whoever was let in in its audit.
    pub fn tenant(&self, permit: &Permit) -> TenantStore {
        let actor = Actor::principal(permit.principal());
        TenantStore::new(Arc::clone(&self.inner), permit.tenant(), actor)
    }

    /// The operator's part.
    pub fn operator(&self, permit: &OperatorPermit) -> Operator {
        Operator::new(Arc::clone(&self.inner), Actor::named(format!("operator:{}", permit.actor())))
    }

    /// The part for sign-up, sign-in and refresh, before it is known which tenant somebody is in.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(Arc::clone(&self.inner), Actor::named("accounts"))
    }

    /// The part for the named job.
    pub fn system(&self, permit: &SystemPermit) -> SystemStore {
        SystemStore::new(Arc::clone(&self.inner), permit.job())
    }

    /// Finishes what is under way and gives the database free. Every clone is closed with it.
    pub async fn close(self) {
        self.inner.backend.close().await;
    }
}

/// Compares the keyring with the store's check values. A store without any is new and takes the keyring for its
/// own. An old pepper may be missing once no live secret uses it.
async fn accept_keyring(
    backend: &Backend,
    keyring: &Keyring,
    clock: &Arc<dyn Clock>,
    random: &dyn Random,
) -> Result<String, StoreError> {
    let job = Bound::System("open");
    let known: Vec<(&'static str, String)> =
        keyring.checks("").into_iter().map(|check| (check.kind, check.id)).collect();
    let (stored_id, stored, in_use, has_epoch) = backend
        .run(job, Mode::Read, Arc::clone(clock), async move |tx: &mut Tx<'_>| {
            let id =
                tx.run_one(&META, values!["store_id"]).await?.map(|row| row.read().text()).transpose()?;
            let mut checks = Vec::new();
            for row in tx.run(&CHECKS, &[]).await? {
                let mut columns = row.read();
                checks.push((columns.text()?, columns.text()?, columns.blob()?));
            }
            let is_known = |(kind, id, _): &(String, String, Vec<u8>)| {
                known.iter().any(|(known_kind, known_id)| known_kind == kind && known_id == id)
            };
            let mut peppers = Vec::new();
            // Which are in use is counted over all keys, millions maybe: only where one is lacking does it matter.
            if !checks.iter().all(is_known) {
                for row in tx.run(&PEPPERS_IN_USE, &[]).await? {
                    peppers.push(row.read().text()?);
                }
            }
            Ok((id, checks, peppers, tx.origin().is_some()))
        })
        .await?;
    if !has_epoch {
        // A new database, or one whose server has been down.
        backend
            .run(FEED, Mode::Write, Arc::clone(clock), async |tx: &mut Tx<'_>| {
                tx.run(&FEED_EPOCH, &[]).await.map(drop)
            })
            .await?;
    }
    let id = stored_id.unwrap_or_else(|| {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    });
    let ours = keyring.checks(&id);
    for (kind, key_id, value) in &stored {
        match ours.iter().find(|check| check.kind == kind && check.id == *key_id) {
            Some(check) if check.value == *value => {}
            Some(_) => {
                return Err(StoreError::Setup(format!(
                    "the keyring is not this store's: its {kind} key `{key_id}` is another one"
                )));
            }
            None if kind == "pepper" && !in_use.contains(key_id) => {}
            None => {
                return Err(StoreError::Setup(format!(
                    "the keyring lacks the {kind} key `{key_id}`, which this store needs"
                )));
            }
        }
    }
    let new: Vec<_> = ours
        .into_iter()
        .filter(|check| !stored.iter().any(|(kind, key_id, _)| check.kind == kind && check.id == *key_id))
        .map(|check| (check.kind, check.id, check.value))
        .collect();
    let stored_id = id.clone();
    if !new.is_empty() {
        backend
            .run(job, Mode::Write, Arc::clone(clock), async move |tx: &mut Tx<'_>| {
                tx.run(&META_ADD, values!["store_id", &id]).await?;
                for (kind, key_id, value) in &new {
                    tx.run(&CHECK_ADD, values![*kind, key_id, value.as_slice()]).await?;
                }
                // Two nodes that open a new store at once: the first one's id stands.
                let row = tx.run_one(&META, values!["store_id"]).await?;
                match row.map(|row| row.read().text()).transpose()? {
                    Some(first) if first == id => Ok(()),
                    _ => Err(StoreError::unavailable(
                        "another node has just opened this new store; start again",
                    )),
                }
            })
            .await?;
    }
    Ok(stored_id)
}
