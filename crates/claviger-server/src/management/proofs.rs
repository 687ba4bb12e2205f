//! What people do with the links that they are mailed, and how they ask for them. Whether an address is somebody's shows in no answer, nor
//! in how long it takes: whatever depends on it is done after the answer.

use claviger::directory::State;
use claviger::id::AccountId;
use claviger::secret::Secret;
use claviger_store::proofs::{Proven, Proving};
use claviger_store::refresh_tokens::Begin;
use claviger_store::{Accounts, Actor, Email, StoreError};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Management;
use super::asked::{Asked, forgets};
use super::letters;
use super::people::{self, Entered, SignUp, accounts, begin, chosen, count, email, nobody, tokens};
use crate::failure::{Failure, FailureKind};
use crate::passwords::may_be_chosen;

/// A link that proves an address, and the password of whoever signs up with it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    token: String,
    #[serde(default)]
    password: String,
}

/// An address that something is mailed to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mailed {
    email: String,
}

/// A link that is for another password, and the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    token: String,
    password: String,
}

forgets! {
    Verify: token, password;
    Reset: token, password;
}

/// Counts a mail that somebody has sent to an address, whether it will be or not, and posts it after the answer: what comes of it is the log's
/// to know alone.
pub(super) async fn mail_afterwards<W>(
    management: &Management,
    asked: &Asked,
    address: &Email,
    work: impl FnOnce(Accounts, Asked) -> W,
) -> Result<(), Failure>
where
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let counting = accounts(management, asked);
    let block = asked.client.block().to_string();
    count(management, &counting, counting.mailing(&asked.api.realm, address, &block)).await?;
    let (at_work, outbox) = (management.at_work.begin()?, management.outbox.clone());
    let work = work(accounts(management, asked), asked.clone());
    tokio::spawn(async move {
        let _at_work = at_work;
        match work.await {
            Ok(()) => outbox.posted(),
            Err(failure) => tracing::warn!(%failure, "somebody who asked for mail gets none"),
        }
    });
    Ok(())
}

/// Mails whoever has the address a link with which they sign up; nothing is made before it is used. An address that has an account is told so
/// by mail, and by nothing else.
///
/// # Errors
/// If sign-up is closed here, or something is none; and 429 after too many from one block of the network, or for one address.
pub async fn sign_up(management: &Management, asked: &Asked, input: SignUp) -> Result<(), Failure> {
    // The password is looked at, and not kept: whoever proves the address chooses it (decision 16).
    let (address, new) = people::signing_up(management, asked, &input).await?;
    let page = letters::page(asked)?.to_owned();
    let whose = address.clone();
    mail_afterwards(management, asked, &whose, async move |accounts: Accounts, asked: Asked| {
        let realm = &asked.api.realm;
        if let Some(account) = accounts.account_find(realm, &address).await? {
            // To the address as its owner spelt it, whoever asks spells it otherwise.
            let whose = email(&account.email)?;
            accounts.mail_post(letters::has_account(&asked, &page, &whose)).await?;
        } else {
            let proof = accounts.proof();
            let letter = letters::sign_up(&asked, &page, &address, &new.name, proof.expose_text());
            accounts.proof_post((realm, &address), proof, Proving::SignUp(new), letter).await?;
        }
        Ok(())
    })
    .await
}

/// Mails the link again that proves an address, if there is anything to prove.
///
/// # Errors
/// If it is no address, or no mail is sent here; 429 after too many.
pub async fn resend(management: &Management, asked: &Asked, input: Mailed) -> Result<(), Failure> {
    let (address, page) = (email(&input.email)?, letters::page(asked)?.to_owned());
    let whose = address.clone();
    mail_afterwards(management, asked, &whose, async move |accounts: Accounts, asked: Asked| {
        let realm = &asked.api.realm;
        let proof = accounts.proof();
        let (proving, letter) = match accounts.account_find(realm, &address).await? {
            Some(account) if account.state != State::Deleted && !account.email_verified => {
                let whose = email(&account.email)?;
                let letter = letters::verify(&asked, &page, &whose, proof.expose_text());
                (Proving::Address(account.account), letter)
            }
            Some(_) => return Ok(()),
            None => {
                let Some(new) = accounts.sign_up_waiting(realm, &address).await? else { return Ok(()) };
                let letter = letters::sign_up(&asked, &page, &new.owner, &new.name, proof.expose_text());
                (Proving::SignUp(new), letter)
            }
        };
        accounts.proof_post((realm, &address), proof, proving, letter).await?;
        Ok(())
    })
    .await
}

