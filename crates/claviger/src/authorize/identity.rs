//! Do the tenant and organization that the request names agree with the credential's?
//!
//! They assert and never select: whatever is named, the request stays in the credential's own tenant, and a
//! name that differs ends it.

use std::fmt::Display;
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
        if names_another(inbound, &rules.tenant_parameters, &tenant) {
            return Err(Reason::OtherTenant);
        }
        if names_another(inbound, &rules.org_parameters, &org) {
            return Err(Reason::OtherOrg);
        }
    }
    Ok(())
}

/// Whether a parameter of one of these names is anything but `own`.
fn names_another(inbound: &Inbound<'_>, names: &[String], own: &impl Display) -> bool {
    let mut values = names.iter().flat_map(|name| inbound.target.parameters(name)).peekable();
    // Most queries have none of them, and an id need not be spelt.
    values.peek().is_some() && {
        let own = own.to_string();
        values.any(|value| !value.eq_ignore_ascii_case(&own))
    }
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
