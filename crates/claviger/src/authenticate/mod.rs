//! Step 2: from a credential to a proven [`Principal`].
//!
//! The shape has chosen the verifier, and there is no way from one that refused to another. Only the files in
//! this folder can make a `Principal`.

mod api_key;
mod identity_token;
mod principal;
mod standing;
mod user_token;
mod verified;

use std::sync::Arc;

pub use principal::Principal;
pub(crate) use principal::Subject;
pub use verified::VerifiedTokens;

use crate::api::Api;
use crate::api_key::Peppers;
use crate::clock::Clock;
use crate::directory::{Answer, Directory, MemberRecord, MemberState, OrgRecord, State, TenantRecord};
use crate::id::{AccountId, OrgId, TenantId};
use crate::identify::Credential;
use crate::inbound::Inbound;
use crate::jws::CompactJws;
use crate::lookups::Lookups;
use crate::refusal::{CredentialKind, Reason};

/// The `kid` of a user secret begins like this; that of no other key does.
pub const USER_SECRET_PREFIX: &str = "us_";

/// Proves credentials.
#[derive(Debug)]
pub struct Authenticator {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    peppers: Peppers,
    verified: VerifiedTokens,
    lookups: Lookups,
}

impl Authenticator {
    /// From the directory it asks, the clock it reads, the peppers of API keys, a memory of verified tokens and
    /// the table of look-ups that found nothing.
    pub fn new(
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        peppers: Peppers,
        verified: VerifiedTokens,
        lookups: Lookups,
    ) -> Self {
        Self { directory, clock, peppers, verified, lookups }
    }

    /// Proves who `credential` is.
    ///
    /// # Errors
    /// 401 if it is not good, 403 if it is and names no tenant, 429 if this address has guessed too much, 503 if
    /// the directory could not say.
    pub async fn authenticate(
        &self,
        api: &Api,
        inbound: &Inbound<'_>,
        credential: Credential<'_>,
    ) -> Result<Principal, Reason> {
        match credential {
            Credential::ApiKey(key) => self.api_key(api, inbound, &key).await,
            Credential::Token(token) => self.token(api, inbound, token).await,
        }
    }

    async fn token(
        &self,
        api: &Api,
        inbound: &Inbound<'_>,
        token: CompactJws<'_>,
    ) -> Result<Principal, Reason> {
        let takes = |kind| api.credentials.contain(kind);
        if takes(CredentialKind::IdentityToken)
            && let Some(remembered) = self.remembered(api, token)
        {
            return self.identity_claims(api, remembered).await;
        }
        let header = token.header().map_err(|why| Reason::MalformedCredential { why })?;
        let kind = if header.kid.starts_with(USER_SECRET_PREFIX) {
            CredentialKind::UserToken
        } else {
            CredentialKind::IdentityToken
        };
        if !takes(kind) {
            return Err(Reason::CredentialNotAccepted { kind });
        }
        if kind == CredentialKind::UserToken {
            self.user_token(api, inbound, token, &header).await
        } else {
            self.identity_token(api, inbound, token, &header).await
        }
    }

    /// Resolves an answer that may cost a look-up, which an address that has guessed too much does not get.
    async fn look_up<T>(&self, inbound: &Inbound<'_>, answer: Answer<T>) -> Result<Option<Arc<T>>, Reason> {
        match answer {
            Answer::Known(record) => Ok(Some(record)),
            Answer::Absent => Ok(None),
            Answer::Ask(future) => {
                let entry = self.lookups.enter(inbound.client, self.clock.boot())?;
                let found = future.await?;
                if found.is_none() {
                    entry.found_nothing();
                }
                Ok(found)
            }
        }
    }

    /// The tenant and organization a credential hangs on: 401 if they are of another realm, or gone.
    async fn home(
        &self,
        api: &Api,
        tenant: TenantId,
        org: OrgId,
    ) -> Result<(Arc<TenantRecord>, Arc<OrgRecord>), Reason> {
        let gone = |why| Reason::BadCredential { why };
        let found = self.directory.tenant(tenant).resolve().await?.ok_or(gone("no such tenant"))?;
        if found.realm != api.realm {
            return Err(gone("the tenant is of another realm"));
        }
        if found.state == State::Deleted {
            return Err(gone("the tenant is deleted"));
        }
        let org = self.directory.org(tenant, org).resolve().await?.ok_or(gone("no such organization"))?;
        if org.state == State::Deleted {
            return Err(gone("the organization is deleted"));
        }
        Ok((found, org))
    }

    /// The membership a person's token hangs on: 401 if there is none any more.
    async fn membership(
        &self,
        tenant: TenantId,
        org: OrgId,
        account: AccountId,
    ) -> Result<Arc<MemberRecord>, Reason> {
        let gone = Reason::BadCredential { why: "no longer a member" };
        let member = self.directory.member(tenant, org, account).resolve().await?.ok_or(gone.clone())?;
        if member.state == MemberState::Removed {
            return Err(gone);
        }
        Ok(member)
    }
}
