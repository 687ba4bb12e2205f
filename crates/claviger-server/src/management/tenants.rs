//! Tenants.

use std::collections::BTreeMap;

use claviger::directory::Annotated;
use claviger::id::RealmName;
use claviger_store::sign_up::{NewTenant, UNPROVEN_OWNER};
use claviger_store::tenant_store::TenantStore;
use claviger_store::tenants::{TenantUpdate, TenantView};
use claviger_store::{Email, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::annotations::{AnnotationChanges, Annotations, given};
use super::operation::{Call, operations};
use super::page::{self, Page};
use super::realms::{known_plan, known_realm};
use super::{input, parse, shown};
use crate::failure::{Failure, FailureKind};

/// A tenant to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// The realm, as the settings of its API name it
    realm: String,
    /// What to call it
    name: String,
    /// What to call its first organization; the same by default
    organization: Option<String>,
    /// Its owner's e-mail address; an account is made if there is none
    owner_email: Option<String>,
    /// Instead of the address: the account's id or address, even if whoever made the account has not proved to have the address
    owner: Option<String>,
    /// Its plan; the first of the realm's API by default
    plan: Option<String>,
}

/// What was made.
#[derive(Debug, Serialize, ToSchema)]
struct Created {
    /// The tenant.
    tenant_id: String,
    /// Its first organization.
    org_id: String,
    /// Its owner's account.
    account_id: String,
    /// Whether the account was made too.
    account_is_new: bool,
}

/// Which tenants.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// The realm
    realm: String,
    /// Only the one that your own systems call so
    external_id: Option<String>,
    /// Only those that are called so
    name: Option<String>,
    /// Only those in this state: `active`, `suspended` or `deleted`
    state: Option<String>,
    /// Only those on this plan
    plan: Option<String>,
    /// Where to read on: the `next` of the page before
    after: Option<String>,
    /// How many at most, from 1 to 500; 100 by default
    #[serde(default, deserialize_with = "input::number")]
    limit: Option<u16>,
}

/// Which tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InTenant {
    /// The tenant: its id, external id or name
    pub(super) tenant: String,
}

/// What to change of a tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    /// The tenant: its id, external id or name
    tenant: String,
    /// Its new name
    name: Option<String>,
    /// Its new plan
    plan: Option<String>,
    /// Whether every request has to carry the tenant and organization headers
    require_identity_headers: Option<bool>,
    /// Whether people come in by signing in there, and not by switching from another tenant
    require_direct_sign_in: Option<bool>,
    /// Whose it is from now on: the id or address of an account that is a member; takes the role owner
    owner: Option<String>,
    /// Only if this is still its `version` (`If-Match`)
    if_version: Option<String>,
}

/// What to change of what others call a tenant, and keep beside it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Annotate {
    /// The tenant: its id, external id or name
    tenant: String,
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

/// What to end of a tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RevokeTokens {
    /// The tenant: its id, external id or name
    tenant: String,
    /// End API keys and user tokens too; new ones can be made at once
    #[serde(default)]
    credentials: bool,
}

