//! From an API's settings to the API the door decides about.

use std::sync::Arc;
use std::time::Duration;

use claviger::Api;
use claviger::api::{ForeignIssuer, IdentityHeaders, Kinds, Roles, TokenRules};
use claviger::envelope::Envelope;
use claviger::grants::Grants;
use claviger::key_set::{Algorithm, parse_jwk_set};
use claviger::limit::{Amount, Form, LimitRule};
use claviger::refusal::{Code, CredentialKind};
use claviger::route::{Route, RouteTable};

use super::load::Source;
use super::{ConfigError, Https, Kind, LimitForm, TokenAlgorithm};

/// An API as it is served: what the door decides about, and what the gateway needs beside it.
#[derive(Debug)]
pub struct ServedApi {
    /// For the door.
    pub api: Arc<Api>,
    /// The hosts it answers to, in lower case.
    pub hosts: Vec<String>,
    /// Where requests go.
    pub upstream: String,
    /// Certificate authorities of an https upstream.
    pub upstream_ca_file: Option<std::path::PathBuf>,
    /// The largest body.
    pub max_body_bytes: u64,
    /// The longest a connection to the upstream may take.
    pub connect_timeout: Duration,
    /// The longest the upstream may take to begin its answer.
    pub head_timeout: Duration,
    /// The longest either body may stand still.
    pub body_idle: Duration,
    /// Origins whose pages may call it.
    pub cors_origins: Vec<String>,
    /// What new signing keys of its realm are of.
    pub token_algorithm: Algorithm,
    /// The plans of its tenants.
    pub plans: Vec<claviger::id::PlanName>,
}

impl From<Kind> for CredentialKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::ApiKey => Self::ApiKey,
            Kind::IdentityToken => Self::IdentityToken,
            Kind::UserToken => Self::UserToken,
        }
    }
}

fn kinds(kinds: &[Kind]) -> Kinds {
    kinds.iter().map(|kind| CredentialKind::from(*kind)).collect()
}

/// Builds the API at `api[index]` of the settings.
///
/// # Errors
/// Naming the setting and its line, if one cannot be used.
pub fn build_api(settings: &super::Api, index: usize, source: &Source) -> Result<ServedApi, ConfigError> {
    let error = |setting: &str, what: String| source.error(&format!("api[{index}].{setting}"), what);
    if settings.credentials.is_empty() {
        return Err(error(
            "credentials",
            "name at least one kind of credential, or nobody could come in".into(),
        ));
    }
    if settings.upstream.is_empty() {
        return Err(error("upstream", "say where requests go, such as `http://127.0.0.1:3000`".into()));
    }
    if settings.plans.is_empty() {
        return Err(error("plans", "name at least one plan".into()));
    }
    let identity = TokenRules {
        issuer: settings
            .token_issuer
            .clone()
            .unwrap_or_else(|| format!("claviger:{}", settings.realm))
            .into(),
        audience: settings.token_audience.clone().unwrap_or_else(|| settings.realm.to_string()).into(),
        typ: "at+jwt".into(),
        lifetime_seconds: settings.token_lifetime_seconds,
    };
    if !(60..=86_400).contains(&settings.token_lifetime_seconds) {
        return Err(error("token_lifetime_seconds", "use a number from 60 to 86400".into()));
    }
    let mut roles = Vec::new();
    for (name, grants) in &settings.roles {
        let setting = format!("roles.{name}");
        let grants: Grants = grants.parse().map_err(|what| error(&setting, what))?;
        roles
            .push((name.parse().map_err(|e: claviger::id::IdError| error(&setting, e.to_string()))?, grants));
    }
    let mut messages = Vec::new();
    for (code, text) in &settings.messages {
        let known = Code::from_name(code).ok_or_else(|| {
            let all: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
            error(
                &format!("messages.{code}"),
                format!("there is no such code; the codes are {}", all.join(", ")),
            )
        })?;
        messages.push((known, text.clone()));
    }
    let api = Api {
        name: settings.name.clone(),
        realm: settings.realm.clone(),
        credentials: kinds(&settings.credentials),
        key_prefix: settings.key_prefix.clone(),
        identity_tokens: identity,
        user_token_issuer: settings
            .user_token_issuer
            .clone()
            .unwrap_or_else(|| settings.name.to_string())
            .into(),
        foreign_issuers: foreign_issuers(settings, index, source)?,
        identity_headers: IdentityHeaders {
            mode: settings.identity_headers,
            names: [settings.tenant_header.clone(), settings.org_header.clone()],
            tenant_parameters: settings.tenant_parameters.clone(),
            org_parameters: settings.org_parameters.clone(),
        },
        roles: Roles::new(roles).map_err(|what| error("roles", what))?,
        routes: routes(settings, index, source)?,
        limits: limits(settings, index, source)?,
        requires_verified_email: settings.verified_email,
        requires_https: settings.https == Https::Required,
        envelope: Envelope::new(settings.errors, settings.error_doc_url.clone(), messages),
    };
    Ok(ServedApi {
        api: Arc::new(api),
        hosts: settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        upstream: settings.upstream.clone(),
        upstream_ca_file: settings.upstream_ca_file.clone(),
        max_body_bytes: settings.max_body_bytes,
        connect_timeout: Duration::from_secs(settings.timeouts.connect),
        head_timeout: Duration::from_secs(settings.timeouts.response_head),
        body_idle: Duration::from_secs(settings.timeouts.body_idle),
        cors_origins: settings.cors_origins.clone(),
        token_algorithm: match settings.token_algorithm {
            TokenAlgorithm::EdDsa => Algorithm::EdDsa,
            TokenAlgorithm::Es256 => Algorithm::Es256,
        },
        plans: settings.plans.clone(),
    })
}

