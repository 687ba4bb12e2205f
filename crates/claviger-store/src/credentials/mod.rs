//! What somebody shows, and what is needed to tell whether it is good.

pub mod api_keys;
pub(crate) mod held_keys;
pub mod key_authority;
pub mod key_lookups;
pub mod key_rotation;
pub mod key_secret_uses;
pub(crate) mod key_secrets;
pub mod key_uses;
pub(crate) mod kid;
pub mod revoked_tokens;
pub mod sealed_keys;
pub mod signing_keys;
pub mod user_secret_uses;
pub mod user_secrets;
