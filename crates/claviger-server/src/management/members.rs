//! People in organizations, their roles, and who they are to other issuers.

use std::collections::BTreeMap;

use claviger::directory::{Annotated, MemberState};
use claviger::grants::{Access, Grants};
use claviger::id::{AccountId, OrgId, RoleName};
use claviger_store::foreign_identities::LinkView;
use claviger_store::members::{BEYOND, Managed, Manager, MemberView, NewRole as ToRole};
use claviger_store::tenant_store::TenantStore;
use claviger_store::{Email, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::annotations::{AnnotationChanges, Annotations, found, given, looked_for};
use super::caller::Person;
use super::operation::{Call, operations};
use super::page::{self, Page};
use super::tenants::lower_case;
use super::{Management, input, letters, orgs, parse, people, shown};
use crate::failure::{Failure, FailureKind};

/// Somebody to add to an organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// The person's e-mail address
    member: String,
    /// The role there, one of those the settings of its API name
    role: String,
    /// Leave it to the person to accept, by the link in a mail where the API sends any; said again, it is mailed again
    #[serde(default)]
    invited: bool,
}

/// Which members.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// Only the one that your own systems call so
    external_id: Option<String>,
    /// Only those with this role
    role: Option<String>,
    /// Only those in this state: `invited`, `active` or `suspended`
    state: Option<String>,
    /// Where to read on: the `next` of the page before
    after: Option<String>,
    /// How many at most, from 1 to 500; 100 by default
    #[serde(default, deserialize_with = "input::number")]
    limit: Option<u16>,
}

/// Which member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Who {
    /// The tenant: its id, external id or name
    pub(super) tenant: String,
    /// The organization: its id, external id or name
    pub(super) org: String,
    /// The member: an e-mail address, account id or external id
    pub(super) member: String,
}

/// What to change of what others call a member, and keep beside them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Annotate {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// The member: an e-mail address, account id or external id
    member: String,
    /// What your own systems call them; `null` takes it away
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    external_id: Option<Option<String>>,
    /// What to keep with them; `null` takes one away
    #[serde(default)]
    metadata: BTreeMap<String, Option<String>>,
    /// Only if this is still their `version` (`If-Match`)
    if_version: Option<String>,
}

/// A member's new role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRole {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// The member: an e-mail address, account id or external id
    member: String,
    /// The new role
    role: String,
    /// Only if this is still their `version` (`If-Match`)
    if_version: Option<String>,
}

/// What to end of a member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RevokeTokens {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// The member: an e-mail address, account id or external id
    member: String,
    /// End API keys and user tokens too; new ones can be made at once
    #[serde(default)]
    credentials: bool,
    /// End what the person holds in every organization and tenant of the realm
    #[serde(default)]
    everywhere: bool,
}

/// Who another issuer's subject is here.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Link {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// The member: an e-mail address, account id or external id
    member: String,
    /// The issuer, as the settings of the API name it
    issuer: String,
    /// The `sub` of its tokens
    subject: String,
}

/// Another issuer's subject.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Unlink {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The issuer
    issuer: String,
    /// The `sub` of its tokens
    subject: String,
}

