//! Refuses to open a database whose walls do not stand.

use deadpool_postgres::Pool;
use tokio_postgres::Client;

use super::ran;
use crate::backend::tx::Tx;
use crate::error::StoreError;
use crate::migrations;
use crate::statement::statements;

statements! { "catalogue";
    /// See the file.
    WALLS: System [] "SELECT ''" postgres include_str!("walls.sql");
}

/// How many differences are told of.
const TOLD: usize = 4;

/// A question to the catalogue that answers what is wrong, one row each, and what to say of it. These come before the
/// comparison, because where they fail it says nothing.
struct Check {
    sql: &'static str,
    says: &'static str,
    cure: &'static str,
}

const CHECKS: &[Check] = &[
    Check {
        sql: "SELECT 'version ' || current_setting('server_version') WHERE current_setting('server_version_num')::int < 140000",
        says: "this postgres is too old",
        cure: "14 or newer is needed",
    },
    Check {
        sql: "SELECT session_user::text WHERE session_user <> 'claviger_rt'",
        says: "the store's url does not name the runtime role",
        cure: "connect as `claviger_rt`, which `claviger store prepare` makes",
    },
    Check {
        sql: "SELECT coalesce(current_schema(), 'none') WHERE current_schema() IS DISTINCT FROM 'claviger'",
        says: "the runtime role does not look into the schema `claviger`",
        cure: "run `claviger store prepare`, and end open connections of the role",
    },
];

/// Every wall, and a probe of each kind that nothing is seen without a tenant.
pub(super) async fn walls(pool: &Pool) -> Result<(), StoreError> {
    let client = pool.get().await.map_err(|error| super::connect::refused(&error, "`store.url`"))?;
    let unchecked = |error: &tokio_postgres::Error| {
        let error = super::errors::of(error, "catalogue");
        StoreError::Setup(format!(
            "the walls of the database cannot be checked ({error}); run `claviger store prepare`"
        ))
    };
    for check in CHECKS {
        let rows = client.query_typed(check.sql, &[]).await.map_err(|error| unchecked(&error))?;
        let found: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        if !rows.is_empty() {
            return Err(StoreError::Setup(format!(
                "{}: `{}`; {}",
                check.says,
                found.join("`, `"),
                check.cure
            )));
        }
    }
    let manifest = migrations::of_postgres().walls(&ran::of_client(&client).await?)?;
    let rows = client.query_typed(WALLS.for_postgres(), &[]).await.map_err(|error| unchecked(&error))?;
    let lines: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    compare(&manifest, &lines.map_err(|error| unchecked(&error))?).map_err(StoreError::Setup)?;
    nothing_is_seen_unbound(&client).await
}

/// The walls once more, while a server runs.
///
/// # Errors
/// If one does not stand any more, or the store does not answer.
pub(crate) async fn walls_stand(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    // A newer program may have changed the schema since: then it has left word of the walls that belong to it.
    let manifest = migrations::of_postgres().walls(&ran::of(tx).await?)?;
    let rows = tx.run(&WALLS, &[]).await?;
    let lines: Result<Vec<String>, _> = rows.into_iter().map(|row| row.read().text()).collect();
    compare(&manifest, &lines?).map_err(StoreError::Setup)
}

/// Names what differs from the manifest.
fn compare(manifest: &str, found: &[String]) -> Result<(), String> {
    // Tests have a clock of their own.
    let of_tests = |line: &str| {
        cfg!(any(test, feature = "testing")) && line.starts_with("function claviger_now() of claviger_owner")
    };
    let is_compared = |line: &&str| !line.is_empty() && !of_tests(line);
    let wanted: Vec<&str> = manifest.lines().filter(is_compared).collect();
    let missing = wanted.iter().filter(|line| !found.iter().any(|found| found == *line));
    let missing = missing.map(|line| format!("missing: `{line}`"));
    let found = found.iter().map(String::as_str).filter(is_compared);
    let extra = found.filter(|line| !wanted.contains(line));
    let differences: Vec<String> = missing.chain(extra.map(|line| format!("there is: `{line}`"))).collect();
    if differences.is_empty() {
        return Ok(());
    }
    let more = differences.len().saturating_sub(TOLD);
    let told = differences.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(format!(
        "the walls of the database are not those that `claviger store prepare` puts up; {told}{more}; undo what somebody changed there"
    ))
}

/// Without a bound tenant no row may be seen. (Where there is one, the read fails; an empty table has nothing to
/// compare, which is why the text of each policy is compared above.)
async fn nothing_is_seen_unbound(client: &Client) -> Result<(), StoreError> {
    if client.query_typed("SELECT 1 FROM tenant LIMIT 1", &[]).await.map_or(true, |rows| rows.is_empty()) {
        return Ok(());
    }
    Err(StoreError::Setup(
        "tenants' rows can be asked for without a tenant; compare the policies with those of a fresh database".into(),
    ))
}
