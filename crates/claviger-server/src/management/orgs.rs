//! Organizations within a tenant.

use std::collections::BTreeMap;

use claviger::directory::Annotated;
use claviger::id::OrgId;
use claviger_store::members::BEYOND;
use claviger_store::orgs::OrgView;
use claviger_store::tenant_store::TenantStore;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::annotations::{AnnotationChanges, Annotations, found, given, looked_for};
use super::operation::{Call, operations};
use super::page::{self, Page};
use super::tenants::lower_case;
use super::{input, shown};
use crate::failure::{Failure, FailureKind};

/// An organization to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// The tenant: its id, external id or name
    tenant: String,
    /// What to call it
    name: String,
}

/// Which organizations.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// The tenant: its id, external id or name
    tenant: String,
    /// Only the one that your own systems call so
    external_id: Option<String>,
    /// Only those that are called so
    name: Option<String>,
    /// Only those in this state: `active` or `suspended`
    state: Option<String>,
    /// Where to read on: the `next` of the page before
    after: Option<String>,
    /// How many at most, from 1 to 500; 100 by default
    #[serde(default, deserialize_with = "input::number")]
    limit: Option<u16>,
}

/// Which organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InOrg {
    /// The tenant: its id, external id or name
    pub(super) tenant: String,
    /// The organization: its id, external id or name
    pub(super) org: String,
}

/// What to change of what others call an organization, and keep beside it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Annotate {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// What your own systems call it; `null` takes it away
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    external_id: Option<Option<String>>,
    /// What to keep with it; `null` takes one away
    #[serde(default)]
    metadata: BTreeMap<String, Option<String>>,
    /// Only if this is still its `version` (`If-Match`)
    if_version: Option<String>,
}

/// An organization's new name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// The new name
    name: String,
    /// Only if this is still its `version` (`If-Match`)
    if_version: Option<String>,
}

/// What to end of an organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RevokeTokens {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// End API keys and user tokens too; new ones can be made at once
    #[serde(default)]
    credentials: bool,
}

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
struct OrgShown {
    /// Its id.
    org_id: String,
    /// What it is called.
    name: String,
    /// `active`, `suspended` or `deleted`.
    state: String,
    /// When it was made.
    created_at: String,
    #[serde(flatten)]
    annotations: Annotations,
    /// What to give as `if_version` or `If-Match` to change only what was seen; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// An organization that is no more.
#[derive(Debug, Serialize, ToSchema)]
struct Deleted {
    /// Its id.
    org_id: String,
    /// `deleted`.
    state: &'static str,
}

/// What was ended.
#[derive(Debug, Serialize, ToSchema)]
struct Revoked {
    /// Whose.
    org_id: String,
    /// What is made from now on is made under this number.
    generation: i64,
}

operations! {
    /// Make an organization in a tenant
    "org.create": POST "/v1/tenants/{tenant}/organizations" for Support and TenantOwner = create(Create) -> OrgShown;
    /// List a tenant's organizations
    "org.list": GET "/v1/tenants/{tenant}/organizations" for Reader and Admin = list(List) -> Page<OrgShown>;
    /// Show an organization
    "org.view": GET "/v1/tenants/{tenant}/organizations/{org}" for Reader and Admin = view(InOrg) -> OrgShown;
    /// Say what your own systems call an organization, and what to keep with it
    "org.annotate": PATCH "/v1/tenants/{tenant}/organizations/{org}/annotations" for Support = annotate(Annotate) -> OrgShown;
    /// Give an organization another name
    "org.rename": POST "/v1/tenants/{tenant}/organizations/{org}/rename" for Support and Admin = rename(Rename) -> OrgShown;
    /// Refuse everything of an organization for now (403)
    "org.suspend": POST "/v1/tenants/{tenant}/organizations/{org}/suspend" for Support and TenantOwner = suspend(InOrg) -> OrgShown;
    /// Let a suspended organization in again
    "org.resume": POST "/v1/tenants/{tenant}/organizations/{org}/resume" for Support and TenantOwner = resume(InOrg) -> OrgShown;
    /// End an organization
    "org.delete": DELETE "/v1/tenants/{tenant}/organizations/{org}" for Owner and TenantOwner = delete(InOrg) -> Deleted;
    /// End all sessions of an organization, and so all identity tokens made so far, other issuers' too
    "org.revoke-tokens": POST "/v1/tenants/{tenant}/organizations/{org}/revoke-tokens" for Support and Admin = revoke_tokens(RevokeTokens) -> Revoked;
}

fn one(org: &OrgView, annotations: Annotations) -> OrgShown {
    OrgShown {
        org_id: org.org.to_string(),
        name: org.name.clone(),
        state: lower_case(org.state),
        created_at: shown(org.created_at),
        annotations,
        version: None,
    }
}

async fn shown_whole(store: &TenantStore, org: OrgId) -> Result<OrgShown, Failure> {
    let version = store.version(Annotated::Org(org)).await?;
    let annotation = store.annotation(Annotated::Org(org)).await?;
    let shown = one(&store.org_view(org).await?, annotation.into());
    Ok(OrgShown { version: Some(version.to_string()), ..shown })
}

/// The tenant's part of the store, and the organization.
pub(super) async fn open(call: &Call, tenant: &str, org: &str) -> Result<(TenantStore, OrgId), Failure> {
    let store = call.tenant(tenant).await?;
    let org = call.org(&store, org).await?;
    Ok((store, org))
}

async fn create(call: &Call, input: Create) -> Result<OrgShown, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let made = match call.caller.person() {
        None => store.org_create(&input.name).await?,
        // Whoever makes one as a person is its first member.
        Some(person) => store.org_create_with(&input.name, person.account, &person.role).await?,
    };
    shown_whole(&store, made.org).await
}

