//! Headers that have a second name, under which all of them are read where a request lacks one of the first names.

use super::field::{Field, Place};
use http::{HeaderName, request::Parts};
use std::{collections::BTreeMap, sync::Arc};

/// First and second name of each header.
type Pairs = Arc<[(HeaderName, HeaderName)]>;

/// `second_headers` of a preset, compiled.
#[derive(Default)]
pub struct Seconds(Pairs);

/// The second name of one header.
#[derive(Clone, Debug)]
pub struct Second {
    all: Pairs,
    at: usize,
}

impl Seconds {
    /// The error names what is not the name of a header.
    pub fn of(names: &BTreeMap<String, String>) -> Result<Self, String> {
        let header = |name: &String| {
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))
        };
        let pairs = names
            .iter()
            .map(|(first, second)| Ok((header(first)?, header(second)?)));
        Ok(Self(pairs.collect::<Result<_, String>>()?))
    }

    /// The field with its second name, if it is a header that has one.
    pub fn named(&self, field: Field) -> Field {
        let at = match &field.place {
            Place::Header(name) => self.0.iter().position(|(first, _)| first == name),
            _ => None,
        };
        let second = at.map(|at| Second {
            all: self.0.clone(),
            at,
        });
        Field { second, ..field }
    }
}

impl Second {
    /// The second name.
    pub fn name(&self) -> &HeaderName {
        &self.all[self.at].1
    }

    /// Is it read under this name: is one of all these headers missing or empty under its first name, and none under its
    /// second? The rule is that of Svix's libraries, which refuse a request where neither family is whole.
    pub fn holds(&self, head: &Parts) -> bool {
        let has = |name: &HeaderName| head.headers.get(name).is_some_and(|value| !value.is_empty());
        !self.all.iter().all(|(first, _)| has(first)) && self.all.iter().all(|(_, second)| has(second))
    }
}