/// A member of an organization.
#[derive(Debug, Serialize, ToSchema)]
struct MemberShown {
    /// The person's account.
    account_id: String,
    /// Their e-mail address.
    email: String,
    /// Their role here.
    role: String,
    /// `invited`, `active` or `suspended`.
    state: String,
    #[serde(flatten)]
    annotations: Annotations,
    /// What to give as `if_version` or `If-Match` to change only what was seen; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// Somebody who is no member any more.
#[derive(Debug, Serialize, ToSchema)]
struct Removed {
    /// The person's account.
    account_id: String,
    /// `removed`.
    state: &'static str,
}

/// What was ended.
#[derive(Debug, Serialize, ToSchema)]
struct Revoked {
    /// Whose.
    account_id: String,
    /// What is made from now on is made under this number.
    generation: i64,
}

/// Who another issuer's subject is.
#[derive(Debug, Serialize, ToSchema)]
struct Linked {
    /// The person's account.
    account_id: String,
    /// The issuer.
    issuer: String,
    /// Its subject.
    subject: String,
}

/// Another issuer's subject that stands for a member.
#[derive(Debug, Serialize, ToSchema)]
struct LinkShown {
    /// The issuer.
    issuer: String,
    /// Its subject.
    subject: String,
    /// Since when it stands for the member.
    created_at: String,
}

/// A subject that is nobody here any more.
#[derive(Debug, Serialize, ToSchema)]
struct Unlinked {
    /// The issuer.
    issuer: String,
    /// Its subject.
    subject: String,
    /// `unlinked`.
    state: &'static str,
}

operations! {
    /// Add a person to an organization; an account is made if there is none
    "member.add": POST "/v1/tenants/{tenant}/organizations/{org}/members" for Owner and Admin = add(Add) -> MemberShown;
    /// List an organization's members
    "member.list": GET "/v1/tenants/{tenant}/organizations/{org}/members" for Reader and Admin = list(List) -> Page<MemberShown>;
    /// Show a member
    "member.view": GET "/v1/tenants/{tenant}/organizations/{org}/members/{member}" for Reader and Admin = view(Who) -> MemberShown;
    /// Say what your own systems call a member, and what to keep with it
    "member.annotate": PATCH "/v1/tenants/{tenant}/organizations/{org}/members/{member}/annotations" for Support = annotate(Annotate) -> MemberShown;
    /// Give a member another role
    "member.role": POST "/v1/tenants/{tenant}/organizations/{org}/members/{member}/role" for Owner and Admin = role(NewRole) -> MemberShown;
    /// Refuse a member for now (403)
    "member.suspend": POST "/v1/tenants/{tenant}/organizations/{org}/members/{member}/suspend" for Support and Admin = suspend(Who) -> MemberShown;
    /// Let a suspended member in again, or an invited one, which takes the role owner
    "member.resume": POST "/v1/tenants/{tenant}/organizations/{org}/members/{member}/resume" for Support and Admin = resume(Who) -> MemberShown;
    /// Take a person out of an organization (401)
    "member.remove": DELETE "/v1/tenants/{tenant}/organizations/{org}/members/{member}" for Support and Admin = remove(Who) -> Removed;
    /// End all sessions of a member in this organization, and so all identity tokens made so far, other issuers' too
    "member.revoke-tokens": POST "/v1/tenants/{tenant}/organizations/{org}/members/{member}/revoke-tokens" for Support and Admin = revoke_tokens(RevokeTokens) -> Revoked;
    /// Say who another issuer's subject is here
    "member.link": POST "/v1/tenants/{tenant}/organizations/{org}/members/{member}/links" for Owner = link(Link) -> Linked;
    /// List who of other issuers a member is
    "member.links": GET "/v1/tenants/{tenant}/organizations/{org}/members/{member}/links" for Reader = links(Who) -> Page<LinkShown>;
    /// End a link: another issuer's subject is nobody here any more
    "member.unlink": DELETE "/v1/tenants/{tenant}/links" for Support = unlink(Unlink) -> Unlinked;
}

fn one(member: &MemberView, annotations: Annotations) -> MemberShown {
    MemberShown {
        account_id: member.account.to_string(),
        email: member.email.clone(),
        role: member.role.to_string(),
        state: lower_case(member.state),
        annotations,
        version: None,
    }
}

async fn shown_whole(store: &TenantStore, org: OrgId, account: AccountId) -> Result<MemberShown, Failure> {
    let version = store.version(Annotated::Member(org, account)).await?;
    let annotation = store.annotation(Annotated::Member(org, account)).await?;
    let shown = one(&store.member_view(org, account).await?, annotation.into());
    Ok(MemberShown { version: Some(version.to_string()), ..shown })
}

/// The tenant's part of the store, the organization and the member's account.
pub(super) async fn find(call: &Call, who: &Who) -> Result<(TenantStore, OrgId, AccountId), Failure> {
    let (store, org) = orgs::open(call, &who.tenant, &who.org).await?;
    let account = call.member(&store, org, &who.member).await?;
    // Who is gone is nobody here: what becomes of them is not to be seen by whoever once asked them in.
    if call.caller.person().is_some() && store.member_view(org, account).await?.state == MemberState::Removed
    {
        return Err(StoreError::NotFound { what: "member" }.into());
    }
    Ok((store, org, account))
}

async fn add(call: &Call, input: Add) -> Result<MemberShown, Failure> {
    let (store, org) = orgs::open(call, &input.tenant, &input.org).await?;
    let email = parse(&input.member, "member")?;
    let realm = store.tenant_view().await?.realm;
    let role = call.management.known_role(&realm, &input.role)?;
    // Whoever is no operator asks people in, and lets nobody in.
    let (is_invited, over) = match call.caller.person() {
        None => (input.invited, None),
        Some(person) => {
            let over = call.management.roles_within(&realm, &person.role);
            if over.as_ref().is_some_and(|over| !over.contains(&role)) {
                return Err(beyond());
            }
            let accounts = call.management.store.accounts();
            let block = call.caller.client().block().to_string();
            let counted = accounts.inviting(store.tenant(), &email, &block);
            people::count(&call.management, &accounts, counted).await?;
            (true, over)
        }
    };
    let inviting = Inviting { org, email: &email, role: &role, over };
    let member = match is_invited {
        true => invite(&call.management, &store, inviting).await.map_err(managed)?,
        false => match store.member_add(org, &email, &role, MemberState::Active).await? {
            // Nobody knows whose address that is, and so it is asked.
            member if member.state == MemberState::Invited => {
                invite(&call.management, &store, inviting).await?
            }
            member => member,
        },
    };
    let shown = shown_whole(&store, org, member.account).await?;
    // As it was given: how its owner spells it would say that there is an account.
    Ok(if call.caller.is_operator() { shown } else { MemberShown { email: input.member, ..shown } })
}

fn beyond() -> Failure {
    Failure::of(FailureKind::Forbidden, BEYOND)
}

fn managed(failure: Failure) -> Failure {
    if failure.what.contains(BEYOND) { beyond() } else { failure }
}

/// Whether whoever asks could have made the member what they are: else what they hold is not theirs to end.
///
/// # Errors
/// [`BEYOND`], if they could not; or if there is no such member.
pub(super) async fn may_touch(
    call: &Call,
    store: &TenantStore,
    (org, account): (OrgId, AccountId),
) -> Result<(), Failure> {
    let Some(person) = call.caller.person() else { return Ok(()) };
    let touchable = call.management.roles_within(&store.tenant_view().await?.realm, &person.role);
    let Some(touchable) = touchable else { return Ok(()) };
    match touchable.contains(&store.member_view(org, account).await?.role) {
        true => Ok(()),
        false => Err(beyond()),
    }
}

/// Changes a membership as a person does it: of those who manage one stays, and nobody touches whom they could not have made.
async fn manage(
    call: &Call,
    person: &Person,
    (store, org, account): (&TenantStore, OrgId, AccountId),
    change: Managed,
) -> Result<(), Failure> {
    let realm = store.tenant_view().await?.realm;
    let touchable = call.management.roles_within(&realm, &person.role);
    if let (Managed::Role(new), Some(touchable)) = (&change, &touchable)
        && !touchable.contains(&new.to)
    {
        return Err(beyond());
    }
    let api = call.management.api(person.api.as_str())?;
    let can = |grants: &Grants| grants.all() == Some(Access::Admin);
    let managing =
        api.api.roles.iter().filter(|(_, grants)| can(grants)).map(|(role, _)| role.clone()).collect();
    let done = store.member_manage(org, account, change, Manager { managing, touchable }).await;
    done.map(drop).map_err(|error| managed(error.into()))
}

/// Somebody who is invited.
#[derive(Debug)]
pub(super) struct Inviting<'i> {
    /// Into which organization.
    pub(super) org: OrgId,
    /// Whoever has this address.
    pub(super) email: &'i Email,
    /// In which role.
    pub(super) role: &'i RoleName,
    /// Over which roles of before, if whoever is invited already may not be invited anew over others.
    pub(super) over: Option<Vec<RoleName>>,
}

