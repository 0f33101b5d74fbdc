//! What one branch of a JSON Schema takes.

use crate::config::tree::{Kind, Node, Scalar};
use serde_json::Value;

pub(super) fn types_of(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn words_of(schema: &Value) -> Option<Vec<&str>> {
    if let Some(word) = schema["const"].as_str() {
        return Some(vec![word]);
    }
    schema["enum"]
        .as_array()
        .map(|words| words.iter().filter_map(Value::as_str).collect())
}

pub(super) fn accepts(schema: &Value, node: &Node) -> bool {
    let types = types_of(schema);
    if types.is_empty() {
        return schema["const"].is_null() || matches!(node.scalar(), Some(Scalar::Text(_)));
    }
    types.iter().any(|name| match (&node.kind, *name) {
        (Kind::Map(_), "object") | (Kind::List(_), "array") => true,
        (Kind::Scalar { .. }, name) => matches!(
            (node.scalar(), name),
            (Some(Scalar::Text(_)), "string")
                | (Some(Scalar::Integer(_)), "integer" | "number")
                | (Some(Scalar::Float(_)), "number")
                | (Some(Scalar::Bool(_)), "boolean")
                | (Some(Scalar::Null), "null")
        ),
        _ => false,
    })
}

/// Of several mappings the one that knows most of the keys.
pub(super) fn best_mapping<'s>(node: &Node, fitting: &[&'s Value]) -> &'s Value {
    let Kind::Map(entries) = &node.kind else {
        return fitting[0];
    };
    let known = |schema: &Value| {
        entries
            .iter()
            .filter(|entry| schema["properties"].get(&entry.key).is_some())
            .count()
    };
    fitting
        .iter()
        .rev()
        .max_by_key(|schema| known(schema))
        .copied()
        .unwrap_or(fitting[0])
}
