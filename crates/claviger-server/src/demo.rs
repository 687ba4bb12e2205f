//! The three example systems, running, with tenants, people and keys of their own.
//!
//! What the demonstration is allowed and no real server is (a development certificate, plain HTTP where an API
//! demands HTTPS) belongs to this file and to none of the example settings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger::directory::MemberState;
use claviger::grants::{Access, Grants};
use claviger::id::{AccountId, Environment, OrgId, TenantId};
use claviger_example_upstream as upstream;
use claviger_store::api_keys::NewApiKey;
use claviger_store::operators::{DEFAULT_DAYS, NewOperator};
use claviger_store::sign_up::NewTenant;
use claviger_store::tenants::{TenantUpdate, TenantView};

use crate::app::App;
use crate::binding_keys::binding_key;
use crate::certificates::DEVELOPMENT;
use crate::checks;
use crate::config::{Certificate, Config};
use crate::core::make_directory;
use crate::failure::{Failure, complaint};
use crate::identity_tokens;
use crate::management::{Management, user_token_text};
use crate::private_files::{cannot, write_private};
use crate::world::World;

/// The settings file the demonstration leaves in its directory, for `claviger --config`.
pub const SETTINGS: &str = "demo.toml";
/// What its operator is called.
const OPERATOR: &str = "demonstration";
const ENV_FILE: &str = "demo.env";
const CERTIFICATE: &str = "dev-cert.pem";
const CERTIFICATE_KEY: &str = "dev-key.pem";
/// The examples, as anybody can use them.
pub(crate) const EXAMPLES: [(&str, &str); 3] = [
    ("examples/synq.toml", include_str!("../../../examples/synq.toml")),
    ("examples/synaptiq.toml", include_str!("../../../examples/synaptiq.toml")),
    ("examples/syncello.toml", include_str!("../../../examples/syncello.toml")),
];
/// The hosts a development certificate is for: the examples' own and those of the documents behind them.
const HOSTS: [&str; 8] = [
    "localhost",
    "synq.localhost",
    "synq-strict.localhost",
    "synaptiq.localhost",
    "syncello.localhost",
    "api.synq.io",
    "synaptiqintel.com",
    "api.syncello.io",
];

/// Where the demonstration lives.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its data.
    pub data: PathBuf,
    /// The first of its ports.
    pub port_base: u16,
    /// Where to write the variables; in the data directory by default.
    pub env_file: Option<PathBuf>,
}

/// A demonstration that runs.
#[derive(Debug)]
pub struct Demo {
    app: App,
    upstream: Upstream,
    env_file: PathBuf,
}

/// The example upstream, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Upstream {
    stop: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Place {
    /// The same, whatever the working directory is.
    fn absolute(&self) -> Result<Self, Failure> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| {
                Failure::new(format!("`{}` is no place for files ({})", path.display(), complaint(&error)))
            })
        };
        Ok(Self {
            data: absolute(&self.data)?,
            port_base: self.port_base,
            env_file: self.env_file.as_deref().map(absolute).transpose()?,
        })
    }
}

/// A text as one word of a shell.
fn in_shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+,=%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl Demo {
    /// Starts it, makes what is missing, and writes the file of variables when everything is ready.
    ///
    /// # Errors
    /// With what keeps it from starting, and what to do about it.
    pub fn start(place: &Place, world: &World) -> Result<Self, Failure> {
        // Commands are pasted and settings read in other directories than this one.
        let place = &place.absolute()?;
        let data = &place.data;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| {
            Failure::new(format!("no port for the example upstream ({})", complaint(&error)))
        })?;
        let upstream_address = listener
            .local_addr()
            .map_err(|error| Failure::new(format!("no address ({})", complaint(&error))))?;
        let file = data.join(SETTINGS);
        let text = settings(place, upstream_address)?;
        let (config, source) = Config::parse(&file, text.clone())?;
        // Where a port is taken or another demonstration has the data, everything stays as it is.
        checks::check_ports(&config).map_err(|failure| {
            failure.hint(
                "say `--port-base`; another demonstration may be running, and `--data` keeps them apart",
            )
        })?;
        make_directory(data).map_err(cannot("make", data))?;
        certificate(data, DEVELOPMENT)?;
        let app = App::start(&config, &source, world)?;
        write_private(&file, &text)?;
        let upstream = Upstream::start(listener, &app, Arc::new(upstream::SystemClock))?;
        let kept = data.join(ENV_FILE);
        let variables = app.block_on(provision(app.management(), &read_env(&kept), &app, place))?;
        write_env(&kept, &variables)?;
        let env_file = match &place.env_file {
            Some(other) => {
                write_env(other, &variables)?;
                other.clone()
            }
            None => kept,
        };
        Ok(Self { app, upstream, env_file })
    }

    /// The running server.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Where the variables are.
    pub fn env_file(&self) -> &Path {
        &self.env_file
    }

    /// Three commands that work when they are pasted into a shell.
    pub fn curl_lines(&self) -> [String; 3] {
        let env = in_shell(&self.env_file.display().to_string());
        [
            format!(
                "(. {env} && curl -s \"$SYNQ_URL/api/v1/products\" -H \"Authorization: Bearer $SYNQ_TOKEN\")"
            ),
            format!(
                "(. {env} && curl -s \"$SYNAPTIQ_URL/api/v1/leads\" -H \"Authorization: Bearer $SYNAPTIQ_READ_KEY\")"
            ),
            format!(
                "(. {env} && curl -s -X POST \"$SYNCELLO_URL/v1/tools/tape/listApps\" -H \"Authorization: Bearer $SYNCELLO_TOKEN\" \
                 -H \"Content-Type: application/json\" -d '{{\"workspace_id\": 12345}}')"
            ),
        ]
    }

    /// Stops the server, then the upstream behind it.
    pub fn stop(self) {
        self.stop_unless(std::future::pending());
    }

    /// The same, and at once when `hurry` ends.
    pub fn stop_unless(self, hurry: impl Future<Output = ()>) {
        self.app.stop_unless(hurry);
        self.upstream.stop();
    }
}

