//! Another address for an account, by a link that was mailed there, and what of before ends with it.

use claviger::directory::State;
use claviger::id::{SessionId, TenantId};
use serde_json::json;

use super::accounts::{self, ACCOUNT_BY_EMAIL, ACCOUNT_END_ALL, AccountView, held};
use super::outbox::{self, Letter};
use super::proofs::{self, NewAddress};
use super::sessions;
use crate::audit::entry::Entry;
use crate::backend::{Bound, Tx};
use crate::error::StoreError;
use crate::parts::accounts::Accounts;
use crate::statement::statements;
use crate::value::values;

statements! { "account";
    ACCOUNT_READDRESS: System [Uuid, Text, Text, Int] grants
        "UPDATE account SET email = $2, email_key = $3, email_verified = 1, email_since = $4 WHERE account_id = $1";
}

impl Accounts {
    /// Uses a link up that proves `wished`, and gives the account that address. Every session of before is over, and so is every link and
    /// invitation that was mailed for it; `staying` begins anew. `notice`, to the address of before, is mailed. Gives the account as it is
    /// now; `None` if the link is nobody's any more, or the account is another one than when it was wished.
    ///
    /// # Errors
    /// If the realm has an account of that address.
    pub async fn account_readdress(
        &self,
        secret: &str,
        wished: &NewAddress,
        staying: (TenantId, SessionId),
        notice: Letter,
    ) -> Result<Option<AccountView>, StoreError> {
        let NewAddress { account, email, under } = wished.clone();
        let (shown, inner, actor) = (proofs::digest_of(secret), self.inner.clone(), self.actor.clone());
        let work = async move |tx: &mut Tx<'_>| {
            let before = held(tx, account).await?;
            let now = tx.now().await?;
            if proofs::take(tx, &shown, "change", now).await? != Some(account) {
                return Ok(None);
            }
            if before.generation != under || before.state != State::Active || before.may_be_anothers() {
                return Ok(None);
            }
            if let Some(row) =
                tx.run_one(&ACCOUNT_BY_EMAIL, values![before.realm.as_str(), email.key()]).await?
                && accounts::read_columns(&mut row.read())?.account != account
            {
                return Err(StoreError::AlreadyExists { what: "account" });
            }
            tx.run(&ACCOUNT_END_ALL, values![account, 0_i64, 0_i64]).await?;
            tx.run(&ACCOUNT_READDRESS, values![account, email.as_str(), email.key(), now]).await?;
            proofs::end_all(tx, account).await?;
            let entity = ("account", account.to_string());
            Entry::new(&inner, None, &actor, "ACCOUNT_EMAIL_CHANGED", entity, &json!({})).write(tx).await?;
            outbox::post(tx, &inner, outbox::fresh(&inner), &notice).await?;
            held(tx, account).await.map(Some)
        };
        let changed = self.write_in(Bound::System("accounts"), work).await?;
        if let Some(changed) = &changed {
            // It is changed; at worst whoever did it signs in again.
            let stayed = sessions::stay(self, staying, changed.generation).await;
            drop(stayed);
        }
        Ok(changed)
    }
}
