//! Remembers, one tenant at a time, in SQLite or PostgreSQL.
//!
//! A [`Store`] has four openers and no other way in: a tenant's own part, the operator's, the accounts', and that
//! of named jobs. No row function takes a tenant's id where a tenant's part is open already, so that there is no
//! filter to forget; behind that, the database holds each transaction to its tenant as well.
pub mod accounts;
pub mod actor;
pub mod api_keys;
pub mod audit;
mod backend;
mod digest_hash;
pub mod email;
pub mod ends;
pub mod error;
mod failover;
mod feed;
pub mod follower;
pub mod foreign_identities;
mod held_keys;
pub mod keyring;
mod loads;
pub mod members;
pub mod memory;
mod migrate;
pub mod nodes;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "some of what is declared stands in the migrations, and is compared with them by tests"
    )
)]
mod noun;
mod nouns;
pub mod open_transaction;
pub mod operator;
pub mod orgs;
pub mod page;
mod registry;
pub mod revoked_tokens;
mod seal;
pub mod sessions;
pub mod signing_keys;
pub mod source;
mod state;
mod statement;
pub mod store;
pub mod subject;
pub mod sweep;
pub mod system_store;
pub mod tenant_store;
pub mod tenants;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod user_secrets;
mod value;
pub mod withdrawals;

pub use accounts::Accounts;
pub use actor::Actor;
pub use claviger::danger::{OperatorPermit, SystemPermit};
pub use email::Email;
pub use ends::Ends;
pub use error::StoreError;
pub use keyring::Keyring;
pub use operator::Operator;
pub use store::{Settings, Store};
pub use system_store::SystemStore;
pub use tenant_store::TenantStore;