impl Upstream {
    /// Answers on `listener` for all APIs of `app`, by `clock`.
    pub(crate) fn start(
        listener: std::net::TcpListener,
        app: &App,
        clock: Arc<dyn upstream::Clock>,
    ) -> Result<Self, Failure> {
        let management = app.management();
        let mut apis = std::collections::HashMap::new();
        for managed in management.apis.load().values() {
            let audience = &managed.api.identity_tokens.audience;
            let api: upstream::Api = audience
                .parse()
                .map_err(|_| Failure::new(format!("the example upstream knows no `{audience}`")))?;
            let key = binding_key(&management.store, &managed.api);
            let key: &[u8; 32] =
                key.expose().try_into().map_err(|_| Failure::new("a binding key has 32 bytes"))?;
            apis.insert(api, upstream::BindingKey::new(key));
        }
        let settings = upstream::Settings {
            apis,
            jwks_url: format!("http://{}/.well-known/jwks.json", app.ops_address()),
            clock,
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let io = |error: std::io::Error| {
            Failure::new(format!("the example upstream cannot be started ({})", complaint(&error)))
        };
        listener.set_nonblocking(true).map_err(io)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        let serve = move || {
            runtime.block_on(async {
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        let stopped = async {
                            // A sender that is gone means the same as one that sent.
                            let _ = stopped.await;
                        };
                        upstream::serve(listener, settings, stopped).await
                    }
                    Err(error) => Err(error.into()),
                };
                if let Err(error) = served {
                    tracing::error!(%error, "the example upstream ended");
                }
            });
        };
        let thread = std::thread::Builder::new().name("example-upstream".into()).spawn(serve).map_err(io)?;
        Ok(Self { stop, thread })
    }

    /// Lets requests under way finish.
    pub(crate) fn stop(self) {
        // An upstream that has ended by itself has nobody to tell.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// The examples' APIs on the demonstration's listeners and store, as the text of a settings file.
fn settings(place: &Place, upstream: SocketAddr) -> Result<String, Failure> {
    let file = |name: &str| toml::Value::String(place.data.join(name).display().to_string());
    let address = |offset: u16| {
        let port = if place.port_base == 0 { Some(0) } else { place.port_base.checked_add(offset) };
        let port = port.ok_or_else(|| {
            Failure::new("the ports would go beyond 65535").hint("say a lower `--port-base`")
        })?;
        Ok::<_, Failure>(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    let mut text = format!(
        "# Made by `claviger demo` at each start, for `claviger --config` on its data. `claviger serve` refuses both.\n\
         [store]\nurl = {}\n[keyring]\nfile = {}\n[ops]\naddress = \"{}\"\n[console]\naddress = \"{}\"\n[log]\naccess = {}\n\
         [[tls.certificate]]\ncertificate_file = {}\nkey_file = {}\n",
        toml::Value::String(format!("sqlite:{}", place.data.join("claviger.db").display())),
        file("keyring.toml"),
        address(19)?,
        address(10)?,
        file("access.log"),
        file(CERTIFICATE),
        file(CERTIFICATE_KEY),
    );
    for (offset, rest) in [
        (0, ""),
        (1, "api = \"synq\"\n"),
        (2, "api = \"synaptiq\"\nplain_http = \"yes_for_development_only\"\n"),
        (3, "api = \"syncello\"\n"),
        (4, "tls = true\n"),
    ] {
        let _ = write!(text, "[[listener]]\naddress = \"{}\"\n{rest}", address(offset)?);
    }
    let unreadable = |_| Failure::new("an example is not valid TOML");
    for (_, example) in EXAMPLES {
        let example: toml::Table = example.parse().map_err(unreadable)?;
        let mut apis = example.get("api").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        for api in apis.iter_mut().filter_map(toml::Value::as_table_mut) {
            api.insert("upstream".into(), format!("http://{upstream}").into());
        }
        let apis = toml::Table::from_iter([("api".to_owned(), toml::Value::Array(apis))]);
        let apis = toml::to_string(&apis)
            .map_err(|error| Failure::new(format!("the settings cannot be written out ({error})")))?;
        text.push_str(&apis);
    }
    Ok(text)
}

/// A certificate for the examples' hosts in the directory `data`, made at the first start.
pub(crate) fn certificate(data: &Path, common_name: &str) -> Result<Certificate, Failure> {
    let files =
        Certificate { certificate_file: data.join(CERTIFICATE), key_file: data.join(CERTIFICATE_KEY) };
    if files.certificate_file.exists() && files.key_file.exists() {
        return Ok(files);
    }
    let made = || {
        let mut params = rcgen::CertificateParams::new(HOSTS.map(String::from).to_vec())?;
        params.subject_alt_names.push(rcgen::SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let key = rcgen::KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok::<_, rcgen::Error>((certificate.pem(), key.serialize_pem()))
    };
    let (certificate, key) = made()
        .map_err(|error| Failure::new(format!("no development certificate could be made ({error})")))?;
    write_private(&files.key_file, &key)?;
    write_private(&files.certificate_file, &certificate)?;
    Ok(files)
}

fn write_env(path: &Path, variables: &BTreeMap<String, String>) -> Result<(), Failure> {
    let mut text = String::new();
    for (name, value) in variables {
        let _ = writeln!(text, "{name}={}", in_shell(value));
    }
    write_private(path, &text)
}

/// What an earlier start has left, nothing if there was none.
fn read_env(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// One of the demonstration's tenants.
struct Home {
    tenant: TenantId,
    org: OrgId,
    owner: AccountId,
}

/// Finds or makes everything the variables name.
async fn provision(
    management: &Management,
    before: &BTreeMap<String, String>,
    app: &App,
    place: &Place,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    let url =
        |at: usize| app.addresses().get(at).map(|address| format!("http://{address}")).unwrap_or_default();
    set("CLAVIGER_OPS", format!("http://{}", app.ops_address()));
    if let Some(console) = app.console_address() {
        set("CLAVIGER_CONSOLE", format!("http://{console}"));
        set(
            "CLAVIGER_OPERATOR_TOKEN",
            operator_token(management, before.get("CLAVIGER_OPERATOR_TOKEN")).await?,
        );
    }
    set("CLAVIGER_CONFIG", place.data.join(SETTINGS).display().to_string());

    set("SYNQ_URL", url(1));
    set("SYNQ2_URL", url(1));
    for (prefix, name, email) in
        [("SYNQ", "Northwind", "admin@northwind.example"), ("SYNQ2", "Southwind", "admin@southwind.example")]
    {
        let home = home(management, "synq", name, email, "Standard").await?;
        let store = management.operator().tenant(home.tenant);
        if prefix == "SYNQ2" {
            let update = TenantUpdate { name: None, plan: None, requires_identity_headers: Some(true) };
            store.tenant_update(update).await?;
        }
        set(&format!("{prefix}_EMAIL"), email.into());
        set(&format!("{prefix}_TENANT_ID"), home.tenant.to_string());
        set(&format!("{prefix}_ORG_ID"), home.org.to_string());
        set(&format!("{prefix}_TOKEN"), token(management, "synq", &home).await?);
        if prefix == "SYNQ" {
            let viewer = "viewer@northwind.example";
            let email = crate::management::parse(viewer, "e-mail")?;
            let role = crate::management::parse("VIEWER", "role")?;
            let members = store.member_list(home.org).await?;
            if !members.iter().any(|member| member.email == viewer) {
                store.member_add(home.org, &email, &role, MemberState::Active).await?;
            }
            set("SYNQ_VIEWER_EMAIL", viewer.into());
        }
    }

    set("SYNAPTIQ_URL", url(2));
    set("SYNAPTIQ_PLAIN_URL", url(0));
    set("SYNAPTIQ_TLS_URL", url(4).replace("http://", "https://"));
    let first = home(management, "synaptiq", "Eastwind", "admin@eastwind.example", "Enterprise").await?;
    let second = home(management, "synaptiq", "Westwind", "admin@westwind.example", "Starter").await?;
    set("SYNAPTIQ_EMAIL", "admin@eastwind.example".into());
    for (variable, home, access, environment) in [
        ("SYNAPTIQ_READ_KEY", &first, Access::Read, Environment::Live),
        ("SYNAPTIQ_WRITE_KEY", &first, Access::Write, Environment::Live),
        ("SYNAPTIQ_ADMIN_KEY", &first, Access::Admin, Environment::Live),
        ("SYNAPTIQ_TEST_KEY", &first, Access::Admin, Environment::Test),
        ("SYNAPTIQ2_ADMIN_KEY", &second, Access::Admin, Environment::Live),
    ] {
        let key = match before.get(variable) {
            Some(kept) => kept.clone(),
            None => {
                let new = NewApiKey {
                    org: home.org,
                    name: variable.to_lowercase(),
                    prefix: management.api("synaptiq")?.api.key_prefix.clone(),
                    environment,
                    grants: Grants::bundle(access),
                    networks: None,
                    expires_at: None,
                };
                let made = management.operator().tenant(home.tenant).key_create(new).await?;
                made.key.secret.expose_text().unwrap_or_default().to_owned()
            }
        };
        set(variable, key);
    }

    set("SYNCELLO_URL", url(3));
    set("SYNCELLO2_URL", url(3));
    let home = home(management, "syncello", "Trade Winds", "first@tradewinds.example", "Standard").await?;
    let store = management.operator().tenant(home.tenant);
    for (prefix, email) in
        [("SYNCELLO", "first@tradewinds.example"), ("SYNCELLO2", "second@tradewinds.example")]
    {
        let members = store.member_list(home.org).await?;
        let account = match members.iter().find(|member| member.email == email) {
            Some(member) => member.account,
            None => {
                let address = crate::management::parse(email, "e-mail")?;
                let role = crate::management::parse("MEMBER", "role")?;
                store.member_add(home.org, &address, &role, MemberState::Active).await?.account
            }
        };
        let api = management.api("syncello")?;
        let secret = store.user_secret_issue(&api.api.name, home.org, account).await?;
        set(&format!("{prefix}_EMAIL"), email.into());
        set(&format!("{prefix}_TOKEN"), user_token_text(&api, &secret)?);
    }
    Ok(env)
}

/// The tenant of that name, made if there is none.
async fn home(
    management: &Management,
    realm: &str,
    name: &str,
    email: &str,
    plan: &str,
) -> Result<Home, Failure> {
    let operator = management.operator();
    let realm = crate::management::parse(realm, "realm")?;
    let mut after: Option<TenantView> = None;
    loop {
        let page = operator.tenant_list(&realm, after.as_ref().map(Into::into), 200).await?;
        if let Some(found) = page.iter().find(|tenant| tenant.name == name) {
            let store = operator.tenant(found.tenant);
            let org = store.org_list().await?.first().map(|org| org.org);
            let org =
                org.ok_or_else(|| Failure::new(format!("the tenant `{name}` has no organization any more")))?;
            let members = store.member_list(org).await?;
            let owner = members.iter().find(|member| member.email == email).map(|member| member.account);
            let owner =
                owner.ok_or_else(|| Failure::new(format!("`{email}` is no member of `{name}` any more")))?;
            return Ok(Home { tenant: found.tenant, org, owner });
        }
        match page.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    let created = operator
        .tenant_create(NewTenant {
            realm,
            name: name.into(),
            plan: crate::management::parse(plan, "plan")?,
            organization: name.into(),
            owner: crate::management::parse(email, "e-mail")?,

            password_hash: None,
        })
        .await?;
    Ok(Home { tenant: created.tenant, org: created.org, owner: created.account })
}

/// The token of the demonstration's operator: the one from before, as long as it is somebody's.
async fn operator_token(management: &Management, before: Option<&String>) -> Result<String, Failure> {
    if let Some(token) = before
        && management.caller_with(token, None).await.is_ok()
    {
        return Ok(token.clone());
    }
    let operator = management.operator();
    if let Ok(old) = operator.operator_find(OPERATOR).await {
        operator.operator_end(old.operator).await?;
    }
    let name = OPERATOR.to_owned();
    let new = NewOperator { name, role: "owner", realms: None, tenants: None, days: DEFAULT_DAYS };
    let made = operator.operator_create(new).await?;
    Ok(made.token.expose_text().unwrap_or_default().to_owned())
}

/// A fresh token for the tenant's owner.
async fn token(management: &Management, api: &str, home: &Home) -> Result<String, Failure> {
    let api = management.api(api)?;
    let store = management.operator().tenant(home.tenant);
    let member = store.member_view(home.org, home.owner).await?;
    let session = store.session_create(home.org, home.owner, 24 * 3600).await?;
    let signer = identity_tokens::signer(&management.store, &api.api.realm).await?;
    let now = management.clock.now();
    Ok(identity_tokens::issue(&signer, &api.api, &session, &member.role, now, &*management.random)?.text)
}
