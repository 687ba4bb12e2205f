//! Step 2: from a credential to a proven [`Principal`].
//!
//! In two parts. `Authenticator::prove` looks at what a credential is, its digest or signature, and has to be done
//! once; `Authenticator::stand` looks at everything that can change, and is asked again of whatever stays open. The
//! shape has chosen the verifier, and there is no way from one that refused to another. Only the files in this folder
//! can make a `Principal`.

mod api_key;
mod claims;
mod identity_token;
mod person;
mod principal;
mod proof;
mod token_hash;
mod user_token;
mod verified;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use principal::Parts;
pub use principal::{CredentialTag, Principal, Stamp};
pub(crate) use proof::Proof;
pub(crate) use verified::VerifiedTokens;

use crate::api::Api;
use crate::api_key::Peppers;
use crate::arrival::Arrival;
use crate::clock::Clock;
use crate::credential::CredentialKind;
use crate::directory::{
    Answer, Asked, Directory, DirectoryError, Found, MemberRecord, MemberState, OrgRecord, State,
    TenantRecord,
};
use crate::freshness::Fresh;
use crate::id::{AccountId, OrgId, TenantId};
use crate::identify::{Credential, Shown};
use crate::jws::CompactJws;
use crate::key_set::USER_SECRET_PREFIX;
use crate::lookups::Lookups;
use crate::network::Client;
use crate::refusal::{Reason, Refusal};

/// Proves credentials.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) verified: VerifiedTokens,
    pub(crate) lookups: Lookups,
    peppers: Peppers,
    unknown_peppers: AtomicU64,
}

/// A request and who it is from.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    arrival: Arrival<'a>,
    principal: Box<Principal>,
}

impl<'a> Caller<'a> {
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    pub(crate) fn into_parts(self) -> (Arrival<'a>, Box<Principal>) {
        (self.arrival, self.principal)
    }
}

/// Whether what turns out to be nobody's is counted against whoever asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gate {
    /// It is: somebody shows a credential.
    Counted(Client),
    /// It is not: we ask ourselves, or for somebody who may know.
    Free,
}

