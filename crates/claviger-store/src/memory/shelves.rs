//! The remembered records of all kinds, named by subject.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;

use claviger::api_key::KeyDigest;
use claviger::directory::{
    self, AccountRecord, ForeignIdentityRecord, Found, KeyRecord, MemberRecord, OrgRecord, SessionRecord,
    TenantRecord, UserSecretRecord, Version,
};
use claviger::id::{AccountId, OrgId, RealmName, SessionId, TenantId};
use claviger::key_set::VerifyingKey;

use super::pulse::Beat;
use super::share::Census;
use super::shelf::{Before, DigestHash, ForeignName, KeyName, Shelf};
use crate::subject::{Record, Subject};

/// A shelf per kind.
#[derive(Debug)]
pub(super) struct Shelves {
    pub(super) keys: Shelf<KeyDigest, KeyRecord, DigestHash>,
    pub(super) tenants: Shelf<TenantId, TenantRecord, RandomState>,
    pub(super) orgs: Shelf<(TenantId, OrgId), OrgRecord, RandomState>,
    pub(super) accounts: Shelf<AccountId, AccountRecord, RandomState>,
    pub(super) members: Shelf<(TenantId, OrgId, AccountId), MemberRecord, RandomState>,
    pub(super) sessions: Shelf<(TenantId, SessionId), SessionRecord, RandomState>,
    pub(super) user_secrets: Shelf<Arc<str>, UserSecretRecord, RandomState>,
    pub(super) foreign_identities: Shelf<(TenantId, Arc<str>, Arc<str>), ForeignIdentityRecord, RandomState>,
    pub(super) identity_keys: Shelf<(RealmName, Arc<str>), VerifyingKey, RandomState>,
}

/// A record and the state of its subject that it is.
pub(super) type Remembered = (Version, Record);

fn as_a<T>(kind: fn(Arc<T>) -> Record) -> impl FnOnce(Found<T>) -> Remembered {
    move |found| (found.version, kind(found.record))
}

/// Runs the same on each shelf.
macro_rules! on_each_shelf {
    ($shelves:expr, $shelf:ident => $act:expr) => {{
        {
            let $shelf = &$shelves.keys;
            $act
        }
        {
            let $shelf = &$shelves.tenants;
            $act
        }
        {
            let $shelf = &$shelves.orgs;
            $act
        }
        {
            let $shelf = &$shelves.accounts;
            $act
        }
        {
            let $shelf = &$shelves.members;
            $act
        }
        {
            let $shelf = &$shelves.sessions;
            $act
        }
        {
            let $shelf = &$shelves.user_secrets;
            $act
        }
        {
            let $shelf = &$shelves.foreign_identities;
            $act
        }
        {
            let $shelf = &$shelves.identity_keys;
            $act
        }
    }};
}

/// The subject's shelf as `shelf` and its name there as `name`; tokens have no shelf.
macro_rules! on_shelf_of {
    ($shelves:expr, $subject:expr, |$shelf:ident, $name:ident| $act:expr, none: $none:expr) => {
        match $subject {
            Subject::Key(digest) => {
                let ($shelf, $name) = (&$shelves.keys, digest);
                $act
            }
            Subject::Tenant(tenant) => {
                let ($shelf, $name) = (&$shelves.tenants, tenant);
                $act
            }
            Subject::Org(tenant, org) => {
                let ($shelf, $name) = (&$shelves.orgs, &(*tenant, *org));
                $act
            }
            Subject::Account(account) => {
                let ($shelf, $name) = (&$shelves.accounts, account);
                $act
            }
            Subject::Member(tenant, org, account) => {
                let ($shelf, $name) = (&$shelves.members, &(*tenant, *org, *account));
                $act
            }
            Subject::Session(tenant, session) => {
                let ($shelf, $name) = (&$shelves.sessions, &(*tenant, *session));
                $act
            }
            Subject::UserSecret(kid) => {
                let ($shelf, $name) = (&$shelves.user_secrets, kid);
                $act
            }
            Subject::ForeignIdentity(tenant, issuer, subject) => {
                let ($shelf, $name) =
                    (&$shelves.foreign_identities, &(*tenant, Arc::clone(issuer), Arc::clone(subject)));
                $act
            }
            Subject::IdentityKey(realm, kid) => {
                let ($shelf, $name) = (&$shelves.identity_keys, &(realm.clone(), Arc::clone(kid)));
                $act
            }
            Subject::RevokedToken(..) => $none,
        }
    };
}

