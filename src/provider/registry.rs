//! The embedded presets, `config/providers/*.yaml`, each parsed when it is first asked for.
//!
//! A sender that signs exactly as another preset says is an alias: `same_as` and its own title, setup and page.

use super::Preset;
use serde::Deserialize;
use std::sync::{LazyLock, OnceLock};

/// Name and text of every file, sorted by name.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/presets.rs"));

static PARSED: LazyLock<Vec<OnceLock<Preset>>> = LazyLock::new(|| FILES.iter().map(|_| OnceLock::new()).collect());

/// A file that says only which preset its sender signs as.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alias {
    name: String,
    title: String,
    docs: String,
    setup: String,
    same_as: String,
    unverified: Vec<String>,
}

/// The embedded preset of this name, an alias already resolved.
pub fn preset(name: &str) -> Option<&'static Preset> {
    let at = at(name)?;
    // A preset that does not parse cannot be shipped: a test parses every embedded file.
    Some(PARSED[at].get_or_init(|| read(FILES[at].1).unwrap_or_default()))
}

/// The preset that this name is an alias of; `None`: it is one itself.
pub fn alias_of(name: &str) -> Option<String> {
    let alias: Alias = serde_saphyr::from_str(yaml(name)?).ok()?;
    Some(alias.same_as)
}

fn read(text: &str) -> Result<Preset, String> {
    let Ok(alias) = serde_saphyr::from_str::<Alias>(text) else {
        return Preset::from_yaml(text);
    };
    let meant = at(&alias.same_as).ok_or_else(|| format!("there is no preset `{}`", alias.same_as))?;
    // Read anew and not through `read`: an alias of an alias would hide what is signed one step further.
    let meant = Preset::from_yaml(FILES[meant].1)?;
    Ok(Preset {
        name: alias.name,
        title: alias.title,
        docs: alias.docs,
        setup: alias.setup,
        unverified: alias.unverified,
        ..meant
    })
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
            let preset = read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
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

    #[test]
    fn an_alias_signs_as_its_preset_under_its_own_name() {
        let (alias, meant) = (
            preset("instagram").expect("an alias"),
            preset("meta").expect("a preset"),
        );
        assert_eq!(alias_of("instagram").as_deref(), Some("meta"));
        assert_eq!(alias_of("meta"), None);
        assert_eq!(alias.signature, meant.signature);
        assert_eq!((alias.name.as_str(), alias.title.as_str()), ("instagram", "Instagram"));
        let chain = "name: a\ntitle: A\ndocs: ''\nsetup: s\nsame_as: instagram\nunverified: []\n";
        assert!(read(chain).is_err(), "an alias of an alias");
        assert!(read(&chain.replace("instagram", "no-such")).is_err());
    }
}
