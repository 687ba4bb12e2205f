//! Sign-up, sign-in and what follows of it, as people ask for it at an API's own host.

use claviger::directory::{MemberState, SessionRecord, State};
use claviger::id::{AccountId, OrgId, SessionId, TenantId, TokenId};
use claviger::secret::Secret;
use claviger::signing_key::SigningKey;
use claviger_store::accounts::Membership;
use claviger_store::passwords::SigningIn;
use claviger_store::refresh_tokens::{Begin, NotRefreshed, Session, Shown};
use claviger_store::sign_in_failures::Trying;
use claviger_store::sign_up::NewTenant;
use claviger_store::{Accounts, Actor, Email, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Management;
use super::asked::{Asked, Entrance, forgets};
use super::letters;
use crate::clock::shown as shown_time;
use crate::failure::{Failure, FailureKind};
use crate::identity_tokens;
use crate::passwords::{LONGEST, may_be_chosen};

/// Somebody who wants to begin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    email: String,
    pub(super) password: String,
    tenant_name: String,
    organization_name: Option<String>,
}

/// Somebody who says who they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    email: String,
    password: String,
    tenant_id: Option<String>,
    org_id: Option<String>,
}

/// A new password for whoever knows the old one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    current: String,
    new: String,
}

/// A session to be prolonged, or to be followed by one elsewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    refresh_token: String,
    tenant_id: Option<String>,
    org_id: Option<String>,
    /// `refresh_token`, where it is said at all (RFC 6749, section 6).
    #[serde(default)]
    grant_type: Option<String>,
}

forgets! {
    SignUp: password;
    SignIn: password;
    NewPassword: current, new;
    Refresh: refresh_token;
    SignedIn: access_token, refresh_token;
    ConsoleSession: token;
}

/// Somebody who is signed in (RFC 6749, section 5.1, and whose it is).
#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: String,
    tenant_id: String,
    org_id: String,
    role: String,
}

/// Somebody who is signed in at the console.
#[derive(Serialize, ToSchema)]
pub struct ConsoleSession {
    /// The token itself, to be sent as `Authorization: Bearer` to the console alone.
    token: String,
    /// When it ends by itself.
    expires_at: String,
    /// Who it is.
    account_id: String,
    /// The tenant they act in.
    tenant_id: String,
    /// The organization they act in.
    org_id: String,
    /// Their role there.
    role: String,
}

/// Somebody who is signed in, with what they have asked for.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Entered {
    /// At an API.
    Api(SignedIn),
    /// At the console.
    Console(ConsoleSession),
}

/// With what tokens are made.
pub(super) enum Minting {
    OfApi(SigningKey),
    OfConsole,
}

/// Looked for before anything is made, so that nobody is made for whom there is no token.
pub(super) async fn minting(management: &Management, asked: &Asked) -> Result<Minting, Failure> {
    Ok(match asked.entrance {
        Entrance::Api => Minting::OfApi(identity_tokens::signer(&management.store, &asked.api.realm).await?),
        Entrance::Console => Minting::OfConsole,
    })
}

pub(super) fn nobody() -> Failure {
    Failure::of(FailureKind::Unauthenticated, "address and password, or the token, are nobody's")
}

pub(super) fn not_active() -> Failure {
    Failure::of(FailureKind::Forbidden, "the account, membership, organization or tenant is not active")
}

pub(super) fn accounts(management: &Management, asked: &Asked) -> Accounts {
    let actor = Actor::visitor();
    let actor = asked.client.address().map_or(actor.clone(), |address| actor.from(address));
    management.store.accounts().by(actor)
}

pub(super) fn email(text: &str) -> Result<Email, Failure> {
    text.parse().map_err(|_| Failure::new("`email`: this is no e-mail address"))
}

async fn signed_in(management: &Management, asked: &Asked, session: Session) -> Result<Entered, Failure> {
    let minting = minting(management, asked).await?;
    tokens(management, asked, &minting, session)
}

