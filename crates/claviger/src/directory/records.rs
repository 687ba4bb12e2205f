//! What decisions read: one kind of record after the other, and the table from which everything follows that has to be there
//! once for each kind.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use crate::api_key::KeyDigest;
use crate::clock::UnixMillis;
use crate::grants::Grants;
use crate::id::{
    AccountId, ApiName, Environment, KeyId, OrgId, PlanName, RealmName, RoleName, SessionId, TenantId,
    TokenId,
};
use crate::network::Networks;
use crate::secret::Secret;

/// Hands the table of all kinds of record to the macro `$then`: what looks one up, its name, the parts of the name as they
/// are kept and as they are lent for a look-up, and the record. Whoever holds records writes one such macro, and none of
/// them can lack a kind. (Revoked tokens are held in full, and are not among them.)
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_record {
    ($then:ident) => {
        $then! {
            /// The key and secret that `digest` is of.
            key: Key(digest: $crate::api_key::KeyDigest as &'a $crate::api_key::KeyDigest)
                => $crate::directory::KeyRecord;
            /// The tenant.
            tenant: Tenant(tenant: $crate::id::TenantId as $crate::id::TenantId) => $crate::directory::TenantRecord;
            /// The organization within the tenant.
            org: Org(tenant: $crate::id::TenantId as $crate::id::TenantId, org: $crate::id::OrgId as $crate::id::OrgId)
                => $crate::directory::OrgRecord;
            /// The account.
            account: Account(account: $crate::id::AccountId as $crate::id::AccountId)
                => $crate::directory::AccountRecord;
            /// The account's membership in the organization.
            member: Member(tenant: $crate::id::TenantId as $crate::id::TenantId, org: $crate::id::OrgId as $crate::id::OrgId,
                account: $crate::id::AccountId as $crate::id::AccountId) => $crate::directory::MemberRecord;
            /// The session an identity token names.
            session: Session(tenant: $crate::id::TenantId as $crate::id::TenantId,
                session: $crate::id::SessionId as $crate::id::SessionId) => $crate::directory::SessionRecord;
            /// The user secret that `kid` names.
            user_secret: UserSecret(kid: std::sync::Arc<str> as &'a str) => $crate::directory::UserSecretRecord;
            /// The account behind a foreign issuer's subject, within the tenant.
            foreign_identity: ForeignIdentity(tenant: $crate::id::TenantId as $crate::id::TenantId,
                issuer: std::sync::Arc<str> as &'a str, subject: std::sync::Arc<str> as &'a str)
                => $crate::directory::ForeignIdentityRecord;
            /// What others call something of the tenant's, and keep beside it.
            annotation: Annotation(tenant: $crate::id::TenantId as $crate::id::TenantId,
                kind: std::sync::Arc<str> as &'a str, entity: std::sync::Arc<str> as &'a str)
                => $crate::directory::AnnotationRecord;
            /// The realm's key that verifies identity tokens and bears `kid`.
            identity_key: IdentityKey(realm: $crate::id::RealmName as &'a $crate::id::RealmName,
                kid: std::sync::Arc<str> as &'a str) => $crate::key_set::VerifyingKey;
        }
    };
}

/// A part of a subject's name as it is lent for a look-up, without a copy.
pub trait Lent: Copy + Hash {
    /// The same part as it is kept. Hashes as what is lent does.
    type Kept: Hash + Eq;

    /// A copy to keep.
    fn keep(self) -> Self::Kept;

    /// Whether `kept` is of this.
    fn is(self, kept: &Self::Kept) -> bool;
}

/// A part of a subject's name as it is kept.
pub trait Part: Hash + Eq + Clone + Send + Sync + 'static {
    /// The same part, lent.
    type Lent<'a>: Lent<Kept = Self>;

    /// Lends it.
    fn lend(&self) -> Self::Lent<'_>;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $look_up:ident: $kind:ident($($part:ident: $kept:ty as $lent:ty),+) => $record:ty;)*) => {
        /// What a decision depends on, by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Subject<'a> {
            $($(#[$doc])* $kind($($lent),+),)*
            /// Whether this one token was revoked.
            RevokedToken(TenantId, TokenId),
        }

        /// A [`Subject`] that can be kept.
        ///
        /// A key and its secrets are one subject per secret: a change of the key is one of each of its secrets, so that there is
        /// one version and not several.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum OwnedSubject {
            $($(#[$doc])* $kind($($kept),+),)*
            /// Whether this one token was revoked.
            RevokedToken(TenantId, TokenId),
        }

        impl From<Subject<'_>> for OwnedSubject {
            fn from(subject: Subject<'_>) -> Self {
                match subject {
                    $(Subject::$kind($($part),+) => Self::$kind($(Lent::keep($part)),+),)*
                    Subject::RevokedToken(tenant, token) => Self::RevokedToken(tenant, token),
                }
            }
        }

        impl fmt::Display for OwnedSubject {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.kind())
            }
        }

        impl OwnedSubject {
            /// What kind of thing it is, and all that belongs in a log: names may be those of secrets.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(..) => stringify!($look_up),)*
                    Self::RevokedToken(..) => "revoked_token",
                }
            }

            /// The same, lent for a look-up.
            pub fn lend(&self) -> Subject<'_> {
                match self {
                    $(Self::$kind($($part),+) => Subject::$kind($(Part::lend($part)),+),)*
                    Self::RevokedToken(tenant, token) => Subject::RevokedToken(*tenant, *token),
                }
            }
        }

        /// A record of any kind.
        #[derive(Debug, Clone)]
        pub enum Record {
            $($(#[$doc])* $kind(Arc<$record>),)*
            /// The token is revoked.
            RevokedToken {
                /// When the token would have expired by itself: it need not be remembered much longer.
                expires_at: UnixMillis,
            },
        }

        $(impl Kind for $record {
            fn unpack(record: Record) -> Option<Arc<Self>> {
                match record {
                    Record::$kind(record) => Some(record),
                    _ => None,
                }
            }
        })*
    };
}
for_each_record!(kinds);

