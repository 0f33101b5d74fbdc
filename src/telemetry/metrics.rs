//! Every metric of hookward: registered once, labelled from the configuration only, counted through ready-made handles.

mod exposition;
mod figures;
mod histogram;
mod meters;

pub use exposition::Exposition;
pub use histogram::Histogram;
pub use meters::{DeliveryResult, SourceMeters};
pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use crate::event::{DestinationName, SourceName, Timestamp};
use histogram::{AGES, APPS, OURS};
use meters::DestinationMeters;
use prometheus_client::{
    encoding::{EncodeMetric, text},
    metrics::{TypedMetric, family::Family, info::Info},
    registry::Registry,
};
use std::{fmt::Debug, time::Duration};

/// All metrics of the process. They outlive reloads: a source that stays keeps its counts, and asking for the handles of
/// the same source again gives the same counters.
pub struct Metrics {
    registry: Registry,
    requests: Labelled<2, Counter>,
    request_duration: Labelled<1, Histogram>,
    added_duration: Labelled<1, Histogram>,
    deliveries: Labelled<3, Counter>,
    last_delivered: Labelled<1, Gauge>,
    upstream_duration: Labelled<1, Histogram>,
    secret_used: Labelled<2, Counter>,
    signature_age: Labelled<1, Histogram>,
    signature_future: Labelled<1, Counter>,
    events_unreadable: Labelled<1, Counter>,
    replies_too_large: Labelled<1, Counter>,
    tls_handshake_failures: Labelled<1, Counter>,
    ledger_duration: [Histogram; LedgerOp::ALL.len()],
    reload: [Counter; 2],
    reload_success: Gauge,
    reload_timestamp: Gauge,
    /// Requests between gate and answer.
    pub in_flight: Gauge,
    /// Open connections on the webhook port.
    pub connections: Gauge,
    /// Bytes of all bodies in memory.
    pub buffered_bytes: Gauge,
    /// 1 while the ledger answers, in process always; whoever supervises Redis sets it.
    pub ledger_up: Gauge,
    /// Records in the in-process ledger.
    pub ledger_entries: Gauge,
    /// Delivered records that a full in-process ledger forgot.
    pub ledger_forgotten: Counter,
    /// Log lines lost because nobody read them fast enough.
    pub log_dropped: Counter,
}

/// A question to the ledger (`op`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerOp {
    /// May this attempt deliver?
    Claim,
    /// What became of it.
    Settle,
    /// It takes longer.
    Renew,
    /// An operator lets redeliveries through.
    Forget,
}

impl LedgerOp {
    const ALL: [Self; 4] = [Self::Claim, Self::Settle, Self::Renew, Self::Forget];

    const fn label(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Settle => "settle",
            Self::Renew => "renew",
            Self::Forget => "forget",
        }
    }
}

impl Metrics {
    /// All families, registered; `version` is hookward's own.
    pub fn new(version: &str) -> Self {
        let mut r = Registry::with_prefix("hookward");
        r.register(
            "build",
            "The running build",
            Info::new([("version", version.to_owned())]),
        );
        let metrics = Self {
            requests: counters(&mut r, "requests", "Requests, each by its one outcome"),
            request_duration: durations(&mut r, "request_duration_seconds", REQUEST_HELP, || {
                Histogram::new(OURS)
            }),
            added_duration: durations(&mut r, "added_duration_seconds", ADDED_HELP, || Histogram::new(OURS)),
            deliveries: counters(&mut r, "deliveries", "Requests to destinations, by result"),
            last_delivered: Labelled::register(&mut r, "last_delivered_timestamp_seconds", LAST_HELP, Gauge::default),
            upstream_duration: durations(&mut r, "upstream_duration_seconds", UPSTREAM_HELP, || {
                Histogram::new(APPS)
            }),
            secret_used: counters(&mut r, "secret_used", "Verifications, by the secret that matched"),
            signature_age: durations(&mut r, "signature_age_seconds", AGE_HELP, || Histogram::new(AGES)),
            signature_future: counters(
                &mut r,
                "signature_future",
                "Authentic requests signed ahead of our clock",
            ),
            events_unreadable: counters(
                &mut r,
                "events_unreadable",
                "Authentic requests without a readable event",
            ),
            replies_too_large: counters(
                &mut r,
                "replies_too_large",
                "Answers of a destination that were too long to be handed through",
            ),
            tls_handshake_failures: counters(
                &mut r,
                "tls_handshake_failures",
                "TLS handshakes with senders that failed, by cause",
            ),
            ledger_duration: {
                let family = durations(&mut r, "ledger_duration_seconds", LEDGER_HELP, || Histogram::new(OURS));
                LedgerOp::ALL.map(|op| family.with([("op", op.label())]))
            },
            reload: {
                let family = counters(&mut r, "reload", "Attempts to load a changed configuration, by result");
                ["success", "failure"].map(|result| family.with([("result", result)]))
            },
            reload_success: one(
                &mut r,
                "config_reload_success",
                "1 if the last load of the configuration succeeded",
            ),
            reload_timestamp: one(
                &mut r,
                "config_reload_timestamp_seconds",
                "Unix time of the last successful load",
            ),
            in_flight: one(&mut r, "in_flight", "Requests between gate and answer"),
            connections: one(&mut r, "connections", "Open connections on the webhook port"),
            buffered_bytes: one(&mut r, "buffered_bytes", "Bytes of all request bodies in memory"),
            ledger_up: one(&mut r, "ledger_up", "1 while the replay ledger answers"),
            ledger_entries: one(
                &mut r,
                "ledger_entries",
                "Records in the in-process replay ledger; with Redis, what it does not know yet",
            ),
            ledger_forgotten: one(
                &mut r,
                "ledger_forgotten",
                "Delivered records that a full ledger forgot",
            ),
            log_dropped: one(
                &mut r,
                "log_dropped",
                "Log lines dropped because they were not read fast enough",
            ),
            registry: r,
        };
        metrics.ledger_up.set(1);
        metrics
    }