fn routes(settings: &super::Api, index: usize, source: &Source) -> Result<RouteTable, ConfigError> {
    let mut routes = Vec::new();
    for (at, route) in settings.route.iter().enumerate() {
        let mut methods = Vec::new();
        for name in &route.methods {
            let method: Option<http::Method> =
                name.parse().ok().filter(|_| name.bytes().all(|b| b.is_ascii_uppercase()));
            methods.push(method.ok_or_else(|| {
                let setting = format!("api[{index}].route[{at}].methods");
                source.error(&setting, format!("`{name}` is not a method; write them in capitals"))
            })?);
        }
        routes.push(Route {
            path: route.path.clone(),
            resource: route.resource.clone(),
            methods,
            access: route.access,
            credentials: (!route.credentials.is_empty()).then(|| kinds(&route.credentials)),
            websocket: route.websocket,
            cost: route.cost,
        });
    }
    RouteTable::new(routes, settings.paths, settings.unlisted)
        .map_err(|error| source.error(&format!("api[{index}].route"), error.to_string()))
}

fn limits(settings: &super::Api, index: usize, source: &Source) -> Result<Vec<LimitRule>, ConfigError> {
    let mut rules: Vec<LimitRule> = Vec::new();
    for (at, limit) in settings.limit.iter().enumerate() {
        let error =
            |setting: &str, what: String| source.error(&format!("api[{index}].limit[{at}].{setting}"), what);
        if limit.name.is_empty() || rules.iter().any(|other| *other.name == *limit.name) {
            return Err(error("name", "every limit of an API needs a name of its own".into()));
        }
        if limit.seconds == 0 || limit.seconds > 86_400 {
            return Err(error("seconds", "use a number from 1 to 86400".into()));
        }
        if let Some(unknown) = limit.plans.keys().find(|plan| !settings.plans.contains(plan)) {
            return Err(error("plans", format!("`{unknown}` is not among the API's plans")));
        }
        let window_millis = limit.seconds * 1000;
        rules.push(LimitRule {
            api: settings.name.clone(),
            name: limit.name.as_str().into(),
            per: limit.per,
            form: match limit.form {
                LimitForm::Sliding => Form::Sliding { window_millis },
                LimitForm::Burst => Form::Burst { refill_millis: window_millis },
                LimitForm::Concurrency => Form::Concurrency,
            },
            amount: Amount {
                by_plan: limit
                    .plans
                    .iter()
                    .map(|(plan, amounts)| (plan.clone(), (*amounts).into()))
                    .collect(),
                otherwise: limit.otherwise.into(),
            },
        });
    }
    Ok(rules)
}

fn foreign_issuers(
    settings: &super::Api,
    index: usize,
    source: &Source,
) -> Result<Vec<ForeignIssuer>, ConfigError> {
    let mut issuers: Vec<ForeignIssuer> = Vec::new();
    for (at, issuer) in settings.issuer.iter().enumerate() {
        let error =
            |setting: &str, what: String| source.error(&format!("api[{index}].issuer[{at}].{setting}"), what);
        for (setting, text) in
            [("issuer", &issuer.issuer), ("audience", &issuer.audience), ("typ", &issuer.typ)]
        {
            if text.is_empty() {
                return Err(error(setting, "must not be empty".into()));
            }
        }
        let text = std::fs::read(&issuer.jwks_file)
            .map_err(|e| error("jwks_file", format!("cannot read `{}` ({e})", issuer.jwks_file.display())))?;
        let keys = parse_jwk_set(&text).map_err(|e| error("jwks_file", e.to_string()))?;
        if keys.is_empty() {
            return Err(error("jwks_file", "the set has no Ed25519 or P-256 key".into()));
        }
        let taken = |kid: &str| issuers.iter().flat_map(|other| &other.keys).any(|key| key.kid() == kid);
        if let Some(key) = keys.iter().find(|key| taken(key.kid())) {
            return Err(error(
                "jwks_file",
                format!("two issuers of this API have a key called `{}`", key.kid()),
            ));
        }
        let tenants: Result<Vec<_>, _> = issuer.tenants.iter().map(|id| id.parse()).collect();
        issuers.push(ForeignIssuer {
            rules: TokenRules {
                issuer: issuer.issuer.as_str().into(),
                audience: issuer.audience.as_str().into(),
                typ: issuer.typ.as_str().into(),
                lifetime_seconds: settings.token_lifetime_seconds,
            },
            keys,
            tenants: tenants.map_err(|e: claviger::id::IdError| error("tenants", e.to_string()))?,
        });
    }
    Ok(issuers)
}
