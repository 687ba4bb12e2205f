//! How states are spelt in rows, and the ranges of what people write.

use claviger::directory::{MemberState, State};

use crate::error::StoreError;
use crate::value::Columns;

pub(crate) fn text(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Suspended => "suspended",
        State::Deleted => "deleted",
    }
}

pub(crate) fn member_text(state: MemberState) -> &'static str {
    match state {
        MemberState::Invited => "invited",
        MemberState::Active => "active",
        MemberState::Suspended => "suspended",
        MemberState::Removed => "removed",
    }
}

impl Columns {
    pub(crate) fn state(&mut self, what: &'static str) -> Result<State, StoreError> {
        match self.text()?.as_str() {
            "active" => Ok(State::Active),
            "suspended" => Ok(State::Suspended),
            "deleted" => Ok(State::Deleted),
            _ => Err(StoreError::Corrupt { what }),
        }
    }

    pub(crate) fn member_state(&mut self) -> Result<MemberState, StoreError> {
        match self.text()?.as_str() {
            "invited" => Ok(MemberState::Invited),
            "active" => Ok(MemberState::Active),
            "suspended" => Ok(MemberState::Suspended),
            "removed" => Ok(MemberState::Removed),
            _ => Err(StoreError::Corrupt { what: "membership" }),
        }
    }
}

/// A name that people give and read: 1 to 120 characters, none of them invisible.
///
/// # Errors
/// If it is not.
pub(crate) fn display_name(name: &str) -> Result<String, StoreError> {
    let good = !name.trim().is_empty() && name.chars().count() <= 120 && !name.chars().any(char::is_control);
    if good {
        return Ok(name.trim().to_owned());
    }
    Err(StoreError::Invalid("a name must have 1 to 120 characters, and no control characters".into()))
}
