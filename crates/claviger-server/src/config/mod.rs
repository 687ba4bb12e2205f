//! The settings: one TOML file, read strictly, over the defaults in `config.default.toml`.
//!
//! No default stands in this code. A setting that is missing from the default file fails every start.

mod api;
mod load;
mod mail;
mod service;
mod source;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use claviger::api::HeaderMode;
use claviger::envelope::Layout;
use claviger::id::{ApiName, PlanName, RealmName, Resource};
use claviger::limit_rule::{Per, PerAccess};
use claviger::network::{Network, Networks};
use claviger::route::{Paths, Unlisted};
use serde::{Deserialize, Deserializer};

pub(crate) use api::doubts;
pub use api::{KeyFile, ServedApi, SignInRules, build_api};
pub use load::in_force;
pub(crate) use load::{TOKEN_VARIABLE, operator_token};
pub use mail::{Mail, MailServer, Mailing, Security};
pub use service::Service;
pub use source::{ConfigError, Source};

/// All settings, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "`config.default.toml` says what each setting is, and is what users read")]
pub struct Config {
    pub server: Server,
    pub listener: Vec<Listener>,
    pub tls: Tls,
    pub store: Store,
    pub keyring: Keyring,
    pub directory: Directory,
    pub ops: Ops,
    pub console: Console,
    pub mail: Mail,
    pub log: Log,
    pub api: Vec<Api>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Server {
    pub cores: usize,
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Networks,
    pub drain_seconds: u64,
    pub close_delay_seconds: u64,
    pub head_seconds: u64,
    pub keep_alive_seconds: u64,
    pub max_head_bytes: usize,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub empty_lookups_per_minute: u32,
    pub verified_token_bytes: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Listener {
    pub address: SocketAddr,
    pub tls: bool,
    #[serde(deserialize_with = "unset_if_empty")]
    pub api: Option<ApiName>,
    pub plain_http: PlainHttp,
}

/// Whether HTTPS rules are off for local development.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlainHttp {
    /// The rules hold.
    No,
    /// They are off where listener, client and Host are all local.
    YesForDevelopmentOnly,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Tls {
    pub certificate: Vec<Certificate>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Certificate {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Store {
    pub url: StoreUrl,
    #[serde(deserialize_with = "unset_if_empty")]
    pub owner_url: Option<StoreUrl>,
    #[serde(deserialize_with = "unset_if_empty")]
    pub feed_url: Option<StoreUrl>,
    #[serde(deserialize_with = "unset_if_empty")]
    pub withdrawals_file: Option<PathBuf>,
    #[serde(deserialize_with = "unset_if_empty")]
    pub ca_file: Option<PathBuf>,
    pub audit_days: u32,
    pub readers: usize,
}

/// A store's address. May hold a password, so it does not print it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct StoreUrl(String);

impl StoreUrl {
    /// The whole address, for the store.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The file, if it is SQLite's.
    pub fn sqlite_path(&self) -> Option<&Path> {
        self.0.strip_prefix("sqlite:").map(Path::new)
    }

    /// The address with its password hidden.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return self.0.clone() };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => match user.split_once(':') {
                Some((user, _)) => (format!("{user}:***@"), rest),
                None => (format!("{user}@"), rest),
            },
            None => (String::new(), rest),
        };
        // Parameters can hold a password too.
        match rest.split_once('?') {
            Some((place, parameters)) if parameters.contains("password") => {
                format!("{scheme}://{user}{place}?***")
            }
            _ => format!("{scheme}://{user}{rest}"),
        }
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        if known { Ok(Self(url)) } else { Err("a store is `sqlite:` and a path, or `postgres://…`".into()) }
    }
}

impl std::str::FromStr for StoreUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        url.to_owned().try_into()
    }
}

impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Keyring {
    pub file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Directory {
    pub max_staleness_seconds: u64,
    pub max_entries: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Ops {
    pub address: SocketAddr,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Console {
    #[serde(deserialize_with = "unset_if_empty")]
    pub address: Option<SocketAddr>,
    pub tls: bool,
    #[serde(deserialize_with = "unset_if_empty")]
    pub socket: Option<PathBuf>,
    pub system_users: BTreeMap<String, String>,
}

/// As whom users of another user namespace, and of remote file systems, appear (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65_534;

impl Console {
    /// The users of this machine who are operators, by their numbers.
    ///
    /// # Errors
    /// Saying which number is none.
    pub fn users(&self) -> Result<BTreeMap<u32, String>, String> {
        let users = self.system_users.iter().map(|(user, operator)| {
            let wrong = || format!("`{user}` is no user's number; `id -u NAME` says it");
            let number = user.parse::<u32>().map_err(|_| wrong())?;
            if number.to_string() != *user {
                return Err(wrong());
            }
            match number {
                0 => Err("`0` is root, who is an owner without being named".to_owned()),
                NOBODY | u32::MAX => {
                    Err(format!("`{user}` is whoever has no number of their own here, and may be anybody"))
                }
                _ => Ok((number, operator.clone())),
            }
        });
        users.collect()
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
    pub access: AccessLog,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
}

impl From<String> for AccessLog {
    fn from(text: String) -> Self {
        match text.as_str() {
            "off" => Self::Off,
            "stdout" => Self::Stdout,
            _ => Self::File(text.into()),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Api {
    pub name: ApiName,
    pub sign_in: SignIn,
    pub sign_up: SignUp,
    #[serde(deserialize_with = "unset_if_empty")]
    pub mail_page: Option<String>,
    #[serde(deserialize_with = "unset_if_empty")]
    pub document_path: Option<String>,
    pub session_seconds: i64,
    pub realm: RealmName,
    pub hosts: Vec<String>,
    pub credentials: Vec<Kind>,
    pub upstream: String,
    #[serde(deserialize_with = "unset_if_empty")]
    pub upstream_ca_file: Option<PathBuf>,
    pub errors: Layout,
    #[serde(deserialize_with = "unset_if_empty")]
    pub error_doc_url: Option<String>,
    #[serde(deserialize_with = "parsed")]
    pub key_prefix: claviger::api_key::KeyPrefix,
    #[serde(deserialize_with = "unset_if_empty")]
    pub credential_header: Option<http::HeaderName>,
    pub basic: bool,
    pub websocket_credential: bool,
    #[serde(deserialize_with = "unset_if_empty")]
    pub token_issuer: Option<String>,
    #[serde(deserialize_with = "unset_if_empty")]
    pub token_audience: Option<String>,
    pub token_algorithm: TokenAlgorithm,
    pub token_lifetime_seconds: i64,
    pub token_key_days: u16,
    #[serde(deserialize_with = "unset_if_empty")]
    pub user_token_issuer: Option<String>,
    pub identity_headers: HeaderMode,
    #[serde(deserialize_with = "parsed")]
    pub tenant_header: http::HeaderName,
    #[serde(deserialize_with = "parsed")]
    pub org_header: http::HeaderName,
    pub tenant_parameters: Vec<String>,
    pub org_parameters: Vec<String>,
    pub https: Https,
    pub verified_email: bool,
    pub outside: Outside,
    pub paths: Paths,
    #[serde(deserialize_with = "unset_if_empty_word")]
    pub unlisted: Option<Unlisted>,
    pub encoded_slash: bool,
    pub matrix_parameters: bool,
    pub raw_utf8: bool,
    pub max_body_bytes: u64,
    pub plans: Vec<PlanName>,
    pub most_live_keys: BTreeMap<PlanName, u64>,
    pub cors_origins: Vec<String>,
    pub timeouts: Timeouts,
    pub roles: BTreeMap<String, String>,
    pub messages: BTreeMap<String, String>,
    pub route: Vec<Route>,
    pub limit: Vec<Limit>,
    pub issuer: Vec<Issuer>,
}

/// What identity tokens are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TokenAlgorithm {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA over P-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// Whether an API is served over HTTPS alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Https {
    /// It is.
    Required,
    /// Plain HTTP too.
    Optional,
}

/// A kind of credential, as settings spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is its own name")]
pub enum Kind {
    ApiKey,
    IdentityToken,
    UserToken,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Timeouts {
    pub connect: u64,
    pub response_head: u64,
    pub body_idle: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Route {
    pub path: String,
    pub resource: Resource,
    pub methods: Vec<String>,
    pub access: Access,
    pub credentials: Vec<Kind>,
    #[serde(deserialize_with = "unset_if_empty_word")]
    pub serve: Option<Service>,
    pub websocket: bool,
    pub cost: u32,
    pub encoded_slash: bool,
    pub matrix_parameters: bool,
    pub raw_utf8: bool,
}

/// What is said of something outside of somebody's organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outside {
    /// 404.
    NotFound,
    /// 403.
    Forbidden,
}

/// What the methods of a route need: one word for all of them, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "write a word such as \"read\", or a table such as { GET = \"read\" }")]
pub enum Access {
    /// The same for all; empty if it is not said.
    All(String),
    /// By method.
    ByMethod(BTreeMap<String, String>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Limit {
    pub name: String,
    pub per: Per,
    pub form: LimitForm,
    pub seconds: u64,
    pub plans: BTreeMap<PlanName, Amounts>,
    pub otherwise: Amounts,
}

/// Whether people sign in at an API's own hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignIn {
    /// Not there.
    Off,
    /// By e-mail address and password.
    Password,
}

/// Who may sign up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Nobody by themselves.
    Closed,
    /// Anybody.
    Open,
}

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "see `config.default.toml`")]
pub enum LimitForm {
    Sliding,
    Burst,
    Concurrency,
}

/// Amounts by access.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `config.default.toml`")]
pub struct Amounts {
    pub read: Option<u64>,
    pub write: Option<u64>,
    pub admin: Option<u64>,
}

impl From<Amounts> for PerAccess {
    fn from(amounts: Amounts) -> Self {
        Self { read: amounts.read, write: amounts.write, admin: amounts.admin }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Issuer {
    pub issuer: String,
    #[serde(deserialize_with = "unset_if_empty")]
    pub audience: Option<String>,
    pub typ: OneOrMore,
    pub required_claims: BTreeMap<String, String>,
    pub jwks_file: PathBuf,
    pub algorithms: Vec<String>,
    pub lifetime_seconds: i64,
    pub leeway_seconds: i64,
    pub max_token_bytes: usize,
    pub max_claims_depth: u8,
    pub tenants: Vec<String>,
}

/// One text, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "write a text in quotes, or a list of them")]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl OneOrMore {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }
}

/// A text that stands for nothing when it is empty.
fn unset_if_empty<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// The same of a word that a type knows as such.
fn unset_if_empty_word<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    T::deserialize(serde::de::value::StringDeserializer::new(text)).map(Some)
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Networks, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let networks: Result<Vec<Network>, String> = texts.iter().map(|text| text.parse()).collect();
    networks.map(Networks::new).map_err(serde::de::Error::custom)
}
