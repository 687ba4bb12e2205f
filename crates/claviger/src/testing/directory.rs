//! A directory that says what a test has put into it.

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::api_key::KeyDigest;
use crate::clock::{BootMillis, UnixMillis};
use crate::directory::{
    AccountRecord, Directory, DirectoryError, ForeignIdentityRecord, Freshness, KeyRecord, MemberRecord,
    OrgRecord, OwnedSubject, Record, Reply, SessionRecord, Subject, TenantRecord, UserSecretRecord, Version,
};
use crate::for_each_record;
use crate::id::{AccountId, OrgId, RealmName, SessionId, TenantId, TokenId};
use crate::key_set::VerifyingKey;

macro_rules! lookups {
    ($($(#[$doc:meta])* $look_up:ident: $kind:ident($($part:ident: $kept:ty as $lent:ty),+) => $record:ty;)*) => {
        /// The look-ups that can be made to fail, and are counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Lookup {
            $($(#[$doc])* $kind,)*
        }

        impl Lookup {
            /// All of them.
            pub const ALL: [Self; [$(stringify!($kind)),*].len()] = [$(Self::$kind),*];

            fn of(subject: Subject<'_>) -> Option<Self> {
                match subject {
                    $(Subject::$kind(..) => Some(Self::$kind),)*
                    Subject::RevokedToken(..) => None,
                }
            }
        }
    };
}
for_each_record!(lookups);

/// What becomes of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Silence {
    /// It speaks: what is remembered may be believed.
    #[default]
    None,
    /// It has been silent and answers when asked.
    Ends,
    /// It has been silent and stays so.
    Lasts,
}

/// Records in memory, known at once unless a switch says otherwise.
#[derive(Debug, Default)]
pub struct FakeDirectory {
    records: Mutex<HashMap<OwnedSubject, (Version, Record)>>,
    switches: Mutex<Switches>,
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Switches {
    lacking_peppers: Vec<String>,
    asks: bool,
    fails: HashSet<Lookup>,
    held: Option<Arc<Holding>>,
    silence: Silence,
    catch_ups: usize,
    looked_up: HashMap<Lookup, usize>,
}

/// Keeps questions waiting until it is let go.
#[derive(Debug, Default)]
struct Holding {
    is_over: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Holding {
    async fn end(self: Arc<Self>) {
        std::future::poll_fn(|context| {
            if self.is_over.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            lock(&self.waiting).push(context.waker().clone());
            // It may have ended in between.
            if self.is_over.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For each kind of record: put one in, change it, take it out.
macro_rules! records {
    ($($kind:ident($key:ident: $type:ty as $lent:ty => $subject:expr): $record:ty, $put:ident, $change:ident, $take:ident;)*) => {
        impl FakeDirectory {$(
            /// Puts a record in, instead of one that is there.
            pub fn $put(&self, $key: $type, record: $record) {
                self.put($subject, Record::$kind(Arc::new(record)));
            }

            /// Changes a record; whether there is one.
            pub fn $change(&self, $key: $lent, change: impl FnOnce(&mut $record)) -> bool {
                let subject = { let $key = $key.to_owned(); $subject };
                let found = lock(&self.records).get(&subject).cloned();
                let Some((_, Record::$kind(record))) = found else { return false };
                let mut changed = record.as_ref().clone();
                change(&mut changed);
                self.put(subject, Record::$kind(Arc::new(changed)));
                true
            }

            /// Takes a record out; whether there was one.
            pub fn $take(&self, $key: $lent) -> bool {
                let $key = $key.to_owned();
                self.take(&$subject)
            }
        )*}
    };
}

records! {
    Key(key: KeyDigest as &KeyDigest => OwnedSubject::Key(key)): KeyRecord, put_key, change_key, take_key;
    Tenant(key: TenantId as &TenantId => OwnedSubject::Tenant(key)): TenantRecord, put_tenant, change_tenant, take_tenant;
    Org(key: (TenantId, OrgId) as &(TenantId, OrgId) => OwnedSubject::Org(key.0, key.1)): OrgRecord, put_org, change_org, take_org;
    Account(key: AccountId as &AccountId => OwnedSubject::Account(key)): AccountRecord, put_account, change_account, take_account;
    Member(key: (TenantId, OrgId, AccountId) as &(TenantId, OrgId, AccountId) => OwnedSubject::Member(key.0, key.1, key.2)): MemberRecord,
        put_member, change_member, take_member;
    Session(key: (TenantId, SessionId) as &(TenantId, SessionId) => OwnedSubject::Session(key.0, key.1)): SessionRecord,
        put_session, change_session, take_session;
    UserSecret(key: String as &str => OwnedSubject::UserSecret(key.into())): UserSecretRecord,
        put_user_secret, change_user_secret, take_user_secret;
    ForeignIdentity(key: (TenantId, String, String) as &(TenantId, String, String) => OwnedSubject::ForeignIdentity(key.0, key.1.into(), key.2.into())):
        ForeignIdentityRecord, put_foreign, change_foreign, take_foreign;
}

impl FakeDirectory {
    /// From now on others have a pepper of this name, which this server lacks.
    pub fn lack_pepper(&self, name: &str) {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner).lacking_peppers.push(name.to_owned());
    }

    /// Puts a record in, in a state that nothing was in before, instead of one that is there.
    pub fn put(&self, subject: OwnedSubject, record: Record) {
        let version = self.version.fetch_add(1, Ordering::SeqCst);
        lock(&self.records).insert(subject, (Version::new(0, version), record));
    }

    /// Takes a record out; whether there was one.
    pub fn take(&self, subject: &OwnedSubject) -> bool {
        self.version.fetch_add(1, Ordering::SeqCst);
        lock(&self.records).remove(subject).is_some()
    }

    /// Puts in a key that verifies the identity tokens of `realm`, instead of one of its name.
    pub fn put_identity_key(&self, realm: RealmName, key: VerifyingKey) {
        self.put(OwnedSubject::IdentityKey(realm, key.kid().into()), Record::IdentityKey(Arc::new(key)));
    }

    /// Takes out the key called `kid`; whether there was one.
    pub fn take_identity_key(&self, realm: &RealmName, kid: &str) -> bool {
        self.take(&OwnedSubject::IdentityKey(realm.clone(), kid.into()))
    }

    /// Revokes one token.
    pub fn revoke_token(&self, tenant: TenantId, token: TokenId) {
        let expires_at = UnixMillis(i64::MAX);
        self.put(OwnedSubject::RevokedToken(tenant, token), Record::RevokedToken { expires_at });
    }

    /// Whether it has to ask for everything, absent things too. The question is answered at once.
    pub fn ask(&self, asks: bool) {
        lock(&self.switches).asks = asks;
    }

    /// Whether questions wait for their answer until this is said again. Only where it has to ask.
    pub fn hold(&self, holds: bool) {
        let before = std::mem::replace(&mut lock(&self.switches).held, holds.then(Arc::default));
        if let Some(before) = before {
            before.is_over.store(true, Ordering::SeqCst);
            lock(&before.waiting).drain(..).for_each(Waker::wake);
        }
    }

    /// Makes the look-ups fail, and all others answer.
    pub fn fail(&self, lookups: &[Lookup]) {
        lock(&self.switches).fails = lookups.iter().copied().collect();
    }

    /// Stops or starts the feed.
    pub fn silence(&self, silence: Silence) {
        lock(&self.switches).silence = silence;
    }

    /// How often it was asked to catch up.
    pub fn catch_ups(&self) -> usize {
        lock(&self.switches).catch_ups
    }

    /// How often `lookup` was made.
    pub fn looked_up(&self, lookup: Lookup) -> usize {
        lock(&self.switches).looked_up.get(&lookup).copied().unwrap_or(0)
    }
}

impl Directory for FakeDirectory {
    fn freshness(&self, _: BootMillis) -> Freshness {
        let mut switches = lock(&self.switches);
        match switches.silence {
            Silence::None => Freshness::Fresh,
            Silence::Ends => {
                switches.catch_ups += 1;
                switches.silence = Silence::None;
                Freshness::Stale(Box::pin(ready(Ok(()))))
            }
            Silence::Lasts => {
                switches.catch_ups += 1;
                let error = DirectoryError::Unavailable("the feed is silent".into());
                Freshness::Stale(Box::pin(ready(Err(error))))
            }
        }
    }

    fn lacks_pepper(&self, name: &str) -> bool {
        self.switches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lacking_peppers
            .iter()
            .any(|lacking| lacking == name)
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn version_of(&self, subject: Subject<'_>) -> Option<Version> {
        let found = lock(&self.records).get(&subject.into()).map(|(version, _)| *version);
        if matches!(subject, Subject::RevokedToken(..)) && found.is_some() {
            return None;
        }
        Some(found.unwrap_or(Version::ABSENT))
    }

    fn look_up(&self, subject: Subject<'_>) -> Reply {
        let found = lock(&self.records).get(&subject.into()).cloned();
        let mut switches = lock(&self.switches);
        if let Some(lookup) = Lookup::of(subject) {
            *switches.looked_up.entry(lookup).or_default() += 1;
            if switches.fails.contains(&lookup) {
                let error = DirectoryError::Unavailable(format!("{lookup:?} was made to fail"));
                return Reply::Ask(Box::pin(ready(Err(error))));
            }
        }
        let held = switches.held.clone();
        match found {
            found if switches.asks => Reply::Ask(Box::pin(async move {
                if let Some(held) = held {
                    held.end().await;
                }
                Ok(found)
            })),
            Some((version, record)) => Reply::Known(version, record),
            None => Reply::Absent,
        }
    }

    fn token_is_revoked(&self, tenant: TenantId, token: TokenId) -> bool {
        lock(&self.records).contains_key(&OwnedSubject::RevokedToken(tenant, token))
    }
}
