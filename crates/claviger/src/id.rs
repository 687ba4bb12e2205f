//! Names and numbers of the things a decision is about.
//!
//! Each is a type of its own, so that an organization's id cannot stand where a tenant's belongs. Parsing is
//! strict: one spelling per value, so that two spellings of one id never pass for two ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::random::Random;

/// Why a text is not the id or name it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {form}")]
pub struct IdError {
    what: &'static str,
    form: &'static str,
}

/// A version 4 UUID in its canonical lower-case, hyphenated spelling (RFC 9562, section 4); upper case is
/// accepted on the way in.
fn parse_uuid_v4(text: &str) -> Option<[u8; 16]> {
    parse_uuid(text, &[4])
}

fn parse_uuid(text: &str, versions: &[usize]) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let uuid = uuid::Uuid::try_parse(text).ok()?;
    let is_one = versions.contains(&uuid.get_version_num()) && uuid.get_variant() == uuid::Variant::RFC4122;
    is_one.then(|| uuid.into_bytes())
}

fn random_uuid_v4(random: &dyn Random) -> [u8; 16] {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes()
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A fresh one: a version 4 UUID.
            pub fn generate(random: &dyn Random) -> Self {
                Self(random_uuid_v4(random))
            }

            /// The sixteen bytes, most significant first.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads what [`as_bytes`](Self::as_bytes) gives; `None` if it is no version 4 UUID.
            pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
                let uuid = uuid::Uuid::from_bytes(bytes);
                let is_one = uuid.get_version_num() == 4 && uuid.get_variant() == uuid::Variant::RFC4122;
                is_one.then_some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                uuid::Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_uuid_v4(text).map(Self).ok_or(IdError { what: $what, form: "a version 4 UUID" })
            }
        }
    };
}

uuid_id!(
    /// A tenant: one customer's isolated workspace.
    TenantId,
    "a tenant id"
);
uuid_id!(
    /// An organization within a tenant.
    OrgId,
    "an organization id"
);
uuid_id!(
    /// A person's account, which belongs to a realm.
    AccountId,
    "an account id"
);
uuid_id!(
    /// A signed-in session, named in an identity token's `sid`.
    SessionId,
    "a session id"
);
uuid_id!(
    /// Somebody who operates this server, or a program that does.
    OperatorId,
    "an operator's id"
);
/// One identity token: one of our own by its `jti` (RFC 7519, section 4.1.7), a version 4 UUID; another issuer's by a
/// version 8 UUID (RFC 9562, section 5.8) that stands for its issuer and its `jti`, which may be any text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId([u8; 16]);

impl TokenId {
    /// A fresh one, for a token of our own.
    pub fn generate(random: &dyn Random) -> Self {
        Self(random_uuid_v4(random))
    }

    /// The one that stands for another issuer's token: the first bits of SHA-256 over issuer and `jti`.
    pub fn foreign(issuer: &str, jti: &str) -> Self {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        // The length keeps two pairs apart that run together to the same text.
        context.update(&(issuer.len() as u64).to_be_bytes());
        context.update(issuer.as_bytes());
        context.update(jti.as_bytes());
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
    }

    /// The sixteen bytes, most significant first.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether it is one of our own.
    pub fn is_own(&self) -> bool {
        uuid::Uuid::from_bytes(self.0).get_version_num() == 4
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { what: "a token id", form: "a version 4 or 8 UUID" };
        parse_uuid(text, &[4, 8]).map(Self).ok_or(error)
    }
}

/// An API key's stable id. It outlives its secrets: limits, usage and audit hang on it. Spelt `key_` and 32
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// A fresh one.
    pub fn generate(random: &dyn Random) -> Self {
        Self(random_uuid_v4(random))
    }

    /// The sixteen bytes behind the spelling.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key_{}", uuid::Uuid::from_bytes(self.0).as_simple())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { what: "a key id", form: "`key_` and 32 hexadecimal digits" };
        let digits = text.strip_prefix("key_").filter(|digits| digits.len() == 32).ok_or(error.clone())?;
        uuid::Uuid::try_parse(digits).map(|uuid| Self(uuid.into_bytes())).map_err(|_| error)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $first:expr, $rest:expr, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { what: $what, form: $form };
                let first: fn(char) -> bool = $first;
                let rest: fn(char) -> bool = $rest;
                let mut characters = text.chars();
                let starts_well = characters.next().is_some_and(first);
                if text.len() > $max || !starts_well || !characters.all(rest) {
                    return Err(error);
                }
                Ok(Self(text.into()))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

