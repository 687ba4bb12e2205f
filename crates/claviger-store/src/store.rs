//! Opens a store, and hands out its parts.

use std::sync::atomic::AtomicU16;
use std::sync::{Arc, OnceLock};

use claviger::Permit;
use claviger::clock::Clock;
use claviger::danger::{OperatorPermit, SystemPermit};
use claviger::random::Random;

use crate::actor::Actor;
use crate::backend::postgres::{Keeper, KeeperSlot};
pub use crate::backend::sqlite::lock::Holding;
use crate::backend::sqlite::lock::LockFile;
use crate::backend::{Backend, FollowerSlot, postgres, sqlite};
use crate::error::StoreError;
use crate::feed::Feed;
use crate::feed::failover::Failover;
use crate::feed::follower::Follower;
use crate::feed::source::Source;
use crate::keyring::Keyring;
use crate::keyring_check::accept_keyring;
use crate::nouns::NOUNS;
use crate::parts::accounts::Accounts;
use crate::parts::inner::Inner;
use crate::parts::operator::Operator;
use crate::parts::system_store::SystemStore;
use crate::parts::tenant_store::TenantStore;
use crate::registry;
use crate::settings::Engine;
pub use crate::settings::Settings;
use crate::withdrawals::journal::Journal;
use crate::withdrawals::repeat::repeat_missing;

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
}

/// An open store. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
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
                let opened = sqlite::Sqlite::open(path, NOUNS, settings.readers, follower.clone());
                Backend::Sqlite(Box::new(opened.await?))
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
        let mut process = [0; 16];
        random.fill(&mut process);
        let inner = Inner {
            process,
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
            find_statement: |name| registry::statements().find(|statement| statement.name == name),
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
        Operator::new(Arc::clone(&self.inner), Actor::operator(permit.actor()))
    }

    /// The part for sign-up, sign-in and refresh, before it is known which tenant somebody is in.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(Arc::clone(&self.inner), Actor::named("accounts"))
    }

    /// The part for the named job.
    pub fn system(&self, permit: &SystemPermit) -> SystemStore {
        SystemStore::new(Arc::clone(&self.inner), permit.job())
    }

    /// Tells whoever wants an embedded store next what this process is about to do. Without a word it is taken for one that passes,
    /// and is waited for.
    ///
    /// # Errors
    /// If the lock's file cannot be written.
    pub fn say(&self, holding: Holding) -> Result<(), StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.say(holding),
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// Changes nothing from now on, and gives an embedded store to whoever wants it next once what was begun is done; what is
    /// read from then on is what they write. A store that several nodes share needs no handing over.
    ///
    /// A memory that followed by itself has to be told before ([`Memory::follow_others`](crate::memory::Memory::follow_others)).
    pub async fn hand_over(&self) {
        if let Backend::Sqlite(sqlite) = &self.inner.backend {
            sqlite.hand_over().await;
        }
    }

    /// What the process that has this embedded store open is about to do; `None` if none has it, and where nodes share a store.
    ///
    /// # Errors
    /// If the settings name no store.
    pub fn holder(settings: &Settings) -> Result<Option<Holding>, StoreError> {
        match settings.engine()? {
            Engine::Sqlite(path) => Ok(LockFile::of(path).holder()),
            Engine::Postgres => Ok(None),
        }
    }

    /// Finishes what is under way and gives the database free. Every clone is closed with it.
    pub async fn close(self) {
        self.inner.backend.close().await;
    }
}
