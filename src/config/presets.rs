//! What the configuration asks of the presets; a seam, so that a test can bring its own.

use crate::provider::{self, Facts, KeyText, Options, Preset, Problem, Provider};

/// Presets by name, and the judgement of what a source makes of one.
pub trait Presets {
    /// All names, sorted.
    fn names(&self) -> Vec<String>;

    /// The preset of this name.
    fn preset(&self, name: &str) -> Option<Preset>;

    /// Compiles a preset with a source's options: what is known of the provider then, or every problem.
    fn facts(&self, preset: &Preset, options: &Options) -> Result<Facts, Vec<Problem>> {
        Provider::compile(preset, options).map(|provider| provider.facts().clone())
    }

    /// Does the signature of a preset, compiled with a source's options, cover a place (`header:X`, `json:/ptr`)?
    fn signs(&self, preset: &Preset, options: &Options, place: &str) -> bool {
        // Whatever is read there later: of an id the provider derives it.
        let options = Options {
            id: Some(vec![place.to_owned()]),
            ..options.clone()
        };
        Provider::compile(preset, &options).is_ok_and(|provider| provider.signs_id())
    }

    /// Every problem of a source's secrets (`at` is `/0`, `/1`, …).
    fn judge_keys(&self, preset: &Preset, options: &Options, keys: &[KeyText]) -> Vec<Problem> {
        match Provider::compile(preset, options) {
            Ok(provider) => provider.keys(keys).err().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }
}

/// The presets of this binary.
pub struct Embedded;

impl Presets for Embedded {
    fn names(&self) -> Vec<String> {
        provider::names().map(str::to_owned).collect()
    }

    fn preset(&self, name: &str) -> Option<Preset> {
        provider::preset(name).cloned()
    }
}
