//! Builds the tree from the events of the parser, bounded in size and depth.

use super::{
    Entry, Kind, Known, Node, Scalar, State, Style,
    syntax::{syntax, syntax_span},
};
use crate::config::{
    problem::{Fault, Problems},
    text::{SourceText, Span},
};
use granit_parser::{Event, Parser, ScalarStyle, Tag, options};
use std::collections::HashMap;

/// Nodes of one file, aliases written out: a thousand sources with every key stay far below.
const MAX_NODES: usize = 50_000;
/// Nesting: the deepest place of a configuration is below ten.
const MAX_DEPTH: usize = 32;
/// Problems after which a file with doubled keys is not read on.
const MAX_DOUBLED: usize = 100;

/// Reads the one document of `source`. `None`: a problem was reported that leaves nothing to read on with.
pub(in crate::config) fn parse(source: &SourceText, problems: &Problems) -> Option<Node> {
    let mut builder = Builder {
        source: source.text(),
        problems,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let parser = Parser::new_from_str_with_options(
        source.text(),
        options! { emit_comments: false, disallow_directives: true, block_nesting_limit: MAX_DEPTH + 1, flow_nesting_limit: MAX_DEPTH + 1 },
    );
    let mut root = None;
    for next in parser {
        match next {
            Err(error) => {
                problems.error(syntax_span(source.text(), &error), syntax(source.text(), &error));
                return None;
            }
            Ok((Event::DocumentStart(..), span)) if root.is_some() => {
                problems.error(
                    range(&span),
                    Fault::new("a second YAML document begins here").hint("one file holds one document"),
                );
                return None;
            }
            Ok((event, span)) => {
                match builder.take(event, range(&span), span.tag_span().map(|tag| range(&tag)).as_ref()) {
                    Ok(Some(node)) => root = Some(node),
                    Ok(None) => {}
                    Err(Stop) => return None,
                }
            }
        }
    }
    match root {
        Some(node) if !(matches!(node.scalar(), Some(Scalar::Null))) => Some(node),
        _ => {
            problems.whole(
                Fault::new("the file is empty")
                    .hint("the smallest useful file has `version`, `upstream` and one source"),
            );
            None
        }
    }
}

/// The file is not worth reading on; why was reported.
struct Stop;

struct Builder<'t> {
    source: &'t str,
    problems: &'t Problems,
    open: Vec<Open>,
    /// Finished anchors; one that is still open is not in here, so a cycle cannot arise.
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    key: Option<(String, Span)>,
    /// The keys of a mapping so far, and where they are.
    seen: HashMap<String, usize>,
}

