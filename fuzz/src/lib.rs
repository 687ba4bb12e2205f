//! Fuzz targets: what anybody can send, and what an operator can write.
//!
//! Each module is one target, with what holds whatever the input is. `cargo test -p claviger-fuzz` tries what was kept
//! (`src/__fuzz__/*/corpus`) and some chance inputs; `make fuzz` looks for new ones, led by what they reach.

#![cfg(test)]

mod forwarded;
mod identify;
mod jws;
mod key_set;
mod paths;
mod settings;

/// A text: a byte of ASCII stands for itself, and one above for a word.
fn spelt(bytes: &[u8], words: &[&str]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte.checked_sub(0x80) {
            None => text.push(char::from(*byte)),
            Some(above) => text.push_str(words[usize::from(above) % words.len()]),
        }
    }
    text
}
