//! Requests to a [`TestDoor`].

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::door::TestDoor;
use super::now;
use crate::api::Api;
use crate::door::Admitted;
use crate::inbound::Inbound;
use crate::limit::Permit;
use crate::network::Client;
use crate::refusal::{Reason, Refusal};
use crate::target::Target;

/// A request head: over TLS from 192.0.2.1 unless said otherwise.
#[derive(Debug, Clone)]
pub struct TestRequest {
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// Where it comes from.
    pub client: Client,
    /// Whether it comes over TLS.
    pub secure: bool,
}

impl TestRequest {
    /// A request without headers.
    ///
    /// # Panics
    /// If the method or target is none.
    #[expect(clippy::expect_used, reason = "tests write both down")]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.parse().expect("a method"),
            uri: target.parse().expect("a target"),
            headers: HeaderMap::new(),
            client: Client::At(Ipv4Addr::new(192, 0, 2, 1).into()),
            secure: true,
        }
    }

    /// A `GET`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// The same with one header more.
    ///
    /// # Panics
    /// If name or value cannot be a header's.
    #[must_use]
    #[expect(clippy::expect_used, reason = "tests write both down")]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        self
    }

    /// The same with `Authorization: Bearer` and `credential`.
    #[must_use]
    pub fn bearer(self, credential: &str) -> Self {
        self.header("authorization", &format!("Bearer {credential}"))
    }

    /// The same from another address.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    #[expect(clippy::expect_used, reason = "tests write it down")]
    pub fn from(mut self, client: &str) -> Self {
        self.client = Client::At(client.parse::<IpAddr>().expect("an address"));
        self
    }

    /// The same in clear.
    #[must_use]
    pub fn in_clear(mut self) -> Self {
        self.secure = false;
        self
    }

    /// Asks the door, and expects that it asks who it is.
    ///
    /// # Errors
    /// As [`Door::decide`](crate::Door::decide), and what the target is refused for; 500 if it is let in as a public one.
    pub fn decide(&self, test: &TestDoor, api: &Arc<Api>) -> Result<Permit, Refusal> {
        match self.admit(test, api)? {
            Admitted::Known(permit) => Ok(permit),
            Admitted::Public(_) => Err(Reason::Internal { why: "nobody was asked for" }.into()),
        }
    }

    /// Asks the door.
    ///
    /// # Errors
    /// As [`Door::decide`](crate::Door::decide), and what the target is refused for.
    pub fn admit(&self, test: &TestDoor, api: &Arc<Api>) -> Result<Admitted, Refusal> {
        now(test.door.decide(api, &self.inbound(Target::of(&self.uri)?)))
    }

    /// What the door is asked about.
    pub fn inbound<'a>(&'a self, target: Target<'a>) -> Inbound<'a> {
        Inbound {
            method: &self.method,
            target,
            headers: &self.headers,
            client: self.client,
            secure: self.secure,
        }
    }
}
