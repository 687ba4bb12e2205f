//! What an identity token says: read strictly, by the rules of whoever says they issued it.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::api::{Api, ForeignIssuer};
use crate::clock::{LEEWAY_SECONDS, UnixMillis};
use crate::directory::{Subject, Version};
use crate::id::{AccountId, OrgId, SessionId, TenantId, TokenId};
use crate::json::Json;
use crate::jws::{CompactJws, Header, MAX_DEPTH, MAX_TOKEN_BYTES};
use crate::key_set::{Algorithm, VerifyingKey};
use crate::refusal::Why;

use super::person::Person;
use super::token_hash::TokenHash;

/// Beyond this a number of seconds is no date (2⁵³).
const MAX_SECONDS: i64 = 1 << 53;
/// The longest `sub`, in bytes (OpenID Connect Core, section 2).
const MAX_SUBJECT_BYTES: usize = 255;
/// The longest name of a credential that is written down as it is, in bytes.
const MAX_SHOWN_ID: usize = 64;

/// Who issued a token, as it says itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Issuer<'a> {
    /// We did.
    Own,
    /// Another one did, which has this place among the API's.
    Foreign(usize, &'a ForeignIssuer),
}

impl<'a> Issuer<'a> {
    /// Whom `iss` names, to the letter.
    pub(super) fn named(api: &'a Api, iss: &str) -> Option<Self> {
        if *api.identity_tokens.issuer == *iss {
            return Some(Self::Own);
        }
        let mut foreign = api.foreign_issuers.iter().enumerate();
        foreign.find(|(_, issuer)| *issuer.issuer == *iss).map(|(at, issuer)| Self::Foreign(at, issuer))
    }

    pub(super) fn leeway(self) -> i64 {
        match self {
            Self::Own => LEEWAY_SECONDS,
            Self::Foreign(_, issuer) => issuer.leeway_seconds,
        }
    }
}

/// A token's claims before its signature was looked at: they can be refused, and otherwise say nothing so far.
#[derive(Debug)]
pub(super) struct Unproven<'a> {
    pub(super) issuer: Issuer<'a>,
    claims: IdentityClaims,
}

/// What a token with a good signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityClaims {
    /// What it is remembered under.
    pub(super) hash: TokenHash,
    pub(super) kid: Box<str>,
    /// The public key that the signature was good under: a key set that gives the name to another key ends it.
    key: [u8; 32],
    /// The issuer's place among the API's; `None` for ours.
    foreign: Option<usize>,
    pub(super) subject: ClaimedSubject,
    /// What it is written down as.
    pub(super) id: Box<str>,
    /// What it can be revoked by alone; `None` for another issuer's that has no `jti`.
    pub(super) token: Option<TokenId>,
    pub(super) session: Option<SessionId>,
    pub(super) issued_at: i64,
    not_before: Option<i64>,
    pub(super) expires_at: i64,
    /// `None` where the claim is missing or is no id.
    pub(super) tenant: Option<TenantId>,
    pub(super) org: Option<OrgId>,
    pub(super) role: Option<Box<str>>,
}

/// The `sub`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClaimedSubject {
    /// An account of ours.
    Account(AccountId),
    /// A name that another issuer gave.
    Foreign(Box<str>),
}

