//! What a credential is, as somebody who may know is told (RFC 7662, section 2.2).

use claviger::credential::CredentialKind;
use claviger::{Api, Introspected};
use serde_json::{Value, json};

use super::Management;
use super::caller::{Caller, Reach};
use crate::failure::Failure;

/// What is said of a credential that is nobody's, or nobody's to ask about.
fn inactive() -> Value {
    json!({ "active": false })
}

fn described(api: &Api, found: &Introspected) -> Value {
    let who = &found.who;
    let subject = who.account.map(|account| account.to_string());
    let mut value = json!({
        "active": true,
        "token_type": "Bearer",
        "credential": who.kind.as_str(),
        "scope": found.grants.to_string(),
        "sub": subject.or(who.key.map(|key| key.to_string())),
        "tenant_id": who.tenant.to_string(),
        "org_id": who.org.to_string(),
        "environment": who.environment,
    });
    let identity = who.kind == CredentialKind::IdentityToken;
    let own = identity && !found.is_anothers_word;
    let issuer = match who.kind {
        CredentialKind::UserToken => Some(&*api.user_token_issuer),
        _ => own.then_some(&*api.identity_tokens.issuer),
    };
    let more = [
        ("role", found.role.as_ref().map(|role| json!(role))),
        ("exp", found.expires_at.map(|end| json!(end.seconds()))),
        ("iss", issuer.map(|issuer| json!(issuer))),
        ("aud", own.then(|| json!(&*api.identity_tokens.audience))),
        ("jti", own.then(|| json!(&*who.credential))),
        ("sid", found.session.filter(|_| own).map(|session| json!(session.to_string()))),
        ("client_id", who.key.map(|key| json!(key.to_string()))),
    ];
    if let Some(members) = value.as_object_mut() {
        members.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    value
}

/// Whether an operator reaches whose credential it is.
fn reaches(caller: &Caller, api: &Api, found: &Introspected) -> bool {
    match &caller.reach {
        Reach::Everything => true,
        Reach::Realms(realms) => realms.contains(&api.realm),
        Reach::Tenants(tenants) => tenants.contains(&found.who.tenant),
    }
}

/// What is said of a credential at the host of this API, to an operator with that token or to somebody who was found to be allowed to know.
///
/// # Errors
/// If the token is no operator's.
pub async fn introspect(
    management: &Management,
    api: &Api,
    operator: Option<&str>,
    found: Option<&Introspected>,
) -> Result<Value, Failure> {
    let caller = match operator {
        Some(token) => Some(management.operator_with(token, None).await?),
        None => None,
    };
    let is_known = |found: &&Introspected| caller.as_ref().is_none_or(|caller| reaches(caller, api, found));
    Ok(found.filter(is_known).map_or_else(inactive, |found| described(api, found)))
}
