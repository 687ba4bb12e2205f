//! What keeps a connection to one tenant's rows (SQLite has no row-level security of its own).
//!
//! A reader sees a tenant's table only through a view of the same name, which selects from a second view with a
//! random name, which selects the bound tenant's rows. The authorizer lets `main` be read on behalf of that
//! second view alone, and nobody can name it. A statement of the writer works on the tables, guarded by
//! triggers that refuse any row of another tenant than the bound one.

use std::collections::HashMap;

use claviger::random::{Random, SystemRandom};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::binding::Binding;
use crate::error::StoreError;
use crate::noun::{Columns, Noun, Nouns};

/// Functions that cannot read what they are not given.
const FUNCTIONS: &[&str] = &[
    "current_tenant",
    "system_job",
    "coalesce",
    "count",
    "max",
    "min",
    "lower",
    "hex",
    "unhex",
    "char",
    "unixepoch",
    "json_extract",
    "->>",
    "->",
];

fn failed(error: &rusqlite::Error) -> StoreError {
    StoreError::Setup(format!(
        "the walls of the database cannot be put up: {}",
        super::errors::of(error, "wall")
    ))
}

/// The tables with a `tenant_id`, and those without, as the file has them.
pub(crate) fn tables(connection: &Connection) -> rusqlite::Result<(Vec<String>, Vec<String>)> {
    let mut statement = connection.prepare(
        "SELECT t.name, EXISTS (SELECT 1 FROM pragma_table_info(t.name) AS c WHERE c.name = 'tenant_id')
         FROM main.sqlite_schema AS t WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
    let (mut tenants, mut others) = (Vec::new(), Vec::new());
    for row in rows {
        let (name, of_a_tenant) = row?;
        if of_a_tenant { tenants.push(name) } else { others.push(name) }
    }
    Ok((tenants, others))
}

fn functions(connection: &Connection, binding: &Binding) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    let tenant = binding.clone();
    connection.create_scalar_function("current_tenant", 0, flags, move |_| Ok(tenant.tenant()))?;
    let system = binding.clone();
    connection.create_scalar_function("system_job", 0, flags, move |_| Ok(system.is_system()))
}

fn is_allowed(function: &str) -> bool {
    FUNCTIONS.iter().any(|name| name.eq_ignore_ascii_case(function))
}

fn verdict(allowed: bool) -> Authorization {
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

/// Whether a read is of one of the file's own tables. A table of which no column is read is mentioned without its
/// database, which can only be `main`: nothing can be attached.
fn is_ours(context: &AuthContext<'_>, table: &str, column: &str) -> bool {
    let here =
        context.database_name == Some("main") || (context.database_name.is_none() && column.is_empty());
    here && !table.starts_with("sqlite_")
}

/// Walls in the connection of the writer.
///
/// # Errors
/// If SQLite refuses a trigger.
pub(crate) fn writer(connection: &mut Connection, nouns: Nouns, binding: &Binding) -> Result<(), StoreError> {
    let put_up = |connection: &Connection| -> rusqlite::Result<()> {
        functions(connection, binding)?;
        let (tenants, others) = tables(connection)?;
        for table in &tenants {
            let foreign = |row: &str| format!("{row}.tenant_id IS NOT current_tenant()");
            let either = format!("({} OR {})", foreign("OLD"), foreign("NEW"));
            for (verb, when) in [("INSERT", foreign("NEW")), ("UPDATE", either), ("DELETE", foreign("OLD"))] {
                connection.execute_batch(&format!(
                    "CREATE TEMP TRIGGER wall_{verb}_{table} BEFORE {verb} ON main.{table}
                     WHEN NOT system_job() AND {when} BEGIN SELECT RAISE(ABORT, 'wall'); END"
                ))?;
            }
        }
        for table in &others {
            for verb in ["INSERT", "UPDATE", "DELETE"] {
                // A tenant makes what its declaration lets it make, and its changes are lines of the feed.
                let may_add = |noun: &&&Noun| noun.table == table && noun.tenant.insert != Columns::None;
                if verb == "INSERT" && (table == "change" || nouns.iter().any(|noun| may_add(&noun))) {
                    continue;
                }
                connection.execute_batch(&format!(
                    "CREATE TEMP TRIGGER wall_{verb}_{table} BEFORE {verb} ON main.{table}
                     WHEN NOT system_job() BEGIN SELECT RAISE(ABORT, 'wall'); END"
                ))?;
            }
        }
        Ok(())
    };
    put_up(connection).map_err(|error| failed(&error))?;
    let authorizer = |context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            Authorization::Allow
        }
        AuthAction::Read { table_name, column_name } => verdict(is_ours(&context, table_name, column_name)),
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => {
            verdict(context.database_name == Some("main") && !table_name.starts_with("sqlite_"))
        }
        AuthAction::Function { function_name } => verdict(is_allowed(function_name)),
        _ => Authorization::Deny,
    };
    connection.authorizer(Some(authorizer)).map_err(|error| failed(&error))
}

