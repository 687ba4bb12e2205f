//! A fresh store per test, on either engine, and switches for faults (feature `testing`).

pub mod cluster;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use claviger::clock::{Clock, UnixMillis};
use claviger::danger::{OperatorPermit, SystemPermit};
use claviger::directory::MemberState;
use claviger::id::{AccountId, OrgId, RealmName, TenantId};
use claviger::random::SystemRandom;
use claviger::testing::FixedClock;
use tokio::sync::watch;

use crate::email::Email;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::parts::operator::Operator;
use crate::parts::system_store::SystemStore;
use crate::parts::tenant_store::TenantStore;
use crate::people::sign_up::NewTenant;
use crate::settings::Settings;
use crate::store::Store;

/// Runs each test, an `async fn(TestStore)`, on a fresh store of each engine.
#[macro_export]
macro_rules! on_every_backend {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::testing::TestStore::start($crate::testing::Engine::Sqlite).await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::testing::TestStore::start($crate::testing::Engine::Postgres).await).await;
            })*
        }
    };
}

/// Which engine a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file in a folder of its own.
    Sqlite,
    /// A database of its own in the run's cluster.
    Postgres,
}

/// When every test's clock begins: 2027-01-15T08:00:00Z.
pub const START: UnixMillis = UnixMillis(1_800_000_000_000);

/// A store that is gone when the test is over.
#[derive(Debug)]
pub struct TestStore {
    /// The store.
    pub store: Store,
    /// Its clock, which stands still.
    pub clock: Arc<FixedClock>,
    /// What it was opened with.
    pub settings: Settings,
    /// Which engine it is on.
    pub engine: Engine,
    /// For PostgreSQL: the URL of a role that may do anything.
    pub owner_url: Option<String>,
    folder: Folder,
}

/// A tenant with an organization and its owner.
#[derive(Debug, Clone)]
pub struct TestTenant {
    /// Its part of the store, opened by the operator.
    pub store: TenantStore,
    /// The tenant.
    pub tenant: TenantId,
    /// Its organization.
    pub org: OrgId,
    /// ADMIN there.
    pub owner: AccountId,
    /// The realm all of them are in.
    pub realm: RealmName,
}

impl TestStore {
    /// A fresh store with the realm `synq` and the plans `Starter` and `Pro`.
    ///
    /// # Panics
    /// If there is none to be had: without PostgreSQL's server programs a test fails, and says what to install.
    #[expect(clippy::panic, clippy::expect_used, reason = "a test that has no store cannot go on")]
    pub async fn start(engine: Engine) -> Self {
        let folder = Folder::make();
        let (url, owner_url) = match engine {
            Engine::Sqlite => (format!("sqlite:{}", folder.path().join("claviger.db").display()), None),
            Engine::Postgres => match cluster::database().await {
                Ok(database) => (database.runtime_url, Some(database.owner_url)),
                Err(why) => panic!("no postgres to test with: {why}"),
            },
        };
        let settings = Settings {
            url,
            ca_file: None,
            feed_url: None,
            withdrawals_file: None,
            readers: 2,
            connections: 8,
        };
        let keyring = Keyring::generate(&SystemRandom).expect("a keyring");
        keyring.save(&folder.path().join("keyring.toml")).expect("a keyring's file");
        let clock = Arc::new(FixedClock::at(START));
        let opened = Store::open(&settings, keyring, clock.clone(), Arc::new(SystemRandom)).await;
        let store = opened.unwrap_or_else(|error| panic!("the store does not open: {error}"));
        let test = Self { store, clock, settings, engine, owner_url, folder };
        let operator = test.operator();
        let realm = "synq".parse().expect("a realm");
        operator.realm_ensure(&realm).await.expect("the realm");
        for plan in ["Starter", "Pro"] {
            operator.plan_ensure(&realm, &plan.parse().expect("a plan")).await.expect("the plan");
        }
        test
    }

    /// The operator's part.
    #[expect(clippy::disallowed_methods, reason = "a test acts as the operator")]
    pub fn operator(&self) -> Operator {
        self.store.operator(&OperatorPermit::for_command("test"))
    }

    /// The part for named jobs.
    #[expect(clippy::disallowed_methods, reason = "a test acts as a job")]
    pub fn system(&self) -> SystemStore {
        self.store.system(&SystemPermit::for_job("test"))
    }

    /// The keyring's file.
    pub fn keyring_path(&self) -> PathBuf {
        self.folder.path().join("keyring.toml")
    }

