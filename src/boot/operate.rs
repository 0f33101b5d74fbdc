//! What operators order over the admin listener: reload, samples, enrolment; and the figures that they look at.

use super::{
    Core,
    trial::{Bad, CannotTry, Content, TrialError, Wish},
};
use crate::{
    admin::{Enrolled, EnrolmentWish, Reloaded, SampleWish, Sampled},
    config::settings::SourceSettings,
    event::{DestinationName, SourceName, Timestamp},
    source::{Outcome, Progress, Source},
    telemetry::{Entropy, Level, entropy},
    upstream::DestinationSpec,
};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, time::Duration};

/// A reload that takes longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(8);

/// The last reload.
#[derive(Clone, Debug)]
pub(super) struct ReloadReport {
    pub at: Timestamp,
    /// The keys that wait for a restart, or what was wrong.
    pub result: Result<Vec<&'static str>, Unfit>,
}

/// What was wrong with what a reload read.
#[derive(Clone, Debug)]
pub(super) enum Unfit {
    /// The configuration: the old one stays in force.
    Configuration(String),
    /// Secrets of sources, which cannot be read: the old ones stay in force, and the rest is new.
    Secrets(String),
}

impl Unfit {
    /// What was wrong, in words.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Configuration(text) | Self::Secrets(text) => text,
        }
    }
}

pub(super) async fn reload(core: &Core) -> Reloaded {
    if core.reload.is_none() {
        return Reloaded::NotPossible;
    }
    let mut reports = core.reloads.subscribe();
    core.reload_asked.notify_one();
    let report = async {
        reports.changed().await.ok()?;
        reports.borrow_and_update().clone()
    };
    match tokio::time::timeout(PATIENCE, report).await {
        Ok(Some(ReloadReport { result: Ok(keys), .. })) => Reloaded::InForce {
            needs_restart: keys.into_iter().map(str::to_owned).collect(),
        },
        Ok(Some(ReloadReport { result: Err(unfit), .. })) => match unfit {
            Unfit::Configuration(text) => Reloaded::Failed(text),
            Unfit::Secrets(text) => Reloaded::InPart(text),
        },
        Ok(None) | Err(_) => Reloaded::Failed("nobody obeys: signals and files are not watched".to_owned()),
    }
}

pub(super) async fn send(core: &Core, name: &SourceName, wish: SampleWish) -> Sampled {
    let settings = core.settings.load_full();
    let Some(source) = settings.sources.iter().find(|source| source.name == *name) else {
        return Sampled::NoSource;
    };
    let bad = match wish.bad.as_deref() {
        None => None,
        Some(text) => match Bad::ALL.into_iter().find(|bad| bad.as_str() == text) {
            Some(bad) => Some(bad),
            None => return Sampled::Wrong("`bad` is signature, timestamp, replay or body".to_owned()),
        },
    };
    let wish = Wish {
        event: wish.event.filter(|event| !event.is_empty()),
        content: wish.data.map(|data| Content::of(data.into())),
        bad,
    };
    match core.try_source(source, wish).await {
        Ok(sent) => Sampled::Answered(sent.to_json()),
        Err(TrialError::Cannot(reason @ (CannotTry::NoSecret(_) | CannotTry::Impossible(_)))) => {
            Sampled::Impossible(reason.to_string())
        }
        Err(TrialError::Post(error)) => Sampled::Unanswered(error.to_string()),
    }
}

pub(super) fn enroll(core: &Core, source: Option<&Source>, wish: EnrolmentWish) -> Enrolled {
    let Some(source) = source else {
        return Enrolled::NoSource;
    };
    let (enrolments, now) = (&core.shared.enrolments, core.shared.observers.clock.monotonic());
    match wish {
        EnrolmentWish::Open(_) if !source.provider.enrols() => Enrolled::Refused(format!(
            "provider `{}` hands out no secret in a handshake",
            source.provider_name
        )),
        EnrolmentWish::Open(span) => {
            let ticket = HEXLOWER.encode(&entropy(Entropy::bytes::<16>));
            match enrolments.open(&source.name, ticket.clone(), span, now) {
                Ok(()) => {
                    core.say(Level::Warn, "an enrolment window is open", source);
                    Enrolled::Answered(json!({
                        "source": source.name.as_str(), "state": "open", "ticket": ticket, "seconds_left": span.as_secs(),
                    }))
                }
                Err(left) => Enrolled::Refused(format!("a window is open already, for {} s more", left.as_secs())),
            }
        }
        EnrolmentWish::Ask { ticket, close } => match enrolments.ask(&source.name, &ticket, close, now) {
            Some(progress) => Enrolled::Answered(told(core, source, progress)),
            None => Enrolled::Unknown,
        },
    }
}

