//! How a value that does not fit is described, and what may have been meant.

use super::{
    Place,
    schema::{types_of, words_of},
};
use crate::config::{
    problem::{Fault, excerpt},
    suggest,
    tree::{Kind, Node, Scalar, Style},
};
use serde_json::Value;

pub(super) fn found(node: &Node) -> String {
    match (&node.kind, node.scalar()) {
        (Kind::List(_), _) => "a list".to_owned(),
        (Kind::Map(_), _) => "a mapping".to_owned(),
        (_, Some(Scalar::Null)) => "nothing".to_owned(),
        (_, Some(Scalar::Text(_))) if node.hidden => "a bare value".to_owned(),
        (_, Some(Scalar::Integer(_) | Scalar::Float(_))) if node.hidden => "a number".to_owned(),
        (_, Some(Scalar::Bool(flag))) => format!("`{flag}`"),
        (Kind::Scalar { text, .. }, Some(Scalar::Integer(_) | Scalar::Float(_))) => format!("the number {text}"),
        (Kind::Scalar { text, .. }, _) => format!("the text `{}`", excerpt(text)),
    }
}

/// The unit that was probably meant where a number stands alone.
pub(super) fn unit_of(schema: &Value) -> Option<&'static str> {
    let pattern = schema["pattern"].as_str()?;
    let units = [("(ms|", "s"), ("KiB", "B"), ("/(s|", "/s")];
    units
        .iter()
        .find(|(part, _)| pattern.contains(part))
        .map(|(_, unit)| *unit)
}

/// "a duration such as `5m`", "a list", …
pub(super) fn expected(schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned();
    }
    if let Some(words) = words_of(schema) {
        return suggest::listed(words);
    }
    match types_of(schema).first().copied() {
        Some("object") => "a mapping",
        Some("array") => "a list",
        Some("string") => "text",
        Some("boolean") => "`true` or `false`",
        Some("integer" | "number") => "a number",
        _ => "something else",
    }
    .to_owned()
}

pub(super) fn mistyped(node: &Node, branches: &[&Value], place: &Place<'_>) -> Fault {
    let mut wanted: Vec<String> = Vec::new();
    for branch in branches {
        let one = expected(branch);
        if !wanted.contains(&one) {
            wanted.push(one);
        }
    }
    let wanted = if place.path.is_empty() {
        "a mapping".to_owned()
    } else {
        wanted.join(" or ")
    };
    if let Some(Scalar::Null) = node.scalar() {
        return Fault::new(format!("`{}` has no value", place.key)).hint(format!(
            "give it {wanted}, or remove the key; what belongs to it is indented deeper than it"
        ));
    }
    let fault = Fault::new(format!("`{}` must be {wanted}, found {}", place.key, found(node)));
    let any = |name: &str| branches.iter().any(|branch| types_of(branch).contains(&name));
    match (&node.kind, node.scalar()) {
        _ if node.hidden && any("string") => fault.hint("put it in quotes"),
        _ if node.hidden && any("array") => {
            fault.hint("write `[{file: PATH}]` or `[{env: NAME}]`, so that no secret is in this file")
        }
        _ if node.hidden => fault.hint("write `{file: PATH}` or `{env: NAME}`, so that no secret is in this file"),
        (Kind::Map(_), _) if any("array") => fault.hint("write a list: `[…]`, or a `- ` before each element"),
        (Kind::Scalar { text, .. }, Some(Scalar::Integer(_) | Scalar::Float(_))) if any("string") => {
            let unit = branches.iter().find_map(|branch| unit_of(branch));
            let example = branches.iter().find_map(|branch| branch["examples"][0].as_str());
            match (unit, example) {
                (Some(unit), _) => fault.hint(format!("add a unit: `{text}{unit}`")),
                (None, Some(example)) => fault.hint(format!("write it as in `{example}`")),
                (None, None) => fault.hint(format!("put it in quotes: `\"{text}\"`")),
            }
        }
        (_, Some(Scalar::Bool(_))) if any("string") => {
            match branches.iter().find_map(|branch| branch["pattern"].as_str()) {
                Some(pattern) if pattern.contains("off") => fault.hint("did you mean `off`?"),
                _ => fault.hint("put it in quotes if it is meant as text"),
            }
        }
        (Kind::Scalar { text, .. }, Some(Scalar::Text(_))) if any("array") => {
            fault.hint(format!("write `[{}]`", excerpt(text)))
        }
        (
            Kind::Scalar {
                text,
                style: Style::Text,
            },
            _,
        ) if any("integer") || any("boolean") => fault.hint(format!("write it without quotes: `{}`", excerpt(text))),
        _ => fault,
    }
}

/// A scalar that goes on in the next line: nearly always a key that is indented too deep.
pub(super) fn folded(node: &Node, place: &Place<'_>) -> Fault {
    let Kind::Scalar { text, .. } = &node.kind else {
        return Fault::new("a value over several lines");
    };
    let fault = Fault::new(format!("the value of `{}` goes on over the next line", place.key));
    let last = text.rsplit(' ').next().unwrap_or("");
    fault.hint(if node.hidden {
        "a line below is indented deeper and so became part of it: align the lines, or put the text in quotes".to_owned()
    } else {
        format!("a line below it is indented deeper and so became part of it (`{}`): align the lines, or put the text in quotes", excerpt(last))
    })
}
