//! Whose everything is: realms, their tenants, and the organizations within a tenant.

pub mod orgs;
pub(crate) mod realms;
pub mod tenants;
