//! The door: the one way in. Four steps, in the only order that compiles.
//!
//! ```text
//! Arrival ─ identify ─▶ Shown ─ authenticate ─▶ Caller ─ authorize ─▶ Grant ─ limit ─▶ Permit
//! ```
//!
//! Each step takes what the step before made and can only be made there: that a request came by a transport its API
//! takes (`Arrival`), and that the directory was fresh (`Fresh`), are values too.

use std::sync::Arc;

use http::{Method, Uri};

use crate::api::Api;
use crate::api_key::Peppers;
use crate::arrival::Arrival;
use crate::authenticate::{Authenticator, Caller, Gate, VerifiedTokens};
use crate::authorize::{self, Denied, Grant};
use crate::clock::{Clock, UnixMillis};
use crate::directory::{Annotated, Directory, DirectoryError, Freshness};
use crate::explain::{Explanation, Step};
use crate::freshness::Fresh;
use crate::grants::Grants;
use crate::id::{AccountId, RoleName, SessionId, TenantId, TokenId};
use crate::identify::identify;
use crate::inbound::Inbound;
use crate::limit::{LocalLimiter, Permit, PublicPermit};
use crate::limit_rule::LimitState;
use crate::lookups::{LookupFigures, Lookups};
use crate::need::Need;
use crate::refusal::{Reason, Refusal, Who};
use crate::target::Target;

/// Decides who comes in. One serves all APIs of a process.
#[derive(Debug)]
pub struct Door {
    authenticator: Authenticator,
    limiter: LocalLimiter,
}

/// Somebody who shows an identity token of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionHolder {
    /// Where.
    pub tenant: TenantId,
    /// Who.
    pub account: AccountId,
    /// The session in which it was made.
    pub session: SessionId,
    /// The token.
    pub token: TokenId,
    /// Whether account, membership, organization and tenant may act; if not, what keeps them from it.
    pub may_act: Result<(), Reason>,
}

/// A credential that is good, as somebody who may ask about it is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Introspected {
    /// Whose it is, and what it is called.
    pub who: Who,
    /// The live role, of a person's token.
    pub role: Option<RoleName>,
    /// What it allows; nothing if nobody knows the role.
    pub grants: Grants,
    /// The session, of an identity token.
    pub session: Option<SessionId>,
    /// When it ends by itself, if it does.
    pub expires_at: Option<UnixMillis>,
    /// Whether it is another issuer's token.
    pub is_anothers_word: bool,
    /// Whether account, membership, organization and tenant may act; if not, what keeps them from it.
    pub may_act: Result<(), Reason>,
}

/// Why somebody wants to know what a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introspecting {
    /// It is their own, and they use it: from where it may be used. What is nobody's counts as a guess.
    Oneself,
    /// They ask about one that they do not use. What is nobody's counts as a guess all the same: anybody may be in this place.
    ForSomebody,
    /// An operator asks, and guesses nothing.
    ForAnOperator,
}

/// What a door is made with besides what it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoorSettings {
    /// How much memory the signatures that were found good may take, in bytes. 0 remembers none.
    pub verified_token_bytes: usize,
    /// How many credentials that are nobody's a client may show in a minute before it has to take turns.
    pub empty_lookups_per_minute: u32,
}

impl Default for DoorSettings {
    /// 32 MiB, and 300.
    fn default() -> Self {
        Self { verified_token_bytes: 32 << 20, empty_lookups_per_minute: 300 }
    }
}

/// A request that is let in.
#[derive(Debug)]
pub enum Admitted {
    /// Of a known caller.
    Known(Permit),
    /// By a route that asks for nobody.
    Public(PublicPermit),
}

impl Admitted {
    /// The limit that is nearest to its end; `None` if nothing limits the request.
    pub fn limit(&self) -> Option<&LimitState> {
        match self {
            Self::Known(permit) => permit.limit(),
            Self::Public(permit) => permit.limit(),
        }
    }

    /// What the request needed.
    pub fn need(&self) -> &Arc<Need> {
        match self {
            Self::Known(permit) => permit.need(),
            Self::Public(permit) => permit.need(),
        }
    }

