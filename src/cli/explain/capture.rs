//! A captured request, whichever way it was written down.

use super::{json, raw};
use crate::event::{Frames, Timestamp};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, request::Parts, uri::PathAndQuery};

/// A captured request.
pub(super) struct Capture {
    /// The source that it says it is of.
    pub source: Option<String>,
    /// Method, path with query, headers.
    pub head: Parts,
    /// The body, chunks joined.
    pub body: Frames,
    /// Scheme and authority, where the URL is absolute: as the provider sees it.
    pub seen_at: Option<String>,
    /// When it arrived, if it says so.
    pub at: Option<Timestamp>,
    /// What is odd about the capture itself, for somebody who wonders why it does not verify.
    pub notes: Vec<String>,
}

/// Why there is nothing to judge.
#[derive(Debug)]
pub(super) enum Unjudged {
    /// It is a request, and one that HTTP does not allow.
    Malformed(String),
    /// It is no request at all.
    NoCapture(String),
}

/// Reads raw HTTP/1.1 bytes, or JSON.
pub(super) fn read(bytes: &[u8]) -> Result<Capture, Unjudged> {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    if text.trim_ascii_start().starts_with(b"{") {
        json::read(text).map_err(|(_, unjudged)| unjudged)
    } else {
        raw::read(bytes)
    }
}

impl Capture {
    /// Of its parts; `url` is absolute or a path with query.
    pub(super) fn new(
        method: &[u8],
        url: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Vec<u8>,
    ) -> Result<Self, Unjudged> {
        let malformed = |what: &str| Unjudged::Malformed(format!("malformed: {what}"));
        let method = Method::from_bytes(method).map_err(|_| malformed("the method is no HTTP token"))?;
        let (seen_at, target) = split(url);
        let uri = PathAndQuery::try_from(target)
            .ok()
            .filter(|_| target.starts_with('/'))
            .map(Uri::from)
            .ok_or_else(|| malformed("the target is no path that HTTP allows"))?;
        let (mut head, ()) = Request::new(()).into_parts();
        (head.method, head.uri) = (method, uri);
        head.headers = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            head.headers
                .try_append(name, value)
                .map_err(|_| malformed("there are too many headers"))?;
        }
        Ok(Self {
            source: None,
            head,
            body: Frames::from(Bytes::from(body)),
            seen_at: seen_at.map(str::to_owned),
            at: None,
            notes: Vec::new(),
        })
    }
}

/// One header; what HTTP does not allow is told without quoting the value.
pub(super) fn header(name: &[u8], value: &[u8]) -> Result<(HeaderName, HeaderValue), Unjudged> {
    let malformed = |what: &str| {
        let name = String::from_utf8_lossy(&name[..name.len().min(64)]);
        Unjudged::Malformed(format!("malformed: {what} of a header, `{}`", name.escape_debug()))
    };
    let parsed = HeaderName::from_bytes(name).map_err(|_| malformed("the name"))?;
    let value = HeaderValue::from_bytes(value.trim_ascii()).map_err(|_| malformed("the value"))?;
    Ok((parsed, value))
}

/// Scheme with authority, and the rest. A fragment never travels.
fn split(url: &str) -> (Option<&str>, &str) {
    let url = url.split('#').next().unwrap_or(url);
    let absolute = url.find("://").filter(|at| !url[..*at].contains(['/', '?']));
    let Some(at) = absolute else { return (None, url) };
    let end = url[at + 3..].find(['/', '?']).map_or(url.len(), |found| at + 3 + found);
    let (base, target) = url.split_at(end);
    (Some(base), if target.is_empty() { "/" } else { target })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_url_is_split_and_a_path_is_not() {
        for (url, base, target) in [
            ("https://h.test/in?x=1#f", Some("https://h.test"), "/in?x=1"),
            ("https://h.test:8443", Some("https://h.test:8443"), "/"),
            ("/in?to=https://h.test/", None, "/in?to=https://h.test/"),
            ("/", None, "/"),
        ] {
            assert_eq!(split(url), (base, target), "{url}");
        }
    }

    #[test]
    fn what_http_does_not_allow_is_malformed() {
        for (method, url) in [
            (&b"P OST"[..], "/"),
            (b"POST", "nowhere"),
            (b"POST", "/a b"),
            (b"", "/"),
            (b"POST", ""),
        ] {
            let capture = Capture::new(method, url, Vec::new(), Vec::new());
            assert!(matches!(capture, Err(Unjudged::Malformed(_))), "{url}");
        }
        assert!(header(b"X Y", b"z").is_err() && header(b"X", b"a\nb").is_err());
        assert!(header(b"X", "gr\u{fc}n".as_bytes()).is_ok());
    }
}
