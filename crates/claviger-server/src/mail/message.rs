//! What a way for mail is, and what goes on it.

use claviger::clock::UnixMillis;
use claviger_store::outbox::Letter;
use futures_util::future::BoxFuture;
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, SinglePart};

/// Why a mail did not go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// It may go later. Nothing of the mail is in the text.
    Later(String),
    /// Nobody will ever take it.
    Never(String),
}

/// A way for mail to go.
pub(crate) trait Post: std::fmt::Debug + Send + Sync {
    /// Sends a mail; `name` is the same each time that it is tried, and of ASCII letters, digits and hyphens.
    fn send<'a>(
        &'a self,
        letter: &'a Letter,
        name: &'a str,
        at: UnixMillis,
    ) -> BoxFuture<'a, Result<(), Undelivered>>;
}

/// A mail as it goes (RFC 5322): plain text, and marked as nobody's answer (RFC 3834).
pub(super) fn message(
    from: &Mailbox,
    letter: &Letter,
    name: &str,
    at: UnixMillis,
) -> Result<Message, Undelivered> {
    let never = |what: &str| Undelivered::Never(what.to_owned());
    let to = letter.to.parse().map_err(|_| never("its address is none that a mail server takes"))?;
    let millis = u64::try_from(at.0).unwrap_or_default();
    let automatic =
        HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(&letter.subject)
        .message_id(Some(format!("<{name}@{}>", from.email.domain())))
        .date(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(millis))
        .raw_header(automatic)
        .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body(&letter.text)))
        .map_err(|_| never("no mail can be made of it"))
}

/// The longest line that every way takes (RFC 5322, section 2.1.1).
const LONGEST_LINE: usize = 998;

/// As it is, where every way takes it so: links stay whole for whoever reads the file.
fn body(text: &str) -> Body {
    let is_plain =
        |line: &str| line.len() <= LONGEST_LINE && line.bytes().all(|b| (b' '..=b'~').contains(&b));
    if text.lines().all(is_plain) {
        let lines: String = text.lines().flat_map(|line| [line, "\r\n"]).collect();
        return Body::dangerous_pre_encoded(lines.into_bytes(), ContentTransferEncoding::SevenBit);
    }
    let quoted = Body::new_with_encoding(text.to_owned(), ContentTransferEncoding::QuotedPrintable);
    quoted.unwrap_or_else(|_| Body::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_plain_text_under_one_name_and_no_line_of_it_is_a_header() {
        let from: Mailbox = "Orders <no-reply@example.com>".parse().unwrap();
        let letter = Letter {
            to: "ann@x.example".into(),
            subject: "Hello\r\nBcc: eve@x.example".into(),
            text: "One.\nhttps://app.example.com/#verify=pf_x\n".into(),
        };
        let made = message(&from, &letter, "a-name", UnixMillis(1_800_000_000_000)).unwrap();
        let text = String::from_utf8(made.formatted()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.to_lowercase().starts_with("bcc:")), "{head}");
        for line in [
            "From: Orders <no-reply@example.com>",
            "To: ann@x.example",
            "Message-ID: <a-name@example.com>",
            "Date: Fri, 15 Jan 2027 08:00:00 +0000",
            "Auto-Submitted: auto-generated",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
        assert_eq!(body.trim_end(), "One.\r\nhttps://app.example.com/#verify=pf_x");
        // What is not of ASCII arrives as it was.
        let mut letter = letter;
        letter.text = "Caf\u{e9}\n".into();
        let text = message(&from, &letter, "n", UnixMillis(0)).unwrap().formatted();
        assert!(String::from_utf8(text).unwrap().trim_end().ends_with("Caf=C3=A9"));
        letter.to = "a@b@c".into();
        assert!(matches!(message(&from, &letter, "n", UnixMillis(0)), Err(Undelivered::Never(_))));
    }
}
