//! `hookward explain`: does a captured request verify, and if not why; offline, without limits and without the ledger.

mod capture;
mod json;
mod neighbours;
mod raw;
mod verdict;

use super::{
    ConfigArgs, Exit, Output, complain, load, moment,
    paint::{Level, Paint},
    read, say,
    subject::{NoSubject, Subject, is_on},
};
use crate::{
    config::Settings,
    event::{DeliveryKey, SystemClock, Timestamp},
};
use capture::{Capture, Unjudged};
use clap::Args;
use serde_json::json;
use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, BufRead, Read, Write},
    path::{Path, PathBuf},
};
use verdict::{Circumstances, Outcome, Verdict};

/// The largest capture: a body of 25 MiB, as GitHub sends them, takes a third more in base64.
const LONGEST: u64 = 256 << 20;

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The source, as the configuration names it; left out with `--request -`, where each line names its own.
    source: Option<String>,
    /// The captured request: raw HTTP/1.1 bytes, or JSON. `-` is stdin; without SOURCE one JSON request a line.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// When it arrived, Unix seconds; else the capture's own time, else now.
    #[arg(long, value_name = "UNIX", value_parser = moment::unix)]
    at: Option<Timestamp>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn explain(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let loaded = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    let settings = &loaded.settings;
    let clock = SystemClock::new();
    let circumstances = Circumstances {
        namespace: namespace(settings),
        at: args.at,
        clock: &clock,
        settings,
    };
    if args.source.is_none() && args.request.as_os_str() == "-" {
        return lines(settings, &circumstances);
    }
    let bytes = match read(&args.request, LONGEST) {
        Ok(bytes) => bytes,
        Err(exit) => return Ok(exit),
    };
    let capture = capture::read(&bytes);
    let Some(name) = args.source.clone().or_else(|| named_by(settings, &capture)) else {
        complain("error: which source? The capture names none, and no source has its path: give SOURCE");
        return Ok(Exit::Usage);
    };
    let subject = match Subject::of(settings, &name) {
        Ok(subject) => subject,
        Err(none) => return Ok(none.complain()),
    };
    let verdict = match capture {
        Ok(capture) => verdict::judge(&subject, &capture, &circumstances),
        Err(Unjudged::Malformed(reason)) => Verdict::malformed(reason),
        Err(Unjudged::NoCapture(reason)) => {
            complain(&format!(
                "error: `{}` is no captured request: {reason}",
                args.request.display()
            ));
            return Ok(Exit::Usage);
        }
    };
    match args.output {
        Output::Json => say(&serde_json::to_string_pretty(&verdict.to_json())?)?,
        Output::Text => say(text(&name, &verdict).trim_end())?,
    }
    Ok(if verdict.verified { Exit::Fine } else { Exit::Finding })
}

/// What `explain` reads of a capture, and what it says of it at `at` (as JSON); `None`: it is no capture.
///
/// # Panics
/// Where the configuration has no such source.
#[cfg(fuzzing)]
pub fn explained(settings: &Settings, source: &str, bytes: &[u8], at: Timestamp) -> Option<Explained> {
    let subject = Subject::of(settings, source).expect("the configuration has it");
    let circumstances = Circumstances {
        namespace: namespace(settings),
        at: Some(at),
        clock: &SystemClock::new(),
        settings,
    };
    let (verdict, request) = match capture::read(bytes) {
        Ok(capture) => {
            let verdict = verdict::judge(&subject, &capture, &circumstances);
            (verdict, Some((capture.head, capture.body, capture.seen_at)))
        }
        Err(Unjudged::Malformed(reason)) => (Verdict::malformed(reason), None),
        Err(Unjudged::NoCapture(_)) => return None,
    };
    Some(Explained {
        request,
        text: text(source, &verdict),
        json: verdict.to_json(),
    })
}

/// A capture explained.
#[cfg(fuzzing)]
pub struct Explained {
    /// Head, body, and where the provider saw it, if that stands in the capture; `None`: HTTP does not allow it.
    pub request: Option<(http::request::Parts, crate::event::Frames, Option<String>)>,
    /// As it is printed for people.
    pub text: String,
    /// As it is printed for programs.
    pub json: serde_json::Value,
}