impl Shelves {
    /// Empty shelves.
    pub(super) fn new() -> Self {
        Self {
            keys: Shelf::new(),
            tenants: Shelf::new(),
            orgs: Shelf::new(),
            accounts: Shelf::new(),
            members: Shelf::new(),
            sessions: Shelf::new(),
            user_secrets: Shelf::new(),
            foreign_identities: Shelf::new(),
            identity_keys: Shelf::new(),
        }
    }

    /// The record of `subject` and its state, if it is here and may be believed. Does not count as a use.
    pub(super) fn peek(&self, subject: &Subject, beat: Beat) -> Option<Remembered> {
        match subject {
            Subject::Key(digest) => self.keys.peek(digest, beat).map(as_a(Record::Key)),
            Subject::Tenant(tenant) => self.tenants.peek(tenant, beat).map(as_a(Record::Tenant)),
            Subject::Org(tenant, org) => self.orgs.peek(&(*tenant, *org), beat).map(as_a(Record::Org)),
            Subject::Account(account) => self.accounts.peek(account, beat).map(as_a(Record::Account)),
            Subject::Member(tenant, org, account) => {
                self.members.peek(&(*tenant, *org, *account), beat).map(as_a(Record::Member))
            }
            Subject::Session(tenant, session) => {
                self.sessions.peek(&(*tenant, *session), beat).map(as_a(Record::Session))
            }
            Subject::UserSecret(kid) => self.user_secrets.peek(kid, beat).map(as_a(Record::UserSecret)),
            Subject::ForeignIdentity(tenant, issuer, name) => self
                .foreign_identities
                .peek(&ForeignName(*tenant, issuer, name), beat)
                .map(as_a(Record::ForeignIdentity)),
            Subject::IdentityKey(realm, kid) => {
                self.identity_keys.peek(&KeyName(realm, kid), beat).map(as_a(Record::IdentityKey))
            }
            Subject::RevokedToken(..) => None,
        }
    }

    /// The state of what a decision calls `subject`, if it is here and may be believed. Does not count as a use.
    pub(super) fn version(&self, subject: directory::Subject<'_>, beat: Beat) -> Option<Version> {
        match subject {
            directory::Subject::Key(digest) => self.keys.version(digest, beat),
            directory::Subject::Tenant(tenant) => self.tenants.version(&tenant, beat),
            directory::Subject::Org(tenant, org) => self.orgs.version(&(tenant, org), beat),
            directory::Subject::Account(account) => self.accounts.version(&account, beat),
            directory::Subject::Member(tenant, org, account) => {
                self.members.version(&(tenant, org, account), beat)
            }
            directory::Subject::Session(tenant, session) => self.sessions.version(&(tenant, session), beat),
            directory::Subject::UserSecret(kid) => self.user_secrets.version(kid, beat),
            directory::Subject::ForeignIdentity(tenant, issuer, name) => {
                self.foreign_identities.version(&ForeignName(tenant, issuer, name), beat)
            }
            directory::Subject::IdentityKey(realm, kid) => {
                self.identity_keys.version(&KeyName(realm, kid), beat)
            }
            directory::Subject::RevokedToken(..) => None,
        }
    }

