//! Makes the roles and the schema, as somebody who may.

use std::path::Path;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{connect, errors};
use crate::error::StoreError;

/// How often making the roles is tried, and how long after one failure the next try is.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Roles and schema. `claviger_owner` owns and migrates, `claviger_rt` runs and owns nothing, `claviger_system`
/// is who a named job becomes for one transaction. NOINHERIT: the runtime role has nothing of it by itself.
const ROLES: &str = "
DO $$ BEGIN
    IF current_setting('server_version_num')::int < 140000 THEN
        RAISE EXCEPTION 'too old' USING ERRCODE = 'feature_not_supported';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'claviger_owner') THEN
        CREATE ROLE claviger_owner NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'claviger_system') THEN
        CREATE ROLE claviger_system NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOINHERIT;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'claviger_rt') THEN
        CREATE ROLE claviger_rt LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOINHERIT;
    END IF;
    IF NOT pg_has_role('claviger_rt', 'claviger_system', 'MEMBER') THEN
        GRANT claviger_system TO claviger_rt;
    END IF;
    IF NOT pg_has_role(current_user, 'claviger_owner', 'USAGE') THEN
        EXECUTE format('GRANT claviger_owner TO %I', current_user);
    END IF;
    ALTER ROLE claviger_rt SET search_path = claviger;
END $$;
CREATE SCHEMA IF NOT EXISTS claviger AUTHORIZATION claviger_owner;";

/// Makes what is missing of roles, schema and tables. `runtime_url` gives the runtime role its password.
///
/// # Errors
/// If the server is older than 14, does not answer, or `owner_url` may not do this.
pub(crate) async fn prepare(
    owner_url: &str,
    runtime_url: &str,
    ca_file: Option<&Path>,
) -> Result<(), StoreError> {
    let runtime = connect::config(runtime_url)?;
    if runtime.get_user() != Some("claviger_rt") {
        return Err(StoreError::Setup(
            "the store's url must name the role `claviger_rt`; `store.owner_url` names who prepares".into(),
        ));
    }
    let mut client = connect::single(owner_url, ca_file).await?;
    // Two that prepare this database at once take turns.
    run(&client, "SELECT pg_advisory_lock(7308332045)").await?;
    make_roles(&client).await?;
    if let Some(password) = runtime.get_password() {
        set_password(&client, password, runtime_url, ca_file).await?;
    }
    run(&client, "SET ROLE claviger_owner; SET search_path = claviger").await?;
    super::migrate::migrate(&mut client).await
}

/// Roles belong to the whole cluster: beside somebody who prepares another database of it, one of two loses, and tries again.
async fn make_roles(client: &Client) -> Result<(), StoreError> {
    for attempt in 1.. {
        match client.batch_execute(ROLES).await {
            Ok(()) => break,
            Err(error) if error.code() == Some(&SqlState::INTERNAL_ERROR) && attempt < ATTEMPTS => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(refused(&error)),
        }
    }
    Ok(())
}

async fn run(client: &Client, sql: &str) -> Result<(), StoreError> {
    client.batch_execute(sql).await.map_err(|error| refused(&error))
}

/// Names what the owner's role lacks, if it lacks something.
fn refused(error: &tokio_postgres::Error) -> StoreError {
    let why = match error.code() {
        Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
            return StoreError::Setup("this postgres is too old: 14 or newer is needed".into());
        }
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            "the role of `store.owner_url` needs CREATEROLE, and CREATE on the database; or a superuser makes the roles first".into()
        }
        _ => errors::of(error, "role").to_string(),
    };
    StoreError::Setup(format!("the database cannot be prepared: {why}"))
}

/// Gives the runtime role its password, as a verifier (RFC 5803): the server never hears the password, and neither does its
/// log, whatever it writes there. A role that comes in with it already is left alone, as another database of the cluster may
/// have the same one.
async fn set_password(
    client: &Client,
    password: &[u8],
    runtime_url: &str,
    ca_file: Option<&Path>,
) -> Result<(), StoreError> {
    if connect::single(runtime_url, ca_file).await.is_ok() {
        return Ok(());
    }
    let verifier = postgres_protocol::password::scram_sha_256(password);
    // Base64, digits, `$` and `:`: nothing that could end the text.
    let statement = format!("ALTER ROLE claviger_rt PASSWORD '{verifier}'");
    client.batch_execute(&statement).await.map_err(|error| refused(&error))
}
