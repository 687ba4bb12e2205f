//! Public names of what signs.

use claviger::random::Random;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Some characters of base62, each as likely as any other.
pub(crate) fn base62(random: &dyn Random, characters: usize) -> String {
    let mut out = String::with_capacity(characters);
    while out.len() < characters {
        let mut byte = [0];
        random.fill(&mut byte);
        // Of the 64 values of six bits two have no character and are thrown again.
        if let Some(character) = BASE62.get(usize::from(byte[0] >> 2)) {
            out.push(char::from(*character));
        }
    }
    out
}
