//! Takes up changed settings while the server runs: all of a file or nothing of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger::clock::UnixMillis;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use tokio::sync::Mutex;

use crate::certificate_files::CertificateFiles;
use crate::checks::{Files, certificates, check, check_serving, warnings};
use crate::config::{Config, ConfigError, ServedApi, Server};
use crate::core::{managed, prepare_realms};
use crate::failure::{Failure, FailureKind};
use crate::gateway::{Gateway, Surface};
use crate::key_files::KeyFiles;
use crate::lease::Lease;
use crate::management::{Management, Reload, Reloaded};
use crate::surfaces::Workshop;
use crate::wire::{Exempt, ServerTls};

/// How often settings were taken up, and how often they were refused.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) taken_up: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// What settings are taken up with.
pub(crate) struct Reloader {
    pub(crate) file: PathBuf,
    pub(crate) in_force: Mutex<Config>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) management: Management,
    pub(crate) workshop: Workshop,
    pub(crate) key_files: Arc<KeyFiles>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) certificates: Arc<CertificateFiles>,
    pub(crate) lease: Option<Arc<Lease>>,
    pub(crate) exempt: Exempt,
    pub(crate) reloads: Arc<Reloads>,
    pub(crate) is_demo: bool,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reloader({})", self.file.display())
    }
}

impl Reload for Reloader {
    fn reload(self: Arc<Self>) -> BoxFuture<'static, Result<Reloaded, Failure>> {
        Box::pin(async move {
            let taken_up = self.take_up().await;
            match &taken_up {
                Ok(reloaded) => {
                    self.reloads.taken_up.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(?reloaded, "the settings were read again and are in force");
                }
                Err(failure) => {
                    self.reloads.refused.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(
                        hint = failure.hint,
                        "the settings were read again and refused, and the old ones stay in force: {failure}"
                    );
                }
            }
            taken_up
        })
    }
}

impl Reloader {
    async fn take_up(&self) -> Result<Reloaded, Failure> {
        // One at a time: what the second reads is what counts.
        let mut in_force = self.in_force.lock().await;
        let (file, is_demo, now) = (self.file.clone(), self.is_demo, self.management.clock.now());
        // Files may be on a disk that does not answer, and the store is asked from this runtime.
        let read = tokio::task::spawn_blocking(move || read(&file, is_demo, now)).await;
        let broken = |_| Failure::of(FailureKind::Broken, "the settings could not be read");
        let Read { config, served, files, warnings } = read.map_err(broken)??;
        stays(&in_force, &config)?;
        for warning in warnings {
            let what = ConfigError { hint: None, ..warning.clone() }.to_string();
            tracing::warn!(hint = warning.hint, "{what}");
        }
        let before = self.gateway.tables.load_full();
        let served = with_what_is_the_same(served, &before.surfaces, &in_force, &config);
        prepare_realms(&self.management.store, &served).await?;
        let apis = managed(&served);
        let key_files: Vec<_> = served.iter().flat_map(|served| served.key_files.clone()).collect();
        let tables = self.workshop.tables(&config, served, Some(&before))?;
        // The last that can fail; from here on everything is taken up.
        if let Some(tls) = &self.tls {
            crate::checks::replace(tls, &files)?;
        }
        let mut reloaded = Reloaded::default();
        for (name, surface) in &tables.surfaces {
            match before.surfaces.get(name) {
                None => reloaded.added.push(name.to_string()),
                Some(old) if !Arc::ptr_eq(&old.served.api, &surface.served.api) => {
                    reloaded.changed.push(name.to_string());
                }
                Some(_) => {}
            }
        }
        let tables = Arc::new(tables);
        self.gateway.tables.store(tables.clone());
        self.exempt.store(Arc::new(exempt_networks(&config.server)));
        self.management.apis.store(Arc::new(apis));
        // Whatever was let in by the old ones and is still open is asked about by the new ones.
        for (name, old) in &before.surfaces {
            let new = tables.surfaces.get(name).map(|surface| surface.served.api.clone());
            match &new {
                None => reloaded.removed.push(name.to_string()),
                Some(new) if Arc::ptr_eq(new, &old.served.api) => continue,
                Some(_) => {}
            }
            old.served.api.replaced_by(new);
        }
        self.certificates.replace(&config);
        self.key_files.replace(key_files);
        // A key that its issuer has taken back is nobody's when this returns. A file may be on a disk that does not answer.
        let files = self.key_files.clone();
        if tokio::task::spawn_blocking(move || files.look(false)).await.is_err() {
            tracing::error!(
                "the keys of other issuers could not be read again now, and will be within a second"
            );
        }
        if let Some(lease) = &self.lease {
            lease.serves_by(&config);
        }
        *in_force = config;
        reloaded.sort();
        Ok(reloaded)
    }
}

