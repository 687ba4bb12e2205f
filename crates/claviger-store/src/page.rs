//! Pages of lists: no unit of work reads more than one.

use claviger::clock::UnixMillis;

use crate::value::Value;

/// How many entries a page has at most.
pub const PAGE: u16 = 500;

/// Before every entry: when it was made, and its id.
pub(crate) const FIRST: (UnixMillis, Value) = (UnixMillis(i64::MIN), Value::Uuid([0; 16]));