/// A customer: an isolated workspace.
#[derive(Debug, Serialize, ToSchema)]
struct TenantShown {
    /// Its id.
    tenant_id: String,
    /// What it is called.
    name: String,
    /// The realm it is of.
    realm: String,
    /// `active`, `suspended` or `deleted`.
    state: String,
    /// Its plan.
    plan: String,
    /// Whether every request has to carry the tenant and organization headers.
    requires_identity_headers: bool,
    /// Whether people come in by signing in there, and not by switching from another tenant.
    requires_direct_sign_in: bool,
    /// The account whose it is, and who may do what is about all of it; absent if nobody has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<String>,
    /// When it was made.
    created_at: String,
    #[serde(flatten)]
    annotations: Annotations,
    /// What to give as `if_version` or `If-Match` to change only what was seen; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// A tenant that is no more.
#[derive(Debug, Serialize, ToSchema)]
struct Deleted {
    /// Its id.
    tenant_id: String,
    /// `deleted`.
    state: &'static str,
}

/// What was ended.
#[derive(Debug, Serialize, ToSchema)]
struct Revoked {
    /// Whose.
    tenant_id: String,
    /// What is made from now on is made under this number.
    generation: i64,
}

operations! {
    /// Make a tenant with its first organization, and its owner an ADMIN there
    "tenant.create": POST "/v1/tenants" for Owner = create(Create) -> Created;
    /// List the tenants of a realm
    "tenant.list": GET "/v1/tenants" for Reader = list(List) -> Page<TenantShown>;
    /// Show a tenant
    "tenant.view": GET "/v1/tenants/{tenant}" for Reader and Admin = view(InTenant) -> TenantShown;
    /// Change a tenant's name, plan, or whether it demands the identity headers
    "tenant.update": PATCH "/v1/tenants/{tenant}" for Support = update(Update) -> TenantShown;
    /// Say what your own systems call a tenant, and what to keep with it
    "tenant.annotate": PATCH "/v1/tenants/{tenant}/annotations" for Support = annotate(Annotate) -> TenantShown;
    /// Refuse everything of a tenant for now (403)
    "tenant.suspend": POST "/v1/tenants/{tenant}/suspend" for Support = suspend(InTenant) -> TenantShown;
    /// Let a suspended tenant in again
    "tenant.resume": POST "/v1/tenants/{tenant}/resume" for Support = resume(InTenant) -> TenantShown;
    /// End a tenant: its credentials are unknown from now on (401)
    "tenant.delete": DELETE "/v1/tenants/{tenant}" for Owner = delete(InTenant) -> Deleted;
    /// End all sessions of a tenant, and so all identity tokens made so far, other issuers' too
    "tenant.revoke-tokens": POST "/v1/tenants/{tenant}/revoke-tokens" for Support = revoke_tokens(RevokeTokens) -> Revoked;
}

/// What one of few is called: a state, or what a limit counts by.
pub(super) fn lower_case(word: impl std::fmt::Debug) -> String {
    format!("{word:?}").to_lowercase()
}

fn one(tenant: &TenantView, annotations: Annotations) -> TenantShown {
    TenantShown {
        tenant_id: tenant.tenant.to_string(),
        name: tenant.name.clone(),
        realm: tenant.realm.to_string(),
        state: lower_case(tenant.state),
        plan: tenant.plan.to_string(),
        requires_identity_headers: tenant.requires_identity_headers,
        requires_direct_sign_in: tenant.requires_direct_sign_in,
        owner_id: tenant.owner.map(|owner| owner.to_string()),
        created_at: shown(tenant.created_at),
        annotations,
        version: None,
    }
}

/// The tenants with what is kept beside them.
async fn whole(call: &Call, tenants: &[TenantView]) -> Result<Vec<TenantShown>, Failure> {
    let ids = tenants.iter().map(|tenant| tenant.tenant).collect();
    let mut annotations = call.operator().tenant_annotations(ids).await?;
    let mut of = |tenant: &TenantView| annotations.remove(&tenant.tenant.to_string()).unwrap_or_default();
    Ok(tenants.iter().map(|tenant| one(tenant, of(tenant).into())).collect())
}

async fn shown_whole(call: &Call, store: &TenantStore) -> Result<TenantShown, Failure> {
    let version = store.version(Annotated::Tenant(store.tenant())).await?;
    let tenant = store.tenant_view().await?;
    let annotations = call.operator().tenant_annotations(vec![tenant.tenant]).await?;
    let shown = one(&tenant, annotations.into_values().next().unwrap_or_default().into());
    Ok(TenantShown { version: Some(version.to_string()), ..shown })
}

async fn create(call: &Call, input: Create) -> Result<Created, Failure> {
    let realm: RealmName = parse(&input.realm, "realm")?;
    call.caller.reaches_realm(&realm)?;
    let first = call.management.api_of_realm(&realm).and_then(|api| api.api.plans.first().cloned());
    let plan = match (input.plan, first) {
        (Some(plan), _) => known_plan(call, &realm, &plan).await?,
        (None, Some(first)) => first,
        (None, None) => {
            return Err(Failure::new(format!("no API of the settings is of realm `{realm}`"))
                .hint("name a realm that an `[[api]]` has, or say `--plan`"));
        }
    };
    let unproven_owner = input.owner.is_some();
    let owner: Email = match (&input.owner_email, &input.owner) {
        (Some(address), None) => parse(address, "owner_email")?,
        (None, Some(address)) if address.contains('@') => parse(address, "owner")?,
        (None, Some(account)) => {
            let view = call.operator().accounts().account_view(call.account(account).await?).await?;
            if view.realm != realm {
                return Err(StoreError::NotFound { what: "account" }.into());
            }
            parse(&view.email, "owner")?
        }
        _ => return Err(Failure::new("say whose it is by `owner_email` or by `owner`, and not by both")),
    };
    let new = NewTenant {
        realm,
        organization: input.organization.unwrap_or_else(|| input.name.clone()),
        name: input.name,
        plan,
        owner,
        password_hash: None,
        unproven_owner,
    };
    let created = call.operator().tenant_create(new).await.map_err(|error| match error {
        StoreError::Refused { why } if why == UNPROVEN_OWNER => Failure::of(FailureKind::Conflict, why)
            .hint("if that person is meant, name them by `owner` (`--owner`) instead"),
        error => error.into(),
    })?;
    Ok(Created {
        tenant_id: created.tenant.to_string(),
        org_id: created.org.to_string(),
        account_id: created.account.to_string(),
        account_is_new: created.account_is_new,
    })
}

async fn list(call: &Call, input: List) -> Result<Page<TenantShown>, Failure> {
    let realm = known_realm(call, &input.realm).await?;
    let (after, limit) = (page::after(input.after.as_deref())?, page::limit(input.limit)?);
    let operator = call.operator();
    if let Some(id) = input.external_id {
        let Some(tenant) = operator.tenant_called(&realm, &id).await? else {
            return Ok(Page::whole(Vec::new()));
        };
        return Ok(Page::whole(vec![shown_whole(call, &operator.tenant(tenant)).await?]));
    }
    let List { name, state, plan, .. } = input;
    let state = input::one_of("state", state.as_deref(), &["active", "suspended", "deleted"])?;
    let is_filtered = name.is_some() || state.is_some() || plan.is_some();
    let is_wanted = |tenant: &TenantView| {
        name.as_ref().is_none_or(|name| tenant.name == *name)
            && state.is_none_or(|state| lower_case(tenant.state) == state)
            && plan.as_ref().is_none_or(|plan| tenant.plan.as_str() == plan)
    };
    let read = |after, limit| operator.tenant_list(&realm, after, limit);
    let (tenants, next) = page::wanted(after, limit, is_filtered.then_some(is_wanted), read).await?;
    Ok(Page::going_on(whole(call, &tenants).await?, next))
}

async fn view(call: &Call, input: InTenant) -> Result<TenantShown, Failure> {
    shown_whole(call, &call.tenant(&input.tenant).await?).await
}

async fn update(call: &Call, input: Update) -> Result<TenantShown, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let plan = match input.plan {
        None => None,
        Some(plan) => Some(known_plan(call, &store.tenant_view().await?.realm, &plan).await?),
    };
    let requires_identity_headers = input.require_identity_headers;
    let since = input::version(input.if_version.as_deref())?;
    let held = store.clone().unless_edited(Annotated::Tenant(store.tenant()), since);
    let requires_direct_sign_in = input.require_direct_sign_in;
    let owner = match input.owner {
        None => None,
        Some(owner) => {
            // Whose a tenant is decides what people may do in it.
            call.caller.may(super::Role::Owner)?;
            Some(call.account(&owner).await?)
        }
    };
    let update =
        TenantUpdate { name: input.name, plan, requires_identity_headers, requires_direct_sign_in, owner };
    held.tenant_update(update).await?;
    shown_whole(call, &store).await
}

