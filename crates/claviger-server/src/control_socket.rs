//! Where the server on an embedded store listens for commands.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The socket's name, beside the database.
pub(crate) const SOCKET: &str = "control.sock";

/// Where the server on an embedded store listens for commands.
pub(crate) fn socket_of(database: &Path) -> PathBuf {
    match database.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.join(SOCKET),
        _ => Path::new(".").join(SOCKET),
    }
}

/// Whether a server has the embedded store in this file.
pub(crate) fn is_served(database: &Path) -> bool {
    UnixStream::connect(socket_of(database)).is_ok()
}
