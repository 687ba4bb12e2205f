//! What the directory's memory asks of a store.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use claviger::clock::UnixMillis;
use claviger::directory::DirectoryError;

use crate::subject::{Change, Loaded, Subject};

/// A future of a [`Source`].
pub type SourceFuture<T> = Pin<Box<dyn Future<Output = Result<T, DirectoryError>> + Send>>;

/// Where the directory's memory reads what it does not have, and follows what changes.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Reads these subjects, at most 256, as committed at some moment after the call. Answers each once, in any
    /// order; one whose row cannot be read is left out, and fails alone. Reads go to the primary and give up
    /// after 5 s.
    fn load(&self, subjects: Vec<Subject>) -> SourceFuture<Vec<Loaded>>;

    /// The changes committed since `after`. Every change is in the answer of some poll, in no particular order,
    /// and maybe in several.
    ///
    /// Fails with [`DirectoryError::Distrusted`] where the store answers and may hide changes: a wall is down, or it
    /// was restored.
    fn poll(&self, after: Cursor) -> SourceFuture<Poll>;

    /// Tells the store that everything up to `cursor` has been applied, as somebody waits for it.
    fn acknowledge(&self, cursor: Cursor) -> SourceFuture<()>;

    /// Every revoked token that has not expired yet, with the cursor to follow from.
    fn revoked_tokens(&self) -> SourceFuture<(Vec<Loaded>, Cursor)>;
}

/// How often, in milliseconds, a poll asks whether somebody touched the walls: a withdrawal that they hide is heeded
/// once a poll has asked. It costs PostgreSQL more than all the rest of a poll.
pub const WALLS_EVERY_MILLIS: u64 = 1000;

/// How far somebody has followed the feed. Opaque: only the store that made it can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// What a node has to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forget {
    /// Nothing: the changes are all there are.
    #[default]
    Nothing,
    /// Every record: there may be changes that nobody will tell of.
    Everything,
    /// Every record, and which versions there were: the feed comes from elsewhere now, where what was heard of may never
    /// have happened, and a version may stand for another state.
    Origin,
}

/// The answer of one poll.
#[derive(Debug, Clone)]
pub struct Poll {
    /// What has changed.
    pub changes: Vec<Change>,
    /// Where the next poll goes on.
    pub cursor: Cursor,
    /// What has to be forgotten before the changes hold.
    pub forget: Forget,
    /// Whether there was a change that a program of this version must understand, and this one does not.
    pub is_outdated: bool,
    /// Whether somebody waits until every node has applied this.
    pub is_waited_for: bool,
    /// The store's clock when it answered.
    pub store_now: UnixMillis,
    /// The peppers that there are and this node lacks, being newer than all that it has; `None` if this was not asked.
    pub lacking_peppers: Option<Vec<String>>,
}
