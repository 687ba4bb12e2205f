//! How a decision's record is read from the rows of its noun.

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::Arc;

use claviger::api_key::KeyDigest;
use claviger::directory::{Kind, Part};
use claviger::id::{AccountId, OrgId, RealmName, SessionId, TenantId, TokenId};
use serde_json::Value as Json;

use super::Noun;
use super::digest_hash::DigestHash;
use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::statement::{self, Reach, Statement};
use crate::value::Columns;

/// Which rows a record is read from, as `r`, and which columns of them.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Where they are.
    pub(crate) noun: &'static Noun,
    /// What is read, after the name and the version.
    pub(crate) columns: &'static str,
    /// What is read with them: `JOIN … ON …`.
    pub(crate) with: &'static str,
    /// Which of them there are for a decision: `r.linked = 1`. All if it is empty.
    pub(crate) only: &'static str,
}

impl Rows {
    /// The statement that reads many at once. Their names go in as one JSON array of arrays, which both engines can
    /// join with.
    pub(crate) fn load(&self, name: &'static str) -> Statement {
        let (mut wanted, mut sqlite, mut postgres) = (String::new(), String::new(), String::new());
        for (at, column) in self.noun.named_by().iter().enumerate() {
            let name = column.name;
            let and = if at == 0 { "" } else { " AND " };
            // Writing to a text cannot fail.
            let _ = write!(wanted, "r.{name}, ");
            let _ = match column.kind {
                statement::Kind::Uuid => write!(sqlite, "{and}r.{name} = j.value ->> {at}")
                    .and(write!(postgres, "{and}r.{name} = CAST(j.value ->> {at} AS uuid)")),
                statement::Kind::Blob => write!(sqlite, "{and}r.{name} = unhex(j.value ->> {at})")
                    .and(write!(postgres, "{and}r.{name} = decode(j.value ->> {at}, 'hex')")),
                statement::Kind::Text | statement::Kind::Int => {
                    write!(sqlite, "{and}r.{name} = j.value ->> {at}")
                        .and(write!(postgres, "{and}r.{name} = j.value ->> {at}"))
                }
            };
        }
        let (table, columns, with) = (self.noun.table, self.columns, self.with);
        let with = if with.is_empty() { String::new() } else { format!(" {with}") };
        let only = if self.only.is_empty() { String::new() } else { format!(" WHERE {}", self.only) };
        let sql = |ids: &str, on: &str| {
            format!(
                "SELECT {wanted}r.row_version, {columns} FROM {ids} JOIN {table} AS r ON {on}{with}{only}"
            )
        };
        Statement::made(
            name,
            Reach::System,
            "record",
            &[statement::Kind::Text],
            sql("json_each($1) AS j", &sqlite),
            sql("jsonb_array_elements(CAST($1 AS jsonb)) AS j(value)", &postgres),
        )
    }
}

/// A kind of record that decisions read: where its rows are, and how one is read. In the file of its noun.
pub(crate) trait Recorded: Kind + Sized {
    /// What one is found by: the parts of its subject.
    type Name: Name;

    /// Which rows, and which of their columns.
    const ROWS: Rows;

    /// Reads the columns of [`Rows::columns`].
    ///
    /// # Errors
    /// If something else is in them.
    fn read(name: &Self::Name, columns: &mut Columns, keyring: &Keyring) -> Result<Self, StoreError>;

    /// The tenant whose share of a node's memory it takes up. Records of no tenant share one share.
    fn tenant(&self) -> Option<TenantId>;

    /// Whether it is the record of that name, as far as it says itself. A store that answered one tenant's question with
    /// another tenant's row is not believed.
    fn is_of(&self, name: &Self::Name) -> bool;

    /// Whether both say the same.
    fn agrees_with(&self, other: &Self) -> bool;
}

/// A part of a name, as the feed and the statements spell it.
pub(crate) trait InFeed: Part {
    /// How it is hashed where it is all of a name.
    type Hash: BuildHasher + Default + Clone + Send + Sync + 'static;

