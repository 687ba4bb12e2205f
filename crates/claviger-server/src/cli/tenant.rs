//! `claviger tenant`.

use clap::Subcommand;
use serde::Serialize;

use super::annotation::{Called, Changes, Seen};
use super::{HowMuch, InTenant};

pub(super) const EXAMPLES: &str = "Examples:
  claviger tenant create --realm orders --name Acme --owner-email owner@acme.example
  claviger tenant list --realm orders
  claviger tenant update --tenant Acme --plan Pro --require-identity-headers true
  claviger tenant annotate --tenant ID --external-id cus_4711 --metadata tier=gold
  claviger tenant list --realm orders --external-id cus_4711";

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TenantCommand {
    /// Make a tenant with its first organization, and its owner an ADMIN there
    Create {
        /// The realm, as the settings of its API name it
        #[arg(long)]
        realm: String,
        /// What to call it
        #[arg(long)]
        name: String,
        /// What to call its first organization; the same by default
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        /// Its owner's e-mail address; an account is made if there is none
        #[arg(long, value_name = "ADDRESS", required_unless_present = "owner", conflicts_with = "owner")]
        owner_email: Option<String>,
        /// Instead of the address: the account's id or address, even if whoever made the account has not proved to have the address
        #[arg(long, value_name = "ACCOUNT")]
        owner: Option<String>,
        /// Its plan; the first of the realm's API by default
        #[arg(long)]
        plan: Option<String>,
    },
    /// List the tenants of a realm
    List {
        /// The realm
        #[arg(long)]
        realm: String,
        /// Only those that are called so
        #[arg(long)]
        name: Option<String>,
        /// Only those in this state: active, suspended or deleted
        #[arg(long)]
        state: Option<String>,
        /// Only those on this plan
        #[arg(long)]
        plan: Option<String>,
        #[command(flatten)]
        #[serde(flatten)]
        called: Called,
    },
    /// Show a tenant
    View(InTenant),
    /// Say what your own systems call a tenant, and what to keep with it
    Annotate {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        #[command(flatten)]
        #[serde(flatten)]
        changes: Changes,
        #[command(flatten)]
        #[serde(flatten)]
        seen: Seen,
    },
    /// Change a tenant's name, plan, or whether it demands the identity headers
    Update {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        /// Its new plan, one of those the settings of its API name
        #[arg(long)]
        plan: Option<String>,
        /// Whether every request has to carry the tenant and organization headers
        #[arg(long, value_name = "BOOL")]
        require_identity_headers: Option<bool>,
        /// Whether people come in by signing in there, and not by switching from another tenant
        #[arg(long, value_name = "BOOL")]
        require_direct_sign_in: Option<bool>,
        /// Whose it is from now on: the id or address of an account that is a member
        #[arg(long, value_name = "ACCOUNT")]
        owner: Option<String>,
        #[command(flatten)]
        #[serde(flatten)]
        seen: Seen,
    },
    /// Refuse everything of a tenant for now (403)
    Suspend(InTenant),
    /// Let a suspended tenant in again
    Resume(InTenant),
    /// End a tenant: its credentials are unknown from now on (401)
    Delete(InTenant),
    /// End all sessions of a tenant, and so all identity tokens made so far, other issuers' too
    RevokeTokens {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        #[command(flatten)]
        #[serde(flatten)]
        how_much: HowMuch,
    },
}
