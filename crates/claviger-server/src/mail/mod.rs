//! Mail on its way out: from the outbox in the store to a mail server, or into a folder.

mod folder;
mod message;
mod postman;
mod smtp;

use std::sync::Arc;

use lettre::message::Mailbox;

use crate::config::Mailing;
use crate::failure::Failure;

pub(crate) use message::Post;
pub use postman::Outbox;
pub(crate) use postman::{MailFigures, deliver};

/// The way that the settings say, if there is one.
///
/// # Errors
/// If a file that it takes cannot be used.
pub(crate) fn post(mailing: &Mailing) -> Result<Option<Arc<dyn Post>>, Failure> {
    let from = |text: &str| {
        text.parse::<Mailbox>().map_err(|_| Failure::new("`mail.from` is no address that mail can be from"))
    };
    Ok(match mailing {
        Mailing::Off => None,
        Mailing::Folder(whom, folder) => Some(Arc::new(folder::Folder::new(from(whom)?, folder.clone()))),
        Mailing::Server(whom, server) => Some(Arc::new(smtp::Smtp::new(from(whom)?, server)?)),
    })
}
