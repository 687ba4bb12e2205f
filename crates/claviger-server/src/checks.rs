//! What can be said of settings before anything is opened or written.

use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger::clock::UnixMillis;
use claviger_store::retirement::LEAST_KEPT_DAYS;
use zeroize::Zeroizing;

use crate::certificates::Certificate;
use crate::config::{Config, ConfigError, Mailing, ServedApi, Source, build_api, doubts};
use crate::control_socket::socket_of;
use crate::core::store_settings;
use crate::failure::{Failure, complaint};
use crate::wire::{Beside, BindError, Listen, PemPair, Ports, ServerTls, Upstream, UpstreamSettings};

/// Checks everything about the settings that can be checked without a store.
///
/// # Errors
/// Naming the setting and its line.
pub(crate) fn check(config: &Config, source: &Source) -> Result<Vec<ServedApi>, Failure> {
    let mut served: Vec<ServedApi> = Vec::new();
    let mut wrong: Vec<ConfigError> = Vec::new();
    for (index, settings) in config.api.iter().enumerate() {
        match build_api(settings, index, source) {
            Ok(api) => {
                wrong.extend(clash(&api, &served, index, source));
                served.push(api);
            }
            Err(error) => wrong.push(error),
        }
    }
    wrong.extend(config.mailing(source).err());
    let are_all_known = served.len() == config.api.len();
    if let Err(error) = store_settings(config).check() {
        wrong.push(source.error("store.url", error.to_string()));
    }
    if i64::from(config.store.audit_days) < LEAST_KEPT_DAYS {
        let what = format!("what happened is kept for {LEAST_KEPT_DAYS} days at least");
        wrong.push(source.error("store.audit_days", what));
    }
    if !(1..=60).contains(&config.directory.max_staleness_seconds) {
        let what =
            "use a number from 1 to 60: a node that believes its memory for longer admits what was revoked";
        wrong.push(source.error("directory.max_staleness_seconds", what));
    }
    for (index, listener) in config.listener.iter().enumerate() {
        let error = |setting: &str, what: String| source.error(&format!("listener[{index}].{setting}"), what);
        let others = config.listener.iter().take(index).map(|other| other.address);
        let taken = others.chain([config.ops.address]).chain(config.console.address);
        if listener.address.port() != 0 && taken.into_iter().any(|other| other == listener.address) {
            let what = format!(
                "`{}` is another listener's, `ops.address` or `console.address` already",
                listener.address
            );
            wrong.push(error("address", what));
        }
        if let Some(api) = &listener.api
            && are_all_known
            && !served.iter().any(|served| served.api.name == *api)
        {
            wrong.push(error("api", format!("there is no API called `{api}`")));
        }
        if listener.tls && config.tls.certificate.is_empty() {
            wrong.push(error("tls", "there is no `[[tls.certificate]]` to speak TLS with".into()));
        }
    }
    if let Err(what) = config.console.users() {
        wrong.push(source.error("console.system_users", what));
    }
    if let Some(address) = config.console.address {
        if address.port() != 0 && address == config.ops.address {
            wrong.push(source.error("console.address", format!("`{address}` is `ops.address` already")));
        }
        if !config.console.tls && !address.ip().is_loopback() {
            let what = format!("operators' tokens would go to `{address}` in clear");
            let hint = Some("say `tls = true` under `[console]`, or name a loopback address".to_owned());
            wrong.push(ConfigError { hint, ..source.error("console.address", what) });
        }
        if config.console.tls && config.tls.certificate.is_empty() {
            let what = "there is no `[[tls.certificate]]` to speak TLS with";
            wrong.push(source.error("console.tls", what));
        }
    }
    ConfigError::all(wrong)?;
    Ok(served)
}

