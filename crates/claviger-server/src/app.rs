//! Builds everything from the settings, and takes it down again.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use claviger::authenticate::{Authenticator, VerifiedTokens};
use claviger::clock::Clock;
use claviger::id::{ApiName, RealmName};
use claviger::key_set::Algorithm;
use claviger::limit::LocalLimiter;
use claviger::lookups::Lookups;
use claviger::random::Random;
use claviger::refusal::CredentialKind;
use claviger::{Api, Door, Principal};
use claviger_store::memory::{Memory, MemorySettings};
use claviger_store::signing_keys::Line;
use claviger_store::{Keyring, Store};
use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;

use crate::config::{Config, ServedApi, Source, build_api};
use crate::gateway::{
    Binding, Gateway, KeySets, ListenerRules, PrincipalSigner, PrincipalTokens, RequestIds, SeenInClear,
    Surface,
};
use crate::identity_tokens;
use crate::journal::Journal;
use crate::management::{Failure, ManagedApi, Management, complaint};
use crate::metrics::Metrics;
use crate::ops::Ops;
use crate::wire::{Counters, Limits, Listen, PemPair, Ports, Server, ServerTls, Upstream, UpstreamSettings};

/// What a process is started with besides its settings.
#[derive(Debug, Clone)]
pub struct World {
    /// The machine's clock, or a test's.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes, or a test's.
    pub random: Arc<dyn Random>,
    /// Whether this is the demonstration, whose data no real server takes.
    pub is_demo: bool,
}

/// Whose data may be in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The demonstration's and no other.
    Demonstration,
    /// Any but the demonstration's.
    Own,
    /// Either: for commands, which let nobody in.
    Either,
}

/// A server that runs.
#[derive(Debug)]
pub struct App {
    management: Management,
    memory: Arc<Memory>,
    server: Option<Server>,
    ops: Option<Server>,
    addresses: Vec<SocketAddr>,
    ops_address: SocketAddr,
    gateway: Arc<Gateway>,
    drain: Duration,
    socket: Option<crate::control::Listening>,
    runtime: Option<Runtime>,
}

/// The store, its memory and the door, without any listener: what commands need.
#[derive(Debug)]
pub struct Core {
    pub(crate) management: Management,
    pub(crate) memory: Arc<Memory>,
    pub(crate) served: Vec<ServedApi>,
}

/// Checks everything about the settings that can be checked without a store.
///
/// # Errors
/// Naming the setting and its line.
pub fn check(config: &Config, source: &Source) -> Result<Vec<ServedApi>, Failure> {
    let mut served: Vec<ServedApi> = Vec::new();
    for (index, settings) in config.api.iter().enumerate() {
        let error = |setting: &str, what: String| {
            Failure::from(source.error(&format!("api[{index}].{setting}"), what))
        };
        let api = build_api(settings, index, source)?;
        for other in &served {
            if other.api.name == api.api.name {
                return Err(error("name", format!("two APIs are called `{}`", api.api.name)));
            }
            if let Some(host) = api.hosts.iter().find(|host| other.hosts.contains(host)) {
                return Err(error("hosts", format!("`{host}` is `{}`'s host already", other.api.name)));
            }
            if other.api.realm == api.api.realm && other.token_algorithm != api.token_algorithm {
                return Err(error("token_algorithm", "APIs of one realm share their signing keys".into()));
            }
        }
        served.push(api);
    }
    for (index, listener) in config.listener.iter().enumerate() {
        let error = |setting: &str, what: String| source.error(&format!("listener[{index}].{setting}"), what);
        let others = config.listener.iter().take(index).map(|other| other.address);
        if listener.address.port() != 0 && others.chain([config.ops.address]).any(|a| a == listener.address) {
            let what = format!("`{}` is another listener's or `ops.address` already", listener.address);
            return Err(error("address", what).into());
        }
        if let Some(api) = &listener.api
            && !served.iter().any(|served| served.api.name == *api)
        {
            return Err(error("api", format!("there is no API called `{api}`")).into());
        }
        if listener.tls && config.tls.certificate.is_empty() {
            return Err(error("tls", "there is no `[[tls.certificate]]` to speak TLS with".into()).into());
        }
    }
    Ok(served)
}

