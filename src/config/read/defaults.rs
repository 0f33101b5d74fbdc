//! `defaults`, and the parts that sources share with them: tolerance, rate limit.

use super::Reader;
use crate::config::{
    problem::{Fault, excerpt},
    raw::{self, Duplicates, OnMissing, ScopeWord},
    spot::Spot,
    text::Span,
    value,
};
use crate::{
    limit::{LimitSpec, Per, Rate, Scope},
    provider::{Tolerance, Window},
};
use http::HeaderName;
use std::time::Duration;

/// What holds where a source says nothing, the built-in values filled in.
pub(super) struct Defaults {
    pub max_body: u64,
    pub tolerance: Window,
    pub tolerance_span: Option<Span>,
    /// `replay: off`.
    pub replay_off: bool,
    pub keep: Duration,
    pub keep_span: Option<Span>,
    pub duplicates: Duplicates,
    /// `None`: off.
    pub rate_limit: Option<LimitSpec>,
    /// The same for a source that verifies nothing.
    pub unverified_rate_limit: Option<LimitSpec>,
    pub timeout: Duration,
    pub connect_wait: Duration,
    pub on_missing: OnMissing,
}

const MAX_BODY: u64 = 1 << 20;
const TOLERANCE: Duration = Duration::from_mins(5);
const KEEP: Duration = Duration::from_hours(24);
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// The burst of a source that verifies nothing, where none is configured: one second of the built-in rate. Anybody can
/// spend it, and each request of it may wait for a slow app.
const UNVERIFIED_BURST: u32 = 200;

/// The rate limit of a source about which nothing is said.
fn rate_limit() -> LimitSpec {
    LimitSpec {
        per: Per::Source,
        rate: Rate {
            count: 200,
            per: Duration::from_secs(1),
        },
        burst: 1000,
        scope: Scope::Replica,
        unavailable_status: false,
    }
}

