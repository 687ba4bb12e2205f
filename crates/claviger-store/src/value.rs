//! What goes into a statement and comes out of it, on either engine.

use std::fmt;
use std::str::FromStr;

use claviger::clock::UnixMillis;
use claviger::id::{AccountId, KeyId, OperatorId, OrgId, SessionId, TenantId, TokenId};
use claviger::secret::Secret;

use crate::error::StoreError;

/// A parameter or a column.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
    Uuid([u8; 16]),
}

impl fmt::Debug for Value {
    /// The kind alone: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Int(_) => "Int(..)",
            Self::Text(_) => "Text(..)",
            Self::Blob(_) => "Blob(..)",
            Self::Uuid(_) => "Uuid(..)",
        })
    }
}

macro_rules! from_uuid {
    ($($id:ty),*) => { $(
        impl From<$id> for Value {
            fn from(id: $id) -> Self {
                Self::Uuid(*id.as_bytes())
            }
        }
    )* };
}
from_uuid!(TenantId, OrgId, AccountId, SessionId, TokenId, KeyId, OperatorId);

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Int(i64::from(truth))
    }
}

impl From<UnixMillis> for Value {
    fn from(time: UnixMillis) -> Self {
        Self::Int(time.0)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(maybe: Option<T>) -> Self {
        maybe.map_or(Self::Null, Into::into)
    }
}

/// Parameters in order: `values![tenant, name, expires_at]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::value::Value::from($value)),*] };
}
pub(crate) use values;

/// One row of an answer.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) noun: &'static str,
    pub(crate) columns: Vec<Value>,
}

impl Row {
    /// Reads the columns from the left; each read takes the next one.
    pub(crate) fn read(self) -> Columns {
        Columns { noun: self.noun, columns: self.columns.into_iter() }
    }
}

/// The columns of a row that were not read yet.
pub(crate) struct Columns {
    noun: &'static str,
    columns: std::vec::IntoIter<Value>,
}

impl Columns {
    fn corrupt(&self) -> StoreError {
        StoreError::Corrupt { what: self.noun }
    }

    fn next(&mut self) -> Result<Value, StoreError> {
        self.columns.next().ok_or(StoreError::Corrupt { what: self.noun })
    }

    /// A text, or a UUID in its spelling.
    pub(crate) fn text(&mut self) -> Result<String, StoreError> {
        self.maybe_text()?.ok_or_else(|| self.corrupt())
    }

    pub(crate) fn maybe_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.next()? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Uuid(bytes) => Ok(Some(uuid::Uuid::from_bytes(bytes).to_string())),
            Value::Int(_) | Value::Blob(_) => Err(self.corrupt()),
        }
    }

    pub(crate) fn int(&mut self) -> Result<i64, StoreError> {
        self.maybe_int()?.ok_or_else(|| self.corrupt())
    }

    pub(crate) fn maybe_int(&mut self) -> Result<Option<i64>, StoreError> {
        match self.next()? {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(number)),
            Value::Text(_) | Value::Blob(_) | Value::Uuid(_) => Err(self.corrupt()),
        }
    }

    pub(crate) fn truth(&mut self) -> Result<bool, StoreError> {
        match self.int()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.corrupt()),
        }
    }

    pub(crate) fn time(&mut self) -> Result<UnixMillis, StoreError> {
        self.int().map(UnixMillis)
    }

    pub(crate) fn maybe_time(&mut self) -> Result<Option<UnixMillis>, StoreError> {
        Ok(self.maybe_int()?.map(UnixMillis))
    }

    pub(crate) fn blob(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.next()? {
            Value::Blob(bytes) => Ok(bytes),
            Value::Null | Value::Text(_) | Value::Int(_) | Value::Uuid(_) => Err(self.corrupt()),
        }
    }

    pub(crate) fn maybe_blob(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.next()? {
            Value::Null => Ok(None),
            Value::Blob(bytes) => Ok(Some(bytes)),
            Value::Text(_) | Value::Int(_) | Value::Uuid(_) => Err(self.corrupt()),
        }
    }

    pub(crate) fn secret_text(&mut self) -> Result<Option<Secret>, StoreError> {
        Ok(self.maybe_text()?.map(|text| Secret::new(text.into_bytes())))
    }

    /// Whatever reads itself from text: ids, names, states.
    pub(crate) fn parse<T: FromStr>(&mut self) -> Result<T, StoreError> {
        self.text()?.parse().map_err(|_| self.corrupt())
    }

    /// The same of what may be missing.
    pub(crate) fn maybe_parse<T: FromStr>(&mut self) -> Result<Option<T>, StoreError> {
        let text = self.maybe_text()?;
        text.map(|text| text.parse()).transpose().map_err(|_| self.corrupt())
    }

    /// A key's id, which is spelt unlike other UUIDs.
    pub(crate) fn key_id(&mut self) -> Result<KeyId, StoreError> {
        format!("key_{}", self.text()?.replace('-', "")).parse().map_err(|_| self.corrupt())
    }
}
