//! A captured request as the bytes of HTTP/1.1: head with CRLF or LF, body by length, in chunks, or up to the end.

use super::capture::{Capture, Unjudged, header};
use http::{HeaderName, HeaderValue, header as names};

pub(super) fn read(bytes: &[u8]) -> Result<Capture, Unjudged> {
    let mut rest = bytes;
    // RFC 9112, 2.2: empty lines before a request are skipped.
    let first = loop {
        match line(&mut rest) {
            Some([]) => {}
            Some(first) => break first,
            None => return Err(Unjudged::NoCapture("it is empty".to_owned())),
        }
    };
    let (method, target) = request_line(first)?;
    let mut headers = Vec::new();
    let mut complete = false;
    while let Some(text) = line(&mut rest) {
        if text.is_empty() {
            complete = true;
            break;
        }
        headers.push(field(text)?);
    }
    let mut notes = Vec::new();
    if !complete {
        notes.push("the capture ends within its head: no empty line, no body".to_owned());
    }
    let body = body(&headers, rest, &mut notes);
    if target.contains(&b'#') {
        return Err(Unjudged::Malformed("malformed: a fragment in the target".to_owned()));
    }
    let target = std::str::from_utf8(target)
        .map_err(|_| Unjudged::Malformed("malformed: the target is no path that HTTP allows".to_owned()))?;
    let capture = Capture::new(method, target, headers, body)?;
    Ok(Capture { notes, ..capture })
}

/// Takes one line, without its end.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = rest.iter().position(|byte| *byte == b'\n');
    let (text, after) = match end {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (*rest, &[][..]),
    };
    *rest = after;
    Some(text.strip_suffix(b"\r").unwrap_or(text))
}

/// `POST /path HTTP/1.1`.
fn request_line(text: &[u8]) -> Result<(&[u8], &[u8]), Unjudged> {
    if text.starts_with(b"HTTP/") {
        return Err(Unjudged::NoCapture("it is a response, not a request".to_owned()));
    }
    let mut words = text.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next()) else {
        return Err(no_request_line());
    };
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" | b"HTTP/2" | b"HTTP/2.0" => Ok((method, target)),
        other if other.starts_with(b"HTTP/") => Err(Unjudged::Malformed("malformed: the HTTP version".to_owned())),
        _ => Err(no_request_line()),
    }
}

fn no_request_line() -> Unjudged {
    Unjudged::NoCapture("its first line is not `METHOD /path HTTP/1.1`, and it is no JSON object".to_owned())
}

fn field(text: &[u8]) -> Result<(HeaderName, HeaderValue), Unjudged> {
    if text.starts_with(b" ") || text.starts_with(b"\t") {
        return Err(Unjudged::Malformed(
            "malformed: a header over two lines (RFC 9112, 5.2)".to_owned(),
        ));
    }
    let colon = text.iter().position(|byte| *byte == b':');
    let colon = colon.ok_or_else(|| Unjudged::Malformed("malformed: a header line without `:`".to_owned()))?;
    header(&text[..colon], &text[colon + 1..])
}

/// The body as the sidecar would have read it. Tools store bodies in either form, so framing that does not fit is noted
/// and the bytes are taken as they stand.
fn body(headers: &[(HeaderName, HeaderValue)], rest: &[u8], notes: &mut Vec<String>) -> Vec<u8> {
    let value = |name: &HeaderName| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.to_str().ok())
    };
    let chunked =
        value(&names::TRANSFER_ENCODING).is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"));
    if chunked {
        if let Some(body) = dechunked(rest) {
            return body;
        }
        notes.push("`Transfer-Encoding` says chunked and the body is not: it is taken as it stands".to_owned());
        return rest.to_vec();
    }
    let declared = value(&names::CONTENT_LENGTH).and_then(|length| length.trim().parse::<usize>().ok());
    match declared {
        Some(length) if length < rest.len() => {
            let extra = rest.len() - length;
            notes.push(format!(
                "`Content-Length` says {length} bytes and {extra} more follow: they are no part of this request (an editor's newline?)"
            ));
            rest[..length].to_vec()
        }
        Some(length) if length > rest.len() => {
            let missing = length - rest.len();
            notes.push(format!(
                "`Content-Length` says {length} bytes and {missing} of them are missing: the capture is cut off"
            ));
            rest.to_vec()
        }
        _ => rest.to_vec(),
    }
}

/// Joins the chunks (RFC 9112, 7.1); extensions and trailers are dropped. `None` if the framing is broken.
fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(&mut rest)?.split(|byte| *byte == b';').next()?.trim_ascii();
        let digits = std::str::from_utf8(size)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let (chunk, after) = rest.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        rest = after;
        line(&mut rest)?.is_empty().then_some(())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> (Vec<u8>, Vec<String>) {
        let capture = read(text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
        (capture.body.joined().to_vec(), capture.notes)
    }

    #[test]
    fn both_line_ends_and_all_framings_give_the_body() {
        for (text, body, notes) in [
            ("POST /x HTTP/1.1\r\nHost: h\r\n\r\na\r\nb\n", "a\r\nb\n", 0),
            ("\r\nPOST /x HTTP/1.1\nHost:h\n\n\na", "\na", 0),
            ("POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", "ab", 0),
            ("POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nab\n", "ab", 1),
            ("POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", "ab", 1),
            (
                "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
                "abc0123456789",
                0,
            ),
            ("POST /x HTTP/1.1\nTransfer-Encoding: Chunked\n\n1\na\n0\n\n", "a", 0),
            (
                "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{\"a\":1}",
                "{\"a\":1}",
                1,
            ),
            ("POST /x HTTP/1.1\r\nHost: h", "", 1),
        ] {
            let (got, noted) = joined(text);
            assert_eq!(
                (String::from_utf8_lossy(&got).as_ref(), noted.len()),
                (body, notes),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_request_is_told_from_a_bad_one() {
        for text in [
            "",
            "\r\n",
            "hello",
            "HTTP/1.1 200 OK\r\n\r\n",
            "POST /x\r\n\r\n",
            "POST /x y z\r\n",
        ] {
            assert!(matches!(read(text.as_bytes()), Err(Unjudged::NoCapture(_))), "{text:?}");
        }
        for text in [
            "POST /x HTTP/3.0\r\n\r\n",
            "POST x HTTP/1.1\r\n\r\n",
            "POST /x#y HTTP/1.1\r\n\r\n",
            "POST /x HTTP/1.1\r\nno colon\r\n\r\n",
            "POST /x HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "POST /x HTTP/1.1\r\nA : b\r\n\r\n",
        ] {
            assert!(matches!(read(text.as_bytes()), Err(Unjudged::Malformed(_))), "{text:?}");
        }
    }
}