    /// The handles of a source, its series present from now on. `outcomes`, `secrets` (labels, newest first) and
    /// `destinations` are counted by their index in these lists.
    pub fn source(
        &self,
        name: &SourceName,
        outcomes: &[&'static str],
        secrets: &[String],
        destinations: &[DestinationName],
    ) -> SourceMeters {
        let secrets = secrets.iter().map(|secret| {
            self.secret_used
                .with([("source", name.as_str()), ("secret", secret.as_str())])
        });
        let destinations = destinations.iter().map(|destination| DestinationMeters {
            results: DeliveryResult::ALL.map(|result| {
                self.deliveries.with([
                    ("source", name.as_str()),
                    ("destination", destination.as_str()),
                    ("result", result.label()),
                ])
            }),
            duration: self.upstream_duration.with([("destination", destination.as_str())]),
            replies_too_large: self.replies_too_large.with([("destination", destination.as_str())]),
        });
        SourceMeters {
            secrets: secrets.collect(),
            destinations: destinations.collect(),
            ..self.meters(name.as_str(), outcomes)
        }
    }

    /// The handles for requests that belong to no source (`source=""`): unknown paths, and what the gate refused.
    pub fn no_source(&self, outcomes: &[&'static str]) -> SourceMeters {
        self.meters("", outcomes)
    }

    /// The handle for failed TLS handshakes of one cause.
    pub fn tls_handshake_failures(&self, cause: &'static str) -> Counter {
        self.tls_handshake_failures.with([("cause", cause)])
    }

    /// Counts how long the ledger took to answer.
    pub fn ledger(&self, op: LedgerOp, took: Duration) {
        self.ledger_duration[op as usize].observe(took);
    }

    /// Notes the configuration that the process started with.
    pub fn config_loaded(&self, at: Timestamp) {
        self.reload_success.set(1);
        self.reload_timestamp.set(at.as_secs());
    }

    /// Counts a reload that took effect.
    pub fn reload_succeeded(&self, at: Timestamp) {
        self.reload[0].inc();
        self.config_loaded(at);
    }

    /// Counts a reload that left the old configuration in force.
    pub fn reload_failed(&self) {
        self.reload[1].inc();
        self.reload_success.set(0);
    }

    /// All series as text.
    pub fn render(&self, format: Exposition) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        match format {
            Exposition::OpenMetrics => text,
            Exposition::Prometheus => exposition::to_prometheus(&text),
        }
    }

    fn meters(&self, source: &str, outcomes: &[&'static str]) -> SourceMeters {
        let outcomes = outcomes
            .iter()
            .map(|outcome| self.requests.with([("source", source), ("outcome", outcome)]));
        SourceMeters {
            requests: outcomes.collect(),
            request_duration: self.request_duration.with([("source", source)]),
            added_duration: self.added_duration.with([("source", source)]),
            last_delivered: self.last_delivered.with([("source", source)]),
            destinations: Box::default(),
            secrets: Box::default(),
            signature_age: self.signature_age.with([("source", source)]),
            signature_future: self.signature_future.with([("source", source)]),
            events_unreadable: self.events_unreadable.with([("source", source)]),
        }
    }
}

const REQUEST_HELP: &str = "Time from a request's head to its answer";
const ADDED_HELP: &str = "Time that hookward itself added to a request, the app's time taken off";
const UPSTREAM_HELP: &str = "Time that a destination took to answer";
const LEDGER_HELP: &str = "Time that the replay ledger took to answer";
const LAST_HELP: &str = "Unix time of the last completed delivery, 0 for none";
const AGE_HELP: &str = "Time from a request's signed timestamp to its arrival";

type Labels<const N: usize> = [(&'static str, String); N];

/// A family whose series begin with the first question for their handle.
struct Labelled<const N: usize, M>(Family<Labels<N>, M>);

impl<const N: usize, M> Labelled<N, M>
where
    M: EncodeMetric + TypedMetric + Clone + Debug + Send + Sync + 'static,
{
    /// `make` makes a new series. The encoder adds `_total` to the name of a counter by itself.
    fn register(registry: &mut Registry, name: &str, help: &str, make: fn() -> M) -> Self {
        let family = Family::new_with_constructor(make);
        registry.register(name, help, family.clone());
        Self(family)
    }

    fn with(&self, labels: [(&'static str, &str); N]) -> M {
        self.0
            .get_or_create_owned(&labels.map(|(name, value)| (name, value.to_owned())))
    }
}

fn counters<const N: usize>(r: &mut Registry, name: &str, help: &str) -> Labelled<N, Counter> {
    Labelled::register(r, name, help, Counter::default)
}

fn durations<const N: usize>(
    r: &mut Registry,
    name: &str,
    help: &str,
    make: fn() -> Histogram,
) -> Labelled<N, Histogram> {
    Labelled::register(r, name, help, make)
}

/// Registers a metric without labels.
fn one<M: EncodeMetric + Default + Clone + Debug + Send + Sync + 'static>(
    r: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    r.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests;
