//! Remembers, one tenant at a time, in SQLite or PostgreSQL.
//!
//! A [`Store`] has four openers and no other way in: a tenant's own part, the operator's, the accounts', and that
//! of named jobs. No row function takes a tenant's id where a tenant's part is open already, so that there is no
//! filter to forget; behind that, the database holds each transaction to its tenant as well.
mod actor;
pub mod annotations;
pub mod audit;
mod backend;
mod credentials;
mod data_key;
pub mod email;
pub mod ends;
pub mod error;
mod facts;
mod feed;
pub mod idempotency;
pub mod keyring;
mod keyring_check;
pub mod memory;
mod migrations;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "some of what is declared stands in the migrations, and is compared with them by tests"
    )
)]
mod noun;
mod nouns;
pub mod page;
mod parts;
mod people;
mod registry;
pub mod retirement;
mod seal;
mod settings;
mod state;
mod statement;
pub mod store;
pub mod subject;
mod tenancy;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod value;
pub mod versions;
pub mod withdrawals;

pub use actor::Actor;
pub use claviger::danger::{OperatorPermit, SystemPermit};
pub use credentials::{
    api_keys, key_authority, key_lookups, key_rotation, key_secret_uses, key_uses, revoked_tokens,
    sealed_keys, signing_keys, user_secret_uses, user_secrets,
};
pub use email::Email;
pub use ends::Ends;
pub use error::StoreError;
pub use feed::{follower, leases, nodes, open_transaction, source, sweep};
pub use keyring::Keyring;
pub use parts::accounts::Accounts;
pub use parts::operator::Operator;
pub use parts::system_store::SystemStore;
pub use parts::tenant_store::TenantStore;
pub use parts::{operator, system_store, tenant_store, wrote};
pub use people::{
    accounts, console_sessions, foreign_identities, invitations, members, operators, outbox, passwords,
    proofs, refresh_tokens, sessions, sign_in_failures, sign_up,
};
pub use settings::Settings;
pub use store::{Holding, Store};
pub use tenancy::{orgs, tenants};
