//! Organizations within a tenant.

use std::collections::BTreeMap;

use claviger::directory::Annotated;
use claviger::id::OrgId;
use claviger_store::orgs::OrgView;
use claviger_store::tenant_store::TenantStore;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::annotations::{AnnotationChanges, Annotations, found, given};
use super::operation::{Call, operations};
use super::page::{self, Page};
use super::{input, parse, shown};
use crate::failure::Failure;

/// An organization to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// The tenant's id
    tenant: String,
    /// What to call it
    name: String,
}

/// Which organizations.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// The tenant's id
    tenant: String,
    /// Only the one that your own systems call so
    external_id: Option<String>,
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
    /// The tenant's id
    pub(super) tenant: String,
    /// The organization's id
    pub(super) org: String,
}

/// What to change of what others call an organization, and keep beside it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Annotate {
    /// The tenant's id
    tenant: String,
    /// The organization's id
    org: String,
    /// What your own systems call it; `null` takes it away
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    external_id: Option<Option<String>>,
    /// What to keep with it; `null` takes one away
    #[serde(default)]
    metadata: BTreeMap<String, Option<String>>,
}

/// An organization's new name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// The tenant's id
    tenant: String,
    /// The organization's id
    org: String,
    /// The new name
    name: String,
}

/// What to end of an organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RevokeTokens {
    /// The tenant's id
    tenant: String,
    /// The organization's id
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
    "org.create": POST "/v1/tenants/{tenant}/organizations" for Support = create(Create) -> OrgShown;
    /// List a tenant's organizations
    "org.list": GET "/v1/tenants/{tenant}/organizations" for Reader = list(List) -> Page<OrgShown>;
    /// Show an organization
    "org.view": GET "/v1/tenants/{tenant}/organizations/{org}" for Reader = view(InOrg) -> OrgShown;
    /// Say what your own systems call an organization, and what to keep with it
    "org.annotate": PATCH "/v1/tenants/{tenant}/organizations/{org}/annotations" for Support = annotate(Annotate) -> OrgShown;
    /// Give an organization another name
    "org.rename": POST "/v1/tenants/{tenant}/organizations/{org}/rename" for Support = rename(Rename) -> OrgShown;
    /// Refuse everything of an organization for now (403)
    "org.suspend": POST "/v1/tenants/{tenant}/organizations/{org}/suspend" for Support = suspend(InOrg) -> OrgShown;
    /// Let a suspended organization in again
    "org.resume": POST "/v1/tenants/{tenant}/organizations/{org}/resume" for Support = resume(InOrg) -> OrgShown;
    /// End an organization
    "org.delete": DELETE "/v1/tenants/{tenant}/organizations/{org}" for Owner = delete(InOrg) -> Deleted;
    /// End all sessions of an organization, and so all identity tokens made so far, other issuers' too
    "org.revoke-tokens": POST "/v1/tenants/{tenant}/organizations/{org}/revoke-tokens" for Support = revoke_tokens(RevokeTokens) -> Revoked;
}

fn one(org: &OrgView, annotations: Annotations) -> OrgShown {
    OrgShown {
        org_id: org.org.to_string(),
        name: org.name.clone(),
        state: format!("{:?}", org.state).to_lowercase(),
        created_at: shown(org.created_at),
        annotations,
    }
}

async fn shown_whole(store: &TenantStore, org: OrgId) -> Result<OrgShown, Failure> {
    let annotation = store.annotation(Annotated::Org(org)).await?;
    Ok(one(&store.org_view(org).await?, annotation.into()))
}

/// Reads an organization's id.
pub(super) fn id(text: &str) -> Result<OrgId, Failure> {
    parse(text, "org")
}

async fn create(call: &Call, input: Create) -> Result<OrgShown, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let made = store.org_create(&input.name).await?;
    shown_whole(&store, made.org).await
}

async fn list(call: &Call, input: List) -> Result<Page<OrgShown>, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let (after, limit) = (page::after(input.after.as_deref())?, page::limit(input.limit)?);
    if let Some(id) = input.external_id {
        let orgs = match found(store.annotated("organization", &id).await)? {
            Some(Annotated::Org(org)) => vec![shown_whole(&store, org).await?],
            _ => Vec::new(),
        };
        return Ok(Page::whole(orgs));
    }
    let orgs = store.org_page(after, limit).await?;
    let entities = orgs.iter().map(|org| Annotated::Org(org.org).entity()).collect();
    let mut annotations = store.annotations("organization", entities).await?;
    let mut of = |org: &OrgView| annotations.remove(&Annotated::Org(org.org).entity()).unwrap_or_default();
    let shown = orgs.iter().map(|org| one(org, of(org).into())).collect();
    Ok(Page::of(shown, limit, orgs.last().map(Into::into)))
}

async fn view(call: &Call, input: InOrg) -> Result<OrgShown, Failure> {
    shown_whole(&call.tenant(&input.tenant).await?, id(&input.org)?).await
}

async fn annotate(call: &Call, input: Annotate) -> Result<OrgShown, Failure> {
    let (store, org) = (call.tenant(&input.tenant).await?, id(&input.org)?);
    let changes = AnnotationChanges { external_id: input.external_id, metadata: input.metadata };
    store.annotate(Annotated::Org(org), changes.into()).await?;
    shown_whole(&store, org).await
}

async fn rename(call: &Call, input: Rename) -> Result<OrgShown, Failure> {
    let (store, org) = (call.tenant(&input.tenant).await?, id(&input.org)?);
    store.org_rename(org, &input.name).await?;
    shown_whole(&store, org).await
}

async fn suspend(call: &Call, input: InOrg) -> Result<OrgShown, Failure> {
    let (store, org) = (call.tenant(&input.tenant).await?, id(&input.org)?);
    store.org_suspend(org).await?;
    shown_whole(&store, org).await
}

async fn resume(call: &Call, input: InOrg) -> Result<OrgShown, Failure> {
    let (store, org) = (call.tenant(&input.tenant).await?, id(&input.org)?);
    store.org_resume(org).await?;
    shown_whole(&store, org).await
}

async fn delete(call: &Call, input: InOrg) -> Result<Deleted, Failure> {
    call.tenant(&input.tenant).await?.org_delete(id(&input.org)?).await?;
    Ok(Deleted { org_id: input.org, state: "deleted" })
}

async fn revoke_tokens(call: &Call, input: RevokeTokens) -> Result<Revoked, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let generation = store.org_revoke(id(&input.org)?, super::input::ends(input.credentials)).await?;
    Ok(Revoked { org_id: input.org, generation })
}