    /// Puts the record of `subject` on its shelf. Answers what it replaced. A record of another kind than its
    /// subject's is not put anywhere; see [`is_of`].
    pub(super) fn put(
        &self,
        subject: &Subject,
        version: i64,
        record: &Record,
        beat: Beat,
        due: u32,
    ) -> Option<Before> {
        match (subject, record) {
            (Subject::Key(digest), Record::Key(record)) => {
                self.keys.put(*digest, version, Arc::clone(record), beat, due)
            }
            (Subject::Tenant(tenant), Record::Tenant(record)) => {
                self.tenants.put(*tenant, version, Arc::clone(record), beat, due)
            }
            (Subject::Org(tenant, org), Record::Org(record)) => {
                self.orgs.put((*tenant, *org), version, Arc::clone(record), beat, due)
            }
            (Subject::Account(account), Record::Account(record)) => {
                self.accounts.put(*account, version, Arc::clone(record), beat, due)
            }
            (Subject::Member(tenant, org, account), Record::Member(record)) => {
                self.members.put((*tenant, *org, *account), version, Arc::clone(record), beat, due)
            }
            (Subject::Session(tenant, session), Record::Session(record)) => {
                self.sessions.put((*tenant, *session), version, Arc::clone(record), beat, due)
            }
            (Subject::UserSecret(kid), Record::UserSecret(record)) => {
                self.user_secrets.put(Arc::clone(kid), version, Arc::clone(record), beat, due)
            }
            (Subject::ForeignIdentity(tenant, issuer, name), Record::ForeignIdentity(record)) => {
                let name = (*tenant, Arc::clone(issuer), Arc::clone(name));
                self.foreign_identities.put(name, version, Arc::clone(record), beat, due)
            }
            (Subject::IdentityKey(realm, kid), Record::IdentityKey(record)) => {
                let name = (realm.clone(), Arc::clone(kid));
                self.identity_keys.put(name, version, Arc::clone(record), beat, due)
            }
            _ => None,
        }
    }

    /// Takes the record of `subject` off its shelf if it is older than `older_than`, or in any case if that is
    /// `None`. Answers what it was.
    pub(super) fn take_off(&self, subject: &Subject, older_than: Option<i64>, beat: Beat) -> Option<Before> {
        on_shelf_of!(self, subject, |shelf, name| shelf.take_off(name, older_than, beat), none: None)
    }

    /// Whether there is an entry for `subject`, believed or not.
    pub(super) fn hold(&self, subject: &Subject) -> bool {
        on_shelf_of!(self, subject, |shelf, name| shelf.holds(name), none: false)
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        let mut sum = 0;
        on_each_shelf!(self, shelf => sum += shelf.len());
        sum
    }

    /// Drops what was remembered before everything was forgotten.
    pub(super) fn bury(&self, beat: Beat) {
        on_each_shelf!(self, shelf => shelf.bury(beat));
    }

    /// Brings the number of entries down to `most`. Takes as long as walking over all of them three times.
    /// Answers how many went.
    pub(super) fn evict_to(&self, most: usize, beat: Beat) -> usize {
        let mut evicted = 0;
        let mut counts = HashMap::new();
        on_each_shelf!(self, shelf => shelf.count_tenants(&mut counts));
        let mut census = Census::of(counts, most);
        on_each_shelf!(self, shelf => shelf.enter_into(&mut census, beat));
        census.sentence();
        on_each_shelf!(self, shelf => evicted += shelf.evict(&mut census, beat));
        evicted
    }
}

/// Whether `record` is what `subject` names, as far as the record says itself. A store that answered one
/// tenant's question with another tenant's row is not believed.
pub(super) fn is_of(record: &Record, subject: &Subject) -> bool {
    match (subject, record) {
        // A key's record does not say by which digest it is found.
        (Subject::Key(_), Record::Key(_)) | (Subject::RevokedToken(..), Record::RevokedToken { .. }) => true,
        (Subject::Tenant(tenant), Record::Tenant(found)) => found.tenant == *tenant,
        (Subject::Org(tenant, org), Record::Org(found)) => found.tenant == *tenant && found.org == *org,
        (Subject::Account(account), Record::Account(found)) => found.account == *account,
        (Subject::Member(tenant, org, account), Record::Member(found)) => {
            found.tenant == *tenant && found.org == *org && found.account == *account
        }
        (Subject::Session(tenant, session), Record::Session(found)) => {
            found.tenant == *tenant && found.session == *session
        }
        (Subject::UserSecret(kid), Record::UserSecret(found)) => *found.kid == **kid,
        (Subject::ForeignIdentity(tenant, ..), Record::ForeignIdentity(found)) => found.tenant == *tenant,
        (Subject::IdentityKey(_, kid), Record::IdentityKey(found)) => found.kid() == &**kid,
        _ => false,
    }
}
