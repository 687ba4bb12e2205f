//! `claviger member`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::annotation::{Called, Changes, Seen};
use super::{HowMuch, InOrg, InTenant};

/// Which member.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Who {
    #[command(flatten)]
    #[serde(flatten)]
    org: InOrg,
    /// The member: an e-mail address, account id or external id
    #[arg(long = "email", alias = "member", value_name = "MEMBER")]
    member: String,
}

pub(super) const EXAMPLES: &str = "Examples:
  claviger member add --tenant ID --org ID --email ada@acme.example --role EDITOR
  claviger member role --tenant ID --org ID --email ada@acme.example --role VIEWER
  claviger member revoke-tokens --tenant ID --org ID --email ada@acme.example";

#[derive(Debug, Subcommand, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MemberCommand {
    /// Add a person to an organization; an account is made if there is none
    Add {
        #[command(flatten)]
        #[serde(flatten)]
        who: Who,
        /// The role there, one of those the settings of its API name
        #[arg(long)]
        role: String,
        /// Leave it to the person to accept, by the link in a mail where the API sends any; said again, it is mailed again
        #[arg(long)]
        invited: bool,
    },
    /// List an organization's members
    List {
        #[command(flatten)]
        #[serde(flatten)]
        org: InOrg,
        /// Only those with this role
        #[arg(long)]
        role: Option<String>,
        /// Only those in this state: invited, active or suspended
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        #[serde(flatten)]
        called: Called,
    },
    /// Show a member
    View(Who),
    /// Say what your own systems call a member, and what to keep with it
    Annotate {
        #[command(flatten)]
        #[serde(flatten)]
        who: Who,
        #[command(flatten)]
        #[serde(flatten)]
        changes: Changes,
        #[command(flatten)]
        #[serde(flatten)]
        seen: Seen,
    },
    /// Give a member another role
    Role {
        #[command(flatten)]
        #[serde(flatten)]
        who: Who,
        /// The new role
        #[arg(long)]
        role: String,
        #[command(flatten)]
        #[serde(flatten)]
        seen: Seen,
    },
    /// Refuse a member for now (403)
    Suspend(Who),
    /// Let an invited or suspended member in
    Resume(Who),
    /// Take a person out of an organization (401)
    Remove(Who),
    /// End all sessions of a member in this organization, and so all identity tokens made so far, other issuers' too
    RevokeTokens {
        #[command(flatten)]
        #[serde(flatten)]
        who: Who,
        #[command(flatten)]
        #[serde(flatten)]
        how_much: HowMuch,
        /// End what the person holds in every organization and tenant
        #[arg(long)]
        everywhere: bool,
    },
    /// Say who another issuer's subject is here
    Link {
        #[command(flatten)]
        #[serde(flatten)]
        who: Who,
        /// The issuer, as the settings of the API name it
        #[arg(long)]
        issuer: String,
        /// The `sub` of its tokens
        #[arg(long)]
        subject: String,
    },
    /// List who of other issuers a member is
    Links(Who),
    /// End a link: another issuer's subject is nobody here any more
    Unlink {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        /// The issuer
        #[arg(long)]
        issuer: String,
        /// The `sub` of its tokens
        #[arg(long)]
        subject: String,
    },
}
