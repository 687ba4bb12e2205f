//! Opens connections to the file, each with its walls.

use std::fs::{OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::binding::Binding;
use super::{migrate, walls};
use crate::error::StoreError;
use crate::noun::Nouns;

/// Older ones can damage a file that two connections write and checkpoint.
const OLDEST_VERSION: i32 = 3_051_003;
/// How many prepared statements a connection keeps: more than there are.
const PREPARED: usize = 512;

/// Takes every right on a file from its group and from others, if it is there.
fn close_to_others(path: &Path) -> Result<(), StoreError> {
    let closed = (|| {
        let mode = match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => found?.permissions().mode(),
        };
        if mode & 0o077 == 0 {
            return Ok(());
        }
        tracing::warn!(file = %path.display(), "a file of the database was open to others than its owner");
        std::fs::set_permissions(path, Permissions::from_mode(0o600))
    })();
    closed.map_err(|error: std::io::Error| {
        let shown = path.display();
        StoreError::Setup(format!(
            "`{shown}` is open to others and cannot be closed ({}); `chmod 600` it",
            error.kind()
        ))
    })
}

/// The connection that writes, migrated, without its walls yet.
fn writable(path: &Path) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_VERSION {
        return Err(StoreError::Setup(format!(
            "sqlite {} is too old: 3.51.3 is needed",
            rusqlite::version()
        )));
    }
    let shown = path.display();
    // Made here, so that nobody else can read it from its first moment on; the log takes over its mode.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(|error| {
        StoreError::Setup(format!("cannot open the database file `{shown}`: {}", error.kind()))
    })?;
    for ending in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(ending);
        close_to_others(Path::new(&file))?;
    }
    let failed = |error: rusqlite::Error| {
        StoreError::Setup(format!(
            "cannot use the database file `{shown}`: {}",
            super::errors::of(&error, "file")
        ))
    };
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Setup(format!("`{shown}` cannot have a write-ahead log on its file system")));
    }
    // An acknowledged write has reached the disk.
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;")
        .map_err(failed)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
    )?;
    connection.query_row("PRAGMA mmap_size = 0", [], |_| Ok(())).or_else(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    })?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A plan is made once, and not again with every value bound: that was more than half of what a short write took.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(())
}

/// The connection of the writer: migrated first, then walled in.
pub(crate) fn writer(path: &Path, nouns: Nouns) -> Result<(Connection, Binding), StoreError> {
    let mut connection = writable(path)?;
    migrate::migrate(&mut connection)?;
    let binding = Binding::default();
    walls::writer(&mut connection, nouns, &binding)?;
    Ok((connection, binding))
}

fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let opened =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .and_then(|connection| prepare(&connection).map(|()| connection));
    opened.map_err(|error| {
        StoreError::Setup(format!("cannot read the database file: {}", super::errors::of(&error, "file")))
    })
}

/// A connection that sees the bound tenant's rows and no others.
pub(crate) fn scoped_reader(path: &Path, nouns: Nouns) -> Result<(Connection, Binding), StoreError> {
    let mut connection = read_only(path)?;
    let binding = Binding::default();
    walls::scoped_reader(&mut connection, nouns, &binding)?;
    Ok((connection, binding))
}

/// A connection for named jobs.
pub(crate) fn system_reader(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = read_only(path)?;
    walls::system_reader(&mut connection)?;
    Ok(connection)
}
