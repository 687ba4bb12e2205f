//! What was asked for under a key of the asker's own, so that asking again does nothing again
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! The row is there before anything is done, and has the answer once it is. A process that ends in between leaves a row
//! without one: then nobody knows, and that is said, and nothing is done a second time.

use claviger::clock::UnixMillis;

use crate::backend::Tx;
use crate::error::StoreError;
use crate::feed::leases::Lease;
use crate::noun::{Feed, Index, Noun, Rights, blob, int, text};
use crate::parts::operator::Operator;
use crate::parts::system_store::SystemStore;
use crate::statement::statements;
use crate::value::values;

/// How long an answer is kept.
pub const KEPT_SECONDS: i64 = 24 * 60 * 60;
/// How long something may be under way before nobody knows what became of it.
const UNDER_WAY_SECONDS: i64 = 60;
/// How many old ones leave each time that a new one comes.
const LEAVE_AT_ONCE: i64 = 16;
/// How many leave with one sweep.
const SWEPT_AT_ONCE: i64 = 500;

/// The rows of what was asked for.
pub(crate) static IDEMPOTENCY_ROWS: Noun = Noun {
    table: "idempotency",
    about: "What an operator has asked for under a key of their own, and what the answer was, without secrets.",
    columns: &[
        text("owner"),
        blob("key_digest"),
        blob("request_digest"),
        text("answer").optional(),
        int("created_at"),
    ],
    key: &["owner", "key_digest"],
    references: &[],
    indices: &[Index::Plain("idempotency_by_age", "created_at")],
    tenant: Rights::NONE,
    jobs: Rights { delete: true, ..Rights::CHANGE },
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "idempotency key";
    IDEMPOTENCY_LEAVE: System [Int, Int]
        "DELETE FROM idempotency WHERE (owner, key_digest) IN
             (SELECT owner, key_digest FROM idempotency WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
    IDEMPOTENCY_FORGET_OLD: System [Text, Blob, Int]
        "DELETE FROM idempotency WHERE owner = $1 AND key_digest = $2 AND created_at < $3";
    IDEMPOTENCY_BEGIN: System [Text, Blob, Blob, Int]
        "INSERT INTO idempotency (owner, key_digest, request_digest, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (owner, key_digest) DO NOTHING RETURNING created_at";
    IDEMPOTENCY_SWEEP: System [Int, Int]
        "DELETE FROM idempotency WHERE (owner, key_digest) IN
             (SELECT owner, key_digest FROM idempotency WHERE created_at < $1 ORDER BY created_at LIMIT $2)
         RETURNING created_at";
    IDEMPOTENCY: System [Text, Blob]
        "SELECT request_digest, answer, created_at FROM idempotency WHERE owner = $1 AND key_digest = $2";
    IDEMPOTENCY_END: System [Text, Blob, Text]
        "UPDATE idempotency SET answer = $3 WHERE owner = $1 AND key_digest = $2";
    IDEMPOTENCY_FORGET: System [Text, Blob] "DELETE FROM idempotency WHERE owner = $1 AND key_digest = $2 AND answer IS NULL";
}

/// A request under a key of the asker's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Who asks.
    pub owner: String,
    /// A digest of their key.
    pub key_digest: [u8; 32],
    /// A digest of all that they ask for.
    pub request_digest: [u8; 32],
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it may be done now.
    New,
    /// It was done, and this was the answer.
    Done(String),
    /// It is being done.
    UnderWay,
    /// It was begun, and nobody knows what became of it.
    Unknown,
    /// Something else was asked for under the key.
    Other,
}

impl SystemStore {
    /// Drops some of what was asked for more than a day ago. Gives how many rows; call again while there are any.
    ///
    /// # Errors
    /// If the lease has ended, or the store does not answer.
    pub async fn once_sweep(&self, lease: &Lease) -> Result<usize, StoreError> {
        let lease = lease.clone();
        self.write(async move |tx: &mut Tx<'_>| {
            lease.hold(tx).await?;
            let old = tx.now().await?.plus_seconds(-KEPT_SECONDS);
            Ok(tx.run(&IDEMPOTENCY_SWEEP, values![old, SWEPT_AT_ONCE]).await?.len())
        })
        .await
    }
}

impl Operator {
    /// Begins a request, unless it was begun before.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn once_begin(&self, once: Once) -> Result<Known, StoreError> {
        self.write(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let (owner, key) = (once.owner.as_str(), once.key_digest.as_slice());
            let old = now.plus_seconds(-KEPT_SECONDS);
            tx.run(&IDEMPOTENCY_LEAVE, values![old, LEAVE_AT_ONCE]).await?;
            tx.run(&IDEMPOTENCY_FORGET_OLD, values![owner, key, old]).await?;
            let begun = values![owner, key, once.request_digest.as_slice(), now];
            if tx.run_one(&IDEMPOTENCY_BEGIN, begun).await?.is_some() {
                return Ok(Known::New);
            }
            let Some(row) = tx.run_one(&IDEMPOTENCY, values![owner, key]).await? else {
                // Whoever had it has given it back just now.
                return Ok(Known::UnderWay);
            };
            let mut columns = row.read();
            let (request, answer) = (columns.blob()?, columns.maybe_text()?);
            let begun_at: UnixMillis = columns.time()?;
            Ok(match answer {
                _ if request != once.request_digest => Known::Other,
                Some(answer) => Known::Done(answer),
                None if begun_at.plus_seconds(UNDER_WAY_SECONDS) > now => Known::UnderWay,
                None => Known::Unknown,
            })
        })
        .await
    }

    /// Keeps the answer of a request that was begun.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn once_end(&self, once: Once, answer: String) -> Result<(), StoreError> {
        self.write(async move |tx: &mut Tx<'_>| {
            let end = values![once.owner.as_str(), once.key_digest.as_slice(), answer.as_str()];
            tx.run(&IDEMPOTENCY_END, end).await.map(drop)
        })
        .await
    }

    /// Forgets a request that has changed nothing: it may be tried again.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn once_forget(&self, once: Once) -> Result<(), StoreError> {
        self.write(async move |tx: &mut Tx<'_>| {
            let which = values![once.owner.as_str(), once.key_digest.as_slice()];
            tx.run(&IDEMPOTENCY_FORGET, which).await.map(drop)
        })
        .await
    }
}
