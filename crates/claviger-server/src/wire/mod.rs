//! The wire: connections of clients, connections to upstreams, and nothing that
//! decides.
//!
//! This is the only module in which types of hyper and of the TLS library
//! appear. The rest of the server speaks `http`, `bytes`, `http_body` and the
//! types exported here, so that another HTTP/1 reader can take hyper's place.
//!
//! A [`Handler`] is given one [`Exchange`] after the other and answers each with
//! a response. [`Upstream::send`] forwards one; [`websocket`] makes a tunnel.
//! Each core is a thread with its own runtime, its own listening sockets and its
//! own connections to upstreams; nothing that a request does waits for another
//! core.
//!
//! # What is refused, and by whom
//!
//! A request that two readers could read in two ways is the way past a gateway.
//! This is what happens to each kind, with hyper 1.12 and httparse 1.10:
//!
//! | request | answer | by |
//! |---|---|---|
//! | `Content-Length` and `Transfer-Encoding` | 400, closed | here: hyper alone drops the length, reads chunks, and closes after its answer |
//! | the same, pipelined behind another request | served as chunked, closed | hyper; its bytes are not seen here, but what is forwarded is framed anew |
//! | two `Content-Length` that differ, or `5, 5`, `+5` | 400, closed | hyper |
//! | two `Content-Length` that are the same | served with one | hyper |
//! | `Transfer-Encoding` not ending in `chunked`, or with HTTP/1.0 | 400, closed | hyper |
//! | `Transfer-Encoding` with more than `chunked` alone | 400, closed | here |
//! | a folded field line, space before a colon, control characters | 400, closed | hyper |
//! | lines that end with a bare LF | served | nobody: what is forwarded has CR LF |
//! | empty lines before a request | served | hyper (RFC 9112 section 2.2) |
//! | a head over its limits of bytes or fields | 431, closed | hyper |
//! | a target over its limit | 414, closed | here |
//! | `#` in a target | 400, closed | here: hyper drops what stands behind it |
//! | the same, pipelined behind another request | served without it | hyper; what is forwarded has none |
//! | chunks that cannot be read | [`BodyError::ClientMalformed`] | hyper |
//!
//! Whatever came in, no byte of a client's framing is passed on: an upstream
//! gets one `Content-Length` or `chunked`, made from the body that was read. The
//! same holds for responses, where two framings are [`SendError::BadResponse`].
//!
//! [`Handler::refuse`] answers both: what hyper would answer by itself, without
//! a body, is replaced on its way out. [`Counters::malformed`] counts both.
//!
//! `100 Continue` is sent when the body of a request is first read and not
//! before, so a request that is refused without reading never gets it. Trailers
//! pass in both directions if they are announced by a `Trailer` field, and to a
//! client only if it sent `TE: trailers` (RFC 9110 section 6.5.1).

mod admission;
mod body;
mod body_error;
mod connection;
mod counters;
mod ending;
mod exchange;
pub mod hop;
mod link;
mod listen;
mod lock;
mod pool;
mod server;
mod socket;
mod tls;
mod tunnel;
mod upload;
mod upstream;

pub use body::{Body, TrailerFilter};
pub use body_error::BodyError;
pub use counters::{Count, Counters};
pub use ending::{Ended, Ending};
pub use exchange::{Defect, Exchange, Handler, TlsInfo, Unserved};
pub use link::{StillAllowed, Watch};
pub use listen::{Beside, BindError, Exempt, Limits, Listen, ListenerId, Ports, raise_open_files};
pub use server::{Drained, Server};
pub use tls::{PemPair, ServerTls, TlsError};
pub use tunnel::{ClientUpgrade, Handshake, Tunnel, TunnelError, websocket};
pub use upstream::{PhaseLimits, SendError, Upstream, UpstreamError, UpstreamSettings};