/// What stands in files, each of which was good.
struct Read {
    config: Config,
    served: Vec<ServedApi>,
    files: Files,
    warnings: Vec<ConfigError>,
}

fn read(file: &Path, is_demo: bool, now: UnixMillis) -> Result<Read, Failure> {
    let (config, source) = Config::load(file)?;
    let served = check(&config, &source)?;
    check_serving(&config, &source, &served, is_demo)?;
    let files = certificates(&config, is_demo)?;
    let warnings = warnings(&config, &source, &served, now);
    Ok(Read { config, served, files, warnings })
}

/// Whoever stands before this server for many clients has no bound of its own.
pub(crate) fn exempt_networks(server: &Server) -> Vec<IpNet> {
    server.trusted_proxies.iter().filter_map(|network| network.parse().ok()).collect()
}

/// APIs whose settings are as they were stay the same ones, with all that is remembered of them.
fn with_what_is_the_same(
    served: Vec<ServedApi>,
    before: &HashMap<claviger::id::ApiName, Arc<Surface>>,
    in_force: &Config,
    config: &Config,
) -> Vec<ServedApi> {
    let said_of = |config: &Config, name: &claviger::id::ApiName| {
        config.api.iter().find(|api| api.name == *name).map(|api| format!("{api:?}"))
    };
    let or_as_before = |served: ServedApi| {
        let name = served.api.name.clone();
        match before.get(&name) {
            Some(old) if said_of(in_force, &name) == said_of(config, &name) => old.served.clone(),
            _ => served,
        }
    };
    served.into_iter().map(or_as_before).collect()
}

/// Whether what cannot change while the server runs has not.
fn stays(in_force: &Config, config: &Config) -> Result<(), Failure> {
    let said = |config: &Config| {
        let mut server = config.server.clone();
        // This one can.
        server.trusted_proxies = in_force.server.trusted_proxies.clone();
        let listeners: Vec<_> =
            config.listener.iter().map(|listener| (listener.address, listener.tls)).collect();
        [
            ("server", format!("{server:?}")),
            ("listener", format!("{listeners:?}")),
            ("store", format!("{:?}", config.store)),
            ("keyring", format!("{:?}", config.keyring)),
            ("directory", format!("{:?}", config.directory)),
            ("ops", format!("{:?}", config.ops)),
            ("console", format!("{:?}", config.console)),
            ("mail", format!("{:?}", config.mail)),
            ("log", format!("{:?}", config.log)),
        ]
    };
    let pairs = said(in_force).into_iter().zip(said(config));
    let changed: Vec<String> =
        pairs.filter(|(old, new)| old != new).map(|((name, _), _)| format!("`[{name}]`")).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let what = format!(
        "what {} says cannot change while the server runs, and nothing was taken up",
        changed.join(", ")
    );
    Err(Failure::of(FailureKind::Conflict, what).hint(
        "restart the server, or put it back; APIs, trusted proxies, and what listeners are for can change",
    ))
}
