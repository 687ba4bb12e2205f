//! `claviger key`.

use clap::{Args, Subcommand};
use claviger::directory::Annotated;
use claviger::id::{Environment, KeyId};
use claviger::network::{Network, Networks};
use claviger_store::api_keys::{DEFAULT_GRACE_SECONDS, KeyView, NewApiKey, SecretView, ShownKey};
use claviger_store::tenant_store::TenantStore;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::management::{Failure, Management, org, parse, shown};

use super::annotation::{Called, Changes, found, with};
use super::{InOrg, InTenant};

/// Which key.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
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

#[derive(Debug, Subcommand, Serialize, Deserialize)]
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

fn secret(secret: &SecretView) -> Value {
    json!({
        "prefix": secret.prefix,
        "last_four": secret.last_four,
        "old": secret.is_old,
        "created_at": shown(secret.created_at),
        "expires_at": secret.expires_at.map(shown),
    })
}

fn view(key: &KeyView) -> Value {
    json!({
        "key_id": key.key.to_string(),
        "name": key.name,
        "scope": key.grants.to_string(),
        "environment": key.environment.as_str(),
        "state": match key.state {
            claviger::directory::State::Active => "active",
            claviger::directory::State::Suspended => "disabled",
            claviger::directory::State::Deleted => "revoked",
        },
        "networks": key.networks.as_ref().map(|networks| networks.iter().collect::<Vec<_>>()),
        "created_at": shown(key.created_at),
        "expires_at": key.expires_at.map(shown),
        "secrets": key.secrets.iter().map(secret).collect::<Vec<_>>(),
    })
}

fn with_secret(shown: &ShownKey) -> Value {
    let mut value = view(&shown.view);
    if let (Some(object), Some(text)) = (value.as_object_mut(), shown.key.secret.expose_text()) {
        object.insert("key".into(), text.into());
    }
    value
}

fn open(management: &Management, which: &Which) -> Result<(TenantStore, KeyId), Failure> {
    Ok((management.tenant(&which.tenant.tenant)?, parse(&which.key, "KEY")?))
}

impl KeyCommand {
    pub(super) async fn run(self, management: &Management) -> Result<Value, Failure> {
        match self {
            Self::Create { org: of, name, scope, environment, expires_at, networks, api } => {
                let store = management.tenant(&of.tenant.tenant)?;
                let realm = store.tenant_view().await?.realm;
                let grants = management.known_scope(&realm, &scope)?;
                let prefix = match api {
                    Some(api) => management.api_in(&realm, &api)?.api.key_prefix.clone(),
                    None => {
                        let api = management.api_of_realm(&realm);
                        let api = api.ok_or_else(|| {
                            Failure::new(format!("no API of the settings is of realm `{realm}`"))
                        })?;
                        api.api.key_prefix.clone()
                    }
                };
                let expires_at = expires_at
                    .map(|time| {
                        let parsed = time.parse::<jiff::Timestamp>();
                        parsed.map_err(|_| {
                            Failure::new(format!("`--expires-at {time}` is no time"))
                                .hint("write it as RFC 3339 does, such as 2030-01-31T12:00:00Z")
                        })
                    })
                    .transpose()?
                    .map(|time| claviger::clock::UnixMillis(time.as_millisecond()));
                let networks = networks
                    .map(|list| {
                        list.iter()
                            .map(|text| parse::<Network>(text, "--networks"))
                            .collect::<Result<Vec<_>, _>>()
                    })
                    .transpose()?
                    .map(Networks::new);
                let new =
                    NewApiKey { org: org(&of.org)?, name, prefix, environment, grants, networks, expires_at };
                Ok(with_secret(&store.key_create(new).await?))
            }
            Self::List { org: of, called } => {
                let store = management.tenant(&of.tenant.tenant)?;
                let org = org(&of.org)?;
                let keys = match called.external_id {
                    None => store.key_list(org).await?,
                    Some(id) => match found(store.annotated("key", &id).await)? {
                        Some(Annotated::Key(key)) => {
                            let key = store.key_view(key).await?;
                            Some(key).into_iter().filter(|key| key.org == org).collect()
                        }
                        _ => Vec::new(),
                    },
                };
                let about = |key: &KeyView| Annotated::Key(key.key).entity();
                let annotations = store.annotations("key", keys.iter().map(about).collect()).await?;
                let of = |key: &KeyView| annotations.get(&about(key)).cloned().unwrap_or_default();
                Ok(keys.iter().map(|key| with(view(key), &of(key))).collect::<Vec<_>>().into())
            }
            Self::View(which) => {
                let (store, key) = open(management, &which)?;
                let annotation = store.annotation(Annotated::Key(key)).await?;
                Ok(with(view(&store.key_view(key).await?), &annotation))
            }
            Self::Annotate { which, changes } => {
                let (store, key) = open(management, &which)?;
                let annotation = store.annotate(Annotated::Key(key), changes.update()?).await?;
                Ok(with(view(&store.key_view(key).await?), &annotation))
            }
            Self::Rotate { which, grace_seconds } => {
                let (store, key) = open(management, &which)?;
                Ok(with_secret(&store.key_rotate(key, grace_seconds).await?))
            }
            Self::RevokeOld(which) => {
                let (store, key) = open(management, &which)?;
                store.key_revoke_old(key).await?;
                Ok(view(&store.key_view(key).await?))
            }
            Self::Disable(which) => {
                let (store, key) = open(management, &which)?;
                store.key_disable(key).await?;
                Ok(view(&store.key_view(key).await?))
            }
            Self::Enable(which) => {
                let (store, key) = open(management, &which)?;
                store.key_enable(key).await?;
                Ok(view(&store.key_view(key).await?))
            }
            Self::Revoke(which) => {
                let (store, key) = open(management, &which)?;
                store.key_revoke(key).await?;
                Ok(view(&store.key_view(key).await?))
            }
        }
    }
}
