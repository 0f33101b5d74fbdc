//! A source's `secrets`: read, labelled, and whether they fit its scheme.

use super::{Reader, defaults::Defaults, scheme::Scheme};
use crate::config::{
    problem::Fault,
    raw::{self, Listed, OnMissing},
    secrets::{Fetched, Held},
    settings::SourceSecret,
    spot::Spot,
};
use crate::provider::{KeyText, preset::KeyRule};

/// More would make every verification as many times as slow.
const MOST_SECRETS: usize = 8;

/// Secrets of a source.
#[derive(Default)]
pub(super) struct Secrets {
    pub list: Vec<SourceSecret>,
    /// Why the source cannot serve now, where `on_missing_secret: unavailable` allows for that.
    pub missing: Option<String>,
    /// Something about them was reported.
    pub refused: bool,
}

impl Reader<'_> {
    /// Compiles the secrets for the scheme and says what is missing.
    pub(super) fn match_secrets(&self, scheme: &Scheme, secrets: &Secrets, spot: Spot<'_>, name: &str) {
        let none = secrets.list.is_empty() && secrets.missing.is_none() && !secrets.refused;
        let pins = [spot, spot.at("settings")].map(|spot| ["certificate", "jwks"].map(|key| spot.has(key)));
        let pinned = pins.concat().contains(&true);
        let empty = spot.has("secrets");
        if scheme.facts.fetches_keys && none && (pinned || empty) {
            // A list that came out empty by mistake must not change who is believed.
            self.problems.error(
                spot.label(),
                Fault::new(format!("source `{name}` pins nothing: the list is empty"))
                    .hint("name a file, or take the list out: then the provider's keys are fetched"),
            );
        }
        if scheme.facts.needs_secrets && none && !pinned && (empty || spot.lacks("secrets")) {
            let at = if empty {
                spot.at("secrets").label()
            } else {
                spot.label()
            };
            self.problems.error(
                at,
                Fault::new(format!(
                    "source `{name}` has no secrets{}",
                    if empty { ": the list is empty" } else { "" }
                ))
                .hint(match scheme.preset.key {
                    KeyRule::Certificate => "pin the provider's certificate: `certificate: {file: PATH}`",
                    KeyRule::Jwk => "pin the provider's keys: `jwks: {file: PATH}`",
                    _ => "add `secrets: [{file: PATH}]`; a source that verifies nothing is `provider: none`",
                }),
            );
        }
        if !scheme.facts.takes_secrets && spot.has("secrets") {
            self.problems.error(
                spot.at("secrets").label(),
                Fault::new(format!("`provider: {}` uses no secrets", scheme.facts.name))
                    .hint("name the scheme that they are for (`token`, `custom`, a preset), or take them out"),
            );
        } else if !secrets.refused && (1..=MOST_SECRETS).contains(&secrets.list.len()) && secrets.missing.is_none() {
            let keys: Vec<KeyText> = secrets.list.iter().map(|secret| secret.text.clone()).collect();
            let mut problems = self.presets.judge_keys(&scheme.preset, &scheme.options, &keys);
            for problem in &mut problems {
                problem.message = format!(
                    "a secret of source `{name}` does not fit `{}`: {}",
                    scheme.facts.name, problem.message
                );
            }
            self.report(&problems, spot.at("secrets"));
        }
    }

    pub(super) fn secrets_of(&self, raw: &raw::Source, spot: Spot<'_>, name: &str, defaults: &Defaults) -> Secrets {
        let on_missing = raw.on_missing_secret.unwrap_or(defaults.on_missing);
        let mut secrets = Secrets {
            refused: raw.secrets.is_none() && spot.has("secrets"),
            ..Secrets::default()
        };
        let list = raw.secrets.as_ref().map_or(&[][..], |Listed(list)| list);
        if list.len() > MOST_SECRETS {
            self.problems.error(
                spot.at("secrets").label(),
                Fault::new(format!(
                    "source `{name}` has {} secrets; at most {MOST_SECRETS} are tried",
                    list.len()
                ))
                .hint("a rotation needs two: remove those that are no longer used"),
            );
        }
        for (index, raw) in list.iter().enumerate() {
            self.keep_secret(
                raw.as_ref(),
                spot.at("secrets").item(index),
                name,
                on_missing,
                &mut secrets,
            );
        }
        secrets
    }

    /// Reads one secret and adds it to the others.
    pub(super) fn keep_secret(
        &self,
        raw: Option<&raw::Secret>,
        spot: Spot<'_>,
        name: &str,
        on_missing: OnMissing,
        secrets: &mut Secrets,
    ) {
        match self.secret(raw, spot, &format!("source `{name}`"), on_missing) {
            Fetched::Held(held) => {
                let Held {
                    secret,
                    encoding,
                    allow_short,
                    id,
                    not_after,
                    origin,
                } = *held;
                let label = id.unwrap_or_else(|| secrets.list.len().to_string());
                if secrets.list.iter().any(|other| other.label == label) {
                    self.problems.error(
                        spot.at("id").value(),
                        Fault::new(format!("two secrets of source `{name}` are called `{label}`")),
                    );
                }
                secrets.list.push(SourceSecret {
                    text: KeyText {
                        secret,
                        encoding,
                        allow_short,
                    },
                    label,
                    not_after,
                    origin,
                });
            }
            Fetched::Missing(reason) => secrets.missing = Some(reason),
            Fetched::Refused => secrets.refused = true,
        }
    }
}
