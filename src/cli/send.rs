//! `hookward send`: a signed sample event to a running sidecar, and what became of it.

use super::{
    ConfigArgs, Exit, Output, complain, load, local, operate,
    paint::{Level, Paint, harmless},
    read, say,
    subject::Subject,
};
use crate::{
    boot::trial::{Address, Bad, CannotTry, Content, PostError, Sent, Trial, Try, Wish},
    config::Settings,
    event::{Clock, SystemClock},
};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};

/// No webhook is larger, and a body is held in memory.
const LONGEST: u64 = 256 << 20;

#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 as intended (a --bad one that was refused, too), 1 another outcome, 69 nobody listens."
)]
pub(super) struct SendArgs {
    /// The source, as the configuration names it.
    source: String,
    /// The event type; else the first sample of the provider that the source selects.
    event: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Send there instead of to the sidecar of the configuration; without a path, to the source's own one.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// A body of your own, byte for byte; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Make it wrong on purpose: it is meant to be refused then.
    #[arg(long, value_enum)]
    bad: Option<Wrong>,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wrong {
    /// One character of the signature, token or password is another one.
    Signature,
    /// Signed so long ago that it is stale.
    Timestamp,
    /// The same request twice.
    Replay,
    /// The body was changed after it was signed.
    Body,
}

impl From<Wrong> for Bad {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Signature => Self::Signature,
            Wrong::Timestamp => Self::Timestamp,
            Wrong::Replay => Self::Replay,
            Wrong::Body => Self::Body,
        }
    }
}

pub(super) fn send(args: &SendArgs) -> anyhow::Result<Exit> {
    let loaded = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    let settings = &loaded.settings;
    // Finds the source, or says which ones there are.
    let source = match Subject::of(settings, &args.source) {
        Ok(subject) => subject.settings,
        Err(none) => return Ok(none.complain()),
    };
    let content = match &args.data {
        Some(path) => match read(path, LONGEST) {
            Ok(body) => Some(Content::of(body.into())),
            Err(exit) => return Ok(exit),
        },
        None => None,
    };
    let wish = Wish {
        event: args.event.clone(),
        content,
        bad: args.bad.map(Bad::from),
    };
    let clock = SystemClock::new();
    let trial = match Trial::prepare(settings, source, wish, clock.wall()) {
        Ok(trial) => trial,
        Err(reason) => {
            complain(&format!("error: nothing was sent to `{}`: {reason}", args.source));
            return Ok(match reason {
                CannotTry::NoSecret(_) => Exit::NoSecret,
                CannotTry::Impossible(_) => Exit::Finding,
            });
        }
    };
    let to = match address(&trial, settings, args.to.as_deref()) {
        Ok(to) => to,
        Err(error) => {
            complain(&format!("error: {error}"));
            return Ok(Exit::Usage);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sent = match runtime.block_on(trial.send(&to, Arc::new(clock))) {
        Ok(sent) => sent,
        Err(error) => {
            complain(&format!("error: {error}"));
            return Ok(match error {
                PostError::Unreachable { .. } | PostError::Timeout { .. } => Exit::Unavailable,
                PostError::Broken { .. } => Exit::Finding,
            });
        }
    };
    if args.to.is_none() {
        look_up(&args.config, &mut sent);
    }
    match args.output {
        Output::Text => say(&text(&sent))?,
        Output::Json => {
            let mut object = json!({"schema_version": 1});
            if let (Some(object), Value::Object(facts)) = (object.as_object_mut(), sent.to_json()) {
                object.extend(facts);
            }
            say(&serde_json::to_string_pretty(&object)?)?;
        }
    }
    Ok(if sent.as_expected { Exit::Fine } else { Exit::Finding })
}

fn address(trial: &Trial<'_>, settings: &Settings, to: Option<&str>) -> Result<Address, String> {
    match to {
        Some(url) => trial.address(url),
        None if settings.listen.address.port() == 0 => {
            Err("`listen` leaves the port to the system: say where the sidecar is with --to URL".to_owned())
        }
        None => Ok(trial.own_address(settings.listen.address)),
    }
}

/// Asks the sidecar's admin listener for the log lines; without one, less is known.
fn look_up(config: &ConfigArgs, sent: &mut Sent) {
    let Ok(door) = operate::door(config, None) else { return };
    for one in &mut sent.tries {
        one.line = line(&door, &one.trace_id);
    }
}

fn line(door: &local::Door, trace_id: &str) -> Option<Value> {
    let answer = door.get(&format!("/api/v1/deliveries?trace_id={trace_id}")).ok()?;
    let mut document: Value = serde_json::from_str(&answer.text).ok()?;
    let line = document.get_mut("deliveries")?.get_mut(0)?.take();
    line.is_object().then_some(line)
}

fn text(sent: &Sent) -> String {
    let paint = Paint::of_stdout();
    let what = match (sent.bad, sent.known_sample) {
        (Some(bad), _) => format!(", wrong on purpose: {}", bad.as_str()),
        (None, true) => ", a sample of its preset".to_owned(),
        (None, false) => String::new(),
    };
    let event = sent.event.as_deref().unwrap_or("a body of yours");
    let mut lines = vec![format!("sent      {} {event}, {} bytes{what}", sent.source, sent.bytes)];
    lines.push(format!("to        {}", sent.url));
    for one in &sent.tries {
        lines.push(answered(one));
    }
    let meant: Vec<&str> = sent.expected.iter().map(|outcome| outcome.label()).collect();
    let (sign, verdict) = if sent.as_expected {
        (Level::Ok, "as intended")
    } else {
        (Level::Problem, "not as intended")
    };
    lines.push(format!(
        "expected  {}: {} {verdict}",
        meant.join(" or "),
        paint.sign(sign)
    ));
    if let Some(doubt) = sent.doubt.as_ref().filter(|_| !sent.as_expected) {
        lines.push(format!("note      the provider itself would not send this: {doubt}"));
    }
    lines.join("\n")
}

fn answered(one: &Try) -> String {
    let outcome = one
        .told
        .outcome
        .as_deref()
        .unwrap_or("and no outcome: that was no hookward");
    let micros = one.told.took.as_micros();
    let name = match one.request_id() {
        Some(id) => format!("request {}", harmless(id)),
        None => format!("trace {}", one.trace_id),
    };
    let reason = one
        .reason()
        .map(|reason| format!("\nreason    {}", harmless(reason)))
        .unwrap_or_default();
    format!(
        "answered  {} {outcome} in {}.{:03} ms, {name}{reason}",
        one.told.status,
        micros / 1000,
        micros % 1000
    )
}
