//! Who acts: accounts, where they are members, and their sessions.

pub mod accounts;
pub mod foreign_identities;
pub mod members;
pub mod operators;
pub mod refresh_tokens;
pub mod sessions;
pub mod sign_in_failures;
pub mod sign_up;
