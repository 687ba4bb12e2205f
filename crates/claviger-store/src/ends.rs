//! What one act ends, all at once: a floor in the one row of whom it is about, however much hangs on it.

use claviger::clock::UnixMillis;
use claviger::directory::Floor;

use crate::error::StoreError;
use crate::noun::{Column, int};
use crate::value::Columns;

/// The columns of a floor, wherever there is one.
pub(crate) const FLOOR: [Column; 3] =
    [int("generation").or("1"), int("tokens_from").or("0"), int("credentials").or("1")];

/// Reads the columns of a floor: generation, the time from which tokens count, and the number of credentials.
///
/// # Errors
/// If something else is in them.
pub(crate) fn floor(columns: &mut Columns) -> Result<Floor, StoreError> {
    Ok(Floor { generation: columns.int()?, tokens_from: columns.time()?, credentials: columns.int()? })
}

/// How much is ended of what a tenant, organization, account or member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Its sessions, with their identity tokens, and the tokens that other issuers have issued.
    Tokens,
    /// Its API keys and user tokens besides. New ones can be made at once.
    Everything,
}

impl Ends {
    /// By how much the number rises that keys and user secrets are made under.
    pub(crate) fn credentials(self) -> i64 {
        match self {
            Self::Tokens => 0,
            Self::Everything => 1,
        }
    }

    /// What the audit says of it besides.
    pub(crate) fn details(self) -> serde_json::Value {
        serde_json::json!({ "credentials": self == Self::Everything })
    }
}

/// Where a time floor goes if tokens end `now`: the first second after. Another issuer's tokens are made under no
/// generation and name their time in whole seconds. By how much the issuer's clock may go ahead is for the door to add,
/// as the API's settings say it.
pub(crate) fn floor_after(now: UnixMillis) -> UnixMillis {
    UnixMillis::from_seconds(now.seconds().saturating_add(1))
}
