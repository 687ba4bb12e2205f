//! Who acts: accounts, where they are members, and their sessions.

pub mod accounts;
pub(crate) mod addresses;
pub mod console_sessions;
pub mod foreign_identities;
pub mod invitations;
pub mod members;
pub mod operators;
pub mod outbox;
pub mod passwords;
pub mod proofs;
pub mod refresh_tokens;
mod sealed_text;
pub mod sessions;
pub mod sign_in_failures;
pub mod sign_up;
