//! How a request begins, gathered without a buffer: who says nothing, or a head drop by drop, costs hardly any memory.
//!
//! hyper takes 16 KiB for a connection as soon as it is asked to serve it, and keeps them for as long as that lives. So
//! it is asked only when a whole head is there, and let go when the connection has been idle for a while.

use super::{connection::Begun, gate, io::TimedIo};
use bytes::Bytes;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client with prior knowledge of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A head that is longer is hyper's to refuse.
const LONGEST: usize = gate::MAX_TARGET_BYTES;
/// Room for one read: mostly the whole head and a short body.
const ONE_READ: usize = 4 * 1024;
/// As many header fields as hyper reads.
const MOST_HEADERS: usize = 100;

/// What speaks on a connection, as far as that is known before it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tongue {
    /// The first bytes tell.
    Unknown,
    Http1,
    Http2,
}

/// Reads until a head is whole, or cannot become one, or it is clear that this is HTTP/2. `read` was read before. What
/// came is given out again by `io` afterwards.
pub(super) async fn gather<S>(io: &mut TimedIo<S>, read: Bytes, tongue: Tongue) -> io::Result<Begun>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if tongue == Tongue::Http2 {
        io.speak_http2(Vec::new());
        return Ok(Begun::Http2);
    }
    let mut begun = Vec::from(read);
    let deadlines = Arc::clone(io.watched().deadlines());
    let mut held = deadlines.head();
    loop {
        match (begun.as_slice(), tongue) {
            ([], _) => {}
            (bytes, Tongue::Unknown) if PREFACE.starts_with(bytes) && bytes.len() < PREFACE.len() => {}
            (bytes, Tongue::Unknown) if bytes.starts_with(PREFACE) => {
                io.speak_http2(begun);
                return Ok(Begun::Http2);
            }
            (bytes, _) => {
                if bytes.len() >= LONGEST || !is_partial(bytes) {
                    break;
                }
            }
        }
        if !begun.is_empty() {
            held.takes(begun.capacity());
            deadlines.press_heads();
        }
        if more(io, &mut begun).await? == 0 {
            if begun.is_empty() {
                return Ok(Begun::Nothing);
            }
            break;
        }
    }
    io.speak_http1(begun.into());
    Ok(Begun::Http1)
}

/// May more bytes make a head of these? hyper's own parser says so.
fn is_partial(bytes: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let parsed = httparse::Request::new(&mut headers).parse(bytes);
    matches!(parsed, Ok(httparse::Status::Partial))
}

/// Appends what comes next; there is no room for it before it is there.
async fn more<S: AsyncRead + AsyncWrite + Unpin>(io: &mut TimedIo<S>, begun: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut room = [0; ONE_READ];
        let mut room = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut room))?;
        begun.extend_from_slice(room.filled());
        Poll::Ready(Ok(room.filled().len()))
    })
    .await
}

/// Reads and forgets what comes next; 0 at the end.
pub(super) async fn forget<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut room = [0; ONE_READ];
        let mut room = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut room))?;
        Poll::Ready(Ok(room.filled().len()))
    })
    .await
}
