//! The parts of a store that can be had, each with what it reaches. Nouns add what can be done to them; no part knows a noun.

pub(crate) mod accounts;
pub(crate) mod inner;
pub mod operator;
pub mod system_store;
pub mod tenant_store;
pub mod wrote;
