//! Reads what was given for an operation, and spells what it answers.

use std::fmt;

use claviger::clock::UnixMillis;
use claviger_store::Ends;
use claviger_store::versions::Version;
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

/// Reads a word that is one of these.
///
/// # Errors
/// If it is none of them.
pub(crate) fn one_of(
    argument: &str,
    text: Option<&str>,
    words: &[&'static str],
) -> Result<Option<&'static str>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let found = words.iter().find(|word| **word == text);
    let all: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let what = || Failure::argument(argument, text, format!("this is none of {}", all.join(", ")));
    found.copied().map(Some).ok_or_else(what)
}

/// Reads the version that a change hangs on.
///
/// # Errors
/// If it is none.
pub(crate) fn version(text: Option<&str>) -> Result<Option<Version>, Failure> {
    text.map(|text| parse(text, "if_version")).transpose()
}

/// How much a revocation ends.
pub(crate) fn ends(credentials: bool) -> Ends {
    if credentials { Ends::Everything } else { Ends::Tokens }
}
