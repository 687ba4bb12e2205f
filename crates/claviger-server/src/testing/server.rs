//! The server under test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger::clock::{Clock, UnixMillis};
use claviger::id::RealmName;
use claviger::random::SystemRandom;
use claviger::signing_key::SigningKey;
use claviger::testing::FixedClock;
use claviger_example_upstream as example;
use claviger_store::testing::Folder;
use claviger_store::testing::cluster::{self, Database};
use toml::{Table, Value};

use crate::app::App;
use crate::binding_keys::binding_key;
use crate::clock::MachineClock;
use crate::config::Config;
use crate::demo::{self, Upstream};
use crate::failure::Failure;
use crate::identity_tokens;
use crate::management::{ManagedApi, Management};
use crate::world::World;

use super::{Client, Log, On, Recorder};

/// Where an embedded store's clock begins: 2027-01-15T08:00:00Z.
const START: UnixMillis = UnixMillis(1_800_000_000_000);
/// The one proxy whose word is taken, unless a test says otherwise.
const PROXY: &str = "127.0.0.2";

/// What is behind the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// The example upstream, which checks what it gets.
    Example,
    /// A [`Recorder`].
    Recorder,
}

/// How a server is to be started.
pub struct Plan<'a> {
    /// Its store.
    pub on: On,
    /// Its upstream.
    pub behind: Behind,
    /// Changes the settings before they are written to their file.
    pub settings: &'a dyn Fn(&mut Table),
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plan({:?}, {:?})", self.on, self.behind)
    }
}

/// A server that runs until it is dropped.
///
/// Its clock goes only where the test moves it. On PostgreSQL that holds for the boot clock, which limits and
/// staleness go by; the time of day is the database's, as it is for every node of a real one.
#[derive(Debug)]
pub struct TestServer {
    /// The clock it goes by.
    pub clock: Arc<FixedClock>,
    /// Which store it is on.
    pub on: On,
    app: Option<App>,
    example: Option<Upstream>,
    recorder: Option<Arc<Recorder>>,
    behind: Behind,
    config: PathBuf,
    access_log: PathBuf,
    shared: Arc<Shared>,
}

/// What the nodes of one test share.
#[derive(Debug)]
struct Shared {
    folder: Folder,
    database: Option<Database>,
}

impl TestServer {
    /// A server before the example upstream.
    pub fn start(on: On) -> Self {
        Self::start_as(&Plan { on, behind: Behind::Example, settings: &|_| {} })
    }

    /// A server before a [`Recorder`].
    pub fn recording(on: On) -> Self {
        Self::start_as(&Plan { on, behind: Behind::Recorder, settings: &|_| {} })
    }

