//! The transaction of the database that writes and has been open for longest.
//!
//! No line of the feed that is younger than it can be cleared away, and no row that has died since can be vacuumed, in
//! any database of the server. Polls do not mind it.

use crate::backend::Tx;
use crate::error::StoreError;
use crate::parts::system_store::SystemStore;
use crate::statement::statements;

statements! { "transaction";
    /// Its id, the process that has it open, and that one's role and database, where there is one. (A prepared one has no
    /// process.) Locks and activity are everybody's to see, but for what is run.
    OLDEST_TRANSACTION: System []
        "SELECT '', NULL, NULL, NULL WHERE 1 = 0"
        postgres "SELECT CAST(o.xid AS text), CAST(l.pid AS text), CAST(a.usename AS text), CAST(a.datname AS text)
         FROM (SELECT pg_snapshot_xmin(s.now) AS xid, pg_snapshot_xmax(s.now) AS next FROM (SELECT pg_current_snapshot() AS now) AS s) AS o
         LEFT JOIN pg_locks AS l ON l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock'
             AND l.transactionid = CAST(o.xid AS xid)
         LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
         WHERE o.xid < o.next LIMIT 1";
}

/// A transaction that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// PostgreSQL's id of it.
    pub id: String,
    /// The server's process that has it open; `None` of one that is prepared.
    pub process: Option<String>,
    /// Who is connected there.
    pub role: Option<String>,
    /// To which database.
    pub database: Option<String>,
}

impl SystemStore {
    /// The oldest transaction under way that has written or will, whosever it is; none on SQLite.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn oldest_transaction(&self) -> Result<Option<OpenTransaction>, StoreError> {
        self.read(async |tx: &mut Tx<'_>| {
            let Some(row) = tx.run_one(&OLDEST_TRANSACTION, &[]).await? else { return Ok(None) };
            let mut columns = row.read();
            let (id, process) = (columns.text()?, columns.maybe_text()?);
            Ok(Some(OpenTransaction {
                id,
                process,
                role: columns.maybe_text()?,
                database: columns.maybe_text()?,
            }))
        })
        .await
    }
}
