//! Finds keys and tokens in texts that are written down, wherever somebody put them.
//!
//! It goes by their shape, as a text may hold somebody else's, or one that is good on another day. What is encoded is
//! read decoded, as whoever reads the log can decode it too.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;

/// Nothing that opens a door is shorter, in bytes.
const SHORTEST: usize = 24;
/// What stands in place of a part of a text that holds a credential.
const REMOVED: &str = "***";
/// How often a text can be encoded one over the other and is still read.
const ROUNDS: usize = 4;

/// The text without the parts, between slashes, that hold a key or a token.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    if text.len() < SHORTEST || !text.split('/').any(holds_a_credential) {
        return text.into();
    }
    let parts = text.split('/').map(|part| if holds_a_credential(part) { REMOVED } else { part });
    parts.collect::<Vec<_>>().join("/").into()
}

/// The text without the words that hold a key or a token: for what people are told, which may quote what they typed.
pub(crate) fn redact_words(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '`' | '\'' | '"');
    let word = |word: &str| {
        let (word, end) = word.split_at(word.trim_end_matches(is_end).len());
        format!("{}{end}", redact(word))
    };
    text.split_inclusive(is_end).map(word).collect()
}

fn holds_a_credential(part: &str) -> bool {
    if part.len() < SHORTEST {
        return false;
    }
    let mut decoded = Cow::Borrowed(part);
    for _ in 0..ROUNDS {
        if holds_a_key(&decoded)
            || holds_a_token(&decoded)
            || holds_a_token_of_a_session_or_an_operator(&decoded)
        {
            return true;
        }
        if !decoded.contains('%') {
            return false;
        }
        decoded = percent_decode_str(&decoded).decode_utf8_lossy().into_owned().into();
    }
    // Whoever encodes so often has something to hide.
    true
}

/// Whether an operator's token or a refresh token is in it, with enough of what makes it one.
fn holds_a_token_of_a_session_or_an_operator(text: &str) -> bool {
    let holds = |marker: &str, least: usize| {
        text.match_indices(marker).any(|(at, _)| {
            let rest = text.get(at + marker.len()..).unwrap_or_default();
            let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            rest.bytes().take_while(is_base64url).count() > least
        })
    };
    // The first marker is a word that nobody writes by chance; the second is short, and its tokens are long.
    holds(claviger_store::operators::TOKEN_PREFIX, 5)
        || holds(claviger_store::refresh_tokens::TOKEN_PREFIX, 40)
}

/// Whether a key is in it: `sk_live_k1_` and enough letters and digits, whatever stands before and behind.
fn holds_a_key(text: &str) -> bool {
    ["_live_", "_test_"].iter().any(|marker| {
        text.match_indices(marker).any(|(at, _)| {
            let rest = text.get(at + marker.len()..).unwrap_or_default();
            let run = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            run + marker.len() + 2 >= SHORTEST
        })
    })
}

/// Whether a compact JWS is in it: three runs of base64url with dots between them, the first of which begins an object.
fn holds_a_token(text: &str) -> bool {
    let is_base64url = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split(|c: char| !is_base64url(c) && c != '.').filter(|run| run.len() >= SHORTEST).any(|run| {
        let parts: Vec<&str> = run.split('.').collect();
        parts.windows(3).any(|three| three.first().is_some_and(|header| begins_an_object(header)))
    })
}

fn begins_an_object(header: &str) -> bool {
    // Something may stand before it: each place where an object can begin is looked at.
    (0..header.len()).any(|at| {
        let rest = header.get(at..).unwrap_or_default();
        let whole = rest.get(..rest.len() - rest.len() % 4).unwrap_or_default();
        let head = whole.get(..whole.len().min(16)).unwrap_or_default();
        let decoded = URL_SAFE_NO_PAD.decode(head).unwrap_or_default();
        decoded.trim_ascii_start().starts_with(b"{\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk_live_k1_0123456789abcdefghijklmnopqrstuvw";
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIs.eyJzdWIiOiJ1.c2lnbmF0dXJl";

    #[test]
    fn a_refresh_token_is_cut_out() {
        let token = format!("rt_{}", "aB3-_".repeat(17));
        for text in
            [format!("/a/{token}/b"), format!("/a/{}", token.replace('_', "%5F")), format!("x{token}")]
        {
            assert!(!redact(&text).contains("aB3"), "{text}");
        }
        assert_eq!(redact("/art_gallery_of_the_whole_wide_world"), "/art_gallery_of_the_whole_wide_world");
    }

    #[test]
    fn forwarding_03_a_credential_is_not_written_wherever_it_stands() {
        let encoded = KEY.replace('_', "%5F");
        let twice = encoded.replace('%', "%25");
        let spelt: String = KEY.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for holding in [
            KEY.to_owned(),
            format!("a{KEY}"),
            format!("{KEY}.json"),
            format!("key={KEY};x"),
            encoded,
            twice,
            spelt,
            TOKEN.to_owned(),
            format!("token:{TOKEN}"),
            format!("x{TOKEN}"),
            format!("x.{TOKEN}"),
            TOKEN.replace('.', "%2E"),
            "IHsiYWxnIjoiSFMyNTYiLCJ0.eyJzdWIiOiJ1.c2lnbmF0dXJl".to_owned(),
            "acme_test_k1_0123456789abcdefghij".to_owned(),
            "claviger_operator_0123456789-_abcdefghij".to_owned(),
            format!("%25252525252525252525{}", "25".repeat(10)),
        ] {
            assert_eq!(redact(&holding), "***", "{holding}");
            assert_eq!(redact(&format!("/leads/{holding}/x")), "/leads/***/x");
        }
    }

    #[test]
    fn what_is_none_is_written_as_it_is() {
        for text in [
            "/api/v1/leads/lead_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "/eye.of.the.tiger.in.the.night.of.the.hunter",
            "/a_live_band/and_a_test_drive",
            "/assets/jquery.min.3f2a9c1b77aa44.js",
            "/files/2026.11.26.report-of-the-year.final.pdf",
            "/caf%C3%A9/%E4%BD%A0%E5%A5%BD%E4%BD%A0%E5%A5%BD",
            "GET",
            "",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn a_word_that_is_a_key_is_not_said_again_and_the_others_are() {
        let key = "sk_live_k1_0123456789abcdefghijABCDEFGHIJ012345";
        let said = redact_words(&format!("`KEY {key}`: a key id must be `key_` and\n  32 digits: '{key}'"));
        assert_eq!(said, "`KEY ***`: a key id must be `key_` and\n  32 digits: '***'");
    }
}
