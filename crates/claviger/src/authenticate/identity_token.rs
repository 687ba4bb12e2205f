//! Identity tokens: signed with a key of the realm, or of an issuer the API was told to trust.
//!
//! The signature of one exact text is checked once; everything that can change is checked at every use. A
//! token of our own counts for nothing without its session, present and live, under today's generations.

use std::sync::Arc;

use crate::api::{Api, ForeignIssuer, TokenRules};
use crate::clock::{LEEWAY_SECONDS, UnixMillis};
use crate::directory::{AccountRecord, Generations, MemberRecord, OrgRecord, State, TenantRecord};
use crate::id::{Environment, OrgId, SessionId, TenantId, TokenId};
use crate::inbound::Inbound;
use crate::json::Json;
use crate::jws::{CompactJws, Header};
use crate::key_set::{Algorithm, VerifyingKey};
use crate::refusal::Reason;

use super::Authenticator;
use super::principal::{Person, Principal, Subject, TokenFacts};
use super::verified::TokenHash;

/// Beyond this a number of seconds is no date (2⁵³).
const MAX_SECONDS: i64 = 1 << 53;

/// The longest `sub`, in bytes (OpenID Connect Core, section 2).
const MAX_SUBJECT_BYTES: usize = 255;

fn subject(text: &str) -> Option<Box<str>> {
    let good = text.len() <= MAX_SUBJECT_BYTES && !text.chars().any(char::is_control);
    good.then(|| text.into())
}

/// What a token with a good signature says. Nothing in it has been believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityClaims {
    pub(super) kid: Box<str>,
    /// The public key that the signature was good under: a key set that gives the name to another key ends it.
    pub(super) key: Box<[u8]>,
    pub(super) typ: Option<Box<str>>,
    pub(super) issuer: Box<str>,
    pub(super) audience: Box<[Box<str>]>,
    pub(super) subject: Box<str>,
    pub(super) token: TokenId,
    pub(super) session: Option<SessionId>,
    pub(super) issued_at: i64,
    pub(super) not_before: Option<i64>,
    pub(super) expires_at: i64,
    /// `None` where the claim is missing or is no id.
    pub(super) tenant: Option<TenantId>,
    pub(super) org: Option<OrgId>,
    pub(super) role: Option<Box<str>>,
}

impl IdentityClaims {
    /// Reads the claims every identity token has to have (RFC 9068, section 2.2).
    fn read(header: &Header, key: &VerifyingKey, is_own: bool, claims: &Json) -> Result<Self, &'static str> {
        let text = |name: &str| claims.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        let seconds = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_int()
                .filter(|n| (0..MAX_SECONDS).contains(n))
                .map(Some)
                .ok_or("a time is not a number of seconds"),
        };
        let audience = match claims.get("aud") {
            Some(Json::String(one)) => vec![one.as_str().into()],
            Some(Json::Array(several)) => several
                .iter()
                .map(|one| one.as_str().map(Into::into))
                .collect::<Option<Vec<_>>>()
                .ok_or("`aud` has something else than texts")?,
            _ => return Err("`aud` is missing"),
        };
        Ok(Self {
            kid: header.kid.clone(),
            key: key.raw().into(),
            typ: header.typ.clone(),
            issuer: text("iss").ok_or("`iss` is missing")?.into(),
            audience: audience.into(),
            subject: text("sub")
                .and_then(subject)
                .ok_or("`sub` is missing, too long, or has control characters")?,
            token: text("jti").and_then(|id| id.parse().ok()).ok_or("`jti` is not a version 4 UUID")?,
            session: match claims.get("sid") {
                // Another issuer's `sid` is a name of its own making, and must not pass for a session of ours.
                Some(sid) if is_own => {
                    Some(sid.as_str().and_then(|id| id.parse().ok()).ok_or("`sid` is not a version 4 UUID")?)
                }
                _ => None,
            },
            issued_at: seconds("iat")?.ok_or("`iat` is missing")?,
            not_before: seconds("nbf")?,
            expires_at: seconds("exp")?.ok_or("`exp` is missing")?,
            tenant: text("tenant_id").and_then(|id| id.parse().ok()),
            org: text("org_id").and_then(|id| id.parse().ok()),
            role: text("role").map(Into::into),
        })
    }

    /// How many bytes it takes up in memory, roughly.
    pub(super) fn weight(&self) -> usize {
        let texts = self.kid.len() + self.issuer.len() + self.subject.len();
        let audience: usize = self.audience.iter().map(|one| one.len() + 16).sum();
        size_of::<Self>() + texts + audience + self.role.as_ref().map_or(0, |role| role.len())
    }

    /// What the token's own issuer and times have to be, at every use.
    fn check(&self, rules: &TokenRules, now: UnixMillis) -> Result<(), &'static str> {
        if self.issuer != rules.issuer {
            return Err("another issuer");
        }
        if !self.audience.contains(&rules.audience) {
            return Err("another audience");
        }
        if self.typ.as_ref() != Some(&rules.typ) {
            return Err("another kind of token");
        }
        let now = now.seconds();
        if now >= self.expires_at.saturating_add(LEEWAY_SECONDS) {
            return Err("expired");
        }
        if self.expires_at.saturating_sub(self.issued_at)
            > rules.lifetime_seconds.saturating_add(LEEWAY_SECONDS)
        {
            return Err("made to live too long");
        }
        let latest = now.saturating_add(LEEWAY_SECONDS);
        if self.issued_at > latest || self.not_before.is_some_and(|start| start > latest) {
            return Err("not valid yet");
        }
        Ok(())
    }
}

