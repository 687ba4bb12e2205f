//! Why a store could not do what it was asked.
//!
//! No message holds SQL, a value of a row or an address of a server: these errors reach logs and, shortened,
//! callers.

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer, or could not: nothing was changed.
    #[error("the store is unavailable: {why}")]
    Unavailable {
        /// What the engine complained of, without any value.
        why: String,
    },
    /// There is one already.
    #[error("{what} like this exists already")]
    AlreadyExists {
        /// What there is one of.
        what: &'static str,
    },
    /// There is none, or none that the caller may know of.
    #[error("there is no such {what}")]
    NotFound {
        /// What there is none of.
        what: &'static str,
    },
    /// A wall or a rule of the store stands against it.
    #[error("refused: {why}")]
    Refused {
        /// Which one.
        why: &'static str,
    },
    /// What was given cannot be stored.
    #[error("{0}")]
    Invalid(String),
    /// A row cannot be read: it is damaged, sealed under another key, or written by a newer program.
    #[error("a stored {what} cannot be read")]
    Corrupt {
        /// What the row is.
        what: &'static str,
    },
    /// Nothing is granted while the machine's clock and the store's differ. Milliseconds; positive if the machine is behind.
    #[error(
        "nothing is granted while this machine's clock differs from the store's by {0} ms; what is withdrawn is withdrawn"
    )]
    ClockOff(i64),
    /// Somebody has edited it since that version of it was seen.
    #[error("it was edited meanwhile: its version is {now} by now")]
    Edited {
        /// The present version.
        now: String,
    },
    /// Whether the change happened is not known.
    #[error("it is not known whether the change was stored")]
    UnknownOutcome,
    /// The store cannot be opened as the settings say.
    #[error("{0}")]
    Setup(String),
}

impl StoreError {
    /// The engine could not; `why` holds no value of a row.
    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable { why: why.into() }
    }
}
