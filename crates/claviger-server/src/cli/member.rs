//! `claviger member`.

use clap::{Args, Subcommand};
use claviger::directory::{Annotated, MemberState};
use claviger::id::{AccountId, OrgId};
use claviger_store::Email;
use claviger_store::members::MemberView;
use claviger_store::tenant_store::TenantStore;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::management::{Failure, Management, org, parse};

use super::annotation::{Called, Changes, found, with};
use super::{HowMuch, InOrg, InTenant};

/// Which member.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Who {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) org: InOrg,
    /// The member's e-mail address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: String,
}

pub(super) const EXAMPLES: &str = "Examples:
  claviger member add --tenant ID --org ID --email ada@acme.example --role EDITOR
  claviger member role --tenant ID --org ID --email ada@acme.example --role VIEWER
  claviger member revoke-tokens --tenant ID --org ID --email ada@acme.example";

#[derive(Debug, Subcommand, Serialize, Deserialize)]
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
        /// Leave it to the person to accept
        #[arg(long)]
        invited: bool,
    },
    /// List an organization's members
    List {
        #[command(flatten)]
        #[serde(flatten)]
        org: InOrg,
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
    },
    /// Give a member another role
    Role {
        #[command(flatten)]
        #[serde(flatten)]
        who: Who,
        /// The new role
        #[arg(long)]
        role: String,
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

fn view(member: &MemberView) -> Value {
    json!({
        "account_id": member.account.to_string(),
        "email": member.email,
        "role": member.role.to_string(),
        "state": format!("{:?}", member.state).to_lowercase(),
    })
}

/// The tenant's part of the store, the organization and the member's account.
pub(super) async fn find(
    management: &Management,
    who: &Who,
) -> Result<(TenantStore, OrgId, AccountId), Failure> {
    let store = management.tenant(&who.org.tenant.tenant)?;
    let org = org(&who.org.org)?;
    let email: Email = parse(&who.email, "--email")?;
    let members = store.member_list(org).await?;
    let member = members.iter().find(|member| member.email.eq_ignore_ascii_case(email.as_str()));
    let member =
        member.ok_or_else(|| Failure::new(format!("`{}` is no member of this organization", who.email)))?;
    let account = member.account;
    Ok((store, org, account))
}

impl MemberCommand {
    pub(super) async fn run(self, management: &Management) -> Result<Value, Failure> {
        match self {
            Self::Add { who, role, invited } => {
                let store = management.tenant(&who.org.tenant.tenant)?;
                let state = if invited { MemberState::Invited } else { MemberState::Active };
                let email = parse(&who.email, "--email")?;
                let role = management.known_role(&store.tenant_view().await?.realm, &role)?;
                Ok(view(&store.member_add(org(&who.org.org)?, &email, &role, state).await?))
            }
            Self::List { org: of, called } => {
                let store = management.tenant(&of.tenant.tenant)?;
                let org = org(&of.org)?;
                let members = match called.external_id {
                    None => store.member_list(org).await?,
                    Some(id) => match found(store.annotated("member", &id).await)? {
                        Some(Annotated::Member(its, account)) if its == org => {
                            vec![store.member_view(org, account).await?]
                        }
                        _ => Vec::new(),
                    },
                };
                let about = |member: &MemberView| Annotated::Member(org, member.account).entity();
                let annotations = store.annotations("member", members.iter().map(about).collect()).await?;
                let of = |member: &MemberView| annotations.get(&about(member)).cloned().unwrap_or_default();
                let shown = members.iter().map(|member| with(view(member), &of(member)));
                Ok(shown.collect::<Vec<_>>().into())
            }
            Self::View(who) => {
                let (store, org, account) = find(management, &who).await?;
                let annotation = store.annotation(Annotated::Member(org, account)).await?;
                Ok(with(view(&store.member_view(org, account).await?), &annotation))
            }
            Self::Annotate { who, changes } => {
                let (store, org, account) = find(management, &who).await?;
                let annotation = store.annotate(Annotated::Member(org, account), changes.update()?).await?;
                Ok(with(view(&store.member_view(org, account).await?), &annotation))
            }
            Self::Role { who, role } => {
                let (store, org, account) = find(management, &who).await?;
                let role = management.known_role(&store.tenant_view().await?.realm, &role)?;
                store.member_update_role(org, account, &role).await?;
                Ok(view(&store.member_view(org, account).await?))
            }
            Self::Suspend(who) => {
                let (store, org, account) = find(management, &who).await?;
                store.member_suspend(org, account).await?;
                Ok(view(&store.member_view(org, account).await?))
            }
            Self::Resume(who) => {
                let (store, org, account) = find(management, &who).await?;
                store.member_resume(org, account).await?;
                Ok(view(&store.member_view(org, account).await?))
            }
            Self::Remove(who) => {
                let (store, org, account) = find(management, &who).await?;
                store.member_remove(org, account).await?;
                Ok(json!({ "account_id": account.to_string(), "state": "removed" }))
            }
            Self::RevokeTokens { who, how_much, everywhere } => {
                let (store, org, account) = find(management, &who).await?;
                let generation = if everywhere {
                    management.operator().accounts().account_revoke(account, how_much.ends()).await?
                } else {
                    store.member_revoke(org, account, how_much.ends()).await?
                };
                Ok(json!({ "account_id": account.to_string(), "generation": generation }))
            }
            Self::Link { who, issuer, subject } => {
                let (store, _, account) = find(management, &who).await?;
                management.known_issuer(&store.tenant_view().await?.realm, &issuer)?;
                store.foreign_identity_link(&issuer, &subject, account).await?;
                Ok(json!({ "account_id": account.to_string(), "issuer": issuer, "subject": subject }))
            }
            Self::Unlink { tenant, issuer, subject } => {
                management.tenant(&tenant.tenant)?.foreign_identity_unlink(&issuer, &subject).await?;
                Ok(json!({ "issuer": issuer, "subject": subject, "state": "unlinked" }))
            }
        }
    }
}
