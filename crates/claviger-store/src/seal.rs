//! Encryption of single columns: AES-256-GCM-SIV (RFC 8452), bound to the place where the value stands.
//!
//! A sealed value is a version byte, the length and name of its key, a nonce of 12 bytes, the ciphertext and its
//! tag. Moved to another row, column or tenant it does not open.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use claviger::id::TenantId;
use claviger::random::Random;
use claviger::secret::Secret;

const VERSION: u8 = 1;
const NONCE: usize = 12;

/// Where a sealed value stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// `None` in the tables that belong to no tenant.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) table: &'a str,
    pub(crate) column: &'a str,
    pub(crate) id: &'a str,
}

impl Place<'_> {
    /// Each part with its length before it, so that no two places are spelt alike.
    fn spelling(&self, key_id: &str) -> Vec<u8> {
        let tenant = self.tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
        let mut out = vec![VERSION];
        for part in [key_id, &tenant, self.table, self.column, self.id] {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part.as_bytes());
        }
        out
    }
}

fn key(secret: &Secret) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM_SIV, secret.expose()).ok().map(LessSafeKey::new)
}

/// Seals `plain` under the key called `key_id`. `None` if the key has not 32 bytes.
pub(crate) fn seal(
    key_id: &str,
    secret: &Secret,
    place: &Place<'_>,
    plain: &Secret,
    random: &dyn Random,
) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE];
    random.fill(&mut nonce);
    let mut out = beginning(key_id)?;
    out.extend_from_slice(&nonce);
    let mut body = plain.expose().to_vec();
    let aad = Aad::from(place.spelling(key_id));
    key(secret)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body).ok()?;
    out.append(&mut body);
    Some(out)
}

/// What everything begins with that is sealed under the key called `key_id`. `None` if the name is too long.
pub(crate) fn beginning(key_id: &str) -> Option<Vec<u8>> {
    let mut out = vec![VERSION, u8::try_from(key_id.len()).ok()?];
    out.extend_from_slice(key_id.as_bytes());
    Some(out)
}

/// The name of the key that `sealed` says it needs, and the rest.
pub(crate) fn key_of(sealed: &[u8]) -> Option<(&str, &[u8])> {
    let [VERSION, length, rest @ ..] = sealed else { return None };
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(id).ok()?, rest))
}

/// Opens what [`seal`] made for the same place.
pub(crate) fn open(key_id: &str, secret: &Secret, place: &Place<'_>, rest: &[u8]) -> Option<Secret> {
    let (nonce, body) = rest.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut body = body.to_vec();
    let aad = Aad::from(place.spelling(key_id));
    let length = key(secret)?.open_in_place(nonce, aad, &mut body).ok()?.len();
    body.truncate(length);
    Some(Secret::new(body))
}
