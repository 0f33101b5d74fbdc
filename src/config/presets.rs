//! What the configuration asks of the presets; a seam, so that a test can bring its own.

use serde_json::Value;

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

    /// Does the signature cover a place (`header:X`, `json:/ptr`)? `verify` is the scheme where it is written inline.
    ///
    /// A bare token or nothing covers no place. A header is covered where a template names it; of a preset that is known
    /// only to the preset, so there a header counts as not covered.
    fn signs(&self, verify: Option<&Value>, facts: &Facts, place: &str) -> bool {
        let proof_itself = !facts.credential_headers.is_empty() || !facts.credential_query.is_empty();
        if proof_itself || !facts.needs_secrets {
            return false;
        }
        let templates: Vec<&str> = match verify.map(|verify| &verify["signed"]) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            // Where it is not said, the body is what is signed.
            _ => vec!["{body}"],
        };
        let covers = |template: &str| match place.split_once(':') {
            Some(("header", name)) => template
                .to_ascii_lowercase()
                .contains(&format!("{{header.{}}}", name.to_ascii_lowercase())),
            Some(("json", pointer)) => template.contains("{body}") || template.contains(&format!("{{json.{pointer}}}")),
            _ => false,
        };
        templates.iter().all(|template| covers(template))
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
