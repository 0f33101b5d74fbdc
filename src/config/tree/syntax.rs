//! What is said of text that is no YAML: the parser's words, and hints for the mistakes that parsers explain badly.

use crate::config::{problem::Fault, text::Span};
use granit_parser::ScanError;
use std::borrow::Cow;

/// Where the parser gave up. Of a tab in front of a line it says the line above.
fn place(text: &str, error: &ScanError) -> usize {
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    let below = || {
        let start = at + text.get(at..)?.find('\n')? + 1;
        let line = text[start..].lines().next()?;
        let indent = &line[..line.len() - line.trim_start().len()];
        Some(start + indent.find('\t')?)
    };
    let of_a_tab = error.info().contains("found a tab");
    of_a_tab.then(below).flatten().unwrap_or(at)
}

/// From where the parser gave up to the end of that word.
pub(super) fn syntax_span(text: &str, error: &ScanError) -> Span {
    let at = place(text, error);
    let rest = text.get(at..).unwrap_or("");
    if rest.starts_with(':') {
        let before = text.get(..at).unwrap_or("");
        let key = before.rfind(char::is_whitespace).map_or(0, |space| space + 1);
        return key..at.max(key + 1);
    }
    let word = rest.find(|c: char| c.is_whitespace() || c == ':').unwrap_or(rest.len());
    at..at + word.max(usize::from(!rest.is_empty() && !rest.starts_with('\n')))
}

/// The words of a syntax error.
pub(super) fn syntax(text: &str, error: &ScanError) -> Fault {
    let at = place(text, error);
    let fault = Fault::new(format!("not valid YAML: {}", error.info()));
    match indentation_hint(text, at) {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// The two mistakes of indentation that parsers explain badly.
fn indentation_hint(text: &str, at: usize) -> Option<Cow<'static, str>> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or("");
    let number = text[..start].matches('\n').count() + 1;
    let indent = |line: &str| line.len() - line.trim_start().len();
    if line[..indent(line)].contains('\t') {
        return Some("YAML is indented by spaces, not by tabs".into());
    }
    let above = text[..start]
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))?;
    let (key, value) = above.trim_start().trim_start_matches("- ").split_once(':')?;
    let (this, _) = line.trim_start().split_once(':')?;
    (indent(line) > indent(above) && !value.trim().is_empty()).then(|| {
        format!("`{this}` on line {number} is indented deeper than `{key}` above it and so became part of its value: align the two").into()
    })
}
