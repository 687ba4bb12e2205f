//! `claviger serve`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use claviger::random::SystemRandom;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::app::{App, World};
use crate::clock::MachineClock;
use crate::config::{Config, LogFormat};
use crate::management::Failure;

pub(super) fn serve(file: &Path) -> Result<ExitCode, Failure> {
    let (config, source) = Config::load(file)?;
    log_to_standard_error(&config.log.filter, config.log.format)?;
    let world = World { clock: MachineClock::new(), random: Arc::new(SystemRandom), is_demo: false };
    let app = App::start(&config, &source, &world)?;
    app.block_on(told_to_stop())?;
    tracing::info!("stopping: finishing what is under way");
    app.stop();
    Ok(ExitCode::SUCCESS)
}

/// Waits for SIGTERM or SIGINT.
pub(super) async fn told_to_stop() -> Result<(), Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::new(format!("signals cannot be heard ({error})")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

pub(super) fn log_to_standard_error(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::new(format!("`log.filter` cannot be read: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
