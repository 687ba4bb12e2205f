//! How people name things: by id, by what their own systems call them (the external id), or by name, in this order: ids and external ids
//! are given out by whoever runs things, names by whoever has them, and nobody may stand before another by calling themselves so. A name
//! that several have names none of them: nobody wants to have suspended the other one.

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

fn is_there<T>(answer: Result<T, StoreError>) -> Result<bool, Failure> {
    match answer {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
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

    /// The realms that the caller reaches whole.
    pub(super) async fn realms(&self) -> Result<Vec<RealmName>, Failure> {
        let mut realms = self.operator().realm_list().await?;
        realms.retain(|realm| self.caller.reaches_realm(realm).is_ok());
        Ok(realms)
    }

    /// The tenants that the caller reaches one by one.
    pub(super) fn tenants(&self) -> Vec<TenantId> {
        match &self.caller.reach {
            Reach::Tenants(tenants) => tenants.iter().copied().collect(),
            Reach::Everything | Reach::Realms(_) => Vec::new(),
        }
    }

    /// The part of one tenant.
    ///
    /// # Errors
    /// If nothing, or more than one tenant, goes by the text; or if the caller does not reach it, which sounds as if there were none.
    pub(super) async fn tenant(&self, text: &str) -> Result<TenantStore, Failure> {
        let operator = self.operator();
        let id = text.parse::<TenantId>().ok();
        if let Some(tenant) = id {
            let store = operator.tenant(tenant);
            // It is read for everybody: what is done to a tenant that is not there would fail later, and say less.
            match store.tenant_view().await {
                Ok(view) if self.reaches(tenant, &view.realm) => return Ok(store),
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (realms, tenants) = (self.realms().await?, self.tenants());
        // What an operator's systems call something is looked for by operators alone.
        let by_external_id = self.caller.is_operator();
        let mut called = Vec::new();
        for realm in &realms {
            called.extend(operator.tenant_called(realm, text).await?);
        }
        if by_external_id && !tenants.is_empty() {
            let annotations = operator.tenant_annotations(tenants.clone()).await?;
            let so = |tenant: &TenantId| annotations.get(&tenant.to_string())?.external_id.as_deref();
            called.extend(tenants.iter().copied().filter(|tenant| so(tenant) == Some(text)));
        }
        if called.is_empty() && id.is_some() {
            return Err(StoreError::NotFound { what: "tenant" }.into());
        }
        if called.is_empty() {
            for realm in &realms {
                called.extend(operator.tenants_named(realm, text, LOOKED_AT).await?);
            }
            for tenant in tenants {
                match operator.tenant(tenant).tenant_view().await {
                    Ok(view) if view.name == text && view.state != State::Deleted => called.push(tenant),
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(operator.tenant(only("tenant", text, "tenant", called)?))
    }

    /// An organization of the tenant.
    ///
    /// # Errors
    /// If nothing, or more than one organization, goes by the text; or if the caller does not reach it, which sounds as if there were none.
    pub(super) async fn org(&self, store: &TenantStore, text: &str) -> Result<OrgId, Failure> {
        match self.caller.bound_to() {
            None => self.org_called(store, text).await,
            // What others are called is not looked for.
            Some(org) if text.parse() == Ok(org) || store.org_view(org).await?.name == text => Ok(org),
            Some(_) => Err(StoreError::NotFound { what: "organization" }.into()),
        }
    }

    async fn org_called(&self, store: &TenantStore, text: &str) -> Result<OrgId, Failure> {
        let id = text.parse::<OrgId>().ok();
        if let Some(org) = id
            && is_there(store.org_view(org).await)?
        {
            return Ok(org);
        }
        let called = match self.caller.is_operator() {
            true => found(store.annotated("organization", text).await)?,
            false => None,
        };
        match (called, id) {
            (Some(Annotated::Org(org)), _) => Ok(org),
            // What is done to it says that there is none.
            (_, Some(org)) => Ok(org),
            _ => only("org", text, "organization", store.orgs_named(text, LOOKED_AT).await?),
        }
    }

    /// A key of the tenant.
    ///
    /// # Errors
    /// If nothing, or more than one key, goes by the text.
    pub(super) async fn key(&self, store: &TenantStore, text: &str) -> Result<KeyId, Failure> {
        let id = text.parse::<KeyId>().ok();
        if self.caller.person().is_some() {
            // What others are called is not looked for; one that is not theirs is none, whatever is done to it.
            return id.ok_or_else(|| StoreError::NotFound { what: "API key" }.into());
        }
        if let Some(key) = id
            && is_there(store.key_view(key).await)?
        {
            return Ok(key);
        }
        let named = match (found(store.annotated("key", text).await)?, id) {
            (Some(Annotated::Key(key)), _) | (_, Some(key)) => return Ok(key),
            _ => store.keys_named(text, LOOKED_AT).await?,
        };
        only("key", text, "API key", named).map_err(|failure| match text.contains("_live_") || text.contains("_test_") {
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
        let id = text.parse::<AccountId>().ok();
        if let Some(account) = id
            && is_there(store.member_view(org, account).await)?
        {
            return Ok(account);
        }
        if self.caller.is_operator()
            && let Some(Annotated::Member(its, account)) = found(store.annotated("member", text).await)?
            && its == org
        {
            return Ok(account);
        }
        let by_address = match text.parse::<Email>() {
            Ok(email) => match store.member_find(org, &email).await {
                Ok(member) => Some(member.account),
                Err(StoreError::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            },
            Err(_) => None,
        };
        if let Some(account) = by_address {
            return Ok(account);
        }
        // An organization that is not there has no members either, and says so itself.
        store.org_view(org).await?;
        if id.is_some() {
            return Err(StoreError::NotFound { what: "member" }.into());
        }
        let said = "this is no member of the organization";
        Err(Failure { kind: FailureKind::NotFound, ..Failure::argument("member", text, said) }
            .hint("give an e-mail address, an account id, or what your own systems call the member"))
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
        for realm in self.realms().await? {
            all.extend(operator.accounts().account_find(&realm, &email).await?.map(|found| found.account));
        }
        only("account", text, "account", all)
    }
}
