//! Why something could not be done, for the person who asked for it.

use std::fmt;

use claviger_store::StoreError;
use serde::{Deserialize, Serialize};

/// What kind of failure it is; each is one status in the management API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// What was asked cannot be read, or names what the settings do not have: 400.
    Invalid,
    /// Nobody is known who asks: 401.
    Unauthenticated,
    /// Whoever asks may not: 403.
    Forbidden,
    /// What whoever asks was granted does not reach that far: 403.
    NotGranted,
    /// There is none, or none that whoever asks may know of: 404.
    NotFound,
    /// It stands against what is there: 409.
    Conflict,
    /// It was edited since whoever asks has seen it: 412.
    Outdated,
    /// Something else was asked for under the same idempotency key: 422.
    Reused,
    /// Too often: 429.
    TooMany,
    /// The store does not answer, or nothing is granted for now: 503. Nothing was changed.
    Unavailable,
    /// Something is broken here: 500.
    Broken,
}

/// The argument that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name, as the management API has it.
    pub name: String,
    /// What was given for it.
    pub value: String,
}

/// Why something could not be done, and what to do about it. One line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it is. Servers of before say none.
    #[serde(default = "any")]
    pub kind: FailureKind,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
    /// Which argument is wrong, if it is one.
    pub argument: Option<Argument>,
    /// When to come back, in seconds, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
}

fn any() -> FailureKind {
    FailureKind::Invalid
}

impl Failure {
    /// Of a kind, without a hint.
    pub fn of(kind: FailureKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: None, argument: None, retry_after_seconds: None }
    }

    /// Of what was asked or what the settings say, without a hint.
    pub fn new(what: impl Into<String>) -> Self {
        Self::of(FailureKind::Invalid, what)
    }

    /// Of an argument.
    pub fn argument(name: &str, value: &str, what: impl Into<String>) -> Self {
        let argument = Argument { name: name.to_owned(), value: value.to_owned() };
        Self { argument: Some(argument), ..Self::new(what) }
    }

    /// With when to come back.
    #[must_use]
    pub fn after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    /// As the command line says it: with the argument as it stands there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.argument {
            None => f.write_str(&self.what),
            Some(Argument { name, value }) => {
                let option = match name.as_str() {
                    // What needs no name on the command line.
                    "key" | "operator" => name.to_uppercase(),
                    "member" => "--email".to_owned(),
                    other => format!("--{}", other.replace('_', "-")),
                };
                write!(f, "`{option} {value}`: {}", self.what)
            }
        }
    }
}

impl std::error::Error for Failure {}

/// What the system complained of, in its own words.
pub(crate) fn complaint(error: &std::io::Error) -> String {
    let text = error.to_string();
    // The number behind the words says nothing more.
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let what = error.to_string();
        match error {
            StoreError::Unavailable { .. } => Self::of(FailureKind::Unavailable, what)
                .hint("nothing was changed; try again when the store answers"),
            StoreError::ClockOff(_) => Self::of(FailureKind::Unavailable, what)
                .hint("set this machine's clock right, or the database's, and try again"),
            StoreError::UnknownOutcome => {
                Self::of(FailureKind::Broken, what).hint("look whether it is there before you try again")
            }
            StoreError::NotFound { .. } => Self::of(FailureKind::NotFound, what),
            StoreError::AlreadyExists { .. } | StoreError::Refused { .. } => {
                Self::of(FailureKind::Conflict, what)
            }
            StoreError::Edited { .. } => {
                Self::of(FailureKind::Outdated, what).hint("look at it again, and change what you see then")
            }
            StoreError::Invalid(_) => Self::new(what),
            StoreError::Corrupt { .. } | StoreError::Setup(_) => Self::of(FailureKind::Broken, what),
        }
    }
}
