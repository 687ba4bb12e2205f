//! Decides whether a request may come in: no SQL, no sockets, no runtime.
//!
//! A request goes through four steps, each of which takes what the step before made:
//!
//! ```text
//! Inbound ─ identify ─▶ Credential ─ authenticate ─▶ Principal ─ authorize ─▶ Grant ─ limit ─▶ Permit
//! ```
//!
//! [`Door::decide`] calls them. Only the folder of a step can make its result, so nobody else can forge one.
//! What a decision has to know comes from a [`directory::Directory`], time from a [`clock::Clock`] and
//! unpredictable bytes from a [`random::Random`]; all of them are handed in.

pub mod answer;
pub mod api;
pub mod api_key;
pub mod authenticate;
pub mod authority;
pub mod authorize;
pub mod clock;
pub mod danger;
pub mod directory;
pub mod door;
pub mod envelope;
pub mod explain;
pub mod grants;
pub mod id;
pub mod identify;
pub mod inbound;
pub mod json;
pub mod jws;
pub mod key_set;
pub mod layer;
pub mod limit;
pub mod lookups;
pub mod network;
pub mod protected;
pub mod random;
pub mod refusal;
pub mod route;
pub mod secret;
pub mod target;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use api::Api;
pub use authenticate::Principal;
pub use authorize::Grant;
pub use door::Door;
pub use inbound::Inbound;
pub use layer::ClavigerLayer;
pub use limit::Permit;
pub use refusal::{Reason, Refusal};
