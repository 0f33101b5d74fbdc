//! One line of the log: JSON or text, every value bounded and unable to break out of its place.

use super::{Format, Level};
use crate::event::Timestamp;
use std::{
    fmt::{self, Display, Write as _},
    io::Write as _,
    time::Duration,
};

/// Bytes of a value that are kept: what a sender puts into a path or an id must not fill a disk.
const LONGEST_VALUE: usize = 256;

/// A reused buffer for one line at a time, and the text of the second it was last used in.
#[derive(Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
    second: Option<i64>,
    stamp: String,
}

/// A line that is being written.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    format: Format,
}

impl Scratch {
    /// Begins a line.
    pub fn line(&mut self, format: Format, at: Timestamp, level: Level, message: &str) -> Line<'_> {
        self.bytes.clear();
        self.stamp(at);
        let millis = at.as_millis().rem_euclid(1000);
        let (stamp, level) = (&self.stamp, level.as_str());
        let mut line = Line {
            out: &mut self.bytes,
            format,
        };
        match format {
            Format::Json => {
                line.raw(format_args!(
                    r#"{{"ts":"{stamp}.{millis:03}Z","level":"{level}","msg":"#
                ));
                line.quoted(&message);
            }
            Format::Text => {
                line.raw(format_args!("{stamp}.{millis:03}Z {level:<5} "));
                line.escaped(&message);
            }
        }
        line
    }

    /// Ends the line and lends its bytes, line feed included.
    pub fn finish(&mut self, format: Format) -> &[u8] {
        let end: &[u8] = match format {
            Format::Json => b"}\n",
            Format::Text => b"\n",
        };
        self.bytes.extend_from_slice(end);
        &self.bytes
    }

    /// The JSON line that was finished last, as if it were not.
    pub fn reopened(&mut self) -> Line<'_> {
        self.bytes.truncate(self.bytes.len().saturating_sub(2));
        Line {
            out: &mut self.bytes,
            format: Format::Json,
        }
    }

    /// Date and time change once a second; turning them into text costs more than the rest of a line.
    fn stamp(&mut self, at: Timestamp) {
        if self.second == Some(at.as_secs()) {
            return;
        }
        self.stamp.clear();
        let time = jiff::Timestamp::from_second(at.as_secs()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(self.stamp, "{time}").expect("writing to a String cannot fail");
        self.stamp.pop();
        self.second = Some(at.as_secs());
    }
}