/// Checks what a server needs beside that and a command does not: something to serve, files that can be read,
/// upstreams that can be asked.
///
/// # Errors
/// Naming the setting or the file.
pub(crate) fn check_serving(
    config: &Config,
    source: &Source,
    served: &[ServedApi],
    is_demo: bool,
) -> Result<(), Failure> {
    if config.listener.is_empty() || served.is_empty() {
        return Err(Failure::new(format!(
            "the settings in `{}` have nothing to serve",
            source.file().display()
        ))
        .hint("write at least one `[[listener]]` and one `[[api]]`; `examples/` has three to begin with"));
    }
    for (index, served) in served.iter().enumerate() {
        upstream(served, 1).map_err(|failure| {
            Failure::from(source.error(&format!("api[{index}].upstream"), failure.what))
        })?;
    }
    server_tls(config, is_demo).map(|_| ())
}

/// The connections to an API's upstream, for so many cores. None is made yet.
fn upstream(served: &ServedApi, cores: usize) -> Result<Upstream, Failure> {
    let ca = served.upstream_ca_file.as_deref().map(read).transpose()?;
    let settings = UpstreamSettings {
        url: &served.upstream,
        ca: ca.as_deref(),
        max_idle: 256,
        idle: Duration::from_secs(4),
        max_head_bytes: 65_536,
    };
    Upstream::new(settings, cores).map_err(|error| Failure::new(error.to_string()))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|error| Failure::new(format!("cannot read `{}` ({})", file.display(), complaint(&error))))
}

/// Whether every port of the settings is free.
///
/// # Errors
/// Naming the one that is not.
pub(crate) fn check_ports(config: &Config) -> Result<(), Failure> {
    bind(config, None, 1).map(|_| ())
}

/// Takes the ports: those of the listeners, once per core, and the one for operations.
fn bind(config: &Config, tls: Option<&ServerTls>, cores: usize) -> Result<(Ports, Ports), Failure> {
    let mut listens = Vec::new();
    for (id, listener) in config.listener.iter().enumerate() {
        let id = u16::try_from(id).map_err(|_| Failure::new("there are more than 65536 listeners"))?;
        let tls = tls.filter(|_| listener.tls).cloned();
        listens.push(Listen { id, address: listener.address, tls });
    }
    let ops = Listen { id: 0, address: config.ops.address, tls: None };
    let cannot = |error: crate::wire::BindError| Failure::new(error.to_string());
    Ok((Ports::bind(&listens, cores).map_err(cannot)?, Ports::bind(&[ops], 1).map_err(cannot)?))
}

/// Reads certificates and keys for listeners that speak TLS.
fn server_tls(config: &Config, is_demo: bool) -> Result<Option<ServerTls>, Failure> {
    if !config.listener.iter().any(|listener| listener.tls) {
        return Ok(None);
    }
    let mut files = Vec::new();
    for certificate in &config.tls.certificate {
        files.push((read(&certificate.certificate_file)?, read(&certificate.key_file)?));
    }
    if !is_demo && files.iter().any(|(chain, _)| crate::demo::is_development_certificate(chain)) {
        return Err(Failure::new("a certificate of `[[tls.certificate]]` is a development certificate")
            .hint("its key is no secret; get one from a certificate authority"));
    }
    let pairs: Vec<PemPair<'_>> = files.iter().map(|(chain, key)| PemPair { chain, key }).collect();
    ServerTls::new(&pairs).map(Some).map_err(|error| Failure::new(error.to_string()))
}

/// The directory that holds an embedded store, made if it is not there.
fn data_directory(config: &Config) -> Result<Option<PathBuf>, Failure> {
    let Some(file) = config.store.url.sqlite_path() else { return Ok(None) };
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    make_directory(&directory).map_err(|error| {
        let what =
            format!("cannot make the data directory `{}` ({})", directory.display(), complaint(&error));
        Failure::new(what).hint("name another place in `store.url`, or let this user write there")
    })?;
    Ok(Some(directory))
}

