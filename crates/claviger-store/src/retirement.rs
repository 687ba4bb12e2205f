//! Rows that grow leave again: in the lane of their own, some at a time, by one server at a time.

use std::sync::LazyLock;

use crate::backend::Tx;
use crate::error::StoreError;
use crate::facts::META_SET;
use crate::feed::leases::Lease;
use crate::noun::Noun;
use crate::nouns::NOUNS;
use crate::parts::system_store::SystemStore;
use crate::statement::{Kind, Reach, Statement};
use crate::value::values;

/// How many rows leave with one transaction.
const AT_ONCE: usize = 500;

/// The least time that what happened is kept, in days: no setting, and no mistake, ends it earlier.
pub const LEAST_KEPT_DAYS: i64 = 30;

/// Up to which time what happened may leave, as the database's own triggers ask.
const KEPT_FROM: &str = "audit_kept_from";

/// A statement for each noun that grows: drops the oldest rows from before `$1`.
static RETIRE: LazyLock<Vec<Statement>> =
    LazyLock::new(|| NOUNS.iter().filter_map(|noun| retire(noun)).collect());

fn retire(noun: &Noun) -> Option<Statement> {
    let (table, age, key) = (noun.table, noun.grows_by?, noun.key.join(", "));
    let sql = format!(
        "DELETE FROM {table} WHERE ({key}) IN
             (SELECT {key} FROM {table} WHERE {age} < $1 ORDER BY {age} LIMIT {AT_ONCE})
         RETURNING {age}"
    );
    Some(Statement::made(table, Reach::System, table, &[Kind::Int], sql.clone(), sql))
}

/// The statements that follow from how nouns are declared.
pub(crate) fn statements() -> impl Iterator<Item = &'static Statement> {
    RETIRE.iter()
}

impl SystemStore {
    /// Drops some of what happened more than `kept_days` ago, of every noun that grows. Gives how many rows; call again while there
    /// are any.
    ///
    /// # Errors
    /// If that is less than [`LEAST_KEPT_DAYS`], the lease has ended, or the store does not answer.
    pub async fn retire(&self, lease: &Lease, kept_days: i64) -> Result<usize, StoreError> {
        if kept_days < LEAST_KEPT_DAYS {
            return Err(StoreError::Invalid(format!(
                "what happened is kept for {LEAST_KEPT_DAYS} days at least"
            )));
        }
        let mut dropped = 0;
        for statement in RETIRE.iter() {
            let lease = lease.clone();
            dropped += self
                .write_in_growth(async move |tx: &mut Tx<'_>| {
                    lease.hold(tx).await?;
                    let from = tx.now().await?.plus_seconds(-kept_days.saturating_mul(24 * 60 * 60));
                    tx.run(&META_SET, values![KEPT_FROM, from.0.to_string()]).await?;
                    Ok(tx.run(statement, values![from]).await?.len())
                })
                .await?;
        }
        Ok(dropped)
    }
}
