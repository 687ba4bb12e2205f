//! An operation to be asked for, on its way to whoever carries it out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Failure, FailureKind};

/// An operation to be asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Which.
    #[serde(rename = "operation")]
    pub(crate) id: String,
    /// What it is given.
    pub(crate) input: Value,
    /// How many are wanted of what is listed; all, if nobody says.
    #[serde(skip)]
    pub(crate) most: Option<usize>,
    /// The key under which it is done once, however often it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency_key: Option<String>,
    /// Whether the answer is to come when every server has applied it.
    #[serde(default)]
    pub(crate) waits: bool,
}

impl Asked {
    /// The operation of that name.
    pub(crate) fn new(id: &str, input: Value) -> Self {
        Self { id: id.to_owned(), input, most: None, idempotency_key: None, waits: false }
    }

    /// A verb of `noun`, as a command line was parsed: its options have the names that the management API has.
    ///
    /// # Errors
    /// If its options contradict each other.
    pub(crate) fn of(noun: &str, command: &impl Serialize) -> Result<Self, Failure> {
        let broken = || Failure::of(FailureKind::Broken, "this command cannot be spelt");
        match serde_json::to_value(command).map_err(|error| Failure::new(error.to_string()))? {
            Value::Object(members) => {
                let (verb, input) = members.into_iter().next().ok_or_else(broken)?;
                Ok(Self::new(&format!("{noun}.{verb}"), input))
            }
            Value::String(verb) => Ok(Self::new(&format!("{noun}.{verb}"), serde_json::json!({}))),
            _ => Err(broken()),
        }
    }

    /// The same, from where a page ended, as long as there can be.
    pub(crate) fn reading_on(&self, after: Option<&str>) -> Self {
        let mut input = self.input.clone();
        if let Some(members) = input.as_object_mut()
            && let Some(after) = after
        {
            members.insert("after".into(), after.into());
        }
        let idempotency_key = self.idempotency_key.clone();
        Self { id: self.id.clone(), input, most: self.most, idempotency_key, waits: self.waits }
    }
}
