//! What a row of the change feed is about.

use std::fmt;
use std::sync::Arc;

use claviger::api_key::KeyDigest;
use claviger::directory::{
    self, AccountRecord, ForeignIdentityRecord, KeyRecord, MemberRecord, OrgRecord, SessionRecord,
    TenantRecord, UserSecretRecord,
};
use claviger::id::{AccountId, OrgId, RealmName, SessionId, TenantId, TokenId};
use claviger::key_set::VerifyingKey;

/// One thing that decisions depend on, as the change feed and the directory's memory name it.
///
/// A key and its secrets are one subject per secret: a change of the key bumps the version of each of its
/// secrets in the same transaction, so that an entry has one version and not several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A key's secret, and the key with it.
    Key(KeyDigest),
    /// A tenant.
    Tenant(TenantId),
    /// An organization.
    Org(TenantId, OrgId),
    /// An account.
    Account(AccountId),
    /// A membership.
    Member(TenantId, OrgId, AccountId),
    /// A session.
    Session(TenantId, SessionId),
    /// A user secret, by its `kid`.
    UserSecret(Arc<str>),
    /// A foreign issuer's subject within a tenant: issuer, then subject.
    ForeignIdentity(TenantId, Arc<str>, Arc<str>),
    /// A realm's key for identity tokens, by its `kid`.
    IdentityKey(RealmName, Arc<str>),
    /// A revoked identity token.
    RevokedToken(TenantId, TokenId),
}

impl From<directory::Subject<'_>> for Subject {
    fn from(subject: directory::Subject<'_>) -> Self {
        match subject {
            directory::Subject::Key(digest) => Self::Key(*digest),
            directory::Subject::Tenant(tenant) => Self::Tenant(tenant),
            directory::Subject::Org(tenant, org) => Self::Org(tenant, org),
            directory::Subject::Account(account) => Self::Account(account),
            directory::Subject::Member(tenant, org, account) => Self::Member(tenant, org, account),
            directory::Subject::Session(tenant, session) => Self::Session(tenant, session),
            directory::Subject::UserSecret(kid) => Self::UserSecret(kid.into()),
            directory::Subject::ForeignIdentity(tenant, issuer, name) => {
                Self::ForeignIdentity(tenant, issuer.into(), name.into())
            }
            directory::Subject::IdentityKey(realm, kid) => Self::IdentityKey(realm.clone(), kid.into()),
            directory::Subject::RevokedToken(tenant, token) => Self::RevokedToken(tenant, token),
        }
    }
}

/// A record as read, or the certainty that there is none.
#[derive(Debug, Clone)]
pub enum Record {
    /// See [`Subject::Key`].
    Key(Arc<KeyRecord>),
    /// See [`Subject::Tenant`].
    Tenant(Arc<TenantRecord>),
    /// See [`Subject::Org`].
    Org(Arc<OrgRecord>),
    /// See [`Subject::Account`].
    Account(Arc<AccountRecord>),
    /// See [`Subject::Member`].
    Member(Arc<MemberRecord>),
    /// See [`Subject::Session`].
    Session(Arc<SessionRecord>),
    /// See [`Subject::UserSecret`].
    UserSecret(Arc<UserSecretRecord>),
    /// See [`Subject::ForeignIdentity`].
    ForeignIdentity(Arc<ForeignIdentityRecord>),
    /// See [`Subject::IdentityKey`].
    IdentityKey(Arc<VerifyingKey>),
    /// The token is revoked; it need not be remembered after this time.
    RevokedToken {
        /// When the token would have expired by itself.
        expires_at: claviger::clock::UnixMillis,
    },
}

/// What a read of one subject found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What was asked for.
    pub subject: Subject,
    /// The row's version and the record; `None` if there is no such row.
    pub found: Option<(i64, Record)>,
}

/// A row of the feed: `subject` has reached `version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What changed.
    pub subject: Subject,
    /// Its row version from now on. Grows by at least one with each change.
    pub version: i64,
}

/// A feed row that names nothing we know: written by a newer version of the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the change feed names an unknown subject of kind `{kind}`")]
pub struct UnknownSubject {
    kind: String,
}

/// Separates the parts of an id in the feed. Cannot occur in any id or issuer we accept.
const SEPARATOR: char = '\n';

