//! `claviger tenant`.

use clap::Subcommand;
use claviger::id::{PlanName, RealmName};
use claviger_store::sign_up::NewTenant;
use claviger_store::tenant_store::TenantStore;
use claviger_store::tenants::{TenantUpdate, TenantView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::management::{Failure, Management, parse, shown};

use super::annotation::{Called, Changes, with};
use super::{HowMuch, InTenant};

pub(super) const EXAMPLES: &str = "Examples:
  claviger tenant create --realm orders --name Acme --owner-email owner@acme.example
  claviger tenant list --realm orders
  claviger tenant update --tenant ID --plan Pro --require-identity-headers true
  claviger tenant annotate --tenant ID --external-id cus_4711 --metadata tier=gold
  claviger tenant list --realm orders --external-id cus_4711";

#[derive(Debug, Subcommand, Serialize, Deserialize)]
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
        #[arg(long, alias = "owner", value_name = "ADDRESS")]
        owner_email: String,
        /// Its plan; the first of the realm's API by default
        #[arg(long)]
        plan: Option<String>,
    },
    /// List the tenants of a realm
    List {
        /// The realm
        #[arg(long)]
        realm: String,
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

fn view(tenant: &TenantView) -> Value {
    json!({
        "tenant_id": tenant.tenant.to_string(),
        "name": tenant.name,
        "realm": tenant.realm.to_string(),
        "state": format!("{:?}", tenant.state).to_lowercase(),
        "plan": tenant.plan.to_string(),
        "requires_identity_headers": tenant.requires_identity_headers,
        "created_at": shown(tenant.created_at),
    })
}

/// The tenant with what is kept beside it.
async fn shown_whole(management: &Management, store: &TenantStore) -> Result<Value, Failure> {
    let tenant = store.tenant_view().await?;
    let annotations = management.operator().tenant_annotations(vec![tenant.tenant]).await?;
    Ok(with(view(&tenant), &annotations.into_values().next().unwrap_or_default()))
}

/// The realm of that name, if the store has it.
async fn known_realm(management: &Management, name: &str) -> Result<RealmName, Failure> {
    let realm: RealmName = parse(name, "--realm")?;
    let known = management.operator().realm_list().await?;
    if known.contains(&realm) {
        return Ok(realm);
    }
    Err(Failure::new(format!("there is no realm `{realm}`"))
        .hint(format!("the realms are {}", names(&known))))
}

/// The plan of that name, if the realm has it.
async fn known_plan(management: &Management, realm: &RealmName, name: &str) -> Result<PlanName, Failure> {
    let plan: PlanName = parse(name, "--plan")?;
    let known = management.operator().plan_list(realm).await?;
    if known.contains(&plan) {
        return Ok(plan);
    }
    Err(Failure::new(format!("the realm `{realm}` has no plan `{plan}`"))
        .hint(format!("its plans are {}; the settings of its APIs name them", names(&known))))
}

fn names(known: &[impl ToString]) -> String {
    known.iter().map(|name| format!("`{}`", name.to_string())).collect::<Vec<_>>().join(", ")
}

impl TenantCommand {
    pub(super) async fn run(self, management: &Management) -> Result<Value, Failure> {
        match self {
            Self::Create { realm, name, organization, owner_email, plan } => {
                let realm = parse(&realm, "--realm")?;
                let first = management.api_of_realm(&realm).and_then(|api| api.api.plans.first().cloned());
                let plan = match (plan, first) {
                    (Some(plan), _) => known_plan(management, &realm, &plan).await?,
                    (None, Some(first)) => first,
                    (None, None) => {
                        return Err(Failure::new(format!("no API of the settings is of realm `{realm}`"))
                            .hint("name a realm that an `[[api]]` has, or say `--plan`"));
                    }
                };
                let created = management
                    .operator()
                    .tenant_create(NewTenant {
                        realm,
                        organization: organization.unwrap_or_else(|| name.clone()),
                        name,
                        plan,
                        owner: parse(&owner_email, "--owner-email")?,

                        password_hash: None,
                    })
                    .await?;
                Ok(json!({
                    "tenant_id": created.tenant.to_string(),
                    "org_id": created.org.to_string(),
                    "account_id": created.account.to_string(),
                    "account_is_new": created.account_is_new,
                }))
            }
            Self::List { realm, called } => {
                let realm = known_realm(management, &realm).await?;
                let operator = management.operator();
                if let Some(id) = called.external_id {
                    let Some(tenant) = operator.tenant_called(&realm, &id).await? else {
                        return Ok(json!([]));
                    };
                    return Ok(json!([shown_whole(management, &operator.tenant(tenant)).await?]));
                }
                let (mut found, mut after): (Vec<Value>, Option<TenantView>) = (Vec::new(), None);
                loop {
                    let page = operator.tenant_list(&realm, after.as_ref().map(Into::into), 200).await?;
                    let ids = page.iter().map(|tenant| tenant.tenant).collect();
                    let annotations = operator.tenant_annotations(ids).await?;
                    let of = |tenant: &TenantView| annotations.get(&tenant.tenant.to_string()).cloned();
                    found.extend(
                        page.iter().map(|tenant| with(view(tenant), &of(tenant).unwrap_or_default())),
                    );
                    match page.into_iter().next_back() {
                        Some(last) => after = Some(last),
                        None => return Ok(found.into()),
                    }
                }
            }
            Self::View(tenant) => shown_whole(management, &management.tenant(&tenant.tenant)?).await,
            Self::Annotate { tenant, changes } => {
                let store = management.tenant(&tenant.tenant)?;
                management.operator().tenant_annotate(store.tenant(), changes.update()?).await?;
                shown_whole(management, &store).await
            }
            Self::Update { tenant, name, plan, require_identity_headers } => {
                let store = management.tenant(&tenant.tenant)?;
                let plan = match plan {
                    None => None,
                    Some(plan) => {
                        let realm = store.tenant_view().await?.realm;
                        Some(known_plan(management, &realm, &plan).await?)
                    }
                };
                let update = TenantUpdate { name, plan, requires_identity_headers: require_identity_headers };
                Ok(view(&store.tenant_update(update).await?))
            }
            Self::Suspend(tenant) => {
                let store = management.tenant(&tenant.tenant)?;
                store.tenant_suspend().await?;
                Ok(view(&store.tenant_view().await?))
            }
            Self::Resume(tenant) => {
                let store = management.tenant(&tenant.tenant)?;
                store.tenant_resume().await?;
                Ok(view(&store.tenant_view().await?))
            }
            Self::Delete(tenant) => {
                management.tenant(&tenant.tenant)?.tenant_delete().await?;
                Ok(json!({ "tenant_id": tenant.tenant, "state": "deleted" }))
            }
            Self::RevokeTokens { tenant, how_much } => {
                let generation = management.tenant(&tenant.tenant)?.tenant_revoke(how_much.ends()).await?;
                Ok(json!({ "tenant_id": tenant.tenant, "generation": generation }))
            }
        }
    }
}
