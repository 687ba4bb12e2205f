//! What accounts sign in with. Of a password only its hash is here, and another one ends every session of before.

use claviger::clock::UnixMillis;
use claviger::id::{AccountId, RealmName, SessionId, TenantId};
use claviger::secret::Secret;

use super::accounts::{self, ACCOUNT_HOLD, AccountView, held};
use super::outbox::{self, Letter};
use super::sessions;
use crate::backend::{Bound, Tx};
use crate::email::Email;
use crate::ends::floor_after;
use crate::error::StoreError;
use crate::parts::accounts::Accounts;
use crate::statement::statements;
use crate::value::{Row, values};

statements! { "account";
    /// As [`ACCOUNT_BY_EMAIL`], with the hash: one look-up, so that an account takes no longer than none.
    ACCOUNT_SIGNS_IN: System [Text, Text]
        "SELECT account_id, realm, email, state, email_verified, self_registered, generation, created_at, password_hash
         FROM account WHERE realm = $1 AND email_key = $2";
    ACCOUNT_PASSWORD: System [Uuid]
        "SELECT account_id, realm, email, state, email_verified, self_registered, generation, created_at, password_hash
         FROM account WHERE account_id = $1";
    /// There is no password any more, and every session of before is over, and what else hangs on `$3` and `$4` (see [`Ends`]). Only while
    /// the account's number is `$2`, if that is said: what was looked at under another one is not what there is.
    ACCOUNT_VOID: System [Uuid, Int, Int, Int] withdraws
        "UPDATE account SET password_hash = NULL, generation = generation + 1, credentials = credentials + $3,
             tokens_from = CASE WHEN tokens_from > $4 THEN tokens_from ELSE $4 END
         WHERE account_id = $1 AND generation = coalesce($2, generation) AND state <> 'deleted' RETURNING generation";
    /// After [`ACCOUNT_VOID`], in its transaction: done again after a failover it would bring an old password back.
    ACCOUNT_SET_PASSWORD: System [Uuid, Text] "UPDATE account SET password_hash = $2 WHERE account_id = $1";
    /// Links for another password that were mailed before (`proofs.rs`).
    PASSWORD_PROOFS_END: System [Uuid] withdraws "DELETE FROM proof WHERE account_id = $1 AND purpose = 'reset'";
}

/// An account, and what its password is known by.
#[derive(Debug, Clone)]
pub struct SigningIn {
    /// The account.
    pub account: AccountView,
    /// The hash of its password, if it has one.
    pub password_hash: Option<Secret>,
}

fn read_signing_in(row: Row) -> Result<SigningIn, StoreError> {
    let mut columns = row.read();
    Ok(SigningIn { account: accounts::read_columns(&mut columns)?, password_hash: columns.secret_text()? })
}

/// Another password, or none, and what ends with the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewed<'p> {
    /// The password's hash.
    pub(crate) password_hash: Option<&'p str>,
    /// The account's generation while it was looked at, if it has to be the same.
    pub(crate) under: Option<i64>,
    /// Whether somebody else may have had the account: then nothing that they made in its name goes on.
    pub(crate) from_another: bool,
}

/// Gives the account another password, and ends every session of before. Gives its generation now; `None` if it was another one than it had
/// to be.
pub(crate) async fn renew(
    tx: &mut Tx<'_>,
    account: AccountId,
    renewed: Renewed<'_>,
) -> Result<Option<i64>, StoreError> {
    let Renewed { password_hash, under, from_another } = renewed;
    tx.run_one(&ACCOUNT_HOLD, values![account]).await?;
    let floor = if from_another { floor_after(tx.now().await?) } else { UnixMillis(0) };
    let row = tx.run_one(&ACCOUNT_VOID, values![account, under, i64::from(from_another), floor]).await?;
    let Some(row) = row else { return Ok(None) };
    if let Some(hash) = password_hash {
        tx.run(&ACCOUNT_SET_PASSWORD, values![account, hash]).await?;
    }
    row.read().int().map(Some)
}

impl Accounts {
    /// The realm's account of that address with the hash of its password, in as many look-ups as it takes to find that there is none.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn account_signing_in(
        &self,
        realm: &RealmName,
        email: &Email,
    ) -> Result<Option<SigningIn>, StoreError> {
        let (realm, email) = (realm.clone(), email.clone());
        self.read(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&ACCOUNT_SIGNS_IN, values![realm.as_str(), email.key()]).await?;
            row.map(read_signing_in).transpose()
        })
        .await
    }

    /// The account with the hash of its password.
    ///
    /// # Errors
    /// If there is no such account.
    pub async fn account_password(&self, account: AccountId) -> Result<SigningIn, StoreError> {
        self.read(async move |tx: &mut Tx<'_>| {
            let row = tx.run_one(&ACCOUNT_PASSWORD, values![account]).await?;
            read_signing_in(row.ok_or(StoreError::NotFound { what: "account" })?)
        })
        .await
    }

    /// Gives the account another password, as a PHC string, and ends all its sessions everywhere, in one transaction; `staying` begins
    /// anew under the number that holds now. `notice` is mailed. Only while the account's generation is `under`, if that is said. A sign-in that has compared the old password, and is about to begin a session, begins none.
    ///
    /// # Errors
    /// If there is no such account.
    pub async fn account_set_password(
        &self,
        account: AccountId,
        (password_hash, under): (Secret, Option<i64>),
        staying: Option<(TenantId, SessionId)>,
        notice: Option<Letter>,
    ) -> Result<(), StoreError> {
        let hash = password_hash.expose_text().map(str::to_owned);
        let hash = hash.ok_or_else(|| StoreError::Invalid("a password's hash must be text".into()))?;
        let (entry, inner) = (self.entry("ACCOUNT_PASSWORD_CHANGED", account), self.inner.clone());
        let work = async move |tx: &mut Tx<'_>| {
            let renewed = Renewed { password_hash: Some(&hash), under, from_another: false };
            let now_under = renew(tx, account, renewed).await?;
            let now_under = now_under.ok_or(StoreError::NotFound { what: "account" })?;
            tx.run(&PASSWORD_PROOFS_END, values![account]).await?;
            entry.write(tx).await?;
            if let Some(notice) = &notice {
                outbox::post(tx, &inner, outbox::fresh(&inner), notice).await?;
            }
            Ok(now_under)
        };
        let now_under = self.write_in(Bound::System("accounts"), work).await?;
        if let Some((tenant, session)) = staying {
            // The password is changed; at worst whoever did it signs in with it.
            let stayed = sessions::stay(self, (tenant, session), now_under).await;
            drop(stayed);
        }
        Ok(())
    }

    /// Notes that the account's address was proven by somebody who sets this password now, and ends its sessions; only while its generation
    /// is `under`. What somebody else may have made in its name ends too.
    ///
    /// # Errors
    /// If there is no such account, or its generation is another one.
    pub async fn account_prove(
        &self,
        account: AccountId,
        password_hash: Secret,
        under: i64,
    ) -> Result<AccountView, StoreError> {
        let entry = self.entry("ACCOUNT_PASSWORD_CHANGED", account);
        let work = async move |tx: &mut Tx<'_>| {
            let before = held(tx, account).await?;
            let password_hash = password_hash.expose_text();
            let renewed =
                Renewed { password_hash, under: Some(under), from_another: before.may_be_anothers() };
            renew(tx, account, renewed).await?.ok_or(StoreError::NotFound { what: "account" })?;
            entry.write(tx).await?;
            accounts::verify(tx, account).await
        };
        self.write_in(Bound::System("accounts"), work).await
    }
}
