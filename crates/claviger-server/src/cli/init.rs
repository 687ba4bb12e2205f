//! `claviger init`: from nothing to an API that can be served, with a first tenant, its key and an operator.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::print;
use crate::asked::Asked;
use crate::checks::{check, check_serving};
use crate::config::Config;
use crate::control::{Way, ask};
use crate::failure::Failure;
use crate::private_files::write_private;

/// The first ports that are tried; the next free one is taken where somebody has one.
const PORTS: [u16; 3] = [8000, 8010, 8099];
/// How far is looked for a free one.
const FURTHEST: u16 = 100;

#[derive(Debug, Args)]
#[command(after_help = "Example:
  claviger init --upstream http://127.0.0.1:3000 --owner-email you@example.com
  claviger serve")]
pub(crate) struct Init {
    /// Where your API is: `http://host:port`, `https://host:port` or `unix:/path`
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// The e-mail address of whoever owns the first tenant
    #[arg(long, value_name = "ADDRESS")]
    owner_email: String,
    /// What to call the API, and the realm of its tenants
    #[arg(long, default_value = "api")]
    name: String,
    /// A host that it answers to besides `localhost`; again for more
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// What to call the first tenant
    #[arg(long, value_name = "NAME", default_value = "First")]
    tenant: String,
    /// Where to write the operator's token
    #[arg(long, value_name = "FILE", default_value = "operator.token")]
    operator_token: std::path::PathBuf,
}

