//! The store, its memory and the door: what a server and a command both need.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use claviger::credential::CredentialKind;
use claviger::id::RealmName;
use claviger::key_set::Algorithm;
use claviger::random::Random;
use claviger::{Door, DoorSettings};
use claviger_store::memory::{Memory, MemorySettings};
use claviger_store::signing_keys::Line;
use claviger_store::{Keyring, Store};

use crate::config::{Config, ServedApi, SignInRules};
use crate::failure::{Failure, complaint};
use crate::identity_tokens;
use crate::mail::Outbox;
use crate::management::{Apis, AtWork, ManagedApi, Management, Rules};
use crate::passwords::Passwords;
use crate::private_files::make_directory;
use crate::world::World;

/// The store, its memory and the door, without any listener: what commands need.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) management: Management,
    pub(crate) memory: Arc<Memory>,
    pub(crate) served: Vec<ServedApi>,
    /// Whether the keyring was made now, as the store is new.
    pub(crate) has_new_keyring: bool,
}

/// Whose data may be in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The demonstration's and no other.
    Demonstration,
    /// Any but the demonstration's.
    Own,
    /// Either: for commands, which let nobody in.
    Either,
}

impl Core {
    /// Opens the store and everything that decides.
    ///
    /// # Errors
    /// If the store cannot be opened, or its keyring is not the one in the settings.
    pub(crate) async fn open(
        config: &Config,
        served: Vec<ServedApi>,
        world: &World,
        holds: Holds,
    ) -> Result<Self, Failure> {
        data_directory(config)?;
        let (keyring, is_new) = keyring(config, &*world.random)?;
        let opened =
            Store::open(&store_settings(config), keyring.clone(), world.clock.clone(), world.random.clone())
                .await;
        let store = match opened {
            Ok(store) => store,
            Err(error) => {
                let taken_on = config.store.url.sqlite_path().is_some_and(Path::exists);
                if is_new && !taken_on {
                    // Made for a store that cannot be used or is somebody else's. An embedded one that is there
                    // by now may have taken it on.
                    let _ = std::fs::remove_file(&config.keyring.file);
                }
                return Err(cannot_open(config, error));
            }
        };
        if let Err(failure) = check_mark(&store, holds).await {
            store.close().await;
            return Err(failure);
        }
        let embedded = config.store.url.sqlite_path().is_some();
        let settings = MemorySettings {
            max_staleness: Duration::from_secs(config.directory.max_staleness_seconds),
            max_entries: config.directory.max_entries,
            ..if embedded { MemorySettings::following_by_itself() } else { MemorySettings::default() }
        };
        let runtime = tokio::runtime::Handle::current();
        let memory = Arc::new(Memory::start(store.source(), world.clock.clone(), settings, &runtime));
        store.set_follower(memory.clone());
        memory.ready().await.map_err(|error| Failure::new(error.to_string()))?;
        prepare_realms(&store, &served).await?;
        let settings = DoorSettings {
            verified_token_bytes: config.server.verified_token_bytes,
            empty_lookups_per_minute: config.server.empty_lookups_per_minute,
        };
        let door = Arc::new(Door::new(memory.clone(), memory.clock(), keyring.peppers()?, settings));
        let management = Management {
            store,
            apis: Arc::new(ArcSwap::from_pointee(managed(&served))),
            door,
            clock: memory.clock(),
            random: world.random.clone(),
            reload: Arc::default(),
            noted: Arc::default(),
            passwords: Passwords::new(
                std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
                world.random.clone(),
            )?,
            at_work: AtWork::default(),
            outbox: Outbox::default(),
            system_users: Arc::new(config.console.users().map_err(Failure::new)?),
        };
        Ok(Self { management, memory, served, has_new_keyring: is_new })
    }
}

/// How people sign in, as commands need to know it.
pub(crate) fn rules(settings: &SignInRules) -> Rules {
    Rules {
        sign_up: settings.sign_up,
        verified_email: settings.verified_email,
        mail_page: settings.mail_page.clone(),
        session_seconds: settings.session_seconds,
    }
}

/// What commands need to know of the APIs that are served.
pub(crate) fn managed(served: &[ServedApi]) -> Apis {
    let one = |served: &ServedApi| {
        let (api, hosts) = (served.api.clone(), served.hosts.clone());
        let sign_in = served.sign_in.as_ref().map(rules);
        let (token_algorithm, token_key_days) = (served.token_algorithm, served.token_key_days);
        let most_live_keys = served.most_live_keys.clone();
        let managed = ManagedApi { api, hosts, sign_in, most_live_keys, token_algorithm, token_key_days };
        (served.api.name.clone(), Arc::new(managed))
    };
    served.iter().map(one).collect()
}

/// A name that only the demonstration's store has.
const DEMO_MARK: &str = "demonstration";

/// The directory that holds an embedded store, made if it is not there.
pub(crate) fn data_directory(config: &Config) -> Result<Option<PathBuf>, Failure> {
    let Some(file) = config.store.url.sqlite_path() else { return Ok(None) };
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    make_directory(&directory).map_err(|error| {
        let what =
            format!("cannot make the data directory `{}` ({})", directory.display(), complaint(&error));
        Failure::new(what).hint("name another place in `store.url`, or let this user write there")
    })?;
    Ok(Some(directory))
}

