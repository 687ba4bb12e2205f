//! Named jobs that clear away what nobody needs any more, and count what somebody does.

use claviger::clock::LEEWAY_SECONDS;
use claviger::id::TenantId;

use crate::backend::Tx;
use crate::ends::floor_after;
use crate::error::StoreError;
use crate::facts::{META, META_SET};
use crate::feed;
use crate::parts::system_store::SystemStore;
use crate::statement::statements;
use crate::tenancy::tenants::TENANTS_END;
use crate::value::{Value, values};
use crate::withdrawals::KEPT_SECONDS;
use crate::withdrawals::repeat::{self, WITHDRAWALS_SWEEP};

statements! { "change";
    /// Drops some lines of the feed that were there at the position `$1`. A row for each, or one with their number.
    SWEEP_FEED: System [Text]
        "DELETE FROM change WHERE seq IN (SELECT seq FROM change WHERE seq <= CAST($1 AS INTEGER) ORDER BY seq LIMIT 500)
         RETURNING 1"
        postgres "WITH dropped AS (
             DELETE FROM change WHERE ctid IN (SELECT ctid FROM change
                 WHERE xid < pg_snapshot_xmax(CAST($1 AS pg_snapshot)) AND pg_visible_in_snapshot(xid, CAST($1 AS pg_snapshot))
                 ORDER BY xid LIMIT 500)
             RETURNING 1)
         SELECT count(*) FROM dropped";
    SWEEP_REVOKED: System [Int] "DELETE FROM revoked_token WHERE expires_at < $1 RETURNING token_id";
}

/// How many lines `SWEEP_FEED` drops at most. Others wait for as long as that takes, a millisecond or two.
const BATCH: i64 = 500;

/// How long the feed is kept, in milliseconds: who is further behind empties its memory.
pub const FEED_KEPT_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// How long a revoked token is kept after its end, in seconds: a server that takes over may have a clock that goes ahead,
/// and must sweep nothing that still counts.
pub const REVOKED_KEPT_SECONDS: i64 = 24 * 60 * 60;

/// How many tenants' sessions and tokens are ended in one transaction.
const TENANTS_AT_ONCE: i64 = 5000;

/// What [`SystemStore::restored_accept`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// How many tenants' sessions and tokens were ended.
    pub tenants: usize,
}

impl SystemStore {
    /// Whether the database is where its change feed began, and not come out of a dump or another server's files.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn is_at_home(&self) -> Result<bool, StoreError> {
        self.read(async |tx: &mut Tx<'_>| {
            let row = tx.run_one(&feed::FEED_IS_HOME, &[]).await?;
            Ok(row.ok_or(StoreError::Corrupt { what: "change" })?.read().int()? == 1)
        })
        .await
    }

    /// Lets a restored database be served: somebody has looked at it. Its feed begins anew, so that every node forgets what
    /// it remembers; and all sessions and tokens of every tenant are ended, as those that were ended after the dump was
    /// made are alive in it. Gives what was done; nothing of a database that is at home.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn restored_accept(&self) -> Result<Option<Accepted>, StoreError> {
        if self.is_at_home().await? {
            return Ok(None);
        }
        // Some after the other: a unit of work has seconds, and there may be millions. Until the last is ended the database
        // is not at home, and nobody believes it; whoever is interrupted begins again, which ends no less.
        let (mut tenants, mut after) = (0, [0; 16]);
        loop {
            let ended = self
                .write(async move |tx: &mut Tx<'_>| {
                    let floor = floor_after(tx.now().await?);
                    let params = values![floor, Value::Uuid(after), TENANTS_AT_ONCE];
                    let rows = tx.run(&TENANTS_END, params).await?;
                    rows.into_iter().map(|row| row.read().parse()).collect::<Result<Vec<TenantId>, _>>()
                })
                .await?;
            tenants += ended.len();
            let Some(last) = ended.iter().map(|tenant| *tenant.as_bytes()).max() else { break };
            after = last;
        }
        let entry = self.entry("STORE_ACCEPTED", ("store", self.inner.id.clone()), serde_json::json!({}));
        self.write(async move |tx: &mut Tx<'_>| {
            tx.run(&feed::FEED_TAKE_HOME, &[]).await?;
            entry.write(tx).await
        })
        .await?;
        Ok(Some(Accepted { tenants }))
    }

    /// Drops lines of the feed that have been there for `kept_millis`, five hundred at a time. Gives how many; call
    /// again while there are any.
    ///
    /// A position is marked first, and what was there at the mark is dropped once the mark is that old: what counts
    /// is when a line could be seen, not when it was written.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn feed_sweep(&self, kept_millis: i64) -> Result<usize, StoreError> {
        self.write(async move |tx: &mut Tx<'_>| {
            let (here, now) = feed::position(tx).await?;
            let fresh = format!("{} {here}", now.0);
            let Some(row) = tx.run_one(&META, values!["sweep_mark"]).await? else {
                tx.run(&META_SET, values!["sweep_mark", &fresh]).await?;
                return Ok(0);
            };
            let mark = row.read().text()?;
            let (at, position) =
                mark.split_once(' ').ok_or(StoreError::Corrupt { what: "mark of the sweep" })?;
            let at: i64 = at.parse().map_err(|_| StoreError::Corrupt { what: "mark of the sweep" })?;
            if now.0.saturating_sub(at) < kept_millis {
                return Ok(0);
            }
            tx.run(&META_SET, values!["swept_to", position]).await?;
            let mut count = 0;
            for row in tx.run(&SWEEP_FEED, values![position]).await? {
                count += row.read().int()?;
            }
            if count < BATCH {
                tx.run(&META_SET, values!["sweep_mark", &fresh]).await?;
            }
            Ok(usize::try_from(count).unwrap_or(0))
        })
        .await
    }

    /// Drops revoked tokens that have ended by themselves [`REVOKED_KEPT_SECONDS`] ago. Gives how many.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn revoked_token_sweep(&self) -> Result<usize, StoreError> {
        self.write(async |tx: &mut Tx<'_>| {
            let ended = tx.now().await?.plus_seconds(-LEEWAY_SECONDS - REVOKED_KEPT_SECONDS);
            Ok(tx.run(&SWEEP_REVOKED, values![ended]).await?.len())
        })
        .await
    }

    /// Drops the names of withdrawals that nobody looks for any more. Gives how many.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn withdrawal_sweep(&self) -> Result<usize, StoreError> {
        let (count, now) = self
            .write(async |tx: &mut Tx<'_>| {
                let now = tx.now().await?;
                // A day more than files are read for.
                let over = now.plus_seconds(-KEPT_SECONDS - 24 * 60 * 60);
                Ok((tx.run(&WITHDRAWALS_SWEEP, values![over]).await?.len(), now))
            })
            .await?;
        repeat::rotate(&self.inner, now);
        Ok(count)
    }
}
