//! `claviger session`.

use clap::Subcommand;
use serde::Serialize;

use super::InTenant;
use super::member::Who;

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SessionCommand {
    /// List the sessions of a member that go on, in every organization of the tenant
    List(Who),
    /// End a session, and so its tokens
    End {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        /// The session's id, a token's `sid`
        #[arg(long, value_name = "ID")]
        session: String,
    },
}
