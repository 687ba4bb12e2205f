//! The certificates of the listeners, read again when their files change: one that was renewed needs no restart and no command.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claviger::clock::{Clock, UnixMillis};

use crate::certificates::Certificate;
use crate::checks::{Files, certificates};
use crate::config::Config;
use crate::file_version::FileVersion;
use crate::wire::ServerTls;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How often a certificate whose time is over, or soon, is spoken of.
const TOLD_EVERY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The files of certificates and keys, and what became of them.
#[derive(Debug)]
pub(crate) struct CertificateFiles {
    tls: Option<ServerTls>,
    clock: Arc<dyn Clock>,
    is_demo: bool,
    watched: Mutex<Watched>,
    /// When the first of those in use ends, in milliseconds of Unix time; 0 where there are none.
    ends_at: AtomicI64,
    /// How often they were read again and could not be used.
    pub(crate) refused: AtomicU64,
}

#[derive(Debug)]
struct Watched {
    config: Config,
    /// What the files were when they were last read, whether they could be used or not.
    seen: Vec<Option<FileVersion>>,
    told_at: Option<UnixMillis>,
}

/// What the files are now.
pub(crate) fn versions(config: &Config) -> Vec<Option<FileVersion>> {
    let paths = config.tls.certificate.iter().flat_map(|pair| [&pair.certificate_file, &pair.key_file]);
    paths.map(|path: &PathBuf| FileVersion::of(path)).collect()
}

impl CertificateFiles {
    /// Those of the settings, which were like this just before they were read.
    pub(crate) fn new(
        config: &Config,
        seen: Vec<Option<FileVersion>>,
        tls: Option<ServerTls>,
        clock: Arc<dyn Clock>,
        is_demo: bool,
    ) -> Arc<Self> {
        let watched = Watched { seen, config: config.clone(), told_at: None };
        let files = Self {
            tls,
            clock,
            is_demo,
            watched: Mutex::new(watched),
            ends_at: AtomicI64::new(0),
            refused: AtomicU64::new(0),
        };
        if files.tls.is_some() {
            files.note(&certificates(config, is_demo).unwrap_or_default());
        }
        Arc::new(files)
    }

    fn note(&self, files: &Files) {
        let ends =
            files.iter().filter_map(|(chain, _)| Certificate::read(chain)).map(|found| found.ends_at.0);
        self.ends_at.store(ends.min().unwrap_or(0), Ordering::Relaxed);
    }

    /// Looks at those of these settings from now on, and reads them at the next look.
    pub(crate) fn replace(&self, config: &Config) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        *watched = Watched { seen: Vec::new(), config: config.clone(), told_at: None };
    }

    /// When the first of those in use ends, in seconds of Unix time; 0 where there are none.
    pub(crate) fn ends_at_seconds(&self) -> i64 {
        self.ends_at.load(Ordering::Relaxed).div_euclid(1000)
    }

    /// Looks at them from now on, until the runtime ends.
    pub(crate) async fn watch(self: Arc<Self>) {
        if self.tls.is_none() {
            return;
        }
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let files = self.clone();
            // A file may be on a disk that does not answer.
            if tokio::task::spawn_blocking(move || files.look()).await.is_err() {
                return;
            }
        }
    }

    fn look(&self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the files are read: what is written meanwhile is a change the next time.
        let versions = versions(&watched.config);
        if watched.seen != versions {
            watched.seen = versions;
            watched.told_at = None;
            self.read_again(&watched.config);
        }
        let now = self.clock.now();
        let ends_at = UnixMillis(self.ends_at.load(Ordering::Relaxed));
        let is_told = watched.told_at.is_some_and(|at| now.0.saturating_sub(at.0) < TOLD_EVERY_MILLIS);
        if ends_at.0 == 0 || is_told {
            return;
        }
        let first = Certificate { names: Vec::new(), ends_at };
        if let Some(what) = first.complaint(now) {
            tracing::warn!("a certificate in use: {what}");
            watched.told_at = Some(now);
        }
    }

    fn read_again(&self, config: &Config) {
        let Some(tls) = &self.tls else { return };
        let used = certificates(config, self.is_demo).and_then(|files| {
            crate::checks::replace(tls, &files)?;
            Ok(files)
        });
        match used {
            Ok(files) => {
                self.note(&files);
                tracing::info!("the certificates were read again");
            }
            Err(failure) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                // Of a certificate and its key one comes first: the next look may find them fit.
                tracing::error!(
                    "the certificates could not be used when they were read again, and the last ones stay: {failure}"
                );
            }
        }
    }
}
