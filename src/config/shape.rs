//! Compares a tree with the JSON Schema of the raw types: unknown and missing keys, wrong types and words, all at once.
//!
//! What does not fit is reported and pruned, so that the rest can be read on without follow-on errors.

mod schema;
mod wording;

use super::{
    problem::{Fault, Problems, excerpt},
    suggest,
    text::Span,
    tree::{Entry, Kind, Known, Node, Scalar, State, Style},
};
use schema::{accepts, best_mapping, types_of, words_of};
use serde_json::{Map, Value};
use wording::{folded, mistyped};

/// Keys of a secret that show nothing of it.
const OPEN_KEYS: [&str; 6] = ["file", "env", "encoding", "id", "not_after", "allow_short"];

/// Checks the whole tree. `schema` is a root schema with `$defs`.
pub(super) fn check(root: &mut Node, schema: &Value, problems: &Problems) {
    let checker = Checker { root: schema, problems };
    let label = match &root.kind {
        Kind::Map(entries) if !entries.is_empty() => entries[0].key_span.clone(),
        _ => root.span.clone(),
    };
    checker.node(
        root,
        schema,
        &Place {
            path: String::new(),
            key: "the configuration",
            label,
        },
    );
}

struct Checker<'a> {
    root: &'a Value,
    problems: &'a Problems,
}

/// Where a node hangs.
struct Place<'a> {
    /// `sources.stripe`; empty for the root.
    path: String,
    key: &'a str,
    label: Span,
}

impl Place<'_> {
    fn below<'k>(&self, key: &'k str, label: Span) -> Place<'k> {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Place { path, key, label }
    }
}