/// Makes a directory that its owner alone can look into, unless it is there.
pub(crate) fn make_directory(directory: &Path) -> std::io::Result<()> {
    if directory.exists() && !directory.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Loads the keyring, or makes one for a store that does not exist yet. Gives also whether it was made.
fn keyring(config: &Config, random: &dyn Random) -> Result<(Keyring, bool), Failure> {
    let file = &config.keyring.file;
    if file.exists() {
        return Ok((Keyring::load(file)?, false));
    }
    if config.store.url.sqlite_path().is_some_and(Path::exists) {
        return Err(Failure::new(format!(
            "the keyring `{}` is missing, and the store is not new",
            file.display()
        ))
        .hint("put the keyring back from its copy; a new one could not read what the store holds"));
    }
    let keyring = Keyring::generate(random)?;
    let cannot = |error: std::io::Error| {
        Failure::new(format!("cannot make the keyring `{}` ({})", file.display(), complaint(&error)))
            .hint("name another place in `keyring.file`, or let this user write there")
    };
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_directory(parent).map_err(cannot)?;
    }
    // Another process may be doing the same: the first keyring stays, and is both's.
    let mut draft = file.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    keyring.save(&draft)?;
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft).map_err(cannot)?;
    match linked {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok((Keyring::load(file)?, false)),
        Err(error) => Err(cannot(error)),
        Ok(()) => {
            tracing::info!(file = %file.display(), "made a new keyring; keep a copy of it apart from the database's backups");
            Ok((keyring, true))
        }
    }
}

/// What to do about a store that cannot be opened.
pub(crate) fn cannot_open(config: &Config, error: claviger_store::StoreError) -> Failure {
    let (url, keyring) = (config.store.url.shown(), config.keyring.file.display());
    let hint = match config.store.url.sqlite_path() {
        None => format!(
            "`store.url` is `{url}`, `keyring.file` is `{keyring}`; is the server up, and has `claviger store prepare` been run?"
        ),
        Some(file) if crate::control::is_served(file) => {
            "a server runs on this data: stop it first, or choose another place for this one's".into()
        }
        Some(_) => format!("`store.url` is `{url}`, `keyring.file` is `{keyring}`: do they belong together?"),
    };
    Failure::from(error).hint(hint)
}

/// The settings as the store takes them.
pub(crate) fn store_settings(config: &Config) -> claviger_store::Settings {
    claviger_store::Settings {
        url: config.store.url.expose().to_owned(),
        ca_file: config.store.ca_file.clone(),
        readers: config.store.readers,
        connections: config.store.readers.max(4) * 2,
    }
}

/// A name that only the demonstration's store has.
const DEMO_MARK: &str = "demonstration";

