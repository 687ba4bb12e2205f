//! What people send, within its bounds.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use claviger::refusal::Reason;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Map;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::refused::{Fault, Refused};
use crate::wire::Body;

/// The longest body, in bytes.
const MAX_BODY: usize = 16 * 1024;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body, as it came.
pub struct Sent {
    bytes: Zeroizing<Vec<u8>>,
    /// The parameters that are looked at, if it is a form.
    form: Option<&'static [&'static str]>,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent(..)")
    }
}

impl Sent {
    /// Whether it is a form that is taken here.
    pub(super) fn is_form(&self) -> bool {
        self.form.is_some()
    }

    /// Whether nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Reads it: every field once, and none that is not known; in a form what is not known is passed over.
    ///
    /// # Errors
    /// Saying what is wrong where, and nothing of what was sent.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if let Some(known) = self.form {
            let mut members = Map::new();
            for (name, value) in form_urlencoded::parse(&self.bytes) {
                // What has no value is as if it were not there, and so is what is not known (RFC 6749, section 3.2).
                if value.is_empty() || !known.contains(&name.as_ref()) {
                    continue;
                }
                if members.insert(name.to_string(), value.as_ref().into()).is_some() {
                    return Err(Failure::new("a field of the form stands there twice"));
                }
            }
            return serde_json::from_value(members.into()).map_err(|error| said(&error));
        }
        serde_json::from_slice(&self.bytes).map_err(|error| said(&error))
    }
}

/// What is wrong with JSON. Of what it found where something else was expected nothing is repeated: it may be a password.
fn said(error: &serde_json::Error) -> Failure {
    let text = error.to_string();
    let what = if text.starts_with("missing field") || text.starts_with("duplicate field") {
        text.split(" at line").next().unwrap_or_default().to_owned()
    } else if text.starts_with("unknown field") {
        "a field is not known here".to_owned()
    } else if error.is_data() {
        "a field is of another type than it has to be".to_owned()
    } else {
        format!("the body is no JSON (line {}, column {})", error.line(), error.column())
    };
    Failure::new(what)
}

/// What may be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Nothing is looked at.
    pub(super) is_nothing: bool,
    /// Nothing may be sent as well.
    pub(super) may_be_empty: bool,
    /// The parameters of a form, where one is taken beside JSON.
    pub(super) form: Option<&'static [&'static str]>,
}

/// What came, within its bounds.
pub(super) async fn sent(wanted: Wanted, headers: &HeaderMap, body: Body) -> Result<Sent, Refused> {
    let collected = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await;
    let bytes: Bytes = match collected {
        Err(_) => return Err(Fault::RequestTimeout.into()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            return Err(Fault::BodyTooLarge.into());
        }
        Ok(Err(_)) => return Err(Reason::MalformedRequest { why: "its body did not come to its end" }.into()),
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    let bytes = Zeroizing::new(bytes.to_vec());
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim();
    let is_form = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let form = wanted.form.filter(|_| is_form);
    if wanted.is_nothing || form.is_some() || wanted.may_be_empty && bytes.is_empty() {
        return Ok(Sent { bytes, form });
    }
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(
            Failure::new("the body is not said to be JSON; send `Content-Type: application/json`").into()
        );
    }
    Ok(Sent { bytes, form: None })
}
