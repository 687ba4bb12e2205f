//! Who a request is from, proven.

use std::sync::Arc;

use crate::api::Api;
use crate::api_key::KeyDigest;
use crate::clock::UnixMillis;
use crate::credential::CredentialKind;
use crate::directory::{Directory, Found, KeyRecord, OrgRecord, Subject, TenantRecord, Version};
use crate::grants::Grants;
use crate::id::{AccountId, Environment, KeyId, OrgId, RealmName, RoleName, SessionId, TenantId, TokenId};
use crate::network::Client;
use crate::refusal::Who;

use super::claims::IdentityClaims;
use super::person::Person;
use super::proof::{IdentityProof, Proof};

/// Proof of who a request is from, and that it stood when it was let in. Only this folder can make one, and nobody can
/// copy one:
///
/// ```compile_fail,E0451
/// fn forge(api: std::sync::Arc<claviger::Api>, client: claviger::network::Client) -> claviger::Principal {
///     claviger::Principal {
///         api, client, proof: todo!(), parts: todo!(), tenant: todo!(), org: todo!(), environment: todo!(),
///     }
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn copy(principal: &claviger::Principal) -> claviger::Principal {
///     claviger::Principal::clone(principal)
/// }
/// ```
///
/// What may be done with one from outside:
///
/// ```
/// fn tenant_of(principal: &claviger::Principal) -> claviger::id::TenantId {
///     principal.tenant().tenant
/// }
/// ```
#[derive(Debug)]
pub struct Principal {
    api: Arc<Api>,
    client: Client,
    proof: Proof,
    parts: Parts,
    tenant: Found<TenantRecord>,
    org: Found<OrgRecord>,
    environment: Environment,
}

/// What was found, by kind of credential.
#[derive(Debug)]
pub(crate) enum Parts {
    Key(Found<KeyRecord>),
    Person(Person),
}

/// Tells one credential from every other, for memories of what was derived from one: of the same kind, the same bytes
/// stand for the same caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialTag {
    kind: CredentialKind,
    bytes: [u8; 32],
}

/// The states of everything that a principal was found by: while they are the same, so is everything it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([Version; 6]);

impl Principal {
    pub(super) fn new(
        api: Arc<Api>,
        client: Client,
        proof: Proof,
        parts: Parts,
        tenant: Found<TenantRecord>,
        org: Found<OrgRecord>,
    ) -> Box<Self> {
        // People act in `live`; what a key acts in is its record's to say.
        let environment = match &parts {
            Parts::Key(record) => record.environment,
            Parts::Person(_) => Environment::Live,
        };
        Box::new(Self { api, client, proof, parts, tenant, org, environment })
    }

    /// The API it was let in to.
    pub fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// Where it came from.
    pub fn client(&self) -> Client {
        self.client
    }

