//! Does a principal that was proven before still stand? Asked of streams that stay open.

use crate::api::Api;
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
        let person = match principal.subject() {
            Subject::Key(_, digest) => {
                let record = self.directory.key(digest).resolve().await?.ok_or(bad("no such key"))?;
                check_key(&record, self.clock.now()).map_err(bad)?;
                let (tenant, org) = self.home(api, record.tenant, record.org).await?;
                return Ok(Principal {
                    environment: record.environment,
                    grants: Some(record.grants.clone()),
                    subject: Subject::Key(record, *digest),
                    tenant,
                    org,
                });
            }
            Subject::Person(person) => person,
        };
        let kid = match &person.token {
            // Everything is looked at that is looked at when the token is shown again.
            TokenFacts::Identity { claims, .. } => return self.identity_claims(api, claims.clone()).await,
            TokenFacts::User { kid } => kid,
        };
        let secret = self.directory.user_secret(kid).resolve().await?;
        secret.filter(|secret| !secret.revoked).ok_or(bad("the user secret was replaced"))?;
        let (tenant, org) = principal.ids();
        let (tenant, org) = self.home(api, tenant, org).await?;
        let account = self.directory.account(person.account.account).resolve().await?;
        let account = account.filter(|account| account.state != State::Deleted);
        let account = account.ok_or(bad("the account is gone"))?;
        let member = self.membership(tenant.tenant, org.org, account.account).await?;
        Ok(Principal {
            environment: principal.environment,
            grants: api.roles.grants(member.role.as_str()).cloned(),
            subject: Subject::Person(Person { account, member, token: person.token.clone() }.into()),
            tenant,
            org,
        })
    }
}
