//! Builds everything from the settings, and takes it down again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use claviger::network::Client;
use claviger::refusal::Who;
use claviger_store::memory::Memory;
use claviger_store::signing_keys::Line;
use claviger_store::{Holding, Store};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

pub(crate) use crate::api_document::api_document;
use crate::certificate_files::{self, CertificateFiles};
use crate::checks::{Bound, bind, check, check_serving, server_tls, warnings};
use crate::config::{Config, ConfigError, Source};
use crate::console::Console;
use crate::core::{Core, Holds, data_directory, operator};
use crate::desk::{self, Desk, Face};
use crate::failure::{Failure, complaint};
use crate::gateway::{Gateway, PrincipalSigner, Records, RequestIds, SeenInClear};
use crate::housekeeping::{self, OldestTransaction};
use crate::identity_tokens;
use crate::journal::Journal;
use crate::key_files::KeyFiles;
use crate::last_uses;
use crate::lease::Lease;
use crate::mail::{MailFigures, deliver, post};
use crate::management::{Management, Reload};
use crate::metrics::Metrics;
use crate::ops::Ops;
use crate::people::Host;
use crate::refused_requests;
use crate::reload::{Reloader, Reloads, exempt_networks};
use crate::succession::{self, Succession, Turn};
use crate::surfaces::Workshop;
use crate::walls::Walls;
use crate::wire::{Counters, Exempt, Limits, Ports, Server};
use crate::world::World;

/// A server that runs.
#[derive(Debug)]
pub struct App {
    management: Management,
    memory: Arc<Memory>,
    server: Option<Server>,
    ops: Option<Server>,
    console: Option<Server>,
    addresses: Vec<SocketAddr>,
    ops_address: SocketAddr,
    console_address: Option<SocketAddr>,
    gateway: Arc<Gateway>,
    key_files: Arc<KeyFiles>,
    reloader: Arc<dyn Reload>,
    drain: Duration,
    close_delay: Duration,
    /// Whether it says that it is not ready, as it is about to stop.
    leaving: Arc<AtomicBool>,
    /// Where commands reach it.
    sockets: Vec<desk::Listening>,
    lease: Option<Arc<Lease>>,
    /// The file of an embedded store.
    database: Option<PathBuf>,
    /// What is done beside requests, and writes.
    chores: Vec<AbortHandle>,
    runtime: Option<Runtime>,
}

impl App {
    /// Starts a server and returns when it is ready.
    ///
    /// # Errors
    /// With what keeps it from starting, and what to do about it.
    pub fn start(config: &Config, source: &Source, world: &World) -> Result<Self, Failure> {
        Self::start_in_turn(config, source, world, None)
    }

    /// Waits until the server before this one on an embedded store takes nothing more; whatever could keep this one from starting is
    /// looked at before.
    ///
    /// # Errors
    /// With what keeps it from starting.
    pub(crate) async fn await_turn(config: &Config, source: &Source) -> Result<Turn, Failure> {
        let served = check(config, source)?;
        check_serving(config, source, &served, false)?;
        succession::await_turn(config).await
    }

