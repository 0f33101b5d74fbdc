//! A destination's answer, read within bounds and freed of what is not for the sender.

use super::{
    Reply,
    headers::{folded, is_hop_by_hop, is_ours, named_by_connection},
};
use crate::event::Frames;
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{fmt, pin::Pin, sync::Arc};
use tokio::time::Sleep;

/// Up to here a body needs no room: `limits.in_flight` bounds such answers well enough.
pub(super) const SHORT_BYTES: u64 = 64 * 1024;

/// Room for long answers, of which there is so much for the whole process.
pub trait Room: Send + Sync {
    /// Makes room for so many more bytes; false if there is none.
    fn grow(&mut self, more: u64) -> bool;
}

impl fmt::Debug for dyn Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}

/// The bounds of reading one answer.
#[derive(Clone, Copy)]
pub struct AnswerLimit<'a> {
    /// Most bytes of a body (`limits.answer_bytes`).
    pub bytes: u64,
    /// Is the body wanted? One that is not is read, so that its connection may serve again, and dropped.
    pub keeps: bool,
    /// Opens the room for what a body has over 64 KiB.
    pub room: &'a (dyn Fn() -> Box<dyn Room> + Send + Sync),
}

/// Why a body was not read to its end. What was read of it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// The body is longer than the limit.
    #[error("the body is longer than `limits.answer_bytes`")]
    Limit,
    /// The room for long answers is used up.
    #[error("there is no room for the body in `limits.buffered_bytes`")]
    Room,
}

/// Why a head is not an answer, for operators.
pub(super) fn broken_head(response: &Response<Incoming>) -> Option<&'static str> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Some("it switched protocols without being asked");
    }
    let mut codings = response.headers().get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next()?;
    if response.headers().contains_key(header::CONTENT_LENGTH) {
        return Some("both Content-Length and Transfer-Encoding");
    }
    let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    // A coding besides would have to be undone: the sender was not told of it.
    (!chunked).then_some("a transfer coding other than chunked")
}

/// Reads an answer whose head has come. From here on its status stands: what goes wrong with the body, the end of the
/// time included, only shows in the reply.
///
/// True beside it if the body was read to its end, so that the connection may serve again.
pub(super) async fn read(
    response: Response<Incoming>,
    mut deadline: Pin<&mut Sleep>,
    limit: AnswerLimit<'_>,
) -> (Reply, bool) {
    let (head, mut incoming) = response.into_parts();
    let mut reply = Reply {
        status: head.status,
        headers: filtered(head.headers),
        body: bytes::Bytes::new(),
        excess: None,
        room: None,
        broken: false,
    };
    let announced = incoming.size_hint().lower();
    if announced > limit.bytes {
        reply.excess = Some(Excess::Limit);
        return (reply, false);
    }
    let mut reading = Reading {
        limit,
        length: 0,
        body: Frames::default(),
        room: None,
    };
    loop {
        let frame = tokio::select! {
            biased;
            frame = incoming.frame() => frame,
            () = &mut deadline => {
                reply.broken = true;
                break;
            }
        };
        match frame {
            None => break,
            Some(Err(_)) => {
                reply.broken = true;
                break;
            }
            Some(Ok(frame)) => {
                // Trailers are dropped.
                let Ok(data) = frame.into_data() else { continue };
                if let Err(excess) = reading.take(data) {
                    reply.excess = Some(excess);
                    return (reply, false);
                }
            }
        }
    }
    let whole = !reply.broken;
    reply.body = reading.body.joined();
    reply.room = reading.room.map(Arc::from);
    (reply, whole)
}

/// A body as far as it has been read.
struct Reading<'a> {
    limit: AnswerLimit<'a>,
    length: u64,
    body: Frames,
    room: Option<Box<dyn Room>>,
}

impl Reading<'_> {
    fn take(&mut self, data: bytes::Bytes) -> Result<(), Excess> {
        let before = self.length.max(SHORT_BYTES);
        self.length += data.len() as u64;
        if self.length > self.limit.bytes {
            return Err(Excess::Limit);
        }
        if !self.limit.keeps {
            return Ok(());
        }
        if self.length > before {
            let room = self.room.get_or_insert_with(self.limit.room);
            if !room.grow(self.length - before) {
                return Err(Excess::Room);
            }
        }
        self.body.push(data);
        Ok(())
    }
}

fn filtered(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<Vec<u8>> = named_by_connection(&headers).into_iter().map(<[u8]>::to_vec).collect();
    let is_withheld = |name: &HeaderName| {
        let text = &*folded(name);
        is_hop_by_hop(text)
            || is_ours(text)
            || matches!(text, "content-length" | "set-cookie" | "server" | "x-powered-by")
            || named
                .iter()
                .any(|token| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    // What is left is neither copied nor hashed again.
    while let Some(name) = headers.keys().find(|name| is_withheld(name)).cloned() {
        headers.remove(name);
    }
    headers
}
