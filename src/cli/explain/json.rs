//! A captured request as JSON: `{"source","method","url","headers","body_base64","at"}`, what else there is is ignored.

use super::capture::{Capture, Unjudged, header};
use crate::cli::moment;
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Written {
    source: Option<String>,
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: Value,
    body_base64: Option<String>,
    at: Option<f64>,
}

/// Reads one; an error comes with the source that it names all the same, where it names one.
pub(super) fn read(text: &[u8]) -> Result<Capture, (Option<String>, Unjudged)> {
    let no_capture = |reason: String| Unjudged::NoCapture(reason);
    let written: Written = serde_json::from_slice(text).map_err(|error| {
        // serde quotes what it found, which may be a token; the kind and the place are enough.
        let kind = if error.is_data() {
            "it has not the members of a request (`url`, `method`, `headers`, `body_base64`, `at`)"
        } else {
            "it is no JSON"
        };
        let place = format!("line {}, column {}", error.line(), error.column());
        (None, no_capture(format!("{kind}: {place}")))
    })?;
    let source = written.source.clone();
    capture(written).map_err(|unjudged| (source, unjudged))
}

fn capture(written: Written) -> Result<Capture, Unjudged> {
    let body = match written.body_base64 {
        Some(text) => BASE64
            .decode(text.as_bytes())
            .map_err(|_| Unjudged::NoCapture("`body_base64` is no base64".to_owned()))?,
        None => Vec::new(),
    };
    let at = match written.at {
        Some(seconds) => Some(
            moment::of_seconds(seconds)
                .ok_or_else(|| Unjudged::NoCapture("`at` is no time in Unix seconds".to_owned()))?,
        ),
        None => None,
    };
    let method = written.method.as_deref().unwrap_or("POST");
    let capture = Capture::new(method.as_bytes(), &written.url, headers(&written.headers)?, body)?;
    Ok(Capture {
        source: written.source,
        at,
        ..capture
    })
}

/// An object (values texts, or lists of them), or a list of pairs.
fn headers(value: &Value) -> Result<Vec<(HeaderName, HeaderValue)>, Unjudged> {
    let shape = || Unjudged::NoCapture("`headers` is neither an object of texts nor a list of pairs".to_owned());
    let mut all = Vec::new();
    let mut add = |name: &str, value: &Value| -> Result<(), Unjudged> {
        all.push(header(name.as_bytes(), value.as_str().ok_or_else(shape)?.as_bytes())?);
        Ok(())
    };
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::Array(values) => values.iter().try_for_each(|value| add(name, value))?,
                    value => add(name, value)?,
                }
            }
        }
        Value::Array(pairs) => {
            for pair in pairs {
                let [Value::String(name), value] = pair.as_array().map_or(&[][..], Vec::as_slice) else {
                    return Err(shape());
                };
                add(name, value)?;
            }
        }
        _ => return Err(shape()),
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_in_either_form() {
        for headers in [r#"{"A":"1","b":["2","3"]}"#, r#"[["a","1"],["B","2"],["b","3"]]"#] {
            let text =
                format!(r#"{{"url":"https://h.test/x","headers":{headers},"body_base64":"aGk=","at":5,"more":0}}"#);
            let capture = read(text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
            assert_eq!(capture.head.headers.len(), 3);
            assert_eq!(capture.seen_at.as_deref(), Some("https://h.test"));
            assert_eq!(&capture.body.joined()[..], b"hi");
            assert_eq!(capture.head.method, http::Method::POST);
        }
    }

    #[test]
    fn what_cannot_be_judged_says_why_and_quotes_nothing() {
        for text in [
            "{",
            "[]",
            "{}",
            r#"{"url":5}"#,
            r#"{"url":"/","headers":"s3cret"}"#,
            r#"{"url":"/","headers":[["s3cret"]]}"#,
            r#"{"url":"/","headers":{"A":5}}"#,
            r#"{"url":"/","body_base64":"s3cret!"}"#,
            r#"{"url":"/","at":"s3cret"}"#,
            r#"{"url":"/","at":-1}"#,
        ] {
            let Err((_, Unjudged::NoCapture(reason))) = read(text.as_bytes()) else {
                panic!("{text}");
            };
            assert!(!reason.contains("s3cret"), "{reason}");
        }
        let Err((source, Unjudged::Malformed(_))) = read(br#"{"source":"a","url":"nowhere"}"#) else {
            panic!("a bad target is a malformed request");
        };
        assert_eq!(source.as_deref(), Some("a"));
    }
}