impl Subject {
    /// The `kind` column of the feed.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Tenant(_) => "tenant",
            Self::Org(..) => "org",
            Self::Account(_) => "account",
            Self::Member(..) => "member",
            Self::Session(..) => "session",
            Self::UserSecret(_) => "user_secret",
            Self::ForeignIdentity(..) => "foreign_identity",
            Self::IdentityKey(..) => "identity_key",
            Self::RevokedToken(..) => "revoked_token",
        }
    }

    /// The `id` column of the feed: the parts, joined by line feeds; a digest in lower-case hexadecimal.
    pub fn id(&self) -> String {
        match self {
            Self::Key(digest) => digest.as_bytes().iter().map(|b| format!("{b:02x}")).collect(),
            Self::Tenant(tenant) => tenant.to_string(),
            Self::Org(tenant, org) => format!("{tenant}{SEPARATOR}{org}"),
            Self::Account(account) => account.to_string(),
            Self::Member(tenant, org, account) => format!("{tenant}{SEPARATOR}{org}{SEPARATOR}{account}"),
            Self::Session(tenant, session) => format!("{tenant}{SEPARATOR}{session}"),
            Self::UserSecret(kid) => kid.to_string(),
            Self::ForeignIdentity(tenant, issuer, subject) => {
                format!("{tenant}{SEPARATOR}{issuer}{SEPARATOR}{subject}")
            }
            Self::IdentityKey(realm, kid) => format!("{realm}{SEPARATOR}{kid}"),
            Self::RevokedToken(tenant, token) => format!("{tenant}{SEPARATOR}{token}"),
        }
    }

    /// Reads the two columns of the feed.
    ///
    /// # Errors
    /// If they name nothing we know.
    pub fn read(kind: &str, id: &str) -> Result<Self, UnknownSubject> {
        let mut parts = id.split(SEPARATOR);
        let mut part = || parts.next().unwrap_or_default();
        let read = match kind {
            "key" => digest(part()).map(Self::Key),
            "tenant" => part().parse().ok().map(Self::Tenant),
            "org" => both(part().parse().ok(), part().parse().ok()).map(|(t, o)| Self::Org(t, o)),
            "account" => part().parse().ok().map(Self::Account),
            "member" => both(both(part().parse().ok(), part().parse().ok()), part().parse().ok())
                .map(|((t, o), a)| Self::Member(t, o, a)),
            "session" => both(part().parse().ok(), part().parse().ok()).map(|(t, s)| Self::Session(t, s)),
            "user_secret" => Some(Self::UserSecret(part().into())),
            "foreign_identity" => {
                part().parse().ok().map(|t| Self::ForeignIdentity(t, part().into(), part().into()))
            }
            "identity_key" => part().parse().ok().map(|realm| Self::IdentityKey(realm, part().into())),
            "revoked_token" => {
                both(part().parse().ok(), part().parse().ok()).map(|(t, j)| Self::RevokedToken(t, j))
            }
            _ => None,
        };
        read.ok_or_else(|| UnknownSubject { kind: kind.to_owned() })
    }
}

fn both<A, B>(a: Option<A>, b: Option<B>) -> Option<(A, B)> {
    a.zip(b)
}

fn digest(hex: &str) -> Option<KeyDigest> {
    let bytes: Option<Vec<u8>> = (0..hex.len())
        .step_by(2)
        .map(|at| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    KeyDigest::from_bytes(&bytes?)
}

impl fmt::Display for Subject {
    /// The kind alone: ids of secrets do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger::testing::Counting;

    #[test]
    fn every_subject_reads_back_from_the_feed() {
        let random = Counting::default();
        let (tenant, org) = (TenantId::generate(&random), OrgId::generate(&random));
        let account = AccountId::generate(&random);
        for subject in [
            Subject::Key(KeyDigest::from_bytes(&[0xa5; 32]).unwrap()),
            Subject::Tenant(tenant),
            Subject::Org(tenant, org),
            Subject::Account(account),
            Subject::Member(tenant, org, account),
            Subject::Session(tenant, SessionId::generate(&random)),
            Subject::UserSecret("us_abc".into()),
            Subject::ForeignIdentity(tenant, "https://id.example".into(), "someone".into()),
            Subject::IdentityKey("synq".parse().unwrap(), "id_1".into()),
            Subject::RevokedToken(tenant, TokenId::generate(&random)),
        ] {
            assert_eq!(Subject::read(subject.kind(), &subject.id()).unwrap(), subject);
        }
        assert!(Subject::read("planet", "mars").is_err());
        assert!(Subject::read("tenant", "mars").is_err());
    }
}
