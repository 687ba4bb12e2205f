//! Which API a request is for, and whether it came safely.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::refused::{Fault, Refused};
use claviger::authority::host_of;
use claviger::id::ApiName;

use crate::config::PlainHttp;
use crate::wire::Exchange;

use super::{Surface, Tables, allows_plain};

/// What holds for everything that comes in by one listener.
#[derive(Debug, Clone)]
pub struct ListenerRules {
    /// Where it listens.
    pub address: SocketAddr,
    /// The API everything is for, whatever its Host.
    pub api: Option<ApiName>,
    /// Whether the HTTPS rule is off for local development.
    pub plain_http: PlainHttp,
}

impl Tables {
    /// The API a request is for: the listener's, or the one its Host names.
    pub(super) fn surface_for(&self, exchange: &Exchange) -> Result<&Arc<Surface>, Refused> {
        let misdirected = |why| Refused::from(Fault::Misdirected { why });
        let host = host_of(exchange.request.uri(), exchange.request.headers())?;
        if let Some(name) = exchange.tls.as_ref().and_then(|tls| tls.server_name.as_deref())
            && !name.eq_ignore_ascii_case(host)
        {
            return Err(misdirected("TLS was set up for another host"));
        }
        let rules = self.listeners.get(&exchange.listener);
        let surface = match rules.and_then(|rules| rules.api.as_ref()) {
            Some(api) => self.surfaces.get(api),
            None if host.bytes().any(|b| b.is_ascii_uppercase()) => {
                self.hosts.get(&host.to_ascii_lowercase())
            }
            None => self.hosts.get(host),
        };
        surface.ok_or_else(|| misdirected("no API answers to this host"))
    }

    /// Whether the request came over TLS, or a trusted proxy says that it came to it so.
    pub(super) fn is_secure(&self, exchange: &Exchange) -> bool {
        if exchange.tls.is_some() {
            return true;
        }
        let mut said = exchange.request.headers().get_all("x-forwarded-proto").iter();
        let https = matches!((said.next(), said.next()), (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"https"));
        https && self.trusted_proxies.contain(exchange.peer.ip())
    }

    /// Whether listener, client and Host are all this machine's, and the listener's rule is off.
    pub(super) fn is_local_development(&self, exchange: &Exchange) -> bool {
        let rules = self.listeners.get(&exchange.listener);
        // Asked of every request without TLS, and a rule of very few listeners.
        if !allows_plain(rules) {
            return false;
        }
        let host = host_of(exchange.request.uri(), exchange.request.headers()).unwrap_or_default();
        let host = host.to_ascii_lowercase();
        let is_local_host = host == "localhost"
            || host.ends_with(".localhost")
            || host == "[::1]"
            || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        rules.is_some_and(|rules| rules.address.ip().is_loopback())
            && exchange.peer.ip().to_canonical().is_loopback()
            && is_local_host
    }
}