impl<'a> Unproven<'a> {
    /// Reads header and claims (RFC 9068, section 2.2), and checks all that can be checked without a key.
    ///
    /// # Errors
    /// With what is wrong, for the log.
    pub(super) fn read(
        api: &'a Api,
        token: CompactJws<'_>,
        header: &Header,
        now: UnixMillis,
    ) -> Result<Self, Why> {
        let depths = api.foreign_issuers.iter().map(|issuer| issuer.max_claims_depth);
        let deepest = depths.chain([MAX_DEPTH]).max().unwrap_or(MAX_DEPTH);
        let json = token.claims(deepest)?;
        let iss = text(&json, "iss").ok_or("`iss` is missing")?;
        let issuer = Issuer::named(api, iss).ok_or("another issuer")?;
        let (longest, deepest) = match issuer {
            Issuer::Own => (MAX_TOKEN_BYTES, MAX_DEPTH),
            Issuer::Foreign(_, issuer) => (issuer.max_token_bytes, issuer.max_claims_depth),
        };
        if token.as_str().len() > longest {
            return Err(format!("longer than {longest} bytes").into());
        }
        if json.depth() > deepest {
            return Err(format!("its claims are nested deeper than {deepest}").into());
        }
        check_kind(api, issuer, header, &json)?;
        let claims = IdentityClaims::read(api, issuer, token, header, &json)?;
        claims.check_times(issuer.leeway(), now)?;
        let lifetime = match issuer {
            Issuer::Own => api.identity_tokens.lifetime_seconds,
            Issuer::Foreign(_, issuer) => issuer.lifetime_seconds,
        };
        if claims.expires_at.saturating_sub(claims.issued_at) > lifetime.saturating_add(issuer.leeway()) {
            return Err("made to live too long".into());
        }
        Ok(Self { issuer, claims })
    }

    /// What the token is remembered and counted by.
    pub(super) fn hash(&self) -> &TokenHash {
        &self.claims.hash
    }

    /// Checks the signature under `key`, which decides how.
    ///
    /// # Errors
    /// With what is wrong, for the log.
    pub(super) fn prove(
        mut self,
        token: CompactJws<'_>,
        header: &Header,
        key: &VerifyingKey,
    ) -> Result<IdentityClaims, Why> {
        let agrees = match self.issuer {
            Issuer::Own => *header.alg == *key.algorithm().as_str(),
            Issuer::Foreign(..) => Algorithm::from_name(&header.alg) == Some(key.algorithm()),
        };
        if !agrees {
            return Err("another algorithm than the key's".into());
        }
        let signature = token.signature().ok_or("the signature is not canonical base64url")?;
        if !key.verifies(token.signing_input(), &signature) {
            return Err("the signature is wrong".into());
        }
        self.claims.key = *key.thumbprint();
        Ok(self.claims)
    }
}

/// Whether it is an access token, and one for this API.
fn check_kind(api: &Api, issuer: Issuer<'_>, header: &Header, json: &Json) -> Result<(), Why> {
    let (audience, is_kind) = match issuer {
        Issuer::Own => {
            let rules = &api.identity_tokens;
            (Some(&rules.audience), header.typ.as_deref() == Some(&*rules.typ))
        }
        Issuer::Foreign(_, issuer) => {
            let is = |wanted: &str| crate::api::is_type(header.typ.as_deref().unwrap_or_default(), wanted);
            (issuer.audience.as_ref(), issuer.types.iter().any(|wanted| is(wanted)))
        }
    };
    if let Some(audience) = audience {
        let claim = json.get("aud").ok_or("`aud` is missing")?;
        let texts = |items: &[Json]| items.iter().all(|item| item.as_str().is_some());
        if !(claim.as_str().is_some() || claim.as_array().is_some_and(texts)) {
            return Err("`aud` is neither a text nor a list of texts".into());
        }
        if !says(claim, audience) {
            // As much of it as helps to see the difference; it is no secret, and may be long.
            let found: String = format!("{claim:?}").chars().take(100).collect();
            return Err(format!("for another audience than `{audience}`: its `aud` is {found}").into());
        }
    }
    if !is_kind {
        return Err("another kind of token (`typ`)".into());
    }
    if let Issuer::Foreign(_, issuer) = issuer {
        for (claim, value) in &issuer.required_claims {
            if !json.get(claim).is_some_and(|found| says(found, value)) {
                return Err(format!("`{claim}` is not `{value}`").into());
            }
        }
    }
    Ok(())
}

/// Whether a claim is this text, or a list with it in it.
fn says(claim: &Json, value: &str) -> bool {
    claim.as_str() == Some(value)
        || claim.as_array().is_some_and(|items| items.iter().any(|item| item.as_str() == Some(value)))
}

fn text<'a>(json: &'a Json, name: &str) -> Option<&'a str> {
    json.get(name).and_then(Json::as_str).filter(|text| !text.is_empty())
}

