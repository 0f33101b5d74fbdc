//! Settings to what requests walk through: providers and keys compiled, limits and meters alive.

use crate::{
    config::{Settings, settings::SourceSettings},
    event::{Clock, ProviderName, Timestamp},
    limit::{Per, RateLimit, SourceBytes, SourceInFlight},
    pipeline::Live,
    provider::{JsonPointer, KeyText, Provider},
    replay::SourceTag,
    source::{Fetched, Outcome, Routes, Source},
    telemetry::Metrics,
    upstream::Places,
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// What is served, made from a valid configuration. Sources that `previous` had with the same rate limit keep their
/// bucket, so that a reload is no gift to a sender; destinations that it had as they are now keep their connections and
/// what is known of them.
pub(super) fn live(
    clock: &Arc<dyn Clock>,
    settings: &Settings,
    metrics: &Metrics,
    previous: Option<&Live>,
) -> Result<Live, String> {
    let mut routes = Routes::default();
    let (mut limiters, mut destinations, mut served) = (HashMap::new(), HashMap::new(), HashMap::new());
    for source in previous.map(|live| live.sources.as_slice()).unwrap_or_default() {
        for route in &source.routes {
            destinations.insert(route.destination.name.clone(), route.destination.clone());
        }
        if let Some(limiter) = &source.limiter {
            limiters.insert(source.name.clone(), limiter.clone());
        }
        served.insert(source.name.clone(), source.clone());
    }
    let namespace = settings
        .redis
        .as_ref()
        .map(|redis| redis.namespace.clone())
        .unwrap_or_default();
    let mut sources = Vec::with_capacity(settings.sources.len());
    for configured in &settings.sources {
        let kept = limiters.get(&configured.name);
        let mut source = source(clock, configured, &namespace, metrics, kept)?;
        for route in &mut source.routes {
            match destinations.get(&route.destination.name) {
                Some(known) if *known == route.destination => route.destination = known.clone(),
                _ => {}
            }
        }
        if let Some(old) = served.get(&source.name) {
            // Requests and bodies that began before a reload are still there.
            source.in_flight = old.in_flight.clone();
            source.bytes = old.bytes.clone();
            // Keys that were fetched for the same scheme are as good as they were.
            if old.provider.is_same(&source.provider) {
                keep(&mut source.published, old.published.as_ref());
                keep(&mut source.confirmed, old.confirmed.as_ref());
            }
        }
        let source = Arc::new(source);
        for rule in &configured.paths {
            routes.insert(rule, &source);
        }
        sources.push(source);
    }
    Ok(Live {
        routes,
        sources,
        namespace,
        body_timeout: settings.limits.body_timeout,
        answer_bytes: settings.limits.answer_bytes,
        ledger_timeout: settings.redis.as_ref().map_or(Duration::ZERO, |redis| redis.timeout),
        places: Places::of(settings.limits.in_flight as u64, settings.destinations.len()),
    })
}

/// Where there is still one, it is the old one.
fn keep<T>(new: &mut Option<Arc<T>>, old: Option<&Arc<T>>) {
    if let (Some(new), Some(old)) = (new, old) {
        *new = old.clone();
    }
}

fn source(
    clock: &Arc<dyn Clock>,
    configured: &SourceSettings,
    namespace: &str,
    metrics: &Metrics,
    kept: Option<&Arc<RateLimit>>,
) -> Result<Source, String> {
    // Both were proven by the configuration; a failure here is a bug there, and no reason to crash a running sidecar.
    let broken = |problems: Vec<crate::provider::Problem>| {
        let texts: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
        format!("source {}: {}", configured.name, texts.join("; "))
    };
    let provider = Provider::compile(&configured.preset, &configured.options).map_err(broken)?;
    let texts: Vec<KeyText> = configured.secrets.iter().map(|secret| secret.text.clone()).collect();
    let keys = provider.keys(&texts).map_err(broken)?;
    let labels: Vec<String> = configured.secrets.iter().map(|secret| secret.label.clone()).collect();
    let destinations: Vec<_> = configured
        .to
        .iter()
        .map(|route| route.destination.name.clone())
        .collect();
    let limit_pointer = match configured.rate_limit.as_ref().map(|spec| &spec.per) {
        Some(Per::Json(pointer)) => Some(JsonPointer::parse(pointer)?),
        _ => None,
    };
    let limiter = configured.rate_limit.as_ref().map(|spec| match kept {
        Some(limiter) if limiter.spec() == spec => limiter.clone(),
        _ => Arc::new(RateLimit::new(spec, namespace, &configured.name, clock.clone())),
    });
    let published =
        (provider.facts().fetches_keys && configured.pins_nothing()).then(|| Arc::new(Fetched::new(clock.clone())));
    let confirmed = (provider.facts().confirms == Some(true)).then(|| Arc::new(Fetched::new(clock.clone())));
    Ok(Source {
        name: configured.name.clone(),
        provider_name: ProviderName::parse(&provider.facts().name).map_err(|error| error.to_string())?,
        tag: SourceTag::within(namespace, &configured.name),
        published,
        confirmed,
        provider,
        keys,
        not_after: configured
            .secrets
            .iter()
            .map(|secret| secret.not_after.map(Timestamp::from_secs))
            .collect(),
        unavailable: configured.unavailable.clone(),
        allow_from: configured.allow_from.clone(),
        events: configured.events.clone(),
        routes: configured.to.clone(),
        in_flight: SourceInFlight::default(),
        bytes: SourceBytes::default(),
        max_body: configured.max_body,
        replay: configured.replay,
        limit_pointer,
        limiter,
        on_outage: configured.on_outage,
        meters: metrics.source(&configured.name, Outcome::LABELS, &labels, &destinations),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{self, Fixed},
        event::TestClock,
        upstream::DestinationSpec,
    };
    use std::path::{Path, PathBuf};

    fn read(destinations: &str) -> Settings {
        let text = format!(
            "version: 1\nsources:\n  github: {{provider: github, path: /, secrets: [{{env: S}}], to: [a, b]}}\ndestinations: {destinations}\n"
        );
        let mut machine = Fixed::default();
        machine
            .variables
            .insert("S".to_owned(), "a-secret-of-some-length".into());
        machine.files.insert(PathBuf::from("c.yaml"), text.into_bytes());
        config::load(Path::new("c.yaml"), &machine).expect("valid").settings
    }

    fn destinations(live: &Live) -> Vec<Arc<DestinationSpec>> {
        let routes = live.sources.iter().flat_map(|source| &source.routes);
        routes.map(|route| route.destination.clone()).collect()
    }

    #[test]
    fn what_was_fetched_is_kept_over_a_reload_of_the_same_scheme() {
        let clock: Arc<dyn Clock> = Arc::new(TestClock::at(Timestamp::from_secs(0)));
        let metrics = Metrics::new("test");
        let make = |topic: &str, more: &str, previous: Option<&Live>| {
            let text = format!(
                "version: 1\nupstream: http://a\nsources:\n  sns: {{provider: sns, path: /, settings: {{topic_arn: {topic}}}{more}}}\n"
            );
            let mut machine = Fixed::default();
            machine.files.insert(PathBuf::from("c.yaml"), text.into_bytes());
            let read =
                config::load(Path::new("c.yaml"), &machine).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
            live(&clock, &read.settings, &metrics, previous).expect("valid")
        };
        let kept = |live: &Live| live.sources[0].published.clone();
        let first = make("arn-1", "", None);
        let same = make("arn-1", ", max_body: 2MiB", Some(&first));
        let other = make("arn-2", "", Some(&same));
        let (first, same, other) = (kept(&first), kept(&same), kept(&other));
        let (first, same) = (first.expect("fetched"), same.expect("fetched"));
        assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&same, &other.expect("fetched")));
    }

    #[test]
    fn a_destination_that_a_reload_leaves_as_it_is_keeps_what_is_known_of_it() {
        let clock: Arc<dyn Clock> = Arc::new(TestClock::at(Timestamp::from_secs(0)));
        let metrics = Metrics::new("test");
        let make = |text, previous| live(&clock, &read(text), &metrics, previous).expect("valid");
        let first = make("{a: {url: \"https://a\"}, b: {url: \"http://b\"}}", None);
        let place = destinations(&first)[1].lane.enter(9).expect("room");
        let second = make(
            "{a: {url: \"https://a\", timeout: 3s}, b: {url: \"http://b\"}}",
            Some(&first),
        );
        let (first, second) = (destinations(&first), destinations(&second));
        assert!(!Arc::ptr_eq(&first[0], &second[0]) && Arc::ptr_eq(&first[1], &second[1]));
        assert_eq!(second[1].lane.under_way(), 1);
        drop(place);
    }
}
