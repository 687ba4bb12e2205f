//! `claviger explain`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use claviger::Inbound;
use claviger::explain::Explanation;
use claviger::network::Client;
use claviger::target::Target;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::management::{Failure, Management, complaint, parse};

use super::print;

/// The credential is read from standard input or a file: what stands on a command line stands in its history
/// and in the list of processes.
#[derive(Debug, Args)]
#[command(
    after_help = "The credential is read from standard input or a file, never from the command line, which others can see.

Examples:
  echo \"$SYNQ_TOKEN\" | claviger explain --host synq.localhost --path /api/v1/products
  claviger explain --credential-file key.txt --host api.example.com --method DELETE --path /orders/7
  claviger explain --no-credential --host api.example.com --path /orders --header 'X-Tenant-ID: ID'

It exits with 0 whether the request would be let in or refused; `--json` has `allowed`."
)]
pub(crate) struct Explain {
    /// Read the credential from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// Ask without a credential
    #[arg(long, conflicts_with = "credential_file")]
    no_credential: bool,
    /// The method
    #[arg(long, default_value = "GET")]
    method: String,
    /// The API's host
    #[arg(long)]
    host: String,
    /// The path and query, beginning with `/`
    #[arg(long)]
    path: String,
    /// A further header, `Name: value`; may be repeated
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Ask for a request over plain HTTP instead of HTTPS
    #[arg(long)]
    plain: bool,
    /// Where the request comes from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    from: String,
}

/// The same with its credential, on its way to a server.
#[derive(Serialize, Deserialize)]
pub(crate) struct Question {
    credential: Option<String>,
    method: String,
    host: String,
    path: String,
    headers: Vec<String>,
    plain: bool,
    from: String,
}

impl Drop for Question {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.credential);
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Question({} {} {})", self.method, self.host, self.path)
    }
}

impl Explain {
    pub(super) fn run(self, config: &Path, json: bool) -> Result<ExitCode, Failure> {
        let credential = if self.no_credential { None } else { Some(self.read_credential()?.to_string()) };
        let question = Question {
            credential,
            method: self.method,
            host: self.host,
            path: self.path,
            headers: self.headers,
            plain: self.plain,
            from: self.from,
        };
        let answer = crate::control::ask(config, super::Request::Explain(question), false)?.value;
        if json {
            print::value(&answer, true);
        } else {
            for step in answer.get("steps").and_then(Value::as_array).into_iter().flatten() {
                let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default();
                print::line(&format!("{:20} {}", text("step"), text("outcome")));
            }
            let verdict = match answer.get("status").and_then(Value::as_u64) {
                None => "let in".to_owned(),
                Some(status) => {
                    format!(
                        "refused: {status} {}",
                        answer.get("code").and_then(Value::as_str).unwrap_or_default()
                    )
                }
            };
            print::line(&verdict);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn read_credential(&self) -> Result<Zeroizing<String>, Failure> {
        let mut text = Zeroizing::new(String::new());
        match &self.credential_file {
            Some(file) => {
                let mut source = std::fs::File::open(file).map_err(|error| {
                    Failure::new(format!("cannot read `{}` ({})", file.display(), complaint(&error)))
                })?;
                source.read_to_string(&mut text)
            }
            None => {
                let mut input = std::io::stdin();
                if input.is_terminal() {
                    print::note("paste the credential, then press Enter and Ctrl-D");
                }
                input.read_to_string(&mut text)
            }
        }
        .map_err(|error| Failure::new(format!("cannot read the credential ({})", complaint(&error))))?;
        if text.trim().is_empty() {
            return Err(Failure::new("there is no credential in what was read")
                .hint("say `--no-credential` to ask without one"));
        }
        Ok(Zeroizing::new(text.trim().to_owned()))
    }
}

impl Question {
    pub(super) async fn run(self, management: &Management) -> Result<Value, Failure> {
        let host = claviger::authority::without_port(&self.host)
            .ok_or_else(|| Failure::new(format!("`--host {}` is not a host", self.host)))?
            .to_ascii_lowercase();
        let named = management.apis.values().find(|api| api.hosts.contains(&host));
        let api = named.ok_or_else(|| {
            let mut known: Vec<String> = management.apis.values().flat_map(|api| api.hosts.clone()).collect();
            known.sort();
            Failure::new(format!("no API answers to `{host}`: a request would be refused with 421"))
                .hint(format!("the hosts are {}", known.join(", ")))
        })?;
        let method: Method = parse(&self.method, "--method")?;
        if !self.path.starts_with('/') {
            return Err(Failure::new(format!("`--path {}` does not begin with `/`", self.path)));
        }
        let uri: Uri = parse(&self.path, "--path")?;
        let headers = self.headers()?;
        let target = match Target::of(&uri) {
            Ok(target) => target,
            Err(reason) => return Ok(answer(&Explanation::of_target(reason))),
        };
        let client = Client::At(parse(&self.from, "--from")?);
        let inbound = Inbound { method: &method, target, headers: &headers, client, secure: !self.plain };
        Ok(answer(&management.door.explain(&api.api, &inbound).await))
    }

    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, parse::<HeaderValue>(&self.host, "--host")?);
        for line in &self.headers {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| Failure::new(format!("`--header {line}`: write it as `Name: value`")))?;
            headers.append(parse::<HeaderName>(name.trim(), "--header")?, parse(value.trim(), "--header")?);
        }
        if let Some(credential) = &self.credential {
            let value = Zeroizing::new(format!("Bearer {}", credential));
            let value = HeaderValue::from_str(&value);
            let mut value =
                value.map_err(|_| Failure::new("the credential has characters that no header can carry"))?;
            value.set_sensitive(true);
            headers.append(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

fn answer(told: &Explanation) -> Value {
    let steps: Vec<Value> =
        told.steps().iter().map(|(step, said)| json!({ "step": step.as_str(), "outcome": said })).collect();
    let refusal = told.refusal();
    json!({
        "steps": steps,
        "allowed": refusal.is_none(),
        "status": refusal.map(|refusal| refusal.status().as_u16()),
        "code": refusal.map(|refusal| refusal.code().as_str()),
    })
}
