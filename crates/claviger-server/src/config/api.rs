//! From an API's settings to the API the door decides about.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claviger::Api;
use claviger::api::{
    ApiError, ApiSettings, Carriers, Doubt, ForeignIssuer, IdentityHeaders, IssuerError, IssuerKeys, Roles,
    TokenRules,
};
use claviger::code::Code;
use claviger::credential::{CredentialKind, Kinds};
use claviger::envelope::Envelope;
use claviger::grants::Grants;
use claviger::id::PlanName;
use claviger::key_set::{Algorithm, KeySet};
use claviger::limit_rule::{Amount, Form, LimitRule};
use claviger::route::{Level, Route, RouteAccess, RouteTable};
use claviger::target::Oddities;
use http::Method;

use super::service::{served, unsaid, with_the_unsaid};
use super::source::Source;
use super::{Access, ConfigError, Https, Kind, LimitForm, Outside, Service, TokenAlgorithm};

/// An API as it is served: what the door decides about, and what the gateway needs beside it.
#[derive(Debug, Clone)]
pub struct ServedApi {
    /// For the door.
    pub api: Arc<Api>,
    /// The hosts it answers to, in lower case.
    pub hosts: Vec<String>,
    /// Where requests go.
    pub upstream: String,
    /// Certificate authorities of an https upstream.
    pub upstream_ca_file: Option<PathBuf>,
    /// The largest body.
    pub max_body_bytes: u64,
    /// The longest a connection to the upstream may take.
    pub connect_timeout: Duration,
    /// The longest the upstream may take to begin its answer.
    pub head_timeout: Duration,
    /// The longest either body may stand still.
    pub body_idle: Duration,
    /// How people sign in at its hosts, if they do.
    pub sign_in: Option<SignInRules>,
    /// Where its description is.
    pub document_path: Option<String>,
    /// What Claviger answers itself: where, and what.
    pub services: Vec<(String, Service)>,
    /// How many live keys a tenant may have, by its plan.
    pub most_live_keys: BTreeMap<PlanName, u64>,
    /// What is said there of something outside of somebody's organization.
    pub outside: Outside,
    /// What new signing keys of its realm are of.
    pub token_algorithm: Algorithm,
    /// For how many days one of them signs; 0 is until somebody says so.
    pub token_key_days: u16,
    /// Where other issuers' keys are read from.
    pub key_files: Vec<KeyFile>,
}

/// How people sign in at an API's own hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInRules {
    /// Whether anybody may sign up there, and so make a tenant.
    pub sign_up: bool,
    /// Whether an address has to be proven before anybody acts, or signs up.
    pub verified_email: bool,
    /// The page that links in mail open, if any are sent.
    pub mail_page: Option<Arc<str>>,
    /// How long a session goes on, however often it is refreshed, in seconds.
    pub session_seconds: i64,
}

/// A file with the public keys of an issuer.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// The issuer.
    pub issuer: Box<str>,
    /// The file.
    pub path: PathBuf,
    /// What its keys may sign with; `None` is anything.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Where the keys are put.
    pub keys: Arc<IssuerKeys>,
}

/// The largest file of keys, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 1 << 20;

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// With what is wrong, for people: it cannot be read, is no key set, or has no key of use.
    pub fn read(&self) -> Result<KeySet, String> {
        read_keys(&self.path, self.algorithms.as_deref())
    }
}

fn read_keys(path: &std::path::Path, algorithms: Option<&[Algorithm]>) -> Result<KeySet, String> {
    use std::io::Read;
    let cannot = |error: std::io::Error| {
        format!("cannot read `{}` ({})", path.display(), crate::failure::complaint(&error))
    };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(MAX_KEY_FILE_BYTES + 1).read_to_end(&mut text).map_err(cannot)?;
    if text.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(format!("`{}` is larger than a key set can be", path.display()));
    }
    let keys = KeySet::parse(&text, algorithms)
        .map_err(|error| format!("`{}` is no JWK set: {error}", path.display()))?;
    if keys.keys().is_empty() {
        let passed: Vec<String> = keys.passed_over().iter().map(ToString::to_string).collect();
        let why = if passed.is_empty() { "it is empty".to_owned() } else { passed.join("; ") };
        return Err(format!("`{}` has no key that can verify tokens: {why}", path.display()));
    }
    Ok(keys)
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

