//! Links that were mailed to an address: whoever has one reads what is sent there. Each is for one use and good for half an hour from
//! when it was sent; only its digest is kept. A sign-up where addresses have to be proven is nothing but such a link until it is used.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::id::{AccountId, RealmName};
use claviger::secret::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::accounts::{self, AccountView};
use super::outbox::{self, Letter};
use super::passwords::{self, Renewed};
use super::sealed_text;
use super::sign_up::NewTenant;
use crate::audit::entry::Entry;
use crate::backend::{Bound, Tx};
use crate::credentials::held_keys;
use crate::email::Email;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::noun::{Feed, Index, Noun, Rights, blob, int, text, uuid};
use crate::parts::accounts::Accounts;
use crate::seal::Place;
use crate::statement::statements;
use crate::value::{Value, values};

/// How long a link is good after it was sent, in seconds.
pub const LIFETIME_SECONDS: i64 = outbox::LINK_SECONDS;
/// How long it is kept for its mail to be sent: as long as that is tried, and as it is good then.
const KEPT_SECONDS: i64 = outbox::GIVEN_UP_AFTER_SECONDS + LIFETIME_SECONDS;
/// What the secret in a link begins with.
pub const TOKEN_PREFIX: &str = "pf_";
/// How many old rows leave each time that one is made.
const LEAVE_AT_ONCE: i64 = 8;

/// The rows of proofs.
pub(crate) static PROOF_ROWS: Noun = Noun {
    table: "proof",
    about: "A link that was mailed, by the digest of its secret. `whose` is a MAC of the address; a sign-up, or the address that another one is changed for, is sealed until it is proven.",
    columns: &[
        blob("digest"),
        text("purpose").is("IN ('sign-up', 'verify', 'reset', 'change')"),
        blob("whose"),
        uuid("account_id").optional(),
        blob("sealed").optional(),
        uuid("mail_id"),
        int("expires_at"),
        int("created_at"),
    ],
    key: &["digest"],
    references: &[(&["account_id"], "account (account_id)")],
    indices: &[
        Index::Plain("proof_by_whose", "whose, purpose, created_at"),
        Index::Plain("proof_by_mail", "mail_id"),
        Index::Plain("proof_by_age", "expires_at"),
    ],
    tenant: Rights::NONE,
    jobs: Rights { delete: true, ..Rights::CHANGE },
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "proof";
    PROOF_LEAVE: System [Int, Int]
        "DELETE FROM proof WHERE digest IN (SELECT digest FROM proof WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
    PROOF_ADD: System [Blob, Text, Blob, Uuid, Blob, Uuid, Int, Int]
        "INSERT INTO proof (digest, purpose, whose, account_id, sealed, mail_id, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    PROOF: System [Blob, Int]
        "SELECT purpose, account_id, sealed FROM proof WHERE digest = $1 AND expires_at > $2";
    PROOF_NEWEST: System [Blob, Text, Int]
        "SELECT digest, sealed FROM proof WHERE whose = $1 AND purpose = $2 AND expires_at > $3
         ORDER BY created_at DESC, digest LIMIT 1";
    /// Of many who use one link at once, the first does.
    PROOF_TAKE: System [Blob, Text, Int] withdraws
        "DELETE FROM proof WHERE digest = $1 AND purpose = $2 AND expires_at > $3 RETURNING account_id";
    PROOFS_END: System [Uuid, Text] withdraws "DELETE FROM proof WHERE account_id = $1 AND purpose = $2";
    /// Whatever was mailed to an address that an account has no more.
    PROOFS_END_ALL: System [Uuid] withdraws "DELETE FROM proof WHERE account_id = $1";
    PROOFS_OF: System [Blob, Text] "DELETE FROM proof WHERE whose = $1 AND purpose = $2";
}

/// The secret of a link that is to be mailed.
pub struct NewProof {
    secret: Secret,
    digest: Vec<u8>,
}

impl std::fmt::Debug for NewProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewProof(..)")
    }
}

impl NewProof {
    /// The secret, for the mail alone.
    pub fn expose_text(&self) -> &str {
        self.secret.expose_text().unwrap_or_default()
    }
}

