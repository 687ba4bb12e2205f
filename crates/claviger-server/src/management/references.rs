//! How people name things: by id, by what their own systems call them, or by name. A text that several things go by names none of
//! them: nobody wants to have suspended the other one.

use std::fmt::Display;

use claviger::directory::{Annotated, State};
use claviger::id::{AccountId, KeyId, OrgId, RealmName, TenantId};
use claviger_store::tenant_store::TenantStore;
use claviger_store::{Email, StoreError};

use super::annotations::found;
use super::caller::Reach;
use super::operation::Call;
use crate::failure::{Failure, FailureKind};

/// How many that are called the same are looked at: more are not told apart either.
const LOOKED_AT: i64 = 10;

/// The one thing that goes by a text.
fn only<T: Display>(argument: &str, text: &str, what: &str, mut all: Vec<T>) -> Result<T, Failure> {
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => {
            let said = format!("there is no such {what}");
            Err(Failure { kind: FailureKind::NotFound, ..Failure::argument(argument, text, said) }
                .hint("give its id, what your own systems call it (its external id), or its name"))
        }
        (Some(last), false) => {
            let ids: Vec<String> = all.iter().chain([&last]).map(|id| format!("`{id}`")).collect();
            let said = format!("more than one {what} goes by this");
            Err(Failure { kind: FailureKind::Conflict, ..Failure::argument(argument, text, said) }
                .hint(format!("give the id: {}", ids.join(", "))))
        }
    }
}

impl Call {
    fn reaches(&self, tenant: TenantId, realm: &RealmName) -> bool {
        match &self.caller.reach {
            Reach::Everything => true,
            Reach::Realms(realms) => realms.contains(realm),
            Reach::Tenants(tenants) => tenants.contains(&tenant),
        }
    }

    /// The part of one tenant.
    ///
    /// # Errors
    /// If nothing, or more than one tenant, goes by the text; or if the caller does not reach it, which sounds as if there were none.
    pub(super) async fn tenant(&self, text: &str) -> Result<TenantStore, Failure> {
        let operator = self.operator();
        if let Ok(tenant) = text.parse::<TenantId>() {
            let store = operator.tenant(tenant);
            // It is read for everybody: what is done to a tenant that is not there would fail later, and say less.
            let realm = store.tenant_view().await?.realm;
            return match self.reaches(tenant, &realm) {
                true => Ok(store),
                false => Err(StoreError::NotFound { what: "tenant" }.into()),
            };
        }
        let mut all = Vec::new();
        for (tenant, realm) in operator.tenants_named(text, LOOKED_AT).await? {
            if self.reaches(tenant, &realm) {
                all.push(tenant);
            }
        }
        for realm in operator.realm_list().await? {
            if let Some(tenant) = operator.tenant_called(&realm, text).await?
                && self.reaches(tenant, &realm)
                && !all.contains(&tenant)
                && operator.tenant(tenant).tenant_view().await?.state != State::Deleted
            {
                all.push(tenant);
            }
        }
        Ok(operator.tenant(only("tenant", text, "tenant", all)?))
    }

    /// An organization of the tenant.
    ///
    /// # Errors
    /// If nothing, or more than one organization, goes by the text.
    pub(super) async fn org(&self, store: &TenantStore, text: &str) -> Result<OrgId, Failure> {
        if let Ok(org) = text.parse() {
            return Ok(org);
        }
        let mut all = store.orgs_named(text, LOOKED_AT).await?;
        if let Some(Annotated::Org(org)) = found(store.annotated("organization", text).await)?
            && !all.contains(&org)
            && store.org_view(org).await?.state != State::Deleted
        {
            all.push(org);
        }
        only("org", text, "organization", all)
    }

    /// A key of the tenant.
    ///
    /// # Errors
    /// If nothing, or more than one key, goes by the text.
    pub(super) async fn key(&self, store: &TenantStore, text: &str) -> Result<KeyId, Failure> {
        if let Ok(key) = text.parse() {
            return Ok(key);
        }
        let mut all = store.keys_named(text, LOOKED_AT).await?;
        if let Some(Annotated::Key(key)) = found(store.annotated("key", text).await)?
            && !all.contains(&key)
            && store.key_view(key).await?.state != State::Deleted
        {
            all.push(key);
        }
        only("key", text, "API key", all).map_err(|failure| match text.contains("_live_") || text.contains("_test_") {
            true => failure.hint("a key itself has no business on a command line; `claviger key find` takes it on standard input"),
            false => failure,
        })
    }

    /// A member of the organization: by account id, e-mail address or external id.
    ///
    /// # Errors
    /// If nobody goes by the text there.
    pub(super) async fn member(
        &self,
        store: &TenantStore,
        org: OrgId,
        text: &str,
    ) -> Result<AccountId, Failure> {
        if let Ok(account) = text.parse::<AccountId>() {
            return Ok(store.member_view(org, account).await?.account);
        }
        let by_address = match text.parse::<Email>() {
            Ok(email) => match store.member_find(org, &email).await {
                Ok(member) => Some(member.account),
                Err(StoreError::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            },
            Err(_) => None,
        };
        let by_external_id = match found(store.annotated("member", text).await)? {
            Some(Annotated::Member(its, account)) if its == org => Some(account),
            _ => None,
        };
        let mut all: Vec<AccountId> = by_address.into_iter().collect();
        all.extend(by_external_id.filter(|account| Some(*account) != by_address));
        if all.is_empty() {
            // An organization that is not there has no members either, and says so itself.
            store.org_view(org).await?;
            let said = "this is no member of the organization";
            return Err(Failure { kind: FailureKind::NotFound, ..Failure::argument("member", text, said) }
                .hint("give an e-mail address, an account id, or what your own systems call the member"));
        }
        only("member", text, "member", all)
    }

    /// An account, by id or e-mail address, in the realms that the caller reaches whole.
    ///
    /// # Errors
    /// If nobody, or somebody in more than one realm, goes by the text.
    pub(super) async fn account(&self, text: &str) -> Result<AccountId, Failure> {
        if let Ok(account) = text.parse() {
            return Ok(account);
        }
        let Ok(email) = text.parse::<Email>() else {
            let said = "this is neither an account's id nor an e-mail address";
            return Err(Failure::argument("account", text, said));
        };
        let (operator, mut all) = (self.operator(), Vec::new());
        for realm in operator.realm_list().await? {
            if self.caller.reaches_realm(&realm).is_ok() {
                all.extend(
                    operator.accounts().account_find(&realm, &email).await?.map(|found| found.account),
                );
            }
        }
        only("account", text, "account", all)
    }
}
