//! The example server as a program. `--help` says what it takes.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use claviger_example_upstream::{Api, BindingKey, Settings, SystemClock, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Your API behind Claviger: answers only requests that Claviger let in and signed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Where Claviger publishes its public keys, as `http://127.0.0.1:8081/.well-known/jwks.json`
    #[arg(long, value_name = "URL")]
    jwks_url: String,
    /// An API to answer for (synq, synaptiq or syncello) and the file with its binding key; may be repeated
    #[arg(long, value_name = "NAME=FILE", required = true, value_parser = api_and_file)]
    api: Vec<(Api, PathBuf)>,
}

fn api_and_file(text: &str) -> anyhow::Result<(Api, PathBuf)> {
    let (name, file) = text.split_once('=').context("expected `NAME=FILE`")?;
    Ok((name.parse()?, file.into()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut apis = HashMap::new();
    for (api, file) in arguments.api {
        let shown = file.display();
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read `{shown}`"))?;
        apis.insert(api, BindingKey::from_base64url(&text).with_context(|| format!("in `{shown}`"))?);
    }
    let settings = Settings { apis, jwks_url: arguments.jwks_url, clock: Arc::new(SystemClock) };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on `{}`", arguments.listen))?;
    writeln!(std::io::stderr(), "listening on http://{}", listener.local_addr()?)?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(listener, settings, shutdown).await
}