async fn list(call: &Call, input: List) -> Result<Page<OrgShown>, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let (after, limit) = (page::after(input.after.as_deref())?, page::limit(input.limit)?);
    looked_for(call, input.external_id.as_deref())?;
    if let Some(id) = input.external_id {
        let orgs = match found(store.annotated("organization", &id).await)? {
            Some(Annotated::Org(org)) if call.caller.reaches_org(org) => {
                vec![shown_whole(&store, org).await?]
            }
            _ => Vec::new(),
        };
        return Ok(Page::whole(orgs));
    }
    let List { name, state, .. } = input;
    let state = input::one_of("state", state.as_deref(), &["active", "suspended"])?;
    let is_wanted = |org: &OrgView| {
        call.caller.reaches_org(org.org)
            && name.as_ref().is_none_or(|name| org.name == *name)
            && state.is_none_or(|state| lower_case(org.state) == state)
    };
    let is_filtered = name.is_some() || state.is_some() || call.caller.bound_to().is_some();
    let read = |after, limit| store.org_page(after, limit);
    let (orgs, next) = page::wanted(after, limit, is_filtered.then_some(is_wanted), read).await?;
    let entities = orgs.iter().map(|org| Annotated::Org(org.org).entity()).collect();
    let mut annotations = store.annotations("organization", entities).await?;
    let mut of = |org: &OrgView| annotations.remove(&Annotated::Org(org.org).entity()).unwrap_or_default();
    Ok(Page::going_on(orgs.iter().map(|org| one(org, of(org).into())).collect(), next))
}

async fn view(call: &Call, input: InOrg) -> Result<OrgShown, Failure> {
    let (store, org) = open(call, &input.tenant, &input.org).await?;
    shown_whole(&store, org).await
}

async fn annotate(call: &Call, input: Annotate) -> Result<OrgShown, Failure> {
    let (store, org) = open(call, &input.tenant, &input.org).await?;
    let changes = AnnotationChanges { external_id: input.external_id, metadata: input.metadata };
    let (about, since) = (Annotated::Org(org), input::version(input.if_version.as_deref())?);
    store.clone().unless_edited(about, since).annotate(about, changes.into()).await?;
    shown_whole(&store, org).await
}

async fn rename(call: &Call, input: Rename) -> Result<OrgShown, Failure> {
    let (store, org) = open(call, &input.tenant, &input.org).await?;
    let since = input::version(input.if_version.as_deref())?;
    store.clone().unless_edited(Annotated::Org(org), since).org_rename(org, &input.name).await?;
    shown_whole(&store, org).await
}

async fn suspend(call: &Call, input: InOrg) -> Result<OrgShown, Failure> {
    let (store, org) = open(call, &input.tenant, &input.org).await?;
    store.org_suspend(org).await?;
    shown_whole(&store, org).await
}

async fn resume(call: &Call, input: InOrg) -> Result<OrgShown, Failure> {
    let (store, org) = open(call, &input.tenant, &input.org).await?;
    store.org_resume(org).await?;
    shown_whole(&store, org).await
}

async fn delete(call: &Call, input: InOrg) -> Result<Deleted, Failure> {
    let (store, org) = open(call, &input.tenant, &input.org).await?;
    store.org_delete(org).await?;
    Ok(Deleted { org_id: org.to_string(), state: "deleted" })
}

async fn revoke_tokens(call: &Call, input: RevokeTokens) -> Result<Revoked, Failure> {
    let (store, org) = open(call, &input.tenant, &input.org).await?;
    if let Some(person) = call.caller.person() {
        let realm = store.tenant_view().await?.realm;
        if call.management.roles_within(&realm, &person.role).is_some() {
            return Err(Failure::of(FailureKind::Forbidden, BEYOND));
        }
    }
    let generation = store.org_revoke(org, super::input::ends(input.credentials)).await?;
    Ok(Revoked { org_id: org.to_string(), generation })
}
