//! Sessions at the console: as any other, shown by a token that no API takes. It names its session, and is kept nowhere.

use claviger::directory::{MemberState, SessionRecord, State};
use claviger::id::{ApiName, RealmName, RoleName, SessionId, TenantId};
use claviger::secret::Secret;

use super::{sealed_text, sessions};
use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;
use crate::parts::accounts::Accounts;
use crate::statement::statements;
use crate::value::values;

/// What a token of the console begins with.
pub const TOKEN_PREFIX: &str = "cs_";

statements! { "session";
    /// A session that goes on at `$3`, whose ground stands: no generation has grown since it was made, and all that it hangs on may act.
    CONSOLE_STANDING: Tenant [Uuid, Uuid, Int]
        "SELECT m.role, m.state, t.state, o.state, a.state, t.realm, t.owner_id, a.email, a.email_verified,
             s.tenant_id, s.session_id, s.org_id, s.account_id, s.ended, s.expires_at,
             s.tenant_generation, s.org_generation, s.account_generation, s.member_generation
         FROM session AS s
         JOIN tenant AS t ON t.tenant_id = s.tenant_id AND t.generation = s.tenant_generation
         JOIN organization AS o ON o.tenant_id = s.tenant_id AND o.org_id = s.org_id AND o.generation = s.org_generation
         JOIN account AS a ON a.account_id = s.account_id AND a.generation = s.account_generation
         JOIN member AS m ON m.tenant_id = s.tenant_id AND m.org_id = s.org_id AND m.account_id = s.account_id
             AND m.generation = s.member_generation
         WHERE s.tenant_id = $1 AND s.session_id = $2 AND s.ended = 0 AND s.expires_at > $3";
}

/// Somebody who is signed in at the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtConsole {
    /// Their session.
    pub session: SessionRecord,
    /// The API by whose roles they act.
    pub api: ApiName,
    /// The realm of their tenant.
    pub realm: RealmName,
    /// Their address.
    pub email: String,
    /// Whether it was proved.
    pub email_verified: bool,
    /// Their role in the organization of the session.
    pub role: RoleName,
    /// Whether the tenant is theirs.
    pub owns_the_tenant: bool,
}

impl Accounts {
    /// The token that shows a session at the console, where its holder acts by this API's roles.
    pub fn console_token(&self, session: &SessionRecord, api: &ApiName) -> Secret {
        let (tenant, session) = (session.tenant.as_bytes().as_slice(), session.session.as_bytes().as_slice());
        let value = [tenant, session, api.as_str().as_bytes()].concat();
        sealed_text::made(&self.inner.keyring, "console-seal", TOKEN_PREFIX, &value)
    }

    /// Who shows this token, while their session goes on and everything that it hangs on may act.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn at_console(&self, token: &str) -> Result<Option<AtConsole>, StoreError> {
        let Some((tenant, session, api)) = self.shown_at_console(token) else { return Ok(None) };
        let work = async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let Some(row) = tx.run_one(&CONSOLE_STANDING, values![tenant, session, now]).await? else {
                return Ok(None);
            };
            let mut columns = row.read();
            let role = columns.parse()?;
            let is_active = columns.member_state()? == MemberState::Active;
            let others =
                [columns.state("tenant")?, columns.state("organization")?, columns.state("account")?];
            let (realm, owner, email) = (columns.parse()?, columns.maybe_parse()?, columns.text()?);
            let email_verified = columns.truth()?;
            let session = sessions::read(&mut columns)?;
            if !is_active || others.iter().any(|state| *state != State::Active) {
                return Ok(None);
            }
            let owns_the_tenant = owner == Some(session.account);
            let api = api.clone();
            Ok(Some(AtConsole { session, api, realm, email, email_verified, role, owns_the_tenant }))
        };
        self.inner.run(Bound::Tenant(tenant), Mode::Read, work).await
    }

    /// What a token says, if it was made here: asks nobody.
    fn shown_at_console(&self, token: &str) -> Option<(TenantId, SessionId, ApiName)> {
        let value = sealed_text::read(&self.inner.keyring, "console-seal", TOKEN_PREFIX, token)?;
        let (tenant, rest) = value.split_first_chunk()?;
        let (session, api) = rest.split_first_chunk()?;
        let api = std::str::from_utf8(api).ok()?.parse().ok()?;
        Some((TenantId::from_bytes(*tenant)?, SessionId::from_bytes(*session)?, api))
    }
}
