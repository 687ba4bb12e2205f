//! TLS towards clients and towards upstreams, from PEM files.
//!
//! TLS 1.2 and 1.3, HTTP/1.1 by ALPN, no early data (it can be replayed), the
//! aws-lc-rs provider named explicitly.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

const ALPN: &[u8] = b"http/1.1";

/// A certificate chain and its key, as the bytes of two PEM files.
#[derive(Clone, Copy)]
pub struct PemPair<'a> {
    /// The chain, the server's own certificate first.
    pub chain: &'a [u8],
    /// The private key.
    pub key: &'a [u8],
}

impl fmt::Debug for PemPair<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PemPair(..)")
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate was given, or the file has none.
    #[error("there is no certificate in PEM form")]
    NoCertificate,
    /// The file could not be read as PEM certificates.
    #[error("certificate is not readable as PEM")]
    BadCertificate,
    /// The file could not be read as a PEM private key.
    #[error("private key is not readable as PEM")]
    BadKey,
    /// The library refused them, for example because key and certificate do
    /// not belong together.
    #[error("certificate or key is not usable")]
    Unusable(#[source] rustls::Error),
}

/// What a TLS listener needs. Clones share it, so that a renewed certificate
/// reaches all cores.
#[derive(Clone)]
pub struct ServerTls {
    certificates: Arc<Certificates>,
    pub(super) config: Arc<ServerConfig>,
}

impl ServerTls {
    /// From one or more certificates. A client gets the first that is valid for
    /// the name it asks for, and the first of all if none is or it asks for none.
    ///
    /// # Errors
    ///
    /// [`TlsError`], never with any part of the key in it.
    pub fn new(pairs: &[PemPair<'_>]) -> Result<Self, TlsError> {
        let provider = provider();
        let certificates = Arc::new(Certificates(ArcSwap::from_pointee(load(pairs, &provider)?)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = 0;
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Unusable)?;
        Ok(Self { certificates, config: Arc::new(config) })
    }

    /// Uses these certificates for handshakes from here on.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; the certificates in use then stay.
    pub fn replace(&self, pairs: &[PemPair<'_>]) -> Result<(), TlsError> {
        let loaded = load(pairs, self.config.crypto_provider())?;
        self.certificates.0.store(Arc::new(loaded));
        Ok(())
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServerTls").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

/// A client configuration that trusts the certificates in a PEM file and no other.
pub(super) fn client(roots: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in chain(roots)? {
        store.add(certificate).map_err(TlsError::Unusable)?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Unusable)?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn load(pairs: &[PemPair<'_>], provider: &CryptoProvider) -> Result<Vec<Arc<CertifiedKey>>, TlsError> {
    if pairs.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    pairs
        .iter()
        .map(|pair| {
            let key = PrivateKeyDer::from_pem_slice(pair.key).map_err(|_| TlsError::BadKey)?;
            let key =
                CertifiedKey::from_der(chain(pair.chain)?, key, provider).map_err(TlsError::Unusable)?;
            Ok(Arc::new(key))
        })
        .collect()
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|_| TlsError::BadCertificate)?;
    if chain.is_empty() { Err(TlsError::NoCertificate) } else { Ok(chain) }
}

struct Certificates(ArcSwap<Vec<Arc<CertifiedKey>>>);

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Certificates({})", self.0.load().len())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.0.load();
        let named = hello.server_name().and_then(|name| ServerName::try_from(name).ok()).and_then(|name| {
            keys.iter().find(|key| {
                key.end_entity_cert()
                    .and_then(ParsedCertificate::try_from)
                    .and_then(|certificate| verify_server_name(&certificate, &name))
                    .is_ok()
            })
        });
        named.or(keys.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_no_certificate_or_key_are_refused_by_name() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap();
        let (chain, key, foreign) =
            (made.cert.pem(), made.signing_key.serialize_pem(), other.signing_key.serialize_pem());
        let with = |chain: &str, key: &str| {
            ServerTls::new(&[PemPair { chain: chain.as_bytes(), key: key.as_bytes() }]).err()
        };

        assert!(with(&chain, &key).is_none());
        assert!(matches!(with("", &key), Some(TlsError::NoCertificate)));
        assert!(matches!(with(&chain, ""), Some(TlsError::BadKey)));
        assert!(matches!(with(&chain, &foreign), Some(TlsError::Unusable(_))));
        assert!(matches!(ServerTls::new(&[]), Err(TlsError::NoCertificate)));
    }
}
