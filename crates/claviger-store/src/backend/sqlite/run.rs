//! One statement, run to its end.

use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::errors;
use crate::error::StoreError;
use crate::statement::Statement;
use crate::value::{Row, Value};

/// Prepares, binds and runs a statement, and reads every row of it.
pub(crate) fn run(
    connection: &Connection,
    statement: &'static Statement,
    params: &[Value],
) -> Result<Vec<Row>, StoreError> {
    let answer = (|| {
        let mut prepared = connection.prepare_cached(statement.for_sqlite())?;
        // The authorizer is not asked about EXPLAIN, which tells how the walls are made.
        if prepared.is_explain() != 0 {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let mut rows = prepared.query(rusqlite::params_from_iter(params))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let width = row.as_ref().column_count();
            let columns =
                (0..width).map(|at| row.get_ref(at).map(value_of)).collect::<Result<Vec<_>, _>>()?;
            found.push(columns);
        }
        Ok(found)
    })();
    let found = answer.map_err(|error| errors::of(&error, statement.noun))?;
    let row = |columns: Option<Vec<Value>>| {
        columns
            .map(|columns| Row { noun: statement.noun, columns })
            .ok_or(StoreError::Corrupt { what: statement.noun })
    };
    found.into_iter().map(|columns| row(columns.into_iter().collect())).collect()
}

/// `None` for what our tables never hold: a fraction, or text that is not UTF-8.
fn value_of(column: ValueRef<'_>) -> Option<Value> {
    match column {
        ValueRef::Null => Some(Value::Null),
        ValueRef::Integer(number) => Some(Value::Int(number)),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(Value::from),
        ValueRef::Blob(bytes) => Some(Value::from(bytes)),
        ValueRef::Real(_) => None,
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Int(number) => ToSqlOutput::Owned((*number).into()),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Uuid(bytes) => ToSqlOutput::Owned(uuid::Uuid::from_bytes(*bytes).to_string().into()),
        })
    }
}