impl Authenticator {
    /// The claims of this exact token, if its signature was found good before, under keys that are still there.
    pub(super) fn remembered(&self, api: &Api, token: CompactJws<'_>) -> Option<Arc<IdentityClaims>> {
        self.verified.get(&TokenHash::of(&api.name, token.as_str()))
    }

    pub(super) async fn identity_token(
        &self,
        api: &Api,
        inbound: &Inbound<'_>,
        token: CompactJws<'_>,
        header: &Header,
    ) -> Result<Principal, Reason> {
        // A signature costs some 25 µs, so an address that keeps sending bad ones has to wait.
        let entry = self.lookups.enter(inbound.client, self.clock.boot())?;
        let verified = self.verify(api, token, header).await;
        let claims = verified.inspect_err(|reason| {
            if matches!(reason, Reason::BadCredential { .. }) {
                entry.found_nothing();
            }
        })?;
        drop(entry);
        let claims = self.verified.insert(TokenHash::of(&api.name, token.as_str()), claims);
        self.identity_claims(api, claims).await
    }

    /// Checks the signature under the key that the header names, and which decides everything else.
    async fn verify(
        &self,
        api: &Api,
        token: CompactJws<'_>,
        header: &Header,
    ) -> Result<IdentityClaims, Reason> {
        let bad = |why| Reason::BadCredential { why };
        let own = self.directory.identity_key(&api.realm, &header.kid).resolve().await?;
        let foreign = foreign_key(api, &header.kid).map(|(_, key)| key);
        let key = own.as_deref().or(foreign).ok_or(bad("no such signing key"))?;
        if Algorithm::from_name(&header.alg) != Some(key.algorithm()) {
            return Err(bad("another algorithm than the key's"));
        }
        let signature = token.signature().ok_or(bad("the signature is not canonical base64url"))?;
        if !key.verifies(token.signing_input(), &signature) {
            return Err(bad("the signature is wrong"));
        }
        let claims = token.claims().map_err(bad)?;
        IdentityClaims::read(header, key, own.is_some(), &claims).map_err(bad)
    }

