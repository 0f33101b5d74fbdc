//! A request's body as the app reads it: data frames only, and errors that say whose fault they are.

use super::{accept::Worker, watch::Watch};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    error::Error as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// The body of one request. Trailers are dropped: nothing in them is ever believed or forwarded. With
/// `Expect: 100-continue` the sender is told to go on when this is polled first, and not before.
pub struct RequestBody {
    /// Always there, until this is dropped.
    incoming: Option<Incoming>,
    carrier: Carrier,
    ended: bool,
    waits_for_continue: bool,
}

/// What has to know when a body is not wanted.
pub(super) enum Carrier {
    /// HTTP/1.1: the connection, which learns here whether it may be used again.
    Connection(Arc<Watch>),
    /// HTTP/2: a stream of its own. The worker lets it linger.
    Stream(Arc<Worker>, Arc<Watch>),
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The sender broke its own framing (a bad chunk); an answer can be written, then the connection is closed.
    #[error("broken framing of the body")]
    Malformed,
    /// The sender went away, or said less than it had announced.
    #[error("the body ended early")]
    Disconnected,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, carrier: Carrier, waits_for_continue: bool) -> Self {
        Self {
            ended: incoming.is_end_stream(),
            incoming: Some(incoming),
            carrier,
            waits_for_continue,
        }
    }

    fn end(&mut self) {
        self.ended = true;
        if let Carrier::Connection(watch) = &self.carrier {
            watch.body_ends();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let ended = self.ended;
        let Some(incoming) = self.incoming.as_mut().filter(|_| !ended) else {
            return Poll::Ready(None);
        };
        match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => {
                if incoming.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // Trailers stand at the end.
            None | Some(Ok(_)) => {
                self.end();
                Poll::Ready(None)
            }
            // The body stays unread, so the connection is closed after the answer.
            Some(Err(error)) => {
                self.ended = true;
                if let Carrier::Stream(_, watch) = &self.carrier {
                    note_refusal(&error, watch);
                }
                Poll::Ready(Some(Err(BodyError::of(&error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some(incoming) if !self.ended => incoming.size_hint(),
            _ => SizeHint::with_exact(0),
        }
    }
}

impl Drop for RequestBody {
    /// A short body that the app did not want has mostly arrived with the head: then the connection can be kept, and a
    /// flood of refused requests does not become a flood of new connections. An unfinished stream lingers.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Carrier::Stream(worker, watch) = &self.carrier {
            if let Some(incoming) = self.incoming.take() {
                worker.linger(incoming, Arc::clone(watch));
            }
            return;
        }
        // Polling would ask a waiting sender to send what nobody wants.
        if self.waits_for_continue {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut *self).poll_frame(&mut cx) {}
    }
}

/// Was the stream refused by our own parser, for what is in the body (its length, its trailers)?
fn is_refusal(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| cause.is_library() && cause.reason() == Some(h2::Reason::PROTOCOL_ERROR))
}

/// Whoever reads the body of a refused stream knows of it.
pub(super) fn note_refusal(error: &hyper::Error, watch: &Watch) {
    if is_refusal(error) {
        watch.stream_told();
    }
}

impl BodyError {
    fn of(error: &hyper::Error) -> Self {
        if is_refusal(error) {
            return Self::Malformed;
        }
        let kind = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>())
            .map(io::Error::kind);
        match kind {
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Self::Malformed,
            _ => Self::Disconnected,
        }
    }
}