/// The ledger keys of a captured request: of the repeat that it may be, then of its first delivery. A request that does not
/// verify has none.
pub(super) fn keys_of(settings: &Settings, source: &str, file: &Path) -> Result<Vec<DeliveryKey>, Exit> {
    let no = |reason: &str| {
        complain(&format!("error: {reason}"));
        Err(Exit::Finding)
    };
    let bytes = read(file, LONGEST)?;
    let subject = Subject::of(settings, source).map_err(|none| none.complain())?;
    let capture = match capture::read(&bytes) {
        Ok(capture) => capture,
        Err(Unjudged::Malformed(reason)) => return no(&reason),
        Err(Unjudged::NoCapture(reason)) => {
            complain(&format!("error: `{}` is no captured request: {reason}", file.display()));
            return Err(Exit::Usage);
        }
    };
    let circumstances = Circumstances {
        namespace: namespace(settings),
        at: None,
        clock: &SystemClock::new(),
        settings,
    };
    let verdict = verdict::judge(&subject, &capture, &circumstances);
    if !verdict.verified {
        return no(&format!("the request does not verify: {}", verdict.reason));
    }
    if verdict.keys.is_empty() {
        return no("each such request is a delivery of its own: there is nothing to forget");
    }
    Ok(verdict.keys)
}

fn namespace(settings: &Settings) -> &str {
    settings.redis.as_ref().map_or("", |redis| redis.namespace.as_str())
}

/// Every line of stdin a request, every line of stdout its answer, as soon as it is known.
fn lines(settings: &Settings, circumstances: &Circumstances<'_>) -> anyhow::Result<Exit> {
    let mut subjects = HashMap::new();
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut exit = Exit::Fine;
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(exit);
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = match judged(settings, &mut subjects, &line, circumstances) {
            Ok(verdict) => verdict.to_json(),
            Err(reason) => {
                exit = Exit::Finding;
                json!({"schema_version": 1, "error": reason})
            }
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
}

fn judged<'a>(
    settings: &'a Settings,
    subjects: &mut HashMap<String, Result<Subject<'a>, NoSubject>>,
    line: &[u8],
    circumstances: &Circumstances<'_>,
) -> Result<Verdict, String> {
    let (name, capture) = match json::read(line) {
        Ok(capture) => (capture.source.clone(), Ok(capture)),
        Err((name, Unjudged::Malformed(reason))) => (name, Err(reason)),
        Err((_, Unjudged::NoCapture(reason))) => return Err(reason),
    };
    let name = name.ok_or("the request names no `source`")?;
    let subject = subjects
        .entry(name)
        .or_insert_with_key(|name| Subject::of(settings, name))
        .as_ref()
        .map_err(ToString::to_string)?;
    Ok(match capture {
        Ok(capture) => verdict::judge(subject, &capture, circumstances),
        Err(reason) => Verdict::malformed(reason),
    })
}

/// The source that a capture is of, by its own word or by its path.
fn named_by(settings: &Settings, capture: &Result<Capture, Unjudged>) -> Option<String> {
    let capture = capture.as_ref().ok()?;
    let by_path = || {
        let path = capture.head.uri.path();
        let found = settings
            .sources
            .iter()
            .find(|source| source.paths.iter().any(|rule| is_on(rule, path)));
        found.map(|source| source.name.to_string())
    };
    capture.source.clone().or_else(by_path)
}

fn text(source: &str, verdict: &Verdict) -> String {
    let paint = Paint::of_stdout();
    let level = if verdict.verified { Level::Ok } else { Level::Problem };
    let outcome = verdict.outcome.label();
    let mut text = format!(
        "{} {}  {source}: {}\n",
        paint.sign(level),
        paint.bold(outcome),
        verdict.reason
    );
    let mut fact = |name: &str, value: &str| {
        writeln!(text, "    {name:9} {value}").expect("writing to a String cannot fail");
    };
    if let Some(judged) = &verdict.judged_at {
        fact("judged at", judged);
    }
    if let Some(event) = &verdict.event {
        fact("event", event);
    }
    if let Some(delivery) = &verdict.delivery {
        fact("delivery", delivery);
    }
    let sign = paint.sign(if verdict.outcome == Outcome::Verified {
        Level::Info
    } else {
        Level::Warning
    });
    for sentence in &verdict.diagnosis {
        writeln!(text, "  {sign} {sentence}").expect("writing to a String cannot fail");
    }
    text
}