/// Walls in a reader for one tenant at a time.
///
/// # Errors
/// If SQLite refuses a view.
pub(crate) fn scoped_reader(
    connection: &mut Connection,
    nouns: Nouns,
    binding: &Binding,
) -> Result<(), StoreError> {
    let mut random = [0; 16];
    SystemRandom.fill(&mut random);
    let suffix: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let put_up = |connection: &Connection| -> rusqlite::Result<HashMap<String, String>> {
        functions(connection, binding)?;
        let mut hidden = HashMap::new();
        let (tenants, _) = tables(connection)?;
        let own = " WHERE tenant_id = current_tenant()";
        let scoped = tenants.iter().map(|table| (table.as_str(), "*".to_owned(), own));
        // What a tenant's transaction may see of the tables that belong to no tenant.
        let shared = nouns.iter().filter(|noun| !noun.is_of_a_tenant());
        let shared = shared.filter_map(|noun| match noun.tenant.select {
            Columns::None => None,
            Columns::All => Some((noun.table, "*".to_owned(), "")),
            Columns::These(columns) => Some((noun.table, columns.join(", "), "")),
        });
        for (table, columns, filter) in scoped.chain(shared) {
            connection.execute_batch(&format!(
                "CREATE TEMP VIEW {table}_{suffix} AS SELECT {columns} FROM main.{table}{filter};
                 CREATE TEMP VIEW {table} AS SELECT * FROM temp.{table}_{suffix};"
            ))?;
            hidden.insert(table.to_owned(), format!("{table}_{suffix}"));
        }
        Ok(hidden)
    };
    let hidden = put_up(connection).map_err(|error| failed(&error))?;
    let authorizer = move |context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Transaction { .. } => Authorization::Allow,
        AuthAction::Read { table_name, column_name } => verdict(match context.database_name {
            // The table itself, on behalf of the hidden view alone.
            Some("main") => hidden.get(table_name).is_some_and(|view| context.accessor == Some(view)),
            // The view that bears the table's name, by anybody; the hidden one, by that view alone.
            Some("temp") => {
                hidden.contains_key(table_name)
                    || hidden
                        .iter()
                        .any(|(table, view)| view == table_name && context.accessor == Some(table))
            }
            // A mention without a column and without a database: the view, which hides the table of its name.
            None => column_name.is_empty() && hidden.contains_key(table_name),
            Some(_) => false,
        }),
        AuthAction::Function { function_name } => verdict(is_allowed(function_name)),
        _ => Authorization::Deny,
    };
    connection.authorizer(Some(authorizer)).map_err(|error| failed(&error))
}

/// Walls in a reader for named jobs: it sees every tenant and can do nothing but read tables.
///
/// # Errors
/// If SQLite refuses the authorizer.
pub(crate) fn system_reader(connection: &mut Connection) -> Result<(), StoreError> {
    let authorizer = |context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Transaction { .. } => Authorization::Allow,
        AuthAction::Read { table_name, column_name } => verdict(is_ours(&context, table_name, column_name)),
        AuthAction::Function { function_name } => verdict(is_allowed(function_name)),
        _ => Authorization::Deny,
    };
    connection.authorizer(Some(authorizer)).map_err(|error| failed(&error))
}
