//! What was checked, in groups: for people with √ ! ×, for programs as one JSON object.

use crate::cli::{
    Exit,
    paint::{Level, Paint, counted},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{fmt::Write, path::Path};

/// The groups, in the order in which they are printed.
const GROUPS: [&str; 3] = ["config", "secrets", "environment"];

/// Everything that was checked.
pub(super) struct Report {
    file: String,
    checks: Vec<Check>,
}

/// One thing that was checked.
#[derive(Serialize)]
pub(super) struct Check {
    pub group: &'static str,
    /// What it is about: a source, `redis`, a destination; empty for the file itself.
    pub name: String,
    pub level: Level,
    pub message: String,
    pub hint: Option<String>,
    pub file: Option<String>,
    pub line: Option<usize>,
    pub column: Option<usize>,
}

impl Check {
    pub(super) fn ok(group: &'static str, name: &str, message: impl Into<String>) -> Self {
        Self::new(group, Level::Ok, name, message.into())
    }

    pub(super) fn info(group: &'static str, name: &str, message: impl Into<String>) -> Self {
        Self::new(group, Level::Info, name, message.into())
    }

    pub(super) fn warning(group: &'static str, name: &str, message: impl Into<String>) -> Self {
        Self::new(group, Level::Warning, name, message.into())
    }

    pub(super) fn problem(group: &'static str, name: &str, message: impl Into<String>) -> Self {
        Self::new(group, Level::Problem, name, message.into())
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn new(group: &'static str, level: Level, name: &str, message: String) -> Self {
        Self {
            group,
            name: name.to_owned(),
            level,
            message,
            hint: None,
            file: None,
            line: None,
            column: None,
        }
    }

    /// `file:line:column`, as editors and terminals link it; else what it is about.
    fn label(&self) -> String {
        match (&self.file, self.line, self.column) {
            (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            (Some(file), ..) => file.clone(),
            _ => self.name.clone(),
        }
    }
}

impl Report {
    pub(super) fn of(path: &Path) -> Self {
        Self {
            file: path.display().to_string(),
            checks: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    pub(super) fn problems(&self) -> usize {
        self.count(Level::Problem)
    }

    pub(super) fn warnings(&self) -> usize {
        self.count(Level::Warning)
    }

    fn count(&self, level: Level) -> usize {
        self.checks.iter().filter(|check| check.level == level).count()
    }

    pub(super) fn to_text(&self) -> String {
        let paint = Paint::of_stdout();
        let mut text = String::new();
        for group in GROUPS {
            let checks: Vec<&Check> = self.checks.iter().filter(|check| check.group == group).collect();
            if checks.is_empty() {
                continue;
            }
            let heading = paint.bold(group);
            if group == "config" {
                writeln!(text, "{heading}  {}", self.file).expect("writing to a String cannot fail");
            } else {
                writeln!(text, "{heading}").expect("writing to a String cannot fail");
            }
            let named = checks.iter().filter(|check| check.file.is_none());
            let width = named.map(|check| check.name.chars().count()).max().unwrap_or(0);
            for check in checks {
                line(&mut text, paint, check, width);
            }
        }
        let problems = counted(self.problems(), "problem");
        let warnings = counted(self.warnings(), "warning");
        writeln!(text, "{problems}, {warnings}").expect("writing to a String cannot fail");
        text
    }

    /// `ok` is what the exit code says.
    pub(super) fn to_json(&self, exit: Exit) -> Value {
        json!({
            "schema_version": 1,
            "file": self.file,
            "ok": exit == Exit::Fine,
            "problems": self.problems(),
            "warnings": self.warnings(),
            "checks": self.checks,
        })
    }
}

fn line(text: &mut String, paint: Paint, check: &Check, width: usize) {
    let (sign, label) = (paint.sign(check.level), check.label());
    let gap = if label.is_empty() { "" } else { "  " };
    let pad = if check.file.is_some() || label.is_empty() {
        0
    } else {
        width
    };
    writeln!(text, "  {sign} {label:pad$}{gap}{}", check.message).expect("writing to a String cannot fail");
    if let Some(hint) = &check.hint {
        writeln!(text, "      hint: {hint}").expect("writing to a String cannot fail");
    }
}
