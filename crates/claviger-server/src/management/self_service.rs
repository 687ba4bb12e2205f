//! What people do in their own organization and tenant, at their API's own host: what an operator can do, as far as they were let in for it.
//! Nobody gives away more than they have, and nobody is left without somebody who can let others in.

use std::sync::Arc;

use claviger::grants::{Access, Grants};
use claviger::id::{AccountId, OrgId, Resource, RoleName};
use claviger::network::Client;
use claviger::{Api, Permit};
use claviger_store::audit::{AuditCursor, AuditEntry};
use claviger_store::members::{BEYOND, LAST_MANAGER, Managed, Manager, MemberView, NOT_JOINED, NewRole};
use claviger_store::orgs::OrgView;
use claviger_store::page::After;
use claviger_store::user_secrets::UserSecret;
use claviger_store::{Actor, Email, StoreError, TenantStore};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::audit::place;
use super::tenants::lower_case;
use super::user_tokens::user_token_text;
use super::{Management, members, page, people, shown};
use crate::failure::{Failure, FailureKind};

/// How many of a list are given when nobody says.
const PAGE: u16 = 50;
/// How many at most.
const LONGEST_PAGE: u16 = 100;
/// How far into a list somebody may skip by a number: each that is skipped is read.
const FURTHEST: u32 = 10_000;

/// Somebody who was let in, in their organization.
#[derive(Debug)]
pub struct Insider {
    store: TenantStore,
    api: Arc<Api>,
    /// As what something outside of the organization is refused.
    outside: FailureKind,
    org: OrgId,
    account: AccountId,
    role: RoleName,
    grants: Grants,
    resource: Resource,
    is_anothers_word: bool,
    block: String,
}

impl Insider {
    /// Whoever was let in, if it is a person: to something that its route says is about `resource`; `outside` is as what things outside of
    /// their organization are refused.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(
        management: &Management,
        permit: &Permit,
        (resource, outside): (Resource, FailureKind),
        client: Client,
    ) -> Result<Self, Failure> {
        let principal = permit.principal();
        let nobody = || Failure::of(FailureKind::NotGranted, "this is for people who are signed in");
        let (account, role, grants) = (principal.account(), principal.role(), principal.grants());
        let actor = Actor::principal(principal);
        let actor = client.address().map_or(actor.clone(), |address| actor.from(address));
        Ok(Self {
            store: management.store.tenant(permit).by(actor),
            api: permit.api().clone(),
            outside,
            org: permit.org(),
            account: account.ok_or_else(nobody)?,
            role: role.cloned().ok_or_else(nobody)?,
            grants: grants.cloned().ok_or_else(nobody)?,
            resource,
            block: client.block().to_string(),
            is_anothers_word: principal.is_anothers_word(),
        })
    }

    /// What is said of something outside of the organization, and of what is nowhere.
    fn outside(&self) -> Failure {
        Failure::of(self.outside, "there is no such thing in the organization")
    }

    /// The roles that can let others in.
    fn managing(&self) -> Vec<RoleName> {
        let can = |grants: &Grants| grants.allow(Some(&self.resource), Access::Admin);
        self.api.roles.iter().filter(|(_, grants)| can(grants)).map(|(role, _)| role.clone()).collect()
    }

    /// The roles that allow nothing that whoever asks lacks: whoever has another one is not theirs to touch.
    fn touchable(&self) -> Option<Vec<RoleName>> {
        if self.grants.all() == Some(Access::Admin) {
            return None;
        }
        let known = self.api.roles.iter().filter(|(_, grants)| grants.within(&self.grants));
        Some(known.map(|(role, _)| role.clone()).collect())
    }

    /// A role by its name, if it allows nothing that whoever gives it lacks.
    fn giveable(&self, name: &str) -> Result<RoleName, Failure> {
        let known = self.api.roles.iter().find(|(role, _)| role.matches(name));
        let Some((role, grants)) = known else {
            let names: Vec<String> = self.api.roles.iter().map(|(role, _)| format!("`{role}`")).collect();
            return Err(Failure::new(format!(
                "`role`: there is no such role; there are {}",
                names.join(", ")
            )));
        };
        match grants.within(&self.grants) {
            true => Ok(role.clone()),
            false => Err(Failure::of(FailureKind::NotGranted, "the role allows more than your own does")),
        }
    }

    /// A member of the organization.
    async fn member(&self, uid: &str) -> Result<MemberView, Failure> {
        let account: AccountId = uid.parse().map_err(|_| self.outside())?;
        let found = match self.store.member_view(self.org, account).await {
            Err(StoreError::NotFound { .. }) => return Err(self.outside()),
            found => found?,
        };
        if found.state == claviger::directory::MemberState::Removed {
            return Err(self.outside());
        }
        Ok(found)
    }

    async fn owns_the_tenant(&self) -> Result<bool, Failure> {
        Ok(self.store.tenant_view().await?.owner == Some(self.account))
    }
}

