//! A source's `secrets`: read, labelled, and whether they fit its scheme.

use super::{Reader, defaults::Defaults, scheme::Scheme};
use crate::config::{
    problem::Fault,
    raw::{self, Listed, OnMissing},
    secrets::{Fetched, Held},
    settings::{Origin, SourceSecret, SourceSettings},
    spot::Spot,
    text::Span,
};
use crate::provider::{KeyText, preset::KeyRule};

/// More would make every verification as many times as slow.
const MOST_SECRETS: usize = 8;

/// Secrets of a source.
#[derive(Default)]
pub(super) struct Secrets {
    pub list: Vec<SourceSecret>,
    /// Where each of them is written.
    spans: Vec<Span>,
    /// How many there are to be, also those that could not be read.
    stated: usize,
    /// Those that cannot be read now, where `on_missing_secret: unavailable` allows for that.
    missing: Vec<(Fault, Span)>,
    /// One of `settings` is among these: the source cannot serve without it.
    needed: bool,
    /// Why some are still what they were before this reload.
    pub kept: Vec<String>,
    /// Something about them was reported.
    pub refused: bool,
}

impl Secrets {
    /// One of `settings` cannot be read now.
    pub fn lacks_setting(&mut self, fault: Fault, span: Span) {
        self.needed = true;
        self.missing.push((fault, span));
    }

    /// Why the source cannot serve now.
    pub fn unavailable(&self) -> Option<String> {
        let (fault, _) = self.missing.first()?;
        (self.needed || self.list.is_empty()).then(|| fault.message.clone())
    }

    /// Why some cannot be read now, while the source serves with the others.
    pub fn missing(&self) -> Vec<String> {
        if self.unavailable().is_some() {
            return Vec::new();
        }
        self.missing.iter().map(|(fault, _)| fault.message.clone()).collect()
    }
}

impl Reader<'_> {
    /// Compiles the secrets for the scheme and says what is missing.
    pub(super) fn match_secrets(&self, scheme: &Scheme, secrets: &Secrets, spot: Spot<'_>, name: &str) {
        let none = secrets.list.is_empty() && secrets.missing.is_empty() && !secrets.refused;
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
        } else if !secrets.refused && (1..=MOST_SECRETS).contains(&secrets.list.len()) {
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
        self.warn_of_other_keys(scheme, secrets, name);
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
        let label = secrets.stated.to_string();
        secrets.stated += 1;
        let held = |origin: &Origin| {
            let held = self.held_source(name)?;
            let same = held.secrets.iter().find(|secret| secret.origin == *origin)?;
            Some(same.text.secret.clone())
        };
        let fetched = self.secret_or_held(raw, spot, &format!("source `{name}`"), on_missing, held);
        let (held, reason) = match fetched {
            Fetched::Held(held) => (held, None),
            Fetched::Kept(held, reason) => (held, Some(reason)),
            Fetched::Missing(fault, span) => return secrets.missing.push((fault, span)),
            Fetched::Refused => {
                secrets.refused = true;
                return;
            }
        };
        secrets.kept.extend(reason);
        let Held {
            secret,
            encoding,
            allow_short,
            id,
            not_after,
            origin,
        } = *held;
        let label = id.unwrap_or(label);
        if secrets.list.iter().any(|other| other.label == label) {
            self.problems.error(
                spot.at("id").value(),
                Fault::new(format!("two secrets of source `{name}` are called `{label}`")),
            );
        }
        secrets.spans.push(place(spot));
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

    /// A key of the provider that is not the one it signs with.
    fn warn_of_other_keys(&self, scheme: &Scheme, secrets: &Secrets, name: &str) {
        for (secret, span) in secrets.list.iter().zip(&secrets.spans) {
            let text = secret.text.secret.expose();
            let others = scheme.preset.other_keys.iter();
            let Some(start) = others.clone().find(|start| text.starts_with(start.as_bytes())) else {
                continue;
            };
            let provider = &scheme.facts.name;
            self.problems.warn(
                span.clone(),
                Fault::new(format!(
                    "a secret of source `{name}` begins with `{start}`, as another key of `{provider}` does"
                ))
                .hint(format!(
                    "`hookward providers {provider}` says where the secret of its webhooks stands"
                )),
            );
        }
    }

    /// The source of this name as it is in force, at a reload.
    pub(super) fn held_source(&self, name: &str) -> Option<&SourceSettings> {
        let sources = &self.held?.sources;
        sources.iter().find(|source| source.name.as_str() == name)
    }

    /// Says what becomes of a source of which secrets are missing.
    pub(super) fn warn_of_missing(&self, secrets: &Secrets, name: &str) {
        let effect = if secrets.unavailable().is_some() {
            format!("source `{name}` answers 503 until it can be read")
        } else {
            format!("source `{name}` serves with its other secrets until it can be read")
        };
        for (fault, span) in &secrets.missing {
            let message = format!("{}; {effect}", fault.message);
            self.problems.warn(
                span.clone(),
                Fault {
                    message,
                    ..fault.clone()
                },
            );
        }
    }
}

/// Where a secret is written.
fn place(spot: Spot<'_>) -> Span {
    let key = ["file", "env", "value"].into_iter().find(|key| spot.has(key));
    key.map_or_else(|| spot.label(), |key| spot.at(key).value())
}
