//! Refuses to open a database whose walls do not stand.

use deadpool_postgres::Pool;
use tokio_postgres::Client;

use crate::error::StoreError;

/// A question to the catalogue that answers what is wrong, one row each, and what to say of it.
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
    Check {
        sql: "SELECT rolname::text FROM pg_roles WHERE rolname IN ('claviger_rt', 'claviger_system')
              AND (rolsuper OR rolbypassrls OR rolcreaterole)",
        says: "a role can pass row-level security by",
        cure: "ALTER ROLE … NOSUPERUSER NOBYPASSRLS NOCREATEROLE",
    },
    Check {
        sql: "SELECT r.rolname::text FROM pg_roles r WHERE r.rolname <> 'claviger_rt'
              AND pg_has_role('claviger_rt', r.oid, 'USAGE')",
        says: "the runtime role has the rights of another role by itself",
        cure: "ALTER ROLE claviger_rt NOINHERIT and grant it `claviger_system` again WITH INHERIT FALSE",
    },
    Check {
        sql: "SELECT r.rolname::text FROM pg_roles r WHERE r.rolname NOT IN ('claviger_rt', 'claviger_system')
              AND pg_has_role('claviger_rt', r.oid, 'MEMBER')",
        says: "the runtime role can become a role that it must not",
        cure: "REVOKE that role FROM claviger_rt",
    },
    Check {
        sql: "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'claviger'::regnamespace
              AND pg_has_role('claviger_rt', c.relowner, 'MEMBER')",
        says: "the runtime role owns a table, and an owner can switch its policies off",
        cure: "ALTER TABLE … OWNER TO claviger_owner",
    },
    Check {
        sql: "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
              WHERE c.relnamespace = 'claviger'::regnamespace AND c.relkind IN ('r', 'p')
              AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
        says: "row-level security is not forced on a table with tenants' rows",
        cure: "ALTER TABLE … ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    },
    Check {
        sql: "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
              WHERE c.relnamespace = 'claviger'::regnamespace AND c.relkind IN ('r', 'p')
              AND NOT EXISTS (
                  SELECT FROM pg_policies p WHERE p.schemaname = 'claviger' AND p.tablename = c.relname
                  AND p.policyname = 'bound_tenant' AND p.permissive = 'PERMISSIVE' AND p.cmd = 'ALL'
                  AND p.roles = ARRAY['claviger_rt'::name]
                  AND p.qual = p.with_check
                  AND replace(p.qual, ' ', '') LIKE '(tenant_id=(SELECT(current_setting(''app.tenant''::text))::uuid%')",
        says: "a table with tenants' rows has no policy that holds it to the bound tenant",
        cure: "run the migrations on a fresh database and compare its policies `bound_tenant` with this one's",
    },
    Check {
        sql: "SELECT p.tablename || '.' || p.policyname FROM pg_policies p WHERE p.schemaname = 'claviger'
              AND NOT (p.policyname = 'bound_tenant' AND p.roles = ARRAY['claviger_rt'::name])
              AND NOT (p.policyname = 'named_job' AND p.roles = ARRAY['claviger_system'::name])
              AND NOT (p.policyname = 'own_transaction' AND p.tablename = 'change')",
        says: "there is a policy that claviger did not make, and policies add up",
        cure: "DROP POLICY",
    },
    Check {
        sql: "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'claviger'::regnamespace
              AND c.relkind IN ('v', 'm') AND NOT coalesce(c.reloptions::text LIKE '%security_invoker=true%', false)",
        says: "a view reads with its owner's rights",
        cure: "DROP VIEW, or make it WITH (security_invoker = true)",
    },
    Check {
        sql: "SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'claviger'::regnamespace AND p.prosecdef
              AND NOT (p.proname = 'note_change'
                       AND coalesce(array_to_string(p.proconfig, ' '), '') = 'search_path=claviger, pg_temp')",
        says: "a function runs with its owner's rights",
        cure: "DROP FUNCTION, or run `claviger store prepare` if it is claviger's own",
    },
    Check {
        sql: "SELECT c.relname || ' (' || lower(r.verb) || ')' FROM pg_class c,
              (VALUES ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) AS r(verb), (VALUES ('claviger_rt'), ('claviger_system')) AS w(role)
              WHERE c.relnamespace = 'claviger'::regnamespace AND c.relkind IN ('r', 'p')
              AND has_table_privilege(w.role, c.oid, r.verb)",
        says: "a role has a right on a table that row-level security does not cover",
        cure: "REVOKE it",
    },
    Check {
        sql: "SELECT t.name FROM (VALUES ('audit', 'UPDATE'), ('audit', 'DELETE'), ('tenant', 'DELETE'), ('member', 'DELETE'),
              ('session', 'DELETE'), ('api_key', 'DELETE'), ('key_secret', 'DELETE'), ('change', 'INSERT'), ('change', 'UPDATE'))
              AS t(name, verb) WHERE to_regclass('claviger.' || t.name) IS NULL
              OR has_table_privilege('claviger_rt', 'claviger.' || t.name, t.verb)",
        says: "the runtime role may change what it must not, or a table is missing",
        cure: "run `claviger store prepare`, then REVOKE the right",
    },
];

/// Every wall, and a probe of each kind that nothing is seen without a tenant.
pub(super) async fn walls(pool: &Pool) -> Result<(), StoreError> {
    let client = pool
        .get()
        .await
        .map_err(|_| StoreError::Setup("cannot connect to postgres with the store's url".into()))?;
    for check in CHECKS {
        let rows = client.query(check.sql, &[]).await.map_err(|error| {
            let error = super::errors::of(&error, "catalogue");
            StoreError::Setup(format!(
                "the walls of the database cannot be checked ({error}); run `claviger store prepare`"
            ))
        })?;
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
    crate::migrate::postgres_is_current(&client).await?;
    nothing_is_seen_unbound(&client).await
}

/// Without a bound tenant no row may be seen. (Where there is one, the read fails; an empty table has nothing to
/// compare, which is why the text of each policy is checked above.)
async fn nothing_is_seen_unbound(client: &Client) -> Result<(), StoreError> {
    if client.query("SELECT 1 FROM tenant LIMIT 1", &[]).await.map_or(true, |rows| rows.is_empty()) {
        return Ok(());
    }
    Err(StoreError::Setup(
        "tenants' rows can be asked for without a tenant; compare the policies with those of a fresh database".into(),
    ))
}