impl Core {
    /// Opens the store and everything that decides.
    ///
    /// # Errors
    /// If the store cannot be opened, or its keyring is not the one in the settings.
    pub(crate) async fn open(
        config: &Config,
        served: Vec<ServedApi>,
        world: &World,
        holds: Holds,
    ) -> Result<Self, Failure> {
        data_directory(config)?;
        let (keyring, is_new) = keyring(config, &*world.random)?;
        let opened =
            Store::open(&store_settings(config), keyring.clone(), world.clock.clone(), world.random.clone())
                .await;
        let store = match opened {
            Ok(store) => store,
            Err(error) => {
                let taken_on = config.store.url.sqlite_path().is_some_and(Path::exists);
                if is_new && !taken_on {
                    // Made for a store that cannot be used or is somebody else's. An embedded one that is there
                    // by now may have taken it on.
                    let _ = std::fs::remove_file(&config.keyring.file);
                }
                return Err(cannot_open(config, error));
            }
        };
        if let Err(failure) = check_mark(&store, holds).await {
            store.close().await;
            return Err(failure);
        }
        let embedded = config.store.url.sqlite_path().is_some();
        let settings = MemorySettings {
            max_staleness: Duration::from_secs(config.directory.max_staleness_seconds),
            max_entries: config.directory.max_entries,
            ..if embedded { MemorySettings::following_by_itself() } else { MemorySettings::default() }
        };
        let runtime = tokio::runtime::Handle::current();
        let memory = Arc::new(Memory::start(store.source(), world.clock.clone(), settings, &runtime));
        store.set_follower(memory.clone());
        memory.ready().await.map_err(|error| Failure::new(error.to_string()))?;
        prepare_realms(&store, &served).await?;
        let authenticator = Authenticator::new(
            memory.clone(),
            memory.clock(),
            keyring.peppers()?,
            VerifiedTokens::new(config.server.verified_token_bytes),
            Lookups::new(config.server.empty_lookups_per_minute),
        );
        let door = Arc::new(Door::new(authenticator, LocalLimiter::default()));
        let apis: HashMap<ApiName, ManagedApi> = served
            .iter()
            .map(|served| {
                let managed = ManagedApi {
                    api: served.api.clone(),
                    hosts: served.hosts.clone(),
                    plans: served.plans.clone(),
                    token_algorithm: served.token_algorithm,
                };
                (served.api.name.clone(), managed)
            })
            .collect();
        let management = Management {
            store,
            apis: Arc::new(apis),
            door,
            clock: memory.clock(),
            random: world.random.clone(),
        };
        Ok(Self { management, memory, served })
    }
}

/// Demonstration data carries a mark, which no real server accepts.
async fn check_mark(store: &Store, holds: Holds) -> Result<(), Failure> {
    let mark: RealmName =
        DEMO_MARK.parse().map_err(|error: claviger::id::IdError| Failure::new(error.to_string()))?;
    let operator = operator(store);
    let realms = operator.realm_list().await?;
    let marked = realms.contains(&mark);
    match (holds, marked) {
        (Holds::Own, true) => {
            Err(Failure::new("this store holds the demonstration's data, whose secrets are no secrets")
                .hint("name another `store.url`; `claviger demo` is what serves this one"))
        }
        (Holds::Demonstration, false) if realms.is_empty() => {
            operator.realm_ensure(&mark).await?;
            Ok(())
        }
        (Holds::Demonstration, false) => {
            Err(Failure::new("this store holds data of its own, and the demonstration would add to it")
                .hint("name an empty directory with `--data`"))
        }
        (Holds::Either, _) | (Holds::Own, false) | (Holds::Demonstration, true) => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "what a server prepares at its start is the operator's doing")]
fn operator(store: &Store) -> claviger_store::Operator {
    store.operator(&claviger::danger::OperatorPermit::for_command("server"))
}

/// Sees to it that the realms and plans of the settings are there, and the keys they sign with.
async fn prepare_realms(store: &Store, served: &[ServedApi]) -> Result<(), Failure> {
    let operator = operator(store);
    for served in served {
        operator.realm_ensure(&served.api.realm).await?;
        for plan in &served.plans {
            operator.plan_ensure(&served.api.realm, plan).await?;
        }
        if served.api.credentials.contain(CredentialKind::IdentityToken) {
            let line = Line::Identity(served.api.realm.clone());
            identity_tokens::system(store).signing_key_ensure(&line, served.token_algorithm).await?;
        }
    }
    identity_tokens::system(store).signing_key_ensure(&Line::Principal, Algorithm::EdDsa).await?;
    Ok(())
}

