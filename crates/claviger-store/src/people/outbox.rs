//! Mail that is to be sent: written in the transaction that it tells of, so that neither is there without the other, and sent by one
//! server at a time until it has gone or is too old. It is sealed, as there are addresses and links in it. What a server sends and then
//! does not strike out, as it is ended in between, is sent twice: under the same `Message-ID`.

use claviger::clock::UnixMillis;
use claviger::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::backend::Tx;
use crate::credentials::held_keys;
use crate::error::StoreError;
use crate::feed::leases::Lease;
use crate::noun::{Columns, Feed, Index, Noun, Rights, blob, int, uuid};
use crate::parts::inner::Inner;
use crate::parts::system_store::SystemStore;
use crate::seal::Place;
use crate::statement::statements;
use crate::value::{Row, Value, values};

/// How long it is tried to send a mail, in seconds.
pub const GIVEN_UP_AFTER_SECONDS: i64 = 48 * 60 * 60;
/// How long the link in a mail is good after it was sent, in seconds.
pub(super) const LINK_SECONDS: i64 = 30 * 60;
/// How long after the first try the second one is, in seconds; each wait after that is three times as long, up to an hour.
const FIRST_WAIT_SECONDS: i64 = 10;
const LONGEST_WAIT_SECONDS: i64 = 60 * 60;

/// The rows of mail.
pub(crate) static MAIL_ROWS: Noun = Noun {
    table: "mail",
    about: "Mail to be sent, sealed: nobody reads addresses or links here.",
    columns: &[uuid("mail_id"), blob("sealed"), int("tries").or("0"), int("due_at"), int("created_at")],
    key: &["mail_id"],
    references: &[],
    indices: &[Index::Plain("mail_by_due", "due_at")],
    tenant: Rights { insert: Columns::These(&["mail_id", "sealed", "due_at", "created_at"]), ..Rights::NONE },
    jobs: Rights { delete: true, ..Rights::CHANGE },
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "mail";
    MAIL_ADD: Shared [Uuid, Blob, Int]
        "INSERT INTO mail (mail_id, sealed, due_at, created_at) VALUES ($1, $2, $3, $3)";
    MAIL_DUE: System [Int, Int]
        "SELECT mail_id, sealed, tries, created_at FROM mail WHERE due_at <= $1 ORDER BY due_at, mail_id LIMIT $2";
    /// Whoever is ended between this and the end of the try leaves it to be tried again.
    MAIL_TRY: System [Uuid, Int] "UPDATE mail SET tries = tries + 1, due_at = $2 WHERE mail_id = $1";
    /// The link in it is good for its time from now on (`proofs.rs`).
    PROOF_GOES_OUT: System [Uuid, Int] "UPDATE proof SET expires_at = $2 WHERE mail_id = $1";
    MAIL_GONE: System [Uuid] "DELETE FROM mail WHERE mail_id = $1";
    MAIL_WAITING: System [] "SELECT CAST(count(*) AS bigint), min(created_at) FROM mail";
}

/// A mail: plain text for one person.
#[derive(Clone, Serialize, Deserialize)]
pub struct Letter {
    /// Whose it is.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub text: String,
}

impl Drop for Letter {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.text);
    }
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letter({})", self.subject)
    }
}

/// A mail that is due.
#[derive(Debug)]
pub struct Due {
    id: uuid::Uuid,
    /// The mail; `None` if it cannot be read, and never will.
    pub letter: Option<Letter>,
    /// How often it was tried before.
    pub tries: i64,
    /// Whether it has waited for so long that this is the last try.
    pub is_last_try: bool,
}

impl Due {
    /// What it is called, the same at each try.
    pub fn name(&self) -> String {
        self.id.to_string()
    }
}

fn place(id: &str) -> Place<'_> {
    Place { tenant: None, table: "mail", column: "sealed", id }
}

