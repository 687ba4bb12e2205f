//! User tokens: HS256 under the user's own secret, found by `kid`.
//!
//! The most important check is the last one on the claims: `sub` must be the owner of the secret. Without it
//! anybody could sign anybody else's name with a secret of their own.

use aws_lc_rs::hmac;

use crate::api::Api;
use crate::clock::LEEWAY_SECONDS;
use crate::directory::State;
use crate::id::{AccountId, Environment};
use crate::inbound::Inbound;
use crate::json::Json;
use crate::jws::{CompactJws, Header};
use crate::refusal::Reason;

use super::Authenticator;
use super::principal::{Person, Principal, Subject, TokenFacts};

/// The claims, exactly these (row c04).
const CLAIMS: [&str; 3] = ["sub", "iat", "iss"];
/// A key that verifies nothing: spent on an unknown `kid`, so that it takes as long as a known one.
const DUMMY: [u8; 32] = [0x5a; 32];

impl Authenticator {
    pub(super) async fn user_token(
        &self,
        api: &Api,
        inbound: &Inbound<'_>,
        token: CompactJws<'_>,
        header: &Header,
    ) -> Result<Principal, Reason> {
        let bad = |why| Reason::BadCredential { why };
        if &*header.alg != "HS256" {
            return Err(bad("another algorithm than the key's"));
        }
        if !header.typ.as_deref().is_none_or(|typ| matches!(typ, "user+jwt" | "JWT")) {
            return Err(bad("another kind of token"));
        }
        let secret = self.look_up(inbound, self.directory.user_secret(&header.kid)).await?;
        let key = secret.as_ref().map_or(&DUMMY[..], |record| record.secret.expose());
        if key.len() < 32 {
            return Err(Reason::Internal { why: "a stored user secret is shorter than 32 bytes" });
        }
        let signature = token.signature().ok_or(bad("the signature is not canonical base64url"))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let verified = hmac::verify(&key, token.signing_input(), &signature);
        let record = secret.ok_or(bad("no such user secret"))?;
        verified.map_err(|_| bad("the signature is wrong"))?;
        if record.revoked {
            return Err(bad("the user secret was replaced"));
        }
        if record.api != api.name {
            return Err(bad("the user secret is of another API"));
        }
        let claims = token.claims().map_err(bad)?;
        let subject = self.check_claims(api, &claims).map_err(bad)?;
        if subject != record.account {
            return Err(bad("the token speaks for another user than its secret's"));
        }

        let (tenant, org) = self.home(api, record.tenant, record.org).await?;
        let account =
            self.directory.account(record.account).resolve().await?.ok_or(bad("no such account"))?;
        if account.state == State::Deleted || account.realm != api.realm {
            return Err(bad("the account is gone"));
        }
        let member = self.membership(record.tenant, record.org, record.account).await?;
        let token = TokenFacts::User { kid: header.kid.clone() };
        Ok(Principal {
            grants: api.roles.grants(member.role.as_str()).cloned(),
            subject: Subject::Person(Person { account, member, token }.into()),
            environment: Environment::Live,
            tenant,
            org,
        })
    }

    fn check_claims(&self, api: &Api, claims: &Json) -> Result<AccountId, &'static str> {
        let members = claims.as_object().unwrap_or_default();
        if members.len() != CLAIMS.len() || !members.iter().all(|(name, _)| CLAIMS.contains(&name.as_str())) {
            return Err("the claims are not exactly `sub`, `iat` and `iss`");
        }
        if claims.get("iss").and_then(Json::as_str) != Some(&api.user_token_issuer) {
            return Err("another issuer");
        }
        let issued =
            claims.get("iat").and_then(Json::as_int).ok_or("`iat` is not a whole number of seconds")?;
        if issued < 0 || issued > self.clock.now().seconds() + LEEWAY_SECONDS {
            return Err("`iat` is in the future, or before 1970");
        }
        let subject = claims.get("sub").and_then(Json::as_str).ok_or("`sub` is not a text")?;
        subject.parse().map_err(|_| "`sub` is not an account id")
    }
}
