//! YAML as a tree in which every key and value knows where it stands; whatever could hide a surprise is refused here.

mod build;
mod syntax;

pub(super) use build::parse;

use super::text::Span;
use serde_json::{Map, Number, Value};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub span: Span,
    pub kind: Kind,
    pub state: State,
    /// No message may show it.
    pub hidden: bool,
}

/// What was reported about a node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Sound,
    /// Something that it needs is missing.
    Incomplete,
    /// A merge key in it was refused: what else it has is not known.
    Partial,
    /// It does not fit: it reads as null, and nothing is to be concluded from its absence.
    Pruned,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Without quotes, so it may be a number, a boolean or nothing.
    Plain,
    /// Without quotes over several lines: the trap of a line that is indented too deep.
    Folded,
    /// Quoted, or a block: always text.
    Text,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
    pub known: Known,
}

/// Is a key one that belongs where it stands?
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Yes,
    /// No, which was reported; this is the one that it was probably meant to be.
    No {
        meant: Option<String>,
    },
}

/// A scalar as the YAML 1.2 core schema reads it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar<'t> {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(&'t str),
}

impl Node {
    /// What a scalar is; `None` for lists and mappings.
    pub fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.kind {
            Kind::Scalar {
                text,
                style: Style::Text | Style::Folded,
            } => Some(Scalar::Text(text)),
            Kind::Scalar {
                text,
                style: Style::Plain,
            } => Some(plain(text)),
            _ => None,
        }
    }

    /// The value under a key, or under a misspelling of it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|entry| match &entry.known {
            Known::Yes => entry.key == key,
            Known::No { meant } => meant.as_deref() == Some(key),
        })
    }

    /// Was anything in here reported?
    pub fn damaged(&self) -> bool {
        self.state != State::Sound
            || match &self.kind {
                Kind::Scalar { .. } => false,
                Kind::List(items) => items.iter().any(Node::damaged),
                Kind::Map(entries) => entries
                    .iter()
                    .any(|entry| entry.known != Known::Yes || entry.value.damaged()),
            }
    }

    /// As JSON, without unknown keys, and with null for what was pruned.
    pub fn to_json(&self) -> Value {
        if self.state == State::Pruned {
            return Value::Null;
        }
        match &self.kind {
            Kind::List(items) => items.iter().map(Node::to_json).collect(),
            Kind::Map(entries) => entries
                .iter()
                .filter(|entry| entry.known == Known::Yes)
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<Map<_, _>>()
                .into(),
            Kind::Scalar { .. } => match self.scalar() {
                Some(Scalar::Bool(flag)) => flag.into(),
                Some(Scalar::Integer(number)) => Number::from_i128(number).map_or(Value::Null, Value::Number),
                Some(Scalar::Float(number)) => Number::from_f64(number).map_or(Value::Null, Value::Number),
                Some(Scalar::Text(text)) => text.into(),
                Some(Scalar::Null) | None => Value::Null,
            },
        }
    }

    /// Spans that no message may show.
    pub fn hidden_spans(&self, into: &mut Vec<Span>) {
        if self.hidden {
            into.push(self.span.clone());
        }
        match &self.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => items.iter().for_each(|item| item.hidden_spans(into)),
            Kind::Map(entries) => entries.iter().for_each(|entry| entry.value.hidden_spans(into)),
        }
    }

    /// Is the key here, misspelt, or swallowed by a value that runs on over the line on which it stands?
    pub fn mentions(&self, key: &str) -> bool {
        let Kind::Map(entries) = &self.kind else { return false };
        let swallowed = |node: &Node| match &node.kind {
            Kind::Scalar {
                text,
                style: Style::Folded,
            } => text.split(' ').any(|word| word.trim_end_matches(':') == key),
            _ => false,
        };
        self.entry(key).is_some() || entries.iter().any(|entry| swallowed(&entry.value))
    }

    /// The first scalar inside whose text is accepted.
    pub fn find_scalar(&self, accept: &dyn Fn(&str) -> bool) -> Option<&Self> {
        match &self.kind {
            Kind::Scalar { text, .. } => accept(text).then_some(self),
            Kind::List(items) => items.iter().find_map(|item| item.find_scalar(accept)),
            Kind::Map(entries) => entries.iter().find_map(|entry| entry.value.find_scalar(accept)),
        }
    }

    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Node::count).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
        }
    }
}

fn plain(text: &str) -> Scalar<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_or(Scalar::Text(text), Scalar::Integer);
    }
    let float = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(number) if float && number.is_finite() => Scalar::Float(number),
        _ => Scalar::Text(text),
    }
}
