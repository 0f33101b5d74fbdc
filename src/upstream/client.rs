//! One worker's way out: sends a request over its own connections and reads the answer, all of it in one given time.

use super::{AnswerLimit, DeliveryError, DestinationSpec, Reply, connect::Connector, pool::Pool, reply};
use crate::event::{Clock, Frames, body::FramesBody};
use futures_util::poll;
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1::SendRequest},
};
use std::{
    error::Error,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

pub use super::pool::PoolSpec;

/// A connection that was idle for this long may have been closed by the app in this very moment.
const DOZED: Duration = Duration::from_millis(500);
/// The reactor looks at the sockets after the first, whoever reads the answer is done after the second.
const TURNS: usize = 2;

/// A request as a destination gets it ([`super::compose`] makes it).
pub struct OutboundRequest {
    /// Method as received.
    pub method: Method,
    /// Path and query as they stand in the request line.
    pub target: Uri,
    /// All headers, `Host` and `Content-Length` among them.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Frames,
}

/// One worker's outbound edge: its connections to every destination. Clones share them.
///
/// It belongs to one runtime: connections are driven by tasks of the runtime on which they were made, so
/// [`Outbound::shutdown`] is awaited before that ends.
#[derive(Clone)]
pub struct Outbound(Arc<Edge>);

struct Edge {
    connector: Connector,
    pool: Pool,
    closing: CancellationToken,
}

type Sent = Result<Response<Incoming>, TrySendError<Request<FramesBody>>>;

impl Outbound {
    /// An edge without connections; these are made as requests need them.
    pub fn new(pool: PoolSpec, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Edge {
            connector: Connector::new(clock.clone()),
            pool: Pool::new(pool, clock),
            closing: CancellationToken::new(),
        }))
    }

    /// Sends one request to one destination. `time` covers all of it: waiting for an app that restarts
    /// (`connect_wait`), the head of the answer and its body. Once the head has come its status is the answer, whatever
    /// becomes of the body ([`Reply::broken`]): an app that said 2xx has done the work, and asking again would double it.
    ///
    /// A request that a dead connection hands back unsent is sent once more, over a new connection. One of which a byte
    /// may have gone out is not: the app may be working on it.
    ///
    /// A 3xx is an answer like any other, never followed. If the future is dropped, the connection is closed.
    pub async fn send(
        &self,
        to: &DestinationSpec,
        request: OutboundRequest,
        time: Duration,
        limit: AnswerLimit<'_>,
    ) -> Result<Reply, DeliveryError> {
        if time.is_zero() {
            // Nothing is begun that there is no time for.
            return Err(timeout(to, time));
        }
        let mut deadline = pin!(tokio::time::sleep(time));
        let mut request = into_http(request);
        while let Some((mut sender, idle)) = self.0.pool.take(to) {
            if idle >= DOZED {
                // Lets the runtime look at its sockets first: an end that has arrived already is noticed before a byte
                // of the request is lost on it.
                tokio::task::yield_now().await;
                if sender.is_closed() {
                    continue;
                }
            }
            match self.exchange(to, &mut sender, request, deadline.as_mut(), time).await? {
                Ok(response) => return self.answer(to, sender, response, deadline, limit).await,
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => {
                        request = unsent;
                        break;
                    }
                    None => return Err(blame(to, &failed.into_error())),
                },
            }
        }
        let mut sender = self.0.connector.connect(to, deadline.as_mut(), time).await?;
        match self.exchange(to, &mut sender, request, deadline.as_mut(), time).await? {
            Ok(response) => self.answer(to, sender, response, deadline, limit).await,
            Err(failed) => Err(blame(to, &failed.into_error())),
        }
    }

    /// How many connections are idle now.
    pub fn idle(&self) -> usize {
        self.0.pool.len()
    }

    /// Closes the idle connections, and those in use as their answers end; returns when all are closed. Awaited by a
    /// worker after its deliveries and before its runtime ends.
    pub async fn shutdown(&self) {
        self.0.pool.close();
        self.0.closing.cancel();
        let drivers = self.0.connector.drivers();
        drivers.close();
        drivers.wait().await;
    }

    async fn exchange(
        &self,
        to: &DestinationSpec,
        sender: &mut SendRequest<FramesBody>,
        request: Request<FramesBody>,
        deadline: Pin<&mut Sleep>,
        time: Duration,
    ) -> Result<Sent, DeliveryError> {
        let mut sending = pin!(sender.try_send_request(request));
        tokio::select! {
            biased;
            sent = &mut sending => return Ok(sent),
            () = deadline => {}
        }
        // A process that did not run for a while finds the time over and the answer in the socket, unread: before the
        // destination is blamed, whoever reads it has a turn.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
            if let Poll::Ready(sent) = poll!(sending.as_mut()) {
                return Ok(sent);
            }
        }
        Err(timeout(to, time))
    }

    async fn answer(
        &self,
        to: &DestinationSpec,
        sender: SendRequest<FramesBody>,
        response: Response<Incoming>,
        deadline: Pin<&mut Sleep>,
        limit: AnswerLimit<'_>,
    ) -> Result<Reply, DeliveryError> {
        if let Some(reason) = reply::broken_head(&response) {
            return Err(broken(to, reason.to_owned()));
        }
        let (reply, whole) = reply::read(response, deadline, limit).await;
        if whole && self.0.pool.put(to, sender) {
            self.start_sweeper();
        }
        Ok(reply)
    }

    /// Idle connections are closed on time though no request comes by. The task ends with the last of them, and holds
    /// nothing: a dropped edge is not kept alive by it.
    fn start_sweeper(&self) {
        let edge = Arc::downgrade(&self.0);
        let closing = self.0.closing.clone();
        let every = self.0.pool.idle_timeout();
        self.0.connector.drivers().spawn(async move {
            loop {
                tokio::select! {
                    () = closing.cancelled() => break,
                    () = tokio::time::sleep(every) => {}
                }
                match edge.upgrade() {
                    Some(edge) if edge.pool.sweep() => {}
                    _ => break,
                }
            }
        });
    }
}

fn into_http(request: OutboundRequest) -> Request<FramesBody> {
    let mut http = Request::new(request.body.to_body());
    *http.method_mut() = request.method;
    *http.uri_mut() = request.target;
    *http.headers_mut() = request.headers;
    http
}

fn timeout(to: &DestinationSpec, after: Duration) -> DeliveryError {
    DeliveryError::Timeout {
        destination: to.name.clone(),
        after,
    }
}

fn broken(to: &DestinationSpec, reason: String) -> DeliveryError {
    DeliveryError::Broken {
        destination: to.name.clone(),
        reason,
    }
}

/// An answer that cannot be parsed is broken; everything else that ends a connection makes the app unreachable.
fn blame(to: &DestinationSpec, error: &hyper::Error) -> DeliveryError {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    if error.is_parse() {
        return broken(to, reason);
    }
    DeliveryError::Unreachable {
        destination: to.name.clone(),
        reason,
        // Asked only about requests that were not handed back unsent.
        sent: true,
    }
}

#[cfg(test)]
mod tests;
