//! Do the tenant and organization that the request names agree with the credential's?
//!
//! They assert and never select: whatever is named, the request stays in the credential's own tenant, and a
//! name that differs ends it.

use std::str::FromStr;

use http::{HeaderMap, HeaderName};

use crate::api::{Api, HeaderMode};
use crate::authenticate::Principal;
use crate::id::{OrgId, TenantId};
use crate::inbound::Inbound;
use crate::refusal::Reason;

pub(super) fn agrees(api: &Api, inbound: &Inbound<'_>, principal: &Principal) -> Result<(), Reason> {
    let rules = &api.identity_headers;
    let required = rules.mode == HeaderMode::Required || principal.tenant().requires_identity_headers;
    let (tenant, org) = principal.ids();

    if let Some(named) = header::<TenantId>(inbound.headers, rules.tenant(), required)?
        && named != tenant
    {
        return Err(Reason::OtherTenant);
    }
    if let Some(named) = header::<OrgId>(inbound.headers, rules.org(), required)?
        && named != org
    {
        return Err(Reason::OtherOrg);
    }
    if inbound.target.query().is_some() {
        let differs = |names: &[String], own: &str| {
            names
                .iter()
                .any(|name| inbound.target.parameters(name).any(|value| !value.eq_ignore_ascii_case(own)))
        };
        if differs(&rules.tenant_parameters, &tenant.to_string()) {
            return Err(Reason::OtherTenant);
        }
        if differs(&rules.org_parameters, &org.to_string()) {
            return Err(Reason::OtherOrg);
        }
    }
    Ok(())
}

/// The id in the header called `name`; `None` if it is not there and need not be.
fn header<Id: FromStr>(headers: &HeaderMap, name: &HeaderName, required: bool) -> Result<Option<Id>, Reason> {
    let refuse = |why| Err(Reason::IdentityHeaders { why });
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) if required => refuse("one of the two is missing"),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => refuse("one of the two is there twice"),
        (Some(value), None) => match value.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(id) => Ok(Some(id)),
            None => refuse("one of the two is not a version 4 UUID"),
        },
    }
}