/// A free port of this machine's own address, from `first` on, that is none of these.
fn free_port(first: u16, others: &[SocketAddr]) -> Result<SocketAddr, Failure> {
    let tried =
        (first..first.saturating_add(FURTHEST)).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    tried
        .filter(|address| !others.contains(address))
        .find(|address| TcpListener::bind(address).is_ok())
        .ok_or_else(|| Failure::new(format!("none of the ports from {first} on is free")))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Init {
    /// The settings, with what each is for.
    fn settings(&self, addresses: [SocketAddr; 3]) -> String {
        let [api, console, ops] = addresses;
        let mut hosts = vec!["localhost".to_owned()];
        hosts.extend(self.host.iter().filter(|host| *host != "localhost").cloned());
        let hosts: Vec<String> = hosts.iter().map(|host| quoted(host)).collect();
        let (name, upstream) = (quoted(&self.name), quoted(&self.upstream));
        let mut text = String::new();
        let _ = write!(
            text,
            "# What Claviger serves. `claviger check-config` reads it, `claviger serve` serves by it, and\n\
             # `claviger settings reload` has a running server take up what has changed.\n\
             # Whatever is not said has a default: `claviger config` prints them all.\n\n\
             [[listener]]\n\
             address = \"{api}\"        # for clients; `[[tls.certificate]]` and `tls = true` make it HTTPS\n\n\
             [console]                             # the management API, for `claviger --server` and programs\n\
             address = \"{console}\"\n\n\
             [ops]                                 # health, readiness and metrics; not for the public\n\
             address = \"{ops}\"\n\n\
             [[api]]\n\
             name = {name}\n\
             realm = {name}                        # tenants, accounts and keys belong to a realm\n\
             hosts = [{}]\n\
             credentials = [\"api-key\", \"identity-token\"]\n\
             upstream = {upstream}\n\n\
             [api.roles]                           # what members with tokens may do; each access includes the ones before it\n\
             ADMIN = \"admin\"\n\
             EDITOR = \"write\"\n\
             VIEWER = \"read\"\n\n\
             # Without routes, GET needs read, POST, PUT and PATCH need write, and DELETE needs admin, of everything. As soon as one\n\
             # is listed, what is not is 404:\n\
             #\n\
             # [[api.route]]\n\
             # path = \"/orders/{{id}}\"\n\
             # resource = \"orders\"                 # keys and roles can be for single resources: \"orders:read\"\n\
             #\n\
             # How often may each key or member ask?\n\
             #\n\
             # [[api.limit]]\n\
             # name = \"requests-per-minute\"\n\
             # per = \"credential\"\n\
             # form = \"sliding\"\n\
             # seconds = 60\n\
             # otherwise = 600\n",
            hosts.join(", "),
        );
        text
    }

    pub(super) fn run(self, file: &Path, json: bool) -> Result<ExitCode, Failure> {
        for taken in [file, &self.operator_token] {
            if taken.exists() {
                return Err(Failure::new(format!(
                    "`{}` is there already, and nothing was changed",
                    taken.display()
                ))
                .hint(
                    "begin in an empty directory, or name another file with `--config` or `--operator-token`",
                ));
            }
        }
        let api = free_port(PORTS[0], &[])?;
        let console = free_port(PORTS[1], &[api])?;
        let ops = free_port(PORTS[2], &[api, console])?;
        let text = self.settings([api, console, ops]);
        // What is wrong with what was said is found before anything is written.
        let (config, source) = Config::parse(file, text.clone())?;
        let served = check(&config, &source)?;
        check_serving(&config, &source, &served, false)?;
        let database = config.store.url.sqlite_path().filter(|database| database.exists());
        if let Some(database) = database {
            return Err(Failure::new(format!("there is a store at `{}` already", database.display()))
                .hint("begin in an empty directory"));
        }
        self.owner_email
            .parse::<claviger_store::Email>()
            .map_err(|error| Failure::argument("owner_email", &self.owner_email, error.to_string()))?;
        let before = Before::of(&config);
        // Before anything is made: a token that cannot be written down would be nobody's.
        write_private(&self.operator_token, "")?;
        let made = write_private(file, &text).and_then(|()| self.fill(file, &config)).inspect_err(|_| {
            // What is half done would stand in the way of the next try.
            let _ = std::fs::remove_file(file);
            let _ = std::fs::remove_file(&self.operator_token);
            before.restore(&config);
        })?;
        let value = json!({
            "settings": file.display().to_string(),
            "keyring": config.keyring.file.display().to_string(),
            "operator_token": self.operator_token.display().to_string(),
            "tenant_id": made.tenant.get("tenant_id"),
            "org_id": made.tenant.get("org_id"),
            "key_id": made.key.get("key_id"),
            "key": made.key.get("key"),
            "api": format!("http://{api}"),
            "console": format!("http://{console}"),
            "ops": format!("http://{ops}"),
        });
        print::value(&value, json);
        if !json {
            print::note(&format!(
                "\nThe key is shown this once. Keep a copy of `{}` apart from the backups of the database.\n\
                 Now: claviger serve\n\
                 then, in another terminal: curl -i http://localhost:{}/ -H \"Authorization: Bearer KEY\"",
                config.keyring.file.display(),
                api.port()
            ));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Makes what the settings are for.
    fn fill(&self, file: &Path, config: &Config) -> Result<Made, Failure> {
        // Not what the environment says: a first tenant belongs into no store that is there.
        if Config::load(file)?.0.store.url != config.store.url {
            let hint = "run it without CLAVIGER_STORE_URL, or make tenant and key by `claviger tenant create` and `key create`";
            return Err(
                Failure::new("the environment names a store of its own, and this makes a new one").hint(hint)
            );
        }
        let way = Way::Home(file.to_owned());
        let done = |id: &str, input: Value| ask(&way, &Asked::new(id, input), false).map(|done| done.value);
        let tenant = done(
            "tenant.create",
            json!({ "realm": self.name, "name": self.tenant, "owner_email": self.owner_email }),
        )?;
        let place = json!({
            "tenant": tenant.get("tenant_id"), "org": tenant.get("org_id"), "name": "first", "scope": "admin",
        });
        let key = done("key.create", place)?;
        let operator = done("operator.create", json!({ "name": "owner", "role": "owner" }))?;
        let token = operator.get("token").and_then(Value::as_str).unwrap_or_default();
        write_private(&self.operator_token, &format!("{token}\n"))?;
        Ok(Made { tenant, key })
    }
}

/// What was there before of what is made.
struct Before {
    /// The files in the directory of the data; `None` if there was none.
    data: Option<BTreeSet<OsString>>,
    has_keyring: bool,
}

fn files_in(directory: &Path) -> Option<BTreeSet<OsString>> {
    let entries = std::fs::read_dir(directory).ok()?;
    Some(entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect())
}

impl Before {
    fn of(config: &Config) -> Self {
        let data = data_directory_of(config).and_then(|data| files_in(&data));
        Self { data, has_keyring: config.keyring.file.exists() }
    }

    /// Takes away what was not.
    fn restore(&self, config: &Config) {
        if !self.has_keyring {
            let _ = std::fs::remove_file(&config.keyring.file);
        }
        let Some(directory) = data_directory_of(config) else { return };
        let Some(before) = &self.data else {
            let _ = std::fs::remove_dir_all(directory);
            return;
        };
        for name in files_in(&directory).unwrap_or_default().difference(before) {
            let _ = std::fs::remove_file(directory.join(name));
        }
    }
}

/// The directory that is the embedded store's own.
fn data_directory_of(config: &Config) -> Option<std::path::PathBuf> {
    let parent = config.store.url.sqlite_path()?.parent()?;
    (!parent.as_os_str().is_empty()).then(|| parent.to_owned())
}

/// What was made.
struct Made {
    tenant: Value,
    key: Value,
}
