//! What operators do to a running sidecar over the JSON API: reload, log level, a sample, an enrolment.

use super::{
    Control,
    answer::{self, Answer, Refusal},
};
use crate::{event::SourceName, telemetry::Level};
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::time::Duration;

/// The longest enrolment window.
const LONGEST_WINDOW: Duration = Duration::from_hours(1);

/// What is tried with a source: the body of `POST /api/v1/sources/NAME/send`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleWish {
    /// The event type; else the first sample that the source selects.
    pub event: Option<String>,
    /// `signature`, `timestamp`, `replay` or `body`: what is wrong with it on purpose.
    pub bad: Option<String>,
    /// A body of the operator's own, as text.
    pub data: Option<String>,
}

/// What became of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Sampled {
    /// It was answered: an object with outcome, status, and whether it was the expected one.
    Answered(Value),
    /// No source has this name.
    NoSource,
    /// Nothing was sent, and why.
    Impossible(String),
    /// The wish itself is wrong.
    Wrong(String),
    /// The sidecar did not answer itself.
    Unanswered(String),
}

/// What is asked of enrolment: the body of `POST /api/v1/sources/NAME/enroll`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrolmentWish {
    /// Open a window for so long.
    Open(Duration),
    /// How is the window of this ticket? Once it is over, the secret is handed out.
    Ask {
        /// What opening it gave.
        ticket: String,
        /// Close it now.
        close: bool,
    },
}

/// What enrolment says.
#[derive(Clone, Debug, PartialEq)]
pub enum Enrolled {
    /// An object with `state`.
    Answered(Value),
    /// No source has this name.
    NoSource,
    /// This provider hands out no secret, or a window is open already.
    Refused(String),
    /// No window has this ticket, or what it gave was handed out.
    Unknown,
}

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The new configuration is in force, but for the keys that wait for a restart.
    InForce {
        /// Keys that changed and need a restart.
        needs_restart: Vec<String>,
    },
    /// The old one stays, and why.
    Failed(String),
    /// The new one is in force, but for secrets that cannot be read: the old ones stay, and why.
    InPart(String),
    /// This sidecar has no file to read anew.
    NotPossible,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelWish {
    level: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolment {
    #[serde(rename = "for")]
    seconds: Option<u64>,
    ticket: Option<String>,
    #[serde(default)]
    close: bool,
}

fn parsed<T: DeserializeOwned>(body: &Bytes, shape: &str) -> Result<T, Refusal> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("the body must be {shape}: {error}")))
}

pub(super) async fn reload(control: &dyn Control) -> Result<Answer, Refusal> {
    match control.reload().await {
        Reloaded::InForce { needs_restart } => Ok(answer::json(
            StatusCode::OK,
            json!({ "reloaded": true, "needs_restart": needs_restart }),
        )),
        Reloaded::Failed(error) => Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the old configuration stays in force: {error}"),
        )),
        Reloaded::InPart(error) => Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the configuration is in force, but old secrets stay: {error}"),
        )),
        Reloaded::NotPossible => Err(Refusal::new(
            StatusCode::CONFLICT,
            "this sidecar was started without a file to read anew",
        )),
    }
}

pub(super) fn log_level(body: &Bytes, control: &dyn Control) -> Result<Answer, Refusal> {
    let wish: LevelWish = parsed(body, "{\"level\": \"debug\"}")?;
    let level: Level = wish
        .level
        .parse()
        .map_err(|error: String| Refusal::new(StatusCode::BAD_REQUEST, error))?;
    control.set_log_level(level);
    Ok(answer::json(StatusCode::OK, json!({ "level": level.as_str() })))
}

fn no_source() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no source has this name")
}

pub(super) async fn send(name: &str, body: &Bytes, control: &dyn Control) -> Result<Answer, Refusal> {
    let source = SourceName::parse(name).map_err(|_| no_source())?;
    let wish = parsed(body, "{\"event\": …, \"bad\": …, \"data\": …}, each optional")?;
    match control.send(&source, wish).await {
        Sampled::Answered(value) => Ok(answer::json(StatusCode::OK, value)),
        Sampled::NoSource => Err(no_source()),
        Sampled::Wrong(text) => Err(Refusal::new(StatusCode::BAD_REQUEST, text)),
        Sampled::Impossible(text) => Err(Refusal::new(StatusCode::CONFLICT, format!("nothing was sent: {text}"))),
        Sampled::Unanswered(text) => Err(Refusal::new(StatusCode::BAD_GATEWAY, text)),
    }
}

pub(super) fn enroll(name: &str, body: &Bytes, control: &dyn Control) -> Result<Answer, Refusal> {
    let source = SourceName::parse(name).map_err(|_| no_source())?;
    let wish: Enrolment = parsed(body, "{\"for\": SECONDS} or {\"ticket\": \"…\"}")?;
    let wish = match (wish.seconds, wish.ticket) {
        (Some(seconds), None) => {
            let span = Duration::from_secs(seconds);
            if span.is_zero() || span > LONGEST_WINDOW {
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "a window is open for 1 s to 1 h"));
            }
            EnrolmentWish::Open(span)
        }
        (None, Some(ticket)) => EnrolmentWish::Ask {
            ticket,
            close: wish.close,
        },
        _ => return Err(Refusal::new(StatusCode::BAD_REQUEST, "name either `for` or `ticket`")),
    };
    match control.enroll(&source, wish) {
        Enrolled::Answered(value) => Ok(answer::json(StatusCode::OK, value)),
        Enrolled::NoSource => Err(no_source()),
        Enrolled::Refused(text) => Err(Refusal::new(StatusCode::CONFLICT, text)),
        Enrolled::Unknown => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "no window has this ticket, or what came of it was told already",
        )),
    }
}
