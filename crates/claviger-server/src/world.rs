//! What a process is started with besides its settings.

use std::sync::Arc;

use claviger::clock::Clock;
use claviger::random::Random;

/// What a process is started with besides its settings.
#[derive(Debug, Clone)]
pub struct World {
    /// The machine's clock, or a test's.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes, or a test's.
    pub random: Arc<dyn Random>,
    /// Whether this is the demonstration, whose data no real server takes.
    pub is_demo: bool,
}