/// What a link is to prove the address for.
#[derive(Debug)]
pub enum Proving {
    /// A sign-up, of which nothing is there yet.
    SignUp(NewTenant),
    /// That an account's address is its owner's.
    Address(AccountId),
    /// Another password.
    Password(AccountId),
    /// That whoever has an account has this address too, which is to take the place of its own.
    Change(NewAddress),
}

/// An address that an account is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAddress {
    /// The account.
    pub account: AccountId,
    /// The address.
    pub email: Email,
    /// The account's generation when it was wished: under another one nobody knows whose wish it was.
    pub under: i64,
}

/// An account whose address was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The account, as it is now.
    pub account: AccountView,
    /// Whether what was set before is void: somebody else may have had the account.
    pub is_void: bool,
}

/// A sign-up, while it waits: no password, as that would have been set before the proof.
#[derive(Serialize, Deserialize)]
struct Waiting {
    realm: String,
    name: String,
    plan: String,
    organization: String,
    owner: String,
}

/// An address, while it waits.
#[derive(Serialize, Deserialize)]
struct WaitingAddress {
    email: String,
    under: i64,
}

fn place(digest: &str) -> Place<'_> {
    Place { tenant: None, table: "proof", column: "sealed", id: digest }
}

pub(super) fn digest_of(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

impl Accounts {
    /// A secret for a link.
    pub fn proof(&self) -> NewProof {
        let mut value = [0; 32];
        self.inner.random.fill(&mut value);
        let secret = sealed_text::made(&self.inner.keyring, "proof-seal", TOKEN_PREFIX, &value);
        let digest = digest_of(secret.expose_text().unwrap_or_default());
        NewProof { secret, digest }
    }

    /// Whether a link's secret was made here: asks nobody.
    pub fn has_made_proof(&self, text: &str) -> bool {
        sealed_text::read(&self.inner.keyring, "proof-seal", TOKEN_PREFIX, text).is_some()
    }

    fn whose(&self, realm: &RealmName, email: &Email) -> Vec<u8> {
        self.mac(&format!("{realm}\0proof\0{}", email.key()))
    }

    /// Notes what the link is to prove, and posts the mail that it is in. Nothing is posted to an address that its account has had meanwhile.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn proof_post(
        &self,
        (realm, email): (&RealmName, &Email),
        proof: NewProof,
        proving: Proving,
        letter: Letter,
    ) -> Result<(), StoreError> {
        let (purpose, account, plain) = match proving {
            Proving::SignUp(new) => ("sign-up", None, Some(plain(&Waiting::from(new))?)),
            Proving::Address(account) => ("verify", Some(account), None),
            Proving::Password(account) => ("reset", Some(account), None),
            Proving::Change(NewAddress { account, email, under }) => {
                let email = email.as_str().to_owned();
                ("change", Some(account), Some(plain(&WaitingAddress { email, under })?))
            }
        };
        let (whose, key, inner) = (self.whose(realm, email), email.key().to_owned(), self.inner.clone());
        let work = async move |tx: &mut Tx<'_>| {
            if let Some(account) = account.filter(|_| purpose != "change") {
                let has = accounts::held(tx, account).await?;
                if has.email.parse::<Email>().map_err(|_| corrupt())?.key() != key {
                    return Ok(());
                }
            }
            let now = tx.now().await?;
            tx.run(&PROOF_LEAVE, values![now, LEAVE_AT_ONCE]).await?;
            let sealed = match &plain {
                None => None,
                Some(plain) => {
                    let under = held_keys::encryption_key(tx, &inner.keyring).await?;
                    let name = URL_SAFE_NO_PAD.encode(&proof.digest);
                    Some(inner.keyring.seal_under(&under, &place(&name), plain, inner.random.as_ref())?)
                }
            };
            let mail = outbox::fresh(&inner);
            let row = values![
                proof.digest.as_slice(),
                purpose,
                whose.as_slice(),
                account,
                sealed.as_deref(),
                Value::Uuid(mail),
                now.plus_seconds(KEPT_SECONDS),
                now
            ];
            tx.run(&PROOF_ADD, row).await?;
            outbox::post(tx, &inner, mail, &letter).await
        };
        self.write_in(Bound::System("accounts"), work).await
    }

    /// Posts a mail that proves nothing.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn mail_post(&self, letter: Letter) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        let work =
            async move |tx: &mut Tx<'_>| outbox::post(tx, &inner, outbox::fresh(&inner), &letter).await;
        self.write_in(Bound::System("accounts"), work).await
    }

    /// What a link is good for. Using it up is another step.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn proof_view(&self, secret: &str) -> Result<Option<Proving>, StoreError> {
        if !self.has_made_proof(secret) {
            return Ok(None);
        }
        let (shown, inner) = (digest_of(secret), self.inner.clone());
        self.read(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let Some(row) = tx.run_one(&PROOF, values![shown.as_slice(), now]).await? else {
                return Ok(None);
            };
            let mut columns = row.read();
            let purpose = columns.text()?;
            let account: Option<AccountId> = columns.maybe_parse()?;
            Ok(Some(match (purpose.as_str(), account) {
                ("sign-up", _) => {
                    let sealed = columns.maybe_blob()?.unwrap_or_default();
                    Proving::SignUp(opened(&inner.keyring, &shown, &sealed)?)
                }
                ("verify", Some(account)) => Proving::Address(account),
                ("reset", Some(account)) => Proving::Password(account),
                ("change", Some(account)) => {
                    let sealed = columns.maybe_blob()?.unwrap_or_default();
                    Proving::Change(opened_address(&inner.keyring, &shown, (account, &sealed))?)
                }
                _ => return Err(StoreError::Corrupt { what: "proof" }),
            }))
        })
        .await
    }

    /// The newest sign-up of that address that waits for its proof.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn sign_up_waiting(
        &self,
        realm: &RealmName,
        email: &Email,
    ) -> Result<Option<NewTenant>, StoreError> {
        let (whose, inner) = (self.whose(realm, email), self.inner.clone());
        self.read(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let row = tx.run_one(&PROOF_NEWEST, values![whose.as_slice(), "sign-up", now]).await?;
            let Some(row) = row else { return Ok(None) };
            let mut columns = row.read();
            let (digest, sealed) = (columns.blob()?, columns.maybe_blob()?.unwrap_or_default());
            opened(&inner.keyring, &digest, &sealed).map(Some)
        })
        .await
    }

    /// Every sign-up of that address that waits is over: there is an account now.
    ///
    /// # Errors
    /// If the store does not answer: then they end by themselves, and find the account.
    pub async fn sign_ups_end(&self, realm: &RealmName, email: &Email) -> Result<(), StoreError> {
        let whose = self.whose(realm, email);
        let work = async move |tx: &mut Tx<'_>| {
            tx.run(&PROOFS_OF, values![whose.as_slice(), "sign-up"]).await.map(drop)
        };
        self.write_in(Bound::System("accounts"), work).await
    }

    /// Uses a link up that proves an account's address. What was set before by somebody who may be another, the password and every
    /// session, is void, unless `by`, who asks, is that account. Gives the account as it is now; `None` if the link is nobody's.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn proof_of_address(
        &self,
        secret: &str,
        by: Option<AccountId>,
    ) -> Result<Option<Proven>, StoreError> {
        if !self.has_made_proof(secret) {
            return Ok(None);
        }
        let (shown, inner, actor) = (digest_of(secret), self.inner.clone(), self.actor.clone());
        let work = async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let Some(account) = take(tx, &shown, "verify", now).await? else { return Ok(None) };
            let before = accounts::held(tx, account).await?;
            let is_void = before.may_be_anothers() && by != Some(account);
            if is_void {
                let renewed = Renewed { password_hash: None, under: None, from_another: true };
                passwords::renew(tx, account, renewed).await?;
            }
            let proven = accounts::verify(tx, account).await?;
            tx.run(&PROOFS_END, values![account, "verify"]).await?;
            let details = json!({ "password_void": is_void });
            let entity = ("account", account.to_string());
            Entry::new(&inner, None, &actor, "ACCOUNT_EMAIL_VERIFIED", entity, &details).write(tx).await?;
            Ok(Some(Proven { account: proven, is_void }))
        };
        self.write_in(Bound::System("accounts"), work).await
    }

    /// Uses a link up that is for another password, gives the account that password, and ends all its sessions. The address is proven by
    /// it, and is told. Gives the account; `None` if the link is nobody's.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn proof_of_password(
        &self,
        secret: &str,
        password_hash: Secret,
        letter: Letter,
    ) -> Result<Option<AccountView>, StoreError> {
        if !self.has_made_proof(secret) {
            return Ok(None);
        }
        let (shown, inner, actor) = (digest_of(secret), self.inner.clone(), self.actor.clone());
        let work = async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let Some(account) = take(tx, &shown, "reset", now).await? else { return Ok(None) };
            let from_another = accounts::held(tx, account).await?.may_be_anothers();
            let password_hash = password_hash.expose_text();
            passwords::renew(tx, account, Renewed { password_hash, under: None, from_another }).await?;
            let proven = accounts::verify(tx, account).await?;
            tx.run(&PROOFS_END, values![account, "reset"]).await?;
            let entity = ("account", account.to_string());
            let entry = Entry::new(&inner, None, &actor, "ACCOUNT_PASSWORD_RESET", entity, &json!({}));
            entry.write(tx).await?;
            outbox::post(tx, &inner, outbox::fresh(&inner), &letter).await?;
            Ok(Some(proven))
        };
        self.write_in(Bound::System("accounts"), work).await
    }
}

