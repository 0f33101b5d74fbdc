//! Two lines an event: what arrived, and what became of it and why.

use super::{apps::Seen, feed::Record, sender::Call};
use crate::{
    config::{Environment, Machine},
    event::Clock,
};
use jiff::tz::TimeZone;
use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
};

/// Prints the lines; in colour only where a person looks at them.
pub(super) struct Show {
    colour: bool,
    clock: Arc<dyn Clock>,
}

/// How something is emphasised on a terminal (SGR parameters of ECMA-48).
#[derive(Clone, Copy)]
enum Paint {
    Faint = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
}

impl Show {
    /// On standard output, coloured if it is a terminal and `NO_COLOR` is not set.
    pub(super) fn on_stdout(clock: Arc<dyn Clock>) -> Self {
        let wanted = Machine.variable("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colour: wanted && io::stdout().is_terminal(),
            clock,
        }
    }

    /// What is where, and how to read what follows.
    pub(super) fn banner(&self, text: &str) -> io::Result<()> {
        print(text)?;
        print(&format!(
            "  {} a webhook arrives   {} an app answered   {} hookward answered, no app was asked   {} not accepted",
            "-->",
            self.paint(Paint::Green, "<--"),
            self.paint(Paint::Blue, "<=="),
            self.paint(Paint::Yellow, "x--"),
        ))
    }

    /// What the next events are about.
    pub(super) fn heading(&self, text: &str) -> io::Result<()> {
        print(&format!("\n{}", self.paint(Paint::Faint, text)))
    }

    /// The first line of an event of the trial.
    pub(super) fn arrives(&self, call: &Call, note: &str) -> io::Result<()> {
        self.first(&call.source, call.event, call.id, call.body.len() as u64, note)
    }

    /// The second line of an event of the trial; `complaint` says what should have been.
    pub(super) fn answered(&self, record: &Record, seen: &[Seen], complaint: Option<&str>) -> io::Result<()> {
        let complaint = complaint.map(|text| self.paint(Paint::Red, &format!("  NOT AS EXPECTED: {text}")));
        self.second(record, seen, &complaint.unwrap_or_default())
    }

    /// Both lines of an event that somebody else sent.
    pub(super) fn stranger(&self, record: &Record, seen: &[Seen]) -> io::Result<()> {
        let source = if record.source.is_empty() { "-" } else { &record.source };
        let (event, delivery) = (record.event.as_deref(), record.delivery.as_deref());
        self.first(source, event.unwrap_or("-"), delivery.unwrap_or("-"), record.bytes, "")?;
        self.second(record, seen, "")
    }

    /// Something that is not about one event.
    pub(super) fn message(&self, level: &str, text: &str) -> io::Result<()> {
        let level = match level {
            "error" => self.paint(Paint::Red, level),
            "warn" => self.paint(Paint::Yellow, level),
            _ => level.to_owned(),
        };
        print(&format!("{}  {level}: {}", self.time(), printable(text)))
    }

    /// The verdict.
    pub(super) fn verdict(&self, text: &str, good: bool) -> io::Result<()> {
        let paint = if good { Paint::Green } else { Paint::Red };
        print(&format!("\n{}", self.paint(paint, text)))
    }

    fn first(&self, source: &str, event: &str, id: &str, bytes: u64, note: &str) -> io::Result<()> {
        let event = short(&printable(event), 24);
        let id = short(&printable(id), 13);
        let line = format!("--> {source:<19}  {event:<24}  {id:<13} {:>9}  {note}", size(bytes));
        print(&format!("{}  {}", self.time(), line.trim_end()))
    }

    fn second(&self, record: &Record, seen: &[Seen], complaint: &str) -> io::Result<()> {
        let (arrow, paint) = match record.status {
            200..=299 if seen.is_empty() => ("<==", Paint::Blue),
            200..=299 => ("<--", Paint::Green),
            500.. => ("x--", Paint::Red),
            _ => ("x--", Paint::Yellow),
        };
        let what = format!("{arrow} {:<19}", format!("{} {}", record.status, record.outcome));
        let line = format!(
            "{}  {}  {:<24}  {}{complaint}",
            self.time(),
            self.paint(paint, &what),
            whereto(record, seen),
            printable(&reason(record, seen)),
        );
        print(&line)
    }

    /// The local time of day.
    fn time(&self) -> String {
        let now = jiff::Timestamp::from_millisecond(self.clock.wall().as_millis()).unwrap_or_default();
        let now = now.to_zoned_datetime(TimeZone::system());
        self.paint(Paint::Faint, &now.strftime("%H:%M:%S").to_string())
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.colour {
            format!("\x1b[{}m{text}\x1b[0m", paint as u8)
        } else {
            text.to_owned()
        }
    }
}

fn print(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Which apps were asked, and how long the slowest took.
fn whereto(record: &Record, seen: &[Seen]) -> String {
    let mut apps: Vec<&str> = seen.iter().map(|seen| seen.app).collect();
    apps.sort_unstable();
    match record.upstream {
        Some(took) if !apps.is_empty() => format!("{} {took:.1} ms", apps.join(", ")),
        _ => apps.join(", "),
    }
}

/// Why it ended so, in words that do not presuppose the documentation.
fn reason(record: &Record, seen: &[Seen]) -> String {
    let given = record.reason.as_deref().unwrap_or_default();
    match &*record.outcome {
        "delivered" => match seen.first() {
            // Without a ledger nobody can say whether it is new.
            Some(seen) if seen.verified != "signature" => format!("{} verified", seen.verified),
            Some(seen) if seen.attempt == "1" => format!("{} verified, new", seen.verified),
            Some(seen) => format!("{} verified, attempt {}", seen.verified, seen.attempt),
            None => "the first attempt's answer".to_owned(),
        },
        "duplicate" => "delivered before, not forwarded again".to_owned(),
        "replayed" => "a copy: delivered before under this very signature".to_owned(),
        "filtered" => "authentic, but no app asked for this event".to_owned(),
        _ => given.to_owned(),
    }
}

/// `412 B`, `4.1 KiB`.
fn size(bytes: u64) -> String {
    let mut units = [(1_u64 << 20, "MiB"), (1 << 10, "KiB")].into_iter();
    match units.find(|(unit, _)| bytes >= *unit) {
        // In tenths, rounded down: 4.1 KiB are at least 4.1 KiB.
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

/// At most `most` characters, the last one `…` if there were more.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Nothing that a sender wrote may steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(
            [0, 1023, 1024, 4250, 3 << 20].map(size),
            ["0 B", "1023 B", "1.0 KiB", "4.1 KiB", "3.0 MiB"]
        );
    }

    #[test]
    fn text_is_cut_and_cannot_steer_the_terminal() {
        assert_eq!((&*short("evt_1", 5), &*short("évt_12", 5)), ("evt_1", "évt_…"));
        assert_eq!(printable("a\x1b[2Jb\nc"), "a?[2Jb?c");
    }
}
