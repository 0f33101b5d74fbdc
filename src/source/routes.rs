//! Which source a path belongs to: exact before prefix, the longest prefix first; the raw path, never a decoded one.
//!
//! An app behind us may read paths leniently. So a prefix path takes nothing that such an app could read as another
//! source's path: `/hooks/*` of a source without verification must not reach the handler of `/hooks/github`.

use super::Source;
use crate::event::{PathRule, SourceName, path::lenient_reading};
use std::{collections::HashMap, sync::Arc};

/// The paths of all sources.
#[derive(Default)]
pub struct Routes {
    exact: HashMap<String, Arc<Source>>,
    // Sorted by falling length, so that the first hit is the longest.
    below: Vec<Prefix>,
    /// Sources with an exact path of this lenient reading.
    readings: HashMap<String, Vec<SourceName>>,
}

struct Prefix {
    /// As configured, with its last slash.
    path: String,
    /// Its lenient reading, without a last slash.
    reading: String,
    source: Arc<Source>,
    /// Does a path of another source read as one below this prefix? Without one a request costs no comparison.
    covers_another: bool,
}

/// Why a path belongs to no source; for operators only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrouted {
    /// Nothing in the configuration matches it.
    #[error("no source has this path")]
    Unknown,
    /// Only a prefix path matches it, and an app could read it as another source's path.
    #[error("the path matches only a prefix, and an app could read it as another source's path")]
    Ambiguous,
}

impl Routes {
    /// Adds one path of a source. That no two sources share one is the configuration's to see to.
    pub fn insert(&mut self, rule: &PathRule, source: &Arc<Source>) {
        match rule {
            PathRule::Exact(path) => {
                let reading = lenient_reading(path);
                for prefix in &mut self.below {
                    prefix.covers_another |= prefix.source.name != source.name && prefix.may_hold(&reading);
                }
                self.readings.entry(reading).or_default().push(source.name.clone());
                self.exact.insert(path.clone(), source.clone());
            }
            PathRule::Below(path) => self.insert_prefix(path, source),
        }
    }

    fn insert_prefix(&mut self, path: &str, source: &Arc<Source>) {
        let mut new = Prefix {
            path: path.to_owned(),
            reading: lenient_reading(path),
            source: source.clone(),
            covers_another: false,
        };
        new.covers_another = self
            .readings
            .iter()
            .any(|(reading, owners)| new.may_hold(reading) && owners.iter().any(|owner| *owner != source.name));
        for prefix in self.below.iter_mut().filter(|prefix| prefix.source.name != source.name) {
            prefix.covers_another |= prefix.may_hold(&new.reading);
            new.covers_another |= new.may_hold(&prefix.reading);
        }
        let at = self.below.partition_point(|other| other.path.len() >= path.len());
        self.below.insert(at, new);
    }

    /// The source of this raw path, and the path that enters its ledger keys (empty under a prefix).
    pub fn find<'a>(&self, path: &'a str) -> Result<(&Arc<Source>, &'a str), Unrouted> {
        if let Some(source) = self.exact.get(path) {
            return Ok((source, path));
        }
        let prefix = self
            .below
            .iter()
            .find(|prefix| path.len() > prefix.path.len() && path.starts_with(prefix.path.as_str()))
            .ok_or(Unrouted::Unknown)?;
        if prefix.covers_another && self.reads_as_another(path, prefix) {
            return Err(Unrouted::Ambiguous);
        }
        Ok((&prefix.source, ""))
    }

    /// Could an app read this path, which matched `prefix`, as a path of another source?
    fn reads_as_another(&self, path: &str, prefix: &Prefix) -> bool {
        let reading = lenient_reading(path);
        let is_another = |name: &SourceName| *name != prefix.source.name;
        let owned_by_another = |reading: &str| {
            let owners = self.readings.get(reading);
            owners.is_some_and(|owners| owners.iter().any(is_another))
        };
        // Of prefixes the longest takes a path, so only a longer one can be meant.
        owned_by_another(&reading)
            || owned_by_another(without_format(&reading))
            || self.below.iter().any(|other| {
                is_another(&other.source.name) && other.reading.len() > prefix.reading.len() && other.is_above(&reading)
            })
    }
}

/// A reading without `.json` or the like at its end: Rails and others route `/hooks/github.json` as `/hooks/github`.
fn without_format(reading: &str) -> &str {
    let name = reading.rfind('/').map_or(0, |slash| slash + 1);
    match reading.rfind('.') {
        Some(dot) if dot > name => &reading[..dot],
        _ => reading,
    }
}

impl Prefix {
    /// May a path that matches this prefix have this reading? An upper bound: what follows may be parameters alone.
    fn may_hold(&self, reading: &str) -> bool {
        self.reading == reading || self.is_above(reading)
    }

    /// Is this reading below the prefix's own?
    fn is_above(&self, reading: &str) -> bool {
        let rest = reading.strip_prefix(self.reading.as_str());
        rest.is_some_and(|rest| rest.starts_with('/'))
    }
}
