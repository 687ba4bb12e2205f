//! The forms in which an API answers an error.

use std::borrow::Cow;

use http::StatusCode;

use crate::code::Code;

/// How an error body is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[non_exhaustive]
pub enum Layout {
    /// RFC 9457: `{"type","title","status","code","request_id"}`, `application/problem+json`.
    #[serde(rename = "problem+json")]
    Problem,
    /// `{"error":"<message>"}`.
    #[serde(rename = "error-text")]
    ErrorText,
    /// `{"error":{"code","message","doc_url"}}`.
    #[serde(rename = "error-object")]
    ErrorObject,
    /// `{"success":false,"error":{"code","message"}}`, codes in capitals.
    #[serde(rename = "success-false")]
    SuccessFalse,
}

/// The form of an API's errors, and its own words for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    layout: Layout,
    doc_url: Option<Box<str>>,
    messages: Vec<(Code, Box<str>)>,
}

/// An error as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub text: String,
}

impl Envelope {
    /// An envelope with the built-in messages; `messages` replace those of single codes.
    pub fn new(layout: Layout, doc_url: Option<String>, messages: Vec<(Code, String)>) -> Self {
        let messages = messages.into_iter().map(|(code, text)| (code, text.into())).collect();
        Self { layout, doc_url: doc_url.map(Into::into), messages }
    }

    /// The form that its errors have, and what is answered beside them.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// What a client is told about `code`: the API's own words if it has any, or else the built-in ones and `detail`.
    pub fn message(&self, code: Code, detail: Option<&str>) -> Cow<'_, str> {
        match (self.messages.iter().find(|(own, _)| *own == code), detail) {
            (Some((_, text)), _) => (&**text).into(),
            (None, None) => code.message().into(),
            (None, Some(detail)) => format!("{}: {detail}", code.message()).into(),
        }
    }

    /// The body for a status and code, and what a client is told besides.
    pub fn body(&self, status: StatusCode, code: Code, detail: Option<&str>, request_id: &str) -> ErrorBody {
        let message = &*self.message(code, detail);
        let doc_url = self.doc_url.as_deref();
        let text = match self.layout {
            Layout::Problem => json(&Problem {
                kind: doc_url.unwrap_or("about:blank"),
                title: message,
                status: status.as_u16(),
                code: code.as_str(),
                request_id,
            }),
            Layout::ErrorText => json(&Outer { success: None, error: message }),
            Layout::ErrorObject => {
                json(&Outer { success: None, error: Inner { code: code.as_str(), message, doc_url } })
            }
            Layout::SuccessFalse => {
                let code = code.as_str().to_ascii_uppercase();
                json(&Outer { success: Some(false), error: Inner { code: &code, message, doc_url: None } })
            }
        };
        let content_type =
            if self.layout == Layout::Problem { "application/problem+json" } else { "application/json" };
        ErrorBody { content_type, text }
    }
}

/// The members in the order in which the documents of the APIs show them.
#[derive(serde::Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    request_id: &'a str,
}

#[derive(serde::Serialize)]
struct Outer<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    error: T,
}

#[derive(serde::Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc_url: Option<&'a str>,
}

#[expect(clippy::expect_used, reason = "text and numbers alone: serde_json fails on neither")]
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain fields become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layout_says_the_code_and_message_in_its_own_form() {
        let own = vec![(Code::Unauthorized, "Missing or invalid Authorization header".to_owned())];
        let doc = Some("https://example.com/docs".to_owned());
        for (layout, expected) in [
            (Layout::ErrorText, r#"{"error":"Missing or invalid Authorization header"}"#),
            (
                Layout::ErrorObject,
                r#"{"error":{"code":"unauthorized","message":"Missing or invalid Authorization header","doc_url":"https://example.com/docs"}}"#,
            ),
            (
                Layout::SuccessFalse,
                r#"{"success":false,"error":{"code":"UNAUTHORIZED","message":"Missing or invalid Authorization header"}}"#,
            ),
            (
                Layout::Problem,
                r#"{"type":"https://example.com/docs","title":"Missing or invalid Authorization header","status":401,"code":"unauthorized","request_id":"r1"}"#,
            ),
        ] {
            let envelope = Envelope::new(layout, doc.clone(), own.clone());
            let body = envelope.body(StatusCode::UNAUTHORIZED, Code::Unauthorized, None, "r1");
            assert_eq!(body.text, expected);
        }
    }

    #[test]
    fn a_detail_follows_the_built_in_words_and_no_others() {
        let own = vec![(Code::BadRequest, "No.".to_owned())];
        let said = |messages, code, detail| {
            Envelope::new(Layout::ErrorText, None, messages).message(code, detail).into_owned()
        };
        assert_eq!(said(vec![], Code::BadRequest, Some("a dot")), "The request is malformed: a dot");
        assert_eq!(said(own, Code::BadRequest, Some("a dot")), "No.");
        assert_eq!(said(vec![], Code::BadRequest, None), "The request is malformed");
    }
}
