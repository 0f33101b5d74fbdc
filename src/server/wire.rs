//! What carries a connection's bytes: the socket as it is, or TLS over it.

use super::watch::Watch;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// One connection's bytes.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<Secured>),
}

/// TLS over a socket; says goodbye when it is dropped, as far as that can be done without waiting.
pub(super) struct Secured(TlsStream<Moving>);

/// The socket under TLS. What rustls holds back looks the same from above whether the peer reads slowly or not at all, so
/// the progress of a write is noted here.
pub(super) struct Moving {
    stream: TcpStream,
    watch: Arc<Watch>,
    has_read: bool,
}

impl Moving {
    pub(super) fn new(stream: TcpStream, watch: Arc<Watch>) -> Self {
        Self {
            stream,
            watch,
            has_read: false,
        }
    }

    /// Has a byte of the peer come?
    pub(super) fn has_read(&self) -> bool {
        self.has_read
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl Wire {
    pub(super) fn secured(stream: TlsStream<Moving>) -> Self {
        Self::Tls(Box::new(Secured(stream)))
    }

    /// Was HTTP/2 agreed on in the handshake?
    pub(super) fn agreed_on_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(secured) => secured.0.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl Drop for Secured {
    /// Without `close_notify` a peer cannot tell an end from a cut. Nobody waits for it to leave.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _gone_or_not = Pin::new(&mut self.0).poll_shutdown(&mut cx);
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(secured) => Pin::new(&mut secured.0).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(secured) => Pin::new(&mut secured.0).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(secured) => Pin::new(&mut secured.0).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(secured) => secured.0.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(secured) => Pin::new(&mut secured.0).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(secured) => Pin::new(&mut secured.0).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Moving {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.has_read |= buf.filled().len() > before;
        read
    }
}

impl AsyncWrite for Moving {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.moved(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.moved(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Moving {
    fn moved(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.watch.write_moves();
        }
        written
    }
}