/// The settings of one API, and where they stand.
struct Place<'a> {
    settings: &'a super::Api,
    index: usize,
    source: &'a Source,
}

/// Builds the API at `api[index]` of the settings.
///
/// # Errors
/// Naming the setting and its line, if one cannot be used.
pub fn build_api(settings: &super::Api, index: usize, source: &Source) -> Result<ServedApi, ConfigError> {
    let place = Place { settings, index, source };
    let error = |setting: &str, what: &str| place.error(setting, what);
    if settings.upstream.is_empty() {
        return Err(error("upstream", "say where requests go, such as `http://127.0.0.1:3000`"));
    }
    if settings.plans.is_empty() {
        return Err(error("plans", "name at least one plan"));
    }
    if let Some(unknown) = settings.most_live_keys.keys().find(|plan| !settings.plans.contains(plan)) {
        return Err(error("most_live_keys", &format!("`{unknown}` is none of the API's `plans`")));
    }
    if settings.token_key_days == 1 {
        return Err(error(
            "token_key_days",
            "use 2 or more, as the next key is published a day before; or 0",
        ));
    }
    if settings.token_lifetime_seconds < 60 {
        return Err(error("token_lifetime_seconds", "use a number from 60 to 86400"));
    }
    let (foreign_issuers, key_files) = place.foreign_issuers()?;
    let api = ApiSettings {
        carriers: Carriers {
            header: settings.credential_header.clone(),
            basic: settings.basic,
            websocket: settings.websocket_credential,
        },
        key_prefix: settings.key_prefix.clone(),
        identity_tokens: TokenRules {
            issuer: settings
                .token_issuer
                .clone()
                .unwrap_or_else(|| format!("claviger:{}", settings.realm))
                .into(),
            audience: settings.token_audience.clone().unwrap_or_else(|| settings.realm.to_string()).into(),
            typ: "at+jwt".into(),
            lifetime_seconds: settings.token_lifetime_seconds,
        },
        user_token_issuer: settings
            .user_token_issuer
            .clone()
            .unwrap_or_else(|| settings.name.to_string())
            .into(),
        foreign_issuers,
        identity_headers: IdentityHeaders {
            mode: settings.identity_headers,
            names: [settings.tenant_header.clone(), settings.org_header.clone()],
            tenant_parameters: settings.tenant_parameters.clone(),
            org_parameters: settings.org_parameters.clone(),
        },
        roles: place.roles()?,
        limits: place.limits(),
        plans: settings.plans.clone(),
        requires_verified_email: settings.verified_email,
        requires_https: settings.https == Https::Required,
        cors_origins: settings.cors_origins.clone(),
        envelope: Envelope::new(settings.errors, settings.error_doc_url.clone(), place.messages()?),
        ..ApiSettings::new(
            settings.name.clone(),
            settings.realm.clone(),
            kinds(&settings.credentials),
            place.routes()?,
        )
    };
    Ok(ServedApi {
        api: Arc::new(Api::new(api).map_err(|error| place.of_api(&error))?),
        hosts: place.hosts()?,
        upstream: settings.upstream.clone(),
        upstream_ca_file: settings.upstream_ca_file.clone(),
        max_body_bytes: settings.max_body_bytes,
        connect_timeout: Duration::from_secs(settings.timeouts.connect),
        head_timeout: Duration::from_secs(settings.timeouts.response_head),
        body_idle: Duration::from_secs(settings.timeouts.body_idle),
        sign_in: place.sign_in()?,
        document_path: place.document_path()?,
        services: served(settings, |setting, what| place.error(setting, what))?,
        most_live_keys: settings.most_live_keys.clone(),
        outside: settings.outside,
        token_key_days: settings.token_key_days,
        token_algorithm: match settings.token_algorithm {
            TokenAlgorithm::EdDsa => Algorithm::EdDsa,
            TokenAlgorithm::Es256 => Algorithm::Es256,
        },
        key_files,
    })
}