pub(super) fn tokens(
    management: &Management,
    asked: &Asked,
    minting: &Minting,
    session: Session,
) -> Result<Entered, Failure> {
    let now = management.clock.now();
    let Session { session, role, refresh_token, .. } = session;
    let signer = match minting {
        Minting::OfApi(signer) => signer,
        Minting::OfConsole => {
            let token = management.store.accounts().console_token(&session, &asked.api.name);
            return Ok(Entered::Console(ConsoleSession {
                token: token.expose_text().unwrap_or_default().to_owned(),
                expires_at: shown_time(session.expires_at),
                account_id: session.account.to_string(),
                tenant_id: session.tenant.to_string(),
                org_id: session.org.to_string(),
                role: role.to_string(),
            }));
        }
    };
    let token = identity_tokens::issue(signer, &asked.api, &session, &role, now, &*management.random)?;
    Ok(Entered::Api(SignedIn {
        access_token: token.text,
        token_type: "Bearer",
        expires_in: token.lifetime_seconds,
        refresh_token: refresh_token.expose_text().unwrap_or_default().to_owned(),
        tenant_id: session.tenant.to_string(),
        org_id: session.org.to_string(),
        role: role.to_string(),
    }))
}

/// Counts a try.
///
/// # Errors
/// If there were too many, saying when the next is looked at.
pub(super) async fn count(
    management: &Management,
    accounts: &Accounts,
    trying: Trying,
) -> Result<(), Failure> {
    let Some(until) = accounts.sign_in_try(trying).await? else { return Ok(()) };
    let seconds = until.seconds().saturating_sub(management.clock.now().seconds()).max(1);
    let what = format!("too many tries; the next is looked at from {} on", shown_time(until));
    Err(Failure::of(FailureKind::TooMany, what).after(seconds.unsigned_abs()))
}

/// Makes an account, a tenant with its first organization, and the account's membership there as ADMIN: all of it or nothing; and signs in.
///
/// # Errors
/// If sign-up is closed here, something is none, or the address has an account; and 429 after too many from one block of the network.
pub async fn sign_up(management: &Management, asked: &Asked, input: SignUp) -> Result<Entered, Failure> {
    let (owner, mut new) = signing_up(management, asked, &input).await?;
    let accounts = accounts(management, asked);
    if accounts.account_find(&asked.api.realm, &owner).await?.is_some() {
        return Err(StoreError::AlreadyExists { what: "account" }.into());
    }
    let minting = minting(management, asked).await?;
    let password = Secret::new(input.password.as_bytes().to_vec());
    new.password_hash = Some(management.passwords.hash(password).await?);
    let lifetime_seconds = asked.rules.session_seconds;
    let begin = Begin { lifetime_seconds, is_direct: true, how: "sign-up", proven_under: None };
    let session = accounts.sign_up(new, begin, false).await?;
    tokens(management, asked, &minting, session)
}

/// What somebody who signs up would get, counted before it is looked whether the address is somebody's, and before anything is hashed.
///
/// # Errors
/// If sign-up is closed here, or something is none; and 429 after too many from one block of the network.
pub(super) async fn signing_up(
    management: &Management,
    asked: &Asked,
    input: &SignUp,
) -> Result<(Email, NewTenant), Failure> {
    let owner = email(&input.email)?;
    let plan = asked.api.plans.first().cloned();
    let plan = plan.ok_or_else(|| Failure::of(FailureKind::Broken, "the API has no plan"))?;
    let accounts = accounts(management, asked);
    count(management, &accounts, accounts.signing_up(&asked.api.realm, &asked.client.block().to_string()))
        .await?;
    may_be_chosen(&input.password, &input.email)?;
    let new = NewTenant {
        realm: asked.api.realm.clone(),
        name: input.tenant_name.clone(),
        plan,
        organization: input.organization_name.clone().unwrap_or_else(|| input.tenant_name.clone()),
        owner: owner.clone(),
        password_hash: None,
        unproven_owner: false,
    };
    Ok((owner, new))
}

