//! The text of a configuration file: positions in it, and what of a line may be shown.

use std::ops::Range;

/// Bytes of the text, half open.
pub type Span = Range<usize>;

/// What stands in place of a secret. Of fixed length, so that it does not tell the secret's.
const MASK: &str = "********";

/// A file's name and text, and the parts of it that no message may show.
#[derive(Debug)]
pub struct SourceText {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    hidden: Vec<Span>,
}

/// One line, fit to be shown.
#[derive(Debug, PartialEq, Eq)]
pub struct ShownLine {
    /// Its number, from 1.
    pub number: usize,
    /// Column of the span in characters of the file, from 1.
    pub column: usize,
    /// The line with every secret masked.
    pub text: String,
    /// The span's bytes within [`Self::text`].
    pub span: Span,
}

impl SourceText {
    /// Hides at once what looks like an inline secret, so that a text that never becomes a tree shows none either.
    pub fn new(name: String, text: String) -> Self {
        let mut hidden = inline_values(&text);
        hidden.extend(url_credentials(&text));
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            name,
            text,
            lines,
            hidden,
        }
    }

    /// The name as the operator gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text, with its secrets.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Hides further parts.
    pub fn hide(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.hidden.extend(spans);
    }

    /// The line on which `span` begins. A span over several lines is cut at the end of the first.
    pub fn line_at(&self, span: &Span) -> ShownLine {
        let at = floor(&self.text, span.start);
        let number = self.lines.partition_point(|start| *start <= at);
        let start = self.lines[number - 1];
        let end = self.text[at..]
            .find('\n')
            .map_or(self.text.len(), |newline| at + newline);
        let end = start + self.text[start..end].trim_end_matches('\r').len();
        let mut shown = Shown::new(&self.text, start..end);
        for hidden in self.hidden_in(start..end) {
            shown.mask(hidden);
        }
        let (text, moves) = shown.finish();
        let to = floor(&self.text, span.end).clamp(at, end.max(at));
        let (from, to) = (moves.apply(at.min(end)), moves.apply_end(to.min(end)));
        ShownLine {
            number,
            column: self.text[start..at].chars().count() + 1,
            span: from..to.max(from),
            text,
        }
    }

    /// The hidden parts of a line, merged and in order.
    fn hidden_in(&self, line: Span) -> Vec<Span> {
        let mut parts: Vec<Span> = self
            .hidden
            .iter()
            .map(|part| part.start.max(line.start)..part.end.min(line.end))
            .filter(|part| part.start < part.end)
            .collect();
        parts.sort_by_key(|part| part.start);
        let mut merged: Vec<Span> = Vec::with_capacity(parts.len());
        for part in parts {
            match merged.last_mut() {
                Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
                _ => merged.push(part),
            }
        }
        merged
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

/// Builds a shown line and remembers where its bytes went.
struct Shown<'t> {
    source: &'t str,
    done: usize,
    end: usize,
    text: String,
    moves: Moves,
}

/// Where bytes of the file stand in the shown line.
struct Moves {
    start: usize,
    /// Masked part of the file, and where its mask begins.
    masks: Vec<(Span, usize)>,
}

impl<'t> Shown<'t> {
    fn new(source: &'t str, line: Span) -> Self {
        let moves = Moves {
            start: line.start,
            masks: Vec::new(),
        };
        Self {
            source,
            done: line.start,
            end: line.end,
            text: String::new(),
            moves,
        }
    }

    fn mask(&mut self, part: Span) {
        self.text.push_str(&self.source[self.done..part.start]);
        self.moves.masks.push((part.clone(), self.text.len()));
        self.text.push_str(MASK);
        self.done = part.end;
    }

    fn finish(mut self) -> (String, Moves) {
        self.text.push_str(&self.source[self.done..self.end]);
        (self.text, self.moves)
    }
}

impl Moves {
    fn apply(&self, at: usize) -> usize {
        self.moved(at, 0)
    }

    fn apply_end(&self, at: usize) -> usize {
        self.moved(at, MASK.len())
    }

    /// `inside` is where a byte within a masked part goes, counted from the mask's first.
    fn moved(&self, at: usize, inside: usize) -> usize {
        let mut shown = at - self.start;
        for (part, mask) in &self.masks {
            if at >= part.end {
                shown = mask + MASK.len() + (at - part.end);
            } else if at > part.start {
                shown = mask + inside;
            }
        }
        shown
    }
}

