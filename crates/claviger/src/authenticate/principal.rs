//! Who a request is from, proven.

use std::sync::Arc;

use crate::api_key::KeyDigest;
use crate::clock::UnixMillis;
use crate::directory::{AccountRecord, KeyRecord, MemberRecord, OrgRecord, TenantRecord};
use crate::grants::Grants;
use crate::id::{AccountId, Environment, KeyId, OrgId, RealmName, RoleName, SessionId, TenantId, TokenId};
use crate::refusal::CredentialKind;

use super::identity_token::IdentityClaims;

/// Proof of who a request is from. Only this folder can make one:
///
/// ```compile_fail
/// let principal = claviger::authenticate::Principal { subject: todo!() };
/// ```
///
/// What may be done with one from outside:
///
/// ```
/// fn tenant_of(principal: &claviger::authenticate::Principal) -> claviger::id::TenantId {
///     principal.tenant().tenant
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Principal {
    pub(super) subject: Subject,
    pub(super) tenant: Arc<TenantRecord>,
    pub(super) org: Arc<OrgRecord>,
    pub(super) environment: Environment,
    pub(super) grants: Option<Grants>,
}

/// What was proven, by kind of credential.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    Key(Arc<KeyRecord>, KeyDigest),
    Person(Arc<Person>),
}

/// A person acting as a member of an organization.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) account: Arc<AccountRecord>,
    pub(crate) member: Arc<MemberRecord>,
    pub(crate) token: TokenFacts,
}

/// What a person's token says of itself.
#[derive(Debug, Clone)]
pub(crate) enum TokenFacts {
    Identity {
        claims: Arc<IdentityClaims>,
        session: Option<SessionId>,
        token: TokenId,
        expires_at: UnixMillis,
    },
    User {
        kid: Box<str>,
    },
}

impl Principal {
    /// The kind of credential it was proven by.
    pub fn kind(&self) -> CredentialKind {
        match &self.subject {
            Subject::Key(..) => CredentialKind::ApiKey,
            Subject::Person(person) => match person.token {
                TokenFacts::Identity { .. } => CredentialKind::IdentityToken,
                TokenFacts::User { .. } => CredentialKind::UserToken,
            },
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

    /// What the credential and its owner's role allow together. Empty if the role is unknown.
    pub fn grants(&self) -> Option<&Grants> {
        self.grants.as_ref()
    }

    /// The key, if it is one.
    pub fn key(&self) -> Option<KeyId> {
        match &self.subject {
            Subject::Key(record, _) => Some(record.key),
            Subject::Person(_) => None,
        }
    }

    /// The account, if it is a person's token.
    pub fn account(&self) -> Option<AccountId> {
        match &self.subject {
            Subject::Key(..) => None,
            Subject::Person(person) => Some(person.account.account),
        }
    }

    /// The live role, if it is a person's token.
    pub fn role(&self) -> Option<&RoleName> {
        match &self.subject {
            Subject::Key(..) => None,
            Subject::Person(person) => Some(&person.member.role),
        }
    }

    /// When the credential itself ends, if it does. Open streams end with it.
    pub fn expires_at(&self) -> Option<UnixMillis> {
        match &self.subject {
            Subject::Key(record, _) => match (record.key_expires_at, record.secret_expires_at) {
                (Some(key), Some(secret)) => Some(key.min(secret)),
                (key, secret) => key.or(secret),
            },
            Subject::Person(person) => match person.token {
                TokenFacts::Identity { expires_at, .. } => Some(expires_at),
                TokenFacts::User { .. } => None,
            },
        }
    }

    /// One text that tells this credential from every other: for logs and counters, no secret.
    pub fn credential_id(&self) -> String {
        match &self.subject {
            Subject::Key(record, _) => record.key.to_string(),
            Subject::Person(person) => match &person.token {
                TokenFacts::Identity { token, .. } => token.to_string(),
                TokenFacts::User { kid } => kid.to_string(),
            },
        }
    }

    /// The session, if it has one.
    pub fn session(&self) -> Option<SessionId> {
        match &self.subject {
            Subject::Person(person) => match person.token {
                TokenFacts::Identity { session, .. } => session,
                TokenFacts::User { .. } => None,
            },
            Subject::Key(..) => None,
        }
    }

    /// Whether the two are the same to everybody they are told to: who, where, and what is allowed.
    pub fn says_the_same_as(&self, other: &Principal) -> bool {
        self.ids() == other.ids()
            && self.kind() == other.kind()
            && (self.key(), self.account(), self.role()) == (other.key(), other.account(), other.role())
            && (self.realm(), self.environment) == (other.realm(), other.environment)
            && self.grants == other.grants
    }

    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }
}
