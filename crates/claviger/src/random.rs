//! Where unpredictable bytes come from.

use std::fmt;

/// A source of unpredictable bytes, handed in so that tests can repeat themselves.
pub trait Random: fmt::Debug + Send + Sync {
    /// Fills `bytes` from a cryptographic generator.
    ///
    /// A source that cannot deliver must not return: no caller can go on with bytes that somebody could guess.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator, by way of the crypto library.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::expect_used, reason = "without random bytes every key made afterwards could be guessed")]
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system's random generator answers");
    }
}
