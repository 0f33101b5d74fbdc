//! What a source adds to its preset: `settings`, `id`, `event`, `allow_unverified`.

use super::{Reader, keyring::Secrets};
use crate::config::{
    problem::{Fault, excerpt},
    raw::{self, Fields, Listed, Named, OnMissing, Setting},
    secrets::Fetched,
    settings::Origin,
    spot::Spot,
    value,
};
use crate::{
    event::Secret,
    provider::{Options, Preset},
};
use std::{collections::BTreeMap, ops::Deref};

impl Reader<'_> {
    /// `id` and `event`: one place or several.
    pub(super) fn origin(&self, raw: Option<&raw::Origin>, spot: Spot<'_>) -> Option<Vec<String>> {
        let (fields, spot) = match raw? {
            raw::Origin::Plain(fields) => (fields, spot),
            raw::Origin::Long(long) => (long.from.as_ref()?, spot.at("from")),
        };
        let list: Vec<String> = match fields {
            Fields::One(text) => self.parsed(Some(text), spot, value::place).into_iter().collect(),
            Fields::Several(Listed(list)) => {
                if list.is_empty() {
                    self.problems.error(
                        spot.label(),
                        Fault::new("the list is empty").hint("name a place, or take the key out"),
                    );
                }
                let list = list.iter().enumerate();
                list.filter_map(|(index, text)| {
                    self.parsed(text.as_ref().map(Deref::deref), spot.item(index), value::place)
                })
                .collect()
            }
        };
        (!list.is_empty()).then_some(list)
    }

    /// `signed: true` is derived from what the signature covers, and may not be stated where it is not true.
    pub(super) fn claims_of_signing(&self, raw: &raw::Source, spot: Spot<'_>, preset: &Preset, options: &Options) {
        for (key, origin) in [("id", &raw.id), ("event", &raw.event)] {
            let Some(raw::Origin::Long(long)) = origin else {
                continue;
            };
            if long.signed != Some(true) {
                continue;
            }
            let fields: Vec<&str> = match &long.from {
                Some(Fields::One(text)) => vec![text],
                Some(Fields::Several(Listed(list))) => list.iter().flatten().map(Deref::deref).collect(),
                None => continue,
            };
            if let Some(field) = fields.iter().find(|field| !self.presets.signs(preset, options, field)) {
                self.problems.error(
                    spot.at(key).at("signed").value(),
                    Fault::new(format!(
                        "`signed: true` is not so: the signature does not cover `{}`",
                        excerpt(field)
                    ))
                    .hint("leave `signed` out: it is derived"),
                );
            }
        }
    }

    /// `settings`, secrets among them read.
    pub(super) fn settings_of(
        &self,
        raw: Option<&Named<Setting>>,
        spot: Spot<'_>,
        name: &str,
        on_missing: OnMissing,
        secrets: &mut Secrets,
    ) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        for (key, setting) in raw.iter().flat_map(|Named(list)| list) {
            let at = spot.at(key);
            if PINNED.contains(&key.as_str()) {
                self.pinned_in_settings(setting.as_ref(), at, name, on_missing, secrets);
                continue;
            }
            let text = match setting {
                None | Some(Setting::Several(_)) => continue,
                Some(Setting::Flag(flag)) => flag.to_string(),
                Some(Setting::Number(number)) => number.to_string(),
                Some(Setting::Text(_)) if is_secret(key) => {
                    self.problems.hide(at.value());
                    self.problems.error(
                        at.label(),
                        Fault::new(format!("`{key}` is a secret and must not stand here by itself"))
                            .hint("write `{file: PATH}` or `{env: NAME}`"),
                    );
                    continue;
                }
                Some(Setting::Text(text)) => text.clone(),
                Some(Setting::Secret(raw)) => {
                    let whose = format!("source `{name}`");
                    let held = |_: &Origin| self.held_setting(name, key);
                    let held = match self.secret_or_held(Some(raw), at, &whose, on_missing, held) {
                        Fetched::Held(held) => held,
                        Fetched::Kept(held, reason) => {
                            secrets.kept.push(reason);
                            held
                        }
                        Fetched::Missing(fault, span) => {
                            secrets.lacks_setting(fault, span);
                            // The scheme can then be read all the same; the source answers 503.
                            settings.insert(key.clone(), MISSING.to_owned());
                            continue;
                        }
                        Fetched::Refused => continue,
                    };
                    if let Ok(text) = std::str::from_utf8(held.secret.expose()) {
                        text.to_owned()
                    } else {
                        self.problems.error(
                            at.label(),
                            Fault::new(format!("`{key}` of source `{name}` is not UTF-8")),
                        );
                        continue;
                    }
                }
            };
            settings.insert(key.clone(), text);
        }
        settings
    }

    /// What one of `settings` is in force, at a reload.
    fn held_setting(&self, name: &str, key: &str) -> Option<Secret> {
        let held = self.held_source(name).filter(|source| source.unavailable.is_none())?;
        let text = held.options.settings.get(key)?;
        Some(Secret::new(text.clone().into_bytes()))
    }

    fn pinned_in_settings(
        &self,
        setting: Option<&Setting>,
        spot: Spot<'_>,
        name: &str,
        on_missing: OnMissing,
        secrets: &mut Secrets,
    ) {
        match setting {
            Some(Setting::Secret(raw)) => self.keep_secret(Some(raw), spot, name, on_missing, secrets),
            Some(Setting::Several(Listed(list))) => {
                for (index, raw) in list.iter().enumerate() {
                    self.keep_secret(raw.as_ref(), spot.item(index), name, on_missing, secrets);
                }
            }
            None => secrets.refused = true,
            Some(Setting::Text(_) | Setting::Flag(_) | Setting::Number(_)) => {
                secrets.refused = true;
                self.problems.error(
                    spot.value(),
                    Fault::new(format!("what source `{name}` pins is read from a file"))
                        .hint("write `{file: PATH}`, or a list of these"),
                );
            }
        }
    }

    /// `certificate` or `jwks`: one `{file: …}`, or a list of them, in place of `secrets`.
    pub(super) fn pinned(
        &self,
        pin: Option<&raw::Pin>,
        spot: Spot<'_>,
        name: &str,
        on_missing: OnMissing,
        secrets: &mut Secrets,
    ) {
        match pin {
            Some(raw::Pin::One(raw)) => self.keep_secret(Some(raw), spot, name, on_missing, secrets),
            Some(raw::Pin::Several(Listed(list))) => {
                for (index, raw) in list.iter().enumerate() {
                    self.keep_secret(raw.as_ref(), spot.item(index), name, on_missing, secrets);
                }
            }
            None => secrets.refused |= spot.exists(),
        }
    }

    /// `allow_unverified` and `provider: none` need each other.
    pub(super) fn unverified(&self, raw: &raw::Source, spot: Spot<'_>) {
        let Some(provider) = raw.provider.as_deref() else {
            return;
        };
        match (provider, raw.allow_unverified) {
            ("none", Some(true)) => {}
            ("none", _) if spot.has("allow_unverified") && raw.allow_unverified.is_none() => {}
            ("none", _) => self.problems.error(
                spot.at("provider").value(),
                Fault::new("`provider: none` verifies nothing: anybody can send to it")
                    .hint("add `allow_unverified: true` to say so aloud, and `allow_from` to narrow who; or use `provider: token`"),
            ),
            (_, Some(true)) => self.problems.error(
                spot.at("allow_unverified").label(),
                Fault::new(format!("`allow_unverified` belongs to `provider: none`, this is `{}`", excerpt(provider)))
                    .hint("take it out: this provider is verified"),
            ),
            _ => {}
        }
    }
}

/// Stands for one of `settings` that cannot be read now, of a source that answers 503 until it can.
const MISSING: &str = "missing";

/// Settings that stand in for `secrets`: what others would fetch from the provider.
const PINNED: [&str; 2] = ["certificate", "jwks"];

/// Settings that only their owner may know.
fn is_secret(key: &str) -> bool {
    key.ends_with("_token") || key.ends_with("_secret") || key.ends_with("password")
}
