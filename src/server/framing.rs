//! Follows the framing of HTTP/1.1 requests (RFC 9112) in a connection's bytes, for what hyper's parser hides from the gate.
//!
//! hyper drops the fragment of a target, merges equal lengths and accepts a line that ends without CR. Another parser on
//! the way may read such a head otherwise. The first of them ends the connection, so nothing behind it is followed.

use super::gate;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Most bytes of a request line: method, two spaces and version beside the longest target.
const MAX_REQUEST_LINE: u64 = gate::MAX_TARGET_BYTES as u64 + 64;
/// Bytes of a line that are kept: `Content-Length:`, a space, and a length of more digits than any body has.
const KEPT_BYTES: usize = 32;
/// Most digits of a chunk's size: those of a u64.
const MAX_SIZE_DIGITS: usize = 16;

/// A property of a request that its parsed form does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    /// The request line contains a `#`.
    Fragment,
    /// Parsers disagree on where a line, the head or the body ends.
    Ambiguous,
}

/// The first request of a connection with something hidden. Written and read on one thread, so every access is relaxed.
pub(super) struct Hiding {
    request: AtomicU32,
    is_fragment: AtomicBool,
}

impl Default for Hiding {
    fn default() -> Self {
        Self {
            request: AtomicU32::new(u32::MAX),
            is_fragment: AtomicBool::new(false),
        }
    }
}

impl Hiding {
    /// The request with this index (from 0) hides something.
    pub(super) fn note(&self, request: u32, what: Hidden) {
        self.is_fragment.store(what == Hidden::Fragment, Relaxed);
        self.request.store(request, Relaxed);
    }

    /// The property that the request with this index hides, as far as its bytes have come.
    pub(super) fn of(&self, request: u32) -> Option<Hidden> {
        let what = || {
            if self.is_fragment.load(Relaxed) {
                Hidden::Fragment
            } else {
                Hidden::Ambiguous
            }
        };
        (self.request.load(Relaxed) <= request).then(what)
    }
}

/// Where in the requests of one connection its bytes stand.
#[derive(Default)]
pub(super) struct Framing {
    state: State,
    /// The beginning of the current line.
    kept: [u8; KEPT_BYTES],
    /// Bytes of the current line so far.
    length: u64,
    /// The last of them.
    last: u8,
    /// Requests whose first byte has come.
    requests: u32,
}

#[derive(Clone, Copy, Default)]
enum State {
    /// Before the first byte of a request.
    #[default]
    Between,
    RequestLine,
    Fields(Body),
    /// So many bytes of a body, or of a chunk and the line end behind it, are still to come.
    Content(u64),
    ChunkSize,
    Chunk(u64),
    Trailers,
    /// The connection ends with the current request.
    Ended,
}

/// How long a request's body is, as far as the head has said it.
#[derive(Clone, Copy)]
enum Body {
    Unknown,
    Length(u64),
    Chunked,
}

impl Framing {
    /// Takes what was read, in whatever pieces. `hidden` gets the index of the request (from 0) and what it hides; after
    /// that nothing is followed any more.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut hidden: impl FnMut(u32, Hidden)) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Ended => return,
                State::Content(left) | State::Chunk(left) => {
                    let taken = (*left).min(bytes.len() as u64);
                    *left -= taken;
                    bytes = &bytes[usize::try_from(taken).unwrap_or(bytes.len())..];
                    match self.state {
                        State::Content(0) => self.state = State::Between,
                        // Its line end is the end of an empty line.
                        State::Chunk(0) => self.state = State::ChunkSize,
                        _ => {}
                    }
                }
                _ => {
                    let end = bytes.iter().position(|&byte| byte == b'\n');
                    let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
                    if let Err(what) = self
                        .piece(piece)
                        .and_then(|()| if end.is_some() { self.line() } else { Ok(()) })
                    {
                        self.state = State::Ended;
                        return hidden(self.requests.saturating_sub(1), what);
                    }
                    bytes = rest.get(1..).unwrap_or_default();
                }
            }
        }
    }

    /// Is the request line longer than any that the gate lets in, and has not ended?
    pub(super) fn request_line_is_too_long(&self) -> bool {
        matches!(self.state, State::RequestLine) && self.length > MAX_REQUEST_LINE
    }

    /// A piece of a line, without its line feed.
    fn piece(&mut self, piece: &[u8]) -> Result<(), Hidden> {
        let Some(&last) = piece.last() else { return Ok(()) };
        // Empty lines before a request are skipped (RFC 9112, section 2.2).
        if matches!(self.state, State::Between) && (self.length > 0 || piece != b"\r") {
            self.state = State::RequestLine;
            self.requests += 1;
        }
        if let Some(room) = usize::try_from(self.length)
            .ok()
            .and_then(|from| self.kept.get_mut(from..))
        {
            let fits = room.len().min(piece.len());
            room[..fits].copy_from_slice(&piece[..fits]);
        }
        self.length += piece.len() as u64;
        self.last = last;
        if matches!(self.state, State::RequestLine) && piece.contains(&b'#') {
            return Err(Hidden::Fragment);
        }
        Ok(())
    }

    /// A line has ended.
    fn line(&mut self) -> Result<(), Hidden> {
        let length = std::mem::take(&mut self.length);
        if length == 0 || self.last != b'\r' {
            return Err(Hidden::Ambiguous);
        }
        let is_empty = length == 1;
        let kept = &self.kept[..usize::try_from(length - 1).map_or(KEPT_BYTES, |length| length.min(KEPT_BYTES))];
        self.state = match self.state {
            State::Between => State::Between,
            State::RequestLine => State::Fields(Body::Unknown),
            State::Fields(Body::Unknown | Body::Length(0)) | State::Trailers if is_empty => State::Between,
            State::Fields(Body::Length(length)) if is_empty => State::Content(length),
            State::Fields(Body::Chunked) if is_empty => State::ChunkSize,
            State::Fields(body) => State::Fields(field(kept, body)?),
            State::ChunkSize => match chunk_size(kept)? {
                0 => State::Trailers,
                size => State::Chunk(size.checked_add(2).ok_or(Hidden::Ambiguous)?),
            },
            other => other,
        };
        Ok(())
    }
}

