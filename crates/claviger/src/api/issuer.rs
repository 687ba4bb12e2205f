//! Issuers of identity tokens outside this server.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::id::TenantId;
use crate::key_set::KeySet;

use super::IssuerError;

/// The `typ` that says nothing (RFC 7519, section 5.1): access tokens and ID tokens alike may bear it.
pub const PLAIN_TYPE: &str = "JWT";

/// An issuer of identity tokens outside this server. It speaks only for the tenants it was registered for, and
/// only about people who were linked to it.
#[derive(Debug)]
pub struct ForeignIssuer {
    /// The `iss` of its tokens, to the letter.
    pub issuer: Box<str>,
    /// The `aud` that must be among a token's. `None` for an issuer whose tokens have none: then
    /// [`required_claims`](Self::required_claims) has to tell whom they are for.
    pub audience: Option<Box<str>>,
    /// The `typ`s that a token's header may have, compared without case and without `application/` (RFC 7515, section
    /// 4.1.9). An empty text stands for a header without one.
    pub types: Vec<Box<str>>,
    /// Claims that a token must have with this text for a value, or among the texts of a list: what tells an access token
    /// from an ID token where `aud` or `typ` do not.
    pub required_claims: Vec<(Box<str>, Box<str>)>,
    /// The longest `exp − iat`, in seconds.
    pub lifetime_seconds: i64,
    /// How far its clock may differ from ours before a time in a token counts, in seconds.
    pub leeway_seconds: i64,
    /// The longest of its tokens, in bytes.
    pub max_token_bytes: usize,
    /// How deep the claims of its tokens may nest.
    pub max_claims_depth: u8,
    /// Its public keys, which can be replaced while it is served.
    pub keys: Arc<IssuerKeys>,
    /// The tenants it may speak for.
    pub tenants: Vec<TenantId>,
}

impl ForeignIssuer {
    /// Whether a token that was good by the rules of one is by those of the other. Their keys are looked at apart, as they change by
    /// themselves.
    pub(crate) fn has_the_rules_of(&self, other: &Self) -> bool {
        let Self {
            issuer,
            audience,
            types,
            required_claims,
            lifetime_seconds,
            leeway_seconds,
            max_token_bytes,
            max_claims_depth,
            keys: _,
            tenants,
        } = self;
        *issuer == other.issuer
            && *audience == other.audience
            && *types == other.types
            && *required_claims == other.required_claims
            && *lifetime_seconds == other.lifetime_seconds
            && *leeway_seconds == other.leeway_seconds
            && *max_token_bytes == other.max_token_bytes
            && *max_claims_depth == other.max_claims_depth
            && *tenants == other.tenants
    }

    /// Whether its tokens can be told apart from what is no access token of this API.
    pub(super) fn check(&self) -> Result<(), IssuerError> {
        let good = |text: &str, longest: usize| {
            !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control)
        };
        if !good(&self.issuer, 512) {
            return Err(IssuerError::Name);
        }
        if self.types.is_empty() {
            return Err(IssuerError::NoType);
        }
        if self.audience.as_ref().is_some_and(|audience| audience.is_empty()) {
            return Err(IssuerError::EmptyAudience);
        }
        let says_nothing = |typ: &str| typ.is_empty() || is_type(typ, PLAIN_TYPE);
        if self.required_claims.is_empty() {
            if self.audience.is_none() {
                return Err(IssuerError::NoAudience);
            }
            if self.types.iter().any(|typ| says_nothing(typ)) {
                return Err(IssuerError::PlainType);
            }
        }
        if self.required_claims.iter().any(|(claim, value)| claim.is_empty() || value.is_empty()) {
            return Err(IssuerError::EmptyClaim);
        }
        if !(1..=30 * 86_400).contains(&self.lifetime_seconds) || !(0..=300).contains(&self.leeway_seconds) {
            return Err(IssuerError::Times);
        }
        if !(1024..=65_536).contains(&self.max_token_bytes) || !(2..=64).contains(&self.max_claims_depth) {
            return Err(IssuerError::Bounds);
        }
        Ok(())
    }
}