/// A query, as far as lists look at it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Part {
    limit: Option<u16>,
    offset: u32,
    after: Option<String>,
}

fn part(query: &[(String, String)]) -> Result<Part, Failure> {
    let mut part = Part::default();
    for (name, value) in query {
        match name.as_str() {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
                let wrong = || Failure::new(format!("`limit`: use a number from 1 to {LONGEST_PAGE}"));
                part.limit = Some(limit.ok_or_else(wrong)?);
            }
            "offset" => {
                let offset = value.parse().ok().filter(|offset| *offset <= FURTHEST);
                let wrong = || Failure::new(format!("`offset`: use a number from 0 to {FURTHEST}"));
                part.offset = offset.ok_or_else(wrong)?;
            }
            "after" => part.after = Some(value.clone()),
            _ => {}
        }
    }
    Ok(part)
}

/// How many are read at once.
const AT_ONCE: usize = 500;

/// After the first `skipped` of a list, so many of it. `read` gives what comes after a place, as many as wanted; `place` where something is.
async fn skimmed<T, P, R>(
    (mut skipped, limit): (usize, usize),
    mut after: P,
    read: impl Fn(&P, u16) -> R,
    place: impl Fn(&T) -> P,
) -> Result<Vec<T>, Failure>
where
    R: Future<Output = Result<Vec<T>, StoreError>>,
{
    let mut found = Vec::new();
    while found.len() < limit {
        let wanted = (skipped + limit - found.len()).min(AT_ONCE);
        let page = read(&after, u16::try_from(wanted).unwrap_or(u16::MAX)).await?;
        let (is_last, skip) = (page.len() < wanted, skipped.min(page.len()));
        skipped -= skip;
        if let Some(last) = page.last() {
            after = place(last);
        }
        found.extend(page.into_iter().skip(skip));
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// A member of the organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberShown {
    uid: String,
    email: String,
    role: String,
    state: String,
    created_at: String,
}

fn member(view: &MemberView) -> MemberShown {
    MemberShown {
        uid: view.account.to_string(),
        email: view.email.clone(),
        role: view.role.to_string(),
        state: lower_case(view.state),
        created_at: shown(view.created_at),
    }
}

fn spelt(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::of(FailureKind::Broken, error.to_string()))
}

/// The members of the organization, the oldest first.
///
/// # Errors
/// If the query is none.
pub async fn members(insider: &Insider, query: &[(String, String)]) -> Result<Value, Failure> {
    let Part { limit, offset, .. } = part(query)?;
    let read = |after: &Option<After>, wanted| insider.store.member_page(insider.org, *after, wanted);
    let wanted = (offset as usize, usize::from(limit.unwrap_or(PAGE)));
    let found = skimmed(wanted, None, read, |last| Some(After::from(last))).await?;
    spelt(&found.iter().map(member).collect::<Vec<_>>())
}

/// Somebody to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    email: String,
    role: String,
}

/// Invites somebody into the organization: by mail, if the API sends any.
///
/// # Errors
/// If it is no address or no role, the role allows more than one's own, or they are a member.
pub async fn invite(management: &Management, insider: &Insider, input: Invite) -> Result<Value, Failure> {
    let email: Email = input.email.parse().map_err(|_| Failure::new("`email`: this is no e-mail address"))?;
    let role = insider.giveable(&input.role)?;
    let accounts = management.store.accounts();
    let inviting = accounts.inviting(insider.store.tenant(), &email, &insider.block);
    people::count(management, &accounts, inviting).await?;
    let invited =
        members::Inviting { org: insider.org, email: &email, role: &role, over: insider.touchable() };
    let invited = members::invite(management, &insider.store, invited).await;
    let invited = invited.map_err(|failure| match failure.what.contains(BEYOND) {
        true => Failure::of(FailureKind::NotGranted, BEYOND),
        false => failure,
    })?;
    Ok(json!({ "message": "invited", "uid": invited.account.to_string() }))
}

/// What to change of a member: their role, or whether they may act.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    role: Option<String>,
    state: Option<String>,
}

