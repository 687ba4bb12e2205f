//! Cores: threads with a runtime of one thread each, which accept and serve.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::admission::{Admission, Full};
use super::connection::{Station, serve};
use super::counters::Counters;
use super::exchange::Handler;
use super::link::{Beat, End, Link, Links};
use super::listen::{Limits, ListenerId, Port, Ports};
use super::tls::ServerTls;

/// How long a core accepts nothing when no more files can be opened.
const PAUSE: Duration = Duration::from_millis(100);

/// What the cores are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Serve,
    /// Accept nothing more, finish what is under way.
    Drain,
    /// Cut what is left.
    Stop,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open when the time was over, and were cut.
    pub cut: u64,
}

/// A running server. Dropping it cuts its connections.
#[derive(Debug)]
pub struct Server {
    orders: watch::Sender<Order>,
    cores: Vec<Core>,
    admission: Arc<Admission>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Core {
    handle: Handle,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts a thread per core, which serve what comes in by `ports`.
    ///
    /// # Errors
    ///
    /// If a thread or its runtime cannot be made.
    pub fn start<H: Handler>(
        ports: Ports,
        handler: Arc<H>,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let admission = Arc::new(Admission::new(
            limits.max_connections,
            limits.max_connections_per_address,
            limits.per_address_exempt.clone(),
        ));
        let limits = Arc::new(limits);
        let (orders, _) = watch::channel(Order::Serve);
        let mut cores = Vec::with_capacity(ports.cores.len());
        for (number, ports) in ports.cores.into_iter().enumerate() {
            let station = Station::new(handler.clone(), limits.clone(), counters.clone(), number);
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let entered = handle.enter();
            let ports: Vec<_> = ports.into_iter().map(Entrance::try_from).collect::<io::Result<_>>()?;
            drop(entered);
            let core = Floor {
                station: Arc::new(station),
                admission: admission.clone(),
                beat: Arc::new(Beat::new(&limits)),
                links: Arc::default(),
                orders: orders.subscribe(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("core-{number}"))
                .spawn(move || core.run(&runtime, ports))?;
            cores.push(Core { handle, thread });
        }
        Ok(Self { orders, cores, admission, counters })
    }

    /// The runtimes of the cores, in their order.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.cores.iter().map(|core| &core.handle)
    }

    /// Client connections open, tunnels included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.admission.open()
    }

    /// Stops: accepts nothing more, closes idle connections at once, lets
    /// requests under way finish, and cuts what is left after `grace`.
    pub async fn drain(self, grace: Duration) -> Drained {
        self.drain_unless(grace, std::future::pending()).await
    }

    /// The same, and cuts what is left as soon as `hurry` ends, if that is before.
    pub async fn drain_unless(self, grace: Duration, hurry: impl Future<Output = ()>) -> Drained {
        let cut_before = self.counters.cut.get();
        self.orders.send_replace(Order::Drain);
        let orders = self.orders.clone();
        let cores = self.cores;
        let threads = tokio::task::spawn_blocking(move || {
            for core in cores {
                // A core that panicked has ended, which is what is waited for.
                let _ = core.thread.join();
            }
        });
        let mut threads = threads;
        let is_over = tokio::select! {
            ended = timeout(grace, &mut threads) => ended.is_err(),
            () = hurry => true,
        };
        if is_over {
            orders.send_replace(Order::Stop);
            let _ = threads.await;
        }
        Drained { cut: self.counters.cut.get() - cut_before }
    }
}

/// What one core works with.
struct Floor<H> {
    station: Arc<Station<H>>,
    admission: Arc<Admission>,
    beat: Arc<Beat>,
    links: Arc<Links>,
    orders: watch::Receiver<Order>,
}

impl<H: Handler> Floor<H> {
    fn run(self, runtime: &Runtime, ports: Vec<Entrance>) {
        runtime.block_on(self.work(ports));
    }

    async fn work(mut self, ports: Vec<Entrance>) {
        let mut doors = JoinSet::new();
        for port in ports {
            let door = Door {
                station: self.station.clone(),
                admission: self.admission.clone(),
                beat: self.beat.clone(),
                links: self.links.clone(),
                orders: self.orders.clone(),
                id: port.id,
                tls: port.tls,
            };
            doors.spawn(door.accept(port.listener));
        }
        let mut ticks = interval(self.beat.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut order = Order::Serve;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.beat.strike();
                    let open = self.links.each(|link| link.inspect(&self.station.limits));
                    if order == Order::Drain && open == 0 && doors.is_empty() {
                        return;
                    }
                }
                _ = doors.join_next(), if !doors.is_empty() => {
                    // Where nobody is connected there is nothing to wait for.
                    if order == Order::Drain && doors.is_empty() && self.links.each(|_| {}) == 0 {
                        return;
                    }
                }
                // An error means that the server was dropped.
                changed = self.orders.changed() => {
                    order = if changed.is_ok() { *self.orders.borrow() } else { Order::Stop };
                    if order == Order::Stop {
                        break;
                    }
                    self.links.each(Link::drain);
                }
            }
        }
        self.links.each(|link| link.end(End::Stopped));
        while self.links.each(|_| {}) > 0 {
            ticks.tick().await;
        }
    }
}

/// A port whose socket its core's runtime watches.
struct Entrance {
    id: ListenerId,
    tls: Option<ServerTls>,
    listener: TcpListener,
}

impl TryFrom<Port> for Entrance {
    type Error = io::Error;

    fn try_from(port: Port) -> io::Result<Self> {
        Ok(Self { id: port.id, tls: port.tls, listener: TcpListener::from_std(port.socket)? })
    }
}

/// One listener of one core.
struct Door<H> {
    station: Arc<Station<H>>,
    admission: Arc<Admission>,
    beat: Arc<Beat>,
    links: Arc<Links>,
    orders: watch::Receiver<Order>,
    id: ListenerId,
    tls: Option<ServerTls>,
}

impl<H: Handler> Door<H> {
    async fn accept(mut self, listener: TcpListener) {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => drop(self.admit(stream, peer)),
                    Err(error) => self.pause(&error).await,
                },
                _ = self.orders.changed() => break,
            }
        }
        // Clients in the queue were told that they are connected; closing the
        // socket would reset them, so they get an answer to what they sent.
        poll_fn(|context| {
            while let Poll::Ready(Ok((stream, peer))) = listener.poll_accept(context) {
                if let Some(link) = self.admit(stream, peer) {
                    link.drain();
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) -> Option<Arc<Link>> {
        let counters = &self.station.counters;
        counters.accepted.add();
        match self.admission.enter(peer.ip()) {
            Ok(seat) => {
                let link = Link::new(self.beat.clone(), counters.clone(), seat);
                self.links.add(&link);
                let tls = self.tls.clone();
                tokio::spawn(serve(self.station.clone(), link.clone(), stream, peer, self.id, tls));
                Some(link)
            }
            Err(Full::Total) => {
                counters.over_total.add();
                None
            }
            Err(Full::Address) => {
                counters.over_address.add();
                None
            }
        }
    }

    /// A connection that went away before it was accepted is no reason to wait;
    /// anything else (no more files, no memory) passes only with time.
    async fn pause(&self, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            self.station.counters.accept_paused.add();
            tokio::time::sleep(PAUSE).await;
        }
    }
}
