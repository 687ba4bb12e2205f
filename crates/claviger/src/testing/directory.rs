//! A directory that says what a test has put into it.

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::api_key::KeyDigest;
use crate::clock::BootMillis;
use crate::directory::{
    AccountRecord, Answer, Directory, DirectoryError, ForeignIdentityRecord, Found, Freshness, KeyRecord,
    MemberRecord, OrgRecord, SessionRecord, Subject, TenantRecord, UserSecretRecord, Version,
};
use crate::id::{AccountId, OrgId, RealmName, SessionId, TenantId, TokenId};
use crate::key_set::VerifyingKey;

/// The look-ups that can be made to fail, and are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of `Directory` it is called like")]
pub enum Lookup {
    Key,
    Tenant,
    Org,
    Account,
    Member,
    Session,
    UserSecret,
    ForeignIdentity,
    IdentityKey,
}

impl Lookup {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Key,
        Self::Tenant,
        Self::Org,
        Self::Account,
        Self::Member,
        Self::Session,
        Self::UserSecret,
        Self::ForeignIdentity,
        Self::IdentityKey,
    ];
}

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
    records: Mutex<Records>,
    switches: Mutex<Switches>,
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Records {
    keys: HashMap<KeyDigest, Found<KeyRecord>>,
    tenants: HashMap<TenantId, Found<TenantRecord>>,
    orgs: HashMap<(TenantId, OrgId), Found<OrgRecord>>,
    accounts: HashMap<AccountId, Found<AccountRecord>>,
    members: HashMap<(TenantId, OrgId, AccountId), Found<MemberRecord>>,
    sessions: HashMap<(TenantId, SessionId), Found<SessionRecord>>,
    user_secrets: HashMap<String, Found<UserSecretRecord>>,
    foreign: HashMap<(TenantId, String, String), Found<ForeignIdentityRecord>>,
    identity_keys: HashMap<(RealmName, String), Found<VerifyingKey>>,
    revoked: HashSet<(TenantId, TokenId)>,
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
    ($($map:ident: $key:ty => $record:ty, $put:ident, $change:ident, $take:ident;)*) => {
        impl FakeDirectory {$(
            /// Puts a record in, instead of one that is there.
            pub fn $put(&self, key: $key, record: $record) {
                let found = self.found(record);
                lock(&self.records).$map.insert(key, found);
            }

            /// Changes a record; whether there is one.
            pub fn $change(&self, key: &$key, change: impl FnOnce(&mut $record)) -> bool {
                match lock(&self.records).$map.get_mut(key) {
                    Some(found) => {
                        let mut changed = found.record.as_ref().clone();
                        change(&mut changed);
                        *found = self.found(changed);
                        true
                    }
                    None => false,
                }
            }

            /// Takes a record out; whether there was one.
            pub fn $take(&self, key: &$key) -> bool {
                self.version.fetch_add(1, Ordering::SeqCst);
                lock(&self.records).$map.remove(key).is_some()
            }
        )*}
    };
}

records! {
    keys: KeyDigest => KeyRecord, put_key, change_key, take_key;
    tenants: TenantId => TenantRecord, put_tenant, change_tenant, take_tenant;
    orgs: (TenantId, OrgId) => OrgRecord, put_org, change_org, take_org;
    accounts: AccountId => AccountRecord, put_account, change_account, take_account;
    members: (TenantId, OrgId, AccountId) => MemberRecord, put_member, change_member, take_member;
    sessions: (TenantId, SessionId) => SessionRecord, put_session, change_session, take_session;
    user_secrets: String => UserSecretRecord, put_user_secret, change_user_secret, take_user_secret;
    foreign: (TenantId, String, String) => ForeignIdentityRecord, put_foreign, change_foreign, take_foreign;
}

