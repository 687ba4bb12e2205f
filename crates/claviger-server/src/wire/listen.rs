//! Sockets that listen, one per core and address, and the limits on what comes
//! in by them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::tls::ServerTls;

/// Connections the kernel holds for us until a core accepts them.
const BACKLOG: i32 = 4096;

/// The caller's own number for one of its listeners.
pub type ListenerId = u16;

/// Networks whose addresses have no bound of their own.
pub type Exempt = Arc<ArcSwap<Vec<IpNet>>>;

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The caller's number for it, given with each request.
    pub id: ListenerId,
    /// Where; port 0 means any free port.
    pub address: SocketAddr,
    /// `None` for a listener without TLS.
    pub tls: Option<ServerTls>,
}

/// Limits on client connections. There are no defaults here: settings have them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From accept to the end of a TLS handshake.
    pub handshake: Duration,
    /// From accept (or the end of the handshake) to the first complete head.
    pub first_request: Duration,
    /// From the first byte of a later head to its end.
    pub head: Duration,
    /// Between the end of a response and the first byte of the next request.
    pub idle: Duration,
    /// In which a client that has bytes to read takes none.
    pub write_stall: Duration,
    /// Bytes of a request head; more is 431.
    pub max_head_bytes: usize,
    /// Header fields of a request; more is 431.
    pub max_headers: usize,
    /// Bytes of a request target; more is 414. At most `max_head_bytes`.
    pub max_target_bytes: usize,
    /// Open connections in all.
    pub max_connections: usize,
    /// Open connections from one IPv4 address or one IPv6 /64.
    pub max_connections_per_address: usize,
    /// Networks without a bound per address, such as a proxy in front of us.
    /// It can be replaced while connections are open, and counts for those that come.
    pub per_address_exempt: Exempt,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program, or another listener of this one, has the port.
    #[error(
        "cannot listen on `{address}`: the port is taken by another program; stop it or choose another port"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// A port that needs a privilege this process does not have.
    #[error("cannot listen on `{address}`: not permitted; ports below 1024 need the capability to bind them")]
    NotPermitted {
        /// The address.
        address: SocketAddr,
    },
    /// Not an address of this machine.
    #[error("cannot listen on `{address}`: this machine does not have the address")]
    NoSuchAddress {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on `{address}`")]
    Other {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { address },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address },
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress { address },
            _ => Self::Other { address, source },
        }
    }
}

/// Bound sockets: connections queue from here on, and nobody accepts them yet.
#[derive(Debug)]
pub struct Ports {
    pub(super) cores: Vec<Vec<Port>>,
}

/// One socket of one core.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) id: ListenerId,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<ServerTls>,
    pub(super) socket: TcpListener,
}

/// Whose ports may be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nobody's: a port that is taken is an error.
    Nobody,
    /// Those of a server of the same user that is about to stop.
    Predecessor,
}

impl Ports {
    /// Binds each address once per core, for `cores` cores (at least one).
    ///
    /// # Errors
    ///
    /// [`BindError`] names the address and the cure.
    pub fn bind(listens: &[Listen], cores: usize, beside: Beside) -> Result<Self, BindError> {
        let mut ports: Vec<Vec<Port>> = (0..cores.max(1)).map(|_| Vec::new()).collect();
        for listen in listens {
            let mut address = listen.address;
            if address.port() != 0 && beside == Beside::Nobody {
                // With SO_REUSEPORT a second program of the same user could
                // listen beside us and take a part of the connections.
                bind(address, false).map_err(|error| BindError::new(address, error))?;
            }
            for port in &mut ports {
                let socket = bind(address, true).map_err(|error| BindError::new(address, error))?;
                address = socket.local_addr().map_err(|error| BindError::new(address, error))?;
                port.push(Port { id: listen.id, address, tls: listen.tls.clone(), socket });
            }
        }
        Ok(Self { cores: ports })
    }

    /// Where each listener listens; with the real port where 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> Vec<(ListenerId, SocketAddr)> {
        self.cores.first().into_iter().flatten().map(|port| (port.id, port.address)).collect()
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a previous run in TIME_WAIT must not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit these, which saves two calls for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Raises the number of files this process may open to what the system allows,
/// and gives it; `None` means no limit.
///
/// # Errors
///
/// If the system refuses.
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum)
}
