//! User tokens, signed with each user's own secret.

use claviger_store::StoreError;
use claviger_store::user_secrets::{UserSecret, UserSecretView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::members::{Who, find, may_touch};
use super::operation::{Call, operations};
use super::page::Page;
use super::{ManagedApi, shown};
use crate::failure::Failure;

/// Whose token for which API.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Whose {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// The member: an e-mail address, account id or external id
    member: String,
    /// The API
    api: String,
}

/// A member's token.
#[derive(Serialize, ToSchema)]
struct UserToken {
    /// The token itself.
    token: String,
    /// The name of the secret it is signed with.
    kid: String,
    /// When the secret was made, and so the token.
    issued_at: String,
}

impl Drop for UserToken {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

/// A member's token, without the token.
#[derive(Debug, Serialize, ToSchema)]
struct UserTokenShown {
    /// The name of the secret it is signed with.
    kid: String,
    /// The API it is for.
    api: String,
    /// The organization it acts in.
    org_id: String,
    /// How many the member has had for the API, with this one.
    number: i64,
    /// When the secret was made, and so the token.
    issued_at: String,
    /// When it was last used, if it was; a second late.
    last_used_at: Option<String>,
}

/// A member who has no token any more.
#[derive(Debug, Serialize, ToSchema)]
struct Revoked {
    /// The person's account.
    account_id: String,
    /// `revoked`.
    state: &'static str,
}

operations! {
    /// Show a member's token; a secret is made if there is none
    "user-token.issue": POST "/v1/tenants/{tenant}/organizations/{org}/members/{member}/user-tokens" for Owner = issue(Whose) -> UserToken;
    /// List a member's tokens, without the tokens
    "user-token.list": GET "/v1/tenants/{tenant}/organizations/{org}/members/{member}/user-tokens" for Reader and Admin = list(Who) -> Page<UserTokenShown>;
    /// Give the member another secret: every token before is refused from now on
    "user-token.regenerate": POST "/v1/tenants/{tenant}/organizations/{org}/members/{member}/user-tokens/regenerate" for Owner = regenerate(Whose) -> UserToken;
    /// Take the member's secret away
    "user-token.revoke": POST "/v1/tenants/{tenant}/organizations/{org}/members/{member}/user-tokens/revoke" for Support and Admin = revoke(Whose) -> Revoked;
}

/// The claims, exactly these and in this order (row c04).
#[derive(serde::Serialize)]
struct Claims<'a> {
    sub: String,
    iat: i64,
    iss: &'a str,
}

/// The finished token of a user secret, the same each time: it is as old as its secret.
pub(crate) fn user_token_text(api: &ManagedApi, secret: &UserSecret) -> Result<String, Failure> {
    let claims = Claims {
        sub: secret.account.to_string(),
        iat: secret.created_at.seconds(),
        iss: &api.api.user_token_issuer,
    };
    Ok(claviger::jws::sign_hs256(secret.secret.expose(), &secret.kid, "user+jwt", &claims)?)
}

fn token(api: &ManagedApi, secret: &UserSecret) -> Result<UserToken, Failure> {
    let token = user_token_text(api, secret)?;
    Ok(UserToken { token, kid: secret.kid.clone(), issued_at: shown(secret.created_at) })
}

impl Whose {
    fn split(self) -> (String, Who) {
        (self.api, Who { tenant: self.tenant, org: self.org, member: self.member })
    }
}

async fn issue(call: &Call, input: Whose) -> Result<UserToken, Failure> {
    let (api, who) = input.split();
    call.api_is_there(&api)?;
    let (store, org, account) = find(call, &who).await?;
    let api = call.api_for(&store, &api).await?;
    token(&api, &store.user_secret_issue(&api.api.name, org, account).await?)
}

async fn list(call: &Call, input: Who) -> Result<Page<UserTokenShown>, Failure> {
    let (store, _, account) = find(call, &input).await?;
    let one = |secret: UserSecretView| UserTokenShown {
        kid: secret.kid,
        api: secret.api.to_string(),
        org_id: secret.org.to_string(),
        number: secret.version,
        issued_at: shown(secret.created_at),
        last_used_at: secret.last_used_at.map(shown),
    };
    let secrets = store.user_secret_list(account).await?.into_iter();
    Ok(Page::whole(secrets.filter(|secret| call.caller.reaches_org(secret.org)).map(one).collect()))
}

async fn regenerate(call: &Call, input: Whose) -> Result<UserToken, Failure> {
    let (api, who) = input.split();
    call.api_is_there(&api)?;
    let (store, org, account) = find(call, &who).await?;
    let api = call.api_for(&store, &api).await?;
    token(&api, &store.user_secret_regenerate(&api.api.name, org, account).await?)
}

async fn revoke(call: &Call, input: Whose) -> Result<Revoked, Failure> {
    let (api, who) = input.split();
    call.api_is_there(&api)?;
    let (store, org, account) = find(call, &who).await?;
    let api = call.api_for(&store, &api).await?;
    may_touch(call, &store, (org, account)).await?;
    if call.caller.bound_to().is_some() {
        let secrets = store.user_secret_list(account).await?;
        if !secrets.iter().any(|secret| secret.api == api.api.name && call.caller.reaches_org(secret.org)) {
            return Err(StoreError::NotFound { what: "user secret" }.into());
        }
    }
    store.user_secret_revoke(&api.api.name, account).await?;
    Ok(Revoked { account_id: account.to_string(), state: "revoked" })
}