/// Begins a session of somebody who has proved to be the account.
pub(super) async fn begin(
    management: &Management,
    asked: &Asked,
    (tenant, org): (TenantId, OrgId),
    account: AccountId,
    begin: Begin,
) -> Result<Entered, Failure> {
    let actor = Actor::account(account);
    let actor = asked.client.address().map_or(actor.clone(), |address| actor.from(address));
    let accounts = management.store.accounts().by(actor);
    let session = match accounts.session_begin(tenant, org, account, begin).await {
        // The password was changed, all sessions were ended or the membership was, since it was looked at.
        Err(StoreError::NotFound { .. }) => return Err(nobody()),
        session => session?,
    };
    signed_in(management, asked, session).await
}

fn is_active(membership: &Membership) -> bool {
    membership.state == MemberState::Active
        && membership.tenant_state == State::Active
        && membership.org_state == State::Active
}

/// Which of the memberships is meant: the named one, or else the oldest that may act.
pub(super) fn chosen(
    memberships: &[Membership],
    tenant: Option<&str>,
    org: Option<&str>,
) -> Result<(TenantId, OrgId), Failure> {
    let id = |name: &str, what: &str| Failure::new(format!("`{name}`: this is no {what}'s id"));
    let tenant: Option<TenantId> =
        tenant.map(|text| text.parse().map_err(|_| id("tenant_id", "tenant"))).transpose()?;
    let org: Option<OrgId> =
        org.map(|text| text.parse().map_err(|_| id("org_id", "organization"))).transpose()?;
    let is_meant = |membership: &&Membership| {
        tenant.is_none_or(|tenant| membership.tenant == tenant) && org.is_none_or(|org| membership.org == org)
    };
    let meant: Vec<&Membership> = memberships.iter().filter(is_meant).collect();
    // Where they are nobody sounds as where they may not act: who is where is not theirs to find out.
    let found = meant.iter().find(|membership| is_active(membership)).ok_or_else(not_active)?;
    Ok((found.tenant, found.org))
}

/// Begins a session for whoever has that address and that password.
///
/// # Errors
/// The same for an address that is nobody's as for a password that is wrong, in the same time; 429 after too many of either; and 403 for
/// somebody who may not act.
pub async fn sign_in(management: &Management, asked: &Asked, input: SignIn) -> Result<Entered, Failure> {
    let address = email(&input.email)?;
    if input.password.len() > LONGEST {
        return Err(Failure::new(format!("`password`: it may have {LONGEST} bytes at most")));
    }
    let accounts = accounts(management, asked);
    let trying = accounts.trying(&asked.api.realm, &address, &asked.client.block().to_string());
    // Before anything is hashed, so that many at once are counted one by one.
    count(management, &accounts, trying.clone()).await?;
    let found = accounts.account_signing_in(&asked.api.realm, &address).await?;
    let found = found.filter(|found| found.account.state != State::Deleted);
    let (hash, account) = found.map(|found| (found.password_hash, found.account)).unzip();
    let password = Secret::new(input.password.as_bytes().to_vec());
    let fits = management.passwords.verify(hash.flatten(), password).await?;
    let (true, Some(account)) = (fits, account) else { return Err(nobody()) };
    accounts.sign_in_done(trying).await?;
    if account.state != State::Active {
        return Err(not_active());
    }
    let memberships = accounts.memberships(account.account).await?;
    let place = chosen(&memberships, input.tenant_id.as_deref(), input.org_id.as_deref())?;
    let begun = Begin {
        lifetime_seconds: asked.rules.session_seconds,
        is_direct: true,
        how: "sign-in",
        proven_under: Some(account.generation),
    };
    begin(management, asked, place, account.account, begun).await
}

