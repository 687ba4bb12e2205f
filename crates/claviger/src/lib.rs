//! Decides whether a request may come in: no SQL, no sockets, no runtime.
//!
//! There is one way in, [`Door`]. It takes a request through four steps, each of which takes what the step before made:
//!
//! ```text
//! Inbound ─ identify ─▶ Shown ─ authenticate ─▶ Caller ─ authorize ─▶ Grant ─ limit ─▶ Permit
//! ```
//!
//! The steps are private, and only the folder of a step can make its result, so nobody else can forge or copy one. What a
//! decision has to know comes from a [`directory::Directory`], time from a [`clock::Clock`] and unpredictable bytes from a
//! [`random::Random`]; all of them are handed in. What an API takes and asks for is an [`Api`], checked when it is made.

pub mod answer;
pub mod api;
pub mod api_key;
mod arrival;
pub mod authenticate;
pub mod authority;
mod authorize;
pub mod clock;
pub mod code;
pub mod cors;
pub mod credential;
pub mod danger;
pub mod directory;
pub mod door;
pub mod envelope;
pub mod explain;
mod freshness;
pub mod grants;
pub mod id;
mod identify;
pub mod inbound;
pub mod json;
pub mod jws;
pub mod key_set;
pub mod layer;
mod limit;
pub mod limit_rule;
pub mod lookups;
pub mod need;
pub mod network;
mod pattern;
pub mod protected;
pub mod random;
mod readings;
pub mod refusal;
mod reserved;
pub mod route;
pub mod secret;
pub mod signing_key;
pub mod target;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use api::{Api, ApiSettings};
pub use authenticate::Principal;
pub use door::{Admitted, Door, DoorSettings, Introspected, Introspecting, SessionHolder};
pub use inbound::Inbound;
pub use layer::ClavigerLayer;
pub use limit::{Permit, PublicPermit};
pub use refusal::{Reason, Refusal};
