//! `claviger explain`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::print;
use crate::asked::Asked;
use crate::control::Way;
use crate::failure::{Failure, complaint};

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

impl Explain {
    pub(super) fn run(self, way: &Way, json: bool) -> Result<ExitCode, Failure> {
        let credential = if self.no_credential { None } else { Some(self.read_credential()?.to_string()) };
        let input = json!({
            "credential": credential,
            "method": self.method,
            "host": self.host,
            "path": self.path,
            "headers": self.headers,
            "plain": self.plain,
            "from": self.from,
        });
        let asked = Asked::new("explain.request", input);
        let answer = crate::control::ask(way, &asked, false)?.value;
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
        // As it stands in a header, for whoever copied it from there.
        let text = text.trim();
        let bare = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        Ok(Zeroizing::new(bare.map_or(text, |(_, rest)| rest.trim()).to_owned()))
    }
}
