//! Accounts: people, whatever tenants they are members of.

use claviger_store::accounts::AccountView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operation::{Call, operations};
use super::page::Page;
use super::realms::known_realm;
use super::{parse, shown};
use crate::failure::Failure;

/// Which accounts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Find {
    /// The realm
    realm: String,
    /// The e-mail address
    email: String,
}

/// Which account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The account: its id or e-mail address
    account: String,
}

/// What to end of an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RevokeTokens {
    /// The account: its id or e-mail address
    account: String,
    /// End API keys and user tokens too; new ones can be made at once
    #[serde(default)]
    credentials: bool,
}

/// A person.
#[derive(Debug, Serialize, ToSchema)]
struct AccountShown {
    /// Its id.
    account_id: String,
    /// The realm it is of.
    realm: String,
    /// Its e-mail address.
    email: String,
    /// Whether the address was proven.
    email_verified: bool,
    /// `active` or `suspended`.
    state: String,
    /// When it was made.
    created_at: String,
}

/// What was ended.
#[derive(Debug, Serialize, ToSchema)]
struct Revoked {
    /// Whose.
    account_id: String,
    /// What is made from now on is made under this number.
    generation: i64,
}

operations! {
    /// Find the account of an e-mail address
    "account.list": GET "/v1/accounts" for Reader = list(Find) -> Page<AccountShown>;
    /// Show an account
    "account.view": GET "/v1/accounts/{account}" for Reader = view(Which) -> AccountShown;
    /// Refuse a person everywhere for now (403)
    "account.suspend": POST "/v1/accounts/{account}/suspend" for Support = suspend(Which) -> AccountShown;
    /// Let a suspended person in again
    "account.resume": POST "/v1/accounts/{account}/resume" for Support = resume(Which) -> AccountShown;
    /// End all sessions of a person everywhere, and so all identity tokens made so far, other issuers' too
    "account.revoke-tokens": POST "/v1/accounts/{account}/revoke-tokens" for Support = revoke_tokens(RevokeTokens) -> Revoked;
}

fn one(account: &AccountView) -> AccountShown {
    AccountShown {
        account_id: account.account.to_string(),
        realm: account.realm.to_string(),
        email: account.email.clone(),
        email_verified: account.email_verified,
        state: format!("{:?}", account.state).to_lowercase(),
        created_at: shown(account.created_at),
    }
}

/// The account, if the caller reaches all of its realm.
async fn within(call: &Call, text: &str) -> Result<AccountView, Failure> {
    let account = call.account(text).await?;
    let view = call.operator().accounts().account_view(account).await?;
    match call.caller.reaches_realm(&view.realm) {
        Ok(()) => Ok(view),
        // As of one that is not there: its realm is not the caller's to know.
        Err(_) => Err(claviger_store::StoreError::NotFound { what: "account" }.into()),
    }
}

async fn list(call: &Call, input: Find) -> Result<Page<AccountShown>, Failure> {
    let realm = known_realm(call, &input.realm).await?;
    let found = call.operator().accounts().account_find(&realm, &parse(&input.email, "email")?).await?;
    Ok(Page::whole(found.iter().map(one).collect()))
}

async fn view(call: &Call, input: Which) -> Result<AccountShown, Failure> {
    Ok(one(&within(call, &input.account).await?))
}

async fn suspend(call: &Call, input: Which) -> Result<AccountShown, Failure> {
    let account = within(call, &input.account).await?.account;
    call.operator().accounts().account_suspend(account).await?;
    view(call, Which { account: account.to_string() }).await
}

async fn resume(call: &Call, input: Which) -> Result<AccountShown, Failure> {
    let account = within(call, &input.account).await?.account;
    call.operator().accounts().account_resume(account).await?;
    view(call, Which { account: account.to_string() }).await
}

async fn revoke_tokens(call: &Call, input: RevokeTokens) -> Result<Revoked, Failure> {
    let account = within(call, &input.account).await?.account;
    let ends = super::input::ends(input.credentials);
    let generation = call.operator().accounts().account_revoke(account, ends).await?;
    Ok(Revoked { account_id: account.to_string(), generation })
}