/// A kind of record.
pub trait Kind: Send + Sync + 'static {
    /// The record, if it is of this kind.
    fn unpack(record: Record) -> Option<Arc<Self>>;
}

macro_rules! lent_as_they_are {
    ($($id:ty),*) => {$(
        impl Lent for $id {
            type Kept = Self;

            fn keep(self) -> Self {
                self
            }

            fn is(self, kept: &Self) -> bool {
                self == *kept
            }
        }

        impl Part for $id {
            type Lent<'a> = Self;

            fn lend(&self) -> Self {
                *self
            }
        }
    )*};
}
lent_as_they_are!(TenantId, OrgId, AccountId, SessionId, TokenId);

macro_rules! lent_by_reference {
    ($($part:ty),*) => {$(
        impl Lent for &$part {
            type Kept = $part;

            fn keep(self) -> $part {
                self.clone()
            }

            fn is(self, kept: &$part) -> bool {
                self == kept
            }
        }

        impl Part for $part {
            type Lent<'a> = &'a Self;

            fn lend(&self) -> &Self {
                self
            }
        }
    )*};
}
lent_by_reference!(KeyDigest, RealmName);

impl Lent for &str {
    type Kept = Arc<str>;

    fn keep(self) -> Arc<str> {
        self.into()
    }

    fn is(self, kept: &Arc<str>) -> bool {
        *self == **kept
    }
}

impl Part for Arc<str> {
    type Lent<'a> = &'a str;

    fn lend(&self) -> &str {
        self
    }
}

/// What an annotation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Annotated {
    /// The tenant itself.
    Tenant(TenantId),
    /// An organization.
    Org(OrgId),
    /// A membership.
    Member(OrgId, AccountId),
    /// An API key, whichever its secret.
    Key(KeyId),
}

impl Annotated {
    /// What kind of thing it is, as [`Subject::Annotation`] has it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Org(_) => "organization",
            Self::Member(..) => "member",
            Self::Key(_) => "key",
        }
    }

    /// Which one, as [`Subject::Annotation`] has it. A membership's is that of its organization and of its account.
    pub fn entity(self) -> String {
        match self {
            Self::Tenant(tenant) => tenant.to_string(),
            Self::Org(org) => org.to_string(),
            Self::Member(org, account) => format!("{org}/{account}"),
            Self::Key(key) => key.to_string(),
        }
    }

    /// Reads [`kind`](Self::kind) and [`entity`](Self::entity) back; `None` if they are neither.
    pub fn read(kind: &str, entity: &str) -> Option<Self> {
        Some(match kind {
            "tenant" => Self::Tenant(entity.parse().ok()?),
            "organization" => Self::Org(entity.parse().ok()?),
            "member" => {
                let (org, account) = entity.split_once('/')?;
                Self::Member(org.parse().ok()?, account.parse().ok()?)
            }
            "key" => Self::Key(entity.parse().ok()?),
            _ => return None,
        })
    }
}

/// What the systems of those who use an API call something of theirs here, and what they keep beside it. No decision hangs
/// on it: it says whom a decision was about in words that others know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationRecord {
    /// The tenant it is in.
    pub tenant: TenantId,
    /// What it is called elsewhere. (As in SCIM, RFC 7643, section 3.1.)
    pub external_id: Option<String>,
    /// Whatever else is kept with it.
    pub metadata: BTreeMap<String, String>,
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
