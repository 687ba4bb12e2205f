//! How an exchange comes to its end, and who is told.

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was handed to the client's connection, or both ends of a
    /// tunnel have finished.
    Complete,
    /// The client closed its connection before that.
    ClientGone,
    /// The client took nothing of what was sent for too long.
    ClientStalled,
    /// The upstream broke its answer off, or it could not be read to its end.
    UpstreamBroken,
    /// The upstream's answer stood still for too long.
    UpstreamStalled,
    /// What we made ourselves could not be made to its end.
    Failed,
    /// The permission of the exchange was withdrawn.
    Withdrawn,
    /// The time of a tunnel was over.
    Expired,
    /// The server was stopped.
    Stopped,
}

impl Ended {
    /// The word for it in logs and figures.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::ClientStalled => "client_stalled",
            Self::UpstreamBroken => "upstream_broken",
            Self::UpstreamStalled => "upstream_stalled",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Stopped => "stopped",
        }
    }

    /// All that are no good end.
    pub const CUT: [Self; 8] = [
        Self::ClientGone,
        Self::ClientStalled,
        Self::UpstreamBroken,
        Self::UpstreamStalled,
        Self::Failed,
        Self::Withdrawn,
        Self::Expired,
        Self::Stopped,
    ];
}

/// Goes along with an exchange to its end. One that is dropped without a word
/// can ask its [`Watch`](super::Watch) why.
pub trait Ending: Send {
    /// The exchange has ended. Told at most once.
    fn ended(&mut self, how: Ended);
}
