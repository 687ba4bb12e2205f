//! The names of withdrawals that are kept elsewhere.

use claviger::id::TenantId;

use crate::backend::tx::Tx;
use crate::error::StoreError;
use crate::statement::statements;
use crate::value::{Value, values};
use crate::withdrawals::journal::Journal;
use crate::withdrawals::step::{Record, Step};

statements! { "withdrawal";
    WITHDRAWAL_ADD: Shared [Uuid, Int]
        "INSERT INTO withdrawal (withdrawal_id, at) VALUES ($1, $2)";
}

/// Names what a unit withdrew in its transaction.
///
/// # Errors
/// If the store does not answer.
pub(super) async fn name(
    tx: &mut Tx<'_>,
    journal: &Journal,
    store: &str,
    tenant: Option<TenantId>,
    steps: Vec<Step>,
) -> Result<Record, StoreError> {
    let id = journal.name();
    let at = tx.now().await?;
    tx.run(&WITHDRAWAL_ADD, values![Value::Uuid(id.into_bytes()), at]).await?;
    let tenant = tenant.map(|tenant| tenant.to_string());
    Ok(Record { id, at: at.0, store: store.to_owned(), tenant, steps })
}
