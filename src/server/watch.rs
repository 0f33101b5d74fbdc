//! What one connection notes about itself for the worker's tick, and the order that the tick leaves there.

use super::{frames::Refused, framing::Hiding, kept::Kept};
use futures_util::task::AtomicWaker;
use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
    task::Waker,
};

/// Which deadline applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A PROXY header or a TLS handshake is awaited; nothing of HTTP yet.
    Greeting,
    /// Between requests, or not a byte yet.
    Idle,
    /// At least one byte of a head, no request yet.
    Head,
    /// A request is with the app, or its answer is being written.
    Busy,
    /// The last answer is out; what the sender still sends is drained.
    Parting,
}

/// Why the connection's task has to stop what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Close if idle, else after the answer.
    Close,
    /// Give back what only a request needs.
    Rest,
    IdleTimeout,
    Evicted,
    GreetingTimeout,
    HeaderTimeout,
    WriteTimeout,
    PartingTimeout,
    /// The request line does not end.
    TargetTooLong,
    /// HTTP/2 frames that ask for nothing, without end.
    Flooded,
    /// The grace is over.
    Cut,
}

const PHASES: [Phase; 5] = [Phase::Greeting, Phase::Idle, Phase::Head, Phase::Busy, Phase::Parting];
const ORDERS: [Order; 11] = [
    Order::Close,
    Order::Rest,
    Order::IdleTimeout,
    Order::Evicted,
    Order::GreetingTimeout,
    Order::HeaderTimeout,
    Order::WriteTimeout,
    Order::PartingTimeout,
    Order::TargetTooLong,
    Order::Flooded,
    Order::Cut,
];
const NO_ORDER: u8 = u8::MAX;
const REST: u8 = Order::Rest as u8;
const NOT_STALLED: u32 = u32::MAX;

/// Written by the connection's task, read by its worker's tick: one thread, so every access is relaxed.
pub(super) struct Watch {
    waker: AtomicWaker,
    phase: AtomicU8,
    since: AtomicU32,
    stalled: AtomicU32,
    order: AtomicU8,
    /// Answers of HTTP/2 that the peer's closed flow-control window holds back, and since when none has moved.
    held: AtomicU32,
    held_since: AtomicU32,
    /// Requests that the app has not answered yet; more than one only in HTTP/2.
    unanswered: AtomicU32,
    /// The app has answered, and the bytes of the answer are not all with the kernel yet (HTTP/1.1).
    unflushed: AtomicBool,
    /// The parser of HTTP/2 refused the connection.
    refused: AtomicBool,
    /// Streams that it refused, less those whose requests we had been given and whose bodies told it.
    refused_streams: AtomicU32,
    told_streams: AtomicU32,
    /// The current request's body has not been read to its end (HTTP/1.1).
    body_unread: AtomicBool,
    /// Its declared length is more than is drained for the sake of its sender (HTTP/1.1).
    body_is_long: AtomicBool,
    /// Requests that the parser has given out (HTTP/1.1).
    requests: AtomicU32,
    /// The first request of which the parser hides something (HTTP/1.1).
    pub(super) hiding: Hiding,
    /// The resources of answers that are not with the kernel yet (HTTP/1.1).
    pub(super) kept: Kept,
    /// It holds what it could give back while it is idle (HTTP/1.1).
    works: AtomicBool,
    /// It speaks HTTP/2.
    http2: AtomicBool,
    /// Nobody shall get used to this connection (HTTP/2; over HTTP/1.1 the answer says so itself).
    leaving: AtomicBool,
}