fn told(core: &Core, source: &Source, progress: Progress) -> Value {
    let name = source.name.as_str();
    match progress {
        Progress::Open { left, client } => json!({
            "source": name, "state": "open", "seconds_left": left.as_secs() + 1, "arrived_from": client,
        }),
        Progress::Void => {
            core.say(Level::Warn, "an enrolment is void: two handshakes came", source);
            json!({ "source": name, "state": "void" })
        }
        Progress::Nothing => json!({ "source": name, "state": "nothing" }),
        Progress::Enrolled { secret, client } => {
            core.say(Level::Warn, "an enrolled secret was handed to the operator", source);
            json!({
                "source": name,
                "state": "enrolled",
                "secret": String::from_utf8_lossy(secret.expose()),
                "fingerprint": HEXLOWER.encode(&Sha256::digest(secret.expose())[..8]),
                "arrived_from": client,
            })
        }
    }
}

impl Core {
    fn say(&self, level: Level, text: &str, source: &Source) {
        let log = &self.shared.observers.log;
        log.message(level, text, &[("source", &source.name)]);
    }
}

/// What the page shows of a source beside its configuration.
pub(super) fn figures(source: &Source, settings: Option<&SourceSettings>) -> Map<String, Value> {
    let outcomes = Outcome::LABELS.iter().zip(source.meters.requests());
    let outcomes: Map<String, Value> = outcomes
        .filter(|(_, count)| *count > 0)
        .map(|(label, count)| ((*label).to_owned(), count.into()))
        .collect();
    let labels = settings.map(|settings| settings.secrets.iter().map(|secret| secret.label.clone()).collect());
    let labels: Vec<String> = labels.unwrap_or_default();
    let used: Vec<Value> = labels
        .iter()
        .zip(source.meters.secrets_used())
        .map(|(label, count)| json!({ "secret": label, "used": count }))
        .collect();
    let paths = settings.map(|settings| settings.paths.iter().map(shown).collect::<Vec<_>>());
    let last = source.meters.last_delivered().map(stamp);
    let events: Vec<&str> = source.provider.sample_events().collect();
    let rows = [
        ("paths", json!(paths)),
        ("requests", Value::Object(outcomes)),
        ("last_delivered", json!(last)),
        ("secrets_used", json!(used)),
        ("samples", json!(events)),
        ("enrols", json!(source.provider.enrols())),
    ];
    rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn shown(path: &crate::event::PathRule) -> String {
    match path {
        crate::event::PathRule::Exact(path) => path.clone(),
        crate::event::PathRule::Below(prefix) => format!("{prefix}*"),
    }
}

/// One destination, put together from all sources that deliver to it.
struct Row<'a> {
    spec: &'a DestinationSpec,
    sources: Vec<Value>,
    results: Map<String, Value>,
    times: (Option<Duration>, Option<Duration>),
}

/// Every destination with what was counted of it, over all sources.
pub(super) fn destinations(core: &Core) -> Value {
    let live = core.shared.live.load();
    let mut found: BTreeMap<&DestinationName, Row<'_>> = BTreeMap::new();
    for source in &live.sources {
        for (index, route) in source.routes.iter().enumerate() {
            let name = &route.destination.name;
            let row = found.entry(name).or_insert_with(|| Row {
                spec: &route.destination,
                sources: Vec::new(),
                results: Map::new(),
                times: (None, None),
            });
            row.sources
                .push(json!({ "source": source.name.as_str(), "required": route.required }));
            let figures = source.meters.destination(index);
            for (result, count) in &figures.results {
                let sum = row.results.entry(result.label()).or_insert(0.into());
                *sum = (sum.as_u64().unwrap_or(0) + count).into();
            }
            // One histogram stands for the destination, whatever the source.
            row.times = (figures.median, figures.slow);
        }
    }
    let unreachable = core.unreachable.load();
    let rows = found.into_iter().map(|(name, row)| {
        json!({
            "name": name.as_str(),
            "host": row.spec.url.host,
            "port": row.spec.url.port,
            "sources": row.sources,
            "results": row.results,
            "median_ms": row.times.0.map(|time| time.as_millis()),
            "p99_ms": row.times.1.map(|time| time.as_millis()),
            "unreachable": unreachable.contains(name),
        })
    });
    rows.collect()
}

/// What the page shows of the last reload.
pub(super) fn last_reload(core: &Core) -> Value {
    let report = core.reloads.borrow();
    report.as_ref().map_or(Value::Null, |report| {
        json!({
            "at": stamp(report.at),
            "error": report.result.as_ref().err().map(Unfit::text),
            "needs_restart": report.result.as_ref().ok(),
        })
    })
}

/// RFC 3339.
fn stamp(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_secs()).map_or_else(|_| String::new(), |at| at.to_string())
}
