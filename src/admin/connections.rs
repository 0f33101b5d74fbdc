//! The open connections of one listener: how many each peer has, which of them are idle, and which one is evicted for the next.

use super::answer::Answer;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use std::{
    convert::Infallible,
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::task::AbortHandle;

/// A connection with a request that is not answered yet.
const BUSY: u64 = u64::MAX;
/// The bits of an IPv6 address that name one network, and so one peer.
const NETWORK: u128 = !0 << 64;

/// The open connections of one listener.
pub(super) struct Connections {
    open: Vec<Open>,
    /// Counts up each time that a connection becomes idle: the order in which they did.
    turns: Arc<AtomicU64>,
    most: usize,
    most_of_a_peer: usize,
}

struct Open {
    peer: IpAddr,
    /// Goes away with the connection.
    state: Weak<State>,
    task: AbortHandle,
}

/// The state that a connection's task and its listener share.
pub(super) struct State {
    /// The turn in which it became idle, or [`BUSY`].
    idle_since: AtomicU64,
    turns: Arc<AtomicU64>,
}

impl Connections {
    /// Room for `most` connections, and for `most_of_a_peer` of one peer.
    pub fn new(most: usize, most_of_a_peer: usize) -> Self {
        Self {
            open: Vec::new(),
            turns: Arc::default(),
            most,
            most_of_a_peer,
        }
    }

    /// Makes room for one more connection of `peer`: the oldest idle connection goes, of this peer if it has as many as it
    /// may. `None`: every connection that could go has a request that is not answered yet.
    pub fn make_room(&mut self, peer: IpAddr) -> Option<Arc<State>> {
        self.open.retain(|open| open.state.strong_count() > 0);
        let peer = network(peer);
        let of_peer = self.open.iter().filter(|open| open.peer == peer).count();
        if of_peer >= self.most_of_a_peer {
            self.evict(|open| open.peer == peer)?;
        } else if self.open.len() >= self.most {
            self.evict(|_| true)?;
        }
        Some(Arc::new(State {
            idle_since: AtomicU64::new(self.turns.fetch_add(1, Relaxed)),
            turns: self.turns.clone(),
        }))
    }

    /// The connection for which room was made, served by `task`.
    pub fn add(&mut self, peer: IpAddr, state: Weak<State>, task: AbortHandle) {
        let peer = network(peer);
        self.open.push(Open { peer, state, task });
    }

    fn evict(&mut self, may_go: impl Fn(&Open) -> bool) -> Option<()> {
        let idle_since = |open: &Open| open.state.upgrade().map_or(0, |state| state.idle_since.load(Relaxed));
        let candidates = self.open.iter().enumerate().filter(|(_, open)| may_go(open));
        let (index, _) = candidates
            .map(|(index, open)| (index, idle_since(open)))
            .filter(|(_, since)| *since != BUSY)
            .min_by_key(|(_, since)| *since)?;
        self.open.swap_remove(index).task.abort();
        Some(())
    }
}

/// IPv4 peers by address, IPv6 peers by their /64: a host can have all addresses of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        address @ IpAddr::V4(_) => address,
    }
}

/// A request that is being answered; its connection is idle again when this is dropped.
pub(super) struct Busy(Arc<State>);

impl Busy {
    pub fn new(state: &Arc<State>) -> Self {
        state.idle_since.store(BUSY, Relaxed);
        Self(state.clone())
    }

    /// Keeps the connection busy until the answer has been taken.
    pub fn until_taken(self, answer: Answer) -> Answer {
        answer.map(|body| Held { body, _busy: self }.boxed_unsync())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.turns.fetch_add(1, Relaxed), Relaxed);
    }
}

/// The body of an answer, with its connection's claim to be busy.
struct Held {
    body: UnsyncBoxBody<Bytes, Infallible>,
    _busy: Busy,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
