//! Makes the roles and the schema, as somebody who may.

use std::path::Path;

use tokio_postgres::Client;

use super::{connect, errors};
use crate::error::StoreError;

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
    run(&client, ROLES).await?;
    if let Some(password) = runtime.get_password() {
        set_password(&client, password).await?;
    }
    run(&client, "SET ROLE claviger_owner; SET search_path = claviger").await?;
    crate::migrate::postgres(&mut client).await
}

async fn run(client: &Client, sql: &str) -> Result<(), StoreError> {
    client.batch_execute(sql).await.map_err(|error| {
        if error.code() == Some(&tokio_postgres::error::SqlState::FEATURE_NOT_SUPPORTED) {
            return StoreError::Setup("this postgres is too old: 14 or newer is needed".into());
        }
        StoreError::Setup(format!("the database cannot be prepared: {}", errors::of(&error, "role")))
    })
}

/// PostgreSQL takes a password in the text of a statement alone: the server quotes it, and one that logs its
/// statements (`log_statement = ddl`) writes it into its log. SECURITY.md says so.
async fn set_password(client: &Client, password: &[u8]) -> Result<(), StoreError> {
    let password = std::str::from_utf8(password)
        .map_err(|_| StoreError::Setup("the password in the store's url is not valid UTF-8".into()))?;
    let failed = |error: tokio_postgres::Error| {
        StoreError::Setup(format!(
            "the runtime role's password cannot be set: {}",
            errors::of(&error, "role")
        ))
    };
    let row = client
        .query_one("SELECT format('ALTER ROLE claviger_rt PASSWORD %L', $1::text)", &[&password])
        .await
        .map_err(failed)?;
    let statement: String = row.try_get(0).map_err(failed)?;
    client.batch_execute(&statement).await.map_err(failed)
}