/// Whether `shown`, a header's `typ`, is the media type that `wanted` stands for.
pub(crate) fn is_type(shown: &str, wanted: &str) -> bool {
    let bare = |typ| -> &str {
        let typ: &str = typ;
        match typ.get(..12) {
            Some(start) if start.eq_ignore_ascii_case("application/") => typ.get(12..).unwrap_or_default(),
            _ => typ,
        }
    };
    bare(shown).eq_ignore_ascii_case(bare(wanted))
}

/// An issuer's keys, as last read. Whoever watches where they come from replaces them as a whole.
pub struct IssuerKeys(ArcSwap<KeySet>);

impl fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerKeys({})", self.0.load().keys().len())
    }
}

impl IssuerKeys {
    /// Begins with `keys`.
    pub fn new(keys: KeySet) -> Self {
        Self(ArcSwap::from_pointee(keys))
    }

    /// From the next request on, `keys` are the issuer's. What was signed under a key that is not among them is refused.
    pub fn replace(&self, keys: KeySet) {
        self.0.store(Arc::new(keys));
    }

    /// The keys as they are now.
    pub fn current(&self) -> Arc<KeySet> {
        self.0.load_full()
    }

    /// The same, for a moment.
    pub(crate) fn peek(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> ForeignIssuer {
        ForeignIssuer {
            issuer: "https://id.example".into(),
            audience: Some("api".into()),
            types: vec!["at+jwt".into()],
            required_claims: Vec::new(),
            lifetime_seconds: 3600,
            leeway_seconds: 5,
            max_token_bytes: 16_384,
            max_claims_depth: 16,
            keys: Arc::new(IssuerKeys::new(KeySet::default())),
            tenants: Vec::new(),
        }
    }

    #[test]
    fn a_type_is_compared_as_a_media_type() {
        for (shown, wanted, same) in [
            ("at+jwt", "at+jwt", true),
            ("application/at+jwt", "at+jwt", true),
            ("AT+JWT", "application/at+jwt", true),
            ("Application/JWT", "jwt", true),
            ("application/", "", true),
            ("at+jwt ", "at+jwt", false),
            ("JWT", "at+jwt", false),
            ("id+jwt", "at+jwt", false),
        ] {
            assert_eq!(is_type(shown, wanted), same, "{shown} {wanted}");
        }
    }

    #[test]
    fn an_issuer_whose_access_tokens_cannot_be_told_from_others_is_refused() {
        let claims = vec![("token_use".into(), "access".into())];
        assert_eq!(issuer().check(), Ok(()));
        for (odd, why) in [
            (ForeignIssuer { audience: None, ..issuer() }, IssuerError::NoAudience),
            (
                ForeignIssuer { types: vec!["at+jwt".into(), "jwt".into()], ..issuer() },
                IssuerError::PlainType,
            ),
            (ForeignIssuer { types: vec!["application/JWT".into()], ..issuer() }, IssuerError::PlainType),
            (ForeignIssuer { types: vec!["".into()], ..issuer() }, IssuerError::PlainType),
        ] {
            assert_eq!(odd.check(), Err(why));
            assert_eq!(ForeignIssuer { required_claims: claims.clone(), ..odd }.check(), Ok(()));
        }
        for (bad, why) in [
            (ForeignIssuer { issuer: "".into(), ..issuer() }, IssuerError::Name),
            (ForeignIssuer { issuer: "a\nb".into(), ..issuer() }, IssuerError::Name),
            (ForeignIssuer { issuer: "a".repeat(513).into(), ..issuer() }, IssuerError::Name),
            (ForeignIssuer { types: Vec::new(), ..issuer() }, IssuerError::NoType),
            (ForeignIssuer { audience: Some("".into()), ..issuer() }, IssuerError::EmptyAudience),
            (
                ForeignIssuer { required_claims: vec![("a".into(), "".into())], ..issuer() },
                IssuerError::EmptyClaim,
            ),
            (ForeignIssuer { lifetime_seconds: 0, ..issuer() }, IssuerError::Times),
            (ForeignIssuer { leeway_seconds: 301, ..issuer() }, IssuerError::Times),
            (ForeignIssuer { leeway_seconds: -1, ..issuer() }, IssuerError::Times),
            (ForeignIssuer { max_token_bytes: 100, ..issuer() }, IssuerError::Bounds),
            (ForeignIssuer { max_claims_depth: 65, ..issuer() }, IssuerError::Bounds),
        ] {
            assert_eq!(bad.check(), Err(why), "{bad:?}");
        }
    }
}
