//! The kinds of credential there are, sets of them, and the text of one.

use std::fmt;

use zeroize::Zeroizing;

/// What kind of credential a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialKind {
    /// An opaque, scoped key.
    ApiKey,
    /// A signed token with tenant, organization and role.
    IdentityToken,
    /// A token signed with its user's own secret.
    UserToken,
}

impl CredentialKind {
    /// `api-key`, `identity-token` or `user-token`, as settings and principals spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::IdentityToken => "identity-token",
            Self::UserToken => "user-token",
        }
    }
}

/// A set of credential kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds {
    api_key: bool,
    identity_token: bool,
    user_token: bool,
}

impl FromIterator<CredentialKind> for Kinds {
    fn from_iter<I: IntoIterator<Item = CredentialKind>>(kinds: I) -> Self {
        let mut set = Self::default();
        for kind in kinds {
            *set.slot(kind) = true;
        }
        set
    }
}

impl Kinds {
    fn slot(&mut self, kind: CredentialKind) -> &mut bool {
        match kind {
            CredentialKind::ApiKey => &mut self.api_key,
            CredentialKind::IdentityToken => &mut self.identity_token,
            CredentialKind::UserToken => &mut self.user_token,
        }
    }

    /// The kinds in both.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self {
            api_key: self.api_key && other.api_key,
            identity_token: self.identity_token && other.identity_token,
            user_token: self.user_token && other.user_token,
        }
    }

    /// Whether `kind` is in it.
    pub fn contain(mut self, kind: CredentialKind) -> bool {
        *self.slot(kind)
    }

    /// Whether there is none in it.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// A credential as it was sent; it may have been sent encoded.
pub(crate) enum Text<'a> {
    Sent(&'a str),
    Decoded(Zeroizing<String>),
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(..)")
    }
}

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Sent(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CredentialKind; 3] =
        [CredentialKind::ApiKey, CredentialKind::IdentityToken, CredentialKind::UserToken];

    #[test]
    fn a_set_holds_what_was_put_into_it_and_both_hold_what_each_holds() {
        for one in ALL {
            let set: Kinds = [one].into_iter().collect();
            for other in ALL {
                assert_eq!(set.contain(other), one == other);
                let pair: Kinds = [one, other].into_iter().collect();
                assert_eq!(pair.both(set), set);
                assert_eq!(set.both([other].into_iter().collect()).is_empty(), one != other);
            }
        }
        assert!(Kinds::default().is_empty());
    }
}
