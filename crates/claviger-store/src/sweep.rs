//! Named jobs that clear away what nobody needs any more, and count what somebody does.

use claviger::api_key::PepperId;
use claviger::clock::{LEEWAY_SECONDS, UnixMillis};

use crate::backend::Tx;
use crate::error::StoreError;
use crate::statement::statements;
use crate::store::PEPPERS_IN_USE;
use crate::system_store::SystemStore;
use crate::value::values;

statements! { "change";
    /// Drops some lines of the feed that are older than `$1` milliseconds and tells which.
    SWEEP_FEED: System [Int]
        "DELETE FROM change WHERE seq IN (SELECT seq FROM change
             WHERE at < CAST(unixepoch('subsec') * 1000 AS INTEGER) - $1 ORDER BY seq LIMIT 5000)
         RETURNING CAST(seq AS TEXT)"
        postgres "WITH gone AS (DELETE FROM change WHERE ctid IN (SELECT ctid FROM change
             WHERE at < CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) - $1 ORDER BY at LIMIT 5000)
         RETURNING xid)
         SELECT CAST(xid AS text) FROM gone";
    SWEPT_TO: System [Text]
        "INSERT INTO store_meta (name, value) VALUES ('swept_to', $1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value
             WHERE CAST(excluded.value AS bigint) > CAST(store_meta.value AS bigint)";
    SWEEP_REVOKED: System [Int] "DELETE FROM revoked_token WHERE expires_at < $1 RETURNING token_id";
}

/// How long the feed is kept, in milliseconds: who is further behind empties its memory.
pub const FEED_KEPT_MILLIS: i64 = 24 * 60 * 60 * 1000;

impl SystemStore {
    /// Drops lines of the feed older than `kept_millis`, by the database's clock, a few thousand at a time. Gives
    /// how many; call again while there are any.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn feed_sweep(&self, kept_millis: i64) -> Result<usize, StoreError> {
        self.write(async move |tx: &mut Tx<'_>| {
            let rows = tx.run(&SWEEP_FEED, values![kept_millis]).await?;
            let count = rows.len();
            let mut last = None;
            for row in rows {
                last = last.max(Some(row.read().parse::<u64>()?));
            }
            if let Some(last) = last {
                tx.run(&SWEPT_TO, values![last.to_string()]).await?;
            }
            Ok(count)
        })
        .await
    }

    /// Drops revoked tokens that have ended by themselves. Gives how many.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn revoked_token_sweep(&self) -> Result<usize, StoreError> {
        // An hour more than the leeway, for nodes whose clock is behind.
        let ended = UnixMillis(self.inner.now().0).plus_seconds(-LEEWAY_SECONDS - 3600);
        self.write(async move |tx: &mut Tx<'_>| Ok(tx.run(&SWEEP_REVOKED, values![ended]).await?.len())).await
    }

    /// How many live secrets were made under each pepper. One that has none may leave the keyring.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn pepper_usage(&self) -> Result<Vec<(PepperId, i64)>, StoreError> {
        self.read(async |tx: &mut Tx<'_>| {
            let rows = tx.run(&PEPPERS_IN_USE, &[]).await?;
            rows.into_iter()
                .map(|row| {
                    let mut columns = row.read();
                    Ok((columns.parse()?, columns.int()?))
                })
                .collect()
        })
        .await
    }
}