    /// The permit of a known caller.
    pub fn known(&self) -> Option<&Permit> {
        match self {
            Self::Known(permit) => Some(permit),
            Self::Public(_) => None,
        }
    }
}

/// What a door has to tell of its work.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Figures {
    /// Guesses that were counted, refused and made to wait.
    pub lookups: LookupFigures,
    /// How many tokens are remembered as verified.
    pub verified_tokens: usize,
    /// How many bytes they take up.
    pub verified_token_bytes: usize,
    /// Keys that named a pepper which this server does not have: mistyped, made up, or made with another keyring.
    pub unknown_peppers: u64,
    /// Limits that are being counted.
    pub limit_counters: usize,
}

impl Door {
    /// A door before what `directory` knows, by the time of `clock`, for keys made under `peppers`.
    pub fn new(
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        peppers: Peppers,
        settings: DoorSettings,
    ) -> Self {
        let verified = VerifiedTokens::new(settings.verified_token_bytes);
        let lookups = Lookups::new(settings.empty_lookups_per_minute);
        Self {
            authenticator: Authenticator::new(directory, clock, peppers, verified, lookups),
            limiter: LocalLimiter::default(),
        }
    }

    /// The clock it goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.authenticator.clock
    }

    /// The directory it asks.
    pub fn directory(&self) -> &Arc<dyn Directory> {
        &self.authenticator.directory
    }

    /// Lets a request in by the routes of its API, or says why not.
    ///
    /// # Errors
    /// A [`Refusal`], which knows its status and code.
    pub async fn decide(&self, api: &Arc<Api>, inbound: &Inbound<'_>) -> Result<Admitted, Refusal> {
        let arrival = Arrival::of(api, inbound)?;
        let need = api.routes.need(inbound.method, &inbound.target)?;
        if need.is_public() {
            return Ok(Admitted::Public(self.limiter.admit_public(
                api,
                inbound.client,
                &need,
                self.clock().boot(),
            )?));
        }
        self.admit(arrival, &need).await.map(Admitted::Known)
    }

    /// Lets a request in for a need that the embedder's own router found, or says why not. A need is never public here.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub async fn decide_for(
        &self,
        api: &Arc<Api>,
        inbound: &Inbound<'_>,
        need: &Arc<Need>,
    ) -> Result<Permit, Refusal> {
        if need.is_public() {
            return Err(Reason::Internal { why: "a need that asks for nothing stands for no route" }.into());
        }
        self.admit(Arrival::of(api, inbound)?, need).await
    }

    async fn admit(&self, arrival: Arrival<'_>, need: &Arc<Need>) -> Result<Permit, Refusal> {
        let gate = Gate::Counted(arrival.inbound().client);
        let caller = self.caller(arrival, gate).await?;
        let now = self.clock().boot();
        let grant = authorize::authorize(caller, need).map_err(|denied| {
            // Nothing is counted, but a known credential is told where it stands on every answer.
            let Denied { reason, principal } = *denied;
            let standing = self.limiter.standing(&principal, now);
            Refusal::new(reason).of(|| principal.who()).at_limit(standing)
        })?;
        self.limiter.admit(grant, now).map_err(|refused| {
            let (reason, grant) = *refused;
            Refusal::new(reason).of(|| grant.principal().who())
        })
    }

    async fn caller<'a>(&self, arrival: Arrival<'a>, gate: Gate) -> Result<Caller<'a>, Refusal> {
        let shown = identify(arrival)?;
        let fresh = self.fresh().await?;
        self.authenticator.authenticate(shown, fresh, gate).await
    }

    async fn fresh(&self) -> Result<Fresh, Refusal> {
        Ok(Fresh::of(&**self.directory(), &**self.clock()).await?)
    }

    /// Whether the store is believed: for what is read from it past the directory, and must hold what was withdrawn as well.
    pub async fn believes(&self) -> bool {
        self.fresh().await.is_ok()
    }

    /// Whose credential a request shows that is refused because it came in clear, so that its owner can be told. Lets
    /// nobody in.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), if the credential is not good.
    pub async fn whose(&self, api: &Arc<Api>, inbound: &Inbound<'_>) -> Result<Who, Refusal> {
        let caller = self.caller(Arrival::in_clear(api, inbound), Gate::Counted(inbound.client)).await?;
        Ok(caller.into_parts().1.who())
    }

    /// Who shows an identity token of ours, and in which session it was made; `None` if the credential is good and another one: another
    /// issuer's token says nothing about our sessions. Lets nobody in.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), if the credential is not good.
    pub async fn session_of(
        &self,
        api: &Arc<Api>,
        inbound: &Inbound<'_>,
    ) -> Result<Option<SessionHolder>, Refusal> {
        let caller = self.caller(Arrival::in_clear(api, inbound), Gate::Counted(inbound.client)).await?;
        let principal = caller.into_parts().1;
        let (Some(session), Some(token), who) = (principal.session(), principal.own_token(), principal.who())
        else {
            return Ok(None);
        };
        let Some(account) = who.account else { return Ok(None) };
        let may_act = authorize::may_act(api, &principal);
        Ok(Some(SessionHolder { tenant: who.tenant, account, session, token, may_act }))
    }

    /// Everything about the credential that a request shows, if it is good. Lets nobody in.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), if the credential is not good.
    pub async fn introspect(
        &self,
        api: &Arc<Api>,
        inbound: &Inbound<'_>,
        why: Introspecting,
    ) -> Result<Introspected, Refusal> {
        let gate = match why {
            Introspecting::ForAnOperator => Gate::Free,
            Introspecting::Oneself | Introspecting::ForSomebody => Gate::Counted(inbound.client),
        };
        let caller = self.caller(Arrival::in_clear(api, inbound), gate).await?;
        let principal = caller.into_parts().1;
        if why == Introspecting::Oneself {
            // Somebody uses it: from where it may be used.
            authorize::from_here(inbound.client, &principal)?;
        }
        Ok(Introspected {
            who: principal.who(),
            role: principal.role().cloned(),
            grants: principal.grants().cloned().unwrap_or_else(Grants::none),
            session: principal.session(),
            expires_at: principal.expires_at(),
            is_anothers_word: principal.is_anothers_word(),
            may_act: authorize::may_act(api, &principal),
        })
    }

    /// Whether what was let in before would still be: asked again and again of streams that stay open. It is the second
    /// half of [`decide`](Self::decide): all that can change, and nothing that was found out once.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), for what has changed since; limits are left out, as what is open was counted.
    pub async fn still_stands(&self, permit: &Permit) -> Result<(), Refusal> {
        self.stands_for(permit, |_| Ok(permit.need().clone())).await
    }

    /// The same of a request that was for this: where the API's settings have changed, what its route asks is asked anew.
    ///
    /// # Errors
    /// As [`still_stands`](Self::still_stands), and as [`decide`](Self::decide) where nothing is served there any more.
    pub async fn still_stands_for(&self, permit: &Permit, method: &Method, uri: &Uri) -> Result<(), Refusal> {
        let need = |api: &Api| api.routes.need(method, &Target::of(uri)?);
        self.stands_for(permit, need).await
    }

    /// Whether what was let in without a credential still would be: the API's settings may have changed.
    pub fn is_still_public(&self, permit: &PublicPermit, method: &Method, uri: &Uri) -> bool {
        if permit.api().is_newest() {
            return true;
        }
        let Some(newest) = permit.api().newest() else { return false };
        let need = Target::of(uri).and_then(|target| newest.routes.need(method, &target));
        need.is_ok_and(|need| need.is_public())
    }

    async fn stands_for(
        &self,
        permit: &Permit,
        need: impl FnOnce(&Api) -> Result<Arc<Need>, Reason>,
    ) -> Result<(), Refusal> {
        let fresh = self.fresh().await?;
        let then = permit.principal();
        let newest = then.api().newest().filter(|api| then.is_proven_to(api));
        let api = newest.ok_or_else(|| {
            Refusal::new(Reason::bad(
                "the settings of the API have changed, and no longer take what was shown",
            ))
        })?;
        let proof = then.proof_again();
        let now = self.authenticator.stand(&api, then.client(), proof, fresh, Gate::Free).await?;
        let need = match Arc::ptr_eq(&api, then.api()) {
            true => permit.need().clone(),
            false => need(&api).map_err(Refusal::new)?,
        };
        if need.is_public() {
            return Ok(());
        }
        authorize::still_may(&now, &need).map_err(|reason| Refusal::new(reason).of(|| now.who()))
    }

    /// Whether nothing has changed of what a permit hangs on, as far as that is known without asking. While it is so,
    /// [`still_stands`](Self::still_stands) would only tell of an expiry.
    pub fn is_unchanged(&self, permit: &Permit) -> bool {
        matches!(self.directory().freshness(self.clock().boot()), Freshness::Fresh)
            && permit.principal().api().is_newest()
            && permit.principal().is_unchanged(&**self.directory())
    }

    /// The same steps as [`decide`](Self::decide), each told, and nothing counted.
    pub async fn explain(&self, api: &Arc<Api>, inbound: &Inbound<'_>) -> Explanation {
        let mut told = Explanation::default();
        let Some(arrival) = told.step(Step::Transport, Arrival::of(api, inbound)) else { return told };
        let need = api.routes.need(inbound.method, &inbound.target);
        let Some(need) = told.step(Step::Route, need) else { return told };
        told.need(api.name.as_str(), &need);
        if need.is_public() {
            return told;
        }
        let Some(shown) = told.step(Step::Identify, identify(arrival)) else { return told };
        let Some(fresh) = told.step(Step::Freshness, self.fresh().await) else { return told };
        let proven = self.authenticator.authenticate(shown, fresh, Gate::Free).await;
        let Some(caller) = told.step(Step::Authenticate, proven) else { return told };
        told.caller(&caller);
        told.known_as(self.known_as(&caller).await);
        let granted = authorize::authorize(caller, &need).map_err(|denied| denied.reason);
        let Some(grant) = told.step(Step::Authorize, granted) else { return told };
        told.limits(self.peek(&grant));
        told
    }

    /// What others call the tenant, the organization and who acts in it. Nobody is refused for it.
    async fn known_as(&self, caller: &Caller<'_>) -> Result<Vec<(Annotated, String)>, DirectoryError> {
        let principal = caller.principal();
        let (tenant, org) = principal.ids();
        let key = principal.key().map(Annotated::Key);
        let member = principal.account().map(|account| Annotated::Member(org, account));
        let mut known = Vec::new();
        for about in [Some(Annotated::Tenant(tenant)), Some(Annotated::Org(org)), member, key] {
            let Some(about) = about else { continue };
            let found = self.authenticator.directory.annotation(tenant, about.kind(), &about.entity());
            let called = found.resolve().await?.and_then(|found| found.external_id.clone());
            known.extend(called.map(|called| (about, called)));
        }
        Ok(known)
    }

    fn peek(&self, grant: &Grant) -> Result<Vec<LimitState>, Reason> {
        let states = self.limiter.peek(grant, self.clock().boot());
        let refused = states.iter().filter(|state| state.retry_after_seconds > 0);
        match refused.max_by_key(|state| state.retry_after_seconds) {
            Some(refused) => Err(Reason::TooMany(refused.clone())),
            None => Ok(states),
        }
    }

    /// Forgets counters that count nothing any more, and verified tokens that have expired. To be called now and then.
    pub fn sweep(&self) {
        self.limiter.sweep(self.clock().boot());
        self.authenticator.verified.sweep(self.clock().now());
    }

    /// What there is to tell of its work.
    pub fn figures(&self) -> Figures {
        let (verified_tokens, verified_token_bytes) = self.authenticator.verified.size();
        Figures {
            lookups: self.authenticator.lookups.figures(self.clock().boot()),
            verified_tokens,
            verified_token_bytes,
            unknown_peppers: self.authenticator.unknown_peppers(),
            limit_counters: self.limiter.len(),
        }
    }
}
