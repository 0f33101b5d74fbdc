//! The inbound edge: accepts connections, bounds them, passes requests through the gate to an [`App`], drains at the end.
//!
//! It knows nothing of webhooks. Each worker calls [`serve`] on its own current-thread runtime with its own [`Listener`];
//! workers share an [`Occupancy`] and a [`Shutdown`], and nothing else.

mod accept;
mod answer;
mod body;
mod client_ip;
mod connection;
mod deadlines;
mod exchange;
mod frames;
mod framing;
pub mod gate;
mod greeting;
mod hpack;
mod io;
mod kept;
mod listener;
mod occupancy;
mod opening;
mod shutdown;
#[cfg(test)]
mod tests;
mod watch;
mod wire;

pub use body::{BodyError, RequestBody};
pub use client_ip::ClientIp;
pub use gate::GateRefusal;
#[cfg(fuzzing)]
pub use greeting::proxy_header_of;
pub use greeting::{HandshakeFault, HeaderFault, Unwelcome, Welcome};
pub use listener::Listener;
pub use occupancy::Occupancy;
pub use shutdown::Shutdown;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use std::{
    any::Any,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; with a PROXY header the one that it says.
    pub address: SocketAddr,
    /// It speaks TLS with us.
    pub tls: bool,
}

/// What answers requests, and what is told about everything that never became one.
pub trait App: Clone + Send + Sync + 'static {
    /// How a connection from this address begins. Asked once a connection: what changes holds for new ones.
    fn welcome(&self, address: IpAddr) -> Welcome;

    /// A connection ended before HTTP began, so [`Self::ended`] is not told of it: there is nothing to count. `address` is
    /// the socket's own.
    fn turned_away(&self, address: SocketAddr, why: &Unwelcome);

    /// Is this host ours, for this raw path? `host` is in lower case, without port, brackets and trailing dot; empty for
    /// HTTP/1.0 without a Host. (A load balancer's probe comes with an address for a Host, whatever `hosts` names.)
    fn serves_host(&self, host: &str, path: &str) -> bool;

    /// Answers a load balancer's probe of this raw path; `None`: it is a request like any other. A probe neither counts
    /// as a request nor prolongs a drain.
    fn probe(&self, path: &str) -> Option<Response<Full<Bytes>>>;

    /// Answers a request that passed the gate. Of a body that is not read to its end the server drains a bounded rest
    /// and closes the connection. Framing headers of the answer (`Connection`, `Content-Length`, `Date`) are ours.
    fn handle(&self, peer: Peer, request: Request<RequestBody>) -> impl Future<Output = Response<Full<Bytes>>> + Send;

    /// Renders the answer to a request that the gate refused.
    fn refuse(&self, peer: Peer, head: &Parts, refusal: GateRefusal) -> Response<Full<Bytes>>;

    /// Renders the answer to something that never became a request: a head that no parser accepts (400, 414, 431) or that
    /// did not end in time (408). [`Self::ended`] tells about it too.
    fn answer_unasked(&self, peer: Peer, status: StatusCode) -> Response<Full<Bytes>>;

    /// A connection ended.
    fn ended(&self, peer: Peer, end: ConnectionEnd);

    /// So many requests of an HTTP/2 connection that has ended were refused by the parser, each with its stream; there is
    /// no request to count, so count these.
    fn refused_streams(&self, peer: Peer, count: u32);

    /// Accepting failed for want of file descriptors or memory; it is tried again every 50 ms.
    fn accept_failed(&self, error: &std::io::Error);
}

/// In the extensions of an answer: what the server keeps until the answer is with the kernel (HTTP/1.1), or the peer's
/// window has taken it (HTTP/2).
#[derive(Clone)]
pub struct UntilTaken(pub Arc<dyn Any + Send + Sync>);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionEnd {
    /// As HTTP foresees it: by either side, between requests.
    Closed,
    /// The peer went away in the middle, or the socket failed.
    Broken,
    /// Bytes that are no HTTP request; there is no request to count, so count this.
    Malformed,
    /// A head began and did not end within the header timeout; there is no request to count, so count this.
    HeaderTimeout,
    /// Idle for longer than the idle timeout.
    Idle,
    /// Closed to make room while it was idle, or had been at a head for longer than an honest sender is.
    Evicted,
    /// The peer did not read its answer.
    WriteTimeout,
    /// Ended as it stood when the grace was over.
    Cut,
}

/// The deadlines of one worker's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a head to its end; before that, for a PROXY header and a TLS handshake together.
    pub head: Duration,
    /// Between requests, and from accepting to the first byte.
    pub idle: Duration,
    /// Without progress while an answer is written.
    pub write: Duration,
    /// For the sender to take its last answer and stop sending.
    pub parting: Duration,
    /// Draining: how long there must be no request before the listener closes.
    pub quiet: Duration,
    /// Draining: when whatever is left is cut.
    pub grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(10),
            parting: Duration::from_secs(1),
            quiet: Duration::from_secs(1),
            grace: Duration::from_secs(15),
        }
    }
}

/// How a worker's serving ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "requests may have been cut"]
pub struct Drained {
    /// Requests of this worker that were not answered when the grace was over.
    pub cut: usize,
}

/// Serves one worker's connections until `shutdown` has run its course; every task that it started has ended by then.
/// Runs inside a tokio runtime with IO and time.
///
/// # Errors
/// Only if the runtime cannot take the listener over.
pub async fn serve<A: App>(
    listener: Listener,
    timeouts: Timeouts,
    occupancy: Arc<Occupancy>,
    shutdown: Shutdown,
    app: A,
) -> std::io::Result<Drained> {
    let deadlines = deadlines::Deadlines::new(&timeouts, Arc::clone(&occupancy));
    let listener = listener.into_tokio()?;
    let worker = accept::Worker::new(Arc::clone(&deadlines), &timeouts, occupancy, shutdown);
    tokio::select! {
        never = deadlines.run() => match never {},
        drained = worker.run(listener, &timeouts, &app) => drained,
    }
}
