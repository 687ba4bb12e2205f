//! `claviger key`.

use clap::{Args, Subcommand};
use claviger::id::Environment;
use claviger_store::api_keys::DEFAULT_GRACE_SECONDS;
use serde::Serialize;

use super::annotation::{Called, Changes};
use super::{InOrg, InTenant};

/// Which key.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Which {
    #[command(flatten)]
    #[serde(flatten)]
    tenant: InTenant,
    /// The key's id, `key_…`
    #[arg(value_name = "KEY")]
    key: String,
}

pub(super) const EXAMPLES: &str = "Examples:
  claviger key create --tenant ID --org ID --name reports --scope \"orders:read leads:read\"
  claviger key create --tenant ID --org ID --name office --scope write --networks 203.0.113.0/24
  claviger key rotate --tenant ID key_1f… --grace-seconds 3600
  claviger key annotate --tenant ID key_1f… --external-id backup --metadata team=ops
  claviger key revoke --tenant ID key_1f…";

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyCommand {
    /// Make a key and show it, this once
    Create {
        #[command(flatten)]
        #[serde(flatten)]
        org: InOrg,
        /// What to call it
        #[arg(long)]
        name: String,
        /// What it may do: `read`, `write` or `admin` of everything, or of resources: `orders:write leads:read`
        #[arg(long, default_value = "read")]
        scope: String,
        /// live or test
        #[arg(long, default_value = "live")]
        environment: Environment,
        /// When it ends, such as 2030-01-31T12:00:00Z; never by default
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Networks it may be used from, such as 203.0.113.0/24; any by default
        #[arg(long, value_name = "CIDR", value_delimiter = ',')]
        networks: Option<Vec<String>>,
        /// The API it is for, whose keys' prefix it gets; the first of the realm by default
        #[arg(long)]
        api: Option<String>,
    },
    /// List an organization's keys, without their secrets
    List {
        #[command(flatten)]
        #[serde(flatten)]
        org: InOrg,
        #[command(flatten)]
        #[serde(flatten)]
        called: Called,
    },
    /// Show a key, without its secrets
    View(Which),
    /// Say what your own systems call a key, and what to keep with it
    Annotate {
        #[command(flatten)]
        #[serde(flatten)]
        which: Which,
        #[command(flatten)]
        #[serde(flatten)]
        changes: Changes,
    },
    /// Make a new secret and show it, this once; the old one goes on for the grace
    Rotate {
        #[command(flatten)]
        #[serde(flatten)]
        which: Which,
        /// How long the old secret goes on, in seconds: 0 to 604800
        #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_GRACE_SECONDS)]
        grace_seconds: i64,
    },
    /// End the grace of a rotated key's old secret now
    RevokeOld(Which),
    /// Refuse a key for now
    Disable(Which),
    /// Let a disabled key in again
    Enable(Which),
    /// End a key for good
    Revoke(Which),
}
