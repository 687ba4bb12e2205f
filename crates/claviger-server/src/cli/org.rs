//! `claviger org`.

use clap::Subcommand;
use serde::Serialize;

use super::annotation::{Called, Changes};
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
    },
    /// Give an organization another name
    Rename {
        #[command(flatten)]
        #[serde(flatten)]
        org: InOrg,
        /// The new name
        #[arg(long)]
        name: String,
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
