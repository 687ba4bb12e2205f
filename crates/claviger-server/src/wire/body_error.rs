//! Why a body ended before its end.

use std::time::Duration;

use super::ending::Ended;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the bound allows; a request is answered with 413.
    #[error("body is larger than {max} bytes")]
    TooLarge {
        /// The bound, in bytes.
        max: u64,
    },
    /// No byte came for the time allowed.
    #[error("no byte of the body came for {} ms", after.as_millis())]
    Stalled {
        /// The bound.
        after: Duration,
    },
    /// The client closed its connection before the end of its body.
    #[error("client closed the connection before the end of the body")]
    ClientGone,
    /// The client's chunks could not be read.
    #[error("body from the client is malformed")]
    ClientMalformed,
    /// The upstream closed its connection before the end of its body, or its
    /// chunks could not be read.
    #[error("upstream ended the body early")]
    UpstreamBroken,
    /// A body of our own failed while it was being made.
    #[error("body could not be made")]
    Produced(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    /// How an exchange ends whose answer broke off so.
    pub(super) fn ends(&self) -> Ended {
        match self {
            Self::UpstreamBroken => Ended::UpstreamBroken,
            Self::Stalled { .. } => Ended::UpstreamStalled,
            Self::TooLarge { .. } | Self::ClientGone | Self::ClientMalformed | Self::Produced(_) => {
                Ended::Failed
            }
        }
    }
}
