//! A request head out of arbitrary bytes: `METHOD TARGET` and `Name: value` lines, an empty line, the body.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts};

/// The head and the rest; what HTTP's own types do not hold is left out.
pub fn of(data: &[u8]) -> Option<(Parts, &[u8])> {
    let (first, mut rest) = line(data);
    let mut words = first.split(|byte| *byte == b' ');
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::from_bytes(words.next()?).ok()?;
    head.uri = Uri::try_from(words.next()?).ok()?;
    head.version = match words.next() {
        Some(b"0.9") => Version::HTTP_09,
        Some(b"1.0") => Version::HTTP_10,
        Some(b"2") => Version::HTTP_2,
        Some(b"3") => Version::HTTP_3,
        _ => Version::HTTP_11,
    };
    head.headers = HeaderMap::new();
    while !rest.is_empty() {
        let (text, after) = line(rest);
        rest = after;
        if text.is_empty() {
            break;
        }
        let Some(colon) = text.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&text[..colon]);
        let value = HeaderValue::from_bytes(text[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            head.headers.append(name, value);
        }
    }
    Some((head, rest))
}

fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (
            data[..end].strip_suffix(b"\r").unwrap_or(&data[..end]),
            &data[end + 1..],
        ),
        None => (data, &[]),
    }
}
