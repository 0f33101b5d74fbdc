//! One worker's accept loop, and its end: drain, close what is idle, cut what is left.

use super::{
    App, Drained, Timeouts, body,
    connection::{self, drain_of},
    deadlines::Deadlines,
    occupancy::{Occupancy, Place},
    shutdown::Shutdown,
    watch::Watch,
};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Out of file descriptors or memory: some will be free again soon, and trying at once would only burn the CPU.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);
/// Room for the longest request line (64 KiB) and the headers (64 KiB) that the gate lets through, so that it is the
/// gate that tells 414 from 431.
const HEAD_BUFFER: usize = 136 * 1024;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// Bytes of bodies that an HTTP/2 peer may have on the way to us, a stream and a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// What all connections of one worker share.
pub(super) struct Worker {
    pub(super) deadlines: Arc<Deadlines>,
    pub(super) occupancy: Arc<Occupancy>,
    pub(super) shutdown: Shutdown,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<Streams>,
    tasks: TaskTracker,
    cut: CancellationToken,
    cut_requests: AtomicUsize,
    parting: Duration,
}

impl Worker {
    pub(super) fn new(
        deadlines: Arc<Deadlines>,
        timeouts: &Timeouts,
        occupancy: Arc<Occupancy>,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
        let mut http1 = http1::Builder::new();
        // Not `pipeline_flush`: with it hyper keeps an answer back for as long as bytes of a next request lie in its
        // buffer, and never writes it if the connection closes then. Flattened writes alone bring what it is worth.
        http1
            .half_close(true)
            .writev(false)
            .header_read_timeout(None)
            .max_buf_size(HEAD_BUFFER);
        let mut http2 = http2::Builder::new(Streams {
            tasks: tasks.clone(),
            cut: cut.clone(),
        });
        http2
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(super::gate::MAX_HEADER_BYTES).unwrap_or(u32::MAX))
            .max_send_buf_size(64 * 1024)
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(128);
        Arc::new(Self {
            deadlines,
            occupancy,
            shutdown,
            http1,
            http2,
            tasks,
            cut,
            cut_requests: AtomicUsize::new(0),
            parting: timeouts.parting,
        })
    }

    /// Accepts and serves until the shutdown has run its course.
    pub(super) async fn run<A: App>(
        self: &Arc<Self>,
        listener: TcpListener,
        timeouts: &Timeouts,
        app: &A,
    ) -> io::Result<Drained> {
        let mut grace = pin!(async {
            self.shutdown.draining().await;
            // Whichever is first: the time, or whoever cut it short.
            tokio::select! {
                () = tokio::time::sleep(timeouts.grace) => {}
                () = self.shutdown.over() => {}
            }
        });
        let quiet = async {
            self.shutdown.draining().await;
            self.occupancy.quiet(timeouts.quiet).await;
        };
        let accepting = async { match self.accept(&listener, app).await {} };
        let grace_left = tokio::select! {
            () = accepting => true,
            () = quiet => true,
            () = &mut grace => false,
        };
        // Closing a listener resets what waits in its queue, so the queue is emptied first.
        let listener = listener.into_std()?;
        let late = self.accept_queued(&listener, app);
        drop(listener);
        let ended = async {
            if late > 0 {
                self.occupancy.quiet(timeouts.quiet).await;
            }
            self.deadlines.close_idle();
            self.tasks.close();
            self.tasks.wait().await;
        };
        let in_time = grace_left
            && tokio::select! {
                () = ended => true,
                () = &mut grace => false,
            };
        if !in_time {
            self.cut(timeouts.parting).await;
        }
        Ok(Drained {
            cut: self.cut_requests.load(Relaxed),
        })
    }

    /// HTTP/2: nobody reads the rest of this body, but a stream that is reset as soon as it is answered takes the answer
    /// with it at a sender that is still sending (curl, for one). It is drained a bounded amount and held a bounded time.
    pub(super) fn linger(&self, mut body: Incoming, watch: Arc<Watch>) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (cut, parting) = (self.cut.clone(), self.parting);
        self.tasks.spawn(async move {
            let drained = async {
                let mut left = drain_of(connection::is_long(&body));
                while let Some(frame) = body.frame().await {
                    let frame = match frame {
                        Ok(frame) => frame,
                        Err(error) => return body::note_refusal(&error, &watch),
                    };
                    left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
                    if left == 0 {
                        // What its window allows may still come; it is held, not read.
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                () = drained => {}
                () = tokio::time::sleep(parting) => {}
                () = cut.cancelled() => {}
            }
        });
    }

    /// Waits until one more connection may speak HTTP/2.
    pub(super) async fn http2_place(&self) -> OwnedSemaphorePermit {
        if self.occupancy.is_full_of_http2() {
            self.deadlines.press_http2();
        }
        self.occupancy.http2_place().await
    }

    /// A request was not answered before the grace was over.
    pub(super) fn count_cut(&self) {
        self.cut_requests.fetch_add(1, Relaxed);
    }

    async fn accept<A: App>(self: &Arc<Self>, listener: &TcpListener, app: &A) -> Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if self.occupancy.is_full() {
                        self.deadlines.press();
                    }
                    let place = self.occupancy.place().await;
                    self.serve(stream, peer, place, app);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    app.accept_failed(&error);
                    tokio::time::sleep(ACCEPT_BACK_OFF).await;
                }
            }
        }
    }

    /// Empties the accept queue. Past the readiness that tokio remembers: the queue itself is
    /// asked until it is empty. The limit does not count here, whoever waits in the queue has been promised an answer.
    fn accept_queued<A: App>(self: &Arc<Self>, listener: &std::net::TcpListener, app: &A) -> usize {
        let mut accepted = 0;
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                accepted += 1;
                self.serve(stream, peer, self.occupancy.extra_place(), app);
            }
        }
        accepted
    }

    fn serve<A: App>(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, place: Place, app: &A) {
        // Without it the last part of an answer may wait for an acknowledgement; if it cannot be set, that is all.
        let _slower = stream.set_nodelay(true);
        // On a dual-stack socket an IPv4 peer looks like `::ffff:192.0.2.1`.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let (worker, app) = (Arc::clone(self), app.clone());
        self.tasks.spawn(async move {
            connection::serve(stream, peer, app, worker).await;
            drop(place);
        });
    }

    /// The grace is over: tells whoever works on an answer, gives the answers `parting` to get out, ends the rest.
    async fn cut(&self, parting: Duration) {
        self.shutdown.end_grace();
        self.deadlines.close_idle();
        self.tasks.close();
        if tokio::time::timeout(parting, self.tasks.wait()).await.is_err() {
            self.deadlines.cut();
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }
}

/// Errors that say something about the connection that was to be accepted, and nothing about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Runs the streams of HTTP/2 connections as tasks of their worker.
#[derive(Clone)]
pub(super) struct Streams {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stream => {}
                () = cut.cancelled() => {}
            }
        });
    }
}
