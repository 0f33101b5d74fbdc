//! The socket as hyper sees it: passes bytes on and notes in the connection's watch what they mean for its deadlines.

use super::{
    connection::DRAIN_BYTES,
    deadlines::Watched,
    frames::{Asked, CALM_DOWN, Frames},
    framing::Framing,
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

/// Buffers of one write; h2 has two, a frame's head and its payload.
const MOST_SLICES: usize = 8;

/// A stream with a watch.
pub(super) struct TimedIo<S> {
    stream: S,
    watched: Watched,
    protocol: Protocol,
    /// What was read to tell the protocol; given out first.
    sniffed: Bytes,
    /// Where in the requests of HTTP/1 the bytes stand that were read.
    framing: Framing,
    /// What of HTTP/2 was written, and what was read.
    frames: Frames,
    /// On the heap: most connections speak HTTP/1.
    asked: Option<Box<Asked>>,
    /// Bytes that are still drained after HTTP/2 was refused; `None`: it was not.
    drain: Option<usize>,
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
            framing: Framing::default(),
            frames: Frames::default(),
            asked: None,
            drain: None,
            parser_refusal: None,
            peer_is_done: false,
            has_answered: false,
        }
    }

    /// From here on this is HTTP/1, and `sniffed` was already read of it.
    pub(super) fn speak_http1(&mut self, sniffed: Bytes) {
        self.sniffed = sniffed;
        self.protocol = Protocol::Http1;
    }

    /// From here on this is HTTP/2, and `sniffed` was already read of it. A preface is not a request's head.
    pub(super) fn speak_http2(&mut self, mut sniffed: Vec<u8>) {
        self.protocol = Protocol::Http2;
        self.watched.idles(self.now());
        self.hear(&mut sniffed);
        self.sniffed = sniffed.into();
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
    fn came(&mut self, bytes: &mut [u8]) -> Poll<()> {
        if bytes.is_empty() {
            self.peer_is_done = true;
            return Poll::Ready(());
        }
        match self.protocol {
            Protocol::Http2 => {
                self.hear(bytes);
                if self.asked.as_ref().is_some_and(|asked| asked.is_flooded()) {
                    self.watched.order(Order::Flooded);
                    return Poll::Pending;
                }
            }
            Protocol::Unknown | Protocol::Http1 => {
                self.watched.bytes_came(self.now());
                let watched = &self.watched;
                self.framing
                    .follow(bytes, |request, what| watched.hiding.note(request, what));
            }
        }
        if !self.framing.request_line_is_too_long() {
            return Poll::Ready(());
        }
        // hyper would read on until its buffer is full, and then take the line for headers (431).
        self.watched.order(Order::TargetTooLong);
        Poll::Pending
    }

    /// In HTTP/2 streams say when it is busy; a byte (a PING) does not. But a head that has begun has to end.
    fn hear(&mut self, bytes: &mut [u8]) {
        let asked = self.asked.get_or_insert_default();
        asked.follow(bytes);
        match (asked.head_is_open(), self.watched.phase()) {
            (true, Phase::Idle) => {
                self.watched.bytes_came(self.now());
            }
            (false, Phase::Head) => self.watched.idles(self.now()),
            _ => {}
        }
    }

    /// On HTTP/1 hyper writes without having given us a request only to refuse a head that it cannot parse. The app
    /// renders that answer instead, so that it looks like every other one.
    fn is_parser_refusal(&self) -> bool {
        self.protocol == Protocol::Http1 && matches!(self.watched.phase(), Phase::Idle | Phase::Head)
    }

    /// Notes what became of a write of `bufs`.
    fn wrote(&mut self, result: Poll<io::Result<usize>>, bufs: &[&[u8]]) -> Poll<io::Result<usize>> {
        if let (Protocol::Http2, Poll::Ready(Ok(written))) = (self.protocol, &result) {
            let mut left = *written;
            for buf in bufs {
                let taken = left.min(buf.len());
                let watched = &self.watched;
                self.frames.follow(&buf[..taken], |what| watched.refuses(what));
                left -= taken;
            }
        }
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimedIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.sniffed.is_empty() {
            let fits = this.sniffed.len().min(buf.remaining());
            buf.put_slice(&this.sniffed.split_to(fits));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let came = this.came(&mut buf.filled_mut()[before..]).map(Ok);
        if came.is_pending() && this.protocol == Protocol::Http2 && this.frames.is_between() {
            // The last word, if it can be said at once: hyper is not asked any more.
            let _unsaid = Pin::new(&mut this.stream).poll_write(cx, CALM_DOWN);
        }
        came
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_parser_refusal() {
            if self.parser_refusal.is_none() {
                self.parser_refusal = status_of(buf);
            }
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(result, &[buf])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // No more than can be followed.
        let bufs = &bufs[..bufs.len().min(MOST_SLICES)];
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let mut slices: [&[u8]; MOST_SLICES] = [&[]; MOST_SLICES];
        for (slice, buf) in slices.iter_mut().zip(bufs) {
            *slice = buf;
        }
        self.wrote(result, &slices[..bufs.len()])
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
            if self.watched.flushed(now) && self.watched.deadlines().is_tight() {
                self.watched.note(Order::Rest);
            }
        }
        flushed
    }

    /// Mostly does nothing: the connection's task shuts down after the last answer, of which hyper may not know. But of
    /// HTTP/2 it does not get the stream back, and a GOAWAY that is followed by a reset does not arrive.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.protocol != Protocol::Http2 || !this.watched.is_refused() {
            return Poll::Ready(Ok(()));
        }
        if this.drain.is_none() {
            this.watched.parts(this.now());
        }
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        let left = this.drain.get_or_insert(DRAIN_BYTES);
        let mut scratch = [0; 4096];
        while *left > 0 {
            let mut buf = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf))?;
            match buf.filled().len() {
                0 => break,
                count => *left = left.saturating_sub(count),
            }
        }
        Poll::Ready(Ok(()))
    }
}
