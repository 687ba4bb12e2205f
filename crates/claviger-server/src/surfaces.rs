//! Makes of settings what the gateway serves by.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use claviger::Api;
use claviger::clock::Clock;
use claviger::id::RealmName;
use claviger::protected::Protected;
use claviger_store::Store;
use claviger_store::signing_keys::Line;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use crate::binding_keys::binding_key;
use crate::checks::{is_in_clear, upstream};
use crate::config::{Config, PlainHttp, ServedApi};
use crate::failure::Failure;
use crate::gateway::Services;
use crate::gateway::{
    Binding, KeySets, ListenerRules, PrincipalSigner, PrincipalTokens, Surface, Tables, trailer_filter,
};
use crate::identity_tokens;
use crate::metrics::Metrics;

/// What stays the same whatever the settings say of APIs.
#[derive(Debug)]
pub(crate) struct Workshop {
    store: Store,
    metrics: Arc<Metrics>,
    signer: Arc<PrincipalSigner>,
    key_sets: Arc<dyn KeySets>,
    cores: usize,
    addresses: Vec<SocketAddr>,
}

impl Workshop {
    /// For a server of so many cores, which listens there.
    pub(crate) fn new(
        store: &Store,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
        signer: &Arc<PrincipalSigner>,
        cores: usize,
        addresses: &[SocketAddr],
        runtime: &Handle,
    ) -> Self {
        let key_sets = StoredKeySets {
            store: store.clone(),
            runtime: runtime.clone(),
            clock: clock.clone(),
            kept: Arc::default(),
        };
        let (store, metrics, signer) = (store.clone(), metrics.clone(), signer.clone());
        let (key_sets, addresses) = (Arc::new(key_sets), addresses.to_vec());
        Self { store, metrics, signer, key_sets, cores, addresses }
    }

    /// What is served by these settings. Connections to an upstream that stays as it was are kept.
    ///
    /// # Errors
    /// If an upstream cannot be reached as the settings say.
    pub(crate) fn tables(
        &self,
        config: &Config,
        served: Vec<ServedApi>,
        before: Option<&Tables>,
    ) -> Result<Tables, Failure> {
        let (mut surfaces, mut hosts) = (HashMap::new(), HashMap::new());
        let apis: Vec<Arc<Api>> = served.iter().map(|served| served.api.clone()).collect();
        for served in served {
            if is_in_clear(&served.upstream) {
                tracing::warn!(api = %served.api.name, "the upstream is on another machine and not reached over TLS");
            }
            let name = served.api.name.clone();
            let same = |surface: &&Arc<Surface>| {
                // A file of authorities may say something else by now.
                surface.served.upstream == served.upstream
                    && (&surface.served.upstream_ca_file, &served.upstream_ca_file) == (&None, &None)
            };
            let kept = before.and_then(|tables| tables.surfaces.get(&name)).filter(same);
            let upstream = match kept {
                Some(surface) => surface.upstream.clone(),
                None => Arc::new(upstream(&served, self.cores)?),
            };
            let protected = Protected::new(&served.api, apis.iter().map(|api| &**api));
            let surface = Arc::new(Surface {
                upstream,
                keep_trailer: trailer_filter(protected.clone()),
                protected,
                principals: PrincipalTokens::new(self.signer.clone()),
                binding: Binding::new(&binding_key(&self.store, &served.api)),
                metrics: self.metrics.of_api(Some(&name)),
                jwks: self.key_sets.clone(),
                document: served
                    .document_path
                    .clone()
                    .map(|path| (path, crate::api_document::api_document(&served).to_string().into())),
                services: Services::new(&served.api.routes, &served.services)
                    .map_err(|error| Failure::new(format!("two routes of `{name}` are one: {error}")))?,
                served,
            });
            hosts.extend(surface.served.hosts.iter().map(|host| (host.clone(), surface.clone())));
            surfaces.insert(name, surface);
        }
        let mut listeners = HashMap::new();
        for (id, (listener, address)) in config.listener.iter().zip(&self.addresses).enumerate() {
            let (api, plain_http) = (listener.api.clone(), listener.plain_http);
            if plain_http == PlainHttp::YesForDevelopmentOnly {
                tracing::warn!(%address, "plain HTTP is let through here where everything is local: for development only");
            }
            let rules = ListenerRules { address: *address, api, plain_http };
            listeners.insert(u16::try_from(id).unwrap_or(u16::MAX), rules);
        }
        Ok(Tables { surfaces, hosts, listeners, trusted_proxies: config.server.trusted_proxies.clone() })
    }
}

/// The public keys in the store, read at most once a second for each realm, whoever asks.
#[derive(Debug)]
struct StoredKeySets {
    store: Store,
    runtime: tokio::runtime::Handle,
    clock: Arc<dyn Clock>,
    kept: Arc<tokio::sync::Mutex<HashMap<RealmName, KeptSet>>>,
}

/// What was read, or that it could not be, and when.
#[derive(Debug, Clone)]
struct KeptSet {
    read_at: claviger::clock::BootMillis,
    set: Option<Arc<str>>,
}

const KEY_SETS_KEPT_MILLIS: u64 = 1000;

impl KeySets for StoredKeySets {
    fn jwk_set(&self, realm: &RealmName) -> BoxFuture<'static, Option<Arc<str>>> {
        let (store, realm, runtime) = (self.store.clone(), realm.clone(), self.runtime.clone());
        let (clock, kept) = (self.clock.clone(), self.kept.clone());
        Box::pin(async move {
            // Held while the store is asked: everybody else who wants to know waits for the one answer.
            let mut kept = kept.lock().await;
            let now = clock.boot();
            if let Some(fresh) =
                kept.get(&realm).filter(|kept| now.since(kept.read_at) < KEY_SETS_KEPT_MILLIS)
            {
                return fresh.set.clone();
            }
            let line = Line::Identity(realm.clone());
            let read = runtime.spawn(async move { identity_tokens::jwk_set(&store, &line).await });
            let set: Option<Arc<str>> = read.await.ok().flatten().map(Into::into);
            kept.insert(realm, KeptSet { read_at: now, set: set.clone() });
            set
        })
    }
}
