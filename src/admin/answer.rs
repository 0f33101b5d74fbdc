//! Answers of both listeners, all with the headers that keep browsers from doing anything clever with them.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde_json::{Map, Value};
use std::{borrow::Cow, convert::Infallible};

/// An answer; only `tail` is more than one piece.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Nothing of another place, no script, no form: for whoever opens JSON in a browser.
const NOTHING: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// An answer of this type.
pub(super) fn of(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    with_body(status, content_type, Full::new(body.into()).boxed_unsync())
}

/// An answer of this type whose body may take its time.
pub(super) fn with_body(
    status: StatusCode,
    content_type: &'static str,
    body: UnsyncBoxBody<Bytes, Infallible>,
) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, NOTHING),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A JSON object, `schema_version` first.
pub(super) fn json(status: StatusCode, fields: Value) -> Answer {
    let mut object = Map::from_iter([("schema_version".to_owned(), Value::from(1))]);
    match fields {
        Value::Object(fields) => object.extend(fields),
        Value::Null => {}
        other => drop(object.insert("value".to_owned(), other)),
    }
    let mut body = Value::Object(object).to_string();
    body.push('\n');
    of(status, "application/json", body)
}

/// Why a request gets no answer of its own; small, because it travels as an error.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    text: Cow<'static, str>,
    headers: Vec<(HeaderName, &'static str)>,
}

impl Refusal {
    /// In words for whoever sent the request.
    pub fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        let headers = Vec::new();
        Self { status, text, headers }
    }

    /// 405 with the methods that this path knows.
    pub fn method(allow: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("use {allow}")).with(header::ALLOW, allow)
    }

    /// Adds a header that HTTP asks for beside this status.
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The refusal as an answer.
    pub fn into_answer(self) -> Answer {
        let mut answer = json(self.status, serde_json::json!({ "error": self.text }));
        for (name, value) in self.headers {
            answer.headers_mut().append(name, HeaderValue::from_static(value));
        }
        answer
    }
}
