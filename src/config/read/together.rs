//! What only shows when all parts are compared: one path twice, a loop to ourselves, shared secrets, memory.

use super::{Reader, destination::Destinations, source::ReadSource};
use crate::config::{
    problem::Fault,
    settings::{Limits, Listen},
    spot::Spot,
    text::Span,
    value,
};
use crate::event::{PathRule, path::lenient_reading};
use std::{collections::HashMap, net::IpAddr};

impl Reader<'_> {
    pub(super) fn together(
        &self,
        root: Spot<'_>,
        listen: Option<&Listen>,
        limits: Option<&Limits>,
        destinations: &Destinations,
        sources: &[ReadSource<'_>],
    ) {
        self.one_source_a_path(listen, sources);
        self.weak_prefixes(sources);
        self.no_loop(root, listen, destinations);
        self.own_secrets(sources);
        self.bodies_fit(limits, sources);
        self.answers_fit(root, limits);
        self.shared_limits_have_redis(root);
        self.unused(root, destinations, sources);
    }

    fn one_source_a_path(&self, listen: Option<&Listen>, sources: &[ReadSource<'_>]) {
        let mut taken: HashMap<&PathRule, &str> = HashMap::new();
        for source in sources {
            for (path, span) in &source.paths {
                let text = show(path);
                if let Some(first) = taken.insert(path, &source.name) {
                    let fault = if first == source.name {
                        Fault::new(format!("the path `{text}` is in source `{first}` twice"))
                    } else {
                        Fault::new(format!("the path `{text}` belongs to source `{first}` already"))
                    };
                    self.problems
                        .error(span.clone(), fault.hint("every path belongs to one source"));
                }
                if listen
                    .and_then(|listen| listen.health_path.as_ref())
                    .is_some_and(|health| *health == text)
                {
                    self.problems.error(
                        span.clone(),
                        Fault::new(format!("the path `{text}` is `listen.health_path` already")),
                    );
                }
            }
        }
    }

    /// A prefix of a source that proves nothing of what is sent, around the path of another source.
    fn weak_prefixes(&self, sources: &[ReadSource<'_>]) {
        for source in sources.iter().filter(|source| !source.proves_content) {
            for (path, span) in &source.paths {
                let PathRule::Below(prefix) = path else { continue };
                let others = sources.iter().filter(|other| other.name != source.name);
                for other in others {
                    let covered = other.paths.iter().find(|(path, _)| is_covered(path, prefix));
                    let Some((covered, _)) = covered else { continue };
                    let fault = Fault::new(format!(
                        "`{prefix}*` of source `{}`, which does not verify what is sent, covers `{}` of source `{}`",
                        source.name,
                        show(covered),
                        other.name
                    ));
                    self.problems.warn(
                        span.clone(),
                        fault.hint(format!(
                            "other spellings of that path are refused (404), but give `{}` a prefix of its own",
                            source.name
                        )),
                    );
                }
            }
        }
    }

    /// A destination at our own webhook port would send every delivery round and round.
    fn no_loop(&self, root: Spot<'_>, listen: Option<&Listen>, destinations: &Destinations) {
        let Some(listen) = listen.filter(|listen| listen.address.port() != 0) else {
            return;
        };
        for spec in destinations.known() {
            let here = match spec.url.host.parse::<IpAddr>() {
                Ok(ip) => {
                    ip == listen.address.ip()
                        || (listen.address.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
                }
                Err(_) => {
                    spec.url.host == "localhost"
                        && (listen.address.ip().is_unspecified() || listen.address.ip().is_loopback())
                }
            };
            if here && spec.url.port == listen.address.port() {
                let spot = if spec.name.as_str() == "upstream" {
                    root.at("upstream")
                } else {
                    root.at("destinations").at(spec.name.as_str())
                };
                let at = if spot.has("url") { spot.at("url") } else { spot };
                self.problems.error(
                    at.value(),
                    Fault::new(format!(
                        "`{}` is hookward's own `listen` address: deliveries would go round in circles",
                        spec.name
                    ))
                    .hint("name the port of the app"),
                );
            }
        }
    }

    /// With one secret for two sources a request for one is authentic for the other.
    fn own_secrets(&self, sources: &[ReadSource<'_>]) {
        for (index, source) in sources.iter().enumerate() {
            for (at, secret) in source
                .settings
                .iter()
                .flat_map(|settings| settings.secrets.iter().enumerate())
            {
                let same = sources[..index].iter().find(|other| {
                    other
                        .settings
                        .iter()
                        .flat_map(|settings| &settings.secrets)
                        .any(|one| one.text.secret == secret.text.secret)
                });
                if let Some(other) = same {
                    self.problems.warn(
                        place_of_secret(source.spot, at),
                        Fault::new(format!(
                            "sources `{}` and `{}` share a secret: what is sent to one is authentic for the other",
                            other.name, source.name
                        ))
                        .hint("give each source a secret of its own"),
                    );
                }
            }
        }
    }

    fn bodies_fit(&self, limits: Option<&Limits>, sources: &[ReadSource<'_>]) {
        let Some(limits) = limits else { return };
        for source in sources {
            let Some(settings) = source
                .settings
                .as_ref()
                .filter(|settings| settings.max_body > limits.buffered_bytes)
            else {
                continue;
            };
            let at = if source.spot.has("max_body") {
                source.spot.at("max_body").value()
            } else {
                source.spot.label()
            };
            self.problems.warn(
                at,
                Fault::new(format!(
                    "`max_body` of source `{}` ({}) is more than all bodies together may hold (`limits.buffered_bytes`, {}): the largest are answered 503",
                    source.name,
                    value::show_size(settings.max_body),
                    value::show_size(limits.buffered_bytes)
                ))
                .hint("raise `limits.buffered_bytes` (or the memory limit), or lower `max_body`"),
            );
        }
    }

    /// Long answers of apps have half of the room for bodies.
    fn answers_fit(&self, root: Spot<'_>, limits: Option<&Limits>) {
        let spot = root.at("limits");
        let Some(limits) = limits.filter(|limits| limits.answer_bytes > limits.buffered_bytes / 2) else {
            return;
        };
        if spot.has("answer_bytes") {
            self.problems.warn(
                spot.at("answer_bytes").value(),
                Fault::new(format!(
                    "`limits.answer_bytes` ({}) is more than all long answers together may hold (half of `limits.buffered_bytes`, {}): the longest are answered 502",
                    value::show_size(limits.answer_bytes),
                    value::show_size(limits.buffered_bytes)
                ))
                .hint("raise `limits.buffered_bytes` (or the memory limit), or lower `limits.answer_bytes`"),
            );
        }
    }

    /// A limit that all replicas keep together is kept in Redis.
    fn shared_limits_have_redis(&self, root: Spot<'_>) {
        if root.has("redis") {
            return;
        }
        let sources = root.at("sources");
        let sources = sources.keys().into_iter().map(|(name, _)| sources.at(name));
        for holder in std::iter::once(root.at("defaults")).chain(sources) {
            let scope = holder.at("rate_limit").at("scope");
            if let Some(span) = scope.find_scalar(&|word| word == "shared") {
                self.problems.warn(
                    span,
                    Fault::new("`scope: shared` does nothing without `redis`: each replica counts by itself")
                        .hint("add `redis`, or take it out"),
                );
            }
        }
    }

    fn unused(&self, root: Spot<'_>, destinations: &Destinations, sources: &[ReadSource<'_>]) {
        // With a source that was reported nobody knows what it uses.
        if self.problems.any_error() {
            return;
        }
        for spec in destinations.known() {
            let name = spec.name.as_str();
            if sources
                .iter()
                .any(|source| source.names.iter().any(|used| used == name))
            {
                continue;
            }
            let spot = if name == "upstream" {
                root.at("upstream")
            } else {
                root.at("destinations").at(name)
            };
            self.problems.warn(
                spot.label(),
                Fault::new(format!("no source sends to `{name}`")).hint("name it in a source's `to`, or take it out"),
            );
        }
    }
}

fn place_of_secret(spot: Spot<'_>, index: usize) -> Span {
    let item = spot.at("secrets").item(index);
    ["file", "env", "value"]
        .iter()
        .find(|key| item.has(key))
        .map_or_else(|| item.label(), |key| item.at(key).label())
}

/// Could an app read this path as one below the prefix?
fn is_covered(path: &PathRule, prefix: &str) -> bool {
    let (PathRule::Exact(path) | PathRule::Below(path)) = path;
    let (path, prefix) = (lenient_reading(path), lenient_reading(prefix));
    path.strip_prefix(prefix.as_str())
        .is_some_and(|rest| rest.starts_with('/'))
}

fn show(path: &PathRule) -> String {
    match path {
        PathRule::Exact(path) => path.clone(),
        PathRule::Below(prefix) => format!("{prefix}*"),
    }
}