/// Invites somebody, by mail if an API of the realm sends any. Whoever is invited already is so again.
pub(super) async fn invite(
    management: &Management,
    store: &TenantStore,
    inviting: Inviting<'_>,
) -> Result<MemberView, Failure> {
    let Inviting { org, email, role, over } = inviting;
    let tenant = store.tenant_view().await?;
    // To the address as its owner spelt it, if somebody has it already.
    let known = management.operator().accounts().account_find(&tenant.realm, email).await?;
    let known: Option<Email> = known.map(|account| parse(&account.email, "email")).transpose()?;
    let whose = known.as_ref().unwrap_or(email);
    let mailed = management.mail_of_realm(&tenant.realm).map(|(api, page)| {
        let invitation = store.invitation();
        let to = (whose, tenant.name.as_str());
        let letter = letters::invitation(&api, &page, to, invitation.expose_text());
        (invitation, letter)
    });
    let member = store.member_invite(org, email, (role, over), mailed).await?;
    management.outbox.posted();
    Ok(member)
}

async fn list(call: &Call, input: List) -> Result<Page<MemberShown>, Failure> {
    let (store, org) = orgs::open(call, &input.tenant, &input.org).await?;
    let (after, limit) = (page::after(input.after.as_deref())?, page::limit(input.limit)?);
    looked_for(call, input.external_id.as_deref())?;
    if let Some(id) = input.external_id {
        let members = match found(store.annotated("member", &id).await)? {
            Some(Annotated::Member(its, account)) if its == org => {
                vec![shown_whole(&store, org, account).await?]
            }
            _ => Vec::new(),
        };
        return Ok(Page::whole(members));
    }
    let List { role, state, .. } = input;
    let state = input::one_of("state", state.as_deref(), &["invited", "active", "suspended"])?;
    let is_wanted = |member: &MemberView| {
        role.as_ref().is_none_or(|role| member.role.matches(role))
            && state.is_none_or(|state| lower_case(member.state) == state)
    };
    let is_filtered = role.is_some() || state.is_some();
    let read = |after, limit| store.member_page(org, after, limit);
    let (members, next) = page::wanted(after, limit, is_filtered.then_some(is_wanted), read).await?;
    let about = |member: &MemberView| Annotated::Member(org, member.account).entity();
    let mut annotations = store.annotations("member", members.iter().map(about).collect()).await?;
    let mut of = |member: &MemberView| annotations.remove(&about(member)).unwrap_or_default();
    Ok(Page::going_on(members.iter().map(|member| one(member, of(member).into())).collect(), next))
}