/// What is served and perhaps not meant, of the API at `api[index]`: each where it stands.
pub(crate) fn doubts(api: &Api, index: usize, source: &Source) -> Vec<ConfigError> {
    let told = |doubt: &Doubt| {
        let setting = match doubt {
            Doubt::SilentWebSocket { at, .. } => format!("route[{at}].websocket"),
            Doubt::UnknownResource { role, .. } | Doubt::PowerlessRole { role } => format!("roles.{role}"),
            Doubt::UnlistedPlan { at, .. } => format!("limit[{at}].plans"),
            Doubt::SilentIssuer { at, .. } => format!("issuer[{at}].tenants"),
            Doubt::UnusableKey { at, .. } => format!("issuer[{at}].jwks_file"),
            _ => "name".to_owned(),
        };
        let error = source.error(&format!("api[{index}].{setting}"), doubt.to_string());
        ConfigError { hint: doubt.hint().map(str::to_owned), ..error }
    };
    api.doubts().iter().map(told).collect()
}

impl Place<'_> {
    fn error(&self, setting: &str, what: impl Into<String>) -> ConfigError {
        self.source.error(&format!("api[{}].{setting}", self.index), what)
    }

    /// Where the setting stands that an API was refused for.
    fn of_api(&self, error: &ApiError) -> ConfigError {
        let setting = match error {
            ApiError::NoCredentials => "credentials".to_owned(),
            ApiError::NoRoles => "roles".to_owned(),
            ApiError::NothingReachable => "unlisted".to_owned(),
            ApiError::RouteForNobody { at, .. } => format!("route[{at}].credentials"),
            ApiError::TokenLifetime => "token_lifetime_seconds".to_owned(),
            ApiError::TokenNames => "token_issuer".to_owned(),
            ApiError::IdentityHeaderNames => "tenant_header".to_owned(),
            ApiError::CarrierName { .. } => "credential_header".to_owned(),
            ApiError::LimitName { at, .. } => format!("limit[{at}].name"),
            ApiError::LimitSpan { at, .. } => format!("limit[{at}].seconds"),
            ApiError::UnknownPlan { at, .. } => format!("limit[{at}].plans"),
            ApiError::Origin { .. } => "cors_origins".to_owned(),
            ApiError::IssuersForNobody => "issuer".to_owned(),
            ApiError::Issuer { at, why, .. } => {
                let setting = match why {
                    IssuerError::Name | IssuerError::Taken => "issuer",
                    IssuerError::EmptyAudience | IssuerError::NoAudience => "audience",
                    IssuerError::NoType | IssuerError::PlainType => "typ",
                    IssuerError::EmptyClaim => "required_claims",
                    IssuerError::Times => "lifetime_seconds",
                    IssuerError::Bounds => "max_token_bytes",
                    _ => "issuer",
                };
                format!("issuer[{at}].{setting}")
            }
            _ => "name".to_owned(),
        };
        self.error(&setting, error.to_string())
    }

    /// How people sign in at its hosts, if they do.
    fn sign_in(&self) -> Result<Option<SignInRules>, ConfigError> {
        let settings = self.settings;
        let is_open = settings.sign_up == super::SignUp::Open;
        if settings.sign_in == super::SignIn::Off {
            let what = "nobody signs up where nobody signs in; say `sign_in = \"password\"`";
            return if is_open { Err(self.error("sign_up", what)) } else { Ok(None) };
        }
        if !settings.credentials.contains(&super::Kind::IdentityToken) {
            let what = "who signs in gets an identity token; name \"identity-token\" in `credentials`";
            return Err(self.error("sign_in", what));
        }
        if is_open && settings.verified_email && settings.mail_page.is_none() {
            let what = "nobody could prove their address; say `mail_page`, which links in mail open";
            return Err(self.error("sign_up", what));
        }
        let mail_page = settings.mail_page.as_deref().map(page).transpose();
        let mail_page = mail_page.map_err(|what| self.error("mail_page", what))?;
        if !(60..=31_536_000).contains(&settings.session_seconds) {
            return Err(self.error("session_seconds", "use a number from 60 to 31536000"));
        }
        Ok(Some(SignInRules {
            sign_up: is_open,
            verified_email: settings.verified_email,
            mail_page,
            session_seconds: settings.session_seconds,
        }))
    }

    /// Where its description is, which no route of it is.
    fn document_path(&self) -> Result<Option<String>, ConfigError> {
        let Some(path) = &self.settings.document_path else { return Ok(None) };
        let is_path = path.starts_with('/') && !path.contains(['{', '}', '?', '#', ' ', '%']);
        if !is_path || self.settings.route.iter().any(|route| route.path == *path) {
            return Err(self.error("document_path", "write a path that is no route, such as `/openapi.json`"));
        }
        Ok(Some(path.clone()))
    }

    /// Hosts as they are compared: without a port, in lower case.
    fn hosts(&self) -> Result<Vec<String>, ConfigError> {
        let mut hosts: Vec<String> = Vec::new();
        for host in &self.settings.hosts {
            let what = if host.is_empty() {
                Some("an empty host never matches; leave `hosts` out if a listener names the API")
            } else if host.contains('*') {
                Some("patterns are not taken, so it would never match; list each host")
            } else if host.contains("://") || host.contains('/') {
                Some("write the host alone, without scheme and path")
            } else if claviger::authority::without_port(host).is_some_and(|alone| alone.len() < host.len()) {
                Some("requests are matched without their port, so it would never match; write the host alone")
            } else if claviger::authority::without_port(host).is_none() {
                Some("it is no host that a request can name")
            } else {
                None
            };
            if let Some(what) = what {
                return Err(self.error("hosts", format!("`{host}`: {what}")));
            }
            let host = host.to_ascii_lowercase();
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        Ok(hosts)
    }

    fn roles(&self) -> Result<Roles, ConfigError> {
        let mut roles = Vec::new();
        for (name, grants) in &self.settings.roles {
            let setting = format!("roles.{name}");
            let grants: Grants = grants.parse().map_err(|what: String| self.error(&setting, what))?;
            let name =
                name.parse().map_err(|e: claviger::id::IdError| self.error(&setting, e.to_string()))?;
            roles.push((name, grants));
        }
        Roles::new(roles).map_err(|error| self.error("roles", error.to_string()))
    }

    fn messages(&self) -> Result<Vec<(Code, String)>, ConfigError> {
        let mut messages = Vec::new();
        for (code, text) in &self.settings.messages {
            let known = Code::from_name(code).ok_or_else(|| {
                let all: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
                let what = format!("there is no such code; the codes are {}", all.join(", "));
                self.error(&format!("messages.{code}"), what)
            })?;
            messages.push((known, text.clone()));
        }
        Ok(messages)
    }

    fn routes(&self) -> Result<RouteTable, ConfigError> {
        let mut routes = Vec::new();
        for (at, route) in self.settings.route.iter().enumerate() {
            let error = |setting: &str, what: String| self.error(&format!("route[{at}].{setting}"), what);
            let methods: Result<Vec<Method>, String> =
                route.methods.iter().map(|name| method(name)).collect();
            let access = match &route.access {
                Access::All(word) if word.is_empty() => Ok(unsaid(route)),
                Access::All(word) => level(word).map(RouteAccess::Every),
                Access::ByMethod(words) => words
                    .iter()
                    .map(|(name, word)| Ok((method(name)?, level(word)?)))
                    .collect::<Result<Vec<_>, String>>()
                    .map(|said| RouteAccess::PerMethod(with_the_unsaid(route, said))),
            };
            routes.push(Route {
                access: access.map_err(|what| error("access", what))?,
                credentials: match (route.credentials.as_slice(), route.serve) {
                    ([], Some(service)) if service.is_about_keys() => None,
                    ([], Some(_)) => Some(kinds(&[Kind::IdentityToken])),
                    ([], None) => None,
                    (named, _) => Some(kinds(named)),
                },
                websocket: route.websocket,
                cost: route.cost,
                oddities: Oddities {
                    encoded_slash: route.encoded_slash,
                    matrix: route.matrix_parameters,
                    raw_utf8: route.raw_utf8,
                },
                ..Route::new(
                    route.path.clone(),
                    route.resource.clone(),
                    methods.map_err(|what| error("methods", what))?,
                )
            });
        }
        let everywhere = Oddities {
            encoded_slash: self.settings.encoded_slash,
            matrix: self.settings.matrix_parameters,
            raw_utf8: self.settings.raw_utf8,
        };
        RouteTable::new(routes, self.settings.paths, self.settings.unlisted, everywhere)
            .map_err(|error| self.error(&format!("route[{}].path", error.at), error.to_string()))
    }

    fn limits(&self) -> Vec<LimitRule> {
        let rule = |limit: &super::Limit| {
            let window_millis = limit.seconds.saturating_mul(1000);
            let by_plan = limit.plans.iter().map(|(plan, amounts)| (plan.clone(), (*amounts).into()));
            LimitRule {
                name: limit.name.as_str().into(),
                per: limit.per,
                form: match limit.form {
                    LimitForm::Sliding => Form::Sliding { window_millis },
                    LimitForm::Burst => Form::Burst { refill_millis: window_millis },
                    LimitForm::Concurrency => Form::Concurrency,
                },
                amount: Amount { by_plan: by_plan.collect(), otherwise: limit.otherwise.into() },
            }
        };
        self.settings.limit.iter().map(rule).collect()
    }

    fn foreign_issuers(&self) -> Result<(Vec<ForeignIssuer>, Vec<KeyFile>), ConfigError> {
        let (mut issuers, mut files) = (Vec::new(), Vec::new());
        for (at, issuer) in self.settings.issuer.iter().enumerate() {
            let error = |setting: &str, what: String| self.error(&format!("issuer[{at}].{setting}"), what);
            let algorithms: Result<Vec<Algorithm>, String> = issuer
                .algorithms
                .iter()
                .map(|name| Algorithm::from_name(name).ok_or_else(|| unknown_algorithm(name)))
                .collect();
            let algorithms = algorithms.map_err(|what| error("algorithms", what))?;
            let algorithms = (!algorithms.is_empty()).then_some(algorithms);
            let keys = read_keys(&issuer.jwks_file, algorithms.as_deref())
                .map_err(|what| error("jwks_file", what))?;
            let keys = Arc::new(IssuerKeys::new(keys));
            let tenants: Result<Vec<_>, _> = issuer.tenants.iter().map(|id| id.parse()).collect();
            files.push(KeyFile {
                issuer: issuer.issuer.as_str().into(),
                path: issuer.jwks_file.clone(),
                algorithms,
                keys: keys.clone(),
            });
            issuers.push(ForeignIssuer {
                issuer: issuer.issuer.as_str().into(),
                audience: issuer.audience.as_deref().map(Into::into),
                types: issuer.typ.all().iter().map(|typ| typ.as_str().into()).collect(),
                required_claims: issuer
                    .required_claims
                    .iter()
                    .map(|(claim, value)| (claim.as_str().into(), value.as_str().into()))
                    .collect(),
                lifetime_seconds: issuer.lifetime_seconds,
                leeway_seconds: issuer.leeway_seconds,
                max_token_bytes: issuer.max_token_bytes,
                max_claims_depth: issuer.max_claims_depth,
                keys,
                tenants: tenants.map_err(|e: claviger::id::IdError| error("tenants", e.to_string()))?,
            });
        }
        Ok((issuers, files))
    }
}