/// Puts a mail under this id into the outbox, in somebody's transaction.
pub(crate) async fn post(
    tx: &mut Tx<'_>,
    inner: &Inner,
    id: [u8; 16],
    letter: &Letter,
) -> Result<(), StoreError> {
    let plain = serde_json::to_vec(letter).map_err(|_| StoreError::Corrupt { what: "mail" })?;
    let under = held_keys::encryption_key(tx, &inner.keyring).await?;
    let name = uuid::Uuid::from_bytes(id).to_string();
    let sealed =
        inner.keyring.seal_under(&under, &place(&name), &Secret::new(plain), inner.random.as_ref())?;
    let now = tx.now().await?;
    tx.run(&MAIL_ADD, values![Value::Uuid(id), sealed.as_slice(), now]).await.map(drop)
}

/// An id for a mail.
pub(crate) fn fresh(inner: &Inner) -> [u8; 16] {
    let mut id = [0; 16];
    inner.random.fill(&mut id);
    uuid::Builder::from_random_bytes(id).into_uuid().into_bytes()
}

fn wait_after(tries: i64) -> i64 {
    let tripled = u32::try_from(tries).ok().and_then(|tries| 3_i64.checked_pow(tries));
    FIRST_WAIT_SECONDS.saturating_mul(tripled.unwrap_or(i64::MAX)).min(LONGEST_WAIT_SECONDS)
}

impl SystemStore {
    /// At most `limit` mails that are due, the one that waits for longest first. Each is due again later unless it is
    /// [gone](Self::mail_gone), and the link in it is good for its whole time from now on.
    ///
    /// # Errors
    /// If the lease has ended, or the store does not answer.
    pub async fn mail_due(&self, lease: &Lease, limit: i64) -> Result<Vec<Due>, StoreError> {
        let (inner, lease) = (self.inner.clone(), lease.clone());
        self.write_in_growth(async move |tx: &mut Tx<'_>| {
            lease.hold(tx).await?;
            let now = tx.now().await?;
            let read = |row: Row| {
                let mut columns = row.read();
                let (id, sealed): (uuid::Uuid, _) = (columns.parse()?, columns.blob()?);
                let plain = inner.keyring.open(&place(&id.to_string()), &sealed);
                let letter = plain.and_then(|plain| serde_json::from_slice(plain.expose()).ok());
                let (tries, created_at) = (columns.int()?, columns.time()?);
                let is_last_try = created_at.plus_seconds(GIVEN_UP_AFTER_SECONDS) <= now;
                Ok::<_, StoreError>(Due { id, letter, tries, is_last_try })
            };
            let rows = tx.run(&MAIL_DUE, values![now, limit]).await?;
            let due = rows.into_iter().map(read).collect::<Result<Vec<Due>, _>>()?;
            for mail in &due {
                let again = now.plus_seconds(wait_after(mail.tries));
                let id = Value::Uuid(mail.id.into_bytes());
                tx.run(&MAIL_TRY, values![id.clone(), again]).await?;
                let good_until = now.plus_seconds(LINK_SECONDS);
                tx.run(&PROOF_GOES_OUT, values![id, good_until]).await?;
            }
            Ok(due)
        })
        .await
    }

    /// Strikes a mail out: it was sent, or nobody will ever take it.
    ///
    /// # Errors
    /// If the store does not answer: then it is sent again.
    pub async fn mail_gone(&self, mail: &Due) -> Result<(), StoreError> {
        let id = mail.id.into_bytes();
        self.write_in_growth(async move |tx: &mut Tx<'_>| {
            tx.run(&MAIL_GONE, values![Value::Uuid(id)]).await.map(drop)
        })
        .await
    }

    /// How many mails wait, and since when the oldest of them does.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn mail_waiting(&self) -> Result<(i64, Option<UnixMillis>), StoreError> {
        self.read_in_growth(async |tx: &mut Tx<'_>| {
            let row = tx.run_one(&MAIL_WAITING, &[]).await?;
            let mut columns = row.ok_or(StoreError::Corrupt { what: "mail" })?.read();
            Ok((columns.int()?, columns.maybe_time()?))
        })
        .await
    }
}
