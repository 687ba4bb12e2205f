//! Who does a job that one server does at a time.
//!
//! A lease is a row with an end, by the store's clock. Who takes one that has ended gets the next number of its job, the *fence*;
//! what the job writes is written in a transaction that first finds its own number still to be the last. So a server that
//! stood still while its lease ended writes nothing after the one who took over (Kleppmann, "How to do distributed locking", 2016).

use crate::backend::Tx;
use crate::error::StoreError;
use crate::noun::{Feed, Noun, Rights, int, text, uuid};
use crate::parts::system_store::SystemStore;
use crate::statement::statements;
use crate::value::{Value, values};

/// The rows of leases.
pub(crate) static LEASE_ROWS: Noun = Noun {
    table: "lease",
    about: "Who does a job that one server does at a time, and until when.",
    columns: &[text("job"), uuid("holder"), int("fence"), int("ends_at")],
    key: &["job"],
    references: &[],
    indices: &[],
    tenant: Rights::NONE,
    jobs: Rights::CHANGE,
    feed: Feed::Silent,
    fixed_but: None,
    grows_by: None,
};

statements! { "lease";
    /// A lease that runs is its holder's alone, who may have it again under the same number.
    LEASE_TAKE: System [Text, Uuid, Int, Int]
        "INSERT INTO lease (job, holder, fence, ends_at) VALUES ($1, $2, 1, $4)
         ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at,
             fence = lease.fence + CASE WHEN lease.holder = excluded.holder AND lease.ends_at > $3 THEN 0 ELSE 1 END
             WHERE lease.ends_at <= $3 OR lease.holder = excluded.holder
         RETURNING fence";
    /// Holds the row, so that nobody takes the lease before the transaction has ended.
    LEASE_HOLD: System [Text, Int, Int]
        "UPDATE lease SET ends_at = ends_at WHERE job = $1 AND fence = $2 AND ends_at > $3 RETURNING fence";
    LEASE_END: System [Text, Int] "UPDATE lease SET ends_at = 0 WHERE job = $1 AND fence = $2";
}

/// A lease that this server has, or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    job: &'static str,
    fence: i64,
}

impl Lease {
    /// Goes on only if nobody has taken the job over; until the transaction ends nobody can.
    ///
    /// # Errors
    /// If the lease has ended.
    pub(crate) async fn hold(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let now = tx.now().await?;
        let row = tx.run_one(&LEASE_HOLD, values![self.job, self.fence, now]).await?;
        row.map(drop).ok_or(StoreError::Refused { why: "another server does this job now" })
    }
}

impl SystemStore {
    /// Takes the job for so many seconds, or keeps it for as long again. `None` if another server has it.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn lease(&self, job: &'static str, seconds: i64) -> Result<Option<Lease>, StoreError> {
        let holder = self.inner.process;
        self.write_in_growth(async move |tx: &mut Tx<'_>| {
            let now = tx.now().await?;
            let params = values![job, Value::Uuid(holder), now, now.plus_seconds(seconds)];
            let row = tx.run_one(&LEASE_TAKE, params).await?;
            row.map(|row| Ok(Lease { job, fence: row.read().int()? })).transpose()
        })
        .await
    }

    /// Gives the job to whoever wants it next.
    ///
    /// # Errors
    /// If the store does not answer: then it ends by itself.
    pub async fn lease_end(&self, lease: Lease) -> Result<(), StoreError> {
        self.write_in_growth(async move |tx: &mut Tx<'_>| {
            tx.run(&LEASE_END, values![lease.job, lease.fence]).await.map(drop)
        })
        .await
    }
}
