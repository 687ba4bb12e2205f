//! Time, which always comes in from outside.

use std::fmt;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The time `seconds` after 1970 began; the largest there is if that overflows.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds, rounded down: a JWT's NumericDate (RFC 7519, section 2).
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This much later.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This much later.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        self.plus_millis(seconds.saturating_mul(1000))
    }
}

/// Milliseconds since the machine started, the time it was suspended included. Never goes back, and says
/// nothing about the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootMillis(pub u64);

impl BootMillis {
    /// Milliseconds from `earlier` to this; 0 if `earlier` is later.
    pub fn since(self, earlier: BootMillis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The two clocks a decision reads.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day as the store has it: what expiry and grace are measured by.
    fn now(&self) -> UnixMillis;

    /// The boot clock: what durations and staleness are measured by.
    fn boot(&self) -> BootMillis;

    /// What the machine's own clock shows at this moment, to be compared with the store's. Nothing is measured by it:
    /// whoever turns it makes nothing expire.
    fn time_of_day(&self) -> UnixMillis {
        self.now()
    }
}

/// The farthest a machine's time of day may be from the store's, in milliseconds. Beyond, a node serves and is not
/// ready, and neither grants nor clears away: whichever of the two is wrong.
pub const MAX_OFFSET_MILLIS: u64 = 2000;

/// How far clocks may differ before an expiry or an issue time counts, in seconds.
pub const LEEWAY_SECONDS: i64 = 5;