/// The body's length after one more field.
fn field(line: &[u8], body: Body) -> Result<Body, Hidden> {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return Ok(body);
    };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"content-length") {
        let digits = std::str::from_utf8(value).ok().filter(|_| line.len() < KEPT_BYTES);
        let length = digits.and_then(|digits| digits.parse().ok());
        return match (body, length) {
            (Body::Unknown, Some(length)) => Ok(Body::Length(length)),
            _ => Err(Hidden::Ambiguous),
        };
    }
    if name.eq_ignore_ascii_case(b"transfer-encoding") {
        return match body {
            Body::Unknown if value.eq_ignore_ascii_case(b"chunked") && line.len() < KEPT_BYTES => Ok(Body::Chunked),
            _ => Err(Hidden::Ambiguous),
        };
    }
    Ok(body)
}

/// The size that begins a chunk, without its extensions.
fn chunk_size(line: &[u8]) -> Result<u64, Hidden> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = std::str::from_utf8(&line[..digits])
        .ok()
        .filter(|_| digits <= MAX_SIZE_DIGITS);
    let size = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    size.ok_or(Hidden::Ambiguous)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The requests that begin, and what is hidden.
    fn followed(bytes: &[u8], size: usize) -> (u32, Vec<(u32, Hidden)>) {
        let (mut framing, mut found) = (Framing::default(), Vec::new());
        for piece in bytes.chunks(size) {
            framing.follow(piece, |index, what| found.push((index, what)));
        }
        (framing.requests, found)
    }

    #[test]
    fn requests_are_told_apart_in_pieces_of_any_size() {
        let clean = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na#\nPOST /b HTTP/1.1\r\n\
                     transfer-encoding: Chunked\r\n\r\n2;x=y\r\n#\n\r\n00\r\nT: #\r\n\r\n\r\nGET /c?#";
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(
                followed(clean.as_bytes(), size),
                (3, vec![(2, Hidden::Fragment)]),
                "{size}"
            );
        }
    }

    #[test]
    fn what_parsers_read_differently_is_found_once() {
        for head in [
            "POST / HTTP/1.1\nHost: h\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\n\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        ] {
            for size in [1, 1000] {
                let bytes = format!("{head}\n\n#");
                assert_eq!(
                    followed(bytes.as_bytes(), size),
                    (1, vec![(0, Hidden::Ambiguous)]),
                    "{head:?}"
                );
            }
        }
    }

    #[test]
    fn a_request_line_without_an_end_is_too_long() {
        let mut framing = Framing::default();
        framing.follow(&vec![b'a'; 1 << 16], |_, _| {});
        assert!(!framing.request_line_is_too_long());
        framing.follow(&[b'a'; 65], |_, _| {});
        assert!(framing.request_line_is_too_long());
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(bytes in "[PG5:#\r\n a]{0,60}", size in 1_usize..9) {
            prop_assert_eq!(followed(bytes.as_bytes(), size), followed(bytes.as_bytes(), 1000));
        }
    }
}
