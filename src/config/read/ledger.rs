//! A source's replay ledger: `replay`, and whether it goes together with the tolerance.

use super::{Reader, defaults::Defaults, scheme::Scheme};
use crate::config::{
    problem::Fault,
    raw::{self, ReplayLong},
    spot::Spot,
    text::Span,
    value,
};
use crate::{
    event::PathRule,
    provider::Tolerance,
    replay::{OnOutage, ReplayPolicy},
};
use std::time::Duration;

/// How far the clocks of two replicas may be apart.
const SKEW: Duration = Duration::from_secs(30);

impl Reader<'_> {
    /// `None`: off.
    pub(super) fn replay(
        &self,
        raw: &raw::Source,
        spot: Spot<'_>,
        defaults: &Defaults,
        scheme: Option<&Scheme>,
    ) -> Option<ReplayPolicy> {
        let written: Option<&ReplayLong> = match &raw.replay {
            Some(raw::Replay::Off(_)) => return None,
            Some(raw::Replay::On(long)) => Some(long),
            None => None,
        };
        let keep = self.parsed(
            written.and_then(|long| long.keep.as_deref()),
            spot.at("replay").at("keep"),
            value::positive,
        );
        let scheme = scheme?;
        let facts = &scheme.facts;
        let on = written.is_some() || (!defaults.replay_off && (facts.ledger || raw.id.is_some()));
        if !on {
            return None;
        }
        let policy = ReplayPolicy {
            keep: keep.or(facts.keep).unwrap_or(defaults.keep),
            duplicates: written
                .and_then(|long| long.duplicates)
                .unwrap_or(defaults.duplicates)
                .into(),
        };
        let keep_span = if keep.is_some() {
            Some(spot.at("replay").at("keep").value())
        } else if facts.keep.is_none() {
            defaults.keep_span.clone()
        } else {
            None
        };
        if let Some(window) = facts.tolerance {
            self.keep_spans_the_window(
                policy.keep,
                window,
                keep_span
                    .or_else(|| tolerance_span(spot, defaults))
                    .unwrap_or_else(|| spot.label()),
            );
        }
        Some(policy)
    }

    /// The times at which one signed attempt is accepted must end before it is forgotten, or a capture is new again.
    fn keep_spans_the_window(&self, keep: Duration, window: Tolerance, span: Span) {
        let least = window.past + window.future + 2 * SKEW;
        if keep < least {
            self.problems.error(
                span,
                Fault::new(format!(
                    "a delivery is forgotten after {}, but the same attempt is accepted for {} ({} past + {} future + 2 x {} skew)",
                    value::show(keep),
                    value::show(least),
                    value::show(window.past),
                    value::show(window.future),
                    value::show(SKEW)
                ))
                .hint(format!("set `keep` to at least {}, or narrow `tolerance`", value::show(least))),
            );
        }
    }

    /// What is allowed and probably not meant.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of the same source")]
    pub(super) fn warn_of_replays(
        &self,
        spot: Spot<'_>,
        name: &str,
        defaults: &Defaults,
        scheme: &Scheme,
        replay: Option<ReplayPolicy>,
        on_outage: OnOutage,
        redis: bool,
        prefix: Option<Span>,
    ) {
        let facts = &scheme.facts;
        let tolerance = || tolerance_span(spot, defaults).unwrap_or_else(|| spot.label());
        if let (Some(policy), None, true) = (replay, facts.tolerance, scheme.signs_time) {
            self.problems.warn(
                tolerance(),
                Fault::new(format!(
                    "`tolerance: off` with a `keep` of {}: a captured request of source `{name}` is new again after that",
                    value::show(policy.keep)
                ))
                .hint("let signed time be checked"),
            );
        }
        if replay.is_some() && !scheme.signs_time && !redis {
            self.problems.warn(
                spot.label(),
                Fault::new(format!(
                    "source `{name}` signs no time and its ledger lives in this process: after a restart a captured request is new again"
                ))
                .hint("add `redis`"),
            );
        }
        if let (Some(window), Some(horizon)) = (facts.tolerance, facts.stale_retries)
            && window.past < horizon
        {
            self.problems.warn(
                tolerance(),
                Fault::new(format!(
                    "retries of `{}` keep their first timestamp: those later than the tolerance of {} are refused as stale",
                    facts.name,
                    value::show(window.past)
                ))
                .hint(format!("`tolerance: {{past: {}, future: {}}}` lets all of them in", value::show(horizon), value::show(window.future))),
            );
        }
        if spot.has("id") && !facts.takes_secrets {
            self.problems.warn(
                spot.at("id").label(),
                Fault::new(format!(
                    "nothing proves the `id` of source `{name}`: any client can claim an id in advance, and the event that bears the id is then dropped as a duplicate"
                ))
                .hint("narrow `allow_from`, or let the sender prove itself with `provider: token`"),
            );
        }
        if let (Some(_), Some(span)) = (replay, prefix) {
            self.problems.warn(
                span,
                Fault::new(format!("source `{name}` has a ledger and a `/*` path, which is no part of its key: one delivery counts once for all paths below it"))
                    .hint("list the paths in `paths` if the same event may arrive at several"),
            );
        }
        if replay.is_some() && redis && on_outage == OnOutage::Reject && !facts.automatic_retries {
            let at = if spot.has("on_outage") {
                spot.at("on_outage").value()
            } else {
                spot.label()
            };
            self.problems.warn(
                at,
                Fault::new(format!(
                    "`on_outage: reject` loses deliveries of `{}`, which does not retry by itself",
                    facts.name
                ))
                .hint("use `on_outage: local` here"),
            );
        }
        if spot.has("on_outage") && !redis {
            self.problems.warn(
                spot.at("on_outage").label(),
                Fault::new(format!("`on_outage` of source `{name}` does nothing without `redis`"))
                    .hint("add `redis`, or take it out"),
            );
        }
    }

    /// The ledger's key holds the path: each further one is a ledger of its own for a request that is valid on all of them.
    pub(super) fn warn_of_paths(
        &self,
        name: &str,
        scheme: &Scheme,
        replay: Option<ReplayPolicy>,
        paths: &[(PathRule, Span)],
    ) {
        let is_prefix = |(path, _): &&(PathRule, Span)| matches!(path, PathRule::Below(_));
        let prefixes = paths.iter().filter(is_prefix).count();
        // The key of what arrives below a prefix holds no path.
        let ledgers = paths.len() - prefixes + prefixes.min(1);
        if replay.is_none() || scheme.facts.signs_path || ledgers < 2 {
            return;
        }
        self.problems.warn(
            paths[1].1.clone(),
            Fault::new(format!(
                "the signature of `{}` does not cover the path: a captured request of source `{name}` is new once more on each of its {} paths",
                scheme.facts.name, ledgers
            ))
            .hint("keep one path, or make each path a source with a secret of its own"),
        );
    }
}

/// Where the tolerance in force is written, if anywhere.
fn tolerance_span(spot: Spot<'_>, defaults: &Defaults) -> Option<Span> {
    if spot.has("tolerance") {
        Some(spot.at("tolerance").value())
    } else {
        defaults.tolerance_span.clone()
    }
}
