//! Which source a path belongs to: exact before prefix, the longest prefix first; the raw path, never a decoded one.

use super::Source;
use crate::event::PathRule;
use std::{collections::HashMap, sync::Arc};

/// The paths of all sources.
#[derive(Default)]
pub struct Routes {
    exact: HashMap<String, Arc<Source>>,
    // Sorted by falling length, so that the first hit is the longest.
    below: Vec<(String, Arc<Source>)>,
}

impl Routes {
    /// Adds one path of a source. That no two sources share one is the configuration's to see to.
    pub fn insert(&mut self, rule: &PathRule, source: &Arc<Source>) {
        match rule {
            PathRule::Exact(path) => {
                self.exact.insert(path.clone(), source.clone());
            }
            PathRule::Below(prefix) => {
                let at = self.below.partition_point(|(other, _)| other.len() >= prefix.len());
                self.below.insert(at, (prefix.clone(), source.clone()));
            }
        }
    }

    /// The source of this raw path, and the path that enters its ledger keys (empty under a prefix).
    pub fn find<'a>(&self, path: &'a str) -> Option<(&Arc<Source>, &'a str)> {
        if let Some(source) = self.exact.get(path) {
            return Some((source, path));
        }
        self.below
            .iter()
            .find(|(prefix, _)| path.len() > prefix.len() && path.starts_with(prefix.as_str()))
            .map(|(_, source)| (source, ""))
    }
}
