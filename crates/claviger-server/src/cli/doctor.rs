//! `claviger doctor`: looks for what would keep a server from working, and goes on looking after the first find.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use claviger::clock::Clock;
use claviger_store::Keyring;
use rustix::fs::{Access, access};
use serde_json::{Value, json};

use crate::checks;
use crate::clock::MachineClock;
use crate::config::{Config, Source};
use crate::failure::{Failure, complaint};

use super::{print, store};

/// How long an upstream may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(3);

struct Check {
    what: String,
    /// `None` if it is well; else what is wrong and what to do.
    finding: Option<String>,
    /// Whether somebody may mean it so.
    is_warning: bool,
}

impl Check {
    fn new(what: String, finding: Option<String>) -> Self {
        Self { what, finding, is_warning: false }
    }
}

pub(super) fn run(file: &Path, json: bool) -> Result<ExitCode, Failure> {
    let settings = format!("settings `{}`", file.display());
    let checks = match Config::load(file) {
        Ok((config, source)) => {
            let mut checks = settings_checks(&config, &source, file, settings);
            checks.extend(look(&config));
            checks
        }
        Err(error) => vec![Check::new(settings, Some(said(&error.into())))],
    };
    let found = checks.iter().filter(|check| check.finding.is_some() && !check.is_warning).count();
    if json {
        let rows: Vec<Value> = checks
            .iter()
            .map(
                |check| json!({ "check": check.what, "finding": check.finding, "warning": check.is_warning }),
            )
            .collect();
        print::value(&rows.into(), true);
    } else {
        for check in &checks {
            print::line(&match &check.finding {
                None => format!("ok       {}", check.what),
                Some(finding) if check.is_warning => format!("WARNING  {}: {finding}", check.what),
                Some(finding) => format!("PROBLEM  {}: {finding}", check.what),
            });
        }
    }
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn settings_checks(config: &Config, source: &Source, file: &Path, what: String) -> Vec<Check> {
    // Only the demonstration makes a file of this name, and only it may have a development certificate.
    let is_demo = file.file_name().is_some_and(|name| name == crate::demo::SETTINGS);
    let served = match checks::check(config, source) {
        Ok(served) => served,
        Err(failure) => return vec![Check::new(what, Some(said(&failure)))],
    };
    let finding = checks::check_serving(config, source, &served, is_demo).err();
    let mut found = vec![Check::new(what.clone(), finding.map(|failure| said(&failure)))];
    found.extend(
        checks::warnings(config, source, &served, MachineClock::new().time_of_day()).into_iter().map(
            |warning| Check { is_warning: true, ..Check::new(what.clone(), Some(said(&warning.into()))) },
        ),
    );
    found
}

/// Everything but the settings themselves.
fn look(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |what: String, finding: Option<String>| checks.push(Check::new(what, finding));
    let database = config.store.url.sqlite_path();
    let is_served = database.is_some_and(crate::control_socket::is_served);
    check(format!("keyring `{}`", config.keyring.file.display()), keyring_finding(config));
    if let Some(database) = database {
        check(format!("data directory of `{}`", database.display()), directory_finding(database));
    }
    if is_served {
        check("a server is running on this data".into(), None);
    } else {
        // A store that is not there is made at the first start.
        let hidden = database.and_then(|database| unreadable(database).map(|why| (database, why)));
        if let Some((database, why)) = hidden {
            check(format!("database `{}`", database.display()), Some(why));
        } else if database.is_none_or(Path::exists) && config.keyring.file.exists() {
            let finding = store::check(config).err().map(|failure| said(&failure));
            check(format!("store `{}`", config.store.url.shown()), finding);
        }
        let addresses = config.listener.iter().map(|listener| listener.address);
        for address in addresses.chain([config.ops.address]) {
            check(format!("port of `{address}`"), port_finding(address));
        }
    }
    for api in &config.api {
        check(format!("upstream of `{}`: `{}`", api.name, api.upstream), upstream_finding(&api.upstream));
    }
    checks
}

fn said(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{} ({hint})", failure.what),
        None => failure.what.clone(),
    }
}

/// Why a file that may be there cannot be used by this user.
fn unreadable(file: &Path) -> Option<String> {
    let looked = match file.try_exists() {
        Ok(true) => access(file, Access::READ_OK | Access::WRITE_OK).map_err(Into::into),
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    let error: std::io::Error = looked.err()?;
    let (what, cure) = (complaint(&error), "run this as the user whose server it is");
    Some(format!("this user may not use it: {what} ({cure})"))
}

fn keyring_finding(config: &Config) -> Option<String> {
    let file = &config.keyring.file;
    if let Some(why) = unreadable(file) {
        return Some(why);
    }
    if file.exists() {
        return Keyring::load(file).err().map(|error| error.to_string());
    }
    let is_new = config.store.url.sqlite_path().is_none_or(|database| !database.exists());
    (!is_new).then(|| "it is missing, and the store is not new (put it back from its copy)".to_owned())
}

fn directory_finding(database: &Path) -> Option<String> {
    let directory = match database.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match std::fs::metadata(directory) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            return Some("others than its owner can look into it (`chmod 700` it)".into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Some(complaint(&error)),
    }
    // One that is not there is made at the first start, in the nearest that is.
    let here: PathBuf = directory.ancestors().find(|above| above.exists()).unwrap_or(Path::new(".")).into();
    match access(&here, Access::WRITE_OK) {
        Ok(()) => None,
        Err(error) => {
            Some(format!("`{}` cannot be written to ({})", here.display(), complaint(&error.into())))
        }
    }
}

fn port_finding(address: SocketAddr) -> Option<String> {
    std::net::TcpListener::bind(address)
        .err()
        .map(|error| format!("it cannot be listened on ({})", complaint(&error)))
}

fn upstream_finding(url: &str) -> Option<String> {
    let no_answer = |error: std::io::Error| format!("it does not answer ({})", complaint(&error));
    if let Some(path) = url.strip_prefix("unix:") {
        return std::os::unix::net::UnixStream::connect(path).err().map(no_answer);
    }
    // An address that is none is the settings' finding.
    let uri: http::Uri = url.parse().ok()?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let addresses = match (uri.host()?.trim_matches(['[', ']']), port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(_) => return Some("its name has no address".into()),
    };
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return None,
            Err(error) => last = Some(error),
        }
    }
    Some(last.map_or_else(|| "its name has no address".to_owned(), no_answer))
}
