//! The embedded presets, `config/providers/*.yaml`, each parsed when it is first asked for.

use super::Preset;
use std::sync::{LazyLock, OnceLock};

/// Name and text of every file, sorted by name.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/presets.rs"));

static PARSED: LazyLock<Vec<OnceLock<Preset>>> = LazyLock::new(|| FILES.iter().map(|_| OnceLock::new()).collect());

/// The embedded preset of this name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    let at = at(name)?;
    // A preset that does not parse cannot be shipped: a test parses every embedded file.
    Some(PARSED[at].get_or_init(|| Preset::from_yaml(FILES[at].1).unwrap_or_default()))
}

/// The text of an embedded preset's file.
pub fn yaml(name: &str) -> Option<&'static str> {
    at(name).map(|at| FILES[at].1)
}

/// The names of all embedded presets, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

fn at(name: &str) -> Option<usize> {
    FILES.binary_search_by_key(&name, |(known, _)| known).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_preset_parses_and_is_named_as_its_file() {
        assert!(names().count() >= 14);
        for (name, text) in FILES {
            let preset = Preset::from_yaml(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(preset.name, *name);
            for (field, value) in [
                ("title", &preset.title),
                ("setup", &preset.setup),
                ("proof", &preset.proof),
            ] {
                assert!(!value.is_empty(), "{name} has no {field}");
            }
            assert!(
                preset.docs.is_empty() || preset.docs.starts_with("https://"),
                "{name}: {}",
                preset.docs
            );
        }
        assert!(preset("no-such").is_none() && yaml("no-such").is_none());
    }
}