impl Builder<'_> {
    /// Takes one event; the root when it is complete.
    fn take(&mut self, event: Event<'_>, span: Span, tag_span: Option<&Span>) -> Result<Option<Node>, Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.tagged(tag.as_deref(), tag_span.unwrap_or(&span));
                let style = match style {
                    ScalarStyle::Plain
                        if self
                            .source
                            .get(span.clone())
                            .is_some_and(|raw| raw.trim_end().contains('\n')) =>
                    {
                        Style::Folded
                    }
                    ScalarStyle::Plain => Style::Plain,
                    _ => Style::Text,
                };
                let span = self.trimmed(span);
                self.finish(
                    node(
                        span,
                        Kind::Scalar {
                            text: text.into_owned(),
                            style,
                        },
                    ),
                    anchor,
                )
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tagged(tag.as_deref(), tag_span.unwrap_or(&span));
                self.begin(node(span, Kind::List(Vec::new())), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tagged(tag.as_deref(), tag_span.unwrap_or(&span));
                self.begin(node(span, Kind::Map(Vec::new())), anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(None) };
                self.finish(open.node, open.anchor)
            }
            Event::Alias(anchor) => {
                let Some(copy) = self.anchors.get(&anchor).cloned() else {
                    self.problems
                        .error(span, Fault::new("this alias stands inside of its own anchor"));
                    return Err(Stop);
                };
                self.nodes += copy.count();
                self.bounded(&span, copy.depth())?;
                self.finish(copy, 0)
            }
            _ => Ok(None),
        }
    }

    fn begin(&mut self, node: Node, anchor: usize) -> Result<Option<Node>, Stop> {
        self.bounded(&node.span, 1)?;
        self.open.push(Open {
            node,
            anchor,
            key: None,
            seen: HashMap::new(),
        });
        Ok(None)
    }

    fn bounded(&self, span: &Span, below: usize) -> Result<(), Stop> {
        let (what, hint) = if self.nodes > MAX_NODES {
            (
                format!("the file has more than {MAX_NODES} values, aliases counted as often as they are used"),
                "no configuration needs as many",
            )
        } else if self.open.len() + below > MAX_DEPTH {
            (
                format!("nested more than {MAX_DEPTH} deep"),
                "no configuration needs as deep a nesting",
            )
        } else {
            return Ok(());
        };
        self.problems.error(span.clone(), Fault::new(what).hint(hint));
        Err(Stop)
    }

    fn finish(&mut self, done: Node, anchor: usize) -> Result<Option<Node>, Stop> {
        self.nodes += 1;
        self.bounded(&done.span, 0)?;
        if anchor != 0 {
            self.anchors.insert(anchor, done.clone());
            self.nodes += done.count();
        }
        let Some(Open { node, key, seen, .. }) = self.open.last_mut() else {
            return Ok(Some(done));
        };
        match &mut node.kind {
            Kind::List(items) => items.push(done),
            Kind::Map(entries) => match key.take() {
                None => *key = Some(key_text(done, self.problems)),
                Some((key, key_span)) => {
                    if let Some(first) = seen.get(&key) {
                        // Counting lines takes as long as reading does: a file of doubled keys is not read to its end.
                        if self.problems.errors() > MAX_DOUBLED {
                            return Err(Stop);
                        }
                        let line = self.source[..*first].matches('\n').count() + 1;
                        self.problems.error(
                            key_span,
                            Fault::new(format!("the key `{key}` is here twice"))
                                .hint(format!("it is first on line {line}; keep one of them")),
                        );
                    } else if key == "<<" {
                        self.problems.error(
                            key_span,
                            Fault::new("merge keys (`<<`) are not supported")
                                .hint("write the keys out, or put them into `defaults`"),
                        );
                        node.state = State::Partial;
                    } else {
                        seen.insert(key.clone(), key_span.start);
                        entries.push(Entry {
                            key,
                            key_span,
                            value: done,
                            known: Known::Yes,
                        });
                    }
                }
            },
            Kind::Scalar { .. } => {}
        }
        Ok(None)
    }

    fn tagged(&self, tag: Option<&Tag>, span: &Span) {
        if let Some(tag) = tag {
            self.problems.error(
                span.clone(),
                Fault::new(format!("YAML tags (`{}`) are not supported", tag.original()))
                    .hint("leave the tag out; quote what is to be text"),
            );
        }
    }

    /// A span without the white space that the parser counts in.
    fn trimmed(&self, span: Span) -> Span {
        let raw = self.source.get(span.clone()).unwrap_or("");
        span.start..span.start + raw.trim_end().len()
    }
}

fn node(span: Span, kind: Kind) -> Node {
    Node {
        span,
        kind,
        state: State::Sound,
        hidden: false,
    }
}

fn key_text(node: Node, problems: &Problems) -> (String, Span) {
    if let Kind::Scalar { text, .. } = node.kind {
        (text, node.span)
    } else {
        problems.error(
            node.span.clone(),
            Fault::new("a key must be text, found a list or a mapping"),
        );
        (String::new(), node.span)
    }
}

fn range(span: &granit_parser::Span) -> Span {
    span.byte_range()
        .map_or(0..0, |range| range.start..range.end.max(range.start))
}
