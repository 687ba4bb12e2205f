//! Decides whether a request may come in.
pub mod api_key;
pub mod clock;
pub mod directory;
pub mod grants;
pub mod id;
pub mod json;
pub mod key_set;
pub mod network;
pub mod random;
pub mod secret;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
