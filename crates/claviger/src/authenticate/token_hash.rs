//! What tells one token from every other.

use std::fmt;

use aws_lc_rs::digest;

use crate::api::Api;

/// SHA-256 over the API and the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

impl TokenHash {
    /// An API made of other settings is another one: what was checked by the rules of one is not known to the other.
    pub(super) fn of(api: &Api, token: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&api.instance().to_be_bytes());
        context.update(token.as_bytes());
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
