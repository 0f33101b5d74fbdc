//! From the raw values to [`Settings`]: what each value means, and whether they make sense together.

mod defaults;
mod destination;
mod front;
mod headers;
mod keyring;
mod ledger;
mod limits;
mod options;
mod redis;
mod route;
mod scheme;
mod source;
mod tls;
mod together;

use super::{
    environment::Environment,
    presets::Presets,
    problem::{Fault, Problems},
    raw::{self, OnMissing, ReadyPart, Root},
    settings::{ReadyRequires, Settings},
    spot::Spot,
    suggest,
    tree::Node,
};
use std::{cell::RefCell, collections::BTreeSet, path::Path, path::PathBuf};

/// What every part of the reading needs.
pub(super) struct Reader<'a> {
    pub problems: &'a Problems,
    pub env: &'a dyn Environment,
    pub presets: &'a dyn Presets,
    /// What is in force, at a reload.
    pub held: Option<&'a Settings>,
    /// Directory of the configuration file: relative secret files start here.
    pub base: &'a Path,
    /// Files that were read.
    pub files: RefCell<BTreeSet<PathBuf>>,
}

impl Reader<'_> {
    /// The settings; `None` only if an error was reported.
    pub fn settings(&self, tree: &Node, raw: &Root) -> Option<Settings> {
        let root = Spot::root(tree);
        let listen = self.listen(raw.listen.as_ref(), root.at("listen"));
        let health = self.health(raw.health.as_deref(), root.at("health"));
        let admin = self.admin(raw.admin.as_ref(), root.at("admin"));
        let hosts = self.hosts(raw.hosts.as_ref(), root.at("hosts"));
        self.ports(root, listen.as_ref(), health, admin.as_ref());
        let redis = self.redis(raw.redis.as_ref(), root.at("redis"));
        let limits = self.limits(raw.limits.as_ref(), root.at("limits"));
        let client_ip = self.client_ip(raw.client_ip.as_ref(), root);
        self.proxy_needs_trust(listen.as_ref(), &client_ip, root);
        let defaults = self.defaults(raw.defaults.as_ref(), root.at("defaults"));
        let destinations = self.destinations(raw, root, &defaults);
        let outage = raw.redis.as_ref().and_then(raw::Redis::on_outage);
        let sources = self.sources(
            raw.sources.as_ref(),
            root,
            &source::Around {
                defaults: &defaults,
                destinations: &destinations,
                redis: raw.redis.is_some() || root.has("redis"),
                outage: outage.map(Into::into).unwrap_or_default(),
            },
        );
        self.together(root, listen.as_ref(), limits.as_ref(), &destinations, &sources);
        let ready_requires = self.ready_requires(raw, root);
        let state_dir = self.state_dir(raw, root);
        if self.problems.any_error() {
            return None;
        }
        let sources: Vec<_> = sources.into_iter().filter_map(|source| source.settings).collect();
        Some(Settings {
            listen: listen?,
            health: health?,
            admin: admin?,
            hosts,
            redis: redis?,
            client_ip,
            limits: limits?,
            state_dir,
            ready_requires,
            destinations: destinations.used_by(&sources),
            sources,
            files: self.files.borrow().iter().cloned().collect(),
        })
    }

    /// Parses a text where there is one, and reports what is wrong with it.
    pub fn parsed<T>(
        &self,
        text: Option<&str>,
        spot: Spot<'_>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        match parse(text?) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.problems.error(spot.value(), fault);
                None
            }
        }
    }

    fn state_dir(&self, raw: &Root, root: Spot<'_>) -> Option<PathBuf> {
        let text: &str = raw.state_dir.as_deref()?;
        if text.trim().is_empty() {
            self.problems.error(
                root.at("state_dir").value(),
                Fault::new("`state_dir` is empty").hint("name a directory that hookward may write to, or take it out"),
            );
        }
        Some(PathBuf::from(text))
    }

    fn ready_requires(&self, raw: &Root, root: Spot<'_>) -> ReadyRequires {
        let mut requires = ReadyRequires::default();
        let parts = raw.ready_requires.iter().flat_map(|list| &list.0).enumerate();
        for (index, part) in parts {
            match part {
                Some(ReadyPart::Redis) if !root.has("redis") => self.problems.error(
                    root.at("ready_requires").item(index).value(),
                    Fault::new("`redis` is required for readiness, but there is no `redis` here")
                        .hint("add `redis`, or take this out"),
                ),
                Some(ReadyPart::Redis) => requires.redis = true,
                Some(ReadyPart::Upstream) => requires.upstream = true,
                None => {}
            }
        }
        requires
    }
}

/// The hint under a name that nothing bears.
fn unknown_name<'k>(name: &str, known: impl IntoIterator<Item = &'k str> + Clone, none: &str) -> String {
    if known.clone().into_iter().next().is_none() {
        none.to_owned()
    } else {
        suggest::hint(name, known)
    }
}

/// `defaults.on_missing_secret` of what belongs to no source: a missing one always fails.
const FAIL: OnMissing = OnMissing::Fail;
