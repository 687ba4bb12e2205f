//! `claviger serve`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use claviger::random::SystemRandom;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::clock::MachineClock;
use crate::config::{Config, LogFormat};
use crate::failure::{Failure, complaint};
use crate::world::World;

pub(super) fn serve(file: &Path) -> Result<ExitCode, Failure> {
    let (config, source) = Config::load(file)?;
    log_to_standard_error(&config.log.filter, config.log.format)?;
    let mut signals = Signals::listen()?;
    let Some(turn) = signals.unless_ended(App::await_turn(&config, &source)) else {
        tracing::info!("stopped while waiting for the server before this one");
        return Ok(ExitCode::SUCCESS);
    };
    let turn = turn?;
    let world = World { clock: MachineClock::new(), random: Arc::new(SystemRandom), is_demo: false };
    let app = App::start_in_turn(&config, &source, &world, Some(turn))?;
    let again = signals.serve(&app);
    app.stop_unless(again);
    Ok(ExitCode::SUCCESS)
}

/// The signals a server listens to, from before it starts: none kills it half-way.
pub(super) struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let cannot =
            |error: std::io::Error| Failure::new(format!("signals cannot be heard ({})", complaint(&error)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let guard = runtime.enter();
        let listen = |kind| signal(kind).map_err(cannot);
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let hang_up = listen(SignalKind::hangup())?;
        drop(guard);
        Ok(Self { runtime, terminate, interrupt, hang_up })
    }

    /// Waits for something unless it is to end before. SIGHUP changes nothing: what is waiting has nothing open.
    fn unless_ended<T>(&mut self, wait: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async {
            let mut wait = std::pin::pin!(wait);
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => return None,
                    _ = self.interrupt.recv() => return None,
                    _ = self.hang_up.recv() => {}
                    done = &mut wait => return Some(done),
                }
            }
        })
    }

    /// Serves until SIGTERM or SIGINT, and gives what ends with the next one: whoever sends a second does not want to wait. SIGHUP, which a rotation of logs sends, has the access log opened anew and the
    /// keys of other issuers read again, and changes nothing else.
    pub(super) fn serve(mut self, app: &App) -> impl Future<Output = ()> + use<> {
        self.runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => break,
                    _ = self.interrupt.recv() => break,
                    _ = self.hang_up.recv() => {
                        app.reopen_files();
                        tracing::info!("opening the access log anew and reading issuers' keys and the settings again");
                        app.reload();
                    }
                }
            }
        });
        app.leave();
        tracing::info!("stopping: finishing what is under way; a second signal ends it at once");
        let (sender, again) = tokio::sync::oneshot::channel();
        // Signals are heard by the runtime that was told to listen, and only while it runs.
        std::thread::spawn(move || {
            self.runtime.block_on(async {
                tokio::select! {
                    _ = self.terminate.recv() => {}
                    _ = self.interrupt.recv() => {}
                }
            });
            let _gone = sender.send(());
        });
        async move {
            if again.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
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
