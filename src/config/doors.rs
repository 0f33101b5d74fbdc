//! `health` and `admin` alone, for verbs that only want to reach a running sidecar.
//!
//! What else is wrong with the file is no matter then: a rotation that went wrong, which the sidecar survives on its old
//! configuration, must not fail a liveness probe.

use super::{
    ConfigErrors, Embedded, Environment, load,
    problem::Problems,
    raw,
    read::Reader,
    read_text,
    settings::{Admin, Settings},
    shape,
    spot::Spot,
    text::SourceText,
    tree,
};
use serde::Deserialize;
use std::{cell::RefCell, net::SocketAddr, path::Path};

/// Where `health` is said to listen. Fails only if that cannot be told, with all that is wrong with the file.
pub fn health(path: &Path, env: &dyn Environment) -> Result<SocketAddr, ConfigErrors> {
    let health = |reader: &Reader<'_>, raw: &raw::Root, root: Spot<'_>| {
        let known = raw.health.is_some() || !root.has("health");
        known.then(|| reader.health(raw.health.as_deref(), root.at("health")))?
    };
    part(path, env, health, |settings| settings.health)
}

/// Where `admin` is said to listen, and its token. Fails only if these cannot be told.
pub fn admin(path: &Path, env: &dyn Environment) -> Result<Admin, ConfigErrors> {
    let admin = |reader: &Reader<'_>, raw: &raw::Root, root: Spot<'_>| {
        let known = !root.at("admin").damaged() && raw.admin.is_some() == root.has("admin");
        known.then(|| reader.admin(raw.admin.as_ref(), root.at("admin")))?
    };
    part(path, env, admin, |settings| settings.admin)
}

fn part<T>(
    path: &Path,
    env: &dyn Environment,
    read: impl FnOnce(&Reader<'_>, &raw::Root, Spot<'_>) -> Option<T>,
    of_a_valid_file: impl FnOnce(Settings) -> T,
) -> Result<T, ConfigErrors> {
    if let Some(part) = alone(path, env, read) {
        return Ok(part);
    }
    load(path, env).map(|loaded| of_a_valid_file(loaded.settings))
}

/// `None`: something about this part is wrong, or the file is no YAML.
fn alone<T>(
    path: &Path,
    env: &dyn Environment,
    read: impl FnOnce(&Reader<'_>, &raw::Root, Spot<'_>) -> Option<T>,
) -> Option<T> {
    let elsewhere = Problems::default();
    let source = SourceText::new(path.display().to_string(), read_text(path, env).ok()?);
    let mut tree = tree::parse(&source, &elsewhere)?;
    shape::check(&mut tree, &raw::schema(), &elsewhere);
    let raw = raw::Root::deserialize(tree.to_json()).ok()?;
    let problems = Problems::default();
    let reader = Reader {
        problems: &problems,
        env,
        presets: &Embedded,
        held: None,
        base: path.parent().unwrap_or(Path::new("")),
        files: RefCell::default(),
    };
    let part = read(&reader, &raw, Spot::root(&tree))?;
    (!problems.any_error()).then_some(part)
}
