//! What a decision has to know, and the trait it asks it by.
//!
//! Whoever implements [`Directory`] answers from memory where it can and says [`Answer::Ask`] where it must go
//! and look. There are three answers and not two: a record, the knowledge that there is none, and the failure
//! to find out, which never becomes either of the others.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

mod records;

pub use records::*;

use crate::clock::BootMillis;
use crate::for_each_record;
use crate::id::{TenantId, TokenId};

/// A method of [`Directory`] for each kind of record.
macro_rules! typed {
    ($($(#[$doc:meta])* $look_up:ident: $kind:ident($($part:ident: $kept:ty as $lent:ty),+) => $record:ty;)*) => {$(
        $(#[$doc])*
        fn $look_up<'a>(&self, $($part: $lent),+) -> Answer<$record> {
            self.look_up(Subject::$kind($($part),+)).of_kind()
        }
    )*};
}

/// The reads a decision needs. Every method is cheap and never blocks.
#[expect(clippy::extra_unused_lifetimes, reason = "of some kinds no part of the name is lent")]
pub trait Directory: fmt::Debug + Send + Sync {
    /// Whether what is remembered may still be believed at `now`.
    fn freshness(&self, now: BootMillis) -> Freshness;

    /// A number that grows with every change applied, whatever it is about: while it stays the same, nothing has
    /// changed at all.
    fn version(&self) -> u64;

    /// The version of one subject as far as it is known without asking; `None` if it is not, so that whoever
    /// derived something from it has to ask again.
    fn version_of(&self, subject: Subject<'_>) -> Option<Version>;

    /// Whether there are keys under a pepper of this name that this node does not have, while others do.
    fn lacks_pepper(&self, _name: &str) -> bool {
        false
    }

    /// What is known of `subject`, of whichever kind it is.
    fn look_up(&self, subject: Subject<'_>) -> Reply;

    for_each_record!(typed);

    /// Whether this one token was revoked: one of our own by its `jti`, another issuer's by the name that
    /// [`TokenId::foreign`] makes of issuer and `jti`. Revoked tokens are held in full, so this never has to ask.
    fn token_is_revoked(&self, tenant: TenantId, token: TokenId) -> bool;
}

/// Whether the memory may be believed.
pub enum Freshness {
    /// It may.
    Fresh,
    /// The feed has been silent for too long. The future asks the store, together with everybody else who
    /// waits, and fails if it does not answer.
    Stale(Pin<Box<dyn Future<Output = Result<(), DirectoryError>> + Send>>),
}

impl fmt::Debug for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "Fresh",
            Self::Stale(_) => "Stale(..)",
        })
    }
}

/// One state of one subject. Two that are equal stand for the same record, or the same absence; nothing else can be
/// read from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    /// The state of what does not exist.
    pub const ABSENT: Self = Self(0);

    /// The state that a record reached in one life of a directory: what everything remembered is forgotten at the end
    /// of. `row` grows with each change of the record.
    pub fn new(life: u16, row: u64) -> Self {
        // A row's version never comes near 2⁴⁷, and one more keeps it apart from what does not exist.
        Self(u64::from(life) << 48 | ((row & ((1 << 47) - 1)) + 1))
    }
}

/// A record, and the state of its subject that it is.
#[derive(Debug)]
pub struct Found<T> {
    /// The record.
    pub record: Arc<T>,
    /// The state.
    pub version: Version,
}

impl<T> Clone for Found<T> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record), version: self.version }
    }
}

impl<T> std::ops::Deref for Found<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.record
    }
}

/// The outcome of looking something up that is not in memory.
pub type Asked<T> = Result<Option<Found<T>>, DirectoryError>;

/// What the directory says of one thing.
pub enum Answer<T> {
    /// Here it is.
    Known(Found<T>),
    /// There is no such thing.
    Absent,
    /// Not in memory: the future finds out.
    Ask(Pin<Box<dyn Future<Output = Asked<T>> + Send>>),
}

impl<T> Answer<T> {
    /// Waits where waiting is needed.
    ///
    /// # Errors
    /// If the directory could not find out.
    pub async fn resolve(self) -> Asked<T> {
        match self {
            Self::Known(record) => Ok(Some(record)),
            Self::Absent => Ok(None),
            Self::Ask(future) => future.await,
        }
    }
}

/// A record of any kind, and its state; `None` where there is no such thing.
pub type Remembered = Option<(Version, Record)>;

/// What the directory says of something of any kind: see [`Answer`].
pub enum Reply {
    /// Here it is.
    Known(Version, Record),
    /// There is no such thing.
    Absent,
    /// Not in memory: the future finds out.
    Ask(Pin<Box<dyn Future<Output = Result<Remembered, DirectoryError>> + Send>>),
}

impl Reply {
    /// The answer of one who has asked for this kind of record.
    fn of_kind<T: Kind>(self) -> Answer<T> {
        fn found<T: Kind>(version: Version, record: Record) -> Result<Found<T>, DirectoryError> {
            let record = T::unpack(record);
            let another = || DirectoryError::Unavailable("the directory answered something else".to_owned());
            record.map(|record| Found { record, version }).ok_or_else(another)
        }
        match self {
            Self::Known(version, record) => match found(version, record) {
                Ok(found) => Answer::Known(found),
                Err(error) => Answer::Ask(Box::pin(std::future::ready(Err(error)))),
            },
            Self::Absent => Answer::Absent,
            Self::Ask(answer) => Answer::Ask(Box::pin(async move {
                answer.await?.map(|(version, record)| found(version, record)).transpose()
            })),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known(..) => "Known(..)",
            Self::Absent => "Absent",
            Self::Ask(_) => "Ask(..)",
        })
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known(_) => "Known(..)",
            Self::Absent => "Absent",
            Self::Ask(_) => "Ask(..)",
        })
    }
}

/// The directory could not say. Never a statement about a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The store did not answer, or what it answered could not be trusted.
    #[error("the directory could not be asked: {0}")]
    Unavailable(String),
    /// The store answers, and is not to be believed until somebody has looked at it. Nor is what was remembered of it.
    #[error("the directory is not to be believed: {0}")]
    Distrusted(String),
    /// Too many look-ups are already under way.
    #[error("too many directory look-ups are under way")]
    Overloaded,
}