fn seconds(json: &Json, name: &str) -> Result<Option<i64>, &'static str> {
    let Some(value) = json.get(name) else { return Ok(None) };
    let seconds = value.as_int().filter(|n| (0..MAX_SECONDS).contains(n));
    seconds.map(Some).ok_or("a time is not a number of seconds")
}

impl IdentityClaims {
    fn read(
        api: &Api,
        issuer: Issuer<'_>,
        token: CompactJws<'_>,
        header: &Header,
        json: &Json,
    ) -> Result<Self, &'static str> {
        let subject = text(json, "sub")
            .filter(|sub| sub.len() <= MAX_SUBJECT_BYTES && !sub.chars().any(char::is_control))
            .ok_or("`sub` is missing, too long, or has control characters")?;
        let (foreign, subject, session, (token_id, id)) = match issuer {
            Issuer::Own => {
                let id = |name: &str| text(json, name).ok_or("an id is missing");
                let account = subject.parse().map_err(|_| "`sub` is not an account id")?;
                let session = id("sid")?.parse().map_err(|_| "`sid` is not a version 4 UUID")?;
                let jti: TokenId = id("jti")?.parse().map_err(|_| "`jti` is not a version 4 UUID")?;
                if !jti.is_own() {
                    return Err("`jti` is not a version 4 UUID");
                }
                let named = (Some(jti), jti.to_string().into());
                (None, ClaimedSubject::Account(account), Some(session), named)
            }
            Issuer::Foreign(at, issuer) => {
                let jti = match json.get("jti") {
                    None => None,
                    // Any text (RFC 7519, section 4.1.7).
                    Some(jti) => Some(jti.as_str().ok_or("`jti` is not a text")?),
                };
                // Another issuer's `sid` is a name of its own making, and must not pass for a session of ours.
                (Some(at), ClaimedSubject::Foreign(subject.into()), None, name_of(issuer, jti, token))
            }
        };
        Ok(Self {
            hash: TokenHash::of(api, token.as_str()),
            kid: header.kid.clone(),
            key: [0; 32],
            foreign,
            subject,
            id,
            token: token_id,
            session,
            issued_at: seconds(json, "iat")?.ok_or("`iat` is missing")?,
            not_before: seconds(json, "nbf")?,
            expires_at: seconds(json, "exp")?.ok_or("`exp` is missing")?,
            tenant: text(json, "tenant_id").and_then(|id| id.parse().ok()),
            org: text(json, "org_id").and_then(|id| id.parse().ok()),
            role: text(json, "role").map(Into::into),
        })
    }

    /// Expiry and beginning, with so much leeway: at every use.
    fn check_times(&self, leeway: i64, now: UnixMillis) -> Result<(), &'static str> {
        let now = now.seconds();
        if now >= self.expires_at.saturating_add(leeway) {
            return Err("expired");
        }
        let latest = now.saturating_add(leeway);
        if self.issued_at > latest || self.not_before.is_some_and(|start| start > latest) {
            return Err("not valid yet");
        }
        Ok(())
    }

    /// Who issued it; `None` if the API does not trust that issuer any more, which another API does not change.
    pub(super) fn issuer<'a>(&self, api: &'a Api) -> Option<Issuer<'a>> {
        match self.foreign {
            None => Some(Issuer::Own),
            Some(at) => api.foreign_issuers.get(at).map(|issuer| Issuer::Foreign(at, issuer)),
        }
    }

    /// What is checked at every use of a token that was found good before.
    pub(super) fn check_again(&self, issuer: Issuer<'_>, now: UnixMillis) -> Result<(), &'static str> {
        self.check_times(issuer.leeway(), now)
    }

    /// Whether the key that it was signed with is `key` still.
    pub(super) fn is_signed_with(&self, key: &VerifyingKey) -> bool {
        self.key == *key.thumbprint()
    }

    /// Whether both APIs know the issuer, by the same rules.
    pub(super) fn has_the_same_issuer(&self, one: &Api, other: &Api) -> bool {
        match (self.issuer(one), self.issuer(other)) {
            (Some(Issuer::Own), Some(Issuer::Own)) => one.identity_tokens == other.identity_tokens,
            (Some(Issuer::Foreign(_, rules)), Some(Issuer::Foreign(_, others))) => {
                rules.has_the_rules_of(others)
            }
            _ => false,
        }
    }

    /// Whether another issuer's key is what it was. Ours are the directory's to tell of.
    pub(super) fn is_of_current_keys(&self, api: &Api) -> bool {
        match self.issuer(api) {
            Some(Issuer::Own) => true,
            Some(Issuer::Foreign(_, issuer)) => {
                issuer.keys.peek().find(&self.kid).is_some_and(|key| self.is_signed_with(key))
            }
            None => false,
        }
    }

    /// Calls `visit` for what only such tokens hang on.
    pub(super) fn each_used(
        &self,
        api: &Api,
        tenant: TenantId,
        person: &Person,
        mut visit: impl FnMut(Subject<'_>, Version),
    ) {
        let link = person.link.unwrap_or(Version::ABSENT);
        match (self.issuer(api), &self.subject) {
            (Some(Issuer::Foreign(_, issuer)), ClaimedSubject::Foreign(subject)) => {
                visit(Subject::ForeignIdentity(tenant, &issuer.issuer, subject), link);
            }
            _ => visit(Subject::IdentityKey(&api.realm, &self.kid), person.by),
        }
        if let Some(session) = self.session {
            visit(Subject::Session(tenant, session), link);
        }
        if let Some(token) = self.token {
            visit(Subject::RevokedToken(tenant, token), Version::ABSENT);
        }
    }

    /// What it takes up beyond its own size, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let subject = match &self.subject {
            ClaimedSubject::Account(_) => 0,
            ClaimedSubject::Foreign(subject) => subject.len(),
        };
        self.kid.len() + self.id.len() + subject + self.role.as_ref().map_or(0, |role| role.len())
    }

    /// What share a memory gives it: that of its issuer, and within it that of its session or, where there is none, its
    /// subject.
    pub(super) fn holder(&self) -> (Option<usize>, [u8; 16]) {
        let session = match (&self.session, &self.subject) {
            (Some(session), _) => *session.as_bytes(),
            (None, ClaimedSubject::Account(account)) => *account.as_bytes(),
            (None, ClaimedSubject::Foreign(subject)) => {
                let digest = digest::digest(&digest::SHA256, subject.as_bytes());
                digest.as_ref().first_chunk().copied().unwrap_or_default()
            }
        };
        (self.foreign, session)
    }
}

