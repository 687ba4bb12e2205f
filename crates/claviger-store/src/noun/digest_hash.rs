//! How the digests of API keys are hashed.

use std::hash::{BuildHasher, Hasher};

/// The hash of a key's digest is its first eight bytes: it is an HMAC under a pepper, so nobody outside can
/// choose it, and hashing it again would add time and nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DigestHash;

/// See [`DigestHash`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DigestHasher(u64);

impl BuildHasher for DigestHash {
    type Hasher = DigestHasher;

    fn build_hasher(&self) -> DigestHasher {
        DigestHasher::default()
    }
}

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
