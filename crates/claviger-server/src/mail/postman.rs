//! Takes mail out of the store and sends it: one server at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use claviger::clock::Clock;
use claviger::danger::SystemPermit;
use claviger_store::outbox::Due;
use claviger_store::{Store, StoreError, SystemStore};
use tokio::sync::Notify;

use super::message::{Post, Undelivered};

/// How often it is looked whether any is due, when nobody says that there is.
const EVERY: Duration = Duration::from_secs(5);
/// How many are sent at the same time.
const AT_ONCE: i64 = 4;
/// How long a try may take in all.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long a server has the sending to itself: longer than one step of it takes.
const LEASE_SECONDS: i64 = 120;

/// Where it is said that mail was posted on this server.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Notify>);

impl Outbox {
    /// There is mail.
    pub(crate) fn posted(&self) {
        self.0.notify_one();
    }
}

/// What became of mail that this server tried to send, and how many wait.
#[derive(Debug, Default)]
pub(crate) struct MailFigures {
    pub(crate) sent: AtomicU64,
    pub(crate) put_off: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) waiting: AtomicU64,
}

/// Sends what is due, until the task is dropped.
#[expect(clippy::disallowed_methods, reason = "mail is of every realm")]
pub(crate) async fn deliver(
    store: Store,
    post: Arc<dyn Post>,
    outbox: Outbox,
    figures: Arc<MailFigures>,
    clock: Arc<dyn Clock>,
) {
    let system = store.system(&SystemPermit::for_job("mail"));
    let mut is_told = false;
    loop {
        // Whichever comes first; a word that came while mail was sent is still there.
        let _ = tokio::time::timeout(EVERY, outbox.0.notified()).await;
        match round(&system, &*post, &figures, &*clock).await {
            Ok(()) => is_told = false,
            Err(error) if is_told => tracing::debug!(%error, "no mail can be sent"),
            Err(error) => {
                tracing::warn!(%error, "no mail can be sent, as nobody knows which is due; it waits");
                is_told = true;
            }
        }
    }
}

async fn round(
    system: &SystemStore,
    post: &dyn Post,
    figures: &MailFigures,
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    let (waiting, _) = system.mail_waiting().await?;
    figures.waiting.store(waiting.unsigned_abs(), Ordering::Relaxed);
    if waiting == 0 {
        return Ok(());
    }
    loop {
        // Taken anew for each step, as a mail server may be slow.
        let Some(lease) = system.lease("mail", LEASE_SECONDS).await? else { return Ok(()) };
        let due = system.mail_due(&lease, AT_ONCE).await?;
        if due.is_empty() {
            let (waiting, _) = system.mail_waiting().await?;
            figures.waiting.store(waiting.unsigned_abs(), Ordering::Relaxed);
            return system.lease_end(lease).await;
        }
        let tries = due.iter().map(|mail| one(system, mail, post, figures, clock));
        for tried in futures_util::future::join_all(tries).await {
            tried?;
        }
    }
}

async fn one(
    system: &SystemStore,
    mail: &Due,
    post: &dyn Post,
    figures: &MailFigures,
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    let name = mail.name();
    let sent = match &mail.letter {
        None => Err(Undelivered::Never("it cannot be read: the key that it is sealed under is gone".into())),
        Some(letter) => match tokio::time::timeout(PATIENCE, post.send(letter, &name, clock.now())).await {
            Ok(sent) => sent,
            Err(_) => Err(Undelivered::Later("sending it takes too long".into())),
        },
    };
    match sent {
        Ok(()) => {
            figures.sent.fetch_add(1, Ordering::Relaxed);
            system.mail_gone(mail).await
        }
        Err(Undelivered::Later(why)) if !mail.is_last_try => {
            figures.put_off.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(mail = name, tries = mail.tries + 1, "mail waits: {why}");
            Ok(())
        }
        Err(Undelivered::Later(why) | Undelivered::Never(why)) => {
            figures.given_up.fetch_add(1, Ordering::Relaxed);
            tracing::error!(mail = name, tries = mail.tries + 1, "mail is given up: {why}");
            system.mail_gone(mail).await
        }
    }
}
