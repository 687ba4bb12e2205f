//! Pages of lists: no unit of work reads more than one.

use claviger::clock::UnixMillis;

use crate::value::Value;

/// How many entries a page has at most.
pub const PAGE: u16 = 500;

/// Behind which entry a page begins: when that one was made, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// When it was made.
    pub created_at: UnixMillis,
    /// Its id, as bytes.
    pub id: [u8; 16],
}

impl After {
    /// The parameters of a statement that reads a page: a time and an id.
    pub(crate) fn parameters(after: Option<Self>) -> (UnixMillis, Value) {
        let Self { created_at, id } = after.unwrap_or(Self { created_at: UnixMillis(i64::MIN), id: [0; 16] });
        (created_at, Value::Uuid(id))
    }
}

/// As a statement has a limit: at least one, and no more than a page.
pub(crate) fn limited(limit: u16) -> i64 {
    i64::from(limit.clamp(1, PAGE))
}
