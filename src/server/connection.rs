//! One connection from its first byte to its last: which HTTP it speaks, its exchanges, its orders, its parting.

use super::{
    App, ConnectionEnd, Peer, Unwelcome,
    accept::Worker,
    answer,
    deadlines::Watched,
    exchange::Desk,
    greeting::{self, Parted, Received},
    io::TimedIo,
    opening::{self, Tongue},
    watch::{Order, Phase, Watch},
    wire::Wire,
};
use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

/// How much is drained after an answer so that it arrives instead of a reset: twice the built-in `max_body`, so that an
/// honest sender whose body is somewhat too large gets to its end and reads its 413. Less would do for whoever looks for
/// an answer while it sends, and on loopback, whose buffers swallow megabytes. Measured with segments of 1,460 bytes, as
/// a network has them, and 64 KiB drained: a sender that writes all before it reads (Python's `http.client`, for one) is
/// stuck from 800 kB on, and after the second that any parting may take it gets a broken pipe and never looks.
pub(super) const DRAIN_BYTES: usize = 2 * 1024 * 1024;
/// How much of a body that is longer than that anyway: then it is no longer read, and the connection held for as long as
/// any parting may take. A sender that looks for an answer while it sends (curl, for one) finds it, and whoever does not
/// look has sent no more than the kernel's buffers hold.
const LONG_DRAIN_BYTES: usize = 64 * 1024;

/// Does this body announce more than is drained?
pub(super) fn is_long(body: &Incoming) -> bool {
    let announced = body.size_hint().exact();
    announced.is_some_and(|length| length > DRAIN_BYTES as u64)
}

/// How much of an unread body is drained.
pub(super) fn drain_of(is_long: bool) -> usize {
    if is_long { LONG_DRAIN_BYTES } else { DRAIN_BYTES }
}

/// Serves one connection and tells the app how it ended.
pub(super) async fn serve<A: App>(stream: TcpStream, address: SocketAddr, app: A, worker: Arc<Worker>) {
    let watched = worker.deadlines.watch();
    let welcome = app.welcome(address.ip());
    if !welcome.proxy_header && welcome.tls.is_none() {
        let peer = Peer { address, tls: false };
        return converse(Wire::Plain(stream), peer, watched, app, worker).await;
    }
    watched.greets(worker.deadlines.now());
    // On the heap for as long as it takes: a handshake is larger than all that a connection needs afterwards.
    let mut receiving = Box::pin(greeting::receive(stream, address, welcome, Arc::clone(&watched)));
    let received = obey(&watched, receiving.as_mut(), |_| false).await;
    drop(receiving);
    match received {
        Ok(Ok(Received { wire, peer })) => {
            watched.idles(worker.deadlines.now());
            converse(wire, peer, watched, app, worker).await;
        }
        Ok(Err(Parted { why, socket })) => {
            app.turned_away(address, &why);
            if let Some(socket) = socket {
                part(socket, &watched, None).await;
            }
        }
        Err(_) => app.turned_away(address, &Unwelcome::TooSlow),
    }
}

/// What a connection says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// A head, or what is none; after it more may have come.
    Http1,
    Http2,
    /// The peer said nothing and left.
    Nothing,
}

/// HTTP on a connection that has been received. Between requests nothing is held but the socket and its watch: what
/// serves a request is on the heap for as long as there is one, and somewhat longer.
async fn converse<A: App>(wire: Wire, peer: Peer, watched: Watched, app: A, worker: Arc<Worker>) {
    let mut tongue = match (peer.tls, peer.tls && wire.agreed_on_http2()) {
        (false, _) => Tongue::Unknown,
        // What the handshake has not agreed on is not guessed from the bytes.
        (true, false) => Tongue::Http1,
        (true, true) => Tongue::Http2,
    };
    // Boxed, because it is handed on several times, and each time would have a place of its own in this task.
    let mut io = Box::new(TimedIo::new(wire, watched));
    let watch = Arc::clone(io.watched());
    let mut left = Bytes::new();
    let (ending, io) = loop {
        watch.rests();
        let opening = {
            let mut opening = pin!(opening::gather(&mut io, left, tongue));
            // Nothing was asked yet, so there is nothing to wait for before closing; unless a head has just begun.
            obey(&watch, opening.as_mut(), |_| watch.phase() == Phase::Head).await
        };
        let begun = match opening {
            Err(order) => break (Ending::Ordered(order), io),
            Ok(Err(_)) => break (Ending::Broken, io),
            Ok(Ok(Begun::Nothing)) => break (Ending::Done, io),
            Ok(Ok(begun)) => begun,
        };
        let desk = Arc::new(Desk {
            app: app.clone(),
            peer,
            watch: Arc::clone(&watch),
            worker: Arc::clone(&worker),
        });
        if begun == Begun::Http2 {
            let place = {
                let mut place = pin!(worker.http2_place());
                obey(&watch, place.as_mut(), |_| false).await
            };
            let _place = match place {
                Ok(place) => place,
                Err(order) => break (Ending::Ordered(order), io),
            };
            watch.speaks_http2();
            let ending = Box::pin(http2(io, &watch, desk, &worker)).await;
            let end = if watch.is_refused() {
                ConnectionEnd::Malformed
            } else {
                ending.end()
            };
            let unseen = watch.unseen_requests();
            if unseen > 0 {
                app.refused_streams(peer, unseen);
            }
            app.ended(peer, end);
            return;
        }
        watch.works();
        match Box::pin(http1(io, &watch, desk, &worker)).await {
            Served::Ended(ending, io) => break (ending, io),
            Served::Rests(same, read) => (io, left, tongue) = (same, read, Tongue::Http1),
        }
    };
    let answer = ending
        .unasked_answer(&io)
        .map(|status| answer::render(app.answer_unasked(peer, status)));
    let lingers = answer.is_some() || matches!(ending, Ending::Done) && io.may_still_hear();
    // Told before the parting: whoever has its answer can already be found in the figures.
    app.ended(peer, ending.end());
    if lingers {
        let (stream, watched) = io.into_stream();
        part(stream, &watched, answer).await;
    }
}