    /// The kind of credential it was proven by.
    pub fn kind(&self) -> CredentialKind {
        match &self.proof {
            Proof::Key(_) => CredentialKind::ApiKey,
            Proof::Identity(_) => CredentialKind::IdentityToken,
            Proof::User(_) => CredentialKind::UserToken,
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantRecord {
        &self.tenant
    }

    /// The organization.
    pub fn org(&self) -> &OrgRecord {
        &self.org
    }

    /// The realm.
    pub fn realm(&self) -> &RealmName {
        &self.tenant.realm
    }

    /// Tenant and organization ids.
    pub fn ids(&self) -> (TenantId, OrgId) {
        (self.tenant.tenant, self.org.org)
    }

    /// Live or sandbox.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// What the credential and its owner's role allow together. `None` if nobody knows the role.
    pub fn grants(&self) -> Option<&Grants> {
        match &self.parts {
            Parts::Key(record) => Some(&record.record.grants),
            Parts::Person(person) => person.grants.as_deref(),
        }
    }

    /// The key, if it is one.
    pub fn key(&self) -> Option<KeyId> {
        match &self.parts {
            Parts::Key(record) => Some(record.key),
            Parts::Person(_) => None,
        }
    }

    /// By what the secret is found that was shown, if it is a key: one of the two that a rotated key has.
    pub fn key_secret(&self) -> Option<&KeyDigest> {
        match &self.proof {
            Proof::Key(proof) => Some(&proof.digest),
            Proof::Identity(_) | Proof::User(_) => None,
        }
    }

    /// The account, if it is a person's token.
    pub fn account(&self) -> Option<AccountId> {
        self.person().map(|person| person.account.account)
    }

    /// The live role, if it is a person's token.
    pub fn role(&self) -> Option<&RoleName> {
        self.person().map(|person| &person.member.record.role)
    }

    fn person(&self) -> Option<&Person> {
        match &self.parts {
            Parts::Key(_) => None,
            Parts::Person(person) => Some(person),
        }
    }

    fn claims(&self) -> Option<&IdentityClaims> {
        match &self.proof {
            Proof::Identity(identity) => Some(&identity.claims),
            Proof::Key(_) | Proof::User(_) => None,
        }
    }

    /// Whether what was shown to its own API would be taken by another one in its place as well: of the same kind, and by the same rules
    /// of whoever made it. What it hangs on otherwise is asked apart.
    pub(crate) fn is_proven_to(&self, other: &Arc<Api>) -> bool {
        if Arc::ptr_eq(&self.api, other) {
            return true;
        }
        if self.api.realm != other.realm || !other.credentials.contain(self.kind()) {
            return false;
        }
        match (&self.proof, self.claims()) {
            (Proof::User(_), _) => self.api.user_token_issuer == other.user_token_issuer,
            (_, Some(claims)) => claims.has_the_same_issuer(&self.api, other),
            (_, None) => self.api.key_prefix == other.key_prefix,
        }
    }

    /// When the credential itself ends, if it does. Open streams end with it.
    pub fn expires_at(&self) -> Option<UnixMillis> {
        match &self.parts {
            Parts::Key(record) => record.expires_at,
            Parts::Person(_) => self.claims().map(|claims| UnixMillis::from_seconds(claims.expires_at)),
        }
    }

    /// One text that tells this credential from every other within its tenant: for logs and audit, no secret. Visible
    /// ASCII without quotes or backslashes.
    pub fn credential_id(&self) -> Box<str> {
        match (&self.parts, &self.proof) {
            (Parts::Key(record), _) => record.key.to_string().into(),
            (_, Proof::Identity(identity)) => identity.claims.id.clone(),
            (_, Proof::User(user)) => user.kid.clone(),
            // A key's proof comes with a key's record.
            (Parts::Person(_), Proof::Key(_)) => Box::default(),
        }
    }

    /// The session, if it has one.
    pub fn session(&self) -> Option<SessionId> {
        self.claims().and_then(|claims| claims.session)
    }

    /// The `jti` of an identity token of ours: another issuer's is a name of its own making.
    pub(crate) fn own_token(&self) -> Option<TokenId> {
        self.claims().and_then(|claims| claims.token).filter(|token| token.is_own())
    }

    /// Whether it is a token of another issuer, whose word on who somebody is goes as far as its tokens do and no further.
    pub fn is_anothers_word(&self) -> bool {
        self.claims().is_some() && self.own_token().is_none()
    }

    /// Whether there is something to revoke this one credential by: another issuer's token may have no `jti`.
    pub fn can_be_revoked_alone(&self) -> bool {
        self.claims().is_none_or(|claims| claims.token.is_some())
    }

    /// Ids, to be written down.
    pub fn who(&self) -> Who {
        let (tenant, org) = self.ids();
        Who {
            kind: self.kind(),
            tenant,
            org,
            environment: self.environment,
            credential: self.credential_id(),
            key: self.key(),
            account: self.account(),
        }
    }

    /// What memories of this credential are kept under. A key's is the same for all of its secrets, and a user token's
    /// for all of its user's in this organization: they say the same of who is calling.
    pub fn tag(&self) -> CredentialTag {
        let mut bytes = [0; 32];
        match (&self.parts, &self.proof) {
            (Parts::Key(record), _) => fill(&mut bytes, record.key.as_bytes(), &[]),
            (_, Proof::Identity(identity)) => bytes = *identity.claims.hash.as_bytes(),
            (Parts::Person(person), _) => {
                fill(&mut bytes, person.account.account.as_bytes(), self.org.org.as_bytes());
            }
        }
        CredentialTag { kind: self.kind(), bytes }
    }

    /// The states of everything it was found by.
    pub fn stamp(&self) -> Stamp {
        let absent = Version::ABSENT;
        let (tenant, org) = (self.tenant.version, self.org.version);
        Stamp(match &self.parts {
            Parts::Key(record) => [tenant, org, record.version, absent, absent, absent],
            Parts::Person(person) => [
                tenant,
                org,
                person.account.version,
                person.member.version,
                person.by,
                person.link.unwrap_or(absent),
            ],
        })
    }

    /// Whether nothing has changed of all that it was found by, as far as that is known without asking. Expiry is no
    /// change, and is not looked at.
    pub(crate) fn is_unchanged(&self, directory: &dyn Directory) -> bool {
        let mut same = true;
        self.each_used(|subject, version| same = same && directory.version_of(subject) == Some(version));
        same && self.claims().is_none_or(|claims| claims.is_of_current_keys(&self.api))
    }

    /// Calls `visit` for everything that it was found by, with the state it was in.
    pub(crate) fn each_used(&self, mut visit: impl FnMut(Subject<'_>, Version)) {
        let (tenant, org) = self.ids();
        visit(Subject::Tenant(tenant), self.tenant.version);
        visit(Subject::Org(tenant, org), self.org.version);
        match (&self.parts, &self.proof) {
            (Parts::Key(record), Proof::Key(key)) => visit(Subject::Key(&key.digest), record.version),
            (Parts::Person(person), proof) => {
                let account = person.account.account;
                visit(Subject::Account(account), person.account.version);
                visit(Subject::Member(tenant, org, account), person.member.version);
                match proof {
                    Proof::Identity(identity) => identity.claims.each_used(&self.api, tenant, person, visit),
                    Proof::User(user) => visit(Subject::UserSecret(&user.kid), person.by),
                    Proof::Key(_) => {}
                }
            }
            (Parts::Key(_), _) => {}
        }
    }

    /// What it was proven by, to be asked about anew.
    pub(crate) fn proof_again(&self) -> Proof {
        self.proof.again()
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The claims of a token whose signature was found good just now.
    pub(super) fn claims_to_remember(&self) -> Option<&Arc<IdentityClaims>> {
        match &self.proof {
            Proof::Identity(IdentityProof { claims, is_remembered: false }) => Some(claims),
            _ => None,
        }
    }
}

fn fill(bytes: &mut [u8; 32], first: &[u8], second: &[u8]) {
    for (to, from) in bytes.iter_mut().zip(first.iter().chain(second)) {
        *to = *from;
    }
}

/// Whose key it is.
pub(super) fn key_who(record: &KeyRecord) -> Who {
    Who {
        kind: CredentialKind::ApiKey,
        tenant: record.tenant,
        org: record.org,
        environment: record.environment,
        credential: record.key.to_string().into(),
        key: Some(record.key),
        account: None,
    }
}

/// Whose user token it is.
pub(super) fn person_who(kid: &str, tenant: TenantId, org: OrgId, account: Option<AccountId>) -> Who {
    Who {
        kind: CredentialKind::UserToken,
        tenant,
        org,
        environment: Environment::Live,
        credential: kid.into(),
        key: None,
        account,
    }
}