fn managed(error: StoreError, insider: &Insider) -> Failure {
    match error {
        StoreError::Refused { why } if [LAST_MANAGER, NOT_JOINED].contains(&why) => {
            Failure::of(FailureKind::Conflict, why)
        }
        StoreError::Refused { why: BEYOND } => Failure::of(FailureKind::NotGranted, BEYOND),
        StoreError::NotFound { .. } => insider.outside(),
        error => error.into(),
    }
}

/// Gives a member of the organization another role, or lets them act or not.
///
/// # Errors
/// If there is none, the role of before or the new one allows more than one's own, or nobody would be left who manages.
pub async fn change_member(
    management: &Management,
    insider: &Insider,
    uid: &str,
    input: Change,
) -> Result<Value, Failure> {
    let found = insider.member(uid).await?;
    let change = match (input.role.as_deref(), input.state.as_deref()) {
        (Some(role), None) => {
            let to = insider.giveable(role)?;
            let within = management.roles_beyond(&insider.api.realm, &to);
            Managed::Role(NewRole { to, within })
        }
        (None, Some("active")) => Managed::Resume,
        (None, Some("suspended")) => Managed::Suspend,
        (None, Some(_)) => return Err(Failure::new("`state`: use `active` or `suspended`")),
        _ => return Err(Failure::new("say `role` or `state`, and one of them alone")),
    };
    let manager = Manager { managing: insider.managing(), touchable: insider.touchable() };
    let changed = insider.store.member_manage(insider.org, found.account, change, manager).await;
    spelt(&member(&changed.map_err(|error| managed(error, insider))?))
}

/// Takes a member out of the organization, or withdraws an invitation.
///
/// # Errors
/// If there is none, their role allows more than one's own, or nobody would be left who manages.
pub async fn remove_member(insider: &Insider, uid: &str) -> Result<(), Failure> {
    let found = insider.member(uid).await?;
    let manager = Manager { managing: insider.managing(), touchable: insider.touchable() };
    let removed = insider.store.member_manage(insider.org, found.account, Managed::Remove, manager).await;
    removed.map(drop).map_err(|error| managed(error, insider))
}

fn org(insider: &Insider, org: &OrgView) -> Value {
    json!({
        "id": org.org.to_string(),
        "tenant_id": insider.store.tenant().to_string(),
        "name": org.name,
        "state": lower_case(org.state),
        "created_at": shown(org.created_at),
    })
}

/// The organizations of the tenant that somebody acts in; all of them for the tenant's owner.
///
/// # Errors
/// If the query is none.
pub async fn organizations(insider: &Insider, query: &[(String, String)]) -> Result<Value, Failure> {
    let Part { limit, offset, .. } = part(query)?;
    let limit = limit.unwrap_or(PAGE);
    let all = match insider.owns_the_tenant().await? {
        true => insider.store.org_list().await?,
        false => insider.store.orgs_of(insider.account).await?,
    };
    let total = all.len();
    let page = all.iter().skip(offset as usize).take(limit.into());
    let data: Vec<Value> = page.map(|one| org(insider, one)).collect();
    Ok(json!({ "data": data, "total": total, "limit": limit, "offset": offset }))
}

/// An organization to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrganization {
    name: String,
}

/// Makes an organization in the tenant, with whoever asks as its first member, in the role that they have here.
///
/// # Errors
/// If it is not the tenant's owner who asks, or the name is none.
pub async fn create_organization(insider: &Insider, input: NewOrganization) -> Result<Value, Failure> {
    // Another issuer's word may be less than the person's own role, which they would have there.
    insider.is_signed_in_here()?;
    if !insider.owns_the_tenant().await? {
        let what = "what is about the whole tenant is for its owner";
        return Err(Failure::of(FailureKind::NotGranted, what));
    }
    let made = insider.store.org_create_with(&input.name, insider.account, &insider.role).await?;
    Ok(org(insider, &made))
}

fn entry((entry, email): &(AuditEntry, Option<String>)) -> Value {
    let mut details = entry.details.clone();
    // What an operator's systems call something is the operators', in what they did with it too.
    super::annotations::withhold(&mut details);
    json!({
        "id": entry.id,
        "actor_email": email,
        "action": entry.action,
        "entity_type": entry.entity_type,
        "entity_id": entry.entity_id,
        "details": details,
        "ip_address": entry.address.map(|address| address.to_string()),
        "created_at": shown(entry.created_at),
    })
}

