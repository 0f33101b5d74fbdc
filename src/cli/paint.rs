//! Signs and colours of the verbs that print findings: √ ! ×, coloured where a terminal reads.

use crate::config::{Environment, Machine};
use std::io::IsTerminal;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// A fact, neither good nor bad.
    Info,
    /// As it should be.
    Ok,
    /// Probably not what is wanted.
    Warning,
    /// It does not work so.
    Problem,
}

/// Paints, or leaves as it is.
#[derive(Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    /// For stdout.
    pub(super) fn of_stdout() -> Self {
        Self(may_be_coloured(&std::io::stdout()))
    }

    /// A finding's sign.
    pub(super) fn sign(self, level: Level) -> String {
        let (sign, code) = match level {
            Level::Info => ("·", "2"),
            Level::Ok => ("√", "32"),
            Level::Warning => ("!", "33"),
            Level::Problem => ("×", "31"),
        };
        self.with(sign, code)
    }

    /// A heading.
    pub(super) fn bold(self, text: &str) -> String {
        self.with(text, "1")
    }

    fn with(self, text: &str, code: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Only a terminal, and only where `NO_COLOR` (<https://no-color.org>) is not set to something.
pub(super) fn may_be_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && Machine.variable("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `1 problem`, `2 problems`.
pub(super) fn counted(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}

/// A text from elsewhere, unable to act on a terminal.
pub(super) fn harmless(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    text.chars()
        .flat_map(|c| {
            let (shown, escaped) = if hidden(c) {
                (None, Some(c.escape_default()))
            } else {
                (Some(c), None)
            };
            shown.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}
