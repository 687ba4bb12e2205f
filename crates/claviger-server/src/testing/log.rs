//! What is logged while tests run, kept to be searched.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;

/// Everything this process has logged since its first server, at `debug` and above.
#[derive(Debug, Default)]
pub struct Log(Mutex<Vec<u8>>);

static LOG: OnceLock<Log> = OnceLock::new();

impl Log {
    /// The log; begun by whoever asks first.
    pub fn of_this_process() -> &'static Self {
        LOG.get_or_init(|| {
            let filter = EnvFilter::new("debug");
            let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Sink);
            // Where a test has set up a subscriber of its own, there is nothing to keep here.
            let _ = builder.try_init();
            Self::default()
        })
    }

    /// What it says so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(log) = LOG.get() {
            log.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
