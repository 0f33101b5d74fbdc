//! What the health and admin listeners see of a running sidecar.

use super::{Core, operate};
use crate::{
    admin::{Check, Control, Enrolled, EnrolmentWish, Forgotten, Reloaded, SampleWish, Sampled},
    event::{DeliveryKey, DestinationName, Glob, PathRule, SourceName},
    replay::{self, Recalled},
    source::Source,
    telemetry::{Exposition, LedgerOp, Level, Recent},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long a forgotten delivery waits for its redelivery.
const WINDOW: Duration = Duration::from_mins(10);

/// Answers for the running sidecar.
pub struct StatusControl {
    core: Arc<Core>,
    ledger: replay::Replay,
}

impl StatusControl {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let ledger = core.replays.worker();
        Self { core, ledger }
    }

    fn source(&self, name: &SourceName) -> Option<Arc<Source>> {
        let live = self.core.shared.live.load();
        live.sources.iter().find(|source| source.name == *name).cloned()
    }

    /// The ledger keys that a `Hookward-Delivery` value may stand for: the key itself, or the provider's id on each path.
    fn keys(&self, source: &Source, delivery: &str) -> Vec<DeliveryKey> {
        if let Some(key) = DeliveryKey::parse(delivery) {
            return vec![key];
        }
        let identities = source.provider.identities_of(delivery);
        let namespace = &self.core.shared.live.load().namespace;
        let settings = self.core.settings.load();
        let configured = settings
            .sources
            .iter()
            .find(|configured| configured.name == source.name);
        let paths = configured
            .map(|configured| configured.paths.as_slice())
            .unwrap_or_default();
        let keys = identities.iter().flat_map(|identity| {
            let on_path = |path: &PathRule| DeliveryKey::new(namespace, &source.name, path.key_path(), identity);
            paths.iter().map(on_path)
        });
        keys.collect()
    }
}

impl Control for StatusControl {
    fn liveness(&self) -> Vec<Check> {
        vec![Check::new("process", true, "")]
    }

    fn readiness(&self) -> Vec<Check> {
        let core = &self.core;
        let draining = core.shared.is_draining();
        let mut checks = self.startup();
        checks.push(Check::new("draining", !draining, if draining { "yes" } else { "no" }));
        let required = core.settings.load().ready_requires;
        if required.redis {
            let up = core.replays.up();
            checks.push(Check::new("redis", up, if up { "" } else { "does not answer" }));
        }
        if required.upstream {
            let unreachable = core.unreachable.load();
            let names: Vec<&str> = unreachable.iter().map(DestinationName::as_str).collect();
            checks.push(Check::new("upstream", names.is_empty(), names.join(", ")));
        }
        checks
    }

    fn startup(&self) -> Vec<Check> {
        // Both are done before this listener answers at all.
        vec![
            Check::new("config", true, "loaded"),
            Check::new("listener", true, "bound"),
        ]
    }

    fn metrics(&self, format: Exposition) -> String {
        let core = &self.core;
        let metrics = &core.shared.metrics;
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        metrics.in_flight.set(gauge(core.shared.in_flight.used()));
        metrics.connections.set(gauge(core.occupancy.connections() as u64));
        metrics.buffered_bytes.set(gauge(core.shared.buffered.used()));
        metrics.ledger_up.set(i64::from(core.replays.up()));
        let forgotten = core.replays.evicted();
        metrics
            .ledger_forgotten
            .inc_by(forgotten.saturating_sub(metrics.ledger_forgotten.get()));
        metrics.ledger_entries.set(gauge(core.replays.entries() as u64));
        metrics.render(format)
    }

