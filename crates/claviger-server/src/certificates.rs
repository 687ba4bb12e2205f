//! What can be said of certificates before anybody shakes hands: whom they are for, and until when.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::clock::UnixMillis;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// From how long before its end on a certificate is spoken of, in days.
const SOON_DAYS: i64 = 14;

/// Stands in the subject of certificates made for the demonstration.
pub(crate) const DEVELOPMENT: &str = "Claviger development certificate";

/// Whether a PEM file has a certificate that was made for the demonstration.
pub(crate) fn is_development_certificate(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.split("-----BEGIN CERTIFICATE-----").skip(1).any(|rest| {
        let body: String = rest.split("-----END").next().unwrap_or_default().split_whitespace().collect();
        let der = STANDARD.decode(body).unwrap_or_default();
        der.windows(DEVELOPMENT.len()).any(|window| window == DEVELOPMENT.as_bytes())
    })
}

/// The server's own certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The hosts and addresses that it is for, as it spells them.
    pub(crate) names: Vec<String>,
    /// Until when it is good.
    pub(crate) ends_at: UnixMillis,
}

impl Certificate {
    /// The first certificate of a PEM file; `None` if there is none that can be read.
    pub(crate) fn read(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
                Ok(bytes) => Some(std::net::IpAddr::from(bytes).to_string()),
                Err(_) => {
                    <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string())
                }
            },
            _ => None,
        };
        let names = names.map(|found| found.value.general_names.iter().filter_map(name).collect());
        let ends_at = UnixMillis::from_seconds(certificate.validity().not_after.timestamp());
        Some(Self { names: names.unwrap_or_default(), ends_at })
    }

    /// Whether it is for this host (RFC 9525, section 6.3: a wildcard stands for one label, the first).
    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            None => name == host,
            Some(rest) => {
                host.split_once('.').is_some_and(|(first, behind)| !first.is_empty() && behind == rest)
            }
        })
    }

    /// What is wrong with its time, if anything.
    pub(crate) fn complaint(&self, now: UnixMillis) -> Option<String> {
        let day = crate::clock::shown(self.ends_at);
        let left = self.ends_at.0.saturating_sub(now.0);
        if left <= 0 {
            return Some(format!("it has expired: it was good until {day}"));
        }
        (left < SOON_DAYS * 24 * 60 * 60 * 1000).then(|| format!("it expires soon: it is good until {day}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_whom_it_is_for_and_until_when() {
        let names = ["a.example", "*.b.example", "127.0.0.1", "::1"].map(str::to_owned);
        let mut parameters = rcgen::CertificateParams::new(names.to_vec()).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        let found = Certificate::read(pem.as_bytes()).unwrap();
        assert_eq!(found.names, names);
        for (host, is_for) in [
            ("a.example", true),
            ("x.b.example", true),
            ("b.example", false),
            (".b.example", false),
            ("y.x.b.example", false),
            ("127.0.0.1", true),
            ("other.example", false),
        ] {
            assert_eq!(found.is_for(host), is_for, "{host}");
        }
        let days_before = |days: i64| UnixMillis(found.ends_at.0 - days * 86_400_000);
        assert_eq!(found.complaint(days_before(15)), None);
        assert!(
            found.complaint(days_before(13)).unwrap().contains("expires soon: it is good until 2030-01-31")
        );
        assert!(found.complaint(found.ends_at).unwrap().contains("has expired"));
        assert_eq!(Certificate::read(b"nothing"), None);
    }
}