impl FakeDirectory {
    /// From now on others have a pepper of this name, which this server lacks.
    pub fn lack_pepper(&self, name: &str) {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner).lacking_peppers.push(name.to_owned());
    }

    /// The record in a state that nothing was in before.
    fn found<T>(&self, record: T) -> Found<T> {
        let version = self.version.fetch_add(1, Ordering::SeqCst);
        Found { record: Arc::new(record), version: Version::new(0, version) }
    }

    /// Puts in a key that verifies the identity tokens of `realm`, instead of one of its name.
    pub fn put_identity_key(&self, realm: RealmName, key: VerifyingKey) {
        let name = (realm, key.kid().to_owned());
        let found = self.found(key);
        lock(&self.records).identity_keys.insert(name, found);
    }

    /// Takes out the key called `kid`; whether there was one.
    pub fn take_identity_key(&self, realm: &RealmName, kid: &str) -> bool {
        self.version.fetch_add(1, Ordering::SeqCst);
        lock(&self.records).identity_keys.remove(&(realm.clone(), kid.to_owned())).is_some()
    }

    /// Revokes one token.
    pub fn revoke_token(&self, tenant: TenantId, token: TokenId) {
        lock(&self.records).revoked.insert((tenant, token));
        self.version.fetch_add(1, Ordering::SeqCst);
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

    fn answer<K: Hash + Eq, T: Send + Sync + 'static>(
        &self,
        lookup: Lookup,
        map: impl FnOnce(&Records) -> &HashMap<K, Found<T>>,
        key: &K,
    ) -> Answer<T> {
        let found = map(&lock(&self.records)).get(key).cloned();
        let mut switches = lock(&self.switches);
        *switches.looked_up.entry(lookup).or_default() += 1;
        if switches.fails.contains(&lookup) {
            let error = DirectoryError::Unavailable(format!("{lookup:?} was made to fail"));
            return Answer::Ask(Box::pin(ready(Err(error))));
        }
        let held = switches.held.clone();
        match found {
            found if switches.asks => Answer::Ask(Box::pin(async move {
                if let Some(held) = held {
                    held.end().await;
                }
                Ok(found)
            })),
            Some(found) => Answer::Known(found),
            None => Answer::Absent,
        }
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
        fn of<T>(found: Option<&Found<T>>) -> Version {
            found.map_or(Version::ABSENT, |found| found.version)
        }
        let records = lock(&self.records);
        Some(match subject {
            Subject::Key(digest) => of(records.keys.get(digest)),
            Subject::Tenant(tenant) => of(records.tenants.get(&tenant)),
            Subject::Org(tenant, org) => of(records.orgs.get(&(tenant, org))),
            Subject::Account(account) => of(records.accounts.get(&account)),
            Subject::Member(tenant, org, account) => of(records.members.get(&(tenant, org, account))),
            Subject::Session(tenant, session) => of(records.sessions.get(&(tenant, session))),
            Subject::UserSecret(kid) => of(records.user_secrets.get(kid)),
            Subject::ForeignIdentity(tenant, issuer, subject) => {
                of(records.foreign.get(&(tenant, issuer.to_owned(), subject.to_owned())))
            }
            Subject::IdentityKey(realm, kid) => {
                of(records.identity_keys.get(&(realm.clone(), kid.to_owned())))
            }
            Subject::RevokedToken(tenant, token) => {
                return (!records.revoked.contains(&(tenant, token))).then_some(Version::ABSENT);
            }
        })
    }

    fn key(&self, digest: &KeyDigest) -> Answer<KeyRecord> {
        self.answer(Lookup::Key, |records| &records.keys, digest)
    }

    fn tenant(&self, tenant: TenantId) -> Answer<TenantRecord> {
        self.answer(Lookup::Tenant, |records| &records.tenants, &tenant)
    }

    fn org(&self, tenant: TenantId, org: OrgId) -> Answer<OrgRecord> {
        self.answer(Lookup::Org, |records| &records.orgs, &(tenant, org))
    }

    fn account(&self, account: AccountId) -> Answer<AccountRecord> {
        self.answer(Lookup::Account, |records| &records.accounts, &account)
    }

    fn member(&self, tenant: TenantId, org: OrgId, account: AccountId) -> Answer<MemberRecord> {
        self.answer(Lookup::Member, |records| &records.members, &(tenant, org, account))
    }

    fn session(&self, tenant: TenantId, session: SessionId) -> Answer<SessionRecord> {
        self.answer(Lookup::Session, |records| &records.sessions, &(tenant, session))
    }

    fn user_secret(&self, kid: &str) -> Answer<UserSecretRecord> {
        self.answer(Lookup::UserSecret, |records| &records.user_secrets, &kid.to_owned())
    }

    fn foreign_identity(
        &self,
        tenant: TenantId,
        issuer: &str,
        subject: &str,
    ) -> Answer<ForeignIdentityRecord> {
        let name = (tenant, issuer.to_owned(), subject.to_owned());
        self.answer(Lookup::ForeignIdentity, |records| &records.foreign, &name)
    }

    fn identity_key(&self, realm: &RealmName, kid: &str) -> Answer<VerifyingKey> {
        let name = (realm.clone(), kid.to_owned());
        self.answer(Lookup::IdentityKey, |records| &records.identity_keys, &name)
    }

    fn token_is_revoked(&self, tenant: TenantId, token: TokenId) -> bool {
        lock(&self.records).revoked.contains(&(tenant, token))
    }
}
