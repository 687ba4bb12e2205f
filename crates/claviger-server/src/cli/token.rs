//! `claviger token`: identity tokens; and `claviger principal`, the keys of principals.

use clap::Subcommand;
use serde::Serialize;

use super::InTenant;
use super::member::Who;

pub(super) const EXAMPLES: &str = "Examples:
  claviger token issue --api orders --tenant ID --org ID --email ada@acme.example
  claviger token revoke --tenant ID --session ID
  claviger token rotate-key --realm orders --step next        publishes a key
  claviger token rotate-key --realm orders --step activate    lets it sign, once everybody has fetched it";

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TokenCommand {
    /// Begin a session for a member and print its token
    ///
    /// The token lives as long as the API's `token_lifetime_seconds` says; it ends with its session at the latest.
    Issue {
        /// The API it is for
        #[arg(long)]
        api: String,
        #[command(flatten)]
        #[serde(flatten)]
        who: Who,
        /// How long the session may go on, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 30 * 24 * 3600)]
        session_seconds: i64,
    },
    /// Revoke one token by its `jti`, or one session by its `sid`
    ///
    /// A token of another issuer is named by both, as issuers choose the `jti` of their tokens themselves. One that has
    /// none cannot be revoked alone: end the link, or suspend the member.
    Revoke {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        /// The token's `jti`
        #[arg(long, value_name = "ID", required_unless_present = "session")]
        token: Option<String>,
        /// The issuer, if it is another's token
        #[arg(long, value_name = "ISSUER", requires = "token")]
        issuer: Option<String>,
        /// The session's id, a token's `sid`
        #[arg(long, value_name = "ID")]
        session: Option<String>,
    },
    /// List the keys that sign a realm's tokens
    Keys {
        /// The realm
        #[arg(long)]
        realm: String,
    },
    /// Publish the next signing key, let the published one sign, drop a retired one, or replace all of them at once
    ///
    /// Keys take turns by themselves, by `token_key_days` of the settings. After `--step replace` every identity token so far is refused; sessions go
    /// on, and refresh gives tokens of the new key.
    RotateKey {
        /// The realm
        #[arg(long)]
        realm: String,
        /// What to do
        #[arg(long, value_name = "STEP", value_parser = ["next", "activate", "drop", "replace"])]
        step: String,
        /// The key to drop, with `--step drop`
        #[arg(long, value_name = "KID", required_if_eq("step", "drop"))]
        kid: Option<String>,
    },
}

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PrincipalCommand {
    /// List the keys that sign the principals for the APIs behind
    Keys {},
    /// Publish the next key for principals, let the published one sign, drop a retired one, or replace all of them at once
    ///
    /// Servers look every ten seconds which key signs, and the APIs behind fetch a key that they do not know. Leave some
    /// minutes between `next` and `activate` where they fetch on their own terms, and between `activate` and `drop` as long as
    /// a principal lives: 15 seconds.
    RotateKey {
        /// What to do
        #[arg(long, value_name = "STEP", value_parser = ["next", "activate", "drop", "replace"])]
        step: String,
        /// The key to drop, with `--step drop`
        #[arg(long, value_name = "KID", required_if_eq("step", "drop"))]
        kid: Option<String>,
    },
}