/// What an API has that is one of these others' already.
fn clash(api: &ServedApi, others: &[ServedApi], index: usize, source: &Source) -> Option<ConfigError> {
    let error = |setting: &str, what: String| Some(source.error(&format!("api[{index}].{setting}"), what));
    for other in others {
        if other.api.name == api.api.name {
            return error("name", format!("two APIs are called `{}`", api.api.name));
        }
        if let Some(host) = api.hosts.iter().find(|host| other.hosts.contains(host)) {
            return error("hosts", format!("`{host}` is `{}`'s host already", other.api.name));
        }
        if other.api.realm == api.api.realm && other.token_algorithm != api.token_algorithm {
            return error("token_algorithm", "APIs of one realm share their signing keys".into());
        }
    }
    None
}

/// Looks whether a socket can be where the settings want it.
fn check_socket(path: &Path, database: Option<&Path>) -> Result<(), String> {
    let folder = |path: &Path| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    if !folder(path).is_dir() {
        return Err(format!("there is no folder `{}`", folder(path).display()));
    }
    if std::fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
        return Err(format!("`{}` is there, and no socket", path.display()));
    }
    let real = |path: &Path| Some(folder(path).canonicalize().ok()?.join(path.file_name()?));
    let own = database.and_then(|database| real(&socket_of(database)));
    if own.is_some() && own == real(path) {
        return Err(format!("`{}` is where commands reach the server already", path.display()));
    }
    Ok(())
}

/// Checks what a server needs beside that and a command does not: something to serve, files that can be read,
/// upstreams that can be asked.
///
/// # Errors
/// Naming the setting or the file.
pub(crate) fn check_serving(
    config: &Config,
    source: &Source,
    served: &[ServedApi],
    is_demo: bool,
) -> Result<(), Failure> {
    if let Some(path) = &config.console.socket {
        check_socket(path, config.store.url.sqlite_path())
            .map_err(|what| source.error("console.socket", what))?;
    }
    if config.listener.is_empty() || served.is_empty() {
        return Err(Failure::new(format!(
            "the settings in `{}` have nothing to serve",
            source.file().display()
        ))
        .hint("write at least one `[[listener]]` and one `[[api]]`; `examples/` has three to begin with"));
    }
    for (index, served) in served.iter().enumerate() {
        upstream(served, 1).map_err(|failure| {
            Failure::from(source.error(&format!("api[{index}].upstream"), failure.what))
        })?;
        let is_reached = config.listener.iter().any(|listener| match &listener.api {
            Some(api) => *api == served.api.name,
            None => !served.hosts.is_empty(),
        });
        if !is_reached {
            let what = if served.hosts.is_empty() {
                "it answers to no host, and no listener is for it alone, so no request would ever reach it"
            } else {
                "every listener is for one API alone, and none for this one, so no request would ever reach it"
            };
            let place = format!("api[{index}].hosts");
            return Err(Failure::from(source.error(&place, what))
                .hint("name its hosts, or say `api` in a `[[listener]]`"));
        }
    }
    server_tls(config, is_demo).map(|_| ())
}

/// What can be served and is perhaps not meant so.
pub(crate) fn warnings(
    config: &Config,
    source: &Source,
    served: &[ServedApi],
    now: UnixMillis,
) -> Vec<ConfigError> {
    let of_apis = served.iter().enumerate().flat_map(|(at, served)| doubts(&served.api, at, source));
    let mut warnings: Vec<ConfigError> = of_apis.collect();
    let ops = config.ops.address.ip();
    if ops.is_unspecified() || !is_internal(ops) {
        let what = format!(
            "figures and readiness at `{}` are open to whoever reaches this machine",
            config.ops.address
        );
        let hint =
            Some("name an address that only your own network reaches, such as `127.0.0.1:8099`".into());
        warnings.push(ConfigError { hint, ..source.error("ops.address", what) });
    }
    warnings.extend(shared_audiences(source, served));
    let page = config.api.iter().position(|api| api.mail_page.is_some());
    if let (Some(at), Ok(Mailing::Folder(_, folder))) = (page, config.mailing(source))
        && config.mail.folder.is_none()
    {
        let what = format!("mail is written into `{}`, and reaches nobody", folder.display());
        let hint =
            Some("name a mail server in `[mail]`; or say `mail.folder`, if that is what is meant".into());
        warnings.push(ConfigError { hint, ..source.error(&format!("api[{at}].mail_page"), what) });
    }
    warnings.extend(certificate_warnings(config, source, served, now));
    warnings
}

