//! The counters of one source, ready-made: counting a request is a handful of atomic additions.

use super::{Counter, Gauge, Histogram};
use crate::event::Timestamp;
use std::time::Duration;

/// The handles of one source. Cheap to use from every worker: no label is built and nothing is looked up.
#[derive(Clone, Debug)]
pub struct SourceMeters {
    pub(super) requests: Box<[Counter]>,
    pub(super) request_duration: Histogram,
    pub(super) added_duration: Histogram,
    pub(super) last_delivered: Gauge,
    pub(super) destinations: Box<[DestinationMeters]>,
    pub(super) secrets: Box<[Counter]>,
    pub(super) signature_age: Histogram,
    pub(super) signature_future: Counter,
    pub(super) events_unreadable: Counter,
}

#[derive(Clone, Debug)]
pub(super) struct DestinationMeters {
    pub(super) results: [Counter; DeliveryResult::ALL.len()],
    pub(super) duration: Histogram,
    pub(super) replies_too_large: Counter,
}

/// How one request to one destination ended (`result`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// It answered 2xx.
    Delivered,
    /// It answered anything else.
    Failed,
    /// It did not answer in time.
    Timeout,
    /// It could not be reached.
    Unreachable,
}

impl DeliveryResult {
    pub(super) const ALL: [Self; 4] = [Self::Delivered, Self::Failed, Self::Timeout, Self::Unreachable];

    /// The label `result`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
        }
    }
}

impl SourceMeters {
    /// Counts a request that ended: its outcome's index, the time from head to answer, and the part of it that was ours.
    pub fn request(&self, outcome: usize, took: Duration, added: Duration) {
        self.requests[outcome].inc();
        self.request_duration.observe(took);
        self.added_duration.observe(added);
    }

    /// Counts a request to the destination of this index; `took` is absent where nothing was sent.
    pub fn delivery(&self, destination: usize, result: DeliveryResult, took: Option<Duration>) {
        let meters = &self.destinations[destination];
        meters.results[result as usize].inc();
        if let Some(took) = took {
            meters.duration.observe(took);
        }
    }

    /// Notes that a delivery was completed.
    pub fn delivered(&self, at: Timestamp) {
        self.last_delivered.set(at.as_secs());
    }

    /// Counts the secret (index, newest first) that verified a request.
    pub fn secret_used(&self, secret: usize) {
        self.secrets[secret].inc();
    }

    /// Counts how old a signature was at arrival, in milliseconds; negative: signed in the future.
    pub fn signature_age(&self, millis: i64) {
        if millis < 0 {
            self.signature_future.inc();
        }
        self.signature_age
            .observe(Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
    }

    /// Counts an authentic request whose event could not be read.
    pub fn event_unreadable(&self) {
        self.events_unreadable.inc();
    }

    /// Counts an answer of the destination of this index that was too long to be handed through.
    pub fn reply_too_large(&self, destination: usize) {
        self.destinations[destination].replies_too_large.inc();
    }
}