impl App {
    /// Starts a server and returns when it is ready.
    ///
    /// # Errors
    /// With what keeps it from starting, and what to do about it.
    pub fn start(config: &Config, source: &Source, world: &World) -> Result<Self, Failure> {
        let served = check(config, source)?;
        check_serving(config, source, &served, world.is_demo)?;
        let io = |error: std::io::Error| {
            Failure::new(format!("the server cannot be started ({})", complaint(&error)))
        };
        if let Err(error) = crate::wire::raise_open_files() {
            tracing::warn!(%error, "the limit on open files could not be raised");
        }
        let cores = match config.server.cores {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cores => cores,
        };
        // Ports first: a port that is taken is found out before anything is written.
        let tls = server_tls(config, world.is_demo)?;
        let (ports, ops_ports) = bind(config, tls.as_ref(), cores)?;
        let mut addresses = ports.addresses();
        addresses.sort_by_key(|(id, _)| *id);
        let addresses: Vec<SocketAddr> = addresses.into_iter().map(|(_, address)| address).collect();
        let ops_address = ops_ports.addresses().first().map_or(config.ops.address, |(_, address)| *address);

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("background")
            .enable_all()
            .build()
            .map_err(io)?;
        let metrics = Arc::new(Metrics::default());
        data_directory(config)?;
        let journal = journal(config, cores, &metrics)?;
        let holds = if world.is_demo { Holds::Demonstration } else { Holds::Own };
        let Core { management, memory, served } =
            runtime.block_on(Core::open(config, served, world, holds))?;
        let counters = Arc::new(Counters::default());
        let signer = runtime.block_on(principal_signer(&management.store))?;
        let gateway = Arc::new(gateway(
            config,
            &addresses,
            served,
            &management,
            &metrics,
            journal,
            signer.clone(),
            cores,
            world,
            &runtime,
        )?);
        let limits = limits(&config.server);
        let server = Server::start(ports, gateway.clone(), limits.clone(), counters.clone()).map_err(io)?;
        let ops_handler = Arc::new(Ops::new(
            management.store.clone(),
            memory.clone(),
            metrics,
            counters.clone(),
            gateway.clone(),
        ));
        let ops = Server::start(ops_ports, ops_handler, limits, counters).map_err(io)?;
        let socket = match data_directory(config)? {
            Some(directory) => Some(crate::control::listen(&directory, management.clone(), &runtime)?),
            None => None,
        };
        runtime.spawn(housekeeping(management.clone(), signer));
        let drain = Duration::from_secs(config.server.drain_seconds);
        tracing::info!(?addresses, ops = %ops_address, "ready");
        Ok(Self {
            management,
            memory,
            server: Some(server),
            ops: Some(ops),
            addresses,
            ops_address,
            gateway,
            drain,
            socket,
            runtime: Some(runtime),
        })
    }

    /// Where the listeners listen, in their order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where health and metrics are.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops_address
    }

    /// What commands are carried out with.
    pub fn management(&self) -> &Management {
        &self.management
    }

    /// The directory's memory.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Opens the access log anew, for whoever has moved the file away.
    pub fn reopen_access_log(&self) {
        self.gateway.journal.reopen();
    }

    /// Runs a future on the background runtime. Not to be called from within one.
    #[expect(
        clippy::missing_panics_doc,
        clippy::expect_used,
        reason = "there is a runtime until `stop`, which takes the app"
    )]
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("an app that was not stopped has its runtime").block_on(future)
    }

    /// Stops: accepts nothing more, lets requests under way finish, writes the journal out and closes the store.
    pub fn stop(mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        drop(self.socket.take());
        let (server, ops) = (self.server.take(), self.ops.take());
        runtime.block_on(async {
            if let Some(server) = server {
                let drained = server.drain(self.drain).await;
                if drained.cut > 0 {
                    tracing::warn!(
                        connections = drained.cut,
                        "requests were still under way when their time was over"
                    );
                }
            }
            if let Some(ops) = ops {
                ops.drain(Duration::ZERO).await;
            }
        });
        let store = self.management.store.clone();
        drop(self);
        runtime.block_on(store.close());
        runtime.shutdown_timeout(Duration::from_secs(5));
    }
}

/// The key that signs principals.
async fn principal_signer(store: &Store) -> Result<Arc<PrincipalSigner>, Failure> {
    let key = identity_tokens::system(store).signing_key_signer(&Line::Principal).await?;
    Ok(Arc::new(PrincipalSigner::new(key)))
}

