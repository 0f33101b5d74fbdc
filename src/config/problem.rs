//! What is wrong with a configuration, or worth knowing of it: collected while reading, rendered with the lines it is about.

use super::text::{SourceText, Span};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;
use std::{cell::RefCell, fmt, sync::Arc};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// It is used, and probably not what is wanted.
    Warning,
    /// It is used, and something was done that one should know.
    Note,
}

/// One finding with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The file as the operator named it.
    pub file: String,
    /// Line from 1; absent where the finding is about the whole file.
    pub line: Option<usize>,
    /// Column in characters from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    #[serde(skip)]
    span: Option<Span>,
}

/// Findings of one file in the order of their places.
#[derive(Clone, Debug)]
pub struct Report {
    text: Arc<SourceText>,
    findings: Vec<Finding>,
}

/// Why there is no configuration.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    errors: Report,
    warnings: Report,
    unreadable_only: bool,
}

impl Report {
    /// The findings.
    pub fn problems(&self) -> &[Finding] {
        &self.findings
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// For people: each with `file:line:column`, its line, a caret and a hint. Ends with a newline unless it is empty.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let blocks: Vec<String> = self
            .findings
            .iter()
            .map(|finding| self.block(&renderer, finding))
            .collect();
        let mut all = blocks.join("\n\n");
        if !all.is_empty() {
            all.push('\n');
        }
        all
    }

    fn block(&self, renderer: &Renderer, finding: &Finding) -> String {
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut group = Group::with_title(level.primary_title(finding.message.as_str()));
        let line = finding.span.as_ref().map(|span| self.text.line_at(span));
        group = match &line {
            Some(line) => group.element(
                Snippet::source(line.text.as_str())
                    .path(finding.file.as_str())
                    .line_start(line.number)
                    .annotation(AnnotationKind::Primary.span(line.span.clone())),
            ),
            None => group.element(Origin::path(finding.file.as_str())),
        };
        if let Some(hint) = &finding.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        let block = renderer.render(&[group]);
        // A masked line has other columns than the file has: the heading shall name the file's.
        match line {
            Some(line) => {
                let shown = line.text[..line.span.start].chars().count() + 1;
                let place = |column| format!("{}:{}:{column}", finding.file, line.number);
                block.replacen(&place(shown), &place(line.column), 1)
            }
            None => block,
        }
    }
}

impl ConfigErrors {
    /// For people: every error, as [`Report::render`] does.
    pub fn render(&self, colour: bool) -> String {
        self.errors.render(colour)
    }

    /// The errors, for `-o json`.
    pub fn problems(&self) -> &[Finding] {
        self.errors.problems()
    }

    /// What else was noticed on the way.
    pub fn warnings(&self) -> &Report {
        &self.warnings
    }

    /// 78 where the configuration is invalid; 77 where it is valid and a secret cannot be read.
    pub fn exit_code(&self) -> u8 {
        if self.unreadable_only { 77 } else { 78 }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for ConfigErrors {}

/// Problems that are kept: nobody reads on, and a hostile file must not cost minutes.
const MOST: usize = 1000;

/// Collects findings while a file is read. Shared by all that read it, hence the cell.
#[derive(Default)]
pub(super) struct Problems {
    list: RefCell<Vec<Problem>>,
    hidden: RefCell<Vec<Span>>,
}

struct Problem {
    severity: Severity,
    unreadable: bool,
    span: Option<Span>,
    message: String,
    hint: Option<String>,
}

/// The words of a problem, before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A text of the file, short enough for a message.
pub(super) fn excerpt(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).chain("...".chars()).collect()
    }
}

impl Problems {
    pub fn error(&self, span: Span, fault: Fault) {
        self.push(Severity::Error, false, Some(span), fault);
    }

    /// A secret cannot be read.
    pub fn unreadable(&self, span: Span, fault: Fault) {
        self.push(Severity::Error, true, Some(span), fault);
    }

    /// An error of the whole file.
    pub fn whole(&self, fault: Fault) {
        self.push(Severity::Error, false, None, fault);
    }

    pub fn warn(&self, span: Span, fault: Fault) {
        self.push(Severity::Warning, false, Some(span), fault);
    }

    pub fn note(&self, span: Span, fault: Fault) {
        self.push(Severity::Note, false, Some(span), fault);
    }

    /// Keeps a part of the file from being shown.
    pub fn hide(&self, span: Span) {
        self.hidden.borrow_mut().push(span);
    }

    pub fn hidden(&self) -> Vec<Span> {
        self.hidden.borrow().clone()
    }

    /// How many errors there are so far.
    pub fn errors(&self) -> usize {
        self.list
            .borrow()
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    }

    pub fn any_error(&self) -> bool {
        self.list
            .borrow()
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    fn push(&self, severity: Severity, unreadable: bool, span: Option<Span>, fault: Fault) {
        let Fault { message, hint } = fault;
        let mut list = self.list.borrow_mut();
        // An alias shows one place several times.
        if list.iter().any(|known| known.span == span && known.message == message) {
            return;
        }
        match list.len() {
            0..MOST => list.push(Problem {
                severity,
                unreadable,
                span,
                message,
                hint,
            }),
            MOST => list.push(Problem {
                severity: Severity::Error,
                unreadable: false,
                span: None,
                message: format!("there are more than {MOST} problems: these are the first"),
                hint: None,
            }),
            _ => {}
        }
    }

    pub fn into_errors(self, text: SourceText) -> ConfigErrors {
        let unreadable_only = self
            .list
            .borrow()
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .all(|p| p.unreadable);
        let (errors, warnings, _) = self.into_reports(text);
        ConfigErrors {
            errors,
            warnings,
            unreadable_only,
        }
    }

    /// Errors, warnings, notes.
    pub fn into_reports(self, text: SourceText) -> (Report, Report, Report) {
        let text = Arc::new(text);
        let mut list = self.list.into_inner();
        list.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        let report = |severity| Report {
            text: text.clone(),
            findings: list
                .iter()
                .filter(|problem| problem.severity == severity)
                .map(|problem| {
                    let line = problem.span.as_ref().map(|span| text.line_at(span));
                    Finding {
                        severity,
                        file: text.name().to_owned(),
                        line: line.as_ref().map(|line| line.number),
                        column: line.map(|line| line.column),
                        message: problem.message.clone(),
                        hint: problem.hint.clone(),
                        span: problem.span.clone(),
                    }
                })
                .collect(),
        };
        (
            report(Severity::Error),
            report(Severity::Warning),
            report(Severity::Note),
        )
    }
}
