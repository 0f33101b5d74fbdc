//! A small HTTP/1.1 server for few and friendly clients, bounded all the same: connections, heads, bodies and time.

use super::{
    answer::Answer,
    connections::{Busy, Connections, State},
};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// What one listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Open connections; for a further one the oldest idle connection is closed.
    pub connections: usize,
    /// Open connections of one peer (IPv4: an address; IPv6: a /64); for a further one its own oldest idle one is closed.
    pub of_a_peer: usize,
    /// Time for a request's head, and for the pause before the next one.
    pub head: Duration,
    /// Time for a request's body.
    pub body: Duration,
    /// Life of a connection: whoever does not read his answers cannot hold one for ever.
    pub connection: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 128,
            // Half of them: one peer cannot take the places of all others, and a page with its readers has enough.
            of_a_peer: 64,
            // A probe and a scrape come in one piece; kubelet's own limit for a probe is 1 s by default.
            head: Duration::from_secs(3),
            body: Duration::from_secs(5),
            connection: Duration::from_mins(2),
        }
    }
}

/// Both ends of a connection.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// The address that the client reached us at.
    pub local: SocketAddr,
    /// The client's.
    pub peer: SocketAddr,
    /// What an answer that takes its time holds on to.
    pub lease: Lease,
}

/// Keeps a connection beyond its life for as long as its client goes on reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease(Arc<AtomicBool>);

impl Lease {
    /// The client has taken what there was.
    pub fn renew(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Since it was asked last?
    pub fn was_renewed(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// After `accept` failed (out of file descriptors, mostly): trying again at once would only burn the CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers that are being written when the listener stops get this long.
const GOODBYE: Duration = Duration::from_secs(1);

/// Accepts until `stop`, then lets answers in progress finish.
pub(super) async fn serve<H, F>(socket: TcpListener, bounds: Bounds, handle: H, stop: CancellationToken)
where
    H: Fn(Request<Incoming>, Ends) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut connections = Connections::new(bounds.connections, bounds.of_a_peer);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // Reaps what has ended; a set that is empty answers `None` and is left out.
            Some(_) = tasks.join_next() => continue,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(state) = connections.make_room(peer.ip()) else {
                    continue;
                };
                let weak = Arc::downgrade(&state);
                let task = tasks.spawn(connection(stream, peer, bounds, handle.clone(), state, stop.clone()));
                connections.add(peer.ip(), weak, task);
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
    // Nobody new is accepted while the last answers leave.
    drop(socket);
    let all = async { while tasks.join_next().await.is_some() {} };
    // Late ones are cut off when the set is dropped.
    drop(timeout(GOODBYE, all).await);
}

async fn connection<H, F>(
    stream: TcpStream,
    peer: SocketAddr,
    bounds: Bounds,
    handle: H,
    state: Arc<State>,
    stop: CancellationToken,
) where
    H: Fn(Request<Incoming>, Ends) -> F,
    F: Future<Output = Answer>,
{
    let Ok(local) = stream.local_addr() else { return };
    let lease = Lease::default();
    let ends = Ends {
        local,
        peer,
        lease: lease.clone(),
    };
    let service = service_fn(|request| {
        let busy = Busy::new(&state);
        let answer = handle(request, ends.clone());
        async move { Ok::<_, Infallible>(busy.until_taken(answer.await)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let whole = async {
        tokio::select! {
            ended = connection.as_mut() => drop(ended),
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                drop(connection.await);
            }
        }
    };
    // A client that misbehaves or is late is of no interest to anybody but itself.
    let mut whole = pin!(whole);
    while timeout(bounds.connection, whole.as_mut()).await.is_err() && lease.was_renewed() {}
}