    fn status(&self) -> Value {
        let core = &self.core;
        let settings = core.settings.load();
        let now = core.shared.observers.clock.monotonic();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": now.since(core.started).as_secs(),
            "draining": core.shared.is_draining(),
            "listen": core.webhooks,
            "log_level": core.shared.observers.log.level().as_str(),
            "reload": operate::last_reload(core),
            "workers": settings.limits.workers,
            "in_flight": core.shared.in_flight.used(),
            "connections": core.occupancy.connections(),
            "buffered_bytes": core.shared.buffered.used(),
            "ledger": {
                "kind": if settings.redis.is_some() { "redis" } else { "in_process" },
                "up": core.replays.up(),
                "entries": core.replays.entries(),
                "remembered": core.replays.remembered(),
                "forgotten": core.replays.evicted(),
                "clock_skew_ms": core.replays.skew_millis(),
            },
        })
    }

    fn sources(&self) -> Value {
        let live = self.core.shared.live.load();
        let settings = self.core.settings.load();
        let sources = live.sources.iter().map(|source| {
            let configured = settings
                .sources
                .iter()
                .find(|configured| configured.name == source.name);
            let mut object = json!({
                "name": source.name.as_str(),
                "provider": source.provider_name.as_str(),
                "ledger": source.replay.is_some(),
                "secrets": source.keys.count(),
                "unavailable": source.unavailable,
                "destinations": source.routes.iter().map(|route| json!({
                    "name": route.destination.name.as_str(),
                    "required": route.required,
                })).collect::<Vec<_>>(),
            });
            if let Some(object) = object.as_object_mut() {
                object.extend(operate::figures(source, configured));
            }
            object
        });
        sources.collect()
    }

    fn destinations(&self) -> Value {
        operate::destinations(&self.core)
    }

    fn recent(&self) -> &Recent {
        &self.core.shared.observers.recent
    }

    fn reload(&self) -> BoxFuture<'_, Reloaded> {
        Box::pin(operate::reload(&self.core))
    }

    fn set_log_level(&self, level: Level) {
        let log = &self.core.shared.observers.log;
        log.message(
            log.level().min(Level::Warn),
            "the log level changes",
            &[("to", &level.as_str())],
        );
        log.set_level(level);
    }

    fn send<'a>(&'a self, source: &'a SourceName, wish: SampleWish) -> BoxFuture<'a, Sampled> {
        Box::pin(operate::send(&self.core, source, wish))
    }

    fn enroll(&self, source: &SourceName, wish: EnrolmentWish) -> Enrolled {
        operate::enroll(&self.core, self.source(source).as_deref(), wish)
    }

    fn forget<'a>(&'a self, source: &'a SourceName, delivery: &'a str) -> BoxFuture<'a, Forgotten> {
        Box::pin(async move {
            let Some(source) = self.source(source) else {
                return Forgotten::NoSource;
            };
            if source.replay.is_none() {
                return Forgotten::NoLedger;
            }
            let clock = &self.core.shared.observers.clock;
            for key in self.keys(&source, delivery) {
                let asked = clock.monotonic();
                let forgotten = self.ledger.forget(&source.tag, &key, WINDOW).await;
                self.core
                    .shared
                    .metrics
                    .ledger(LedgerOp::Forget, clock.monotonic().since(asked));
                match forgotten {
                    Ok(replay::Forgotten::Deliverable) => {
                        self.core.shared.repeats.forget(&key);
                        return Forgotten::Deliverable;
                    }
                    Ok(replay::Forgotten::InFlight { .. }) => return Forgotten::InFlight,
                    Ok(replay::Forgotten::NotDelivered | replay::Forgotten::Unknown) => {}
                    Err(unavailable) => return Forgotten::Unavailable(unavailable.to_string()),
                }
            }
            Forgotten::Unknown
        })
    }

    fn forget_since<'a>(
        &'a self,
        source: &'a SourceName,
        within: Duration,
        event: Option<Glob>,
    ) -> BoxFuture<'a, Result<Recalled, Forgotten>> {
        Box::pin(async move {
            let source = self.source(source).ok_or(Forgotten::NoSource)?;
            if source.replay.is_none() {
                return Err(Forgotten::NoLedger);
            }
            let lately = replay::Lately {
                within,
                event,
                window: WINDOW,
            };
            let clock = &self.core.shared.observers.clock;
            let asked = clock.monotonic();
            let recalled = self.ledger.forget_since(&source.tag, &lately).await;
            self.core
                .shared
                .metrics
                .ledger(LedgerOp::Forget, clock.monotonic().since(asked));
            recalled.map_err(|unavailable| Forgotten::Unavailable(unavailable.to_string()))
        })
    }

    fn drain(&self) {
        // A preStop hook calls this before SIGTERM, while load balancers still send: unready, but serving. The listener
        // closes only once SIGTERM comes.
        self.core.become_unready();
    }
}
