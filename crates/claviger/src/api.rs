//! One public API surface, as configured: what it takes, what its routes need, who may do what.

use std::fmt;

use http::{HeaderName, header};

use crate::api_key::KeyPrefix;
use crate::envelope::Envelope;
use crate::grants::Grants;
use crate::id::{ApiName, RealmName, RoleName, TenantId};
use crate::key_set::VerifyingKey;
use crate::limit::LimitRule;
use crate::refusal::{CredentialKind, Reason};
use crate::route::RouteTable;

/// A configured API. Immutable: a changed configuration makes another one.
#[derive(Debug)]
pub struct Api {
    /// Its name in settings and logs.
    pub name: ApiName,
    /// The realm whose tenants, accounts and keys it knows.
    pub realm: RealmName,
    /// The kinds of credential it takes. Any other is 401.
    pub credentials: Kinds,
    /// What its keys begin with.
    pub key_prefix: KeyPrefix,
    /// The `iss` and `aud` of the identity tokens it takes.
    pub identity_tokens: TokenRules,
    /// The `iss` of the user tokens it takes, and the API whose user secrets sign them.
    pub user_token_issuer: Box<str>,
    /// Other issuers whose identity tokens it takes.
    pub foreign_issuers: Vec<ForeignIssuer>,
    /// The tenant and organization headers.
    pub identity_headers: IdentityHeaders,
    /// The roles it knows and what they allow.
    pub roles: Roles,
    /// Its paths.
    pub routes: RouteTable,
    /// Its limits.
    pub limits: Vec<LimitRule>,
    /// Whether an unproved e-mail address keeps a member out.
    pub requires_verified_email: bool,
    /// Whether plain HTTP is refused.
    pub requires_https: bool,
    /// The form of its errors.
    pub envelope: Envelope,
}

impl Api {
    /// Whether a request may come by this transport; asked before its credential is looked at, so that the answer
    /// is the same for a good, a bad and no credential.
    ///
    /// # Errors
    /// 403 if it came in clear and this API is served over TLS alone.
    pub fn check_transport(&self, secure: bool) -> Result<(), Reason> {
        if self.requires_https && !secure {
            return Err(Reason::HttpsRequired);
        }
        Ok(())
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
}

/// What an identity token has to say of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// The `iss`, to the letter.
    pub issuer: Box<str>,
    /// The `aud` that must be among the token's.
    pub audience: Box<str>,
    /// The `typ` of its header, to the letter (RFC 9068, section 2.1).
    pub typ: Box<str>,
    /// The longest `exp − iat`, in seconds.
    pub lifetime_seconds: i64,
}

/// An issuer of identity tokens outside this server. It speaks only for the tenants it was registered for, and
/// only about people who were linked to it.
#[derive(Debug)]
pub struct ForeignIssuer {
    /// What its tokens have to say of themselves.
    pub rules: TokenRules,
    /// Its public keys.
    pub keys: Vec<VerifyingKey>,
    /// The tenants it may speak for.
    pub tenants: Vec<TenantId>,
}

/// Whether the tenant and organization headers have to be there. What is there always has to agree with the
/// credential: a header asserts and never selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderMode {
    /// They may be left out.
    Optional,
    /// Both have to be there.
    Required,
}

/// Where a request may repeat its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// Whether the headers have to be there. A tenant can demand them where this does not, never the reverse.
    pub mode: HeaderMode,
    /// The tenant's header and the organization's, in this order.
    pub names: [HeaderName; 2],
    /// Query parameters that name a tenant.
    pub tenant_parameters: Vec<String>,
    /// Query parameters that name an organization.
    pub org_parameters: Vec<String>,
}

impl IdentityHeaders {
    /// The header that names the tenant.
    pub fn tenant(&self) -> &HeaderName {
        &self.names[0]
    }

    /// The header that names the organization.
    pub fn org(&self) -> &HeaderName {
        &self.names[1]
    }
}

/// The roles an API knows. A role that is not among them allows nothing.
#[derive(Debug, Clone, Default)]
pub struct Roles(Vec<(RoleName, Grants)>);

impl Roles {
    /// From names and what they allow.
    ///
    /// # Errors
    /// If two names differ by case alone, as roles are compared without it.
    pub fn new(roles: Vec<(RoleName, Grants)>) -> Result<Self, String> {
        for (at, (name, _)) in roles.iter().enumerate() {
            if roles.iter().skip(at + 1).any(|(other, _)| other.matches(name.as_str())) {
                return Err(format!("role `{name}` is there twice"));
            }
        }
        Ok(Self(roles))
    }

    /// What the role called `name` by any case allows; `None` if there is no such role.
    pub fn grants(&self, name: &str) -> Option<&Grants> {
        self.0.iter().find(|(role, _)| role.matches(name)).map(|(_, grants)| grants)
    }

    /// Names and grants, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &(RoleName, Grants)> {
        self.0.iter()
    }
}

/// The header a credential comes in.
pub const CREDENTIAL_HEADER: HeaderName = header::AUTHORIZATION;

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}