    /// The folder of this store, which goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the same database once more: another node on PostgreSQL; on SQLite close this one first.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_again(&self) -> Result<Store, StoreError> {
        let keyring = Keyring::load(&self.keyring_path())?;
        Store::open(&self.settings, keyring, self.clock.clone(), Arc::new(SystemRandom)).await
    }

    /// Makes a tenant called `name` in the realm `synq` on plan `Starter`, with an organization and an owner.
    ///
    /// # Panics
    /// If the store does not make it.
    #[expect(clippy::expect_used, reason = "a test without its tenant cannot go on")]
    pub async fn tenant(&self, name: &str) -> TestTenant {
        let realm: RealmName = "synq".parse().expect("a realm");
        let new = NewTenant {
            realm: realm.clone(),
            name: name.to_owned(),
            plan: "Starter".parse().expect("a plan"),
            organization: format!("{name} HQ"),
            owner: email(&format!("owner@{}.example", name.to_lowercase())),
            password_hash: None,
            unproven_owner: false,
        };
        let operator = self.operator();
        let made = operator.tenant_create(new).await.expect("the tenant");
        TestTenant {
            store: operator.tenant(made.tenant),
            tenant: made.tenant,
            org: made.org,
            owner: made.account,
            realm,
        }
    }

    /// From now on the store cannot answer: every call fails.
    pub fn cut(&self) {
        self.store.cut();
    }

    /// From now on no call ends, until the store is mended or cut.
    pub fn stall(&self) {
        self.store.stall();
    }

    /// Ends the fault.
    pub fn mend(&self) {
        self.store.mend();
    }
}

impl TestTenant {
    /// Adds a member with that address and role.
    ///
    /// # Panics
    /// If the store does not add it.
    #[expect(clippy::expect_used, reason = "a test without its member cannot go on")]
    pub async fn member(&self, address: &str, role: &str) -> AccountId {
        let role = role.parse().expect("a role");
        let added = self.store.member_add(self.org, &email(address), &role, MemberState::Active).await;
        added.expect("the member").account
    }
}

/// The tables that hold rows of tenants.
pub fn tables_of_tenants() -> impl Iterator<Item = &'static str> {
    crate::nouns::NOUNS.iter().filter(|noun| noun.is_of_a_tenant()).map(|noun| noun.table)
}

/// The tables whose rows have versions, as decisions read them.
pub fn tables_with_versions() -> impl Iterator<Item = &'static str> {
    let noun = crate::nouns::NOUNS.iter().filter(|noun| noun.is_versioned());
    noun.map(|noun| noun.table)
}

/// What lines of the feed say that only programs newer than this one must understand.
pub fn needs_a_newer_program() -> i64 {
    crate::feed::FEED_VERSION + 1
}

/// What a poll of the feed asks PostgreSQL, for those who look at its plan.
pub fn poll_sql() -> &'static str {
    crate::feed::FEED_SINCE.for_postgres()
}

/// What the store asks the catalogue for its walls.
pub fn walls_sql() -> &'static str {
    crate::backend::postgres::check::WALLS.for_postgres()
}

/// An address.
///
/// # Panics
/// If it is none.
#[expect(clippy::expect_used, reason = "the address stands in the test")]
pub fn email(text: &str) -> Email {
    text.parse().expect("an address")
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Cut,
    Stalled,
}

/// What keeps a store from answering.
#[derive(Debug)]
pub(crate) struct Faults(watch::Sender<Fault>, Arc<AtomicI64>);

impl Default for Faults {
    fn default() -> Self {
        Self(watch::Sender::new(Fault::None), Arc::default())
    }
}

/// A clock that goes ahead of another one.
#[derive(Debug)]
struct Skewed {
    clock: Arc<dyn Clock>,
    ahead_millis: Arc<AtomicI64>,
}

impl Clock for Skewed {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.now().0.saturating_add(self.ahead_millis.load(Ordering::SeqCst)))
    }

    fn boot(&self) -> claviger::clock::BootMillis {
        self.clock.boot()
    }

    fn time_of_day(&self) -> UnixMillis {
        self.clock.time_of_day()
    }
}

impl Faults {
    /// The store's clock, which need not be the node's.
    pub(crate) fn skewed(&self, node: &Arc<dyn Clock>) -> Arc<dyn Clock> {
        Arc::new(Skewed { clock: Arc::clone(node), ahead_millis: Arc::clone(&self.1) })
    }

    /// Lets a call through, refuses it, or holds it until there is another fault or none.
    pub(crate) async fn pass(&self) -> Result<(), StoreError> {
        let mut state = self.0.subscribe();
        loop {
            match *state.borrow_and_update() {
                Fault::None => return Ok(()),
                Fault::Cut => return Err(StoreError::unavailable("the test has cut it off")),
                Fault::Stalled => {}
            }
            state.changed().await.map_err(|_| StoreError::unavailable("the store was closed"))?;
        }
    }
}

/// Switches of an open store, for those who test what stands on it.
impl crate::store::Store {
    /// From now on the store answers nothing.
    pub fn cut(&self) {
        self.inner.faults.0.send_replace(Fault::Cut);
    }

    /// From now on the store takes questions and holds its answers back.
    pub fn stall(&self) {
        self.inner.faults.0.send_replace(Fault::Stalled);
    }

    /// From now on the store's clock is so far ahead of this node's.
    pub fn clock_is_ahead(&self, millis: i64) {
        self.inner.faults.1.store(millis, Ordering::SeqCst);
    }

    /// From now on the store answers again.
    pub fn mend(&self) {
        self.inner.faults.0.send_replace(Fault::None);
    }
}

/// A folder that is removed with what is in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A fresh one among the system's temporary folders.
    ///
    /// # Panics
    /// If it cannot be made.
    #[expect(clippy::expect_used, reason = "a test without its folder cannot go on")]
    pub fn make() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("claviger-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // One of an earlier process with the same number may be left.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
