//! The request target: its form, and the bytes that make two parsers see two different paths.

use super::GateRefusal;
use crate::event::path::is_unreserved;
use http::{Version, header, request::Parts, uri::Authority};

/// Paths are matched raw and forwarded raw, never decoded or normalised here. So whatever an app behind us might decode
/// or normalise into another path than the one that was matched is refused.
pub(super) fn judge(head: &Parts) -> Result<(), GateRefusal> {
    let uri = &head.uri;
    // HTTP/2 always carries a scheme and an authority, and has no absolute form. A scheme never comes without an authority.
    if head.version != Version::HTTP_2 && uri.authority().is_some_and(|authority| !is_of_host(head, authority)) {
        return Err(GateRefusal::TargetForm);
    }
    // Not of `path()`, which is a slash where the target is but a query: HTTP/2 can bring such a one.
    if !uri
        .path_and_query()
        .is_some_and(|target| target.as_str().starts_with('/'))
    {
        return Err(GateRefusal::TargetForm);
    }
    let query = uri.query().unwrap_or("").as_bytes();
    let honest = path_is_plain(uri.path().as_bytes()) && query.iter().all(u8::is_ascii_graphic);
    if honest { Ok(()) } else { Err(GateRefusal::TargetBytes) }
}

/// Does a target in absolute form name what `Host` names? The default port of its scheme may stand in either or in none.
/// An authority with userinfo never equals a `Host` that the gate lets in.
fn is_of_host(head: &Parts, authority: &Authority) -> bool {
    let default_port = match head.uri.scheme_str() {
        Some("http") => ":80",
        Some("https") => ":443",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| bare(host) == bare(authority.as_str()))
}

/// No empty segment but the last, and every segment plain. `path` starts with a slash.
fn path_is_plain(path: &[u8]) -> bool {
    let mut segments = path[1..].split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let empty_inside = segment.is_empty() && segments.peek().is_some();
        if empty_inside || !segment_is_plain(segment) {
            return false;
        }
    }
    true
}

/// Decodes one segment, once, to see whether it hides a separator, a control, a dot segment (`..;x`) or an unreserved
/// character: a parser that decodes the latter reads another path than one that does not (RFC 3986, section 6.2.2.2).
fn segment_is_plain(segment: &[u8]) -> bool {
    // Nearly every segment is of bytes that need no second look.
    let ordinary = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b'#' | b';');
    if segment.iter().all(ordinary) {
        return !is_dots(segment);
    }
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let [first, tail @ ..] = rest {
        let byte = match (*first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
                    return false;
                };
                let byte = high * 16 + low;
                if byte.is_ascii_control() || is_unreserved(byte) || matches!(byte, b'/' | b'\\') {
                    return false;
                }
                rest = after;
                byte
            }
            (b'%' | b'\\' | b'#', _) => return false,
            (raw, _) if !raw.is_ascii_graphic() => return false,
            (raw, _) => {
                rest = tail;
                raw
            }
        };
        decoded.push(byte);
    }
    let without_parameters = decoded.split(|&byte| byte == b';').next().unwrap_or_default();
    !is_dots(without_parameters)
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