async fn view(call: &Call, input: Who) -> Result<MemberShown, Failure> {
    let (store, org, account) = find(call, &input).await?;
    shown_whole(&store, org, account).await
}

async fn annotate(call: &Call, input: Annotate) -> Result<MemberShown, Failure> {
    let who = Who { tenant: input.tenant, org: input.org, member: input.member };
    let (store, org, account) = find(call, &who).await?;
    let changes = AnnotationChanges { external_id: input.external_id, metadata: input.metadata };
    let (about, since) = (Annotated::Member(org, account), input::version(input.if_version.as_deref())?);
    store.clone().unless_edited(about, since).annotate(about, changes.into()).await?;
    shown_whole(&store, org, account).await
}

async fn role(call: &Call, input: NewRole) -> Result<MemberShown, Failure> {
    let who = Who { tenant: input.tenant, org: input.org, member: input.member };
    let (store, org, account) = find(call, &who).await?;
    let role = call.management.known_role(&store.tenant_view().await?.realm, &input.role)?;
    let since = input::version(input.if_version.as_deref())?;
    let held = store.clone().unless_edited(Annotated::Member(org, account), since);
    let within = call.management.roles_beyond(&store.tenant_view().await?.realm, &role);
    let new = ToRole { within, to: role };
    match call.caller.person() {
        None => held.member_update_role(org, account, new).await?,
        Some(person) => manage(call, person, (&held, org, account), Managed::Role(new)).await?,
    }
    shown_whole(&store, org, account).await
}

