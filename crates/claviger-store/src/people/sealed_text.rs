//! Secrets that we give out as text, each with a seal of ours: one that was made up costs no look-up.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::secret::Secret;
use zeroize::Zeroizing;

use crate::keyring::Keyring;

/// Half a MAC: nobody who lacks the key makes one in 2^64 tries.
const SEAL: usize = 16;

fn seal(keyring: &Keyring, label: &'static str, value: &[u8]) -> [u8; SEAL] {
    let key = keyring.mac_key(label);
    let mut seal = [0; SEAL];
    for (to, from) in seal.iter_mut().zip(hmac::sign(&key, value).as_ref()) {
        *to = *from;
    }
    seal
}

/// `value` as text behind `prefix`, sealed for what `label` names.
pub(super) fn made(keyring: &Keyring, label: &'static str, prefix: &str, value: &[u8]) -> Secret {
    let bytes = Zeroizing::new([value, &seal(keyring, label, value)].concat());
    Secret::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(&*bytes)).into_bytes())
}

/// The value of a text that was made here for what `label` names.
pub(super) fn read(
    keyring: &Keyring,
    label: &'static str,
    prefix: &str,
    text: &str,
) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(prefix)?).ok()?);
    let (value, shown) = bytes.split_last_chunk::<SEAL>()?;
    let is_ours = verify_slices_are_equal(&seal(keyring, label, value), shown).is_ok();
    is_ours.then(|| Zeroizing::new(value.to_vec()))
}

#[cfg(test)]
mod tests {
    use claviger::random::SystemRandom;

    use super::*;

    #[test]
    fn only_what_was_made_here_for_the_same_is_read() {
        let (ours, theirs) =
            (Keyring::generate(&SystemRandom).unwrap(), Keyring::generate(&SystemRandom).unwrap());
        let text = made(&ours, "proof", "pf_", &[7; 32]);
        let text = text.expose_text().unwrap();
        assert_eq!(read(&ours, "proof", "pf_", text).as_deref(), Some(&vec![7; 32]));
        assert_eq!(read(&ours, "invitation", "pf_", text), None);
        assert_eq!(read(&ours, "proof", "iv_", text), None);
        assert_eq!(read(&theirs, "proof", "pf_", text), None);
        for at in 3..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            // The last character may hold bits that count for nothing.
            let other = String::from_utf8(other).unwrap();
            assert_eq!(read(&ours, "proof", "pf_", &other), None, "{other}");
        }
        for nonsense in ["", "pf_", "pf_AAAA", "pf_%"] {
            assert_eq!(read(&ours, "proof", "pf_", nonsense), None);
        }
    }
}
