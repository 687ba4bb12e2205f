//! `claviger user-token`.

use clap::{Args, Subcommand};
use claviger_store::user_secrets::UserSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::management::{Failure, ManagedApi, Management, shown};

use super::member::{Who, find};

/// Whose token for which API.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Whose {
    /// The API
    #[arg(long)]
    api: String,
    #[command(flatten)]
    #[serde(flatten)]
    who: Who,
}

pub(super) const EXAMPLES: &str = "Examples:
  claviger user-token issue --api syncello --tenant ID --org ID --email ada@acme.example
  claviger user-token regenerate --api syncello --tenant ID --org ID --email ada@acme.example";

#[derive(Debug, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UserTokenCommand {
    /// Print a member's token; a secret is made if there is none
    Issue(Whose),
    /// Give the member another secret: every token before is refused from now on
    Regenerate(Whose),
    /// Take the member's secret away
    Revoke(Whose),
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

fn token(api: &ManagedApi, secret: &UserSecret) -> Result<Value, Failure> {
    let text = user_token_text(api, secret)?;
    Ok(json!({ "token": text, "kid": secret.kid, "issued_at": shown(secret.created_at) }))
}

impl UserTokenCommand {
    pub(super) async fn run(self, management: &Management) -> Result<Value, Failure> {
        match self {
            Self::Issue(Whose { api, who }) => {
                management.api(&api)?;
                let (store, org, account) = find(management, &who).await?;
                let api = management.api_in(&store.tenant_view().await?.realm, &api)?;
                token(api, &store.user_secret_issue(&api.api.name, org, account).await?)
            }
            Self::Regenerate(Whose { api, who }) => {
                management.api(&api)?;
                let (store, org, account) = find(management, &who).await?;
                let api = management.api_in(&store.tenant_view().await?.realm, &api)?;
                token(api, &store.user_secret_regenerate(&api.api.name, org, account).await?)
            }
            Self::Revoke(Whose { api, who }) => {
                management.api(&api)?;
                let (store, _, account) = find(management, &who).await?;
                let api = management.api_in(&store.tenant_view().await?.realm, &api)?;
                store.user_secret_revoke(&api.api.name, account).await?;
                Ok(json!({ "account_id": account.to_string(), "state": "revoked" }))
            }
        }
    }
}