/// What became of a connection's exchanges.
enum Served<S> {
    Ended(Ending, Box<TimedIo<S>>),
    /// It is idle, and these bytes came after the last request.
    Rests(Box<TimedIo<S>>, Bytes),
}

/// How the exchanges of a connection came to their end.
enum Ending {
    /// As HTTP foresees it.
    Done,
    /// The socket failed, or the peer left in the middle.
    Broken,
    /// The peer sent what no parser accepts.
    Malformed,
    Ordered(Order),
}

impl Ending {
    fn of(result: Result<hyper::Result<()>, Order>) -> Self {
        match result {
            Err(order) => Self::Ordered(order),
            Ok(Ok(())) => Self::Done,
            Ok(Err(error)) if error.is_parse() => Self::Malformed,
            Ok(Err(_)) => Self::Broken,
        }
    }

    fn end(&self) -> ConnectionEnd {
        match self {
            Self::Done | Self::Ordered(Order::Close | Order::Rest | Order::GreetingTimeout | Order::PartingTimeout) => {
                ConnectionEnd::Closed
            }
            Self::Broken => ConnectionEnd::Broken,
            Self::Malformed | Self::Ordered(Order::TargetTooLong | Order::Flooded) => ConnectionEnd::Malformed,
            Self::Ordered(Order::HeaderTimeout) => ConnectionEnd::HeaderTimeout,
            Self::Ordered(Order::IdleTimeout) => ConnectionEnd::Idle,
            Self::Ordered(Order::Evicted) => ConnectionEnd::Evicted,
            Self::Ordered(Order::WriteTimeout) => ConnectionEnd::WriteTimeout,
            Self::Ordered(Order::Cut) => ConnectionEnd::Cut,
        }
    }

    /// The status of an answer to what never became a request.
    fn unasked_answer<S>(&self, io: &TimedIo<S>) -> Option<StatusCode> {
        match self {
            Self::Ordered(Order::HeaderTimeout) => Some(StatusCode::REQUEST_TIMEOUT),
            Self::Ordered(Order::TargetTooLong) => Some(StatusCode::URI_TOO_LONG),
            Self::Malformed => io.parser_refusal(),
            _ => None,
        }
    }
}

async fn http1<A: App, S>(io: Box<TimedIo<S>>, watch: &Watch, desk: Arc<Desk<A>>, worker: &Worker) -> Served<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| desk.exchange(request));
    let mut connection = worker.http1.serve_connection(TokioIo::new(io), service);
    let mut closed_idle = false;
    let result = obey(watch, Pin::new(&mut connection), |connection| {
        closed_idle |= watch.phase() == Phase::Idle;
        connection.graceful_shutdown();
        true
    })
    .await;
    let parts = connection.into_parts();
    let io = parts.io.into_inner();
    match Ending::of(result) {
        Ending::Ordered(Order::Rest) => Served::Rests(io, parts.read_buf),
        Ending::Done if closed_idle => Served::Ended(Ending::Ordered(Order::Close), io),
        ending => Served::Ended(ending, io),
    }
}

async fn http2<A: App, S>(io: Box<TimedIo<S>>, watch: &Watch, desk: Arc<Desk<A>>, worker: &Worker) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| desk.exchange(request));
    let mut connection = pin!(worker.http2.serve_connection(TokioIo::new(io), service));
    let mut going_away = pin!(worker.shutdown.draining());
    let mut told = false;
    // GOAWAY is for HTTP/2 what `Connection: close` on the next answer is for HTTP/1.1, in a drain and where it is crowded.
    let both = poll_fn(|cx| {
        if !told && (watch.is_leaving() || going_away.as_mut().poll(cx).is_ready()) {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    });
    // An order to close is for an idle connection; the next tick repeats it when this one is.
    Ending::of(obey(watch, pin!(both), |_| watch.phase() != Phase::Idle).await)
}

/// Polls `work` until it is done or an order ends it. `close` is asked to end it in its own way; if it says that it
/// cannot, the order to close ends it as every other one does.
async fn obey<F: Future>(
    watch: &Watch,
    mut work: Pin<&mut F>,
    mut close: impl FnMut(Pin<&mut F>) -> bool,
) -> Result<F::Output, Order> {
    poll_fn(|cx| {
        watch.wake_with(cx.waker());
        loop {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            match watch.take_order() {
                None => return Poll::Pending,
                Some(Order::Close) if close(work.as_mut()) => {}
                Some(order) => return Poll::Ready(Err(order)),
            }
        }
    })
    .await
}

/// Writes the last answer if there is one, says that nothing more comes, and drains a bounded amount for a bounded time:
/// closing on unread bytes would reset the connection, and the answer would be lost on its way.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, watched: &Watched, answer: Option<Vec<u8>>) {
    watched.parts(watched.deadlines().now());
    let farewell = async {
        if let Some(answer) = answer {
            stream.write_all(&answer).await?;
        }
        stream.shutdown().await?;
        let mut left = drain_of(watched.body_is_long());
        while left > 0 {
            match opening::forget(&mut stream).await? {
                0 => return Ok(()),
                count => left = left.saturating_sub(count),
            }
        }
        // Enough was read. What comes now fills the kernel's buffers, until the sender looks or its time is over.
        std::future::pending::<io::Result<()>>().await
    };
    // Whatever it ends with, the stream is closed next.
    let _ended = obey(watched, pin!(farewell), |_| false).await;
}