impl Watch {
    pub(super) fn new(now: u32) -> Self {
        Self {
            waker: AtomicWaker::new(),
            phase: AtomicU8::new(Phase::Idle as u8),
            since: AtomicU32::new(now),
            stalled: AtomicU32::new(NOT_STALLED),
            order: AtomicU8::new(NO_ORDER),
            held: AtomicU32::new(0),
            held_since: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            unflushed: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            refused_streams: AtomicU32::new(0),
            told_streams: AtomicU32::new(0),
            body_unread: AtomicBool::new(false),
            body_is_long: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            hiding: Hiding::default(),
            kept: Kept::default(),
            works: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Relaxed))]
    }

    /// The tick in which the phase began.
    pub(super) fn since(&self) -> u32 {
        self.since.load(Relaxed)
    }

    /// The tick since which a write has made no progress.
    pub(super) fn stalled_since(&self) -> Option<u32> {
        Some(self.stalled.load(Relaxed)).filter(|&since| since != NOT_STALLED)
    }

    /// Bytes came in; the first ones after a pause begin a head.
    pub(super) fn bytes_came(&self, now: u32) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Head, now);
        }
    }

    /// A head is complete. The index of its request on this connection, from 0.
    pub(super) fn request_begins(&self, body_unread: bool, body_is_long: bool) -> u32 {
        self.unanswered.fetch_add(1, Relaxed);
        self.body_unread.store(body_unread, Relaxed);
        self.body_is_long.store(body_is_long, Relaxed);
        self.phase.store(Phase::Busy as u8, Relaxed);
        self.requests.fetch_add(1, Relaxed)
    }

    /// It takes what a request needs.
    pub(super) fn works(&self) {
        self.works.store(true, Relaxed);
    }

    /// It has given that back.
    pub(super) fn rests(&self) {
        self.works.store(false, Relaxed);
    }

    /// The answer that is being given is the last one, and whoever serves the connection has to end it: what comes behind
    /// is no further request.
    pub(super) fn answers_last(&self) {
        self.works.store(false, Relaxed);
    }

    /// From here on this is HTTP/2.
    pub(super) fn speaks_http2(&self) {
        self.http2.store(true, Relaxed);
    }

    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Relaxed)
    }

    /// Is it idle, and could it give something back?
    pub(super) fn could_rest(&self) -> bool {
        self.works.load(Relaxed) && self.phase() == Phase::Idle
    }

    /// The body was read to its end, or cannot be read on.
    pub(super) fn body_ends(&self) {
        self.body_unread.store(false, Relaxed);
    }

    pub(super) fn body_is_unread(&self) -> bool {
        self.body_unread.load(Relaxed)
    }

    pub(super) fn body_is_long(&self) -> bool {
        self.body_is_long.load(Relaxed)
    }

    /// The app answered on HTTP/1.1; idle again once it is flushed.
    pub(super) fn answered(&self) {
        self.unanswered.store(0, Relaxed);
        self.unflushed.store(true, Relaxed);
    }

    /// The app answered on HTTP/2; until [`Self::answer_taken`] the answer waits for the peer's window.
    pub(super) fn answer_waits(&self, now: u32) {
        if self.held.fetch_add(1, Relaxed) == 0 {
            self.held_since.store(now, Relaxed);
        }
    }

    /// The peer's window took an answer, or its stream is gone. That is progress for those that still wait.
    pub(super) fn answer_taken(&self, now: u32) {
        self.held.fetch_sub(1, Relaxed);
        self.held_since.store(now, Relaxed);
    }

    /// The tick since which no answer of HTTP/2 has moved although one waits.
    pub(super) fn held_since(&self) -> Option<u32> {
        (self.held.load(Relaxed) > 0).then(|| self.held_since.load(Relaxed))
    }

    /// A stream of HTTP/2 ended, answered or not; idle again when it was the last.
    pub(super) fn stream_ended(&self, now: u32) {
        if self.unanswered.fetch_sub(1, Relaxed) == 1 && self.phase() != Phase::Parting {
            self.enter(Phase::Idle, now);
        }
    }

    /// All that was to be written is with the kernel. True if that was an answer, and the connection is idle now.
    pub(super) fn flushed(&self, now: u32) -> bool {
        let answered = self.unflushed.swap(false, Relaxed);
        if answered {
            self.kept.clear();
            self.enter(Phase::Idle, now);
        }
        answered
    }

    pub(super) fn write_waits(&self, now: u32) {
        if self.stalled.load(Relaxed) == NOT_STALLED {
            self.stalled.store(now, Relaxed);
        }
    }

    pub(super) fn write_moves(&self) {
        self.stalled.store(NOT_STALLED, Relaxed);
    }

    /// The parser of HTTP/2 refused something that the peer sent.
    pub(super) fn refuses(&self, what: Refused) {
        match what {
            Refused::Connection => self.refused.store(true, Relaxed),
            Refused::Stream => {
                self.refused_streams.fetch_add(1, Relaxed);
            }
        }
    }

    /// A request that is with the app learned from its body that its stream was refused: it is counted there.
    pub(super) fn stream_told(&self) {
        self.told_streams.fetch_add(1, Relaxed);
    }

    /// Did the parser of HTTP/2 refuse the connection?
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// Requests that never came out of the parser of HTTP/2.
    pub(super) fn unseen_requests(&self) -> u32 {
        self.refused_streams
            .load(Relaxed)
            .saturating_sub(self.told_streams.load(Relaxed))
    }

    /// The connection is to take no further requests once its task has been woken.
    pub(super) fn leaves(&self) {
        if !self.leaving.swap(true, Relaxed) {
            self.waker.wake();
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// HTTP may not begin yet.
    pub(super) fn greets(&self, now: u32) {
        self.enter(Phase::Greeting, now);
    }

    /// Nothing is being asked (the greeting is over, the preface of HTTP/2 has been read).
    pub(super) fn idles(&self, now: u32) {
        self.enter(Phase::Idle, now);
    }

    pub(super) fn parts(&self, now: u32) {
        self.write_moves();
        self.enter(Phase::Parting, now);
    }

    /// Leaves an order and wakes the connection's task. A first order stands, unless the end is harder.
    pub(super) fn order(&self, order: Order) {
        self.note(order);
        self.waker.wake();
    }

    /// Leaves an order for the end of this very poll of the connection's task.
    pub(super) fn note(&self, order: Order) {
        if matches!(self.order.load(Relaxed), NO_ORDER | REST) || order == Order::Cut {
            self.order.store(order as u8, Relaxed);
        }
    }

    /// The order, unless what it was given for has passed meanwhile (the head came to its end in the same poll).
    pub(super) fn take_order(&self) -> Option<Order> {
        let order = self.order.load(Relaxed);
        if order == NO_ORDER {
            return None;
        }
        self.order.store(NO_ORDER, Relaxed);
        let order = ORDERS[usize::from(order)];
        let stands = match order {
            Order::Rest => self.could_rest(),
            Order::IdleTimeout => self.phase() == Phase::Idle,
            Order::Evicted => matches!(self.phase(), Phase::Idle | Phase::Greeting | Phase::Head),
            Order::GreetingTimeout => self.phase() == Phase::Greeting,
            Order::HeaderTimeout => self.phase() == Phase::Head,
            Order::WriteTimeout => self.stalled_since().is_some() || self.held_since().is_some(),
            Order::Close | Order::PartingTimeout | Order::TargetTooLong | Order::Flooded | Order::Cut => true,
        };
        stands.then_some(order)
    }

    pub(super) fn wake_with(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    fn enter(&self, phase: Phase, now: u32) {
        self.phase.store(phase as u8, Relaxed);
        self.since.store(now, Relaxed);
    }
}
