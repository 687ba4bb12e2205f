//! `claviger key`.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use claviger::id::Environment;
use claviger_store::key_rotation::DEFAULT_GRACE_SECONDS;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::annotation::{Called, Changes, Seen};
use super::{InOrg, InTenant};
use crate::asked::Asked;
use crate::failure::{Failure, complaint};

/// Which key.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Which {
    #[command(flatten)]
    #[serde(flatten)]
    tenant: InTenant,
    /// The key: its id (`key_…`), external id or name
    #[arg(value_name = "KEY")]
    key: String,
}

/// What to change of a key.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct KeyChanges {
    /// Its new name
    #[arg(long)]
    name: Option<String>,
    /// What it may do: `read`, `write` or `admin` of everything, or of resources: `orders:write leads:read`
    #[arg(long)]
    scope: Option<String>,
    /// Networks it may be used from, such as 203.0.113.0/24
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    networks: Option<Vec<String>>,
    /// Let it be used from anywhere
    #[arg(long, conflicts_with = "networks")]
    no_networks: bool,
    /// When it ends, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Let it never end
    #[arg(long, conflicts_with = "expires_at")]
    no_expires_at: bool,
}

impl Serialize for KeyChanges {
    /// As a merge patch (RFC 7396): what is taken away is `null`, and what is not named is not there.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in [("name", &self.name), ("scope", &self.scope)] {
            if value.is_some() {
                map.serialize_entry(name, value)?;
            }
        }
        if self.no_networks || self.networks.is_some() {
            map.serialize_entry("networks", &self.networks)?;
        }
        if self.no_expires_at || self.expires_at.is_some() {
            map.serialize_entry("expires_at", &self.expires_at)?;
        }
        map.end()
    }
}

/// The longest key that is read, in bytes.
const LONGEST: u64 = 4096;

impl KeyCommand {
    /// What is to be asked for; of a key that is to be found or verified, the key itself is read from standard input.
    pub(super) fn asked(&self) -> Result<Asked, Failure> {
        let mut asked = Asked::of("key", self)?;
        if matches!(self, Self::Find { last_four: None } | Self::Verify { .. }) {
            if std::io::stdin().is_terminal() {
                super::print::note("Paste the key, then press Enter and Ctrl-D:");
            }
            let mut text = Zeroizing::new(String::new());
            let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
            read.map_err(|error| Failure::new(format!("cannot read the key ({})", complaint(&error))))?;
            if let Some(members) = asked.input.as_object_mut() {
                members.remove("last_four");
                members.insert("key".to_owned(), text.trim().into());
            }
        }
        Ok(asked)
    }
}

pub(super) const EXAMPLES: &str = "Examples:
  claviger key create --tenant ID --org ID --name reports --scope \"orders:read leads:read\"
  claviger key create --tenant ID --org ID --name office --scope write --networks 203.0.113.0/24
  claviger key update --tenant Acme office --scope read --networks 203.0.113.0/24,198.51.100.7
  claviger key find --last-four x7Qa
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
    /// List the keys of a tenant, or of an organization, without their secrets
    List {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        /// Only those of this organization: its id, external id or name
        #[arg(long)]
        org: Option<String>,
        /// Only those that are called so
        #[arg(long)]
        name: Option<String>,
        /// Only those in this state: active, disabled or revoked; all that are not revoked by default
        #[arg(long)]
        state: Option<String>,
        /// Only those of live or test
        #[arg(long)]
        environment: Option<Environment>,
        #[command(flatten)]
        #[serde(flatten)]
        called: Called,
    },
    /// Find a key by itself or by its last four characters, whosever it is
    ///
    /// Without `--last-four` the key itself is read from standard input: what stands on a command line stands in its history and in
    /// the list of processes.
    Find {
        /// What it ends with
        #[arg(long, value_name = "TEXT")]
        last_four: Option<String>,
    },
    /// Say whether a key may do something, and take what that costs of its limits
    ///
    /// As the gateway would decide it, for programs that do not stand behind it. The key itself is read from standard input.
    Verify {
        /// The API that it is for, by its name in the settings
        #[arg(long, value_name = "NAME")]
        api: String,
        /// On what it is to be good
        #[arg(long, value_name = "NAME")]
        resource: String,
        /// How far: read, write or admin
        #[arg(long, value_parser = ["read", "write", "admin"])]
        access: String,
        /// How much of its limits that takes
        #[arg(long, value_name = "N")]
        cost: Option<u32>,
        /// The address of whoever has shown it
        #[arg(long, value_name = "ADDRESS")]
        from: Option<String>,
    },
    /// Show a key, without its secrets
    View(Which),
    /// Change a key's name, what it may do, from where, or until when
    Update {
        #[command(flatten)]
        #[serde(flatten)]
        which: Which,
        #[command(flatten)]
        #[serde(flatten)]
        changes: KeyChanges,
        #[command(flatten)]
        #[serde(flatten)]
        seen: Seen,
    },
    /// Say what your own systems call a key, and what to keep with it
    Annotate {
        #[command(flatten)]
        #[serde(flatten)]
        which: Which,
        #[command(flatten)]
        #[serde(flatten)]
        changes: Changes,
        #[command(flatten)]
        #[serde(flatten)]
        seen: Seen,
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