impl Line<'_> {
    /// A text. Past the formatting machinery: most of a request's line is made of these.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        match self.format {
            Format::Json => {
                self.out.push(b'"');
                self.escaped_text(value);
                self.out.push(b'"');
            }
            Format::Text => self.bare_or_quoted(&value),
        }
        self
    }

    /// A text, or `null` (in text format: nothing).
    pub fn maybe_text(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.maybe(key, None::<u64>),
        }
    }

    /// A number, or `null` (in text format: nothing).
    pub fn maybe(&mut self, key: &str, value: Option<impl Into<u64>>) -> &mut Self {
        match value.map(Into::into) {
            Some(number) => self.number(key, format_args!("{number}")),
            None if self.format == Format::Json => self.number(key, format_args!("null")),
            None => self,
        }
    }

    /// A duration in milliseconds with three decimals, or `null` (in text format: nothing).
    pub fn millis(&mut self, key: &str, value: Option<Duration>) -> &mut Self {
        match value.map(|took| took.as_micros()) {
            Some(micros) => self.number(key, format_args!("{}.{:03}", micros / 1000, micros % 1000)),
            None => self.maybe(key, None::<u64>),
        }
    }

    /// Whatever can be displayed, as text.
    pub fn display(&mut self, key: &str, value: &dyn Display) -> &mut Self {
        self.key(key);
        match self.format {
            Format::Json => self.quoted(value),
            Format::Text => self.bare_or_quoted(value),
        }
        self
    }

    /// What is valid JSON as it stands: a number, a boolean, `null`.
    pub fn number(&mut self, key: &str, value: fmt::Arguments<'_>) -> &mut Self {
        self.key(key);
        self.raw(value);
        self
    }

    /// A list of objects, each filled by `fill`; for JSON lines only.
    pub fn list<T>(&mut self, key: &str, values: &[T], fill: impl Fn(&mut Self, &T)) -> &mut Self {
        self.key(key);
        self.out.push(b'[');
        for (place, value) in values.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            let start = self.out.len();
            fill(self, value);
            // Every value of an object brings its comma along; the first one opens the object instead.
            if let Some(first) = self.out.get_mut(start) {
                *first = b'{';
                self.out.push(b'}');
            }
        }
        self.out.push(b']');
        self
    }

    fn key(&mut self, key: &str) {
        let (before, after): (&[u8], &[u8]) = match self.format {
            Format::Json => (b",\"", b"\":"),
            Format::Text => (b" ", b"="),
        };
        self.out.extend_from_slice(before);
        self.escaped_text(key);
        self.out.extend_from_slice(after);
    }

    fn raw(&mut self, value: fmt::Arguments<'_>) {
        self.out.write_fmt(value).expect("writing to a Vec cannot fail");
    }

    fn quoted(&mut self, value: &dyn Display) {
        self.out.push(b'"');
        self.escaped(value);
        self.out.push(b'"');
    }

    /// Text stays unquoted while it is one word, so that ids can be copied with a double click.
    fn bare_or_quoted(&mut self, value: &dyn Display) {
        let start = self.out.len();
        self.escaped(value);
        let written = &self.out[start..];
        if written.is_empty() || written.iter().any(|b| matches!(b, b' ' | b'"' | b'=' | b'\\')) {
            self.out.insert(start, b'"');
            self.out.push(b'"');
        }
    }

    fn escaped(&mut self, value: &dyn Display) {
        self.bounded(|bounded| write!(bounded, "{value}"));
    }

    fn escaped_text(&mut self, value: &str) {
        self.bounded(|bounded| bounded.write_str(value));
    }

    fn bounded(&mut self, write: impl FnOnce(&mut Bounded<'_>) -> fmt::Result) {
        let mut bounded = Bounded {
            out: self.out,
            left: Some(LONGEST_VALUE),
        };
        // An error without a rest means that the bound was reached; else a foreign `Display` gave up, and what it wrote
        // until then stays.
        if write(&mut bounded).is_err() && bounded.left.is_none() {
            self.out.extend_from_slice("…".as_bytes());
        }
    }
}

/// Escapes what it is given as JSON does and more, and stops at the bound.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    // `None` once something was cut off.
    left: Option<usize>,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = self.left.ok_or(fmt::Error)?;
        let cut = text.floor_char_boundary(left.min(text.len()));
        let kept = &text[..cut];
        if kept
            .bytes()
            .all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\')
        {
            self.out.extend_from_slice(kept.as_bytes());
        } else {
            for c in kept.chars() {
                self.escape(c);
            }
        }
        let whole = cut == text.len();
        self.left = whole.then_some(left - cut);
        if whole { Ok(()) } else { Err(fmt::Error) }
    }
}

impl Bounded<'_> {
    fn escape(&mut self, c: char) {
        match c {
            '"' => self.out.extend_from_slice(b"\\\""),
            '\\' => self.out.extend_from_slice(b"\\\\"),
            '\n' => self.out.extend_from_slice(b"\\n"),
            '\r' => self.out.extend_from_slice(b"\\r"),
            '\t' => self.out.extend_from_slice(b"\\t"),
            c if is_hidden(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(self.out, "\\u{unit:04x}").expect("writing to a Vec cannot fail");
                }
            }
            c => self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// What a terminal or a log viewer acts on instead of showing it: control characters (C1 too: `U+009B` begins an escape
/// sequence), line separators, marks that change the direction of text, and invisible ones.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}
