//! What hangs on each key of the keyring.

use claviger_store::key_uses::{KeyKind, KeyUse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operation::{Call, operations};
use super::page::Page;
use crate::failure::Failure;

/// The keyring.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TheKeyring {}

/// A pepper or an encryption key, and what hangs on it.
#[derive(Debug, Serialize, ToSchema)]
struct KeyUseShown {
    /// Its name.
    key: String,
    /// `pepper` or `encryption`.
    kind: &'static str,
    /// How many secrets hang on it.
    uses: i64,
    /// Whether this server holds it.
    held: bool,
    /// Whether new secrets are made under it.
    current: bool,
}

operations! {
    /// Say what hangs on each pepper and encryption key
    "keyring.status": GET "/v1/keyring" for Reader = status(TheKeyring) -> Page<KeyUseShown>;
}

#[expect(clippy::disallowed_methods, reason = "the keyring is no tenant's")]
async fn status(call: &Call, _: TheKeyring) -> Result<Page<KeyUseShown>, Failure> {
    call.caller.reaches_everything()?;
    let system = call.management.store.system(&claviger::danger::SystemPermit::for_job("keyring"));
    let keys = system.keyring_status().await?;
    let one = |key: &KeyUse| KeyUseShown {
        key: key.name.clone(),
        kind: match key.kind {
            KeyKind::Pepper => "pepper",
            KeyKind::Encryption => "encryption",
        },
        uses: key.uses,
        held: key.is_held,
        current: key.is_current,
    };
    Ok(Page::whole(keys.iter().map(one).collect()))
}
