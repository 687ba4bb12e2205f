//! Identity tokens: signed with a key of the realm, or of an issuer the API was told to trust.
//!
//! The signature of one exact text is checked once; everything that can change is checked at every use. A
//! token of our own counts for nothing without its session, present and live, under today's generations.

use std::sync::Arc;

use crate::api::{Api, ForeignIssuer};
use crate::clock::{LEEWAY_SECONDS, UnixMillis};
use crate::credential::CredentialKind;
use crate::directory::{
    AccountRecord, Found, Generations, MemberRecord, OrgRecord, SessionRecord, TenantRecord, Version,
};
use crate::freshness::Fresh;
use crate::grants::Grants;
use crate::id::{AccountId, Environment, SessionId, TenantId};
use crate::jws::{CompactJws, Header, is_own_key_name};
use crate::key_set::VerifyingKey;
use crate::network::Client;
use crate::refusal::{Reason, Refusal, Who};

use super::claims::{ClaimedSubject, IdentityClaims, Issuer, Unproven};
use super::person::Person;
use super::principal::{Parts, Principal};
use super::proof::{IdentityProof, Proof};
use super::{Authenticator, Gate};

impl Authenticator {
    pub(super) async fn prove_identity_token(
        &self,
        api: &Api,
        token: CompactJws<'_>,
        header: &Header,
        _: &Fresh,
        gate: Gate,
    ) -> Result<Proof, Refusal> {
        // What is refused for its claims costs no signature, whoever made it.
        let unproven = Unproven::read(api, token, header, self.clock.now())
            .map_err(|why| Refusal::new(Reason::bad(why)))?;
        let now = self.clock.boot();
        let entry = match gate {
            Gate::Counted(client) => Some(self.lookups.enter(client, now).await?),
            Gate::Free => None,
        };
        if entry.as_ref().is_some_and(super::super::lookups::Entry::has_waited)
            && let Some(claims) = self.verified.get(api, token.as_str())
        {
            return Ok(Proof::remembered(claims));
        }
        // Known keys and unknown ones are counted alike, or a spent budget would tell them apart.
        let name = *unproven.hash().as_bytes();
        let refuse = |why, name: &[u8]| match entry.map(|entry| entry.found_nothing(name)) {
            Some(Err(waits)) => Err(Refusal::new(waits)),
            Some(Ok(())) | None => Err(Refusal::new(Reason::bad(why))),
        };
        let key = match self.signing_key(api, unproven.issuer, &header.kid).await? {
            Ok(key) => key,
            // A key that is published later makes it good: only the guess is remembered.
            Err(why) => return refuse(why, &[&b"no key"[..], &name].concat()),
        };
        let failed = [&name[..], key.get().thumbprint()].concat();
        if self.lookups.is_known_bad(&failed, now) {
            return refuse("the signature is wrong".into(), &failed);
        }
        match unproven.prove(token, header, key.get()) {
            Ok(claims) => Ok(Proof::verified(claims)),
            Err(why) => refuse(why, &failed),
        }
    }

    /// The key that the issuer calls `kid`, or why there is none.
    async fn signing_key(
        &self,
        api: &Api,
        issuer: Issuer<'_>,
        kid: &str,
    ) -> Result<Result<SigningKey, crate::refusal::Why>, Reason> {
        match issuer {
            Issuer::Own if !is_own_key_name(kid) => Ok(Err(NO_KEY.into())),
            Issuer::Own => {
                let found = self.directory.identity_key(&api.realm, kid).resolve().await?;
                Ok(found.map(SigningKey::Own).ok_or(NO_KEY.into()))
            }
            Issuer::Foreign(_, issuer) => {
                let keys = issuer.keys.current();
                let at = keys.keys().iter().position(|key| key.kid() == kid);
                let why = || match keys.why_not(kid) {
                    Some(passed) => format!("no such signing key of use: {passed}").into(),
                    None => NO_KEY.into(),
                };
                let why = if at.is_none() { why() } else { NO_KEY.into() };
                Ok(at.map(|at| SigningKey::Foreign(keys, at)).ok_or(why))
            }
        }
    }

