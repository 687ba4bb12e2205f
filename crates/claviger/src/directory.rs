//! What a decision has to know, and the trait it asks it by.
//!
//! Whoever implements [`Directory`] answers from memory where it can and says [`Answer::Ask`] where it must go
//! and look. There are three answers and not two: a record, the knowledge that there is none, and the failure
//! to find out, which never becomes either of the others.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::api_key::KeyDigest;
use crate::clock::{BootMillis, UnixMillis};
use crate::grants::Grants;
use crate::id::{
    AccountId, ApiName, Environment, KeyId, OrgId, PlanName, RealmName, RoleName, SessionId, TenantId,
    TokenId,
};
use crate::key_set::VerifyingKey;
use crate::network::Networks;
use crate::secret::Secret;

/// The reads a decision needs. Every method is cheap and never blocks.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Whether what is remembered may still be believed at `now`.
    fn freshness(&self, now: BootMillis) -> Freshness;

    /// A number that grows with every change applied, whatever it is about: while it stays the same, nothing has
    /// changed at all.
    fn version(&self) -> u64;

    /// The version of one subject as far as it is known without asking; `None` if it is not, so that whoever
    /// derived something from it has to ask again.
    fn version_of(&self, subject: Subject<'_>) -> Option<Version>;

    /// Whether there are keys under a pepper of this name that this node does not have, while others do.
    fn lacks_pepper(&self, _name: &str) -> bool {
        false
    }

    /// The key and secret that `digest` is of.
    fn key(&self, digest: &KeyDigest) -> Answer<KeyRecord>;

    /// The tenant.
    fn tenant(&self, tenant: TenantId) -> Answer<TenantRecord>;

    /// The organization within the tenant.
    fn org(&self, tenant: TenantId, org: OrgId) -> Answer<OrgRecord>;

    /// The account.
    fn account(&self, account: AccountId) -> Answer<AccountRecord>;

    /// The account's membership in the organization.
    fn member(&self, tenant: TenantId, org: OrgId, account: AccountId) -> Answer<MemberRecord>;

    /// The session an identity token names.
    fn session(&self, tenant: TenantId, session: SessionId) -> Answer<SessionRecord>;

    /// The user secret that `kid` names.
    fn user_secret(&self, kid: &str) -> Answer<UserSecretRecord>;

    /// The account behind a foreign issuer's subject, within the tenant.
    fn foreign_identity(
        &self,
        tenant: TenantId,
        issuer: &str,
        subject: &str,
    ) -> Answer<ForeignIdentityRecord>;

    /// The realm's key that verifies identity tokens and bears `kid`.
    fn identity_key(&self, realm: &RealmName, kid: &str) -> Answer<VerifyingKey>;

    /// Whether this one token was revoked: one of our own by its `jti`, another issuer's by the name that
    /// [`TokenId::foreign`] makes of issuer and `jti`. Revoked tokens are held in full, so this never has to ask.
    fn token_is_revoked(&self, tenant: TenantId, token: TokenId) -> bool;
}

/// Whether the memory may be believed.
pub enum Freshness {
    /// It may.
    Fresh,
    /// The feed has been silent for too long. The future asks the store, together with everybody else who
    /// waits, and fails if it does not answer.
    Stale(Pin<Box<dyn Future<Output = Result<(), DirectoryError>> + Send>>),
}

impl fmt::Debug for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "Fresh",
            Self::Stale(_) => "Stale(..)",
        })
    }
}

/// One state of one subject. Two that are equal stand for the same record, or the same absence; nothing else can be
/// read from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    /// The state of what does not exist.
    pub const ABSENT: Self = Self(0);

    /// The state that a record reached in one life of a directory: what everything remembered is forgotten at the end
    /// of. `row` grows with each change of the record.
    pub fn new(life: u16, row: u64) -> Self {
        // A row's version never comes near 2⁴⁷, and one more keeps it apart from what does not exist.
        Self(u64::from(life) << 48 | ((row & ((1 << 47) - 1)) + 1))
    }
}

/// What a decision depends on, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of `Directory` that looks it up")]
pub enum Subject<'a> {
    Key(&'a KeyDigest),
    Tenant(TenantId),
    Org(TenantId, OrgId),
    Account(AccountId),
    Member(TenantId, OrgId, AccountId),
    Session(TenantId, SessionId),
    UserSecret(&'a str),
    ForeignIdentity(TenantId, &'a str, &'a str),
    IdentityKey(&'a RealmName, &'a str),
    RevokedToken(TenantId, TokenId),
}

/// A record, and the state of its subject that it is.
#[derive(Debug)]
pub struct Found<T> {
    /// The record.
    pub record: Arc<T>,
    /// The state.
    pub version: Version,
}

impl<T> Clone for Found<T> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record), version: self.version }
    }
}

impl<T> std::ops::Deref for Found<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.record
    }
}

/// The outcome of looking something up that is not in memory.
pub type Asked<T> = Result<Option<Found<T>>, DirectoryError>;

/// What the directory says of one thing.
pub enum Answer<T> {
    /// Here it is.
    Known(Found<T>),
    /// There is no such thing.
    Absent,
    /// Not in memory: the future finds out.
    Ask(Pin<Box<dyn Future<Output = Asked<T>> + Send>>),
}

impl<T> Answer<T> {
    /// Waits where waiting is needed.
    ///
    /// # Errors
    /// If the directory could not find out.
    pub async fn resolve(self) -> Asked<T> {
        match self {
            Self::Known(record) => Ok(Some(record)),
            Self::Absent => Ok(None),
            Self::Ask(future) => future.await,
        }
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known(_) => "Known(..)",
            Self::Absent => "Absent",
            Self::Ask(_) => "Ask(..)",
        })
    }
}