/// Loads the keyring, or makes one for an embedded store that does not exist yet. Gives also whether it was made.
///
/// A store that several nodes share never gets one by itself: two nodes that start at once would each make one.
fn keyring(config: &Config, random: &dyn Random) -> Result<(Keyring, bool), Failure> {
    let file = &config.keyring.file;
    if file.exists() {
        return Ok((Keyring::load(file)?, false));
    }
    let missing = |hint| Failure::new(format!("the keyring `{}` is missing", file.display())).hint(hint);
    match config.store.url.sqlite_path() {
        None => Err(missing(
            "make one with `claviger keyring create`, once for the store, and give every node the same file",
        )),
        Some(database) if database.exists() => Err(Failure::new(format!(
            "the keyring `{}` is missing, and the store is not new",
            file.display()
        ))
        .hint("put the keyring back from its copy; a new one could not read what the store holds")),
        Some(_) => create_keyring(file, random),
    }
}

/// Makes a keyring where there is none. Of two processes that do so at once, one's becomes both's.
pub(crate) fn create_keyring(file: &Path, random: &dyn Random) -> Result<(Keyring, bool), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(format!("cannot make the keyring `{}` ({})", file.display(), complaint(&error)))
            .hint("name another place in `keyring.file`, or let this user write there")
    };
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_directory(parent).map_err(cannot)?;
    }
    // A name that no other process takes: on a shared volume they may even have the same process id.
    let mut draft = file.as_os_str().to_owned();
    draft.push(format!(".{}", claviger::id::TokenId::generate(random)));
    let draft = PathBuf::from(draft);
    Keyring::generate(random)?.save(&draft)?;
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft).map_err(cannot)?;
    let is_new = match linked {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(cannot(error)),
    };
    if is_new {
        tracing::info!(file = %file.display(), "made a new keyring; keep a copy of it apart from the database's backups");
    }
    // What counts is what stands in the file.
    Ok((Keyring::load(file)?, is_new))
}

/// The settings as the store takes them.
pub(crate) fn store_settings(config: &Config) -> claviger_store::Settings {
    claviger_store::Settings {
        url: config.store.url.expose().to_owned(),
        ca_file: config.store.ca_file.clone(),
        withdrawals_file: config.store.withdrawals_file.clone(),
        feed_url: config.store.feed_url.as_ref().map(|url| url.expose().to_owned()),
        readers: config.store.readers,
        connections: config.store.readers.max(4) * 2,
    }
}

/// What to do about a store that cannot be opened.
pub(crate) fn cannot_open(config: &Config, error: claviger_store::StoreError) -> Failure {
    let (url, keyring) = (config.store.url.shown(), config.keyring.file.display());
    let hint = match config.store.url.sqlite_path() {
        None => format!(
            "`store.url` is `{url}`, `keyring.file` is `{keyring}`; is the server up, and has `claviger store prepare` been run?"
        ),
        Some(file) if crate::control_socket::is_served(file) => {
            "a server runs on this data: stop it first, or choose another place for this one's".into()
        }
        Some(_) => format!("`store.url` is `{url}`, `keyring.file` is `{keyring}`: do they belong together?"),
    };
    Failure::from(error).hint(hint)
}

/// Demonstration data carries a mark, which no real server accepts.
async fn check_mark(store: &Store, holds: Holds) -> Result<(), Failure> {
    let mark: RealmName =
        DEMO_MARK.parse().map_err(|error: claviger::id::IdError| Failure::new(error.to_string()))?;
    let operator = operator(store);
    let realms = operator.realm_list().await?;
    let marked = realms.contains(&mark);
    match (holds, marked) {
        (Holds::Own, true) => {
            Err(Failure::new("this store holds the demonstration's data, whose secrets are no secrets")
                .hint("name another `store.url`; `claviger demo` is what serves this one"))
        }
        (Holds::Demonstration, false) if realms.is_empty() => {
            operator.realm_ensure(&mark).await?;
            Ok(())
        }
        (Holds::Demonstration, false) => {
            Err(Failure::new("this store holds data of its own, and the demonstration would add to it")
                .hint("name an empty directory with `--data`"))
        }
        (Holds::Either, _) | (Holds::Own, false) | (Holds::Demonstration, true) => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "what a server prepares at its start is the operator's doing")]
pub(crate) fn operator(store: &Store) -> claviger_store::Operator {
    store.operator(&claviger::danger::OperatorPermit::for_command("server"))
}

/// Sees to it that the realms and plans of the settings are there, and the keys they sign with.
pub(crate) async fn prepare_realms(store: &Store, served: &[ServedApi]) -> Result<(), Failure> {
    let operator = operator(store);
    for served in served {
        operator.realm_ensure(&served.api.realm).await?;
        for plan in &served.api.plans {
            operator.plan_ensure(&served.api.realm, plan).await?;
        }
        if served.api.credentials.contain(CredentialKind::IdentityToken) {
            let line = Line::Identity(served.api.realm.clone());
            identity_tokens::system(store).signing_key_ensure(&line, served.token_algorithm).await?;
        }
    }
    identity_tokens::system(store).signing_key_ensure(&Line::Principal, Algorithm::EdDsa).await?;
    Ok(())
}
