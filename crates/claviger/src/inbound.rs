//! The request head: all that a decision may look at.

use http::{HeaderMap, Method};

use crate::network::Client;
use crate::target::Target;

/// What is known of a request before anybody believes any of it.
#[derive(Debug, Clone, Copy)]
pub struct Inbound<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path and query, already known to be normal.
    pub target: Target<'a>,
    /// The headers as they came.
    pub headers: &'a HeaderMap,
    /// Where the request came from, trusted proxies looked through.
    pub client: Client,
    /// Whether it came over TLS, or a trusted proxy says so.
    pub secure: bool,
}