/// Every inline `value` of the text, found without a tree: it errs to the side of hiding too much.
fn inline_values(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut begin = 0;
    // The column of a `value` key whose text may go on in the lines below, and whether any line below belongs to it.
    let mut open: Option<(usize, bool)> = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let indent = bare.len() - bare.trim_start_matches(' ').len();
        if let Some((column, any)) = open {
            if bare.trim().is_empty() {
                begin += line.len();
                continue;
            }
            if any || indent > column {
                spans.push(begin + indent..begin + bare.len());
                open = Some((column, false));
                begin += line.len();
                continue;
            }
            open = None;
        }
        let mut from = 0;
        while let Some((key, after)) = value_key(bare, from) {
            let start = after + (bare[after..].len() - bare[after..].trim_start().len());
            let end = start + value_length(&bare[start..], bare[..key].contains('{'));
            if start < end {
                spans.push(begin + start..begin + end);
            }
            open = Some((key, start == bare.len()));
            from = end.max(after);
        }
        begin += line.len();
    }
    spans
}

/// The next key `value` of a line at or after `from`: its column, and the byte after its colon.
fn value_key(line: &str, from: usize) -> Option<(usize, usize)> {
    let mut search = from;
    while let Some(found) = line[search..].find("value") {
        let at = search + found;
        search = at + "value".len();
        let before = line[..at].chars().next_back();
        if before.is_some_and(|c| !matches!(c, ' ' | '{' | ',' | '"' | '\'' | '-' | '\t')) {
            continue;
        }
        let rest = line[search..].trim_start_matches(['"', '\'']).trim_start();
        if rest.starts_with(':') {
            return Some((at, line.len() - rest.len() + 1));
        }
    }
    None
}

/// How much of `rest` a scalar takes that begins there.
fn value_length(rest: &str, in_flow: bool) -> usize {
    match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest[1..].find(quote).map_or(rest.len(), |close| {
            // An escaped quote inside makes the true end unclear: hide the rest of the line.
            if rest[1..].matches(quote).count() > 1 {
                rest.len()
            } else {
                close + 2
            }
        }),
        Some(_) if in_flow => rest.find([',', '}']).unwrap_or(rest.len()),
        _ => rest.len(),
    }
}

/// `user:password` of every URL in the text.
fn url_credentials(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for (scheme, _) in text.match_indices("://") {
        let rest = &text[scheme..];
        let url = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
        if let Some(part) = credentials(url) {
            spans.push(scheme + part.start..scheme + part.end);
        }
    }
    spans
}

/// What may be a password in a URL, also in one that lacks its host.
pub(super) fn credentials(url: &str) -> Option<Span> {
    let start = url.find("://")? + 3;
    if let Some(at) = url[start..].rfind('@') {
        return Some(start..start + at);
    }
    let authority = &url[start..];
    let authority = &authority[..authority.find('/').unwrap_or(authority.len())];
    let (_, port) = authority.rsplit(']').next()?.split_once(':')?;
    let end = start + authority.len();
    (!port.is_empty() && !port.starts_with(|c: char| c.is_ascii_digit())).then(|| end - port.len()..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, at: &str) -> String {
        let source = SourceText::new("f".to_owned(), text.to_owned());
        let start = text.find(at).expect("the text holds it");
        let line = source.line_at(&(start..start + at.len()));
        format!(
            "{}:{} {} [{}]",
            line.number, line.column, line.text, &line.text[line.span]
        )
    }

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(shown("a: 1\nü: bad\n", "bad"), "2:4 ü: bad [bad]");
        assert_eq!(shown("a: bad\r\n", "bad"), "1:4 a: bad [bad]");
    }

    #[test]
    fn an_inline_value_is_never_shown_and_columns_stay_those_of_the_file() {
        for (text, at, expected) in [
            (
                "- {value: s3cret, idd: x}",
                "idd",
                "1:19 - {value: ********, idd: x} [idd]",
            ),
            (
                "- {value: \"s3,cret\", idd: x}",
                "idd",
                "1:22 - {value: ********, idd: x} [idd]",
            ),
            ("value: s3cret # why", "s3cret", "1:8 value: ******** [********]"),
            ("\"value\": s3cret", "s3cret", "1:10 \"value\": ******** [********]"),
            (
                "- value: |\n    s3cret\n  id: x",
                "s3cret",
                "2:5     ******** [********]",
            ),
            ("- value: |\n    s3cret\n  id: x", "id", "3:3   id: x [id]"),
            ("{value:\n s3cret}", "s3cret", "2:2  ******** [********]"),
            (
                "url: redis://u:s3cret@h/0",
                "redis",
                "1:6 url: redis://********@h/0 [redis]",
            ),
            ("my-value: shown", "shown", "1:11 my-value: ******** [********]"),
        ] {
            assert_eq!(shown(text, at), expected);
        }
    }
}
