//! How full the sidecar is, over all workers: open connections against their limit, requests in flight, arrivals.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many connections may speak HTTP/2 however low the limit of connections is.
const LEAST_HTTP2: usize = 16;

/// From so many connections on what only requests need is given back after each of them.
const TIGHT: usize = 512;
/// Bytes of all heads that are not whole yet: 800 from each of 10,000 connections.
const HEADS_BYTES: usize = 8 * 1024 * 1024;

/// Shared by all workers: the only figures that they share in the inbound edge.
pub struct Occupancy {
    limit: usize,
    requests: usize,
    places: Arc<Semaphore>,
    http2: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_for_http2: AtomicUsize,
    heads: AtomicUsize,
    in_flight: AtomicUsize,
    arrivals: AtomicU64,
}

/// A connection's place under the limit.
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Occupancy {
    /// With room for `connections` and `requests` in flight (at least one each) over all workers. The first is a limit
    /// here; the second is the app's own, and known here so that connections are closed before it is reached.
    pub fn new(connections: usize, requests: usize) -> Arc<Self> {
        let limit = connections.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            limit,
            requests: requests.max(1),
            places: Arc::new(Semaphore::new(limit)),
            http2: Arc::new(Semaphore::new(limit.div_ceil(64).max(LEAST_HTTP2))),
            waiting: AtomicUsize::new(0),
            waiting_for_http2: AtomicUsize::new(0),
            heads: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            arrivals: AtomicU64::new(0),
        })
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.limit - self.places.available_permits()
    }

    /// Requests between gate and answer, the one that asks included.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Waits for a place. Whoever waits has accepted one connection more than the limit, and accepts no further one.
    pub(super) async fn place(&self) -> Place {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Place { _permit: Some(permit) };
        }
        let _waiting = Waiting::new(&self.waiting);
        let permit = Arc::clone(&self.places).acquire_owned().await;
        Place {
            _permit: Some(permit.expect("the semaphore of the connection limit is never closed")),
        }
    }

    /// Heads that are not whole yet take so many bytes in all that the oldest have to go.
    pub(super) fn is_full_of_heads(&self) -> bool {
        self.heads.load(Relaxed) > HEADS_BYTES
    }

    /// No further connection may speak HTTP/2 now.
    pub(super) fn is_full_of_http2(&self) -> bool {
        self.http2.available_permits() == 0
    }

    /// Waits until one more connection may speak HTTP/2. What that needs (30 KiB, and windows for bodies) it keeps for as
    /// long as it lives, which HTTP/1.1 does not, so a sixty-fourth of the connections may.
    pub(super) async fn http2_place(&self) -> OwnedSemaphorePermit {
        let _waiting = Waiting::new(&self.waiting_for_http2);
        let permit = Arc::clone(&self.http2).acquire_owned().await;
        permit.expect("the semaphore of HTTP/2 is never closed")
    }

    /// A place over the limit, for what is accepted when nothing will be accepted any more.
    pub(super) fn extra_place(&self) -> Place {
        Place {
            _permit: Arc::clone(&self.places).try_acquire_owned().ok(),
        }
    }

    /// So many connections are open that what each of them holds while it is idle matters: 12 MiB, or in a small house as
    /// much less.
    pub(super) fn is_tight(&self) -> bool {
        self.connections() > TIGHT.min(self.limit / 16)
    }

    /// Close to a bound: an eighth of the connections is left, or a quarter of the requests. From here on every answer
    /// closes its connection (HTTP/2: once its other streams are done), so that kept-alive ones do not take the places of
    /// senders that come. Beyond it requests are answered 503, and at the limit of connections nothing is accepted.
    pub(super) fn is_crowded(&self) -> bool {
        self.places.available_permits() <= self.limit / 8 || self.in_flight() >= self.requests - self.requests / 4
    }

    /// No place is left.
    pub(super) fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Somebody waits for a place.
    pub(super) fn is_pressed(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Somebody waits for a place to speak HTTP/2.
    pub(super) fn is_pressed_by_http2(&self) -> bool {
        self.waiting_for_http2.load(Relaxed) > 0
    }

    /// A request passed the gate.
    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.arrivals.fetch_add(1, Relaxed);
    }

    /// A request that had entered is answered, or will never be.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Returns when for `long` no request was in flight and none arrived.
    pub(super) async fn quiet(&self, long: Duration) {
        const STEPS: u32 = 4;
        let (mut still, mut seen) = (0, self.arrivals.load(Relaxed));
        while still < STEPS {
            tokio::time::sleep(long / STEPS).await;
            let arrivals = self.arrivals.load(Relaxed);
            still = if arrivals == seen && self.in_flight() == 0 {
                still + 1
            } else {
                0
            };
            seen = arrivals;
        }
    }
}

/// The bytes of a head that is not whole yet.
pub(super) struct Head {
    occupancy: Arc<Occupancy>,
    size: usize,
}

impl Head {
    pub(super) fn new(occupancy: &Arc<Occupancy>) -> Self {
        Self {
            occupancy: Arc::clone(occupancy),
            size: 0,
        }
    }

    /// It takes so much now.
    pub(super) fn takes(&mut self, size: usize) {
        self.occupancy.heads.fetch_add(size, Relaxed);
        self.occupancy.heads.fetch_sub(self.size, Relaxed);
        self.size = size;
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.takes(0);
    }
}

/// Counts one waiter, also if it stops waiting because its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
