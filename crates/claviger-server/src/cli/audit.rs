//! `claviger audit`.

use clap::Subcommand;
use serde_json::json;

use crate::asked::Asked;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what happened, the newest first: in a tenant, or to what belongs to none
    List {
        /// The tenant's id; without one, what belongs to no tenant is listed
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
    },
}

impl AuditCommand {
    /// The operation.
    ///
    /// # Errors
    /// None.
    pub(super) fn asked(self) -> Result<Asked, Failure> {
        let Self::List { tenant } = self;
        let (id, input) = match tenant {
            Some(tenant) => ("audit.list", json!({ "tenant": tenant })),
            None => ("audit.operators", json!({})),
        };
        Ok(Asked { id: id.to_owned(), input })
    }
}
