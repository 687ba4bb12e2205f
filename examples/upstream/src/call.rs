//! One request that was let in, as the APIs see it.

use std::ops::RangeInclusive;

use bytes::Bytes;
use hyper::Method;
use hyper::http::request::Parts;
use jiff::Timestamp;

use crate::answer::{Answer, Problem, options};
use crate::guard::Caller;
use crate::shelf::Record;

#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// `HEAD` is `GET` here: the HTTP library leaves out the body.
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    query: &'a str,
    body: &'a Bytes,
    pub(crate) caller: &'a Caller,
    pub(crate) now: Timestamp,
}

impl<'a> Call<'a> {
    pub(crate) fn new(head: &'a Parts, body: &'a Bytes, caller: &'a Caller, now: Timestamp) -> Self {
        let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
        let query = head.uri.query().unwrap_or_default();
        Self { method, path: head.uri.path(), query, body, caller, now }
    }

    /// The path without its first slash, cut at the others.
    pub(crate) fn segments(&self) -> Vec<&'a str> {
        self.path.trim_start_matches('/').split('/').collect()
    }

    /// A query parameter, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// A query parameter that is a whole number within `range`; `default` if it is not there.
    pub(crate) fn number(
        &self,
        name: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, Problem> {
        let Some(text) = self.parameter(name) else { return Ok(default) };
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let (least, most) = range.into_inner();
            let bound = if most == usize::MAX { String::new() } else { format!(" and at most {most}") };
            Problem::bad_request(format!("`{name}` must be a whole number, at least {least}{bound}"))
        })
    }

    /// The fields of the body, which must be a JSON object.
    pub(crate) fn fields(&self) -> Result<Record, Problem> {
        serde_json::from_slice(self.body).map_err(|_| Problem::bad_request("The body must be a JSON object"))
    }

    /// The answer for a method that the path does not have.
    pub(crate) fn other_method(&self, allow: &'static str) -> Result<Answer, Problem> {
        if self.method == Method::OPTIONS {
            Ok(options(allow))
        } else {
            Err(Problem::method_not_allowed(allow))
        }
    }
}
