//! The log: one line a request and messages for operators, formatted by whoever has something to say, written by one thread.

mod events;
mod line;
mod writer;

pub use events::Events;

use crate::event::{Clock, DestinationName, Timestamp};
use line::{Line, Scratch};
use std::{
    cell::RefCell,
    fmt,
    io::{self, IsTerminal},
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};
use writer::Writer;

use super::{
    metrics::{Counter, DeliveryResult},
    recent::{Recent, Shelf},
};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, message, then `key=value` of what is known.
    Text,
    /// One JSON object a line; unknown values are `null`.
    Json,
}

impl Format {
    /// Text if standard output is a terminal, JSON otherwise.
    pub fn for_stdout() -> Self {
        if io::stdout().is_terminal() {
            Self::Text
        } else {
            Self::Json
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is not a log format: text or json")),
        }
    }
}

/// How much a line matters; lines below the log's level are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something will not work, or works worse.
    Warn,
    /// What happened: one line a request, starts, reloads.
    Info,
    /// For whoever looks for a fault in a configuration.
    Debug,
    /// For whoever looks for a fault in hookward.
    Trace,
}

impl Level {
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The level as `--log-level` and the log spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|level| level.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not a log level: error, warn, info, debug or trace"))
    }
}

/// What is said of a request. Nothing here may be a body, a secret, a signature or a token.
pub struct RequestRecord<'a> {
    /// When its answer was ready.
    pub at: Timestamp,
    /// Its id.
    pub request_id: &'a str,
    /// Its trace.
    pub trace_id: &'a str,
    /// Its source; empty for an unknown path.
    pub source: &'a str,
    /// Its event type.
    pub event: Option<&'a str>,
    /// Its `Hookward-Delivery`.
    pub delivery: Option<&'a str>,
    /// Claims granted for its delivery, this one included.
    pub attempt: Option<u32>,
    /// Its outcome.
    pub outcome: &'a str,
    /// The exact cause, for operators only.
    pub reason: Option<&'a dyn fmt::Display>,
    /// The answer's status.
    pub status: u16,
    /// Who sent it.
    pub client: Option<IpAddr>,
    /// Bytes of its body that were read.
    pub bytes: u64,
    /// From its head to its answer.
    pub duration: Duration,
    /// How much of that the slowest destination took.
    pub upstream: Option<Duration>,
    /// How each destination that was waited for took it; kept in [`Recent`], not logged.
    pub destinations: &'a [Handed],
}

/// How one destination took a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Its name.
    pub name: DestinationName,
    /// What it came to.
    pub result: DeliveryResult,
    /// The status that it answered with.
    pub status: Option<u16>,
    /// From the first try to its answer.
    pub took: Duration,
}

impl RequestRecord<'_> {
    fn fill(&self, line: &mut Line<'_>) {
        line.text("request_id", self.request_id)
            .text("trace_id", self.trace_id)
            .text("source", self.source)
            .maybe_text("event", self.event)
            .maybe_text("delivery", self.delivery)
            .maybe("attempt", self.attempt)
            .text("outcome", self.outcome);
        match self.reason {
            Some(reason) => line.display("reason", reason),
            None => line.maybe_text("reason", None),
        };
        line.maybe("status", Some(self.status));
        match self.client {
            Some(client) => line.display("client", &client),
            None => line.maybe_text("client", None),
        };
        line.maybe("bytes", Some(self.bytes))
            .millis("duration_ms", Some(self.duration))
            .millis("upstream_ms", self.upstream);
    }

    fn fill_destinations(&self, line: &mut Line<'_>) {
        line.list("destinations", self.destinations, |line, handed| {
            line.text("result", handed.result.label())
                .maybe("status", handed.status)
                .millis("duration_ms", Some(handed.took))
                .text("name", handed.name.as_str());
        });
    }
}

/// The log. A clone is another handle; when the last one goes, what is buffered is written.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    format: Format,
    level: AtomicU8,
    clock: Arc<dyn Clock>,
    writer: Writer,
}

impl Log {
    /// Starts the writing thread. `dropped` counts the lines that `sink` did not take in time.
    pub fn start(
        format: Format,
        level: Level,
        sink: Box<dyn io::Write + Send>,
        clock: Arc<dyn Clock>,
        dropped: Counter,
    ) -> io::Result<Self> {
        let full = move |lost: u64, out: &mut Vec<u8>, at: Timestamp| {
            let text = "log lines were dropped: nobody reads them fast enough";
            scratch(|scratch| {
                scratch.line(format, at, Level::Warn, text).display("lines", &lost);
                out.extend_from_slice(scratch.finish(format));
            });
        };
        let writer = Writer::start(sink, dropped, clock.clone(), Box::new(full))?;
        Ok(Self(Arc::new(Inner {
            format,
            level: AtomicU8::new(level as u8),
            clock,
            writer,
        })))
    }

    /// Would a line of this level be written?
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 <= self.0.level.load(Relaxed)
    }

    /// The level from which on lines are written.
    pub fn level(&self) -> Level {
        Level::ALL[usize::from(self.0.level.load(Relaxed))]
    }

    /// Writes more or less from now on.
    pub fn set_level(&self, level: Level) {
        self.0.level.store(level as u8, Relaxed);
    }

    /// The line of a request that was answered, kept among the `recent` ones too. Never blocks: it is formatted into a
    /// buffer, once where the log is JSON.
    pub fn request(&self, record: &RequestRecord<'_>, recent: &Recent, on: Shelf) {
        scratch(|scratch| {
            let format = self.0.format;
            let written = self.enabled(Level::Info);
            if written {
                record.fill(&mut scratch.line(format, record.at, Level::Info, "request"));
                self.0.writer.append(scratch.finish(format));
            }
            if !written || format != Format::Json {
                record.fill(&mut scratch.line(Format::Json, record.at, Level::Info, "request"));
                scratch.finish(Format::Json);
            }
            record.fill_destinations(&mut scratch.reopened());
            // Without the line feed.
            let line = scratch.finish(Format::Json);
            recent.push(on, &line[..line.len() - 1]);
        });
    }

    /// A message for operators, with further fields. Never blocks.
    pub fn message(&self, level: Level, text: &str, fields: &[(&str, &dyn fmt::Display)]) {
        if self.enabled(level) {
            self.write(self.0.clock.wall(), level, text, |line| {
                for (key, value) in fields {
                    line.display(key, value);
                }
            });
        }
    }

    /// Waits until every line so far is written, but at most 2 s: nobody may be reading.
    pub fn flush(&self) {
        self.0.writer.flush(Duration::from_secs(2));
    }

    /// The log as what `tracing` events of this process go to: `tracing::subscriber::set_global_default(log.events())`.
    pub fn events(&self) -> Events {
        Events::new(self.clone())
    }

    fn write(&self, at: Timestamp, level: Level, message: &str, fields: impl FnOnce(&mut Line<'_>)) {
        scratch(|scratch| {
            fields(&mut scratch.line(self.0.format, at, level, message));
            self.0.writer.append(scratch.finish(self.0.format));
        });
    }
}

/// Lends the calling thread's own buffer: formatting needs no allocation and holds no lock.
fn scratch(f: impl FnOnce(&mut Scratch)) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    // Taken out for the time of the call: a value whose `Display` logs by itself gets a fresh buffer, not a panic.
    SCRATCH.with(|cell| {
        let mut scratch = cell.take();
        f(&mut scratch);
        cell.replace(scratch);
    });
}

#[cfg(test)]
mod tests;