pub(super) async fn take(
    tx: &mut Tx<'_>,
    digest: &[u8],
    purpose: &str,
    now: claviger::clock::UnixMillis,
) -> Result<Option<AccountId>, StoreError> {
    let row = tx.run_one(&PROOF_TAKE, values![digest, purpose, now]).await?;
    Ok(row.map(|row| row.read().maybe_parse()).transpose()?.flatten())
}

/// Every link that was mailed for the account is worth nothing from now on.
pub(super) async fn end_all(tx: &mut Tx<'_>, account: AccountId) -> Result<(), StoreError> {
    tx.run(&PROOFS_END_ALL, values![account]).await.map(drop)
}

fn corrupt() -> StoreError {
    StoreError::Corrupt { what: "proof" }
}

fn plain(waiting: &impl Serialize) -> Result<Secret, StoreError> {
    serde_json::to_vec(waiting).map(Secret::new).map_err(|_| corrupt())
}

fn unsealed<T: DeserializeOwned>(keyring: &Keyring, digest: &[u8], sealed: &[u8]) -> Result<T, StoreError> {
    let plain = keyring.open(&place(&URL_SAFE_NO_PAD.encode(digest)), sealed).ok_or_else(corrupt)?;
    serde_json::from_slice(plain.expose()).map_err(|_| corrupt())
}