/// A page that links in mail open: over HTTPS, or on this machine.
fn page(text: &str) -> Result<Arc<str>, &'static str> {
    let wrong = "write a page's URL, such as `https://app.example.com/account`, without a `#`";
    let uri: http::Uri = text.parse().map_err(|_| wrong)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong) };
    if text.contains('#') || authority.as_str().contains('@') {
        return Err(wrong);
    }
    let host = authority.host().trim_matches(['[', ']']);
    let is_here = host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match scheme {
        "https" => Ok(text.into()),
        "http" if is_here => Ok(text.into()),
        _ => Err("links lead to `https`, or to `http` on this machine; what is in them is a secret"),
    }
}

fn unknown_algorithm(name: &str) -> String {
    let all: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
    format!("`{name}` is not taken; there are {}", all.join(", "))
}

fn method(name: &str) -> Result<Method, String> {
    let method: Option<Method> =
        name.parse().ok().filter(|_| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'));
    method.ok_or_else(|| format!("`{name}` is not a method; write them in capitals"))
}

fn level(word: &str) -> Result<Level, String> {
    if word == "none" {
        return Ok(Level::Public);
    }
    word.parse().map(Level::Needs).map_err(|_| {
        format!("`{word}` is no access; it is `read`, `write`, `admin`, or `none` for what asks for nobody")
    })
}