    /// A server as planned, on a new store.
    ///
    /// # Panics
    /// If it does not start; without PostgreSQL's server programs it says what to install.
    pub fn start_as(plan: &Plan<'_>) -> Self {
        let database = match plan.on {
            On::Sqlite => None,
            On::Postgres => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let made = runtime.expect("a runtime").block_on(cluster::database());
                Some(made.unwrap_or_else(|why| panic!("no postgres to test with: {why}")))
            }
        };
        let clock = Arc::new(FixedClock::at(match plan.on {
            On::Sqlite => START,
            On::Postgres => MachineClock::new().now(),
        }));
        let shared = Arc::new(Shared { folder: Folder::make(), database });
        Self::node(plan, "node-1", clock, shared)
    }

    /// One more server on the same PostgreSQL database, before the same upstream if that is a recorder.
    ///
    /// # Panics
    /// If it does not start, as it would not on SQLite.
    pub fn another_node(&self) -> Self {
        let plan = Plan { on: self.on, behind: self.behind, settings: &|_| {} };
        let clock = Arc::new(FixedClock::at(self.clock.now()));
        Self::node(&plan, "node-2", clock, self.shared.clone())
    }

    /// Stops it and starts it again on the same data, with other settings.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn restart(mut self, settings: &dyn Fn(&mut Table)) -> Self {
        self.stop();
        let plan = Plan { on: self.on, behind: self.behind, settings };
        Self::node(&plan, "node-1", self.clock.clone(), self.shared.clone())
    }

    /// Stops it and starts it again on the same data, before the example upstream.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn restart_before_the_example(mut self) -> Self {
        self.behind = Behind::Example;
        self.restart(&|_| {})
    }

    fn node(plan: &Plan<'_>, name: &str, clock: Arc<FixedClock>, shared: Arc<Shared>) -> Self {
        // Before the server, so that nothing it says is missed.
        Log::of_this_process();
        let folder = shared.folder.path();
        let access_log = folder.join(format!("{name}-access.log"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let recorder = (plan.behind == Behind::Recorder).then(|| Arc::new(Recorder::start()));
        let upstream = match &recorder {
            Some(recorder) => recorder.url(),
            None => format!("http://{}", listener.local_addr().expect("an address")),
        };
        let store = match &shared.database {
            Some(database) => database.runtime_url.clone(),
            None => format!("sqlite:{}", folder.join("claviger.db").display()),
        };
        let mut settings = settings(folder, &store, &upstream, &access_log);
        // The others' folders are theirs, and none is where the tests run.
        let withdrawals = folder.join(format!("{name}.withdrawals.jsonl")).display().to_string();
        let store = settings.entry("store").or_insert_with(|| Table::new().into()).as_table_mut();
        store.expect("a table").insert("withdrawals_file".into(), withdrawals.into());
        if plan.behind == Behind::Recorder {
            for path in Recorder::PATHS {
                let methods = "methods = [\"GET\", \"POST\"]";
                let route = format!("path = \"{path}\"\nresource = \"recorder\"\n{methods}");
                add_route(&mut settings, &route);
            }
        }
        (plan.settings)(&mut settings);
        let config = folder.join(format!("{name}.toml"));
        let text = toml::to_string(&settings).expect("settings as text");
        std::fs::write(&config, text).expect("the settings' file");

        let world = World { clock: clock.clone(), random: Arc::new(SystemRandom), is_demo: false };
        let app = serve(&config, &world).unwrap_or_else(|failure| panic!("{failure} {:?}", failure.hint));
        let example = recorder.is_none().then(|| {
            let clock = Arc::new(ServersClock(app.management().clock.clone()));
            Upstream::start(listener, &app, clock).expect("the example upstream")
        });
        Self {
            clock,
            on: plan.on,
            app: Some(app),
            example,
            recorder,
            behind: plan.behind,
            config,
            access_log,
            shared,
        }
    }

    /// The running server.
    pub fn app(&self) -> &App {
        self.app.as_ref().expect("the server runs")
    }

    /// What commands are carried out with.
    pub fn management(&self) -> &Management {
        self.app().management()
    }

    /// What is behind the server, if it records.
    pub fn recorder(&self) -> &Recorder {
        self.recorder.as_ref().expect("the server was started before a recorder")
    }

    /// Runs a future to its end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.app().block_on(future)
    }

    /// The settings' file, for `claviger --config`.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The folder of everything the server writes.
    pub fn folder(&self) -> &Path {
        self.shared.folder.path()
    }

    /// The database, on PostgreSQL.
    pub fn database(&self) -> &Database {
        self.shared.database.as_ref().expect("the store is on PostgreSQL")
    }

    /// The server's time of day: on PostgreSQL the database's.
    pub fn now(&self) -> UnixMillis {
        self.management().clock.now()
    }

    /// A client of the management API.
    pub fn console(&self) -> Client {
        let address = self.app().console_address().expect("a console");
        Client::new(address, &address.to_string())
    }

    /// A client of the listener at `index` that says `host`: 0 is plain, 1 is plain with the development switch,
    /// 2 is TLS.
    pub fn client(&self, index: usize, host: &str) -> Client {
        let address = self.app().addresses().get(index).expect("such a listener");
        let client = Client::new(*address, host);
        if index == 2 {
            return client.over_tls(&std::fs::read(self.certificate()).expect("the certificate"));
        }
        client
    }

    /// The certificate of the TLS listener.
    pub fn certificate(&self) -> PathBuf {
        self.folder().join("dev-cert.pem")
    }

    /// A client of Synq's main host.
    pub fn synq(&self) -> Client {
        self.client(0, "synq.localhost")
    }

    /// A client of the host on which Synq demands the identity headers.
    pub fn synq_strict(&self) -> Client {
        self.client(0, "synq-strict.localhost")
    }

    /// A client of Synaptiq where its HTTPS rule is off.
    pub fn synaptiq(&self) -> Client {
        self.client(1, "synaptiq.localhost")
    }

    /// A client of Syncello.
    pub fn syncello(&self) -> Client {
        self.client(0, "syncello.localhost")
    }

    /// A client of the operations address.
    pub fn ops(&self) -> Client {
        Client::new(self.app().ops_address(), "ops")
    }

    /// The API called `name`.
    pub fn api(&self, name: &str) -> Arc<ManagedApi> {
        self.management().api(name).expect("such an API")
    }

    /// The key that signs the realm's identity tokens.
    pub fn signing_key(&self, realm: &str) -> SigningKey {
        let realm: RealmName = realm.parse().expect("a realm's name");
        self.run(identity_tokens::signer(&self.management().store, &realm)).expect("a signing key")
    }

    /// The key under which an API's upstream checks bindings.
    pub fn binding_key(&self, api: &str) -> Vec<u8> {
        binding_key(&self.management().store, &self.api(api).api).expose().to_vec()
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        if let Some(app) = self.app.take() {
            app.stop();
        }
        if let Some(example) = self.example.take() {
            example.stop();
        }
    }

    /// Stops the server, and gives the access log, which is whole then.
    pub fn stop_and_read_access_log(&mut self) -> String {
        self.stop();
        std::fs::read_to_string(&self.access_log).expect("the access log")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Adds a route to each API that has its own.
///
/// # Panics
/// If `route` is no TOML.
pub fn add_route(settings: &mut Table, route: &str) {
    let route: Table = route.parse().expect("a route");
    let apis = settings.get_mut("api").and_then(Value::as_array_mut).expect("APIs");
    for api in apis {
        if let Some(routes) = api.get_mut("route").and_then(Value::as_array_mut) {
            routes.push(route.clone().into());
        }
    }
}

/// As `claviger serve` does.
fn serve(file: &Path, world: &World) -> Result<App, Failure> {
    let (config, source) = Config::load(file)?;
    App::start(&config, &source, world)
}

/// The examples' APIs on listeners and a store of the test's.
fn settings(folder: &Path, store: &str, upstream: &str, access_log: &Path) -> Table {
    let certificate = demo::certificate(folder, "Claviger test certificate").expect("a certificate");
    let mut settings: Table = format!(
        "server = {{ cores = 1, drain_seconds = 1, trusted_proxies = [\"{PROXY}\"] }}\n\
         ops = {{ address = \"127.0.0.1:0\" }}\n\
         console = {{ address = \"127.0.0.1:0\" }}\n\
         listener = [\n\
           {{ address = \"127.0.0.1:0\" }},\n\
           {{ address = \"127.0.0.1:0\", plain_http = \"yes_for_development_only\" }},\n\
           {{ address = \"127.0.0.1:0\", tls = true }},\n\
         ]\n\
         api = []\n"
    )
    .parse()
    .expect("settings");
    let table = |pairs: &[(&str, String)]| -> Value {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.clone())))
            .collect::<Table>()
            .into()
    };
    let path = |path: &Path| path.display().to_string();
    settings.insert("store".into(), table(&[("url", store.to_owned())]));
    if !folder.join("keyring.toml").exists() {
        crate::core::create_keyring(&folder.join("keyring.toml"), &claviger::random::SystemRandom)
            .expect("a keyring");
    }
    settings.insert("keyring".into(), table(&[("file", path(&folder.join("keyring.toml")))]));
    settings.insert("log".into(), table(&[("access", path(access_log))]));
    settings.insert("mail".into(), table(&[("folder", path(&folder.join("mail")))]));
    let pair = table(&[
        ("certificate_file", path(&certificate.certificate_file)),
        ("key_file", path(&certificate.key_file)),
    ]);
    let tls: Table = [("certificate".to_owned(), Value::Array(vec![pair]))].into_iter().collect();
    settings.insert("tls".into(), tls.into());
    for (_, text) in demo::EXAMPLES {
        let mut example: Table = text.parse().expect("an example's settings");
        let apis = example.get_mut("api").and_then(Value::as_array_mut).expect("the example's APIs");
        for mut api in apis.drain(..) {
            let table = api.as_table_mut().expect("an API");
            if !table.contains_key("like") {
                table.insert("upstream".into(), upstream.into());
            }
            settings.get_mut("api").and_then(Value::as_array_mut).expect("a list").push(api);
        }
    }
    settings
}

/// The server's clock, for the upstream behind it.
#[derive(Debug)]
struct ServersClock(Arc<dyn Clock>);

impl example::Clock for ServersClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0.now().0).expect("a time")
    }
}
