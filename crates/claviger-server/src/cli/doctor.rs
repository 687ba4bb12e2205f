//! `claviger doctor`: looks for what would keep a server from working, and goes on looking after the first find.

use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use claviger_store::Keyring;
use serde_json::{Value, json};

use crate::app;
use crate::config::Config;
use crate::management::Failure;

use super::print;

struct Check {
    what: String,
    /// `None` if it is well; else what is wrong and what to do.
    finding: Option<String>,
}

pub(super) fn run(file: &Path, json: bool) -> Result<ExitCode, Failure> {
    let mut checks = Vec::new();
    let mut check = |what: String, finding: Option<String>| checks.push(Check { what, finding });
    let config = match Config::load(file) {
        Ok((config, source)) => {
            check(
                format!("settings `{}`", file.display()),
                app::check(&config, &source).err().map(|failure| said(&failure)),
            );
            Some(config)
        }
        Err(error) => {
            check(format!("settings `{}`", file.display()), Some(said(&error.into())));
            None
        }
    };
    if let Some(config) = &config {
        let keyring = &config.keyring.file;
        check(
            format!("keyring `{}`", keyring.display()),
            if keyring.exists() { Keyring::load(keyring).err().map(|error| error.to_string()) } else { None },
        );
        if let Some(database) = config.store.url.sqlite_path() {
            check(format!("data directory of `{}`", database.display()), directory_finding(database));
            let running = std::os::unix::net::UnixStream::connect(
                database.parent().unwrap_or(Path::new(".")).join("control.sock"),
            );
            if running.is_err() {
                for listener in &config.listener {
                    check(format!("port of {}", listener.address), port_finding(listener.address));
                }
            }
        }
        for api in &config.api {
            check(format!("upstream of `{}`: {}", api.name, api.upstream), upstream_finding(&api.upstream));
        }
    }
    let found = checks.iter().filter(|check| check.finding.is_some()).count();
    if json {
        let rows: Vec<Value> =
            checks.iter().map(|check| json!({ "check": check.what, "finding": check.finding })).collect();
        print::value(&rows.into(), true);
    } else {
        for check in &checks {
            print::line(&match &check.finding {
                None => format!("ok       {}", check.what),
                Some(finding) => format!("PROBLEM  {}: {finding}", check.what),
            });
        }
    }
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn said(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{} ({hint})", failure.what),
        None => failure.what.clone(),
    }
}

fn directory_finding(database: &Path) -> Option<String> {
    let directory = match database.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match std::fs::metadata(directory) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            Some("others than its owner can look into it; `chmod 700` it".into())
        }
        Ok(metadata) if metadata.permissions().readonly() => Some("it cannot be written to".into()),
        // One that is not there is made at the first start.
        _ => None,
    }
}

fn port_finding(address: std::net::SocketAddr) -> Option<String> {
    std::net::TcpListener::bind(address)
        .err()
        .map(|error| format!("it cannot be listened on ({})", error.kind()))
}

fn upstream_finding(url: &str) -> Option<String> {
    if let Some(path) = url.strip_prefix("unix:") {
        let error = std::os::unix::net::UnixStream::connect(path).err()?;
        return Some(format!("it does not answer ({})", error.kind()));
    }
    let uri: http::Uri = url.parse().ok()?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let addresses = match (uri.host()?.trim_matches(['[', ']']), port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(_) => return Some("its name has no address".into()),
    };
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, Duration::from_secs(3)) {
            Ok(_) => return None,
            Err(error) => last = Some(error.kind()),
        }
    }
    Some(format!("it does not answer ({})", last.map_or_else(String::new, |kind| kind.to_string())))
}
