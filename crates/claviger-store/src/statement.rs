//! Every SQL text there is, by name: what it is for, what it takes, and how each engine spells it.
//!
//! Nothing else is ever sent to an engine once it is set up. One text serves both engines wherever both accept
//! it; `$n` becomes SQLite's `?n`, because SQLite numbers `$n` by first appearance.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use crate::value::Value;

/// What a statement's parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number, a time in milliseconds, or a truth as 0 or 1.
    Int,
    /// Text.
    Text,
    /// Bytes.
    Blob,
    /// A UUID.
    Uuid,
}

/// Whose rows a statement may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One tenant's: `$1` is its id, and the engine holds the statement to it too.
    Tenant,
    /// Rows that belong to no tenant, or to all: for named jobs.
    System,
    /// The few rows without a tenant that a tenant's transaction may find or make.
    Shared,
}

/// One SQL text.
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    pub(crate) reach: Reach,
    /// What a row of it is called in errors: `API key`.
    pub(crate) noun: &'static str,
    pub(crate) params: &'static [Kind],
    pub(crate) sql: Cow<'static, str>,
    /// Where Postgres needs words of its own.
    pub(crate) postgres: Option<Cow<'static, str>>,
    pub(crate) for_sqlite: OnceLock<String>,
    /// Whether it takes something away that somebody may have relied on: what a node acknowledges of it has to outlive the
    /// store. Done twice it takes away no more.
    pub(crate) withdraws: bool,
    /// Whether it lets somebody in who was not, or not as far: nobody does that while clocks disagree.
    pub(crate) grants: bool,
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({})", self.name)
    }
}

impl Statement {
    /// Whether these parameters take something away: a state that is `active` gives back.
    pub(crate) fn withdraws(&self, parameters: &[Value]) -> bool {
        let gives_back = self.sql.contains("SET state = $") && parameters.contains(&Value::from("active"));
        self.withdraws && !gives_back
    }

    /// Whether these parameters let somebody in.
    pub(crate) fn grants(&self, parameters: &[Value]) -> bool {
        self.grants || self.withdraws && !self.withdraws(parameters)
    }

    /// A statement that takes nothing away and lets nobody in, and whose texts follow from something else.
    pub(crate) fn made(
        name: &'static str,
        reach: Reach,
        noun: &'static str,
        params: &'static [Kind],
        sql: String,
        postgres: String,
    ) -> Self {
        Self {
            name,
            reach,
            noun,
            params,
            sql: sql.into(),
            postgres: Some(postgres.into()),
            for_sqlite: OnceLock::new(),
            withdraws: false,
            grants: false,
        }
    }

    /// The text as Postgres takes it.
    pub(crate) fn for_postgres(&self) -> &str {
        self.postgres.as_deref().unwrap_or(&self.sql)
    }

    /// The text as SQLite takes it.
    pub(crate) fn for_sqlite(&self) -> &str {
        self.for_sqlite.get_or_init(|| numbered(&self.sql))
    }
}

/// `$n` rewritten to `?n`. A `$` that no digit follows stays: JSON paths begin with one.
fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut characters = sql.chars().peekable();
    while let Some(character) = characters.next() {
        let is_parameter = character == '$' && characters.peek().is_some_and(char::is_ascii_digit);
        out.push(if is_parameter { '?' } else { character });
    }
    out
}

/// Declares statements and `STATEMENTS`, the list of them: `statements! { "noun"; NAME: Tenant [Uuid] "SELECT …"; }`.
/// A second text after `postgres` is that engine's own. `withdraws` or `grants` before
/// the text marks what takes something away, or lets somebody in.
macro_rules! statements {
    ($noun:literal; $($(#[$doc:meta])* $name:ident: $reach:ident [$($kind:ident),*] $($does:ident)? $sql:literal $(postgres $postgres:expr)?;)*) => {
        $(
            $(#[$doc])*
            pub(crate) static $name: $crate::statement::Statement = $crate::statement::Statement {
                name: stringify!($name),
                reach: $crate::statement::Reach::$reach,
                noun: $noun,
                params: &[$($crate::statement::Kind::$kind),*],
                sql: std::borrow::Cow::Borrowed($sql),
                postgres: $crate::statement::statements!(@own $($postgres)?),
                for_sqlite: std::sync::OnceLock::new(),
                withdraws: $crate::statement::statements!(@withdraws $($does)?),
                grants: $crate::statement::statements!(@grants $($does)?),
            };
        )*

        /// The statements of this file.
        pub(crate) static STATEMENTS: &[&$crate::statement::Statement] = &[$(&$name),*];
    };
    (@withdraws) => { false };
    (@withdraws withdraws) => { true };
    (@withdraws grants) => { false };
    (@grants) => { false };
    (@grants withdraws) => { false };
    (@grants grants) => { true };
    (@own) => { None };
    (@own $sql:expr) => { Some(std::borrow::Cow::Borrowed($sql)) };
}
pub(crate) use statements;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_as_they_are_written() {
        assert_eq!(numbered("SELECT $2, $1, $10 || '$' || '$.a'"), "SELECT ?2, ?1, ?10 || '$' || '$.a'");
    }

    #[test]
    fn each_statement_of_a_tenant_names_the_tenant_in_every_part() {
        for statement in crate::registry::statements().filter(|statement| statement.reach == Reach::Tenant) {
            let (name, sql) = (statement.name, &statement.sql);
            assert_eq!(statement.params.first(), Some(&Kind::Uuid), "{name}: $1 is the tenant");
            let inserts = sql.contains("INSERT INTO");
            let bound = sql.contains("tenant_id = $1")
                || (inserts && sql.contains("(tenant_id,") && sql.contains("($1,"));
            assert!(bound, "{name} does not hold itself to `tenant_id = $1`");
            assert!(!sql.to_ascii_uppercase().contains("OR REPLACE"), "{name} replaces");
        }
    }

    #[test]
    fn what_makes_a_tenants_row_says_whether_that_lets_somebody_in() {
        // Nobody is let in by these alone.
        let idle =
            ["AUDIT_ADD", "ORG_ADD", "ACCOUNT_ENSURE", "WITHDRAWAL_ADD", "ANNOTATION_BEGIN", "MAIL_ADD"];
        let makes = crate::registry::statements()
            .filter(|statement| statement.reach != Reach::System && statement.sql.contains("INSERT INTO"));
        for Statement { name, grants, withdraws, .. } in makes {
            assert_ne!(idle.contains(name), grants | withdraws, "{name}");
        }
    }

    #[test]
    fn every_statement_has_a_name_of_its_own_and_as_many_parameters_as_it_says() {
        let mut names = std::collections::HashSet::new();
        for statement in crate::registry::statements() {
            assert!(names.insert(statement.name), "{} is there twice", statement.name);
            for text in [&*statement.sql, statement.for_postgres()] {
                for n in 1..=statement.params.len() {
                    assert!(text.contains(&format!("${n}")), "{}: ${n} is not used", statement.name);
                }
                assert!(
                    !text.contains(&format!("${}", statement.params.len() + 1)),
                    "{}: too few parameters",
                    statement.name
                );
            }
        }
    }
}
