//! `claviger org`.

use clap::Subcommand;
use claviger::directory::Annotated;
use claviger_store::orgs::OrgView;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::management::{Failure, Management, org};

use super::annotation::{Called, Changes, found, with};
use super::{HowMuch, InOrg, InTenant};

#[derive(Debug, Subcommand, Serialize, Deserialize)]
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

fn view(org: &OrgView) -> Value {
    json!({
        "org_id": org.org.to_string(),
        "name": org.name,
        "state": format!("{:?}", org.state).to_lowercase(),
    })
}

impl OrgCommand {
    pub(super) async fn run(self, management: &Management) -> Result<Value, Failure> {
        let open =
            |of: &InOrg| -> Result<_, Failure> { Ok((management.tenant(&of.tenant.tenant)?, org(&of.org)?)) };
        match self {
            Self::Create { tenant, name } => {
                Ok(view(&management.tenant(&tenant.tenant)?.org_create(&name).await?))
            }
            Self::List { tenant, called } => {
                let store = management.tenant(&tenant.tenant)?;
                let orgs = match called.external_id {
                    None => store.org_list().await?,
                    Some(id) => match found(store.annotated("organization", &id).await)? {
                        Some(Annotated::Org(org)) => vec![store.org_view(org).await?],
                        _ => Vec::new(),
                    },
                };
                let entities = orgs.iter().map(|org| Annotated::Org(org.org).entity()).collect();
                let annotations = store.annotations("organization", entities).await?;
                let of = |org: &OrgView| annotations.get(&Annotated::Org(org.org).entity()).cloned();
                let shown = orgs.iter().map(|org| with(view(org), &of(org).unwrap_or_default()));
                Ok(shown.collect::<Vec<_>>().into())
            }
            Self::View(of) => {
                let (store, id) = open(&of)?;
                let annotation = store.annotation(Annotated::Org(id)).await?;
                Ok(with(view(&store.org_view(id).await?), &annotation))
            }
            Self::Annotate { org: of, changes } => {
                let (store, id) = open(&of)?;
                let annotation = store.annotate(Annotated::Org(id), changes.update()?).await?;
                Ok(with(view(&store.org_view(id).await?), &annotation))
            }
            Self::Rename { org: of, name } => {
                let (store, id) = open(&of)?;
                store.org_rename(id, &name).await?;
                Ok(view(&store.org_view(id).await?))
            }
            Self::Suspend(of) => {
                let (store, id) = open(&of)?;
                store.org_suspend(id).await?;
                Ok(view(&store.org_view(id).await?))
            }
            Self::Resume(of) => {
                let (store, id) = open(&of)?;
                store.org_resume(id).await?;
                Ok(view(&store.org_view(id).await?))
            }
            Self::Delete(of) => {
                let (store, id) = open(&of)?;
                store.org_delete(id).await?;
                Ok(json!({ "org_id": of.org, "state": "deleted" }))
            }
            Self::RevokeTokens { org: of, how_much } => {
                let (store, id) = open(&of)?;
                let generation = store.org_revoke(id, how_much.ends()).await?;
                Ok(json!({ "org_id": of.org, "generation": generation }))
            }
        }
    }
}