async fn annotate(call: &Call, input: Annotate) -> Result<TenantShown, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let changes = AnnotationChanges { external_id: input.external_id, metadata: input.metadata };
    let operator =
        call.operator().unless_edited(store.tenant(), input::version(input.if_version.as_deref())?);
    operator.tenant_annotate(store.tenant(), changes.into()).await?;
    shown_whole(call, &store).await
}

async fn suspend(call: &Call, input: InTenant) -> Result<TenantShown, Failure> {
    let store = call.tenant(&input.tenant).await?;
    store.tenant_suspend().await?;
    shown_whole(call, &store).await
}

async fn resume(call: &Call, input: InTenant) -> Result<TenantShown, Failure> {
    let store = call.tenant(&input.tenant).await?;
    store.tenant_resume().await?;
    shown_whole(call, &store).await
}

async fn delete(call: &Call, input: InTenant) -> Result<Deleted, Failure> {
    let store = call.tenant(&input.tenant).await?;
    store.tenant_delete().await?;
    Ok(Deleted { tenant_id: store.tenant().to_string(), state: "deleted" })
}

async fn revoke_tokens(call: &Call, input: RevokeTokens) -> Result<Revoked, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let generation = store.tenant_revoke(super::input::ends(input.credentials)).await?;
    Ok(Revoked { tenant_id: store.tenant().to_string(), generation })
}