/// What another issuer's token can be revoked by, and what it is written down as.
fn name_of(issuer: &ForeignIssuer, jti: Option<&str>, token: CompactJws<'_>) -> (Option<TokenId>, Box<str>) {
    let Some(jti) = jti else {
        let digest = digest::digest(&digest::SHA256, token.as_str().as_bytes());
        let start = digest.as_ref().get(..16).unwrap_or_default();
        return (None, format!("token:{}", URL_SAFE_NO_PAD.encode(start)).into());
    };
    let id = TokenId::foreign(&issuer.issuer, jti);
    let can_be_shown = (1..=MAX_SHOWN_ID).contains(&jti.len())
        && jti.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    (Some(id), if can_be_shown { jti.into() } else { id.to_string().into() })
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Claims of a token of ours in this session, or of another issuer's about this subject.
    pub(in super::super) fn claims(
        hash: TokenHash,
        whose: Result<SessionId, (usize, &str)>,
        expires_at: i64,
    ) -> IdentityClaims {
        let random = crate::testing::Counting::default();
        IdentityClaims {
            hash,
            kid: "k".into(),
            key: [0; 32],
            foreign: whose.err().map(|(at, _)| at),
            subject: match whose {
                Ok(_) => ClaimedSubject::Account(AccountId::generate(&random)),
                Err((_, subject)) => ClaimedSubject::Foreign(subject.into()),
            },
            id: "a3f8c120-4e72-4b91-9d63-1c5e7a09bf44".into(),
            token: None,
            session: whose.ok(),
            issued_at: 0,
            not_before: None,
            expires_at,
            tenant: None,
            org: None,
            role: Some("EDITOR".into()),
        }
    }
}
