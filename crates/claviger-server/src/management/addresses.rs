//! How somebody's account comes by another address: they know its password, they read what is sent to the new one, and they are still
//! signed in when they say so. Whether that one is somebody's already shows in no answer.

use claviger::secret::Secret;
use claviger_store::passwords::SigningIn;
use claviger_store::proofs::{NewAddress, Proving};
use claviger_store::{Accounts, Actor, StoreError};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Management;
use super::asked::{Asked, forgets};
use super::letters;
use super::people::{Oneself, count, email, nobody};
use super::proofs::mail_afterwards;
use crate::failure::{Failure, FailureKind};
use crate::passwords::LONGEST;

/// Another address, for whoever knows the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEmail {
    email: String,
    password: String,
}

/// The link that was mailed to the new address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmEmail {
    token: String,
}

forgets! {
    NewEmail: password;
    ConfirmEmail: token;
}

fn accounts_of(management: &Management, asked: &Asked, oneself: Oneself) -> Accounts {
    let actor = Actor::account(oneself.account);
    management
        .store
        .accounts()
        .by(asked.client.address().map_or(actor.clone(), |address| actor.from(address)))
}

/// Mails a link to the address that somebody wants for their account. Nothing changes before it is used.
///
/// # Errors
/// If the password is wrong, which counts as a try to sign in; if the present address is not proven, or something is none; 429 after too
/// many.
pub async fn wish(
    management: &Management,
    asked: &Asked,
    oneself: Oneself,
    input: NewEmail,
) -> Result<(), Failure> {
    let (wanted, page) = (email(&input.email)?, letters::page(asked)?.to_owned());
    let accounts = accounts_of(management, asked, oneself);
    let SigningIn { account, password_hash } = accounts.account_password(oneself.account).await?;
    if account.may_be_anothers() {
        // Who is invited or added by an address that is not theirs would take what is another's along.
        let what = "the account's address is not proven: prove the one that the account has before it gets another one";
        return Err(Failure::of(FailureKind::Conflict, what));
    }
    let trying = accounts.trying(&account.realm, &email(&account.email)?, &asked.client.block().to_string());
    count(management, &accounts, trying.clone()).await?;
    let password = Secret::new(input.password.as_bytes().to_vec());
    if input.password.len() > LONGEST || !management.passwords.verify(password_hash, password).await? {
        return Err(nobody());
    }
    accounts.sign_in_done(trying).await?;
    let whose = wanted.clone();
    mail_afterwards(management, asked, &whose, async move |accounts: Accounts, asked: Asked| {
        let realm = &asked.api.realm;
        match accounts.account_find(realm, &wanted).await? {
            Some(other) if other.account != account.account => {
                let letter = letters::address_has_account(&asked, &page, &email(&other.email)?);
                accounts.mail_post(letter).await?;
            }
            _ => {
                let proof = accounts.proof();
                let letter = letters::new_address(&asked, &page, &wanted, proof.expose_text());
                let wished =
                    NewAddress { account: account.account, email: wanted.clone(), under: account.generation };
                accounts.proof_post((realm, &wanted), proof, Proving::Change(wished), letter).await?;
            }
        }
        Ok(())
    })
    .await
}

/// Takes the link, of whoever wished for it: the account has that address from now on, and every other session of theirs is over. The
/// address of before is told.
///
/// # Errors
/// If the link is nobody's any more or another one's; or if the address has an account by now.
pub async fn confirm(
    management: &Management,
    asked: &Asked,
    oneself: Oneself,
    input: ConfirmEmail,
) -> Result<(), Failure> {
    let accounts = accounts_of(management, asked, oneself);
    let Some(Proving::Change(wished)) = accounts.proof_view(&input.token).await? else {
        return Err(nobody());
    };
    if wished.account != oneself.account {
        return Err(nobody());
    }
    let before = accounts.account_view(oneself.account).await?;
    let notice = letters::address_changed(asked, &email(&before.email)?);
    let staying = (oneself.tenant, oneself.session);
    let changed = match accounts.account_readdress(&input.token, &wished, staying, notice).await {
        // Whoever reads what is sent there may know that it has an account.
        Err(StoreError::AlreadyExists { .. }) => {
            return Err(Failure::of(FailureKind::Conflict, "the address has an account of its own by now"));
        }
        changed => changed?,
    };
    changed.ok_or_else(nobody)?;
    management.outbox.posted();
    Ok(())
}
