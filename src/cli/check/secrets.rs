//! The secrets of every source: how many there are, where they come from, and which have run out; never their text.

use super::{
    located,
    report::{Check, Report},
};
use crate::{
    cli::{moment, paint::counted},
    config::{Loaded, settings::SourceSettings},
    event::{Clock, Timestamp},
    provider::Provider,
};

const GROUP: &str = "secrets";

pub(super) fn check(loaded: &Loaded, clock: &dyn Clock, report: &mut Report) {
    let now = clock.wall();
    for source in &loaded.settings.sources {
        report.add(held(source));
        expired(source, now, report);
    }
    // All that is only noted concerns secrets: a newline that was stripped.
    for note in loaded.notes.problems() {
        report.add(located(GROUP, note));
    }
}

fn held(source: &SourceSettings) -> Check {
    let name = source.name.as_str();
    if let Some(reason) = &source.unavailable {
        return Check::warning(GROUP, name, format!("answers 503: {reason}"));
    }
    if source.secrets.is_empty() && fetches(source) {
        return Check::ok(
            GROUP,
            name,
            "none pinned: the sidecar fetches what the provider publishes",
        );
    }
    if source.secrets.is_empty() {
        return Check::info(GROUP, name, "none: nothing is verified");
    }
    let places: Vec<String> = source.secrets.iter().map(|secret| secret.origin.to_string()).collect();
    let count = counted(places.len(), "secret");
    Check::ok(GROUP, name, format!("{count}  ({})", places.join(", ")))
}

fn fetches(source: &SourceSettings) -> bool {
    Provider::compile(&source.preset, &source.options).is_ok_and(|provider| provider.facts().fetches_keys)
}

fn expired(source: &SourceSettings, now: Timestamp, report: &mut Report) {
    let name = source.name.as_str();
    let ends = source
        .secrets
        .iter()
        .filter_map(|secret| Some((secret, secret.not_after?)));
    let over: Vec<_> = ends.filter(|(_, end)| now >= Timestamp::from_secs(*end)).collect();
    for (secret, end) in &over {
        let since = moment::shown(Timestamp::from_secs(*end));
        let message = format!(
            "secret {} ({}) does not verify since {since}",
            secret.label, secret.origin
        );
        report.add(Check::warning(GROUP, name, message).with_hint("take it out of the list"));
    }
    if !source.secrets.is_empty() && over.len() == source.secrets.len() {
        report.add(Check::problem(
            GROUP,
            name,
            "every secret is past its `not_after`: nothing verifies",
        ));
    }
}
