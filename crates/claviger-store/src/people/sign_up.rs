//! A tenant, with its first organization and whoever it belongs to.

use std::sync::Arc;

use claviger::id::{AccountId, OrgId, PlanName, RealmName, RoleName, TenantId};
use claviger::secret::Secret;
use serde_json::json;

use super::accounts::{self, Wanted};
use super::members;
use super::refresh_tokens::{Begin, Session};
use crate::actor::Actor;
use crate::audit::entry::Entry;
use crate::backend::{Bound, Mode, Tx};
use crate::credentials::held_keys;
use crate::data_key::DataKey;
use crate::email::Email;
use crate::error::StoreError;
use crate::parts::accounts::Accounts;
use crate::parts::inner::Inner;
use crate::parts::operator::Operator;
use crate::state;
use crate::tenancy::orgs;
use crate::tenancy::tenants::{TENANT_ADD, TENANT_OWNER};
use crate::value::values;

/// What a new tenant is made of.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// The realm, which must exist.
    pub realm: RealmName,
    /// What people call it.
    pub name: String,
    /// Its tariff, one of the realm's.
    pub plan: PlanName,
    /// What its first organization is called.
    pub organization: String,
    /// Whose it is: an account of the realm, which is made if there is none.
    pub owner: Email,
    /// The hash of the owner's password, for an account that is made. An account that exists keeps its own.
    pub password_hash: Option<Secret>,
    /// Whether an account is meant of which nobody knows whether whoever made it has its address.
    pub unproven_owner: bool,
}

/// The ids of what was made with a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedTenant {
    /// The tenant.
    pub tenant: TenantId,
    /// Its first organization.
    pub org: OrgId,
    /// The owner, ADMIN there.
    pub account: AccountId,
    /// Whether the owner's account was made with it.
    pub account_is_new: bool,
}

/// Tenant, organization, owner and membership in one transaction, and whatever is to be done in it too; or none of it.
async fn create<T, F>(
    inner: &Inner,
    actor: &Actor,
    (new, owner): (NewTenant, Owner),
    then: F,
) -> Result<(CreatedTenant, T), StoreError>
where
    F: AsyncFn(&mut Tx<'_>, CreatedTenant) -> Result<T, StoreError> + Send + 'static,
    T: Send + 'static,
{
    let random = inner.random.as_ref();
    let (tenant, org, fresh) =
        (TenantId::generate(random), OrgId::generate(random), AccountId::generate(random));
    let data_key = DataKey::generate(random);
    let (keyring, source) = (inner.keyring.clone(), Arc::clone(&inner.random));
    let (name, organization) = (state::display_name(&new.name)?, state::display_name(&new.organization)?);
    let admin: RoleName = "ADMIN".parse().map_err(|_| StoreError::Corrupt { what: "role" })?;
    let entry = Entry::new(
        inner,
        Some(tenant),
        actor,
        "TENANT_CREATED",
        ("tenant", tenant.to_string()),
        &json!({ "realm": new.realm, "plan": new.plan, "organization": org.to_string() }),
    );
    let wanted = Wanted {
        fresh,
        realm: new.realm.clone(),
        email: new.owner,
        password_hash: new.password_hash,
        self_registered: owner == Owner::New { is_proven: false },
        email_verified: owner == Owner::New { is_proven: true },
    };
    let (realm, plan) = (new.realm, new.plan);
    let work = async move |tx: &mut Tx<'_>| {
        let under = held_keys::encryption_key(tx, &keyring).await?;
        let data_key = data_key.sealed(tenant, (&keyring, &under), source.as_ref())?;
        let now = tx.now().await?;
        let row = values![tenant, realm.as_str(), &name, plan.as_str(), data_key.as_slice(), now];
        tx.run(&TENANT_ADD, row).await?;
        orgs::add(tx, tenant, org, &organization, now).await?;
        let found = accounts::ensure(tx, &wanted).await?;
        let account = found.account;
        if account != fresh && matches!(owner, Owner::New { .. }) {
            return Err(StoreError::AlreadyExists { what: "account" });
        }
        if account != fresh && owner == Owner::Proven && found.may_be_anothers() {
            return Err(StoreError::Refused { why: UNPROVEN_OWNER });
        }
        members::add(tx, tenant, org, account, &admin, now).await?;
        tx.run(&TENANT_OWNER, values![tenant, account]).await?;
        entry.write(tx).await?;
        let made = CreatedTenant { tenant, org, account, account_is_new: account == fresh };
        Ok((made, then(tx, made).await?))
    };
    inner.run(Bound::Tenant(tenant), Mode::Write, work).await
}

/// Why a tenant is not given to an account because of its address.
pub const UNPROVEN_OWNER: &str = "whoever made the account of that address has not proved to have it";

/// Whose a tenant may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Anybody's.
    Any,
    /// Whoever's address it is.
    Proven,
    /// Nobody's who has an account: at sign-up nobody has proved to be that person, or they have proved the address just now.
    New { is_proven: bool },
}

impl Operator {
    /// Makes a tenant with its first organization and its owner, ADMIN there.
    ///
    /// # Errors
    /// If the realm or the plan does not exist, a name is not one, or [`UNPROVEN_OWNER`], unless that one is meant. Then nothing is made.
    pub async fn tenant_create(&self, new: NewTenant) -> Result<CreatedTenant, StoreError> {
        let owner = if new.unproven_owner { Owner::Any } else { Owner::Proven };
        let nothing_else = async |_: &mut Tx<'_>, _: CreatedTenant| Ok(());
        let (made, ()) = create(&self.inner, &self.actor, (new, owner), nothing_else).await?;
        Ok(made)
    }
}

impl Accounts {
    /// Sign-up: as [`Operator::tenant_create`], for somebody who has no account in the realm yet, and a session of theirs with it.
    /// `is_proven` where they have proved that the address is theirs.
    ///
    /// # Errors
    /// If the address has an account, the realm or the plan does not exist, or a name is not one. Then nothing is
    /// made.
    pub async fn sign_up(
        &self,
        new: NewTenant,
        begin: Begin,
        is_proven: bool,
    ) -> Result<Session, StoreError> {
        let starting = self.starting();
        let then = async move |tx: &mut Tx<'_>, made: CreatedTenant| {
            starting.start(tx, (made.tenant, made.org, made.account), begin).await
        };
        let (_, session) = create(&self.inner, &self.actor, (new, Owner::New { is_proven }), then).await?;
        Ok(session)
    }
}