/// What happened in the organization, the newest first; in the whole tenant for its owner. With it where the page after this one begins, as a
/// query, if there may be one.
///
/// # Errors
/// If the query is none.
pub async fn audit(
    insider: &Insider,
    query: &[(String, String)],
) -> Result<(Value, Option<String>), Failure> {
    let Part { limit, offset, after } = part(query)?;
    let limit = usize::from(limit.unwrap_or(PAGE));
    let org = if insider.owns_the_tenant().await? { None } else { Some(insider.org) };
    let cursor = page::after(after.as_deref())?.map_or(AuditCursor::NEWEST, AuditCursor::from);
    let read = |cursor: &AuditCursor, wanted| insider.store.audit_of(org, *cursor, wanted);
    let found = skimmed((offset as usize, limit), cursor, read, |(last, _)| AuditCursor::after(last)).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|(last, _)| page::spelt(place(last)));
    let next = next.map(|next| format!("limit={limit}&after={next}"));
    Ok((Value::Array(found.iter().map(entry).collect()), next))
}

async fn account_token(
    management: &Management,
    insider: &Insider,
    secret: UserSecret,
) -> Result<Value, Failure> {
    let api = management.api(insider.api.name.as_str())?;
    let mut token = user_token_text(&api, &secret)?;
    let last_used = insider.store.user_secret_last_used(&secret.kid).await?;
    let value = json!({
        "token": token,
        "issuedAt": shown(secret.created_at),
        "lastUsedAt": last_used.map(shown),
    });
    zeroize::Zeroize::zeroize(&mut token);
    Ok(value)
}

impl Insider {
    /// Another issuer's word is not turned into a token of ours that has no end.
    fn is_signed_in_here(&self) -> Result<(), Failure> {
        match self.is_anothers_word {
            true => Err(Failure::of(FailureKind::NotGranted, "this is for people who are signed in here")),
            false => Ok(()),
        }
    }
}

/// Somebody's own user token for this API; its secret is made if there is none.
///
/// # Errors
/// If they are not signed in here.
pub async fn own_token(management: &Management, insider: &Insider) -> Result<Value, Failure> {
    insider.is_signed_in_here()?;
    let secret = insider.store.user_secret_issue(&insider.api.name, insider.org, insider.account).await?;
    account_token(management, insider, secret).await
}

/// Another one: every token before is refused from now on.
///
/// # Errors
/// If they are not signed in here.
pub async fn regenerate_own_token(management: &Management, insider: &Insider) -> Result<Value, Failure> {
    insider.is_signed_in_here()?;
    let (api, org, account) = (&insider.api.name, insider.org, insider.account);
    let secret = insider.store.user_secret_regenerate(api, org, account).await?;
    account_token(management, insider, secret).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_of_a_list_is_read_page_by_page_and_never_beyond_what_is_wanted() {
        let most = std::cell::Cell::new(0);
        let read = |after: &usize, wanted: u16| {
            most.set(most.get().max(wanted));
            let page: Vec<usize> = (*after..1234).take(wanted.into()).collect();
            async move { Ok(page) }
        };
        for (skipped, limit) in
            [(0, 1), (0, 100), (499, 2), (500, 100), (999, 100), (1200, 100), (1234, 5), (5000, 5)]
        {
            most.set(0);
            let found = skimmed((skipped, limit), 0, read, |last| last + 1).await.unwrap();
            let expected: Vec<usize> = (skipped..1234).take(limit).collect();
            assert_eq!(found, expected, "{skipped} {limit}");
            assert!(usize::from(most.get()) <= (skipped + limit).min(AT_ONCE));
        }
        let away = |_: &usize, _| async { Err::<Vec<usize>, _>(StoreError::NotFound { what: "list" }) };
        assert!(skimmed((0, 1), 0, away, |last| *last).await.is_err());
    }

    #[test]
    fn a_query_is_read_within_its_bounds() {
        let read = |pairs: &[(&str, &str)]| {
            part(&pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect::<Vec<_>>())
        };
        assert_eq!(read(&[("other", "x")]), Ok(Part::default()));
        let whole = Part { limit: Some(100), offset: 10_000, after: Some("x".into()) };
        assert_eq!(read(&[("limit", "100"), ("offset", "10000"), ("after", "x")]), Ok(whole));
        for wrong in [("limit", "0"), ("limit", "101"), ("limit", "-1"), ("offset", "10001"), ("offset", "x")]
        {
            let failure = read(&[wrong]).unwrap_err();
            assert!(failure.what.contains(wrong.0), "{failure}");
        }
    }
}
