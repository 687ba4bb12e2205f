//! Where a store is.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// Where a store is, and how many hands it has.
#[derive(Clone)]
pub struct Settings {
    /// `sqlite:` and a path, or a `postgres://` URL that names the role `claviger_rt`. May hold a password.
    pub url: String,
    /// The certificates to trust for PostgreSQL over TLS, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Where the change feed is read, if not at `url`: past a pooler, so that a queue there holds up no poll.
    pub feed_url: Option<String>,
    /// Where this node keeps the withdrawals that it has acknowledged, so that they outlive a failover of PostgreSQL. Without
    /// one, what a failover loses is lost.
    pub withdrawals_file: Option<PathBuf>,
    /// Reading threads of SQLite.
    pub readers: usize,
    /// Connections to PostgreSQL at most.
    pub connections: usize,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings(..)")
    }
}

/// Which engine a URL names.
pub(crate) enum Engine<'a> {
    Sqlite(&'a Path),
    Postgres,
}

impl Settings {
    /// Which engine the URL names.
    ///
    /// # Errors
    /// If it names none.
    pub(crate) fn engine(&self) -> Result<Engine<'_>, StoreError> {
        if let Some(path) = self.url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Engine::Sqlite(Path::new(path)));
        }
        if self.url.starts_with("postgres://") || self.url.starts_with("postgresql://") {
            return Ok(Engine::Postgres);
        }
        Err(StoreError::Setup("the store's url must begin with `sqlite:` or `postgres://`".into()))
    }
}
