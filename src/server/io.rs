//! The socket as hyper sees it: passes bytes on and notes in the connection's watch what they mean for its deadlines.

use super::{
    deadlines::Watched,
    gate,
    watch::{Order, Phase},
};
use bytes::Bytes;
use http::StatusCode;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Method, two spaces and version beside the longest target.
const MAX_REQUEST_LINE: usize = gate::MAX_TARGET_BYTES + 64;

/// A stream with a watch.
pub(super) struct TimedIo<S> {
    stream: S,
    watched: Watched,
    protocol: Protocol,
    /// What was read to tell the protocol; given out first.
    sniffed: Bytes,
    /// Bytes of the request line so far; `None` once it has ended.
    request_line: Option<usize>,
    /// hyper's own answer to a head that it cannot parse, held back: its status.
    parser_refusal: Option<StatusCode>,
    peer_is_done: bool,
    has_answered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http1,
    Http2,
}

impl<S> TimedIo<S> {
    pub(super) fn new(stream: S, watched: Watched) -> Self {
        Self {
            stream,
            watched,
            protocol: Protocol::Unknown,
            sniffed: Bytes::new(),
            request_line: None,
            parser_refusal: None,
            peer_is_done: false,
            has_answered: false,
        }
    }

    /// From here on this is HTTP/1, and `sniffed` was already read of it.
    pub(super) fn speak_http1(&mut self, sniffed: Bytes) {
        self.request_line = Some(0);
        self.count_request_line(&sniffed);
        self.sniffed = sniffed;
        self.protocol = Protocol::Http1;
    }

    /// From here on this is HTTP/2, and `sniffed` was already read of it. A preface is not a request's head.
    pub(super) fn speak_http2(&mut self, sniffed: Bytes) {
        self.sniffed = sniffed;
        self.protocol = Protocol::Http2;
        self.watched.idles(self.watched.deadlines().now());
    }

    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }

    /// The status with which hyper wanted to refuse a head that it cannot parse.
    pub(super) fn parser_refusal(&self) -> Option<StatusCode> {
        self.parser_refusal
    }

    /// An answer went out, and the peer may still be sending.
    pub(super) fn may_still_hear(&self) -> bool {
        self.has_answered && !self.peer_is_done
    }

    pub(super) fn into_stream(self) -> (S, Watched) {
        (self.stream, self.watched)
    }

    fn now(&self) -> u32 {
        self.watched.deadlines().now()
    }

    /// Notes what came in; pending if it is enough to refuse the connection for.
    fn came(&mut self, bytes: &[u8]) -> Poll<()> {
        if bytes.is_empty() {
            self.peer_is_done = true;
            return Poll::Ready(());
        }
        match self.protocol {
            // In HTTP/2 streams say when it is busy; a byte (a PING) does not.
            Protocol::Http2 => {}
            Protocol::Unknown => {
                self.watched.bytes_came(self.now());
            }
            Protocol::Http1 => {
                if self.watched.bytes_came(self.now()) {
                    self.request_line = Some(0);
                }
                self.count_request_line(bytes);
            }
        }
        if self.request_line.is_none_or(|length| length <= MAX_REQUEST_LINE) {
            return Poll::Ready(());
        }
        // hyper would read on until its buffer is full, and then take the line for headers (431).
        self.watched.order(Order::TargetTooLong);
        Poll::Pending
    }

    fn count_request_line(&mut self, bytes: &[u8]) {
        if let Some(length) = &mut self.request_line {
            *length += bytes.len();
            if bytes.contains(&b'\n') {
                self.request_line = None;
            }
        }
    }

    /// On HTTP/1 hyper writes without having given us a request only to refuse a head that it cannot parse. The app
    /// renders that answer instead, so that it looks like every other one.
    fn is_parser_refusal(&self) -> bool {
        self.protocol == Protocol::Http1 && matches!(self.watched.phase(), Phase::Idle | Phase::Head)
    }

    fn wrote<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_pending() {
            self.watched.write_waits(self.now());
        } else {
            self.watched.write_moves();
            self.has_answered = true;
        }
        result
    }
}

/// The status in `HTTP/1.1 400 …`.
fn status_of(answer: &[u8]) -> Option<StatusCode> {
    answer.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok())
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.sniffed.is_empty() {
            let fits = this.sniffed.len().min(buf.remaining());
            buf.put_slice(&this.sniffed.split_to(fits));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.came(&buf.filled()[before..]).map(Ok)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_parser_refusal() {
            if self.parser_refusal.is_none() {
                self.parser_refusal = status_of(buf);
            }
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        // Only HTTP/2: over HTTP/1 answers are small enough to be copied into one write.
        self.protocol == Protocol::Http2 && self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks for this only when nothing of its own is left to be written; TLS may still hold some of it back.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        let now = self.now();
        if flushed.is_pending() {
            self.watched.write_waits(now);
        } else {
            self.watched.write_moves();
            self.watched.flushed(now);
        }
        flushed
    }

    /// Does nothing: the connection's task shuts down after the last answer, of which hyper may not know.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
