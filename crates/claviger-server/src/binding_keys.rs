//! The keys that bind principals to requests: one for the upstreams of each audience.

use claviger::Api;
use claviger_store::{Keyring, Store};

/// The key that binds principals to requests, for the upstreams of an audience.
pub(crate) fn binding_key(store: &Store, api: &Api) -> claviger::secret::Secret {
    binding_key_of(store.keyring(), api)
}

/// The same, from the keyring alone.
pub(crate) fn binding_key_of(keyring: &Keyring, api: &Api) -> claviger::secret::Secret {
    keyring.derive(&binding_label(&api.identity_tokens.audience))
}

/// What the key that binds principals to requests is derived under.
fn binding_label(audience: &str) -> String {
    format!("upstream binding: {audience}")
}