/// Audiences that APIs of different realms have: the key that binds principals to requests hangs on the audience, so an upstream that
/// does not look at `realm` takes one realm's callers for the other's.
fn shared_audiences(source: &Source, served: &[ServedApi]) -> Vec<ConfigError> {
    let audience = |served: &ServedApi| served.api.identity_tokens.audience.clone();
    let pairs = served.iter().enumerate().filter_map(|(at, api)| {
        let before = served.iter().take(at);
        let other = before.into_iter().find(|other| audience(other) == audience(api) && other.api.realm != api.api.realm)?;
        let what = format!(
            "`{}` is the audience of `{}` too, which is of another realm: their upstreams can tell them apart by the claim `realm` alone",
            audience(api),
            other.api.name,
        );
        let hint = Some("give each realm an audience of its own".to_owned());
        Some(ConfigError { hint, ..source.error(&format!("api[{at}].token_audience"), what) })
    });
    pairs.collect()
}

/// Certificates that are for none of the hosts, hosts that none is for, and those whose time is over, or soon.
fn certificate_warnings(
    config: &Config,
    source: &Source,
    served: &[ServedApi],
    now: UnixMillis,
) -> Vec<ConfigError> {
    let mut warnings = Vec::new();
    if !config.listener.iter().any(|listener| listener.tls) {
        return warnings;
    }
    let hosts: Vec<&String> = served.iter().flat_map(|served| &served.hosts).collect();
    let mut readable = Vec::new();
    for (index, certificate) in config.tls.certificate.iter().enumerate() {
        // What cannot be read is an error, and said elsewhere.
        let Some(found) =
            std::fs::read(&certificate.certificate_file).ok().and_then(|pem| Certificate::read(&pem))
        else {
            continue;
        };
        let place = format!("tls.certificate[{index}].certificate_file");
        let mut warn = |what: String, hint: &str| {
            let what = format!("the certificate `{}`: {what}", certificate.certificate_file.display());
            warnings.push(ConfigError { hint: Some(hint.to_owned()), ..source.error(&place, what) });
        };
        if let Some(what) = found.complaint(now) {
            warn(what, "renew it: a running server takes up what stands in its files by itself");
        }
        if !hosts.is_empty() && !hosts.iter().any(|host| found.is_for(host)) {
            let what = format!("it is for `{}`, and for no host of an API", found.names.join("`, `"));
            warn(what, "name the hosts it is for under `[[api]]`, or get one that is for them");
        }
        readable.push(found);
    }
    let uncovered =
        |host: &&&String| !readable.is_empty() && !readable.iter().any(|found| found.is_for(host));
    let without: Vec<&str> = hosts.iter().filter(uncovered).map(|host| host.as_str()).collect();
    if !without.is_empty() {
        let what = format!(
            "no certificate is for `{}`: clients that ask for it over TLS will refuse",
            without.join("`, `")
        );
        warnings.push(ConfigError {
            hint: Some("get a certificate that is for it too, or leave out the host".into()),
            ..source.error("tls.certificate", what)
        });
    }
    warnings
}