    /// As the feed spells it.
    fn spell(&self) -> String;

    /// Reads what the feed spells.
    fn from_feed(text: &str) -> Option<Self>;

    /// Reads it from a column.
    ///
    /// # Errors
    /// If something else is in it.
    fn from_column(columns: &mut Columns) -> Result<Self, StoreError>;

    /// The text, if others choose it as they like.
    fn chosen(&self) -> Option<&str> {
        None
    }
}

macro_rules! ids {
    ($($id:ty),*) => {$(
        impl InFeed for $id {
            type Hash = RandomState;

            fn spell(&self) -> String {
                self.to_string()
            }

            fn from_feed(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn from_column(columns: &mut Columns) -> Result<Self, StoreError> {
                columns.parse()
            }
        }
    )*};
}
ids!(TenantId, OrgId, AccountId, SessionId, TokenId, RealmName);

impl InFeed for KeyDigest {
    type Hash = DigestHash;

    /// In lower-case hexadecimal.
    fn spell(&self) -> String {
        self.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_feed(hex: &str) -> Option<Self> {
        let byte = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
        Self::from_bytes(&bytes?)
    }

    fn from_column(columns: &mut Columns) -> Result<Self, StoreError> {
        Self::from_bytes(&columns.blob()?).ok_or(StoreError::Corrupt { what: "digest" })
    }
}

impl InFeed for Arc<str> {
    type Hash = RandomState;

    fn spell(&self) -> String {
        self.to_string()
    }

    fn from_feed(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn from_column(columns: &mut Columns) -> Result<Self, StoreError> {
        Ok(columns.text()?.into())
    }

    fn chosen(&self) -> Option<&str> {
        Some(self)
    }
}

/// Separates the parts of a name in the feed. Cannot occur in any id or issuer that is accepted.
const SEPARATOR: char = '\n';

/// All parts of a name.
pub(crate) trait Name: Sized {
    /// How it is hashed.
    type Hash: BuildHasher + Default + Clone + Send + Sync + 'static;

    /// Each part, as the feed spells it.
    fn parts(&self) -> Vec<String>;

    /// Reads what the feed spells.
    fn from_feed(id: &str) -> Option<Self>;

    /// Reads it from columns.
    ///
    /// # Errors
    /// If something else is in them.
    fn from_columns(columns: &mut Columns) -> Result<Self, StoreError>;

    /// The parts that others choose as they like.
    fn chosen(&self) -> Vec<&str>;

    /// As the feed has it: the parts, joined by line feeds.
    fn in_feed(&self) -> String {
        self.parts().join("\n")
    }

    /// As a statement has it.
    fn in_statement(&self) -> Json {
        self.parts().into()
    }

    /// Whether a row of this name could have been stored at all: no name that the store takes holds control characters,
    /// and one engine cannot even be asked for a NUL.
    fn can_exist(&self) -> bool {
        !self.chosen().iter().any(|text| text.chars().any(char::is_control))
    }
}

macro_rules! names {
    ($(($($part:ident)+): $hash:ty;)*) => {$(
        #[expect(non_snake_case, reason = "the types' names are the parts' names")]
        impl<$($part: InFeed),+> Name for ($($part,)+) {
            type Hash = $hash;

            fn parts(&self) -> Vec<String> {
                let ($($part,)+) = self;
                vec![$($part.spell()),+]
            }

            fn from_feed(id: &str) -> Option<Self> {
                let mut parts = id.split(SEPARATOR);
                let name = ($($part::from_feed(parts.next()?)?,)+);
                parts.next().is_none().then_some(name)
            }

            fn from_columns(columns: &mut Columns) -> Result<Self, StoreError> {
                Ok(($($part::from_column(columns)?,)+))
            }

            fn chosen(&self) -> Vec<&str> {
                let ($($part,)+) = self;
                [$($part.chosen()),+].into_iter().flatten().collect()
            }
        }
    )*};
}
names! {
    (A): A::Hash;
    (A B): RandomState;
    (A B C): RandomState;
    (A B C D): RandomState;
}
