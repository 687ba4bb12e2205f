//! What is sent back: JSON, and problems in the shape of the API that has them.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::api::Api;

pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The answer without a body to a deletion.
pub(crate) fn no_content() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// The answer to `OPTIONS`: the methods of the path, as a list with commas.
pub(crate) fn options(allow: &'static str) -> Answer {
    let mut answer = Response::new(Full::default());
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

/// Why a request that was let in gets nothing.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    message: String,
    allow: Option<&'static str>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), allow: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found")
    }

    /// `allow`: the methods of the path, as a list with commas.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed") }
    }

    /// The problem in the shape of `api`.
    pub(crate) fn answer(&self, api: Api) -> Answer {
        let message = &self.message;
        // `404 Not Found` has the code `not_found`.
        let code = self.status.canonical_reason().unwrap_or("error").to_lowercase().replace(' ', "_");
        let body = match api {
            Api::Synq => json!({"error": message}),
            Api::Synaptiq => {
                let doc_url = "https://synaptiqintel.com/docs/api-reference/errors";
                json!({"error": {"code": code, "message": message, "doc_url": doc_url}})
            }
            Api::Syncello => {
                json!({"success": false, "error": {"code": code.to_uppercase(), "message": message}})
            }
        };
        let mut answer = json_answer(self.status, &body);
        if let Some(allow) = self.allow {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        answer
    }
}