impl Checker<'_> {
    fn node(&self, node: &mut Node, schema: &Value, place: &Place<'_>) {
        let schema = self.resolved(schema);
        let branches = self.branches(schema);
        if self.secretive(node, &branches) {
            hide(node);
        }
        if let Kind::Scalar {
            style: Style::Folded, ..
        } = node.kind
        {
            return self.refuse(node, place, folded(node, place));
        }
        let fitting: Vec<&Value> = branches
            .iter()
            .copied()
            .filter(|branch| accepts(branch, node))
            .collect();
        match node.kind {
            _ if fitting.is_empty() => self.refuse(node, place, mistyped(node, &branches, place)),
            Kind::Scalar { .. } => self.scalar(node, &fitting, place),
            Kind::List(_) => self.list(node, fitting[0], place),
            Kind::Map(_) => {
                let branch = best_mapping(node, &fitting);
                self.mapping(node, branch, place);
            }
        }
    }

    /// Does a secret stand here, even if written in a wrong way? A text where both text and secrets may stand is text.
    fn secretive(&self, node: &Node, branches: &[&Value]) -> bool {
        let text = matches!(node.kind, Kind::Scalar { .. });
        branches
            .iter()
            .any(|branch| branch["writeOnly"] == true || self.resolved(&branch["items"])["writeOnly"] == true)
            && !(text && branches.iter().any(|branch| types_of(branch).contains(&"string")))
    }

    fn refuse(&self, node: &mut Node, place: &Place<'_>, fault: Fault) {
        node.state = State::Pruned;
        let span = match node.kind {
            Kind::Scalar { .. } => node.span.clone(),
            // All that is known of these is where they begin.
            Kind::List(_) | Kind::Map(_) => place.label.clone(),
        };
        self.problems.error(span, fault);
    }

    fn scalar(&self, node: &mut Node, fitting: &[&Value], place: &Place<'_>) {
        match node.scalar() {
            Some(Scalar::Text(text)) => {
                // Without a list of words in it, a branch takes any text.
                let mut words: Vec<&str> = Vec::new();
                for branch in fitting {
                    match words_of(branch) {
                        Some(some) => words.extend(some),
                        None => return,
                    }
                }
                if !words.contains(&text) {
                    let fault = Fault::new(if node.hidden {
                        format!("`{}` is none of {}", place.key, suggest::listed(words.iter().copied()))
                    } else {
                        format!(
                            "`{}` is none of {}",
                            excerpt(text),
                            suggest::listed(words.iter().copied())
                        )
                    });
                    let fault = match suggest::nearest(text, words) {
                        Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
                        None => fault,
                    };
                    self.refuse(node, place, fault);
                }
            }
            Some(Scalar::Integer(number)) => {
                let numbers = |branch: &Value| branch["enum"].as_array().cloned();
                if let Some(allowed) = fitting.first().and_then(|branch| numbers(branch)) {
                    if !allowed.iter().any(|one| one.as_i64().map(i128::from) == Some(number)) {
                        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
                        self.refuse(
                            node,
                            place,
                            Fault::new(format!(
                                "`{}` must be {}, found {number}",
                                place.key,
                                allowed.join(" or ")
                            )),
                        );
                    }
                    return;
                }
                let bound = |name: &str| fitting.iter().find_map(|branch| branch[name].as_f64());
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "bounds are far below 2^53, and a larger number is out of them anyway"
                )]
                let value = number as f64;
                if let Some(least) = bound("minimum").filter(|least| value < *least) {
                    self.refuse(
                        node,
                        place,
                        Fault::new(format!("`{}` must be at least {least}, found {number}", place.key)),
                    );
                } else if let Some(most) = bound("maximum").filter(|most| value > *most) {
                    self.refuse(
                        node,
                        place,
                        Fault::new(format!("`{}` must be at most {most}, found {number}", place.key)),
                    );
                }
            }
            _ => {}
        }
    }

    fn list(&self, node: &mut Node, schema: &Value, place: &Place<'_>) {
        let Kind::List(items) = &mut node.kind else { return };
        for (index, item) in items.iter_mut().enumerate() {
            let place = Place {
                path: format!("{}[{index}]", place.path),
                key: place.key,
                label: item.span.clone(),
            };
            self.node(item, &schema["items"], &place);
        }
    }

    fn mapping(&self, node: &mut Node, schema: &Value, place: &Place<'_>) {
        let nothing = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&nothing);
        let Kind::Map(entries) = &mut node.kind else { return };
        let written: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        for Entry {
            key,
            key_span,
            value,
            known,
        } in entries.iter_mut()
        {
            let below = place.below(key, key_span.clone());
            match (properties.get(key.as_str()), &schema["additionalProperties"]) {
                (Some(property), _) => self.node(value, property, &below),
                (None, Value::Object(_)) => self.node(value, &schema["additionalProperties"], &below),
                (None, Value::Bool(false)) => {
                    let free = properties
                        .keys()
                        .map(String::as_str)
                        .filter(|known| !written.iter().any(|key| key == known));
                    let meant = suggest::nearest(key, free);
                    self.problems
                        .error(key_span.clone(), self.unknown_key(key, meant, properties, place));
                    if smells_of_secret(key)
                        || meant.is_some_and(|meant| {
                            self.secretive(value, &self.branches(self.resolved(&properties[meant])))
                        })
                    {
                        hide(value);
                    }
                    *known = Known::No {
                        meant: meant.map(str::to_owned),
                    };
                }
                _ => {}
            }
        }
        let missing: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|key| node.state != State::Partial && !node.mentions(key))
            .collect();
        for key in missing {
            node.state = State::Incomplete;
            let where_ = if place.path.is_empty() {
                String::new()
            } else {
                format!(" in `{}`", place.path)
            };
            let fault = Fault::new(format!("`{key}` is missing{where_}"));
            let example = match &self.resolved(&properties[key])["examples"][0] {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
            self.problems.error(
                place.label.clone(),
                match example {
                    Some(example) => fault.hint(format!("add `{key}: {example}`")),
                    None => fault,
                },
            );
        }
    }

    fn unknown_key(&self, key: &str, meant: Option<&str>, properties: &Map<String, Value>, place: &Place<'_>) -> Fault {
        let where_ = if place.path.is_empty() {
            String::new()
        } else {
            format!(" in `{}`", place.path)
        };
        let fault = Fault::new(format!("unknown key `{}`{where_}", excerpt(key)));
        if let Some(meant) = meant {
            return fault.hint(format!("did you mean `{meant}`?"));
        }
        let homes = self.homes_of(key);
        if properties.is_empty() {
            fault.hint("no key is known here")
        } else if homes.is_empty() {
            fault.hint(format!(
                "known here: {}",
                suggest::listed(properties.keys().map(String::as_str))
            ))
        } else {
            fault.hint(format!("`{key}` is a key of {}", homes.join(", of ")))
        }
    }

    /// Titles of the mappings that do know a key.
    fn homes_of(&self, key: &str) -> Vec<&str> {
        let knows = |def: &&Value| def["properties"].get(key).is_some();
        let defs = self.root["$defs"].as_object().into_iter().flat_map(Map::values);
        let mut homes: Vec<&str> = defs.filter(knows).filter_map(|def| def["title"].as_str()).collect();
        if knows(&self.root) {
            homes.push("the file itself, not indented");
        }
        homes.dedup();
        homes
    }

    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        // Bounded, as a schema could refer to itself.
        for _ in 0..8 {
            let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) else {
                break;
            };
            schema = &self.root["$defs"][name];
        }
        schema
    }

    fn branches<'s>(&'s self, schema: &'s Value) -> Vec<&'s Value> {
        let alternatives = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
        match alternatives {
            Some(list) => list
                .iter()
                .flat_map(|branch| self.branches(self.resolved(branch)))
                .collect(),
            None => vec![schema],
        }
    }
}

/// Keys under which people write secrets where no such key is known.
fn smells_of_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["secret", "token", "passw", "credential", "value"]
        .iter()
        .any(|part| key.contains(part))
}

/// Hides what may be (part of) a secret, also where it was written in a wrong way.
fn hide(node: &mut Node) {
    match &mut node.kind {
        Kind::Scalar { .. } => node.hidden = true,
        Kind::List(items) => items.iter_mut().for_each(hide),
        Kind::Map(entries) => {
            entries
                .iter_mut()
                .filter(|entry| !OPEN_KEYS.contains(&entry.key.as_str()))
                .for_each(|entry| hide(&mut entry.value));
        }
    }
}
