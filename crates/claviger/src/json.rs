//! JSON read strictly: no duplicate member names, no depth beyond a bound, nothing after the end.
//!
//! RFC 8259 leaves it to the reader which of two members of one name counts; where two readers of one token
//! choose differently, a forger chooses. So a document with two is refused (RFC 8725, section 2.4 ff.).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// A strictly read JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number written without fraction and exponent that fits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object: its members in the order they came, each name once.
    Object(Vec<(String, Json)>),
}

/// The text is not JSON as strictly read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not strict JSON")]
pub struct JsonError;

impl Json {
    /// Reads one whole document nested at most `depth` deep, an outermost object counting as one.
    ///
    /// # Errors
    /// On anything that is not exactly one such value, or has two members of one name.
    pub fn parse(text: &[u8], depth: u8) -> Result<Self, JsonError> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let value = Depth(depth).deserialize(&mut deserializer).map_err(|_| JsonError)?;
        deserializer.end().map_err(|_| JsonError)?;
        Ok(value)
    }

    /// The member called `name`, if this is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&[(String, Json)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The items, if this is an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// How deep it is nested: 1 for an object or array without another in it, 0 for anything else.
    pub fn depth(&self) -> u8 {
        let deepest = match self {
            Self::Array(items) => items.iter().map(Self::depth).max(),
            Self::Object(members) => members.iter().map(|(_, value)| value.depth()).max(),
            _ => return 0,
        };
        deepest.unwrap_or(0).saturating_add(1)
    }

    /// The number, if this is a whole one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }
}

/// How many more levels may open.
#[derive(Clone, Copy)]
struct Depth(u8);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate names")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "a number that large is refused wherever it is used")]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inner = Depth(self.0.checked_sub(1).ok_or_else(|| A::Error::custom("too deep"))?);
        let mut found = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            found.push(item);
        }
        Ok(Json::Array(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let inner = Depth(self.0.checked_sub(1).ok_or_else(|| A::Error::custom("too deep"))?);
        let mut found: Vec<(String, Json)> = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            found.push((name, members.next_value_seed(inner)?));
        }
        if has_duplicate(&found) {
            return Err(A::Error::custom("duplicate name"));
        }
        Ok(Json::Object(found))
    }
}

/// Sorts, because a token's header is read before anybody is known: comparing each name with each would let
/// strangers buy a millisecond of ours with one header of 8 KiB.
fn has_duplicate(members: &[(String, Json)]) -> bool {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":1} x"#,
            r#"{"a":1}{"#,
            r#"{"a":[[[[1]]]]}"#,
            "",
            "{",
            "\u{feff}{}",
            r#"{"a":"\ud800"}"#,
        ] {
            assert!(Json::parse(bad.as_bytes(), 4).is_err(), "{bad}");
        }
        assert!(Json::parse(b"{\"a\":\"\xff\"}", 4).is_err());
        assert_eq!(Json::parse(br#"{"a":[[[1]]]}"#, 4).unwrap().depth(), 4);
        assert_eq!(Json::parse(br#"{"a":1,"b":{},"c":[2]}"#, 4).unwrap().depth(), 2);
        assert_eq!(Json::parse(b"1", 1).unwrap().depth(), 0);
    }

    #[test]
    fn only_whole_numbers_are_ints() {
        for (text, whole) in
            [("1", Some(1)), ("1.0", None), ("1e3", None), ("-5", Some(-5)), ("18446744073709551615", None)]
        {
            assert_eq!(Json::parse(text.as_bytes(), 1).unwrap().as_int(), whole, "{text}");
        }
    }
}
