//! E-mail addresses, as far as a store has to understand them.

use std::fmt;
use std::str::FromStr;

/// An address somebody gave. Two that differ in case are one.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    given: String,
    key: String,
}

impl Email {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// Folded for comparison.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

impl FromStr for Email {
    type Err = String;

    /// One `@` with something on both sides, no spaces or control characters, at most 254 bytes (RFC 5321,
    /// section 4.5.3.1.3). Whether somebody reads it is found out by writing to it.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('@').collect();
        let good = text.len() <= 254
            && matches!(parts.as_slice(), [local, domain] if !local.is_empty() && !domain.is_empty())
            && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if !good {
            return Err("an e-mail address must have the form `name@example.com`".into());
        }
        // The Kelvin sign folds to `k`, and so would make its address somebody else's.
        let passes_for_ascii =
            |c: char| !c.is_ascii() && c.to_lowercase().any(|folded| folded.is_ascii_alphabetic());
        if text.chars().any(passes_for_ascii) {
            return Err(
                "an e-mail address must have no letter that only looks like one from `a` to `z`".into()
            );
        }
        Ok(Self { given: text.to_owned(), key: text.to_lowercase() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_differ_in_case_are_one() {
        let email = |text: &str| text.parse::<Email>().unwrap();
        assert_eq!(email("Ann@Example.com").key(), email("ann@example.COM").key());
        for bad in ["", "ann", "@x", "ann@", "a@b@c", "a b@c", "a\n@b"] {
            assert!(bad.parse::<Email>().is_err(), "{bad}");
        }
    }

    #[test]
    fn store_20_no_letter_passes_for_another_one() {
        for bad in ["mi\u{212a}e@example.com", "\u{130}da@example.com"] {
            assert!(bad.parse::<Email>().unwrap_err().contains("looks like"), "{bad}");
        }
        assert_eq!("J\u{d6}rg@example.com".parse::<Email>().unwrap().key(), "j\u{f6}rg@example.com");
    }
}
