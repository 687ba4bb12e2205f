//! What came of an operation, on its way back to whoever asked for it over a socket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::management::Outcome;

/// The longest question or answer, in bytes.
pub(crate) const MAX_LINE: u64 = 64 << 20;

/// What it gave, or why it failed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Done(Value),
    Failed(Failure),
}

/// An answer with how far the store's changes have come, if something was changed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answered {
    #[serde(flatten)]
    pub(crate) answer: Answer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
    /// Which servers have not applied it, if that was waited for and somebody knows; names, or why nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) behind: Option<String>,
}

impl From<Result<Outcome, Failure>> for Answered {
    fn from(outcome: Result<Outcome, Failure>) -> Self {
        match outcome {
            Ok(Outcome { value, revision, .. }) => {
                Self { answer: Answer::Done(value), revision, behind: None }
            }
            Err(failure) => Self { answer: Answer::Failed(failure), revision: None, behind: None },
        }
    }
}