impl Reader<'_> {
    pub(super) fn defaults(&self, raw: Option<&raw::Defaults>, spot: Spot<'_>) -> Defaults {
        let replay = raw.and_then(|raw| raw.replay.as_ref());
        let long = match replay {
            Some(raw::Replay::On(long)) => Some(long),
            Some(raw::Replay::Off(_)) | None => None,
        };
        let keep_at = spot.at("replay").at("keep");
        let keep = self.parsed(long.and_then(|long| long.keep.as_deref()), keep_at, value::positive);
        let tolerance = raw.and_then(|raw| raw.tolerance.as_ref());
        let limit = raw.and_then(|raw| raw.rate_limit.as_ref());
        let rate_limit = self.rate_limit(limit, spot.at("rate_limit"), Some(&rate_limit()));
        let chosen = match limit {
            Some(raw::RateLimit::On(long)) => long.rate.is_some() || long.burst.is_some(),
            Some(raw::RateLimit::Short(_)) => true,
            Some(raw::RateLimit::Off(_)) | None => false,
        };
        let unverified_rate_limit = rate_limit.clone().map(|limit| LimitSpec {
            burst: if chosen { limit.burst } else { UNVERIFIED_BURST },
            ..limit
        });
        let window = self.window(tolerance, spot.at("tolerance"));
        Defaults {
            max_body: self
                .parsed(
                    raw.and_then(|raw| raw.max_body.as_deref()),
                    spot.at("max_body"),
                    value::size,
                )
                .unwrap_or(MAX_BODY),
            tolerance: window.unwrap_or(Window::Within(Tolerance {
                past: TOLERANCE,
                future: TOLERANCE,
            })),
            tolerance_span: tolerance.map(|_| spot.at("tolerance").value()),
            replay_off: matches!(replay, Some(raw::Replay::Off(_))),
            keep: keep.unwrap_or(KEEP),
            keep_span: keep.map(|_| keep_at.value()),
            duplicates: long.and_then(|long| long.duplicates).unwrap_or(Duplicates::Acknowledge),
            rate_limit,
            unverified_rate_limit,
            timeout: self
                .parsed(
                    raw.and_then(|raw| raw.timeout.as_deref()),
                    spot.at("timeout"),
                    value::positive,
                )
                .unwrap_or(TIMEOUT),
            connect_wait: self
                .parsed(
                    raw.and_then(|raw| raw.connect_wait.as_deref()),
                    spot.at("connect_wait"),
                    value::duration,
                )
                .unwrap_or(CONNECT_WAIT),
            on_missing: raw.and_then(|raw| raw.on_missing_secret).unwrap_or(OnMissing::Fail),
        }
    }

    /// `tolerance`, where there is one.
    pub(super) fn window(&self, raw: Option<&raw::Tolerance>, spot: Spot<'_>) -> Option<Window> {
        match raw? {
            raw::Tolerance::Text(text) if &**text == "off" => Some(Window::Off),
            raw::Tolerance::Text(text) => {
                let past = self.parsed(Some(text), spot, value::duration)?;
                Some(Window::Within(Tolerance { past, future: past }))
            }
            raw::Tolerance::Long(long) => {
                let future = self.parsed(long.future.as_deref(), spot.at("future"), value::duration);
                let past = self.parsed(long.past.as_deref(), spot.at("past"), value::duration)?;
                Some(Window::Within(Tolerance {
                    past,
                    future: future.unwrap_or(past),
                }))
            }
        }
    }

    /// `rate_limit` over what it falls back to; `None`: off.
    pub(super) fn rate_limit(
        &self,
        raw: Option<&raw::RateLimit>,
        spot: Spot<'_>,
        base: Option<&LimitSpec>,
    ) -> Option<LimitSpec> {
        let long = match raw {
            None => return base.cloned(),
            Some(raw::RateLimit::Off(_)) => return None,
            Some(raw::RateLimit::Short(rate)) => return Some(self.rate_alone(rate, spot, base)),
            Some(raw::RateLimit::On(long)) => long,
        };
        let mut spec = base.cloned().unwrap_or_else(rate_limit);
        if let Some(rate) = self.parsed(long.rate.as_deref(), spot.at("rate"), value::rate) {
            // A burst that was chosen for another rate would let this one be exceeded for minutes.
            spec = LimitSpec {
                rate,
                burst: rate.count,
                ..spec
            };
        }
        if let Some(burst) = long.burst {
            spec.burst = burst;
        }
        if let Some(status) = long.status {
            spec.unavailable_status = status == 503;
        }
        if let Some(scope) = long.scope {
            spec.scope = match scope {
                ScopeWord::Replica => Scope::Replica,
                ScopeWord::Shared => Scope::Shared,
            };
        }
        if let Some(per) = long.per.as_ref().and_then(|per| self.per(per, spot.at("per"))) {
            spec.per = per;
        }
        Some(spec)
    }

    /// `rate_limit: 100/s`.
    fn rate_alone(&self, rate: &str, spot: Spot<'_>, base: Option<&LimitSpec>) -> LimitSpec {
        let spec = base.cloned().unwrap_or_else(rate_limit);
        let rate = self.parsed(Some(rate), spot, value::rate).unwrap_or(spec.rate);
        let burst = rate.count.saturating_mul(5);
        LimitSpec { rate, burst, ..spec }
    }

    fn per(&self, raw: &raw::Per, spot: Spot<'_>) -> Option<Per> {
        match raw {
            raw::Per::Word(word) => Some(word.meaning()),
            raw::Per::Field(field) => match (&field.header, &field.json) {
                (Some(name), None) => self.parsed(Some(name), spot.at("header"), |name| {
                    HeaderName::try_from(name)
                        .map(Per::Header)
                        .map_err(|_| Fault::new(format!("`{}` is not the name of a header", excerpt(name))))
                }),
                (None, Some(pointer)) => self.parsed(Some(pointer), spot.at("json"), |pointer| {
                    if pointer.starts_with('/') {
                        Ok(Per::Json(pointer.to_owned()))
                    } else {
                        Err(Fault::new(format!("`{}` is not a JSON pointer", excerpt(pointer)))
                            .hint(format!("did you mean `/{}`?", excerpt(&pointer.replace('.', "/")))))
                    }
                }),
                _ if spot.damaged() => None,
                _ => {
                    self.problems
                        .error(spot.label(), Fault::new("`per` is exactly one of `header` and `json`"));
                    None
                }
            },
        }
    }
}