/// The directory could not say. Never a statement about a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The store did not answer, or what it answered could not be trusted.
    #[error("the directory could not be asked: {0}")]
    Unavailable(String),
    /// The store answers, and is not to be believed until somebody has looked at it. Nor is what was remembered of it.
    #[error("the directory is not to be believed: {0}")]
    Distrusted(String),
    /// Too many look-ups are already under way.
    #[error("too many directory look-ups are under way")]
    Overloaded,
}

/// Whether something may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It may.
    Active,
    /// It exists and may not: 403.
    Suspended,
    /// It is gone; credentials that hang on it are 401.
    Deleted,
}

/// Whether a member may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// Asked in, has not accepted: 403.
    Invited,
    /// May act.
    Active,
    /// May not for now: 403.
    Suspended,
    /// Is a member no more: 401.
    Removed,
}

/// One of a key's secrets together with the key it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key's stable id.
    pub key: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The organization it belongs to.
    pub org: OrgId,
    /// Live or sandbox.
    pub environment: Environment,
    /// What it allows.
    pub grants: Grants,
    /// Whether the key may act: a disabled key is `Suspended`, a revoked one `Deleted`.
    pub state: State,
    /// When this secret ends, if it does: with its key or, for one that was rotated out, with its grace, whichever is
    /// first. (One time, because there are millions of these.)
    pub expires_at: Option<UnixMillis>,
    /// Whether this secret was revoked.
    pub secret_revoked: bool,
    /// From where it may be used. `None` is from anywhere; an empty list is from nowhere.
    pub networks: Option<Networks>,
    /// What the key was made under, whichever of its secrets this is: [`Floor::credentials`] of its tenant and of its
    /// organization, added up. Both only grow, so that the sum is today's if, and only if, each of them is. (One number,
    /// because there are millions of these.)
    pub made_under: u32,
}

/// What ends all that hangs on a tenant, organization, account or membership, in the one row of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// Sessions made under another number are ended, and with them their identity tokens.
    pub generation: i64,
    /// Identity tokens of other issuers that were issued before are ended.
    pub tokens_from: UnixMillis,
    /// API keys and user secrets made under another number are ended.
    pub credentials: i64,
}

impl Default for Floor {
    /// Where all begin: nothing was ended yet.
    fn default() -> Self {
        Self { generation: 1, tokens_from: UnixMillis(0), credentials: 1 }
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its id.
    pub tenant: TenantId,
    /// The realm it belongs to.
    pub realm: RealmName,
    /// Whether it may act.
    pub state: State,
    /// What came before it is ended.
    pub floor: Floor,
    /// Its tariff.
    pub plan: PlanName,
    /// Whether it demands the identity headers everywhere. It can tighten what an API says and never loosen it.
    pub requires_identity_headers: bool,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgRecord {
    /// The tenant it is in.
    pub tenant: TenantId,
    /// Its id.
    pub org: OrgId,
    /// Whether it may act.
    pub state: State,
    /// What came before it is ended.
    pub floor: Floor,
}

/// A person's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// Its id.
    pub account: AccountId,
    /// The realm it belongs to.
    pub realm: RealmName,
    /// Whether it may act.
    pub state: State,
    /// Whether the e-mail address was proved.
    pub email_verified: bool,
    /// What came before it is ended.
    pub floor: Floor,
}

/// A membership: an account in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// The tenant the organization is in.
    pub tenant: TenantId,
    /// The organization.
    pub org: OrgId,
    /// The account.
    pub account: AccountId,
    /// Its role there.
    pub role: RoleName,
    /// Whether it may act there.
    pub state: MemberState,
    /// What came before it is ended.
    pub floor: Floor,
}

/// A signed-in session in one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// Its id.
    pub session: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// The organization it acts in.
    pub org: OrgId,
    /// Whether it was ended.
    pub ended: bool,
    /// When it ends by itself.
    pub expires_at: UnixMillis,
    /// The generations it was made under.
    pub made_under: Generations,
}

/// The counters whose growth ends what was made under them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generations {
    /// The tenant's.
    pub tenant: i64,
    /// The organization's.
    pub org: i64,
    /// The account's.
    pub account: i64,
    /// The membership's.
    pub member: i64,
}

impl Default for Generations {
    /// Where all begin.
    fn default() -> Self {
        Self { tenant: 1, org: 1, account: 1, member: 1 }
    }
}

/// A user's secret, which signs that user's tokens for one API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSecretRecord {
    /// Its public name, `us_…`: a token's `kid`.
    pub kid: String,
    /// The API whose tokens it signs.
    pub api: ApiName,
    /// The tenant.
    pub tenant: TenantId,
    /// The organization of the membership it hangs on.
    pub org: OrgId,
    /// Whose it is.
    pub account: AccountId,
    /// At least 32 bytes.
    pub secret: Secret,
    /// Whether it was replaced or taken away.
    pub revoked: bool,
    /// What it was made under: [`Floor::credentials`] of each.
    pub made_under: Generations,
}

/// Who a foreign issuer's subject is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignIdentityRecord {
    /// The tenant it holds for.
    pub tenant: TenantId,
    /// The account it stands for.
    pub account: AccountId,
    /// Tokens that their issuer dated before this, or within its leeway after, are refused.
    pub not_before: UnixMillis,
}
