//! Sessions of members.

use claviger::id::SessionId;
use claviger_store::StoreError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::members::{Who, find, may_touch};
use super::operation::{Call, operations};
use super::page::Page;
use super::{parse, shown};
use crate::failure::Failure;

/// Which session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The tenant: its id, external id or name
    tenant: String,
    /// The session's id, a token's `sid`
    session: String,
}

/// A session that goes on.
#[derive(Debug, Serialize, ToSchema)]
struct SessionShown {
    /// Its id, the `sid` of its tokens.
    session_id: String,
    /// Whose it is.
    account_id: String,
    /// The organization it acts in.
    org_id: String,
    /// When it ends by itself.
    expires_at: String,
}

/// A session that was ended.
#[derive(Debug, Serialize, ToSchema)]
struct Ended {
    /// Its id.
    session_id: String,
    /// `ended`.
    state: &'static str,
}

operations! {
    /// List the sessions of a member that go on, in every organization of the tenant
    "session.list": GET "/v1/tenants/{tenant}/organizations/{org}/members/{member}/sessions" for Reader and Admin = list(Who) -> Page<SessionShown>;
    /// End a session, and so its tokens
    "session.end": DELETE "/v1/tenants/{tenant}/sessions/{session}" for Support and Admin = end(Which) -> Ended;
}

async fn list(call: &Call, input: Who) -> Result<Page<SessionShown>, Failure> {
    let (store, _, account) = find(call, &input).await?;
    let mut sessions = store.session_list(account).await?;
    sessions.retain(|session| call.caller.reaches_org(session.org));
    let one = |session: &claviger::directory::SessionRecord| SessionShown {
        session_id: session.session.to_string(),
        account_id: session.account.to_string(),
        org_id: session.org.to_string(),
        expires_at: shown(session.expires_at),
    };
    Ok(Page::whole(sessions.iter().map(one).collect()))
}

async fn end(call: &Call, input: Which) -> Result<Ended, Failure> {
    let store = call.tenant(&input.tenant).await?;
    let session = parse::<SessionId>(&input.session, "session")?;
    if call.caller.person().is_some() {
        let found = call.operator().accounts().session_view(store.tenant(), session).await?;
        if !call.caller.reaches_org(found.org) {
            return Err(StoreError::NotFound { what: "session" }.into());
        }
        may_touch(call, &store, (found.org, found.account)).await?;
    }
    store.session_end(session).await?;
    Ok(Ended { session_id: input.session, state: "ended" })
}
