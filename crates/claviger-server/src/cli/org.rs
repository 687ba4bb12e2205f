//! `claviger org`.

use clap::Subcommand;
use serde::Serialize;

use super::annotation::{Called, Changes, Seen};
use super::{HowMuch, InOrg, InTenant};

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OrgCommand {
    /// Make an organization in a tenant
    Create {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        /// What to call it
        #[arg(long)]
        name: String,
    },
    /// List a tenant's organizations
    List {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        /// Only those that are called so
        #[arg(long)]
        name: Option<String>,
        /// Only those in this state: active or suspended
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        #[serde(flatten)]
        called: Called,
    },
    /// Show an organization
    View(InOrg),
    /// Say what your own systems call an organization, and what to keep with it
    Annotate {
        #[command(flatten)]
        #[serde(flatten)]
        org: InOrg,
        #[command(flatten)]
        #[serde(flatten)]
        changes: Changes,
        #[command(flatten)]
        #[serde(flatten)]
        seen: Seen,
    },
    /// Give an organization another name
    Rename {
        #[command(flatten)]
        #[serde(flatten)]
        org: InOrg,
        /// The new name
        #[arg(long)]
        name: String,
        #[command(flatten)]
        #[serde(flatten)]
        seen: Seen,
    },
    /// Refuse everything of an organization for now (403)
    Suspend(InOrg),
    /// Let a suspended organization in again
    Resume(InOrg),
    /// End an organization
    Delete(InOrg),
    /// End all sessions of an organization, and so all identity tokens made so far, other issuers' too
    RevokeTokens {
        #[command(flatten)]
        #[serde(flatten)]
        org: InOrg,
        #[command(flatten)]
        #[serde(flatten)]
        how_much: HowMuch,
    },
}
