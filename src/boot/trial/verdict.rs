//! What became of a trial: outcome, status and request id of each request, and whether that was meant to be.

use super::{Bad, post::Told};
use crate::{
    source::Outcome,
    telemetry::{Recent, Shelf},
};
use serde_json::{Value, json};

/// What became of a trial.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The source.
    pub source: String,
    /// The event that was sent.
    pub event: Option<String>,
    /// Was it a sample of the preset's own file?
    pub known_sample: bool,
    /// What was wrong with it on purpose.
    pub bad: Option<Bad>,
    /// Where it went, without its query, which may bear a credential.
    pub url: String,
    /// Bytes of its body.
    pub bytes: usize,
    /// Which outcomes were meant; any of them will do.
    pub expected: Vec<Outcome>,
    /// Was the last answer one of them?
    pub as_expected: bool,
    /// Why it was no wonder if it was refused: the provider would not send this.
    pub doubt: Option<String>,
    /// Each request; only a replay has two.
    pub tries: Vec<Try>,
}

/// One request of a trial.
#[derive(Clone, Debug)]
pub struct Try {
    /// What the answer said.
    pub told: Told,
    /// Its trace: what to look for in logs.
    pub trace_id: String,
    /// Its log line, where that could be had.
    pub line: Option<Value>,
}

impl Try {
    pub(super) fn new(told: Told, trace_id: &str) -> Self {
        let trace_id = trace_id.to_owned();
        let line = None;
        Self { told, trace_id, line }
    }

    /// Did it end so?
    pub fn is(&self, outcome: Outcome) -> bool {
        self.told.outcome.as_deref() == Some(outcome.label())
    }

    /// The sidecar's id of the request.
    pub fn request_id(&self) -> Option<&str> {
        let logged = self.logged("request_id").and_then(Value::as_str);
        self.told.request_id.as_deref().or(logged)
    }

    /// Why it ended so, for operators only.
    pub fn reason(&self) -> Option<&str> {
        self.logged("reason")?.as_str()
    }

    fn logged(&self, key: &str) -> Option<&Value> {
        self.line.as_ref()?.get(key)
    }

    fn to_json(&self) -> Value {
        json!({
            "outcome": self.told.outcome,
            "status": self.told.status,
            "request_id": self.request_id(),
            "trace_id": self.trace_id,
            "delivery": self.logged("delivery"),
            "reason": self.reason(),
            "duration_ms": millis(self.told.took),
            "destinations": self.logged("destinations"),
        })
    }
}

impl Sent {
    /// As `send -o json` and the API print it, less `schema_version`. The last request's facts stand on top.
    pub fn to_json(&self) -> Value {
        let expected: Vec<&str> = self.expected.iter().map(|outcome| outcome.label()).collect();
        let mut object = json!({
            "source": self.source,
            "event": self.event,
            "sample": if self.known_sample { "preset" } else { "made_up" },
            "bad": self.bad.map(Bad::as_str),
            "url": self.url,
            "bytes": self.bytes,
            "expected": expected,
            "as_expected": self.as_expected,
            "doubt": self.doubt,
        });
        let tries: Vec<Value> = self.tries.iter().map(Try::to_json).collect();
        if let (Some(object), Some(Value::Object(last))) = (object.as_object_mut(), tries.last()) {
            object.extend(last.clone());
            object.insert("requests".to_owned(), tries.into());
        }
        object
    }
}

fn millis(took: std::time::Duration) -> f64 {
    // Whole microseconds are enough, and read better.
    f64::from(u32::try_from(took.as_micros()).unwrap_or(u32::MAX)) / 1000.0
}

/// The log line of a trace, among the last requests.
pub(super) fn line_of(recent: &Recent, trace_id: &str) -> Option<Value> {
    let wanted = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["trace_id"] == trace_id).then_some(line)
    };
    [Shelf::Deliveries, Shelf::Refused].into_iter().find_map(|shelf| {
        let newest = recent.before(shelf, u64::MAX, 256);
        newest.iter().find_map(|kept| wanted(&kept.line))
    })
}
