//! Claviger as a contender: all that knows its command line and settings is in this file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::contender::{Contender, Kind};
use crate::peers::KEYS;
use crate::server::Server;
use crate::workshop::{PATH, Workshop};
use crate::{ports, probe, say};

/// A running Claviger with a thousand keys in its store, each used once.
#[derive(Debug)]
pub(crate) struct Claviger {
    server: Rc<Server>,
    port: u16,
    key: String,
    token: String,
    resident_before: u64,
}

/// Resident memory in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resident {
    /// When each of the thousand keys had been used once.
    pub(crate) before_load: u64,
    pub(crate) after_load: u64,
}

/// Starts the server on a new store and provisions it through its control socket. `None` if the program has not been built.
pub(crate) fn start(workshop: &Workshop, upstream: u16) -> anyhow::Result<Option<Claviger>> {
    // Cargo puts both programs into the same directory.
    let program = std::env::current_exe()?.with_file_name("claviger");
    if !program.exists() {
        return Ok(None);
    }
    let [port, ops] = ports::free()?;
    let settings = workshop.fill("claviger.toml", &[("port", port), ("ops", ops), ("upstream", upstream)])?;
    let cli = Cli { program: &program, settings: &settings };

    let arguments = ["serve".to_owned(), "--config".to_owned(), settings.display().to_string()];
    let server = Server::start(workshop, "claviger", &program, &arguments)?
        .until_ready(workshop, "claviger", ops, "/readyz")?;
    say(&format!("making {KEYS} keys"));
    let tenant =
        cli.run("tenant create --realm bench --name Bench --owner-email bench@example.com --json")?;
    let (tenant, org) = (text(&tenant, "tenant_id")?, text(&tenant, "org_id")?);
    let create = format!("key create --tenant {tenant} --org {org} --name bench --scope read --json");
    let keys = (0..KEYS).map(|_| text(&cli.run(&create)?, "key")).collect::<anyhow::Result<Vec<_>>>()?;
    let issue =
        format!("token issue --api bench --tenant {tenant} --org {org} --email bench@example.com --json");
    let token = text(&cli.run(&issue)?, "access_token")?;

    for key in &keys {
        let status = probe::get(port, PATH, Some(&format!("Bearer {key}")))?.status;
        ensure!(status == 200, "Claviger answers {status} to one of its keys");
    }
    let resident_before = server.resident()?;
    let key = keys.into_iter().next().context("there are no keys")?;
    Ok(Some(Claviger { server: Rc::new(server), port, key, token, resident_before }))
}

impl Claviger {
    pub(crate) fn contenders(&self) -> [Contender; 2] {
        let contender = |kind, name, credential: &str| Contender {
            kind,
            name,
            server: Rc::clone(&self.server),
            port: self.port,
            authorization: Some(format!("Bearer {credential}")),
        };
        [
            contender(Kind::ClavigerKey, "Claviger, API key", &self.key),
            contender(Kind::ClavigerToken, "Claviger, identity token seen before", &self.token),
        ]
    }

    pub(crate) fn resident(&self) -> anyhow::Result<Resident> {
        Ok(Resident { before_load: self.resident_before, after_load: self.server.resident()? })
    }
}

struct Cli<'a> {
    program: &'a Path,
    settings: &'a PathBuf,
}

impl Cli<'_> {
    /// Runs a command whose words hold no spaces, and reads the JSON it prints.
    fn run(&self, words: &str) -> anyhow::Result<Value> {
        let output = Command::new(self.program)
            .arg("--config")
            .arg(self.settings)
            .args(words.split(' '))
            .output()
            .with_context(|| format!("cannot start `{}`", self.program.display()))?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`claviger {words}` failed: {}", error.trim());
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`claviger {words}` does not print JSON"))
    }
}

fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    let text = value.get(field).and_then(Value::as_str);
    Ok(text.with_context(|| format!("Claviger did not print a field `{field}`"))?.to_owned())
}
