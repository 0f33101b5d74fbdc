//! How a source proves its sender: `provider`, `verify`, `settings`, `id`, `event`.

use super::{Reader, defaults::Defaults, keyring::Secrets, unknown_name};
use crate::config::{
    problem::{Fault, excerpt},
    raw,
    spot::Spot,
    suggest, url,
};
use crate::provider::{Facts, Options, Preset, Problem};
use serde_json::Value;

/// Errors of one inline scheme that are told at once.
const MOST_REPEATS: usize = 16;

/// Keys of a source from which [`Options`] and the preset are made.
const OPTIONS: [&str; 6] = ["settings", "tolerance", "id", "event", "public_url", "verify"];

/// What a source uses to verify.
pub(super) struct Scheme {
    pub preset: Preset,
    pub options: Options,
    pub facts: Facts,
    /// Would a time be signed if the tolerance were not off?
    pub signs_time: bool,
}

impl Reader<'_> {
    /// `None`: reported.
    pub(super) fn scheme(
        &self,
        raw: &raw::Source,
        spot: Spot<'_>,
        name: &str,
        defaults: &Defaults,
        secrets: &mut Secrets,
    ) -> Option<Scheme> {
        let before = self.problems.errors();
        let mut options = self.options(raw, spot, name, defaults, secrets);
        let reported = self.problems.errors() > before || OPTIONS.iter().any(|key| spot.at(key).damaged());
        let on_missing = raw.on_missing_secret.unwrap_or(defaults.on_missing);
        for (key, pin) in [("certificate", &raw.certificate), ("jwks", &raw.jwks)] {
            self.pinned(pin.as_ref(), spot.at(key), name, on_missing, secrets);
        }
        self.unverified(raw, spot);
        let preset = self.preset(raw, spot)?;
        // What was reported already would only be reported again in other words.
        if reported {
            return None;
        }
        // With one in its place the rest can be judged too where it is missing.
        let public_url = options
            .public_url
            .get_or_insert_with(|| "https://missing.invalid".to_owned())
            .clone();
        let facts = match self.presets.facts(&preset, &options) {
            Ok(facts) => facts,
            Err(problems) => {
                self.report(&problems, spot);
                return None;
            }
        };
        if spot.lacks("public_url") && facts.signs_url {
            self.problems.error(
                spot.label(),
                Fault::new(format!(
                    "`{}` signs the URL: source `{name}` needs `public_url`",
                    facts.name
                ))
                .hint("add `public_url: https://HOST` as the provider calls it; it is never rebuilt from `Host`"),
            );
        } else if spot.lacks("public_url") {
            options.public_url = None;
        }
        let within = Options {
            public_url: Some(public_url),
            tolerance: None,
            default_tolerance: None,
            ..options.clone()
        };
        let signs_time = self
            .presets
            .facts(&preset, &within)
            .is_ok_and(|facts| facts.tolerance.is_some());
        self.claims_of_signing(raw, spot, &preset, &within);
        Some(Scheme {
            preset,
            options,
            facts,
            signs_time,
        })
    }

    /// What the source adds to its preset.
    fn options(
        &self,
        raw: &raw::Source,
        spot: Spot<'_>,
        name: &str,
        defaults: &Defaults,
        secrets: &mut Secrets,
    ) -> Options {
        let on_missing = raw.on_missing_secret.unwrap_or(defaults.on_missing);
        Options {
            public_url: self.parsed(raw.public_url.as_deref(), spot.at("public_url"), url::public),
            settings: self.settings_of(raw.settings.as_ref(), spot.at("settings"), name, on_missing, secrets),
            tolerance: self.window(raw.tolerance.as_ref(), spot.at("tolerance")),
            default_tolerance: Some(defaults.tolerance),
            id: self.origin(raw.id.as_ref(), spot.at("id")),
            event: self.origin(raw.event.as_ref(), spot.at("event")),
        }
    }

    fn preset(&self, raw: &raw::Source, spot: Spot<'_>) -> Option<Preset> {
        let provider = raw.provider.as_deref()?;
        if provider == "custom" {
            if spot.lacks("verify") {
                self.problems.error(
                    spot.at("provider").value(),
                    Fault::new("`provider: custom` needs `verify`").hint(
                        "add `verify: {signature: {from: \"header:X-Signature\"}, body: unique}`; `hookward providers custom` \
                         shows examples",
                    ),
                );
                return None;
            }
            return self.custom(raw.verify.as_ref()?, spot.at("verify"));
        }
        let names = self.presets.names();
        let Some(preset) = self.presets.preset(provider) else {
            let known = names.iter().map(String::as_str).chain(["custom"]);
            let hint = match suggest::nearest(provider, known.clone()) {
                None if names.len() > 8 => {
                    "`hookward providers` lists all of them; one that is not there is `provider: custom` (`hookward providers custom`)"
                        .to_owned()
                }
                _ => unknown_name(provider, known, ""),
            };
            self.problems.error(
                spot.at("provider").value(),
                Fault::new(format!("unknown provider `{}`", excerpt(provider))).hint(hint),
            );
            return None;
        };
        if spot.has("verify") {
            self.problems.error(
                spot.at("verify").label(),
                Fault::new(format!("`verify` belongs to `provider: custom`, this is `{provider}`"))
                    .hint("take it out, or write `provider: custom`"),
            );
        }
        Some(preset)
    }

    fn custom(&self, raw::Verify(fields): &raw::Verify, spot: Spot<'_>) -> Option<Preset> {
        if spot.damaged() {
            return None;
        }
        let mut fields = fields.clone();
        if let Some(map) = fields.as_object_mut() {
            map.insert("name".to_owned(), Value::from("custom"));
        }
        let mut last = None;
        // The reader of a preset stops at its first error: what that is about is taken out, to see the next one.
        for _ in 0..MOST_REPEATS {
            let error = match serde_json::from_value(fields.clone()) {
                Ok(preset) => return last.is_none().then_some(preset),
                Err(error) => error.to_string(),
            };
            // It has no place, but it quotes the value that it is about.
            let quoted = |text: &str| error.contains(&format!("\"{text}\""));
            match (spot.find_scalar(&quoted), take_out(&mut fields, &quoted)) {
                (Some(at), true) => {
                    self.problems
                        .error(at.clone(), Fault::new(format!("`verify` cannot be read: {error}")));
                    last = Some(at);
                }
                // A gap that was made here is no error of the operator's.
                _ if last.is_some() => return None,
                _ => {
                    self.problems
                        .error(spot.label(), Fault::new(format!("`verify` cannot be read: {error}")));
                    return None;
                }
            }
        }
        None
    }

    /// Problems of the provider, at their places. Pointers into a preset that is written inline start at `verify`.
    pub(super) fn report(&self, problems: &[Problem], spot: Spot<'_>) {
        for Problem { at, message, hint } in problems {
            let first = at.split('/').nth(1).unwrap_or("");
            let base = if !spot.has(first) && spot.at("verify").has(first) {
                spot.at("verify")
            } else {
                spot
            };
            self.problems.error(
                base.pointer(at).value(),
                Fault {
                    message: message.clone(),
                    hint: hint.clone(),
                },
            );
        }
    }
}

/// Makes the first text that is accepted null; is there one?
fn take_out(value: &mut Value, accept: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) if accept(text) => {
            *value = Value::Null;
            true
        }
        Value::Array(items) => items.iter_mut().any(|item| take_out(item, accept)),
        Value::Object(map) => map.values_mut().any(|item| take_out(item, accept)),
        _ => false,
    }
}
