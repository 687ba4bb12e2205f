//! User tokens: HS256 under the user's own secret, found by `kid`.
//!
//! The most important check is the last one: `sub` must be the owner of the secret. Without it anybody could sign
//! anybody else's name with a secret of their own.

use std::sync::Arc;

use aws_lc_rs::hmac;

use crate::api::Api;
use crate::clock::LEEWAY_SECONDS;
use crate::directory::{Generations, UserSecretRecord};
use crate::id::AccountId;
use crate::json::Json;
use crate::jws::{CompactJws, Header, MAX_DEPTH, MAX_TOKEN_BYTES, is_own_key_name};
use crate::network::Client;
use crate::refusal::{Reason, Refusal};

use super::person::Person;
use super::principal::{Parts, Principal, person_who};
use super::proof::{Proof, UserProof};
use super::{Authenticator, Gate};

/// A key that verifies nothing: spent on an unknown `kid`, so that it takes as long as a known one.
const DUMMY: [u8; 32] = [0x5a; 32];

impl Authenticator {
    pub(super) async fn prove_user_token(
        &self,
        api: &Api,
        token: CompactJws<'_>,
        header: &Header,
        gate: Gate,
    ) -> Result<Proof, Refusal> {
        if &*header.alg != "HS256" {
            return Err(Reason::bad("another algorithm than the key's").into());
        }
        if !header.typ.as_deref().is_none_or(|typ| matches!(typ, "user+jwt" | "JWT")) {
            return Err(Reason::bad("another kind of token").into());
        }
        if !is_own_key_name(&header.kid) || token.as_str().len() > MAX_TOKEN_BYTES {
            return Err(
                Reason::bad("no user secret of ours is called so, or no token of one is so long").into()
            );
        }
        let found =
            self.look_up(gate, header.kid.as_bytes(), || self.directory.user_secret(&header.kid)).await?;
        let key = found.as_ref().map_or(&DUMMY[..], |record| record.secret.expose());
        let signature = token.signature().ok_or(Reason::bad("the signature is not canonical base64url"))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let verified = hmac::verify(&key, token.signing_input(), &signature);
        let record = found.ok_or(Reason::bad("no such user secret"))?;
        check_secret(api, &record)?;
        verified.map_err(|_| Reason::bad("the signature is wrong"))?;
        let claims = token.claims(MAX_DEPTH).map_err(Reason::bad)?;
        let subject = self.check_claims(api, &claims).map_err(Reason::bad)?;
        Ok(Proof::User(UserProof { kid: header.kid.clone(), subject, found: Some(record) }))
    }

    pub(super) async fn stand_user_token(
        &self,
        api: &Arc<Api>,
        client: Client,
        mut user: UserProof,
    ) -> Result<Box<Principal>, Refusal> {
        let found = match user.found.take() {
            Some(found) => Some(found),
            None => self.directory.user_secret(&user.kid).resolve().await?,
        };
        let secret = found.ok_or(Reason::bad("no such user secret"))?;
        let known = |reason: Reason| {
            Refusal::new(reason).of(|| person_who(&user.kid, secret.tenant, secret.org, Some(secret.account)))
        };
        check_secret(api, &secret).map_err(known)?;
        if user.subject != secret.account {
            return Err(known(Reason::bad("the token speaks for another user than its secret's")));
        }
        let (tenant, org) = self.home(api, secret.tenant, secret.org).await.map_err(known)?;
        let (account, member) =
            self.person(api, secret.tenant, secret.org, secret.account).await.map_err(known)?;
        let today = Generations {
            tenant: tenant.floor.credentials,
            org: org.floor.credentials,
            account: account.floor.credentials,
            member: member.floor.credentials,
        };
        if secret.made_under != today {
            let why = "all user tokens of the tenant, organization, account or member were revoked";
            return Err(known(Reason::bad(why)));
        }
        let grants = api.roles.grants(member.role.as_str()).cloned();
        let version = secret.version;
        let person = Person { account, member, grants, by: version, link: None };
        Ok(Principal::new(api.clone(), client, Proof::User(user), Parts::Person(person), tenant, org))
    }

    fn check_claims(&self, api: &Api, claims: &Json) -> Result<AccountId, &'static str> {
        let members = claims.as_object().unwrap_or_default();
        // Each of the three is asked for below, and no name is there twice.
        if members.len() != 3 {
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

/// Whether a secret may sign for this API.
fn check_secret(api: &Api, secret: &UserSecretRecord) -> Result<(), Reason> {
    if secret.secret.expose().len() < 32 {
        return Err(Reason::Internal { why: "a stored user secret is shorter than 32 bytes" });
    }
    if secret.revoked {
        return Err(Reason::bad("the user secret was replaced"));
    }
    if secret.api != api.name {
        return Err(Reason::bad("the user secret is of another API"));
    }
    Ok(())
}