async fn suspend(call: &Call, input: Who) -> Result<MemberShown, Failure> {
    let (store, org, account) = find(call, &input).await?;
    match call.caller.person() {
        None => store.member_suspend(org, account).await?,
        Some(person) => manage(call, person, (&store, org, account), Managed::Suspend).await?,
    }
    shown_whole(&store, org, account).await
}

async fn resume(call: &Call, input: Who) -> Result<MemberShown, Failure> {
    let (store, org, account) = find(call, &input).await?;
    if let Some(person) = call.caller.person() {
        manage(call, person, (&store, org, account), Managed::Resume).await?;
    } else if store.member_view(org, account).await?.state == MemberState::Invited {
        // Whoever was asked in says yes themselves, or an owner does for them.
        call.caller.may(super::Role::Owner)?;
        store.member_let_in(org, account).await?;
    } else {
        store.member_resume(org, account).await?;
    }
    shown_whole(&store, org, account).await
}

async fn remove(call: &Call, input: Who) -> Result<Removed, Failure> {
    let (store, org, account) = find(call, &input).await?;
    match call.caller.person() {
        None => store.member_remove(org, account).await?,
        Some(person) => manage(call, person, (&store, org, account), Managed::Remove).await?,
    }
    Ok(Removed { account_id: account.to_string(), state: "removed" })
}

async fn revoke_tokens(call: &Call, input: RevokeTokens) -> Result<Revoked, Failure> {
    let who = Who { tenant: input.tenant, org: input.org, member: input.member };
    let (store, org, account) = find(call, &who).await?;
    let ends = super::input::ends(input.credentials);
    let generation = if input.everywhere {
        // An account reaches over every tenant of its realm, and so has whoever ends it to.
        call.caller.reaches_realm(&store.tenant_view().await?.realm)?;
        call.operator().accounts().account_revoke(account, ends).await?
    } else {
        may_touch(call, &store, (org, account)).await?;
        store.member_revoke(org, account, ends).await?
    };
    Ok(Revoked { account_id: account.to_string(), generation })
}

async fn link(call: &Call, input: Link) -> Result<Linked, Failure> {
    let who = Who { tenant: input.tenant, org: input.org, member: input.member };
    let (store, _, account) = find(call, &who).await?;
    call.management.known_issuer(&store.tenant_view().await?.realm, &input.issuer)?;
    store.foreign_identity_link(&input.issuer, &input.subject, account).await?;
    Ok(Linked { account_id: account.to_string(), issuer: input.issuer, subject: input.subject })
}

async fn links(call: &Call, input: Who) -> Result<Page<LinkShown>, Failure> {
    let (store, _, account) = find(call, &input).await?;
    let links = store.foreign_identities(account).await?.into_iter();
    let one = |link: LinkView| LinkShown {
        issuer: link.issuer,
        subject: link.subject,
        created_at: shown(link.created_at),
    };
    Ok(Page::whole(links.map(one).collect()))
}

async fn unlink(call: &Call, input: Unlink) -> Result<Unlinked, Failure> {
    let store = call.tenant(&input.tenant).await?;
    store.foreign_identity_unlink(&input.issuer, &input.subject).await?;
    Ok(Unlinked { issuer: input.issuer, subject: input.subject, state: "unlinked" })
}