    /// Everything that is checked at every use of a token whose signature is good.
    pub(super) async fn stand_identity_token(
        &self,
        api: &Arc<Api>,
        client: Client,
        identity: IdentityProof,
    ) -> Result<Box<Principal>, Refusal> {
        let claims = &*identity.claims;
        let known = |reason: Reason| match (claims.tenant, claims.org) {
            (Some(tenant), Some(org)) => Refusal::new(reason).of(|| Who {
                kind: CredentialKind::IdentityToken,
                tenant,
                org,
                environment: Environment::Live,
                credential: claims.id.clone(),
                key: None,
                account: match claims.subject {
                    ClaimedSubject::Account(account) => Some(account),
                    ClaimedSubject::Foreign(_) => None,
                },
            }),
            _ => Refusal::new(reason),
        };
        let bad = |why: &'static str| known(Reason::bad(why));
        // A program that has been told of other issuers has made another API, whose tokens are remembered apart.
        let issuer = claims.issuer(api).ok_or(bad("another issuer"))?;
        claims.check_again(issuer, self.clock.now()).map_err(bad)?;
        // The key has to be there still: a dropped key ends what it signed.
        let by = self.signed_by(api, issuer, claims).await.map_err(known)?;
        let (Some(tenant_id), Some(org_id)) = (claims.tenant, claims.org) else {
            return Err(Reason::IdentityClaimsMissing.into());
        };
        // Before anything is looked up: an issuer learns nothing of tenants that are not its own.
        if let Issuer::Foreign(_, issuer) = issuer
            && !issuer.tenants.contains(&tenant_id)
        {
            return Err(Reason::bad("the issuer does not speak for this tenant").into());
        }
        let (tenant, org) = self.home(api, tenant_id, org_id).await.map_err(known)?;
        if claims.token.is_some_and(|token| self.directory.token_is_revoked(tenant_id, token)) {
            return Err(bad("the token is revoked"));
        }
        let (account_id, link) = match (&claims.subject, issuer) {
            (ClaimedSubject::Account(account), _) => (*account, None),
            (ClaimedSubject::Foreign(subject), Issuer::Foreign(_, issuer)) => {
                self.linked(tenant_id, issuer, subject, claims.issued_at).await.map_err(known)?
            }
            (ClaimedSubject::Foreign(_), Issuer::Own) => return Err(bad("`sub` is not an account id")),
        };
        let (account, member) = self.person(api, tenant_id, org_id, account_id).await.map_err(known)?;
        if link.is_some() {
            // A token of ours ends with its session; another issuer's knows of none, but says when it was issued.
            let floors = [tenant.floor, org.floor, account.floor, member.floor];
            let floor = floors.map(|floor| floor.tokens_from).into_iter().max().unwrap_or_default();
            if UnixMillis::from_seconds(claims.issued_at) < floor.plus_seconds(issuer.leeway()) {
                return Err(bad("all tokens of the tenant, organization, account or member were revoked"));
            }
        }
        let link = match claims.session {
            Some(session) => {
                Some(self.session(session, &tenant, &org, &account, &member).await.map_err(known)?)
            }
            None => link,
        };
        let grants = granted(api, claims.role.as_deref(), &member);
        let person = Person { account, member, grants, by, link };
        Ok(Principal::new(api.clone(), client, Proof::Identity(identity), Parts::Person(person), tenant, org))
    }

    /// The state of the key that the token was signed with, if it is the same key still.
    async fn signed_by(
        &self,
        api: &Api,
        issuer: Issuer<'_>,
        claims: &IdentityClaims,
    ) -> Result<Version, Reason> {
        let key = self.signing_key(api, issuer, &claims.kid).await?;
        let key = key.map_err(|_| Reason::bad("the signing key is gone"))?;
        if !claims.is_signed_with(key.get()) {
            return Err(Reason::bad("the signing key's name is another key's now"));
        }
        Ok(key.version())
    }

    /// The account that another issuer's subject stands for.
    async fn linked(
        &self,
        tenant: TenantId,
        issuer: &ForeignIssuer,
        subject: &str,
        issued_at: i64,
    ) -> Result<(AccountId, Option<Version>), Reason> {
        let link = self.directory.foreign_identity(tenant, &issuer.issuer, subject).resolve().await?;
        let link = link.ok_or(Reason::bad("nobody is linked to this subject"))?;
        // A clock that goes ahead dates a token later than it was made: so much later does the floor lie.
        let floor = link.not_before.plus_seconds(issuer.leeway_seconds);
        if UnixMillis::from_seconds(issued_at) < floor {
            return Err(Reason::bad("issued before the link's floor"));
        }
        Ok((link.account, Some(link.version)))
    }

    /// The session's state, if it is there, live, this person's, and made under today's generations.
    async fn session(
        &self,
        id: SessionId,
        tenant: &TenantRecord,
        org: &OrgRecord,
        account: &AccountRecord,
        member: &MemberRecord,
    ) -> Result<Version, Reason> {
        let found = self.directory.session(tenant.tenant, id).resolve().await?;
        let session: Found<SessionRecord> = found.ok_or(Reason::bad("no such session"))?;
        if session.ended || self.clock.now() >= session.expires_at.plus_seconds(LEEWAY_SECONDS) {
            return Err(Reason::bad("the session has ended"));
        }
        if session.account != account.account || session.org != org.org {
            return Err(Reason::bad("the session is somebody else's, or of another organization"));
        }
        let today = Generations {
            tenant: tenant.floor.generation,
            org: org.floor.generation,
            account: account.floor.generation,
            member: member.floor.generation,
        };
        if session.made_under != today {
            return Err(Reason::bad(
                "all tokens of the tenant, organization, account or member were revoked",
            ));
        }
        Ok(session.version)
    }
}

/// The lower of what the token claims and what the member is today.
fn granted(api: &Api, claimed: Option<&str>, member: &MemberRecord) -> Option<Arc<Grants>> {
    let live = api.roles.grants(member.role.as_str())?;
    let claimed = claimed?;
    if member.role.matches(claimed) {
        return Some(live.clone());
    }
    Some(Arc::new(api.roles.grants(claimed)?.intersect(live)))
}

const NO_KEY: &str = "no such signing key";

/// A key that verifies identity tokens, wherever it is kept.
enum SigningKey {
    Own(Found<VerifyingKey>),
    Foreign(Arc<crate::key_set::KeySet>, usize),
}

impl SigningKey {
    #[expect(clippy::indexing_slicing, reason = "the place was found in this very set, which never changes")]
    fn get(&self) -> &VerifyingKey {
        match self {
            Self::Own(found) => &found.record,
            Self::Foreign(keys, at) => &keys.keys()[*at],
        }
    }

    /// Another issuer's keys have no state in the directory.
    fn version(&self) -> Version {
        match self {
            Self::Own(found) => found.version,
            Self::Foreign(..) => Version::ABSENT,
        }
    }
}