/// Whether an address is no public one.
fn is_internal(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether every port of the settings is free.
///
/// # Errors
/// Naming the one that is not.
pub(crate) fn check_ports(config: &Config) -> Result<(), Failure> {
    bind(config, None, 1, Beside::Nobody).map(|_| ())
}

/// Certificate chains and their keys, as they stand in their files.
pub(crate) type Files = Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>;

/// Reads certificates and keys for listeners that speak TLS.
pub(crate) fn server_tls(config: &Config, is_demo: bool) -> Result<Option<ServerTls>, Failure> {
    if !speaks_tls(config) {
        return Ok(None);
    }
    let files = certificates(config, is_demo)?;
    ServerTls::new(&pairs(&files)).map(Some).map_err(|error| Failure::new(error.to_string()))
}

/// Uses these certificates for handshakes from here on.
///
/// # Errors
/// If they cannot be used. Then those in use stay.
pub(crate) fn replace(tls: &ServerTls, files: &Files) -> Result<(), Failure> {
    tls.replace(&pairs(files)).map_err(|error| Failure::new(error.to_string()))
}

fn pairs(files: &Files) -> Vec<PemPair<'_>> {
    files.iter().map(|(chain, key)| PemPair { chain, key }).collect()
}

fn speaks_tls(config: &Config) -> bool {
    config.console.tls || config.listener.iter().any(|listener| listener.tls)
}

/// Reads the files of certificates and keys, if anything speaks TLS.
pub(crate) fn certificates(config: &Config, is_demo: bool) -> Result<Files, Failure> {
    let mut files = Files::new();
    if !speaks_tls(config) {
        return Ok(files);
    }
    for certificate in &config.tls.certificate {
        files.push((read(&certificate.certificate_file)?, read(&certificate.key_file)?.into()));
    }
    if !is_demo && files.iter().any(|(chain, _)| crate::certificates::is_development_certificate(chain)) {
        return Err(Failure::new("a certificate of `[[tls.certificate]]` is a development certificate")
            .hint("its key is no secret; get one from a certificate authority"));
    }
    Ok(files)
}

/// The connections to an API's upstream, for so many cores. None is made yet.
pub(crate) fn upstream(served: &ServedApi, cores: usize) -> Result<Upstream, Failure> {
    let ca = served.upstream_ca_file.as_deref().map(read).transpose()?;
    let settings = UpstreamSettings {
        url: &served.upstream,
        ca: ca.as_deref(),
        max_idle: 256,
        idle: Duration::from_secs(4),
        max_head_bytes: 65_536,
    };
    Upstream::new(settings, cores).map_err(|error| Failure::new(error.to_string()))
}

/// The ports of a server.
pub(crate) struct Bound {
    /// Those of the listeners.
    pub(crate) listeners: Ports,
    /// The one for operations.
    pub(crate) ops: Ports,
    /// The one for the management API, if there is one.
    pub(crate) console: Option<Ports>,
}

/// Takes the ports: those of the listeners, once per core, and the others once.
pub(crate) fn bind(
    config: &Config,
    tls: Option<&ServerTls>,
    cores: usize,
    beside: Beside,
) -> Result<Bound, Failure> {
    let mut listens = Vec::new();
    for (id, listener) in config.listener.iter().enumerate() {
        let id = u16::try_from(id).map_err(|_| Failure::new("there are more than 65536 listeners"))?;
        let tls = tls.filter(|_| listener.tls).cloned();
        listens.push(Listen { id, address: listener.address, tls });
    }
    let ops = Listen { id: 0, address: config.ops.address, tls: None };
    let cannot = |error: BindError| Failure::new(error.to_string());
    let console = config.console.address.map(|address| {
        let tls = tls.filter(|_| config.console.tls).cloned();
        Ports::bind(&[Listen { id: 0, address, tls }], 1, beside)
    });
    Ok(Bound {
        listeners: Ports::bind(&listens, cores, beside).map_err(cannot)?,
        ops: Ports::bind(&[ops], 1, beside).map_err(cannot)?,
        console: console.transpose().map_err(cannot)?,
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|error| Failure::new(format!("cannot read `{}` ({})", file.display(), complaint(&error))))
}

/// Whether principals would travel over a network in clear (decision 18).
pub(crate) fn is_in_clear(upstream: &str) -> bool {
    let Some(rest) = upstream.strip_prefix("http://") else { return false };
    let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
    let host = host.trim_matches(['[', ']', '/']);
    host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
