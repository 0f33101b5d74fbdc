//! What is known of a request so far. It ends in exactly one counter and one log line, even if the sender hangs up.

use super::{Ending, Outcome, Source};
use crate::{
    event::{Clock, EventName, Monotonic, Timestamp},
    telemetry::{Handed, Log, Recent, RequestId, RequestRecord, SourceMeters, TraceParent},
};
use std::{fmt::Display, net::IpAddr, sync::Arc, time::Duration};

/// Collects what the stages learn; consumed by [`Trail::end`].
pub struct Trail {
    clock: Arc<dyn Clock>,
    log: Log,
    recent: Recent,
    // Meters of the source "": where a request ends before it has one.
    unknown: Arc<SourceMeters>,
    ended: bool,
    // Its delivery goes on without the sender.
    detached: bool,
    /// When the request head had arrived.
    pub arrived: Monotonic,
    /// The same on the wall clock: what signed times are compared with.
    pub arrived_wall: Timestamp,
    /// Ours, or the one of a trusted peer.
    pub request_id: RequestId,
    /// W3C trace context that is passed on.
    pub traceparent: TraceParent,
    /// Who sent it, over believed hops.
    pub client: IpAddr,
    /// The source that its path belongs to.
    pub source: Option<Arc<Source>>,
    /// The event, once verified.
    pub event: Option<EventName>,
    /// `Hookward-Delivery`, once it has one.
    pub delivery: Option<Arc<str>>,
    /// The claim's attempt.
    pub attempt: Option<u32>,
    /// Bytes of the body that were read.
    pub bytes: u64,
    /// Time that destinations took.
    pub upstream: Option<Duration>,
    /// How each destination that was waited for took it.
    pub handed: Vec<Handed>,
}

/// Whom a trail reports to.
#[derive(Clone)]
pub struct Observers {
    /// The process's clock.
    pub clock: Arc<dyn Clock>,
    /// The log.
    pub log: Log,
    /// The last requests.
    pub recent: Recent,
    /// Meters of the source "".
    pub unknown: Arc<SourceMeters>,
}

impl Trail {
    /// A request head has arrived.
    pub fn begin(observers: &Observers, client: IpAddr, request_id: RequestId, traceparent: TraceParent) -> Self {
        Self {
            arrived: observers.clock.monotonic(),
            arrived_wall: observers.clock.wall(),
            clock: observers.clock.clone(),
            log: observers.log.clone(),
            recent: observers.recent.clone(),
            unknown: observers.unknown.clone(),
            ended: false,
            detached: false,
            request_id,
            traceparent,
            client,
            source: None,
            event: None,
            delivery: None,
            attempt: None,
            bytes: 0,
            upstream: None,
            handed: Vec::new(),
        }
    }

    /// Time since the head arrived.
    pub fn elapsed(&self) -> Duration {
        self.clock.monotonic().since(self.arrived)
    }

    /// From now on it does not depend on the sender's connection.
    pub fn detach(&mut self) {
        self.detached = true;
    }

    /// Counts and logs how it ended.
    pub fn end(mut self, ending: &Ending) {
        let reason = (!ending.reason.is_empty()).then_some(&ending.reason);
        self.report(
            ending.outcome,
            ending.status.as_u16(),
            reason.map(|reason| reason as &dyn Display),
        );
    }

    fn report(&mut self, outcome: Outcome, status: u16, reason: Option<&dyn Display>) {
        self.ended = true;
        let took = self.elapsed();
        let meters = self.source.as_ref().map_or(&*self.unknown, |source| &source.meters);
        let added = took.saturating_sub(self.upstream.unwrap_or_default());
        meters.request(outcome as usize, took, added);
        let record = RequestRecord {
            at: self.clock.wall(),
            request_id: self.request_id.as_str(),
            trace_id: self.traceparent.trace_id(),
            source: self.source.as_ref().map_or("", |source| source.name.as_str()),
            event: self.event.as_ref().map(EventName::as_str),
            delivery: self.delivery.as_deref(),
            attempt: self.attempt,
            outcome: outcome.label(),
            reason,
            status,
            client: Some(self.client),
            bytes: self.bytes,
            duration: took,
            upstream: self.upstream,
            destinations: &self.handed,
        };
        self.log.request(&record, &self.recent, outcome.shelf());
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if !self.ended {
            if self.detached {
                // What answered the sender when the process ended (or panicked) under the delivery.
                let reason = "the process ended before the delivery did";
                return self.report(Outcome::Overloaded, 503, Some(&reason));
            }
            // The connection went away before there was an answer: nobody reads a status, but the request is counted.
            let reason = "the sender hung up before its request was complete";
            self.report(Outcome::Malformed, 400, Some(&reason));
        }
    }
}
