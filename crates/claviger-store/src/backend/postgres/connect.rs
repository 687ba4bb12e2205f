//! How the store reaches a server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::StoreError;

/// How long an attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Reads a URL. Its text is in no error: it holds a password.
pub(super) fn config(url: &str) -> Result<Config, StoreError> {
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
                "the store's url requires TLS; name the certificate authority of the server in `store.ca_file`".into(),
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
        .wait_timeout(Some(super::DEADLINE))
        .create_timeout(Some(CONNECT))
        .build()
        .map_err(|_| StoreError::Setup("the pool of connections cannot be made".into()))
}

/// One connection outside of the pool; its task ends with it.
pub(super) async fn single(url: &str, ca_file: Option<&Path>) -> Result<Client, StoreError> {
    let mut config = config(url)?;
    let refused = |_| StoreError::Setup("cannot connect to postgres with the owner's url".into());
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