/// What has to be done every now and then.
async fn housekeeping(management: Management, signer: Arc<PrincipalSigner>) {
    let mut interval = tokio::time::interval(Duration::from_secs(10));
    interval.tick().await;
    loop {
        interval.tick().await;
        management.door.limiter().sweep(management.door.clock().boot());
        match identity_tokens::system(&management.store).signing_key_signer(&Line::Principal).await {
            Ok(key) => signer.replace(key),
            Err(error) => tracing::warn!(%error, "the key for principals could not be read again"),
        }
        sweep(&management.store).await;
    }
}

/// Clears away what nobody needs any more, a little at a time.
#[expect(clippy::disallowed_methods, reason = "old rows of the feed and expired tokens are no tenant's")]
async fn sweep(store: &Store) {
    let system = store.system(&claviger::danger::SystemPermit::for_job("sweep"));
    if let Err(error) = system.feed_sweep(claviger_store::sweep::FEED_KEPT_MILLIS).await {
        tracing::warn!(%error, "old rows of the change feed could not be cleared away");
    }
    if let Err(error) = system.revoked_token_sweep().await {
        tracing::warn!(%error, "revoked tokens that have expired could not be cleared away");
    }
}

fn limits(server: &crate::config::Server) -> Limits {
    let seconds = Duration::from_secs;
    Limits {
        handshake: seconds(server.head_seconds),
        first_request: seconds(server.head_seconds),
        head: seconds(server.head_seconds),
        idle: seconds(server.keep_alive_seconds),
        write_stall: seconds(server.keep_alive_seconds),
        max_head_bytes: server.max_head_bytes,
        max_headers: 100,
        max_target_bytes: claviger::target::MAX_TARGET_BYTES,
        max_connections: server.max_connections,
        max_connections_per_address: server.max_connections_per_address,
        per_address_exempt: server
            .trusted_proxies
            .iter()
            .filter_map(|network| network.parse().ok())
            .collect(),
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a server come together here and nowhere else")]
fn gateway(
    config: &Config,
    addresses: &[SocketAddr],
    served: Vec<ServedApi>,
    management: &Management,
    metrics: &Arc<Metrics>,
    journal: Journal,
    signer: Arc<PrincipalSigner>,
    cores: usize,
    world: &World,
    runtime: &Runtime,
) -> Result<Gateway, Failure> {
    let mut surfaces = HashMap::new();
    let mut hosts = HashMap::new();
    let key_sets: Arc<dyn KeySets> =
        Arc::new(StoredKeySets { store: management.store.clone(), runtime: runtime.handle().clone() });
    for served in served {
        if is_in_clear(&served.upstream) {
            tracing::warn!(api = %served.api.name, "the upstream is on another machine and not reached over TLS");
        }
        let upstream = upstream(&served, cores)?;
        let name = served.api.name.clone();
        let surface = Arc::new(Surface {
            upstream,
            keep_trailer: crate::gateway::trailer_filter(served.api.identity_headers.names.clone()),
            binding: Binding::new(&binding_key(&management.store, &served.api)),
            metrics: metrics.of_api(Some(&name)),
            jwks: key_sets.clone(),
            served,
        });
        hosts.extend(surface.served.hosts.iter().map(|host| (host.clone(), surface.clone())));
        surfaces.insert(name, surface);
    }
    let mut listeners = HashMap::new();
    for (id, (listener, address)) in config.listener.iter().zip(addresses).enumerate() {
        let rules =
            ListenerRules { address: *address, api: listener.api.clone(), plain_http: listener.plain_http };
        if rules.plain_http == crate::config::PlainHttp::YesForDevelopmentOnly {
            tracing::warn!(%address, "plain HTTP is let through here where everything is local: for development only");
        }
        listeners.insert(u16::try_from(id).unwrap_or(u16::MAX), rules);
    }
    Ok(Gateway {
        door: management.door.clone(),
        surfaces,
        hosts,
        listeners,
        trusted_proxies: config.server.trusted_proxies.clone(),
        principals: PrincipalTokens::new(signer),
        journal,
        unrouted: metrics.of_api(None),
        in_clear: Arc::new(TellOwner::new(management.clone(), runtime.handle().clone())),
        ids: RequestIds::new(&*world.random),
    })
}

/// Opens the access log.
fn journal(config: &Config, cores: usize, metrics: &Metrics) -> Result<Journal, Failure> {
    Journal::open(&config.log.access, cores, metrics.access_lines_lost().clone()).map_err(|error| {
        let name = match &config.log.access {
            crate::config::AccessLog::File(path) => format!(" `{}`", path.display()),
            crate::config::AccessLog::Off | crate::config::AccessLog::Stdout => String::new(),
        };
        Failure::new(format!("cannot open the access log{name} ({})", complaint(&error)))
            .hint("name another place in `log.access`, or say \"stdout\" or \"off\"")
    })
}

/// The key that binds principals to requests, for the upstreams of an audience.
pub(crate) fn binding_key(store: &Store, api: &Api) -> claviger::secret::Secret {
    binding_key_of(store.keyring(), api)
}

/// The same, from the keyring alone.
pub(crate) fn binding_key_of(keyring: &Keyring, api: &Api) -> claviger::secret::Secret {
    keyring.derive(&binding_label(&api.identity_tokens.audience))
}

/// What the key that binds principals to requests is derived under.
fn binding_label(audience: &str) -> String {
    format!("upstream binding: {audience}")
}

/// Whether principals would travel over a network in clear (decision 18).
fn is_in_clear(upstream: &str) -> bool {
    let Some(rest) = upstream.strip_prefix("http://") else { return false };
    let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
    let host = host.trim_matches(['[', ']', '/']);
    host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The public keys in the store.
#[derive(Debug)]
struct StoredKeySets {
    store: Store,
    runtime: tokio::runtime::Handle,
}

impl KeySets for StoredKeySets {
    fn jwk_set(&self, realm: &RealmName) -> BoxFuture<'static, Option<String>> {
        let (store, line) = (self.store.clone(), Line::Identity(realm.clone()));
        let read = self.runtime.spawn(async move { jwk_set(&store, &line).await });
        Box::pin(async move { read.await.ok().flatten() })
    }
}

/// The public keys of a line, as the text of a JWK set.
pub(crate) async fn jwk_set(store: &Store, line: &Line) -> Option<String> {
    let keys = identity_tokens::keys(store, line).await.ok()?;
    let keys: Vec<serde_json::Value> = keys.iter().map(|key| key.public.to_jwk()).collect();
    Some(serde_json::json!({ "keys": keys }).to_string())
}

/// Writes into the tenant's audit that a key was seen in clear: once an hour for each, or a client that has the
/// wrong address would fill the audit.
#[derive(Debug)]
struct TellOwner {
    management: Management,
    runtime: tokio::runtime::Handle,
    told: std::sync::Mutex<HashMap<String, i64>>,
}

const TELL_EVERY_MILLIS: i64 = 3_600_000;

impl TellOwner {
    fn new(management: Management, runtime: tokio::runtime::Handle) -> Self {
        Self { management, runtime, told: std::sync::Mutex::default() }
    }
}

impl SeenInClear for TellOwner {
    fn report(&self, principal: &Principal, client: IpAddr) {
        let (tenant, _) = principal.ids();
        let credential = principal.credential_id();
        let now = self.management.clock.now().0;
        {
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            told.retain(|_, at| now - *at < TELL_EVERY_MILLIS);
            if told.contains_key(&credential) {
                return;
            }
            told.insert(credential.clone(), now);
        }
        let store = operator(&self.management.store).tenant(tenant);
        self.runtime.spawn(async move {
            if let Err(error) = store.credential_seen_in_clear(&credential, client).await {
                tracing::error!(%error, "a credential that was seen in clear could not be written into the audit");
            }
        });
    }
}
