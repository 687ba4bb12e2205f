//! Files that only their owner can read.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, complaint};

/// Makes a directory that its owner alone can look into, unless it is there.
pub(crate) fn make_directory(directory: &Path) -> std::io::Result<()> {
    if directory.exists() && !directory.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

pub(crate) fn cannot(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let text = format!("cannot {what} `{}`", path.display());
    move |error| {
        Failure::new(format!("{text} ({})", complaint(&error)))
            .hint("name another place, or let this user write there")
    }
}

/// Writes a file that its owner alone can read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    // A name nobody can have taken before, and a file that must not be there: nothing planted gets the secret.
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}", claviger::id::TokenId::generate(&claviger::random::SystemRandom)));
    let part = PathBuf::from(part);
    let write = || {
        let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write()
        .inspect_err(|_| {
            // What is left of it is of no use, and may not be there at all.
            let _ = std::fs::remove_file(&part);
        })
        .map_err(cannot("write", path))
}
