//! The only place that reads the machine's clocks.

use std::fmt;
use std::sync::Arc;

use claviger::clock::{BootMillis, Clock, UnixMillis};
use rustix::time::{ClockId, clock_gettime};

/// The boot clock, which runs through suspension, and the time of day made from it: an offset read once from the
/// machine's own time of day. A person who turns the machine's clock changes nothing until the next start; where
/// the store has a clock of its own, the directory's memory puts that one in its place.
pub struct MachineClock {
    offset: i64,
}

impl fmt::Debug for MachineClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineClock")
    }
}

impl MachineClock {
    /// Reads the machine's time of day once.
    pub fn new() -> Arc<Self> {
        let offset = time_of_day() - millis(ClockId::Boottime);
        Arc::new(Self { offset })
    }
}

impl Clock for MachineClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(millis(ClockId::Boottime) + self.offset)
    }

    fn boot(&self) -> BootMillis {
        BootMillis(u64::try_from(millis(ClockId::Boottime)).unwrap_or(0))
    }

    fn time_of_day(&self) -> UnixMillis {
        UnixMillis(time_of_day())
    }
}

#[cfg(not(feature = "testing"))]
fn time_of_day() -> i64 {
    millis(ClockId::Realtime)
}

/// The machine's clock, ahead by as many milliseconds as stand in the file that a test names.
#[cfg(feature = "testing")]
#[expect(clippy::disallowed_methods, reason = "no release has this, so it is no setting")]
fn time_of_day() -> i64 {
    let named = std::env::var_os("CLAVIGER_TEST_CLOCK");
    let ahead = named.and_then(|path| std::fs::read_to_string(path).ok());
    let ahead: i64 = ahead.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    millis(ClockId::Realtime) + ahead
}

fn millis(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Measures how long something takes, to the nanosecond. For figures alone; nothing is decided by it.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started: u64,
}

impl Stopwatch {
    /// Starts.
    pub fn start() -> Self {
        Self { started: nanos() }
    }

    /// Nanoseconds since.
    pub fn nanos(self) -> u64 {
        nanos().saturating_sub(self.started)
    }
}

fn nanos() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

/// A time as it is shown: RFC 3339, UTC.
pub fn shown(time: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| time.0.to_string(), |time| format!("{time:.3}"))
}
