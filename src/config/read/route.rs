//! What a source takes and where it goes: `path`, `events`, `to`.

use super::{
    Reader,
    destination::{Destinations, Found},
    unknown_name,
};
use crate::config::{
    problem::{Fault, excerpt},
    raw::{self, Listed},
    spot::Spot,
    text::Span,
    value,
};
use crate::{
    event::{Glob, PathRule},
    upstream::Route,
};
use std::ops::Deref;

impl Reader<'_> {
    /// The paths of a source with their places. Empty only if something was reported.
    pub(super) fn paths(&self, raw: &raw::Source, spot: Spot<'_>, name: &str) -> Vec<(PathRule, Span)> {
        if spot.has("path") && spot.has("paths") {
            self.problems.error(
                spot.at("paths").label(),
                Fault::new(format!("source `{name}` has both `path` and `paths`")).hint("put all of them into `paths`"),
            );
        }
        if spot.lacks("path") && spot.lacks("paths") {
            self.problems.error(
                spot.label(),
                Fault::new(format!("source `{name}` has no `path`")).hint(format!("add `path: /webhooks/{name}`")),
            );
        }
        let single = raw.path.iter().map(|path| (Some(path), spot.at("path")));
        let list = raw.paths.iter().flat_map(|Listed(list)| list).enumerate();
        let list = list.map(|(index, path)| (path.as_ref(), spot.at("paths").item(index)));
        let paths: Vec<(PathRule, Span)> = single
            .chain(list)
            .filter_map(|(path, spot)| Some((self.parsed(path.map(Deref::deref), spot, value::path)?, spot.value())))
            .collect();
        if raw.paths.as_ref().is_some_and(|Listed(list)| list.is_empty()) {
            self.problems.error(
                spot.at("paths").label(),
                Fault::new(format!("source `{name}` has no `path`: the list is empty")),
            );
        }
        paths
    }

    /// `events` of a source or a route.
    pub(super) fn events(&self, raw: Option<&Listed<impl Deref<Target = str>>>, spot: Spot<'_>) -> Vec<Glob> {
        let Some(Listed(list)) = raw else { return Vec::new() };
        if list.is_empty() {
            self.problems.error(
                spot.label(),
                Fault::new("an empty list of `events` would select nothing").hint("leave it out to select all"),
            );
        }
        list.iter()
            .enumerate()
            .filter_map(|(index, text)| {
                self.parsed(text.as_deref(), spot.item(index), |text| {
                    let fits = (1..=256).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~'));
                    if fits {
                        Ok(Glob::new(text))
                    } else {
                        Err(Fault::new(format!(
                            "`{}` matches no event: they are printable ASCII",
                            excerpt(text)
                        )))
                    }
                })
            })
            .collect()
    }

    /// Where a source's deliveries go.
    pub(super) fn routes(
        &self,
        raw: &raw::Source,
        spot: Spot<'_>,
        name: &str,
        destinations: &Destinations,
    ) -> Vec<Route> {
        let Some(Listed(list)) = &raw.to else {
            return match destinations.find("upstream") {
                Found::Known(destination) if spot.lacks("to") => vec![Route {
                    destination,
                    events: Vec::new(),
                    required: true,
                }],
                Found::Unknown if spot.lacks("to") => {
                    self.problems.error(
                        spot.label(),
                        Fault::new(format!(
                            "source `{name}` goes nowhere: it has no `to`, and there is no `upstream`"
                        ))
                        .hint("add `upstream: http://127.0.0.1:3000` at the top, or `to: [DESTINATION]` here"),
                    );
                    Vec::new()
                }
                _ => Vec::new(),
            };
        };
        let at = spot.at("to");
        let mut routes: Vec<Route> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        let mut any_required = false;
        for (index, to) in list.iter().enumerate() {
            let item = at.item(index);
            let (target, events, required, place) = match to {
                // Reported; it might have been a required one.
                None => {
                    any_required = true;
                    continue;
                }
                Some(raw::To::Short(target)) => (Some(&**target), Vec::new(), true, item),
                Some(raw::To::Long(long)) => (
                    long.destination.as_deref(),
                    self.events(long.events.as_ref(), item.at("events")),
                    long.required.unwrap_or(true),
                    item.at("destination"),
                ),
            };
            any_required |= required;
            let Some(target) = target else { continue };
            if seen.contains(&target) {
                self.problems.error(
                    place.value(),
                    Fault::new(format!("`{}` is in `to` twice", excerpt(target)))
                        .hint("put all its `events` into one entry"),
                );
                continue;
            }
            seen.push(target);
            match destinations.find(target) {
                Found::Known(destination) => routes.push(Route {
                    destination,
                    events,
                    required,
                }),
                Found::Reported => {}
                Found::Unknown => self.problems.error(
                    place.value(),
                    Fault::new(format!("unknown destination `{}`", excerpt(target))).hint(unknown_name(
                        target,
                        destinations.names(),
                        "there are no `destinations` in this file",
                    )),
                ),
            }
        }
        if !any_required {
            self.problems.error(
                at.label(),
                Fault::new(format!("`to` of source `{name}` has no required destination")).hint(
                    "a delivery succeeds when every required one has it: at least one must not say `required: false`",
                ),
            );
        }
        routes
    }
}
