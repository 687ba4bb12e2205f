//! Which migrations ran.

use tokio_postgres::{Client, Transaction};

use crate::backend::tx::Tx;
use crate::error::StoreError;
use crate::migrations::Ran;
use crate::statement::statements;

statements! { "migration";
    /// What ran, the oldest first. (SQLite's is this process's own, and looked at when the file is opened.)
    RAN: System [] "SELECT '', '', NULL, NULL WHERE 1 = 0"
        postgres "SELECT name, sha256, works_with, walls FROM migration ORDER BY name";
}

/// What ran in the database of this unit of work.
///
/// # Errors
/// If the store does not answer.
pub(crate) async fn of(tx: &mut Tx<'_>) -> Result<Vec<Ran>, StoreError> {
    let mut ran = Vec::new();
    for row in tx.run(&RAN, &[]).await? {
        let mut columns = row.read();
        ran.push(Ran {
            name: columns.text()?,
            sha256: columns.text()?,
            works_with: columns.maybe_text()?,
            walls: columns.maybe_text()?,
        });
    }
    Ok(ran)
}

/// What ran in the database of this transaction.
///
/// # Errors
/// If the database does not answer.
pub(super) async fn in_transaction(transaction: &Transaction<'_>) -> Result<Vec<Ran>, tokio_postgres::Error> {
    let rows = transaction.query_typed(RAN.for_postgres(), &[]).await?;
    rows.iter().map(of_row).collect()
}

fn of_row(row: &tokio_postgres::Row) -> Result<Ran, tokio_postgres::Error> {
    Ok(Ran {
        name: row.try_get(0)?,
        sha256: row.try_get(1)?,
        works_with: row.try_get(2)?,
        walls: row.try_get(3)?,
    })
}

/// What ran in the database of this connection.
///
/// # Errors
/// If nothing did.
pub(super) async fn of_client(client: &Client) -> Result<Vec<Ran>, StoreError> {
    let unread = |_| StoreError::Setup("the database is not prepared; run `claviger store prepare`".into());
    let rows = client.query_typed(RAN.for_postgres(), &[]).await.map_err(unread)?;
    rows.iter().map(of_row).collect::<Result<_, _>>().map_err(unread)
}
