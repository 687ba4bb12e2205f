//! Reads what was given for an operation, and spells what it answers.

use std::fmt;

use claviger::clock::UnixMillis;
use claviger_store::Ends;
use serde::{Deserialize, Deserializer};

use crate::failure::Failure;

/// Reads an argument.
///
/// # Errors
/// Naming the argument, if it is not of the form it must have.
pub fn parse<T>(text: &str, argument: &str) -> Result<T, Failure>
where
    T: std::str::FromStr<Err: fmt::Display>,
{
    text.parse().map_err(|error: T::Err| Failure::argument(argument, text, error.to_string()))
}

/// Reads a time.
///
/// # Errors
/// If it is none.
pub(crate) fn time(text: &str, argument: &str) -> Result<UnixMillis, Failure> {
    let parsed = text.parse::<jiff::Timestamp>().map_err(|_| {
        Failure::argument(argument, text, "this is no time")
            .hint("write it as RFC 3339 does, such as 2030-01-31T12:00:00Z")
    })?;
    Ok(UnixMillis(parsed.as_millisecond()))
}

/// Reads a number that stands in a query, where everything is text, or in a body.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Number(u16),
        Text(String),
    }
    match Option::<Given>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Given::Number(number)) => Ok(Some(number)),
        Some(Given::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// How much a revocation ends.
pub(crate) fn ends(credentials: bool) -> Ends {
    if credentials { Ends::Everything } else { Ends::Tokens }
}
