//! A request's body as the app reads it: data frames only, and errors that say whose fault they are.

use super::watch::Watch;
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
    incoming: Incoming,
    /// HTTP/1.1: where the connection learns whether it may be used again. HTTP/2 has a stream for each body.
    watch: Option<Arc<Watch>>,
    ended: bool,
    waits_for_continue: bool,
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
    pub(super) fn new(incoming: Incoming, watch: Option<Arc<Watch>>, waits_for_continue: bool) -> Self {
        Self {
            ended: incoming.is_end_stream(),
            incoming,
            watch,
            waits_for_continue,
        }
    }

    fn end(&mut self) {
        self.ended = true;
        if let Some(watch) = &self.watch {
            watch.body_ends();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => {
                if self.incoming.is_end_stream() {
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
                Poll::Ready(Some(Err(BodyError::of(&error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        if self.ended {
            SizeHint::with_exact(0)
        } else {
            self.incoming.size_hint()
        }
    }
}

impl Drop for RequestBody {
    /// A short body that the app did not want has mostly arrived with the head: then the connection can be kept, and a
    /// flood of refused requests does not become a flood of new connections.
    fn drop(&mut self) {
        // Polling would ask a waiting sender to send what nobody wants.
        if self.ended || self.watch.is_none() || self.waits_for_continue {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut *self).poll_frame(&mut cx) {}
    }
}

impl BodyError {
    fn of(error: &hyper::Error) -> Self {
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
