//! Identity tokens.

use claviger::id::{SessionId, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::members::{Who, find};
use super::operation::{Call, operations};
use super::parse;
use crate::failure::Failure;
use crate::identity_tokens;

/// How long a session goes on if nobody says, in seconds.
const SESSION_SECONDS: i64 = 30 * 24 * 3600;

/// A session to begin, and its token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Issue {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The organization: its id, external id or name
    org: String,
    /// The member: an e-mail address, account id or external id
    member: String,
    /// The API it is for
    api: String,
    /// How long the session may go on, in seconds; 30 days by default
    session_seconds: Option<i64>,
}

/// What to revoke: a token, a session, or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Revoke {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The token's `jti`
    token: Option<String>,
    /// The issuer, if it is another's token
    issuer: Option<String>,
    /// The session's id, a token's `sid`
    session: Option<String>,
}

/// A token, shown this once.
#[derive(Serialize, ToSchema)]
struct Issued {
    /// The token itself.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// How long it lives, in seconds: no longer than its session.
    expires_in: i64,
    /// The tenant it is good in.
    tenant_id: String,
    /// The organization it is good in.
    org_id: String,
    /// Its session, its `sid`.
    session_id: String,
    /// Its `jti`.
    token_id: String,
    /// The member's role.
    role: String,
}

impl Drop for Issued {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.access_token);
    }
}

/// What was revoked.
#[derive(Debug, Serialize, ToSchema)]
struct Revoked {
    /// The token's `jti`.
    token: Option<String>,
    /// Its issuer, if it is another's.
    issuer: Option<String>,
    /// The session.
    session: Option<String>,
    /// `revoked`.
    state: &'static str,
}

operations! {
    /// Begin a session for a member and show its token, this once
    "token.issue": POST "/v1/tenants/{tenant}/organizations/{org}/members/{member}/tokens" for Owner = issue(Issue) -> Issued;
    /// Revoke one token by its `jti`, whether it was ever made or not, or one session by its `sid`
    "token.revoke": POST "/v1/tenants/{tenant}/tokens/revoke" for Support = revoke(Revoke) -> Revoked;
}

async fn issue(call: &Call, input: Issue) -> Result<Issued, Failure> {
    call.api_is_there(&input.api)?;
    let who = Who { tenant: input.tenant, org: input.org, member: input.member };
    let (store, org, account) = find(call, &who).await?;
    let api = call.api_for(&store, &input.api).await?.api.clone();
    let member = store.member_view(org, account).await?;
    let seconds = input.session_seconds.unwrap_or(SESSION_SECONDS);
    let session = store.session_create(org, account, seconds).await?;
    let management = &call.management;
    let signer = identity_tokens::signer(&management.store, &api.realm).await?;
    let now = management.clock.now();
    let token = identity_tokens::issue(&signer, &api, &session, &member.role, now, &*management.random)?;
    Ok(Issued {
        access_token: token.text,
        token_type: "Bearer",
        expires_in: token.lifetime_seconds,
        tenant_id: session.tenant.to_string(),
        org_id: session.org.to_string(),
        session_id: session.session.to_string(),
        token_id: token.id.to_string(),
        role: member.role.to_string(),
    })
}

async fn revoke(call: &Call, input: Revoke) -> Result<Revoked, Failure> {
    let store = call.tenant(&input.tenant).await?;
    if input.token.is_none() && (input.session.is_none() || input.issuer.is_some()) {
        return Err(Failure::new("nothing is named that could be revoked").hint(
            "name a token by its `jti`, with its issuer if it is another's, or a session by its `sid`",
        ));
    }
    // Read before anything is done, so that a wrong one leaves all as it was.
    let session = input.session.as_deref().map(|text| parse::<SessionId>(text, "session")).transpose()?;
    if let Some(token) = &input.token {
        // No token lives longer than this, so none needs to be remembered for longer.
        let (id, lifetime_seconds) = match &input.issuer {
            None => (parse::<TokenId>(token, "token")?, 86_400),
            Some(issuer) => {
                let realm = store.tenant_view().await?.realm;
                call.management.known_issuer(&realm, issuer)?;
                (TokenId::foreign(issuer, token), call.management.longest_lifetime(&realm, issuer))
            }
        };
        let expires_at = call.management.clock.now().plus_seconds(lifetime_seconds + 60);
        store.token_revoke(id, expires_at).await?;
    }
    if let Some(session) = session {
        store.session_end(session).await?;
    }
    Ok(Revoked { token: input.token, issuer: input.issuer, session: input.session, state: "revoked" })
}
