//! `sources`: one sender after the other.

use super::{Reader, defaults::Defaults, destination::Destinations, keyring::Secrets, scheme::Scheme};
use crate::config::{
    problem::Fault,
    raw::{self, Listed, Named},
    settings::SourceSettings,
    spot::Spot,
    text::Span,
    value,
};
use crate::{
    event::{PathRule, SourceName},
    provider::preset::Covers,
    replay::OnOutage,
};
use std::sync::Arc;

/// What a source is read within.
pub(super) struct Around<'a> {
    pub defaults: &'a Defaults,
    pub destinations: &'a Destinations,
    /// Is there a `redis`?
    pub redis: bool,
    /// `redis.on_outage`.
    pub outage: OnOutage,
}

/// A source, and what comparing it with the others needs.
pub(super) struct ReadSource<'t> {
    pub name: String,
    pub spot: Spot<'t>,
    pub paths: Vec<(PathRule, Span)>,
    /// Does it prove what is sent, and not only who sends it, or nothing at all?
    pub proves_content: bool,
    /// `None`: reported.
    pub settings: Option<SourceSettings>,
    /// Targets in `to`, also those of a source that was reported.
    pub names: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn sources<'t>(
        &self,
        raw: Option<&Named<raw::Source>>,
        root: Spot<'t>,
        around: &Around<'_>,
    ) -> Vec<ReadSource<'t>> {
        let Some(Named(list)) = raw else { return Vec::new() };
        let spot = root.at("sources");
        if list.is_empty() && spot.keys().is_empty() {
            self.problems.error(
                spot.label(),
                Fault::new("there are no sources")
                    .hint("add at least one: `stripe: {provider: stripe, path: …, secrets: […]}`"),
            );
        }
        list.iter()
            .filter_map(|(name, raw)| Some(self.source(name, raw.as_ref()?, spot.at(name), around)))
            .collect()
    }

    fn source<'t>(&self, name: &str, raw: &raw::Source, spot: Spot<'t>, around: &Around<'_>) -> ReadSource<'t> {
        let Around {
            defaults, destinations, ..
        } = around;
        let parsed_name = SourceName::parse(name)
            .map_err(|error| self.problems.error(spot.label(), Fault::new(error.to_string())))
            .ok();
        let paths = self.paths(raw, spot, name);
        let to = self.routes(raw, spot, name, destinations);
        let events = self.events(raw.events.as_ref(), spot.at("events"));
        let allow_from = self.networks(raw.allow_from.as_ref(), spot.at("allow_from"));
        if matches!(&raw.allow_from, Some(Listed(list)) if list.is_empty()) {
            self.problems.error(
                spot.at("allow_from").label(),
                Fault::new("an empty `allow_from` would refuse everybody").hint("leave it out to allow any client"),
            );
        }
        let max_body = self.parsed(raw.max_body.as_deref(), spot.at("max_body"), value::size);
        let base = match raw.provider.as_deref() {
            Some("none") => &defaults.unverified_rate_limit,
            _ => &defaults.rate_limit,
        };
        let rate_limit = self.rate_limit(raw.rate_limit.as_ref(), spot.at("rate_limit"), base.as_ref());
        let on_outage = raw.on_outage.map_or(around.outage, Into::into);
        let mut secrets = self.secrets_of(raw, spot, name, defaults);
        let scheme = self.scheme(raw, spot, name, defaults, &mut secrets);
        self.warn_of_missing(&secrets, name);
        let replay = self.replay(raw, spot, defaults, scheme.as_ref());
        if let Some(scheme) = &scheme {
            self.match_secrets(scheme, &secrets, spot, name);
            let prefix = paths
                .iter()
                .find(|(path, _)| matches!(path, PathRule::Below(_)))
                .map(|(_, span)| span.clone());
            self.warn_of_replays(spot, name, defaults, scheme, replay, on_outage, around.redis, prefix);
            self.warn_of_paths(name, scheme, replay, &paths);
            self.unsigned_forward(raw, spot, &to, scheme);
        }
        // One that was reported needs no warning.
        let proves_content = scheme
            .as_ref()
            .is_none_or(|scheme| scheme.facts.covers != Covers::Nothing);
        let names = to.iter().map(|route| route.destination.name.to_string()).collect();
        let settings = parsed_name.zip(scheme).map(|(name, scheme)| {
            let Scheme {
                preset, options, facts, ..
            } = scheme;
            let (unavailable, missing) = (secrets.unavailable(), secrets.missing());
            let Secrets { list, kept, .. } = secrets;
            SourceSettings {
                name,
                preset: Arc::new(preset),
                options,
                paths: paths.iter().map(|(path, _)| path.clone()).collect(),
                secrets: list,
                unavailable,
                missing,
                kept,
                allow_from,
                events,
                to,
                max_body: max_body.or(facts.max_body).unwrap_or(defaults.max_body),
                replay,
                rate_limit,
                on_outage,
            }
        });
        ReadSource {
            name: name.to_owned(),
            spot,
            paths,
            proves_content,
            settings,
            names,
        }
    }

    /// Our signature says that we verified: not so for `none`, unless that is said aloud.
    fn unsigned_forward(&self, raw: &raw::Source, spot: Spot<'_>, to: &[crate::upstream::Route], scheme: &Scheme) {
        if raw.provider.as_deref() != Some("none") {
            return;
        }
        for route in to
            .iter()
            .filter(|route| route.destination.sign.is_some() && !route.destination.sign_unverified)
        {
            let at = if spot.has("to") {
                spot.at("to").label()
            } else {
                spot.label()
            };
            self.problems.error(
                at,
                Fault::new(format!(
                    "destination `{}` has `sign`, but `provider: {}` verifies nothing that we could vouch for",
                    route.destination.name, scheme.facts.name
                ))
                .hint("add `sign_unverified: true` to the destination if its signature shall only say that we sent it"),
            );
        }
    }
}
