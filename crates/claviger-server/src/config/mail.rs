//! Where mail goes.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::source::Source;
use super::{Config, ConfigError, unset_if_empty};

/// The settings of mail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "see `Config`")]
pub struct Mail {
    pub from: String,
    #[serde(deserialize_with = "unset_if_empty")]
    pub server: Option<String>,
    pub security: Security,
    #[serde(deserialize_with = "unset_if_empty")]
    pub user: Option<String>,
    #[serde(deserialize_with = "unset_if_empty")]
    pub password_file: Option<PathBuf>,
    #[serde(deserialize_with = "unset_if_empty")]
    pub ca_file: Option<PathBuf>,
    #[serde(deserialize_with = "unset_if_empty")]
    pub folder: Option<PathBuf>,
}

/// How the way to a mail server is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// By STARTTLS (RFC 3207), without which nothing is sent.
    StartTls,
    /// By TLS from the first byte (RFC 8314).
    Tls,
    /// Not at all.
    None,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the settings say")]
pub struct MailServer {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

/// Where mail goes, and whom it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mailing {
    /// To a mail server, from this address.
    Server(String, MailServer),
    /// Into a folder, from this address.
    Folder(String, PathBuf),
    /// Nowhere.
    Off,
}

/// Whom mail in a folder is from, unless somebody says otherwise.
const FROM_HERE: &str = "Claviger <claviger@localhost>";

fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

impl Config {
    /// Where mail goes.
    ///
    /// # Errors
    /// Naming the setting that cannot be used.
    pub fn mailing(&self, source: &Source) -> Result<Mailing, ConfigError> {
        let mail = &self.mail;
        let error = |setting: &str, what: &str| source.error(&format!("mail.{setting}"), what);
        let is_address = |from: &str| from.parse::<lettre::message::Mailbox>().is_ok();
        if !mail.from.is_empty() && !is_address(&mail.from) {
            return Err(error("from", "write an address, such as `Orders <no-reply@example.com>`"));
        }
        let page = self.api.iter().position(|api| api.mail_page.is_some());
        if let Some(server) = &mail.server {
            if mail.from.is_empty() {
                return Err(error("from", "say whom mail is from, such as `Orders <no-reply@example.com>`"));
            }
            if mail.user.is_some() != mail.password_file.is_some() {
                return Err(error("user", "say `user` and `password_file`, or neither"));
            }
            let default = if mail.security == Security::Tls { 465 } else { 587 };
            let (host, port) = match server.rsplit_once(':') {
                Some((host, port)) if !host.ends_with(':') && !host.contains("//") => {
                    (host, port.parse().map_err(|_| error("server", "write a host, or a host and a port"))?)
                }
                _ => (server.as_str(), default),
            };
            if host.is_empty() || host.contains(['/', '@', ' ']) {
                return Err(error(
                    "server",
                    "write a host, or a host and a port, such as `mail.example.com`",
                ));
            }
            if mail.security == Security::None && !is_here(host) {
                return Err(error("security", "only a mail server on this machine is reached in clear"));
            }
            let server = MailServer {
                host: host.to_owned(),
                port,
                security: mail.security,
                user: mail.user.clone(),
                password_file: mail.password_file.clone(),
                ca_file: mail.ca_file.clone(),
            };
            return Ok(Mailing::Server(mail.from.clone(), server));
        }
        let beside = self.store.url.sqlite_path().and_then(Path::parent).map(|beside| beside.join("mail"));
        match mail.folder.clone().or(beside) {
            Some(folder) => {
                let from = if mail.from.is_empty() { FROM_HERE } else { mail.from.as_str() };
                Ok(Mailing::Folder(from.to_owned(), folder))
            }
            None => match page {
                Some(at) => {
                    let what = "mail has to go somewhere; say `server` or `folder` in `[mail]`";
                    Err(source.error(&format!("api[{at}].mail_page"), what))
                }
                None => Ok(Mailing::Off),
            },
        }
    }
}
