//! `claviger audit`.

use clap::Subcommand;
use serde_json::json;

use crate::asked::Asked;
use crate::failure::Failure;

/// How many entries a page has at most.
const LONGEST: u16 = 500;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what happened, the newest first: in a tenant, or to what belongs to none
    List {
        /// The tenant: its id, external id or name; without one, what belongs to no tenant is listed
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u16,
    },
}

impl AuditCommand {
    /// The operation.
    ///
    /// # Errors
    /// If none are wanted.
    pub(super) fn asked(self) -> Result<Asked, Failure> {
        let Self::List { tenant, limit } = self;
        if limit == 0 {
            return Err(Failure::argument("limit", "0", "there is at least one to list"));
        }
        // A page has no more than that.
        let page = limit.min(LONGEST);
        let asked = match tenant {
            Some(tenant) => Asked::new("audit.list", json!({ "tenant": tenant, "limit": page })),
            None => Asked::new("audit.operators", json!({ "limit": page })),
        };
        Ok(Asked { most: Some(limit.into()), ..asked })
    }
}
