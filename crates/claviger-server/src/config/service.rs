//! What Claviger answers on a route itself, and where it can.

use claviger::grants::Access as AccessLevel;
use claviger::route::{Level, RouteAccess};
use http::Method;
use serde::Deserialize;

use super::{Access, ConfigError, Kind};

/// What Claviger answers on a route itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The members of the organization: a list, and invitations.
    Members,
    /// One of them: role and state, and the end.
    Member,
    /// The organizations of the tenant that somebody is in, and new ones.
    Organizations,
    /// What happened.
    Audit,
    /// Somebody's own user token.
    AccountToken,
    /// Another one.
    AccountTokenRegenerate,
    /// The API keys of the organization: a list, and new ones.
    Keys,
    /// One of them: what it is, changes, and the end.
    Key,
    /// Another secret for one of them.
    KeyRotate,
    /// The end of its old secret's grace.
    KeyRevokeOld,
}

impl Service {
    /// All of them, by the words of the settings.
    pub const ALL: [(&'static str, Self); 10] = [
        ("members", Self::Members),
        ("member", Self::Member),
        ("organizations", Self::Organizations),
        ("audit", Self::Audit),
        ("account-token", Self::AccountToken),
        ("account-token-regenerate", Self::AccountTokenRegenerate),
        ("keys", Self::Keys),
        ("key", Self::Key),
        ("key-rotate", Self::KeyRotate),
        ("key-revoke-old", Self::KeyRevokeOld),
    ];

    /// Its methods.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Members | Self::Organizations | Self::Keys => &["GET", "POST"],
            Self::Key => &["GET", "PATCH", "DELETE"],
            Self::KeyRotate | Self::KeyRevokeOld => &["POST"],
            Self::Member => &["PATCH", "DELETE"],
            Self::Audit | Self::AccountToken => &["GET"],
            Self::AccountTokenRegenerate => &["POST"],
        }
    }

    /// Whether it is about API keys, which manage keys themselves.
    pub fn is_about_keys(self) -> bool {
        matches!(self, Self::Keys | Self::Key | Self::KeyRotate | Self::KeyRevokeOld)
    }

    /// Whether its path names one of them, by a parameter.
    pub(crate) fn names_one(self) -> bool {
        matches!(self, Self::Member | Self::Key | Self::KeyRotate | Self::KeyRevokeOld)
    }

    /// Whether it is about whoever asks, and nobody else.
    pub(crate) fn is_about_oneself(self) -> bool {
        matches!(self, Self::AccountToken | Self::AccountTokenRegenerate)
    }
}

/// What Claviger answers itself, each where it can.
///
/// # Errors
/// As `refused` spells it, of the setting of a route that stands in the way.
pub(super) fn served(
    settings: &super::Api,
    refused: impl Fn(&str, String) -> ConfigError,
) -> Result<Vec<(String, Service)>, ConfigError> {
    let mut services = Vec::new();
    for (at, route) in settings.route.iter().enumerate() {
        let Some(service) = route.serve else { continue };
        let error = |setting: &str, what: String| refused(&format!("route[{at}].{setting}"), what);
        if let Some(method) = route.methods.iter().find(|name| !service.methods().contains(&name.as_str())) {
            let known = service.methods().join(", ");
            return Err(error("methods", format!("`{method}` is not served here; there are {known}")));
        }
        let parameters = route.path.matches('{').count();
        let wanted = usize::from(service.names_one());
        let ends_with_it = matches!(service, Service::Member | Service::Key);
        if parameters != wanted || ends_with_it && !route.path.ends_with('}') || route.path.contains("{*") {
            let what = match service {
                Service::Member => "the path of one member ends with a parameter, and has no other",
                Service::Key => "the path of one key ends with a parameter, and has no other",
                Service::KeyRotate | Service::KeyRevokeOld => {
                    "the path names one key by a parameter, and has no other"
                }
                _ => "the path of what is served here has no parameter",
            };
            return Err(error("path", what.to_owned()));
        }
        if service.is_about_keys() && !settings.credentials.contains(&Kind::ApiKey) {
            let what = "nobody has a key here; name \"api-key\" in the API's `credentials`";
            return Err(error("serve", what.to_owned()));
        }
        if !service.is_about_keys() && settings.sign_in == super::SignIn::Off {
            let what = "what is served here is for people who sign in; say `sign_in = \"password\"`";
            return Err(error("serve", what.to_owned()));
        }
        let is_none = |word: &String| word == "none";
        let is_open = match &route.access {
            Access::All(word) => is_none(word),
            Access::ByMethod(words) => words.values().any(is_none),
        };
        if is_open {
            let what = "what is served here asks who it is for";
            return Err(error("access", what.to_owned()));
        }
        if service.is_about_oneself() && !settings.credentials.contains(&Kind::UserToken) {
            let what = "nobody has a user token here; name \"user-token\" in the API's `credentials`";
            return Err(error("serve", what.to_owned()));
        }
        services.push((route.path.clone(), service));
    }
    Ok(services)
}

/// What a route's methods need that does not say it. What Claviger answers itself is managing wherever something is changed, whatever the
/// ladder says, and about oneself it is for everybody.
pub(super) fn unsaid(route: &super::Route) -> RouteAccess {
    let Some(service) = route.serve else { return RouteAccess::Ladder };
    let level = |name: &str| match name {
        _ if service.is_about_oneself() => AccessLevel::Read,
        // To look at them as well.
        _ if service.is_about_keys() => AccessLevel::Admin,
        "GET" => AccessLevel::Read,
        _ => AccessLevel::Admin,
    };
    let methods = route.methods.iter();
    let levels = methods.filter_map(|name| Some((name.parse().ok()?, Level::Needs(level(name)))));
    RouteAccess::PerMethod(levels.collect())
}

/// The levels that are said, and those of the methods of a served route that are not.
pub(super) fn with_the_unsaid(route: &super::Route, said: Vec<(Method, Level)>) -> Vec<(Method, Level)> {
    let RouteAccess::PerMethod(unsaid) = unsaid(route) else { return said };
    let missing = unsaid.into_iter().filter(|(method, _)| !said.iter().any(|(own, _)| own == method));
    let missing: Vec<_> = missing.collect();
    said.into_iter().chain(missing).collect()
}
