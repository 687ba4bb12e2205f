//! Does again what the store has lost.

use claviger::clock::UnixMillis;
use claviger::id::TenantId;
use serde_json::json;

use super::journal::KEPT_SECONDS;
use super::step::{Parameter, Record};
use crate::actor::Actor;
use crate::audit::entry::Entry;
use crate::backend::postgres::withdrawn::WITHDRAWAL_ADD;
use crate::backend::{Bound, Mode, Tx};
use crate::error::StoreError;
use crate::parts::inner::Inner;
use crate::statement::statements;
use crate::value::{Value, values};

statements! { "withdrawal";
    WITHDRAWALS_LACKING: System [Text]
        "SELECT j.value FROM json_each($1) AS j WHERE NOT EXISTS (SELECT 1 FROM withdrawal WHERE withdrawal_id = j.value)"
        postgres "SELECT j.value FROM jsonb_array_elements_text(CAST($1 AS jsonb)) AS j(value)
         WHERE NOT EXISTS (SELECT 1 FROM withdrawal WHERE withdrawal_id = CAST(j.value AS uuid))";
    WITHDRAWALS_SWEEP: System [Int] "DELETE FROM withdrawal WHERE at < $1 RETURNING at";
}

/// Does again what this node has acknowledged and the store does not have. Gives how many.
///
/// # Errors
/// If the store does not answer, or there is a withdrawal that this program does not know: then the store must not be
/// believed yet.
pub(crate) async fn repeat_missing(inner: &Inner) -> Result<usize, StoreError> {
    let Some(journal) = inner.journal.as_deref() else { return Ok(0) };
    let job = Bound::System("withdrawals");
    let now = inner.run(job, Mode::Read, async |tx: &mut Tx<'_>| tx.now().await).await?;
    let records = journal.records(&inner.id, now.plus_seconds(-KEPT_SECONDS))?;
    let mut done = 0;
    // So many at a time that none of the questions is long.
    for part in records.chunks(5000) {
        let ids = json!(part.iter().map(|record| record.id).collect::<Vec<_>>()).to_string();
        let lacking = inner
            .run(job, Mode::Read, async move |tx: &mut Tx<'_>| {
                let rows = tx.run(&WITHDRAWALS_LACKING, values![&ids]).await?;
                rows.into_iter().map(|row| row.read().text()).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        for record in part.iter().filter(|record| lacking.contains(&record.id.to_string())) {
            repeat(inner, record.clone()).await?;
            done += 1;
        }
    }
    if done > 0 {
        tracing::warn!(
            withdrawals = done,
            "the store lacked withdrawals that this node had acknowledged: done again"
        );
    }
    Ok(done)
}

/// Begins a new file if it is time. What goes wrong with it is for the log: the old one is as good.
pub(crate) fn rotate(inner: &Inner, now: UnixMillis) {
    if let Some(Err(error)) = inner.journal.as_ref().map(|journal| journal.rotate(now)) {
        tracing::warn!(%error, "the file of withdrawals could not be begun anew");
    }
}

async fn repeat(inner: &Inner, record: Record) -> Result<(), StoreError> {
    let unknown =
        || StoreError::unavailable("a withdrawal that this program does not know was lost; update it");
    let mut steps = Vec::with_capacity(record.steps.len());
    for step in &record.steps {
        let statement = (inner.find_statement)(&step.statement).filter(|known| known.withdraws);
        let parameters: Option<Vec<Value>> = step.parameters.iter().map(Parameter::value).collect();
        steps.push((statement.ok_or_else(unknown)?, parameters.ok_or_else(unknown)?));
    }
    let tenant: Option<TenantId> =
        record.tenant.as_deref().map(str::parse).transpose().map_err(|_| unknown())?;
    let bound = tenant.map_or(Bound::System("withdrawals"), Bound::Tenant);
    let names: Vec<&str> = record.steps.iter().map(|step| step.statement.as_str()).collect();
    let entity = ("withdrawal", record.id.to_string());
    let actor = Actor::named("job:withdrawals");
    let entry =
        Entry::new(inner, tenant, &actor, "WITHDRAWAL_REPEATED", entity, &json!({ "statements": names }));
    let id = Value::Uuid(record.id.into_bytes());
    inner
        .run(bound, Mode::Write, async move |tx: &mut Tx<'_>| {
            for (statement, parameters) in &steps {
                tx.run(statement, parameters).await?;
            }
            tx.run(&WITHDRAWAL_ADD, values![id.clone(), UnixMillis(record.at)]).await?;
            // It is kept already.
            tx.forget_withdrawn();
            entry.write(tx).await
        })
        .await
}