    /// Everything that is checked at every use of a token whose signature is good.
    pub(super) async fn identity_claims(
        &self,
        api: &Api,
        claims: Arc<IdentityClaims>,
    ) -> Result<Principal, Reason> {
        let bad = |why| Reason::BadCredential { why };
        let now = self.clock.now();
        // The key has to be there still: a dropped key ends what it signed.
        let own = self.directory.identity_key(&api.realm, &claims.kid).resolve().await?;
        let foreign = if own.is_some() { None } else { foreign_key(api, &claims.kid) };
        let key = own.as_deref().or(foreign.map(|(_, key)| key)).ok_or(bad("the signing key is gone"))?;
        if *key.raw() != *claims.key {
            return Err(bad("the signing key's name is another key's now"));
        }
        let foreign = foreign.map(|(issuer, _)| issuer);
        claims.check(foreign.map_or(&api.identity_tokens, |issuer| &issuer.rules), now).map_err(bad)?;

        let (Some(tenant_id), Some(org_id)) = (claims.tenant, claims.org) else {
            return Err(Reason::IdentityClaimsMissing);
        };
        // Before anything is looked up: an issuer learns nothing of tenants that are not its own.
        if foreign.is_some_and(|issuer| !issuer.tenants.contains(&tenant_id)) {
            return Err(bad("the issuer does not speak for this tenant"));
        }
        let (tenant, org) = self.home(api, tenant_id, org_id).await?;
        if self.directory.token_is_revoked(tenant_id, claims.token) {
            return Err(bad("the token is revoked"));
        }
        let account_id = match foreign {
            None => claims.subject.parse().map_err(|_| bad("`sub` is not an account id"))?,
            Some(issuer) => {
                let link = self.directory.foreign_identity(tenant_id, &issuer.rules.issuer, &claims.subject);
                let link = link.resolve().await?.ok_or(bad("nobody is linked to this subject"))?;
                if UnixMillis::from_seconds(claims.issued_at) < link.not_before {
                    return Err(bad("issued before the link's floor"));
                }
                link.account
            }
        };
        let account = self.directory.account(account_id).resolve().await?.ok_or(bad("no such account"))?;
        if account.state == State::Deleted || account.realm != api.realm {
            return Err(bad("the account is gone"));
        }
        let member = self.membership(tenant_id, org_id, account_id).await?;
        if foreign.is_none() {
            let session = claims.session.ok_or(bad("the token names no session"))?;
            self.check_session(session, &tenant, &org, &account, &member).await?;
        }
        // The lower of what the token claims and what the member is today.
        let claimed = claims.role.as_deref().and_then(|role| api.roles.grants(role));
        let live = api.roles.grants(member.role.as_str());
        let token = TokenFacts::Identity {
            session: claims.session,
            claims: claims.clone(),
            token: claims.token,
            expires_at: UnixMillis::from_seconds(claims.expires_at),
        };
        Ok(Principal {
            grants: claimed.zip(live).map(|(claimed, live)| claimed.intersect(live)),
            subject: Subject::Person(Person { account, member, token }.into()),
            environment: Environment::Live,
            tenant,
            org,
        })
    }

    /// Whether the session is there, live, this person's, and made under today's generations.
    pub(super) async fn check_session(
        &self,
        id: SessionId,
        tenant: &TenantRecord,
        org: &OrgRecord,
        account: &AccountRecord,
        member: &MemberRecord,
    ) -> Result<(), Reason> {
        let bad = |why| Reason::BadCredential { why };
        let session =
            self.directory.session(tenant.tenant, id).resolve().await?.ok_or(bad("no such session"))?;
        if session.ended || self.clock.now() >= session.expires_at.plus_seconds(LEEWAY_SECONDS) {
            return Err(bad("the session has ended"));
        }
        if session.account != account.account || session.org != org.org {
            return Err(bad("the session is somebody else's, or of another organization"));
        }
        let today = Generations {
            tenant: tenant.generation,
            org: org.generation,
            account: account.generation,
            member: member.generation,
        };
        if session.made_under != today {
            return Err(bad("all tokens of the tenant, organization, account or member were revoked"));
        }
        Ok(())
    }
}

fn foreign_key<'a>(api: &'a Api, kid: &str) -> Option<(&'a ForeignIssuer, &'a VerifyingKey)> {
    api.foreign_issuers
        .iter()
        .find_map(|issuer| issuer.keys.iter().find(|key| key.kid() == kid).map(|key| (issuer, key)))
}
