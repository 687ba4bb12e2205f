//! How a noun is declared: the table of its rows, once, for both engines.
//!
//! The file of the noun has the declaration; [`crate::nouns`] lists them. From it follow, and are compared with it by tests:
//! the schema that the migrations make (`migrations/*/nouns.sql` shows it), the trigger that writes the change feed, the
//! policies and grants of PostgreSQL and the views and triggers of SQLite that keep tenants apart, and the statement
//! that reads a decision's records. `docs/adding-a-noun.md` walks through one.

#[cfg(test)]
mod compared;
#[cfg(test)]
mod ddl;
mod digest_hash;
#[cfg(test)]
mod planet;
mod reading;

pub(crate) use reading::{InFeed, Name, Recorded, Rows};

use crate::statement::Kind;

/// Every noun there is.
pub(crate) type Nouns = &'static [&'static Noun];

/// A table's declaration.
#[derive(Debug)]
pub(crate) struct Noun {
    /// Its table.
    pub(crate) table: &'static str,
    /// What a row is, for those who read the schema.
    pub(crate) about: &'static str,
    /// Its columns. One called `tenant_id` makes the rows a tenant's. `row_version` comes by itself where there is a feed.
    pub(crate) columns: &'static [Column],
    /// What a row is found by.
    pub(crate) key: &'static [&'static str],
    /// What has to be there: columns of this table, and a table with its columns, `tenant (tenant_id)`.
    pub(crate) references: &'static [(&'static [&'static str], &'static str)],
    /// Further constraints and indices.
    pub(crate) indices: &'static [Index],
    /// What a tenant's transaction may do; of a tenant's rows, with its own.
    pub(crate) tenant: Rights,
    /// What named jobs may do.
    pub(crate) jobs: Rights,
    /// How nodes hear of a change.
    pub(crate) feed: Feed,
    /// Which columns may be set, once, of rows that are otherwise never changed: for what happened.
    pub(crate) fixed_but: Option<&'static [&'static str]>,
    /// Whether it grows for as long as it is used, and which column says since when a row is there: it is read and retired in a lane
    /// of its own, has no versions, and is not in the feed.
    pub(crate) grows_by: Option<&'static str>,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) may_lack: bool,
    pub(crate) default: Option<&'static str>,
    /// As SQL after the column's name: `IN ('live', 'test')`.
    pub(crate) is: Option<&'static str>,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, may_lack: false, default: None, is: None }
}

/// A column of text.
pub(crate) const fn text(name: &'static str) -> Column {
    column(name, Kind::Text)
}

/// A column of whole numbers, or of times in milliseconds.
pub(crate) const fn int(name: &'static str) -> Column {
    column(name, Kind::Int)
}

/// A column of bytes.
pub(crate) const fn blob(name: &'static str) -> Column {
    column(name, Kind::Blob)
}

/// A column of UUIDs.
pub(crate) const fn uuid(name: &'static str) -> Column {
    column(name, Kind::Uuid)
}

/// A column that says yes or no, as 1 or 0, and no unless said otherwise.
pub(crate) const fn truth(name: &'static str) -> Column {
    int(name).or("0").is("IN (0, 1)")
}

impl Column {
    /// May be without a value.
    pub(crate) const fn optional(self) -> Self {
        Self { may_lack: true, ..self }
    }

    /// Has this value, as SQL, unless said otherwise.
    pub(crate) const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// Is nothing else: SQL after the column's name.
    pub(crate) const fn is(self, check: &'static str) -> Self {
        Self { is: Some(check), ..self }
    }
}

/// `state` of what is withdrawn by its state.
pub(crate) const STATE: Column = text("state").or("'active'").is("IN ('active', 'suspended', 'deleted')");

/// An index or a constraint.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Index {
    /// No two rows have the same in these columns: a constraint without a name.
    Unique(&'static str),
    /// Name, columns, and of which rows, if not of all: none of them has the same twice.
    UniqueNamed(&'static str, &'static str, Option<&'static str>),
    /// Name and columns.
    Plain(&'static str, &'static str),
}

/// Which columns somebody may do something with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    None,
    All,
    These(&'static [&'static str]),
}

/// What somebody may do with a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rights {
    pub(crate) select: Columns,
    pub(crate) insert: Columns,
    pub(crate) update: Columns,
    pub(crate) delete: bool,
}

impl Rights {
    /// Nothing.
    pub(crate) const NONE: Self =
        Self { select: Columns::None, insert: Columns::None, update: Columns::None, delete: false };
    /// See it.
    pub(crate) const SEE: Self = Self { select: Columns::All, ..Self::NONE };
    /// See it and add to it.
    pub(crate) const ADD: Self = Self { insert: Columns::All, ..Self::SEE };
    /// See it, add to it and change it.
    pub(crate) const CHANGE: Self = Self { update: Columns::All, ..Self::ADD };
}

/// How nodes hear of a change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Feed {
    /// No decision reads it.
    Silent,
    /// A new or changed row is a line of the feed: of this kind, with the values of these columns for its id; of those rows
    /// only for which this SQL is true of `NEW`, if there is any; since this version of the feed, which a program that reads it
    /// must know of. Older ones pass it over.
    Tells { kind: &'static str, id: &'static [&'static str], only: Option<&'static str>, since: i64 },
    /// Decisions read it with the rows of that table which have the same in these columns: a change is one of each of them. (By the
    /// function of this name on PostgreSQL.)
    Through { table: &'static str, by: &'static [&'static str], function: &'static str },
}

impl Noun {
    /// Whether its rows are a tenant's.
    pub(crate) fn is_of_a_tenant(&self) -> bool {
        self.columns.iter().any(|column| column.name == "tenant_id")
    }

    /// Whether its rows have versions, as decisions read them.
    pub(crate) fn is_versioned(&self) -> bool {
        !matches!(self.feed, Feed::Silent)
    }

    /// The columns that name a row in the feed, with what they are; none of what is not in it.
    pub(crate) fn named_by(&self) -> Vec<Column> {
        let Feed::Tells { id, .. } = self.feed else { return Vec::new() };
        let column = |name: &&'static str| self.columns.iter().find(|column| column.name == *name);
        id.iter().filter_map(column).copied().collect()
    }

    /// What its lines in the feed are called.
    pub(crate) fn kind(&self) -> &'static str {
        match self.feed {
            Feed::Tells { kind, .. } => kind,
            Feed::Silent | Feed::Through { .. } => self.table,
        }
    }
}
