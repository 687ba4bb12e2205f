//! Does a principal that was proven before still stand? Asked of streams that stay open.

use crate::api::Api;
use crate::clock::LEEWAY_SECONDS;
use crate::directory::State;
use crate::refusal::Reason;

use super::Authenticator;
use super::api_key::check_key;
use super::principal::{Person, Principal, Subject, TokenFacts};

impl Authenticator {
    /// Looks at everything a credential hangs on once more, its signature apart.
    ///
    /// # Errors
    /// As when it was proven, for what has changed since.
    pub(crate) async fn still_stands(&self, api: &Api, principal: &Principal) -> Result<Principal, Reason> {
        let bad = |why| Reason::BadCredential { why };
        let (tenant, org) = principal.ids();
        let (tenant, org) = self.home(api, tenant, org).await?;
        let mut now = principal.clone();
        match principal.subject() {
            Subject::Key(_, digest) => {
                let record = self.directory.key(digest).resolve().await?.ok_or(bad("no such key"))?;
                check_key(&record, self.clock.now()).map_err(bad)?;
                now.grants = Some(record.grants.clone());
                now.subject = Subject::Key(record, *digest);
            }
            Subject::Person(person) => {
                let account = self.directory.account(person.account.account).resolve().await?;
                let account = account.filter(|account| account.state != State::Deleted);
                let account = account.ok_or(bad("the account is gone"))?;
                let member = self.membership(tenant.tenant, org.org, account.account).await?;
                match &person.token {
                    TokenFacts::Identity { session, token, expires_at } => {
                        if self.clock.now() >= expires_at.plus_seconds(LEEWAY_SECONDS) {
                            return Err(bad("expired"));
                        }
                        if self.directory.token_is_revoked(tenant.tenant, *token) {
                            return Err(bad("the token is revoked"));
                        }
                        if let Some(session) = session {
                            self.check_session(*session, &tenant, &org, &account, &member).await?;
                        }
                    }
                    TokenFacts::User { kid } => {
                        let secret = self.directory.user_secret(kid).resolve().await?;
                        secret.filter(|secret| !secret.revoked).ok_or(bad("the user secret was replaced"))?;
                    }
                }
                // What was granted, as far as the role still allows it: a lowered role takes away at once.
                let live = api.roles.grants(member.role.as_str());
                now.grants = principal.grants().zip(live).map(|(granted, live)| granted.intersect(live));
                now.subject = Subject::Person(Person { account, member, token: person.token.clone() }.into());
            }
        }
        now.tenant = tenant;
        now.org = org;
        Ok(now)
    }
}
