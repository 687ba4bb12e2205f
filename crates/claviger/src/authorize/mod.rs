//! Step 3: may this principal do this here? First no wins.
//!
//! Everything asked here is answered from what the principal brought with it; nothing is looked up. Only the
//! files in this folder can make a [`Grant`].

mod identity;

use std::net::IpAddr;

use crate::api::Api;
use crate::authenticate::{Principal, Subject};
use crate::directory::{MemberState, State};
use crate::inbound::Inbound;
use crate::refusal::Reason;
use crate::route::Need;

/// Proof that a principal may do what its request needs. Not yet counted against any limit.
#[derive(Debug, Clone)]
pub struct Grant {
    principal: Principal,
    cost: u32,
}

impl Grant {
    /// Who was granted it.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// How much of a limit it takes.
    pub fn cost(&self) -> u32 {
        self.cost
    }
}

/// A principal that may not do what its request needs, and why.
#[derive(Debug)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// Who.
    pub principal: Principal,
}

/// Grants, or says why not.
///
/// # Errors
/// 403, and 405 where everything else would have been granted.
pub fn authorize(
    api: &Api,
    inbound: &Inbound<'_>,
    principal: Principal,
    need: &Need,
) -> Result<Grant, Box<Denied>> {
    match check(api, inbound, &principal, need) {
        Ok(()) => Ok(Grant { principal, cost: need.cost() }),
        Err(reason) => Err(Box::new(Denied { reason, principal })),
    }
}

fn check(api: &Api, inbound: &Inbound<'_>, principal: &Principal, need: &Need) -> Result<(), Reason> {
    may_act(api, principal)?;
    from_here(inbound.client, principal)?;
    identity::agrees(api, inbound, principal)?;
    reaches(principal, need)?;
    match need.not_among() {
        Some(allow) => Err(Reason::MethodNotAllowed { allow: allow.into() }),
        None => Ok(()),
    }
}

/// What can change under a stream that stays open: everything but the headers it came with.
pub(crate) fn still_may(api: &Api, client: IpAddr, principal: &Principal, need: &Need) -> Result<(), Reason> {
    may_act(api, principal)?;
    from_here(client, principal)?;
    reaches(principal, need)
}

/// Whether tenant, organization, account and member may act.
fn may_act(api: &Api, principal: &Principal) -> Result<(), Reason> {
    if principal.tenant().state != State::Active {
        return Err(Reason::TenantSuspended);
    }
    if principal.org().state != State::Active {
        return Err(Reason::OrgSuspended);
    }
    if let Subject::Person(person) = principal.subject() {
        if person.account.state != State::Active {
            return Err(Reason::AccountSuspended);
        }
        if person.member.state != MemberState::Active {
            return Err(Reason::MemberNotActive);
        }
        if api.requires_verified_email && !person.account.email_verified {
            return Err(Reason::EmailNotVerified);
        }
    }
    Ok(())
}

/// Whether a key may be used from where the request came.
fn from_here(client: IpAddr, principal: &Principal) -> Result<(), Reason> {
    let Subject::Key(key, _) = principal.subject() else { return Ok(()) };
    match &key.networks {
        Some(networks) if !networks.contain(client) => Err(Reason::NetworkNotAllowed { from: client }),
        _ => Ok(()),
    }
}

/// Whether the grants reach what the request needs. A principal whose role nobody knows has none.
fn reaches(principal: &Principal, need: &Need) -> Result<(), Reason> {
    if need.credentials().is_some_and(|kinds| !kinds.contain(principal.kind())) {
        return Err(Reason::KindNotAllowedHere { kind: principal.kind() });
    }
    let grants = principal.grants().ok_or(Reason::RoleUnknown)?;
    for demand in need.demands() {
        if !grants.allow(demand.resource.as_ref(), demand.access) {
            return Err(Reason::AccessMissing { resource: demand.resource.clone(), needed: demand.access });
        }
    }
    Ok(())
}