/// Prolongs a session by its refresh token, or begins one in another organization of the same person.
///
/// # Errors
/// If the token is nobody's or was used before, which ends its session; or if somebody may not act.
pub async fn refresh(management: &Management, asked: &Asked, input: Refresh) -> Result<Entered, Failure> {
    if input.grant_type.as_deref().is_some_and(|grant| grant != "refresh_token") {
        return Err(Failure::new("`grant_type`: only `refresh_token` is taken here"));
    }
    let accounts = accounts(management, asked);
    let shown = Shown::read(&input.refresh_token).ok_or_else(nobody)?;
    if !accounts.has_made(&shown) {
        return Err(nobody());
    }
    // A session of another realm is nobody's here, and its token is not used up.
    if !is_of_this_realm(management, asked, &shown).await? {
        return Err(nobody());
    }
    // Nor is it by a wish that is refused: whoever is refused keeps what they have.
    let elsewhere = match input.tenant_id.is_some() || input.org_id.is_some() {
        true => {
            let session = match accounts.session_view(shown.tenant(), shown.session()).await {
                Err(StoreError::NotFound { .. }) => return Err(nobody()),
                session => session?,
            };
            let mut memberships = accounts.memberships(session.account).await?;
            // A tenant may want everybody to sign in there.
            let from = session.tenant;
            memberships.retain(|there| there.tenant == from || !there.requires_direct_sign_in);
            let place = chosen(&memberships, input.tenant_id.as_deref(), input.org_id.as_deref())?;
            Some(place).filter(|place| *place != (from, session.org))
        }
        false => None,
    };
    let session = match accounts.session_refresh(&shown, elsewhere).await? {
        Ok(session) => session,
        Err(NotRefreshed::Unknown) => return Err(nobody()),
        Err(NotRefreshed::NotActive) => return Err(not_active()),
    };
    let Some(place) = elsewhere else { return signed_in(management, asked, session).await };
    // However often somebody switches, it ends when their sign-in does.
    let left = session.session.expires_at.seconds().saturating_sub(management.clock.now().seconds());
    let lifetime_seconds = asked.rules.session_seconds.min(left.max(1));
    let proven_under = Some(session.session.made_under.account);
    let begun = Begin { lifetime_seconds, is_direct: true, how: "switch", proven_under };
    begin(management, asked, place, session.session.account, begun).await
}

