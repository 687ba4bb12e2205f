//! Step 3: may this principal do this here? First no wins.
//!
//! Everything asked here is answered from what the principal brought with it; nothing is looked up. Only the
//! files in this folder can make a [`Grant`].

mod identity;

use std::sync::Arc;

use crate::api::Api;
use crate::authenticate::{Caller, Parts, Principal};
use crate::directory::{MemberState, State};
use crate::need::Need;
use crate::network::Client;
use crate::refusal::Reason;

/// Proof that a principal may do what its request needs. Not yet counted against any limit.
#[derive(Debug)]
pub(crate) struct Grant {
    principal: Box<Principal>,
    need: Arc<Need>,
}

impl Grant {
    /// Who was granted it.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What was needed.
    pub(crate) fn need(&self) -> &Arc<Need> {
        &self.need
    }
}

/// A principal that may not do what its request needs, and why.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) reason: Reason,
    pub(crate) principal: Box<Principal>,
}

/// Grants, or says why not.
///
/// # Errors
/// 403, and 405 where everything else would have been granted.
pub(crate) fn authorize(caller: Caller<'_>, need: &Arc<Need>) -> Result<Grant, Box<Denied>> {
    let (arrival, principal) = caller.into_parts();
    let checked = may(arrival.api(), arrival.inbound().client, &principal)
        .and_then(|()| identity::agrees(arrival.api(), arrival.inbound(), &principal))
        .and_then(|()| reaches(&principal, need))
        .and_then(|()| match need.not_among() {
            Some(allow) => Err(Reason::MethodNotAllowed { allow: allow.into() }),
            None => Ok(()),
        });
    match checked {
        Ok(()) => Ok(Grant { principal, need: need.clone() }),
        Err(reason) => Err(Box::new(Denied { reason, principal })),
    }
}

/// What can change under a stream that stays open: everything but the headers it came with.
///
/// # Errors
/// 403, as when it was granted.
pub(crate) fn still_may(principal: &Principal, need: &Need) -> Result<(), Reason> {
    may(principal.api(), principal.client(), principal)?;
    reaches(principal, need)
}

fn may(api: &Api, client: Client, principal: &Principal) -> Result<(), Reason> {
    may_act(api, principal)?;
    from_here(client, principal)
}

/// Whether tenant, organization, account and member may act.
pub(crate) fn may_act(api: &Api, principal: &Principal) -> Result<(), Reason> {
    if principal.tenant().state != State::Active {
        return Err(Reason::TenantSuspended);
    }
    if principal.org().state != State::Active {
        return Err(Reason::OrgSuspended);
    }
    if let Parts::Person(person) = principal.parts() {
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

/// Whether a key may be used from where the request came. From where nobody knows, one that is bound to networks may not.
pub(crate) fn from_here(client: Client, principal: &Principal) -> Result<(), Reason> {
    let Parts::Key(key) = principal.parts() else { return Ok(()) };
    match &key.networks {
        Some(networks) if !client.address().is_some_and(|address| networks.contain(address)) => {
            Err(Reason::NetworkNotAllowed { from: client })
        }
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