/// Mails a link for another password to an account's address.
///
/// # Errors
/// If it is no address, or no mail is sent here; 429 after too many.
pub async fn forgot(management: &Management, asked: &Asked, input: Mailed) -> Result<(), Failure> {
    let (address, page) = (email(&input.email)?, letters::page(asked)?.to_owned());
    let whose = address.clone();
    mail_afterwards(management, asked, &whose, async move |accounts: Accounts, asked: Asked| {
        let realm = &asked.api.realm;
        let found = accounts.account_find(realm, &address).await?;
        let Some(account) = found.filter(|found| found.state != State::Deleted) else { return Ok(()) };
        let proof = accounts.proof();
        // To the address that the account has, which is spelt as its owner spelt it.
        let whose: Email = email(&account.email)?;
        let letter = letters::reset(&asked, &page, &whose, proof.expose_text());
        accounts.proof_post((realm, &whose), proof, Proving::Password(account.account), letter).await?;
        Ok(())
    })
    .await
}

/// Takes a link that proves an address, `by` whoever is signed in as well: makes what somebody signed up for, or notes that an account's
/// address is its owner's; and signs in.
///
/// # Errors
/// If the link is nobody's any more; or if somebody may not act.
pub async fn verify(
    management: &Management,
    asked: &Asked,
    by: Option<AccountId>,
    input: Verify,
) -> Result<Entered, Failure> {
    let accounts = accounts(management, asked);
    let lifetime_seconds = asked.rules.session_seconds;
    match accounts.proof_view(&input.token).await? {
        Some(Proving::SignUp(mut new)) if new.realm == asked.api.realm && asked.rules.sign_up => {
            if !input.password.is_empty() {
                may_be_chosen(&input.password, new.owner.as_str())?;
                let password = Secret::new(input.password.as_bytes().to_vec());
                new.password_hash = Some(management.passwords.hash(password).await?);
            }
            let minting = people::minting(management, asked).await?;
            let is_direct = new.password_hash.is_some();
            let begin = Begin { lifetime_seconds, is_direct, how: "sign-up", proven_under: None };
            let owner = new.owner.clone();
            let session = match accounts.sign_up(new, begin, true).await {
                // Somebody has proven the address meanwhile.
                Err(StoreError::AlreadyExists { .. }) => return Err(nobody()),
                session => session?,
            };
            if let Err(error) = accounts.sign_ups_end(&asked.api.realm, &owner).await {
                tracing::debug!(%error, "other sign-ups of an address end by themselves");
            }
            tokens(management, asked, &minting, session)
        }
        Some(Proving::Address(account)) => {
            if accounts.account_view(account).await?.realm != asked.api.realm {
                return Err(nobody());
            }
            if !input.password.is_empty() {
                let what = "`password`: there is an account of this address; have its password reset instead";
                return Err(Failure::new(what));
            }
            let proven = accounts.proof_of_address(&input.token, by).await?.ok_or_else(nobody)?;
            let Proven { account: proven, is_void } = proven;
            if proven.state != State::Active {
                return Err(people::not_active());
            }
            let mut memberships = accounts.memberships(account).await?;
            // Nobody is led into what somebody else may have made in their name: they see it when they sign in.
            memberships.retain(|there| !is_void || there.tenant_owner != Some(account));
            let place = chosen(&memberships, None, None)?;
            // Whoever reads somebody's mail has not shown a password.
            let begun = Begin {
                lifetime_seconds,
                is_direct: by == Some(account),
                how: "verification",
                proven_under: Some(proven.generation),
            };
            begin(management, asked, place, account, begun).await
        }
        _ => Err(nobody()),
    }
}

