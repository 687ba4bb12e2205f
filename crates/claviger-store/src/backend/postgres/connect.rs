//! How the store reaches a server.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::StoreError;

/// How long a unit of work may take, the wait for a connection included.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// How long an attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How long sent data may stay unacknowledged before a connection counts as dead.
const PEER_IS_DEAD_AFTER: Duration = Duration::from_secs(5);
/// How long a connection that nobody needs is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A URL whose `sslmode` asks for a check of the server's certificate, which `ca_file` is here, and the URL without it.
///
/// libpq knows `verify-ca` and `verify-full`, and cloud databases hand such URLs out; the library takes neither. With a
/// certificate authority the name is always checked too, so that both are the strict one.
fn verified(url: &str) -> (String, bool) {
    let strict = ["sslmode=verify-full", "sslmode=verify-ca"];
    match strict.iter().find(|mode| url.contains(**mode)) {
        Some(mode) => (url.replacen(mode, "sslmode=require", 1), true),
        None => (url.to_owned(), false),
    }
}

/// Whether a URL can be used at all, with that certificate authority or none: what can be said without connecting.
///
/// # Errors
/// If not, what is wrong with it. The URL's text is in no error: it holds a password.
pub(crate) fn check_url(url: &str, ca_file: Option<&Path>) -> Result<(), StoreError> {
    tls(&config(url)?, ca_file).map(drop)
}

/// Reads a URL. Its text is in no error: it holds a password.
pub(super) fn config(url: &str) -> Result<Config, StoreError> {
    let (url, _) = verified(url);
    let mut config: Config = url.parse().map_err(|_| {
        StoreError::Setup(
            "the store's url is not one that postgres understands: `postgres://user:password@host/database`"
                .into(),
        )
    })?;
    // Reads go to the primary: a standby may not have a withdrawal yet.
    config
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .connect_timeout(CONNECT)
        .tcp_user_timeout(PEER_IS_DEAD_AFTER)
        .keepalives_idle(PEER_IS_DEAD_AFTER)
        .application_name("claviger");
    Ok(config)
}

/// The way to encrypt, if there is to be one.
pub(super) fn tls(config: &Config, ca_file: Option<&Path>) -> Result<Option<MakeRustlsConnect>, StoreError> {
    let Some(ca_file) = ca_file else {
        let is_local = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
            Host::Unix(_) => true,
        };
        return match config.get_ssl_mode() {
            SslMode::Require => Err(StoreError::Setup(
                "the store's url requires TLS (`sslmode`); name the certificate authority of the server in `store.ca_file`".into(),
            )),
            _ => {
                if !config.get_hosts().iter().all(is_local) {
                    tracing::warn!("the connection to postgres is not encrypted; set `sslmode=require` and `store.ca_file`");
                }
                Ok(None)
            }
        };
    };
    let shown = ca_file.display();
    let unreadable = || StoreError::Setup(format!("`{shown}` holds no readable certificates"));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|_| unreadable())? {
        roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
    }
    if roots.is_empty() {
        return Err(unreadable());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| StoreError::Setup("no TLS version is left to speak with postgres".into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(client)))
}

/// The pool of the runtime role. Connects when first used.
pub(super) fn pool(url: &str, ca_file: Option<&Path>, connections: usize) -> Result<Pool, StoreError> {
    let mut config = config(url)?;
    // A loan that was not ended is never returned, so that what comes back needs no cleaning.
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match tls(&config, ca_file)? {
        Some(tls) => {
            // With a certificate authority at hand there is no falling back to an open line.
            config.ssl_mode(SslMode::Require);
            Manager::from_config(config, tls, recycling)
        }
        None => Manager::from_config(config, NoTls, recycling),
    };
    Pool::builder(manager)
        .max_size(connections.max(1))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(DEADLINE))
        .create_timeout(Some(CONNECT))
        .build()
        .map_err(|_| StoreError::Setup("the pool of connections cannot be made".into()))
}

/// Gives back connections that nobody has needed for a while: at rest a node holds few.
pub(super) fn drop_idle(pool: &Pool) {
    pool.retain(|_, metrics| metrics.last_used() < IDLE);
}

/// What a refused connection came of, and what to look at.
pub(super) fn refused(error: &PoolError, whose: &str) -> StoreError {
    match error {
        PoolError::Backend(error) => why(error, whose),
        PoolError::Timeout(TimeoutType::Wait) => {
            StoreError::unavailable("all connections to postgres are in use")
        }
        PoolError::Timeout(_) => StoreError::Setup(format!(
            "cannot connect to postgres with {whose}: no answer within {} s; is the host right, and does a firewall drop what goes there?",
            CONNECT.as_secs()
        )),
        PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            StoreError::unavailable("the store was closed")
        }
    }
}

/// What a refused connection came of: host, port, TLS, password, database, role or state of the server.
fn why(error: &tokio_postgres::Error, whose: &str) -> StoreError {
    let mut source = std::error::Error::source(error);
    let mut io = None;
    let mut is_tls = error.to_string().contains("TLS");
    while let Some(inner) = source {
        io = io.or(inner.downcast_ref::<std::io::Error>());
        is_tls |= inner.is::<rustls::Error>();
        source = inner.source();
    }
    let said = match (error.code(), io) {
        (Some(state), _) => match *state {
            SqlState::INVALID_PASSWORD => "the password of its role is wrong".to_owned(),
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                "there is no such role, or the server lets it in from elsewhere only (pg_hba.conf)".to_owned()
            }
            SqlState::INVALID_CATALOG_NAME => "the server has no such database".to_owned(),
            SqlState::INSUFFICIENT_PRIVILEGE => "its role may not connect to this database".to_owned(),
            SqlState::TOO_MANY_CONNECTIONS => "the server has no connection left (`max_connections`)".to_owned(),
            SqlState::CANNOT_CONNECT_NOW => "the server is starting or ending".to_owned(),
            _ => format!("the server answered with error {}", state.code()),
        },
        // What rustls complains of is handed on as an error of input and output.
        (None, _) if is_tls => {
            "TLS failed; is `store.ca_file` the authority that signed the server's certificate, and is the certificate for this host?".to_owned()
        }
        (None, Some(io)) => match io.kind() {
            ErrorKind::ConnectionRefused => "nothing listens at its host and port".to_owned(),
            ErrorKind::NotFound => "there is no such socket".to_owned(),
            ErrorKind::TimedOut => "no answer; is the host right, and does a firewall drop what goes there?".to_owned(),
            // The library's words for a standby.
            ErrorKind::PermissionDenied => "the server may not be written to: it is a standby".to_owned(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                "the server closed the connection; is this PostgreSQL, and does it speak TLS if the url asks for it?".to_owned()
            }
            _ if io.to_string().contains("lookup address") => "its host has no address".to_owned(),
            other => other.to_string(),
        },
        (None, None) => "the connection failed".to_owned(),
    };
    StoreError::Setup(format!("cannot connect to postgres with {whose}: {said}"))
}

/// One connection outside of the pool; its task ends with it.
pub(super) async fn single(url: &str, ca_file: Option<&Path>) -> Result<Client, StoreError> {
    let mut config = config(url)?;
    let refused = |error: tokio_postgres::Error| why(&error, "`store.owner_url`");
    match tls(&config, ca_file)? {
        Some(tls) => {
            config.ssl_mode(SslMode::Require);
            let (client, connection) = config.connect(tls).await.map_err(refused)?;
            tokio::spawn(connection);
            Ok(client)
        }
        None => {
            let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
            tokio::spawn(connection);
            Ok(client)
        }
    }
}
