//! `claviger user-token`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::member::Who;

/// Whose token for which API.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Whose {
    /// The API
    #[arg(long)]
    api: String,
    #[command(flatten)]
    #[serde(flatten)]
    who: Who,
}

pub(super) const EXAMPLES: &str = "Examples:
  claviger user-token issue --api syncello --tenant ID --org ID --email ada@acme.example
  claviger user-token regenerate --api syncello --tenant ID --org ID --email ada@acme.example";

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UserTokenCommand {
    /// Print a member's token; a secret is made if there is none
    Issue(Whose),
    /// List a member's tokens, without the tokens
    List(Who),
    /// Give the member another secret: every token before is refused from now on
    Regenerate(Whose),
    /// Take the member's secret away
    Revoke(Whose),
}