fn lower(c: char) -> bool {
    c.is_ascii_lowercase()
}

fn slug(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

name!(
    /// A realm: tenants, accounts and signing keys belong to one, and other realms are unknown to it.
    RealmName, "a realm", 32, lower, slug,
    "at most 32 lower-case letters, digits and hyphens, beginning with a letter"
);
name!(
    /// One public API surface of this server.
    ApiName, "an API name", 32, lower, slug,
    "at most 32 lower-case letters, digits and hyphens, beginning with a letter"
);
name!(
    /// What a route acts on: `orders`, `leads`.
    Resource, "a resource", 64, lower, |c| slug(c) || c == '_',
    "at most 64 lower-case letters, digits, hyphens and underscores, beginning with a letter"
);
name!(
    /// A tariff: which limits a tenant has.
    PlanName, "a plan", 64, |c| c.is_ascii_alphanumeric(), word,
    "at most 64 letters, digits, hyphens and underscores, beginning with a letter or digit"
);
name!(
    /// A member's role in one organization. Compared without regard to case: see [`RoleName::matches`].
    RoleName, "a role", 64, |c| c.is_ascii_alphabetic(), word,
    "at most 64 letters, digits, hyphens and underscores, beginning with a letter"
);

impl RoleName {
    /// Whether this is the role that `name` calls by any case.
    pub fn matches(&self, name: &str) -> bool {
        self.as_str().eq_ignore_ascii_case(name)
    }
}

/// Production or sandbox: part of every record, limit, counter and credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Real data.
    Live,
    /// The sandbox.
    Test,
}

impl Environment {
    /// `live` or `test`, as it stands in keys, rows and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "live" => Ok(Self::Live),
            "test" => Ok(Self::Test),
            _ => Err(IdError { what: "an environment", form: "`live` or `test`" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_4_in_the_hyphenated_spelling_is_a_tenant_id() {
        let good = "a3f8c120-4e72-4b91-9d63-1c5e7a09bf44";
        assert_eq!(good.parse::<TenantId>().unwrap().to_string(), good);
        assert_eq!(good.to_uppercase().parse::<TenantId>().unwrap().to_string(), good);
        for bad in [
            "",
            "a3f8c1204e724b919d631c5e7a09bf44",
            "{a3f8c120-4e72-4b91-9d63-1c5e7a09bf44}",
            "a3f8c120-4e72-1b91-9d63-1c5e7a09bf44",
            "a3f8c120-4e72-4b91-cd63-1c5e7a09bf44",
            "00000000-0000-0000-0000-000000000000",
            " a3f8c120-4e72-4b91-9d63-1c5e7a09bf4",
        ] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_foreign_token_is_named_by_issuer_and_jti_together() {
        let id = TokenId::foreign("https://a.example", "AT.1");
        assert_eq!(id, TokenId::foreign("https://a.example", "AT.1"));
        assert_ne!(id, TokenId::foreign("https://b.example", "AT.1"));
        assert_ne!(id, TokenId::foreign("https://a.exampleA", "T.1"));
        assert_ne!(id, TokenId::foreign("https://a.example", "at.1"));
        assert_eq!(id.to_string().parse::<TokenId>().unwrap(), id);
        assert!(!id.is_own(), "no jti of another issuer's passes for one of ours");
        assert!(TokenId::generate(&crate::testing::Counting::default()).is_own());
        assert!(id.to_string().parse::<TenantId>().is_err());
        assert!("a3f8c120-4e72-1b91-9d63-1c5e7a09bf44".parse::<TokenId>().is_err());
    }

    #[test]
    fn a_key_id_reads_back() {
        let id = KeyId::generate(&crate::testing::Counting::default());
        assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
        assert!("key_12".parse::<KeyId>().is_err());
    }

    #[test]
    fn roles_compare_without_case() {
        assert!("ADMIN".parse::<RoleName>().unwrap().matches("admin"));
        assert!("AD MIN".parse::<RoleName>().is_err());
    }
}
