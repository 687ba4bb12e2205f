//! `claviger token`: identity tokens.

use clap::Subcommand;
use claviger::id::{SessionId, TokenId};
use claviger_store::signing_keys::Line;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::identity_tokens;
use crate::management::{Failure, Management, parse};

use super::InTenant;
use super::member::{Who, find};

pub(super) const EXAMPLES: &str = "Examples:
  claviger token issue --api orders --tenant ID --org ID --email ada@acme.example
  claviger token revoke --tenant ID --session ID
  claviger token rotate-key --realm orders --step next        publishes a key
  claviger token rotate-key --realm orders --step activate    lets it sign, once everybody has fetched it";

#[derive(Debug, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TokenCommand {
    /// Begin a session for a member and print its token
    ///
    /// The token lives as long as the API's `token_lifetime_seconds` says; it ends with its session at the latest.
    Issue {
        /// The API it is for
        #[arg(long)]
        api: String,
        #[command(flatten)]
        #[serde(flatten)]
        who: Who,
        /// How long the session may go on, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 30 * 24 * 3600)]
        session_seconds: i64,
    },
    /// Revoke one token by its `jti`, or one session by its `sid`
    ///
    /// A token of another issuer is named by both, as issuers choose the `jti` of their tokens themselves. One that has
    /// none cannot be revoked alone: end the link, or suspend the member.
    Revoke {
        #[command(flatten)]
        #[serde(flatten)]
        tenant: InTenant,
        /// The token's `jti`
        #[arg(long, value_name = "ID", required_unless_present = "session")]
        token: Option<String>,
        /// The issuer, if it is another's token
        #[arg(long, value_name = "ISSUER", requires = "token")]
        issuer: Option<String>,
        /// The session's id, a token's `sid`
        #[arg(long, value_name = "ID")]
        session: Option<String>,
    },
    /// List the keys that sign a realm's tokens
    Keys {
        /// The realm
        #[arg(long)]
        realm: String,
    },
    /// Publish the next signing key, let the published one sign, or drop a retired one
    RotateKey {
        /// The realm
        #[arg(long)]
        realm: String,
        /// What to do
        #[arg(long, value_name = "STEP", value_parser = ["next", "activate", "drop"])]
        step: String,
        /// The key to drop, with `--step drop`
        #[arg(long, value_name = "KID", required_if_eq("step", "drop"))]
        kid: Option<String>,
    },
}

impl TokenCommand {
    pub(super) async fn run(self, management: &Management) -> Result<Value, Failure> {
        match self {
            Self::Issue { api, who, session_seconds } => {
                management.api(&api)?;
                let (store, org, account) = find(management, &who).await?;
                let api = management.api_in(&store.tenant_view().await?.realm, &api)?;
                let member = store.member_view(org, account).await?;
                let session = store.session_create(org, account, session_seconds).await?;
                let signer = identity_tokens::signer(&management.store, &api.api.realm).await?;
                let token = identity_tokens::issue(
                    &signer,
                    &api.api,
                    &session,
                    &member.role,
                    management.clock.now(),
                    &*management.random,
                )?;
                Ok(json!({
                    "access_token": token.text,
                    "token_type": "Bearer",
                    "expires_in": api.api.identity_tokens.lifetime_seconds,
                    "tenant_id": session.tenant.to_string(),
                    "org_id": session.org.to_string(),
                    "session_id": session.session.to_string(),
                    "token_id": token.id.to_string(),
                    "role": member.role.to_string(),
                }))
            }
            Self::Revoke { tenant, token, issuer, session } => {
                let store = management.tenant(&tenant.tenant)?;
                if let Some(token) = &token {
                    // No token lives longer than this, so none needs to be remembered for longer.
                    let (id, lifetime_seconds) = match &issuer {
                        None => (parse::<TokenId>(token, "--token")?, 86_400),
                        Some(issuer) => {
                            let realm = store.tenant_view().await?.realm;
                            management.known_issuer(&realm, issuer)?;
                            (TokenId::foreign(issuer, token), management.longest_lifetime(&realm, issuer))
                        }
                    };
                    let expires_at = management.clock.now().plus_seconds(lifetime_seconds + 60);
                    store.token_revoke(id, expires_at).await?;
                }
                if let Some(session) = &session {
                    store.session_end(parse::<SessionId>(session, "--session")?).await?;
                }
                Ok(json!({ "token": token, "issuer": issuer, "session": session, "state": "revoked" }))
            }
            Self::Keys { realm } => {
                let line = Line::Identity(parse(&realm, "--realm")?);
                let keys = identity_tokens::keys(&management.store, &line).await?;
                let view = |key: &claviger_store::signing_keys::SigningKeyView| {
                    json!({
                        "kid": key.public.kid(),
                        "algorithm": key.public.algorithm().as_str(),
                        "state": format!("{:?}", key.state).to_lowercase(),
                        "created_at": crate::management::shown(key.created_at),
                    })
                };
                Ok(keys.iter().map(view).collect::<Vec<_>>().into())
            }
            Self::RotateKey { realm, step, kid } => {
                let realm = parse(&realm, "--realm")?;
                let algorithm = management
                    .api_of_realm(&realm)
                    .map(|api| api.token_algorithm)
                    .ok_or_else(|| Failure::new(format!("no API of the settings is of realm `{realm}`")))?;
                let line = Line::Identity(realm);
                let system = identity_tokens::system(&management.store);
                match (step.as_str(), kid) {
                    ("next", None) => Ok(
                        json!({ "kid": system.signing_key_next(&line, algorithm).await?, "state": "next" }),
                    ),
                    ("activate", None) => {
                        Ok(json!({ "kid": system.signing_key_activate(&line).await?, "state": "active" }))
                    }
                    ("drop", Some(kid)) => {
                        system.signing_key_drop(&line, &kid).await?;
                        Ok(json!({ "kid": kid, "state": "dropped" }))
                    }
                    _ => Err(Failure::new(format!("`--step {step}` is no step that can be taken so"))
                        .hint("say `--step next`, `--step activate`, or `--step drop --kid KID`")),
                }
            }
        }
    }
}