    /// Starts a server whose turn it is, or which waits for it.
    ///
    /// # Errors
    /// As [`App::start`].
    pub(crate) fn start_in_turn(
        config: &Config,
        source: &Source,
        world: &World,
        turn: Option<Turn>,
    ) -> Result<Self, Failure> {
        let served = check(config, source)?;
        check_serving(config, source, &served, world.is_demo)?;
        for warning in warnings(config, source, &served, world.clock.time_of_day()) {
            let what = ConfigError { hint: None, ..warning.clone() }.to_string();
            tracing::warn!(hint = warning.hint, "{what}");
        }
        let post = post(&config.mailing(source)?)?;
        let key_files = KeyFiles::new(served.iter().flat_map(|served| served.key_files.clone()));
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("background")
            .enable_all()
            .build()
            .map_err(io)?;
        let turn = match turn {
            Some(turn) => turn,
            None => runtime.block_on(succession::await_turn(config))?,
        };
        // Ports first: a port that is taken is found out before anything is written.
        let certificate_versions = certificate_files::versions(config);
        let tls = server_tls(config, world.is_demo)?;
        let Bound { listeners: ports, ops: ops_ports, console: console_ports } =
            bind(config, tls.as_ref(), cores, turn.beside)?;
        let mut addresses = ports.addresses();
        addresses.sort_by_key(|(id, _)| *id);
        let addresses: Vec<SocketAddr> = addresses.into_iter().map(|(_, address)| address).collect();
        let address_of = |ports: &Ports| ports.addresses().first().map(|(_, address)| *address);
        let console_address = console_ports.as_ref().and_then(address_of);
        let ops_address = ops_ports.addresses().first().map_or(config.ops.address, |(_, address)| *address);

        let metrics = Arc::new(Metrics::default());
        data_directory(config)?;
        let journal = journal(config, cores, &metrics)?;
        let holds = if world.is_demo { Holds::Demonstration } else { Holds::Own };
        let Core { management, memory, served, .. } =
            runtime.block_on(Core::open(config, served, world, holds))?;
        succession::say(&management.store, Holding::Serving);
        drop(turn);
        // Before anybody is told that the server is ready: from now on commands reach it.
        let console = Arc::new(Console::new(management.clone(), runtime.handle().clone()));
        let desk = Desk { management: management.clone(), face: face(&console) };
        let mut sockets = Vec::new();
        if let Some(directory) = data_directory(config)? {
            sockets.push(desk::listen(&directory, &desk, &runtime)?);
        }
        if let Some(path) = &config.console.socket {
            sockets.push(desk::listen_for_all(path, &desk, &runtime)?);
        }
        let counters = Arc::new(Counters::default());
        let walls = Arc::new(Walls::default());
        let oldest_transaction = Arc::new(OldestTransaction::default());
        let signer = runtime.block_on(principal_signer(&management.store))?;
        let (clock, handle) = (management.door.clock().clone(), runtime.handle());
        let workshop = Workshop::new(&management.store, &clock, &metrics, &signer, cores, &addresses, handle);
        let gateway = Arc::new(Gateway {
            door: management.door.clone(),
            tables: ArcSwap::from_pointee(workshop.tables(config, served, None)?),
            records: Arc::new(Records { journal, unrouted: metrics.of_api(None) }),
            uses: Arc::default(),
            refusals: Arc::default(),
            in_clear: Arc::new(TellOwner::new(management.clone(), handle.clone())),
            ids: RequestIds::new(&*world.random),
            people: Arc::new(Host { management: management.clone(), runtime: handle.clone() }),
            decides_nothing: Arc::default(),
        });
        let leaving = Arc::new(AtomicBool::new(false));
        let reloads = Arc::new(Reloads::default());
        let mail = Arc::new(MailFigures::default());
        let exempt: Exempt = Arc::new(ArcSwap::from_pointee(exempt_networks(&config.server)));
        let limits = limits(&config.server, exempt.clone());
        let server = Server::start(ports, gateway.clone(), limits.clone(), counters.clone()).map_err(io)?;
        let certificates = CertificateFiles::new(
            config,
            certificate_versions,
            tls.clone(),
            world.clock.clone(),
            world.is_demo,
        );
        let ops_handler = Arc::new(Ops {
            store: management.store.clone(),
            memory: memory.clone(),
            metrics,
            counters: counters.clone(),
            gateway: gateway.clone(),
            walls: walls.clone(),
            oldest_transaction: oldest_transaction.clone(),
            leaving: leaving.clone(),
            reloads: reloads.clone(),
            mail: mail.clone(),
            certificates: certificates.clone(),
        });
        let ops = Server::start(ops_ports, ops_handler, limits.clone(), counters.clone()).map_err(io)?;
        let console = match console_ports {
            None => None,
            Some(ports) => Some(Server::start(ports, console, limits, counters).map_err(io)?),
        };
        let lease = match config.store.url.sqlite_path() {
            // The one server of an embedded store has nobody to tell.
            Some(_) => None,
            None => {
                let lease = Lease::new(management.store.clone(), memory.clone(), config, world, ops_address);
                let lease = Arc::new(lease);
                runtime.block_on(lease.renew());
                runtime.spawn(lease.clone().keep());
                Some(lease)
            }
        };
        let housekeeping = runtime.spawn(housekeeping::keep(
            management.clone(),
            memory.clone(),
            signer,
            oldest_transaction,
            world.clock.clone(),
            config.store.audit_days,
        ));
        let mut chores = vec![housekeeping.abort_handle()];
        let notebook = last_uses::Notebook { store: management.store.clone(), uses: gateway.uses.clone() };
        // Set once, as each server has a management of its own.
        let _ = management.noted.set(Arc::new(notebook));
        let keep = last_uses::keep(management.store.clone(), gateway.uses.clone());
        chores.push(runtime.spawn(keep).abort_handle());
        let (store, clock) = (management.store.clone(), management.clock.clone());
        let keep = refused_requests::keep(store, gateway.refusals.clone(), clock);
        chores.push(runtime.spawn(keep).abort_handle());
        if let Some(post) = post {
            let (store, outbox) = (management.store.clone(), management.outbox.clone());
            let deliver = deliver(store, post, outbox, mail, management.clock.clone());
            chores.push(runtime.spawn(deliver).abort_handle());
        }
        let reloader: Arc<dyn Reload> = Arc::new(Reloader {
            file: source.file().to_owned(),
            in_force: tokio::sync::Mutex::new(config.clone()),
            gateway: gateway.clone(),
            management: management.clone(),
            workshop,
            key_files: key_files.clone(),
            tls,
            certificates: certificates.clone(),
            lease: lease.clone(),
            exempt,
            reloads,
            is_demo: world.is_demo,
        });
        // The only one that ever sets it.
        let _ = management.reload.set(Arc::downgrade(&reloader));
        chores.push(runtime.spawn(walls.watch(management.store.clone())).abort_handle());
        runtime.spawn(key_files.clone().watch());
        runtime.spawn(certificates.watch());
        let drain = Duration::from_secs(config.server.drain_seconds);
        let close_delay = Duration::from_secs(config.server.close_delay_seconds);
        match console_address {
            Some(console) => tracing::info!(?addresses, ops = %ops_address, %console, "ready"),
            None => tracing::info!(?addresses, ops = %ops_address, "ready"),
        }
        Ok(Self {
            management,
            memory,
            server: Some(server),
            ops: Some(ops),
            console,
            addresses,
            ops_address,
            console_address,
            gateway,
            key_files,
            reloader,
            drain,
            close_delay,
            leaving,
            sockets,
            lease,
            database: config.store.url.sqlite_path().map(Path::to_owned),
            chores,
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

    /// Where the management API is, if it is anywhere.
    pub fn console_address(&self) -> Option<SocketAddr> {
        self.console_address
    }

    /// What commands are carried out with.
    pub fn management(&self) -> &Management {
        &self.management
    }

    /// The directory's memory.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Opens the access log anew, for whoever has moved the file away, and reads the keys of other issuers again,
    /// changed or not. Takes effect within a moment.
    pub fn reopen_files(&self) {
        self.gateway.records.journal.reopen();
        let files = self.key_files.clone();
        if let Some(runtime) = &self.runtime {
            runtime.spawn_blocking(move || files.look(true));
        }
    }

    /// Reads the settings again and serves by them; the log says what came of it.
    pub fn reload(&self) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(self.reloader.clone().reload());
        }
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

    /// Says from now on that it is not ready: whoever asks before sending requests here sends them elsewhere.
    pub fn leave(&self) {
        if !self.leaving.swap(true, Ordering::SeqCst) {
            succession::say(&self.management.store, Holding::Leaving);
        }
    }

    /// Stops: says that it leaves and goes on for `server.close_delay_seconds`; then accepts nothing more, lets requests under
    /// way finish, writes the journal out and closes the store.
    pub fn stop(self) {
        self.stop_unless(std::future::pending());
    }

    /// The same, and at once when `hurry` ends: what is still under way is cut.
    pub fn stop_unless(mut self, hurry: impl Future<Output = ()>) {
        let Some(runtime) = self.runtime.take() else { return };
        self.leave();
        let (server, mut ops) = (self.server.take(), self.ops.take());
        let (sockets, console) = (std::mem::take(&mut self.sockets), self.console.take());
        runtime.block_on(async {
            let mut hurry = std::pin::pin!(hurry);
            let mut is_hurried = false;
            tokio::select! {
                biased;
                () = &mut hurry => is_hurried = true,
                () = tokio::time::sleep(self.close_delay) => {}
            }
            succession::close(&self.management.store, self.database.as_deref()).await;
            // Commands go to whoever takes over the data.
            drop(sockets);
            let console = async {
                if let Some(console) = console {
                    // What an operator has begun is short.
                    console.drain(Duration::from_secs(5)).await;
                }
            };
            let requests = async {
                let Some(server) = server else { return };
                let drained = match is_hurried {
                    true => server.drain(Duration::ZERO).await,
                    false => server.drain_unless(self.drain, hurry).await,
                };
                if drained.cut > 0 {
                    tracing::warn!(
                        connections = drained.cut,
                        "requests were still under way when their time was over"
                    );
                }
            };
            let succession = self.database.as_ref().map(|_| Succession {
                store: self.management.store.clone(),
                memory: self.memory.clone(),
                decides_nothing: self.gateway.decides_nothing.clone(),
                chores: std::mem::take(&mut self.chores),
                at_work: self.management.at_work.clone(),
                last_words: {
                    let (store, clock) = (self.management.store.clone(), self.management.clock.clone());
                    let (uses, refusals) = (self.gateway.uses.clone(), self.gateway.refusals.clone());
                    Box::pin(async move {
                        last_uses::write_down(&store, &uses).await;
                        refused_requests::write_down(&store, &refusals, &*clock, true).await;
                    })
                },
            });
            let handing_over = async {
                if let Some(succession) = succession {
                    succession.hand_over().await;
                    if let Some(ops) = ops.take() {
                        // Whoever asks how it goes asks the next server.
                        ops.drain(Duration::ZERO).await;
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = async { tokio::join!(requests, console) } => {}
                () = handing_over => {}
            }
            if let Some(ops) = ops {
                ops.drain(Duration::ZERO).await;
            }
        });
        let store = self.management.store.clone();
        if !self.gateway.decides_nothing.load(Ordering::SeqCst) {
            runtime.block_on(async {
                last_uses::write_down(&store, &self.gateway.uses).await;
                refused_requests::write_down(&store, &self.gateway.refusals, &*self.management.clock, true)
                    .await;
            });
        }
        if let Some(lease) = self.lease.take() {
            runtime.block_on(lease.end());
        }
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

/// The management API, for the users of this machine.
fn face(console: &Arc<Console>) -> Face {
    let console = console.clone();
    Arc::new(move |request, uid| {
        let console = console.clone();
        Box::pin(async move { console.answer_user(request.map(axum::body::Body::new), uid).await })
    })
}

fn limits(server: &crate::config::Server, exempt: Exempt) -> Limits {
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
        per_address_exempt: exempt,
    }
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

/// Writes into the tenant's audit that a key was seen in clear: once an hour for each, or a client that has the
/// wrong address would fill the audit.
#[derive(Debug)]
struct TellOwner {
    management: Management,
    runtime: tokio::runtime::Handle,
    told: Arc<std::sync::Mutex<HashMap<Box<str>, i64>>>,
}

const TELL_EVERY_MILLIS: i64 = 3_600_000;

impl TellOwner {
    fn new(management: Management, runtime: tokio::runtime::Handle) -> Self {
        Self { management, runtime, told: Arc::default() }
    }
}

impl SeenInClear for TellOwner {
    fn report(&self, who: &Who, client: Client) {
        let credential = who.credential.clone();
        // Where nobody knows the client, the proxy before it is what is known.
        let client = client.address().unwrap_or_else(|| client.block());
        let now = self.management.clock.now().0;
        {
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            told.retain(|_, at| now - *at < TELL_EVERY_MILLIS);
            if told.contains_key(&credential) {
                return;
            }
            told.insert(credential.clone(), now);
        }
        let told = self.told.clone();
        let store = operator(&self.management.store).tenant(who.tenant);
        self.runtime.spawn(async move {
            if let Err(error) = store.credential_seen_in_clear(&credential, client).await {
                tracing::error!(%error, "a credential that was seen in clear could not be written into the audit");
                // The next time it is seen is the first again.
                told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&credential);
            }
        });
    }
}