/// Whether a refresh token is of a tenant of this API's realm.
async fn is_of_this_realm(
    management: &Management,
    asked: &Asked,
    shown: &Shown<'_>,
) -> Result<bool, Failure> {
    match management.operator().tenant(shown.tenant()).tenant_view().await {
        Ok(tenant) => Ok(tenant.realm == asked.api.realm),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Ends the session of a refresh token. Of one that is nobody's nothing is said (RFC 7009, section 2.2).
///
/// # Errors
/// If the store does not answer.
pub async fn revoke_refresh_token(
    management: &Management,
    asked: &Asked,
    token: &str,
) -> Result<(), Failure> {
    let Some(shown) = Shown::read(token) else { return Ok(()) };
    let accounts = accounts(management, asked);
    if accounts.has_made(&shown) && is_of_this_realm(management, asked, &shown).await? {
        accounts.session_end_by(&shown).await?;
    }
    Ok(())
}

/// Revokes an identity token by its id.
///
/// # Errors
/// If the store does not answer.
pub async fn revoke_token(
    management: &Management,
    asked: &Asked,
    (tenant, account, token): (TenantId, Option<AccountId>, TokenId),
) -> Result<(), Failure> {
    let lifetime = asked.api.identity_tokens.lifetime_seconds;
    let expires_at = management.clock.now().plus_seconds(lifetime + 60);
    by_account(management, asked, tenant, account).token_revoke(token, expires_at).await?;
    Ok(())
}

/// Ends the session of somebody who signs out.
///
/// # Errors
/// If the store does not answer.
pub async fn sign_out(
    management: &Management,
    asked: &Asked,
    (tenant, account, session): (TenantId, Option<AccountId>, SessionId),
) -> Result<(), Failure> {
    by_account(management, asked, tenant, account).session_end(session).await?;
    Ok(())
}

/// A session that goes on, as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnSession {
    id: String,
    org_id: String,
    expires_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

/// Somebody who is signed in.
#[derive(Debug, Clone, Copy)]
pub struct Oneself {
    /// Where.
    pub tenant: TenantId,
    /// Who.
    pub account: AccountId,
    /// In which session.
    pub session: SessionId,
}

/// Their sessions in this tenant that go on, the oldest first.
///
/// # Errors
/// If the store does not answer.
pub async fn own_sessions(
    management: &Management,
    asked: &Asked,
    oneself: Oneself,
) -> Result<Vec<OwnSession>, Failure> {
    let Oneself { tenant, account, session } = oneself;
    let sessions = by_account(management, asked, tenant, Some(account)).session_list(account).await?;
    let one = |found: &SessionRecord| OwnSession {
        id: found.session.to_string(),
        org_id: found.org.to_string(),
        expires_at: shown_time(found.expires_at),
        current: found.session == session,
    };
    Ok(sessions.iter().map(one).collect())
}

/// Ends one of their sessions in this tenant.
///
/// # Errors
/// If it is none of theirs, which sounds as if there were none.
pub async fn end_own_session(
    management: &Management,
    asked: &Asked,
    oneself: Oneself,
    session: SessionId,
) -> Result<(), Failure> {
    let store = by_account(management, asked, oneself.tenant, Some(oneself.account));
    let own = store.session_list(oneself.account).await?;
    if !own.iter().any(|found| found.session == session) {
        return Err(StoreError::NotFound { what: "session" }.into());
    }
    store.session_end(session).await?;
    Ok(())
}

/// Gives somebody another password, and ends all their other sessions, wherever they are.
///
/// # Errors
/// If the present one is wrong, which counts as a try to sign in; or the new one may not be chosen.
pub async fn set_password(
    management: &Management,
    asked: &Asked,
    oneself: Oneself,
    input: NewPassword,
) -> Result<(), Failure> {
    let actor = Actor::account(oneself.account);
    let actor = asked.client.address().map_or(actor.clone(), |address| actor.from(address));
    let accounts = management.store.accounts().by(actor.clone());
    let SigningIn { account, password_hash } = accounts.account_password(oneself.account).await?;
    may_be_chosen(&input.new, &account.email)
        .map_err(|failure| Failure { what: failure.what.replacen("`password`", "`new`", 1), ..failure })?;
    let trying = accounts.trying(&account.realm, &email(&account.email)?, &asked.client.block().to_string());
    count(management, &accounts, trying.clone()).await?;
    let current = Secret::new(input.current.as_bytes().to_vec());
    if input.current.len() > LONGEST || !management.passwords.verify(password_hash, current).await? {
        return Err(nobody());
    }
    let hash = management.passwords.hash(Secret::new(input.new.as_bytes().to_vec())).await?;
    accounts.sign_in_done(trying).await?;
    let staying = Some((oneself.tenant, oneself.session));
    let notice = match letters::page(asked) {
        Ok(page) => Some(letters::password_changed(asked, page, &email(&account.email)?)),
        Err(_) => None,
    };
    // What was compared is what there is, or nothing is changed: somebody else may have reset it meanwhile.
    let changed =
        accounts.account_set_password(oneself.account, (hash, Some(account.generation)), staying, notice);
    changed.await.map_err(|error| match error {
        StoreError::NotFound { .. } => nobody(),
        error => error.into(),
    })?;
    management.outbox.posted();
    Ok(())
}

fn by_account(
    management: &Management,
    asked: &Asked,
    tenant: TenantId,
    account: Option<AccountId>,
) -> claviger_store::TenantStore {
    let actor = account.map_or(Actor::visitor(), Actor::account);
    let actor = asked.client.address().map_or(actor.clone(), |address| actor.from(address));
    management.operator().by(actor).tenant(tenant)
}
