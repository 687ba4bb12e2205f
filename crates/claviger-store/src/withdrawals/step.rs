//! A withdrawal, as a file can hold it.

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// A parameter as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Parameter {
    Null,
    Int(i64),
    Text(String),
    Hex(String),
    Uuid(uuid::Uuid),
}

impl Parameter {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Int(*number),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Blob(bytes) => Self::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            Value::Uuid(bytes) => Self::Uuid(uuid::Uuid::from_bytes(*bytes)),
        }
    }

    pub(crate) fn value(&self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text.clone()),
            Self::Hex(hex) => {
                let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
                let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
                Value::Blob(bytes?)
            }
            Self::Uuid(id) => Value::Uuid(id.into_bytes()),
        })
    }
}

/// A statement that took something away, and what it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) statement: String,
    pub(crate) parameters: Vec<Parameter>,
}

impl Step {
    pub(crate) fn new(statement: &'static str, parameters: &[Value]) -> Self {
        Self { statement: statement.to_owned(), parameters: parameters.iter().map(Parameter::of).collect() }
    }
}

/// What one unit of work withdrew: a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: uuid::Uuid,
    pub(crate) at: i64,
    pub(crate) store: String,
    /// Whose; of nobody in particular if there is none.
    pub(crate) tenant: Option<String>,
    pub(crate) steps: Vec<Step>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_reads_back_from_the_file() {
        for value in [
            Value::Null,
            Value::Int(i64::MIN),
            Value::Text("a \u{e9}\n\"".into()),
            Value::Blob(vec![0, 255, 16]),
            Value::Uuid([7; 16]),
        ] {
            let text = serde_json::to_string(&Parameter::of(&value)).unwrap();
            assert_eq!(serde_json::from_str::<Parameter>(&text).unwrap().value(), Some(value), "{text}");
        }
        assert_eq!(Parameter::Hex("0g".into()).value(), None);
    }
}
