//! Failed TLS handshakes: counted by cause, and summed up for operators in one line a minute.

use crate::{
    event::{Clock, Monotonic},
    server::{HandshakeFault, Unwelcome},
    telemetry::{Level, Log, Metrics, metrics::Counter},
};
use std::{fmt, time::Duration};

/// One line in so long at most: scanners fail handshakes all day.
const SUMMARY_INTERVAL: Duration = Duration::from_mins(1);
/// How often the counters are compared.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The counters of failed handshakes, by cause.
pub(super) struct TlsFailures([Counter; HandshakeFault::ALL.len()]);

impl TlsFailures {
    /// All causes, with no failure yet.
    pub fn new(metrics: &Metrics) -> Self {
        Self(HandshakeFault::LABELS.map(|cause| metrics.tls_handshake_failures(cause)))
    }

    /// Counts what ended a connection, if that was its handshake.
    pub fn count(&self, why: &Unwelcome) {
        if let Some(fault) = why.handshake_fault() {
            self.0[fault as usize].inc();
        }
    }

    /// Logs a summary where handshakes failed since the last one, for as long as it is polled.
    pub async fn report(&self, clock: &dyn Clock, log: &Log) {
        let mut said = self.counts();
        let mut last: Option<Monotonic> = None;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let (now, counts) = (clock.monotonic(), self.counts());
            if counts == said || last.is_some_and(|last| now.since(last) < SUMMARY_INTERVAL) {
                continue;
            }
            let new: Vec<(&str, u64)> = HandshakeFault::LABELS
                .into_iter()
                .zip(counts.iter().zip(&said).map(|(count, before)| count - before))
                .filter(|(_, count)| *count > 0)
                .collect();
            let fields: Vec<(&str, &dyn fmt::Display)> = new
                .iter()
                .map(|(cause, count)| (*cause, count as &dyn fmt::Display))
                .collect();
            log.message(Level::Warn, "TLS handshakes failed", &fields);
            (said, last) = (counts, Some(now));
        }
    }

    fn counts(&self) -> [u64; HandshakeFault::ALL.len()] {
        self.0.each_ref().map(Counter::get)
    }
}
