//! One request and its answer: the gate, then the app, then whether the connection may be used again.

use super::{
    App, GateRefusal, Peer, RequestBody, UntilTaken, accept::Worker, body::Carrier, connection::is_long,
    framing::Hidden, gate, watch::Watch,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// What all exchanges of one connection need.
pub(super) struct Desk<A> {
    pub(super) app: A,
    pub(super) peer: Peer,
    pub(super) watch: Arc<Watch>,
    pub(super) worker: Arc<Worker>,
}

impl<A: App> Desk<A> {
    /// Starts an exchange; the request counts from this call on, not from the first poll.
    pub(super) fn exchange(
        self: &Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answer>, Infallible>> + Send + use<A> {
        let desk = Arc::clone(self);
        let body = request.body();
        let index = desk.watch.request_begins(!body.is_end_stream(), is_long(body));
        // Made here, so that a stream that is reset before it is polled still ends.
        let stream = (request.version() == Version::HTTP_2).then(|| Stream(Arc::clone(self)));
        async move {
            let mut response = desk.answer(request, index).await;
            let mut kept: Option<UntilTaken> = response.extensions_mut().remove();
            let held = stream.is_some().then(|| Held::new(&desk.watch, &desk.worker));
            if held.is_none() {
                kept.take().into_iter().for_each(|kept| desk.watch.kept.put(kept));
                desk.watch.answered();
            }
            Ok(response.map(|body| Answer {
                body,
                left: Bytes::new(),
                held,
                _kept: kept,
            }))
        }
    }

    async fn answer(&self, request: Request<Incoming>, index: u32) -> Response<Full<Bytes>> {
        let (mut head, incoming) = request.into_parts();
        let http2 = head.version == Version::HTTP_2;
        let may_be_last = head.version != Version::HTTP_11 || speaks_of_closing(&head.headers);
        let waits_for_continue = !http2 && head.headers.contains_key(header::EXPECT);
        let carrier = if http2 {
            Carrier::Stream(Arc::clone(&self.worker), Arc::clone(&self.watch))
        } else {
            Carrier::Connection(Arc::clone(&self.watch))
        };
        let body = RequestBody::new(incoming, carrier, waits_for_continue);
        let hidden = || {
            Some(index)
                .filter(|_| !http2)
                .and_then(|index| self.watch.hiding.of(index))
        };
        let judged = match hidden() {
            Some(Hidden::Fragment) => Err(GateRefusal::TargetFragment),
            _ => gate::judge(&head, |host| self.app.serves_host(host, head.uri.path())),
        };
        let (mut response, refused) = match judged {
            Ok(()) => {
                gate::to_origin_form(&mut head);
                (self.let_in(head, body).await, false)
            }
            Err(refusal) => (self.app.refuse(self.peer, &head, refusal), true),
        };
        if http2 && self.is_leaving() {
            self.watch.leaves();
        }
        // A body that is not read to its end would be parsed as the next request, and so would bytes of an ambiguous one.
        if !http2 && (refused || hidden().is_some() || self.watch.body_is_unread() || self.is_leaving()) {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // Then hyper ends the connection itself, and whatever comes behind is no further request.
        if may_be_last || response.headers().contains_key(header::CONNECTION) {
            self.watch.answers_last();
        }
        response
    }
}

impl<A: App> Desk<A> {
    /// Answers a request that passed the gate. A probe is not counted: it neither prolongs a drain nor is cut by one.
    async fn let_in(&self, head: Parts, body: RequestBody) -> Response<Full<Bytes>> {
        if let Some(answer) = self.app.probe(head.uri.path()) {
            return answer;
        }
        let _in_flight = InFlight::enter(&self.worker);
        self.app.handle(self.peer, Request::from_parts(head, body)).await
    }
}

/// Could this be taken for `Connection: close`? Rather than not.
fn speaks_of_closing(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter();
    values.into_iter().any(|value| {
        let close = |five: &[u8]| five.eq_ignore_ascii_case(b"close");
        value.to_str().is_err() || value.as_bytes().windows(5).any(close)
    })
}

impl<A: App> Desk<A> {
    /// Nothing more is wanted on this connection: nobody shall get used to it.
    fn is_leaving(&self) -> bool {
        self.worker.shutdown.is_draining() || self.worker.occupancy.is_crowded()
    }
}

/// A request between gate and answer; it counts until this is dropped.
struct InFlight<'a>(&'a Worker);

impl<'a> InFlight<'a> {
    fn enter(worker: &'a Worker) -> Self {
        worker.occupancy.enter();
        Self(worker)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.occupancy.leave();
        // Whether it was answered 503 at the last moment or dropped: the grace was too short for it.
        if self.0.shutdown.is_over() {
            self.0.count_cut();
        }
    }
}

/// A stream of HTTP/2; it ends when this is dropped.
struct Stream<A>(Arc<Desk<A>>);

impl<A> Drop for Stream<A> {
    fn drop(&mut self) {
        self.0.watch.stream_ended(self.0.worker.deadlines.now());
    }
}

/// Bytes of a piece of an answer over HTTP/2.
const PIECE_BYTES: usize = 16 * 1024;

/// The body of an answer. Over HTTP/2 it is dropped when the peer's window has taken it, or with its stream: h2 takes a
/// frame of any length as soon as the window lets out a byte of it, so it is given pieces.
pub(super) struct Answer {
    body: Full<Bytes>,
    /// The bytes that are left of `body`, once that has been polled.
    left: Bytes,
    held: Option<Held>,
    _kept: Option<UntilTaken>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.held.is_none() {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        if self.left.is_empty()
            && let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx))
        {
            self.left = frame.into_data().unwrap_or_default();
        }
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.left.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let of_body = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(self.left.len() as u64 + of_body)
    }
}

/// An answer of HTTP/2 that waits for the peer's window; it waits until this is dropped.
struct Held {
    watch: Arc<Watch>,
    worker: Arc<Worker>,
}

impl Held {
    fn new(watch: &Arc<Watch>, worker: &Arc<Worker>) -> Self {
        watch.answer_waits(worker.deadlines.now());
        Self {
            watch: Arc::clone(watch),
            worker: Arc::clone(worker),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.watch.answer_taken(self.worker.deadlines.now());
    }
}