impl Authenticator {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        peppers: Peppers,
        verified: VerifiedTokens,
        lookups: Lookups,
    ) -> Self {
        Self { directory, clock, peppers, verified, lookups, unknown_peppers: AtomicU64::new(0) }
    }

    /// How many keys were shown that name a pepper which this server does not have.
    pub(crate) fn unknown_peppers(&self) -> u64 {
        self.unknown_peppers.load(Ordering::Relaxed)
    }

    /// Proves who shows a credential, and that it stands.
    ///
    /// # Errors
    /// 401 if it is not good, 403 if it is and names no tenant, 429 if this address has guessed too much, 503 if
    /// the directory could not say.
    pub(crate) async fn authenticate<'a>(
        &self,
        shown: Shown<'a>,
        fresh: Fresh,
        gate: Gate,
    ) -> Result<Caller<'a>, Refusal> {
        let (api, client) = (shown.arrival().api(), shown.arrival().inbound().client);
        let proof = self.prove(&shown, &fresh, gate).await?;
        let principal = self.stand(api, client, proof, fresh, gate).await?;
        if let (Gate::Counted(_), Some(claims)) = (gate, principal.claims_to_remember()) {
            self.verified.insert(claims, self.clock.now());
        }
        Ok(Caller { arrival: shown.into_arrival(), principal })
    }

    /// What a credential is: to be found out once.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    async fn prove(&self, shown: &Shown<'_>, fresh: &Fresh, gate: Gate) -> Result<Proof, Refusal> {
        match shown.credential() {
            Credential::ApiKey(key) => {
                let digested = self.peppers.digest(key);
                if !digested.pepper_is_known {
                    self.unknown_peppers.fetch_add(1, Ordering::Relaxed);
                    if self.directory.lacks_pepper(key.pepper()) {
                        // It may be as good as any, elsewhere.
                        let why = "this server lacks the pepper that the key names".to_owned();
                        return Err(Reason::Directory(DirectoryError::Unavailable(why)).into());
                    }
                }
                Ok(Proof::key(digested.digest, key.environment()))
            }
            Credential::Token(text) => {
                // The shape was looked at already.
                let token = CompactJws::split(text.as_str());
                let token = token.ok_or(Reason::MalformedCredential { why: "no token" })?;
                self.token(shown.arrival().api(), token, fresh, gate).await
            }
        }
    }

    async fn token(
        &self,
        api: &Api,
        token: CompactJws<'_>,
        fresh: &Fresh,
        gate: Gate,
    ) -> Result<Proof, Refusal> {
        let takes = |kind| api.credentials.contain(kind);
        // What is never remembered need not be looked for: the header of most user tokens begins like this.
        if takes(CredentialKind::IdentityToken)
            && !token.as_str().starts_with(HS256_BEGINS)
            && let Some(claims) = self.verified.get(api, token.as_str())
        {
            return Ok(Proof::remembered(claims));
        }
        let header = token.header().map_err(|why| Reason::MalformedCredential { why })?;
        let kind = if header.kid.starts_with(USER_SECRET_PREFIX) {
            CredentialKind::UserToken
        } else {
            CredentialKind::IdentityToken
        };
        if !takes(kind) {
            return Err(Reason::CredentialNotAccepted { kind }.into());
        }
        if kind == CredentialKind::UserToken {
            self.prove_user_token(api, token, &header, gate).await
        } else {
            // Beside the signature its box weighs nothing, and every other decision is smaller for it.
            Box::pin(self.prove_identity_token(api, token, &header, fresh, gate)).await
        }
    }

    /// Whether everything that `proof` hangs on stands now: as true of a request as of a stream that was let in long ago.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    pub(crate) async fn stand(
        &self,
        api: &Arc<Api>,
        client: Client,
        proof: Proof,
        // One decision, one look at the directory's state: whoever asks again brings another proof of freshness.
        _: Fresh,
        gate: Gate,
    ) -> Result<Box<Principal>, Refusal> {
        match proof {
            Proof::Key(key) => self.stand_key(api, client, key, gate).await,
            Proof::Identity(identity) => self.stand_identity_token(api, client, identity).await,
            Proof::User(user) => self.stand_user_token(api, client, user).await,
        }
    }

    /// Resolves what may cost a look-up, which is counted if it turns out that nobody has it. `name` is what is counted.
    async fn look_up<T>(
        &self,
        gate: Gate,
        name: &[u8],
        ask: impl Fn() -> Answer<T>,
    ) -> Result<Option<Found<T>>, Reason> {
        match ask() {
            Answer::Known(found) => Ok(Some(found)),
            Answer::Absent => Ok(None),
            // In a box, so that the decisions that have nothing to wait for do not carry its state along.
            Answer::Ask(future) => Box::pin(self.look_up_gated(gate, name, future, ask)).await,
        }
    }

    async fn look_up_gated<T>(
        &self,
        gate: Gate,
        name: &[u8],
        future: impl Future<Output = Asked<T>>,
        ask: impl Fn() -> Answer<T>,
    ) -> Result<Option<Found<T>>, Reason> {
        let Gate::Counted(client) = gate else { return Ok(future.await?) };
        let entry = self.lookups.enter(client, self.clock.boot()).await?;
        // Whoever was before may have found it out.
        let found = if entry.has_waited() { ask().resolve().await? } else { future.await? };
        if found.is_none() {
            entry.found_nothing(name)?;
        }
        Ok(found)
    }

    /// The tenant and organization a credential hangs on: 401 if they are of another realm, or gone.
    async fn home(
        &self,
        api: &Api,
        tenant: TenantId,
        org: OrgId,
    ) -> Result<(Found<TenantRecord>, Found<OrgRecord>), Reason> {
        let found = self.directory.tenant(tenant).resolve().await?.ok_or(Reason::bad("no such tenant"))?;
        if found.realm != api.realm {
            return Err(Reason::bad("the tenant is of another realm"));
        }
        if found.state == State::Deleted {
            return Err(Reason::bad("the tenant is deleted"));
        }
        let org =
            self.directory.org(tenant, org).resolve().await?.ok_or(Reason::bad("no such organization"))?;
        if org.state == State::Deleted {
            return Err(Reason::bad("the organization is deleted"));
        }
        Ok((found, org))
    }

    /// The person behind a token and the membership it hangs on: 401 if either is gone.
    async fn person(
        &self,
        api: &Api,
        tenant: TenantId,
        org: OrgId,
        account: AccountId,
    ) -> Result<(Found<crate::directory::AccountRecord>, Found<MemberRecord>), Reason> {
        let found = self.directory.account(account).resolve().await?.ok_or(Reason::bad("no such account"))?;
        if found.state == State::Deleted {
            return Err(Reason::bad("the account is gone"));
        }
        if found.realm != api.realm {
            return Err(Reason::bad("the account is of another realm"));
        }
        let member = self.directory.member(tenant, org, account).resolve().await?;
        let member = member.filter(|member| member.state != MemberState::Removed);
        Ok((found, member.ok_or(Reason::bad("no longer a member"))?))
    }
}

/// `{"alg":"HS256"`, encoded.
const HS256_BEGINS: &str = "eyJhbGciOiJIUzI1NiI";
