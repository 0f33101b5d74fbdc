//! Walks the tree beside the raw values, so that whatever is wrong with a value can be said where it stands.

use super::{
    text::Span,
    tree::{Kind, Node, State},
};

/// A place in the tree, existing or not.
#[derive(Clone, Copy)]
pub(super) struct Spot<'t> {
    node: Option<&'t Node>,
    /// The key above it, or the nearest one that there is.
    label: &'t Span,
}

impl<'t> Spot<'t> {
    pub fn root(node: &'t Node) -> Self {
        let label = match &node.kind {
            Kind::Map(entries) if !entries.is_empty() => &entries[0].key_span,
            _ => &node.span,
        };
        Self {
            node: Some(node),
            label,
        }
    }

    /// The value under a key; where there is none, errors about it are shown at the mapping's own key.
    pub fn at(self, key: &str) -> Self {
        match self.node.and_then(|node| node.entry(key)) {
            Some(entry) => Self {
                node: Some(&entry.value),
                label: &entry.key_span,
            },
            None => Self {
                node: None,
                label: self.label,
            },
        }
    }

    /// An element of a list. A value that may stand alone or in a list is its own first element.
    pub fn item(self, index: usize) -> Self {
        match self.node.map(|node| &node.kind) {
            Some(Kind::List(items)) => match items.get(index) {
                Some(item) => Self {
                    node: Some(item),
                    label: &item.span,
                },
                None => self,
            },
            _ => self,
        }
    }

    /// As far down a JSON pointer as there is something.
    pub fn pointer(self, pointer: &str) -> Self {
        let mut spot = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match (spot.node.map(|node| &node.kind), part.parse()) {
                (Some(Kind::List(items)), Ok(index)) if index < items.len() => spot.item(index),
                (Some(Kind::Map(_)), _) if spot.has(&part) => spot.at(&part),
                _ => break,
            };
            spot = next;
        }
        spot
    }

    /// Is the key there, even if misspelt or with a value that was reported?
    pub fn has(self, key: &str) -> bool {
        self.node.is_some_and(|node| node.entry(key).is_some())
    }

    /// Is the key missing, and not merely hidden by a mistake that was reported?
    pub fn lacks(self, key: &str) -> bool {
        !self
            .node
            .is_some_and(|node| node.state == State::Partial || node.mentions(key))
    }

    /// The first scalar inside that is accepted.
    pub fn find_scalar(self, accept: &dyn Fn(&str) -> bool) -> Option<Span> {
        self.node
            .and_then(|node| node.find_scalar(accept))
            .map(|node| node.span.clone())
    }

    pub fn exists(self) -> bool {
        self.node.is_some()
    }

    /// Was anything inside of it reported?
    pub fn damaged(self) -> bool {
        self.node.is_some_and(Node::damaged)
    }

    /// The value if it is a scalar, else its key.
    pub fn value(self) -> Span {
        match self.node {
            Some(Node {
                kind: Kind::Scalar { .. },
                span,
                ..
            }) if !span.is_empty() => span.clone(),
            _ => self.label.clone(),
        }
    }

    /// The key.
    pub fn label(self) -> Span {
        self.label.clone()
    }

    /// The keys of a mapping with their spans.
    pub fn keys(self) -> Vec<(&'t str, Span)> {
        match self.node.map(|node| &node.kind) {
            Some(Kind::Map(entries)) => entries
                .iter()
                .map(|entry| (entry.key.as_str(), entry.key_span.clone()))
                .collect(),
            _ => Vec::new(),
        }
    }
}