fn opened(keyring: &Keyring, digest: &[u8], sealed: &[u8]) -> Result<NewTenant, StoreError> {
    unsealed::<Waiting>(keyring, digest, sealed)?.try_into().map_err(|()| corrupt())
}

fn opened_address(
    keyring: &Keyring,
    digest: &[u8],
    (account, sealed): (AccountId, &[u8]),
) -> Result<NewAddress, StoreError> {
    let WaitingAddress { email, under } = unsealed(keyring, digest, sealed)?;
    Ok(NewAddress { account, email: email.parse().map_err(|_| corrupt())?, under })
}

impl From<NewTenant> for Waiting {
    fn from(new: NewTenant) -> Self {
        Self {
            realm: new.realm.to_string(),
            name: new.name,
            plan: new.plan.to_string(),
            organization: new.organization,
            owner: new.owner.as_str().to_owned(),
        }
    }
}

impl TryFrom<Waiting> for NewTenant {
    type Error = ();

    fn try_from(waiting: Waiting) -> Result<Self, ()> {
        Ok(Self {
            realm: waiting.realm.parse().map_err(drop)?,
            name: waiting.name,
            plan: waiting.plan.parse().map_err(drop)?,
            organization: waiting.organization,
            owner: waiting.owner.parse().map_err(drop)?,
            password_hash: None,
            unproven_owner: false,
        })
    }
}
