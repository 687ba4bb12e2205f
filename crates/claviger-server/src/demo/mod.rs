//! The three example systems, running, with tenants, people and keys of their own.
//!
//! What the demonstration is allowed and no real server is (a development certificate, plain HTTP where an API
//! demands HTTPS) belongs to this file and to none of the example settings.

mod provision;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_example_upstream as upstream;

use crate::app::App;
use crate::binding_keys::binding_key;
use crate::certificates::DEVELOPMENT;
use crate::checks;
use crate::config::{Certificate, Config};
use crate::failure::{Failure, complaint};
use crate::private_files::{cannot, make_directory, write_private};
use crate::world::World;

use provision::provision;

/// The settings file the demonstration leaves in its directory, for `claviger --config`.
pub const SETTINGS: &str = "demo.toml";
/// What its operator is called.
const OPERATOR: &str = "demonstration";
const ENV_FILE: &str = "demo.env";
const CERTIFICATE: &str = "dev-cert.pem";
const CERTIFICATE_KEY: &str = "dev-key.pem";
/// The examples, as anybody can use them.
pub(crate) const EXAMPLES: [(&str, &str); 3] = [
    ("examples/synq.toml", include_str!("../../../../examples/synq.toml")),
    ("examples/synaptiq.toml", include_str!("../../../../examples/synaptiq.toml")),
    ("examples/syncello.toml", include_str!("../../../../examples/syncello.toml")),
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