/// Takes a link that is for another password, and gives the account that password. All its sessions end.
///
/// # Errors
/// If the link is nobody's any more, or the password may not be chosen: then the link is still good.
pub async fn reset(management: &Management, asked: &Asked, input: Reset) -> Result<(), Failure> {
    let accounts = accounts(management, asked);
    let Some(Proving::Password(account)) = accounts.proof_view(&input.token).await? else {
        return Err(nobody());
    };
    let account = accounts.account_view(account).await?;
    if account.realm != asked.api.realm || account.state == State::Deleted {
        return Err(nobody());
    }
    let page = letters::page(asked)?;
    may_be_chosen(&input.password, &account.email)?;
    let hash = management.passwords.hash(Secret::new(input.password.as_bytes().to_vec())).await?;
    let letter = letters::password_changed(asked, page, &email(&account.email)?);
    accounts.proof_of_password(&input.token, hash, letter).await?.ok_or_else(nobody)?;
    management.outbox.posted();
    Ok(())
}

/// An invitation's secret, and a password for somebody who has none.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    token: String,
    #[serde(default)]
    password: String,
}

forgets! { Accept: token, password; }

/// Says yes to an invitation, and signs in there. The address is proven by it; whoever has no password chooses one.
///
/// # Errors
/// If the invitation is nobody's any more, a password is missing or may not be chosen, or there is one already.
pub async fn accept(management: &Management, asked: &Asked, input: Accept) -> Result<Entered, Failure> {
    let accounts = accounts(management, asked);
    let invited = accounts.invitation_view(&input.token).await?.ok_or_else(nobody)?;
    let found = accounts.account_password(invited.account).await?;
    let account = found.account;
    if account.realm != asked.api.realm {
        return Err(nobody());
    }
    if account.state != State::Active {
        return Err(people::not_active());
    }
    let has_password = found.password_hash.is_some() && !account.may_be_anothers();
    let is_direct = !has_password;
    let under = match (has_password, input.password.is_empty()) {
        (true, false) => {
            let what = "`password`: there is an account of this address, which has one; leave it out";
            return Err(Failure::new(what));
        }
        (false, true) => return Err(Failure::new("`password`: choose one, as there is none yet")),
        (true, true) => {
            if !account.email_verified {
                accounts.account_verify_email(account.account).await?;
            }
            account.generation
        }
        (false, false) => {
            may_be_chosen(&input.password, &account.email)?;
            let password = Secret::new(input.password.as_bytes().to_vec());
            let hash = management.passwords.hash(password).await?;
            let proven = accounts.account_prove(account.account, hash, account.generation).await;
            let proven = proven.map_err(|error| match error {
                // Somebody has set one meanwhile, or ended all.
                StoreError::NotFound { .. } => nobody(),
                error => error.into(),
            });
            proven?.generation
        }
    };
    let minting = people::minting(management, asked).await?;
    let lifetime_seconds = asked.rules.session_seconds;
    let begin = Begin { lifetime_seconds, is_direct, how: "invitation", proven_under: Some(under) };
    let actor = Actor::account(account.account);
    let accounts = accounts.by(asked.client.address().map_or(actor.clone(), |address| actor.from(address)));
    let session = match accounts.invitation_accept(&input.token, begin).await {
        Err(StoreError::NotFound { .. }) => return Err(nobody()),
        session => session?.ok_or_else(nobody)?,
    };
    tokens(management, asked, &minting, session)
}

/// Whether people are asked to prove their address before they sign up.
pub fn is_proven_first(asked: &Asked) -> Result<bool, Failure> {
    if !asked.rules.sign_up {
        return Err(Failure::of(FailureKind::NotFound, "nobody signs up here by themselves"));
    }
    Ok(asked.rules.verified_email)
}
