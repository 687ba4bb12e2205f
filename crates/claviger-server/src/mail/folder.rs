//! A folder that each mail is a file in.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use claviger::clock::UnixMillis;
use claviger_store::outbox::Letter;
use futures_util::future::BoxFuture;
use lettre::message::Mailbox;

use super::message::{Post, Undelivered, message};
use crate::failure::complaint;
use crate::private_files::make_directory;

#[derive(Debug)]
pub(super) struct Folder {
    from: Mailbox,
    folder: PathBuf,
}

impl Folder {
    pub(super) fn new(from: Mailbox, folder: PathBuf) -> Self {
        Self { from, folder }
    }
}

/// Puts the file there whole, for its owner alone to read: there are secrets in it.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    make_directory(folder)?;
    let draft = folder.join(format!(".{name}"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(draft, folder.join(format!("{name}.eml")))?;
    // The row in the store goes next.
    std::fs::File::open(folder)?.sync_all()
}

impl Post for Folder {
    fn send<'a>(
        &'a self,
        letter: &'a Letter,
        name: &'a str,
        at: UnixMillis,
    ) -> BoxFuture<'a, Result<(), Undelivered>> {
        let message = message(&self.from, letter, name, at);
        let (folder, name) = (self.folder.clone(), name.to_owned());
        Box::pin(async move {
            let bytes = message?.formatted();
            let written = tokio::task::spawn_blocking(move || put(&folder, &name, &bytes)).await;
            let later = |what: String| Undelivered::Later(what);
            let written = written.map_err(|_| later("it could not be written".into()))?;
            written.map_err(|error| later(format!("its file cannot be written ({})", complaint(&error))))
        })
    }
}
