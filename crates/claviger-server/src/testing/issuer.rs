//! An issuer of identity tokens that is not Claviger.

use std::path::{Path, PathBuf};

use claviger::id::TenantId;
use claviger::key_set::Algorithm;
use claviger::signing_key::SigningKey;
use claviger::testing::{Unsigned, keypair};
use serde_json::Value;
use toml::Table;

/// Another issuer, whose key set is a file.
#[derive(Debug)]
pub struct TestIssuer {
    /// Its `iss`.
    pub name: String,
    /// Its key.
    pub key: SigningKey,
    file: PathBuf,
}

impl TestIssuer {
    /// An issuer with a key called `kid`, whose set is written to `folder`.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn start(folder: &Path, name: &str, kid: &str, algorithm: Algorithm) -> Self {
        let key = keypair(kid, algorithm);
        let file = folder.join(format!("{kid}.jwks.json"));
        let issuer = Self { name: name.to_owned(), key, file };
        issuer.publish(&[issuer.key.verifying_key().expect("a public key").to_jwk()]);
        issuer
    }

    /// Writes its set anew, in place of what is there.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn publish(&self, keys: &[Value]) {
        self.write(&serde_json::json!({ "keys": keys }).to_string());
    }

    /// Writes something else there.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn write(&self, text: &str) {
        // As whoever publishes keys does: nobody reads half a file.
        let next = self.file.with_extension("next");
        std::fs::write(&next, text).expect("a key set's file");
        std::fs::rename(&next, &self.file).expect("a key set's file");
    }

    /// The item of `[[api.issuer]]` that trusts it about `tenants`.
    pub fn settings(&self, audience: &str, tenants: &[TenantId]) -> Table {
        let mut table = Table::new();
        let mut set = |name: &str, value: toml::Value| table.insert(name.to_owned(), value);
        set("issuer", self.name.clone().into());
        set("audience", audience.into());
        set("jwks_file", self.file.display().to_string().into());
        set("tenants", tenants.iter().map(ToString::to_string).collect::<Vec<_>>().into());
        table
    }

    /// A token of its, with these claims and `typ`.
    pub fn sign(&self, typ: &str, claims: &Value) -> String {
        signed(&self.key, typ, claims)
    }

    /// The same under another of its keys.
    pub fn sign_with(&self, key: &SigningKey, typ: &str, claims: &Value) -> String {
        signed(key, typ, claims)
    }
}

fn signed(key: &SigningKey, typ: &str, claims: &Value) -> String {
    let header = serde_json::json!({ "alg": key.algorithm().as_str(), "typ": typ, "kid": key.kid() });
    Unsigned::new(&header, claims).signed(key)
}
