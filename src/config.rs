//! Text to [`Settings`]: every problem at once, each with file, line, column, source line, caret and hint.
//!
//! YAML events become a tree that knows its places (`tree`); the JSON Schema of the raw types (`raw`) checks its shape and
//! prunes what does not fit (`shape`); what is left is read into settings (`read`). Only a YAML syntax error stands alone.

pub mod doors;

mod environment;
mod presets;
mod problem;
#[expect(
    dead_code,
    reason = "the schema also knows what is refused by its key until it is built"
)]
mod raw;
mod read;
mod secrets;
pub mod settings;
mod shape;
mod spot;
mod suggest;
mod text;
mod tree;
mod url;
mod value;

pub use environment::{Environment, Fixed, Machine, memory_limit};
pub use presets::{Embedded, Presets};
pub use problem::{ConfigErrors, Finding, Report, Severity};
pub use settings::Settings;
pub use suggest::nearest;

use problem::{Fault, Problems};
use read::Reader;
use serde::Deserialize;
use std::{
    cell::RefCell,
    io::ErrorKind,
    path::{Path, PathBuf},
};
use text::SourceText;

/// Where the configuration is when nothing says otherwise.
const DEFAULT_FILE: &str = "./hookward.yaml";
/// The variable that names it.
const VARIABLE: &str = "HOOKWARD_CONFIG";
/// A thousand sources with every key take less.
const MAX_BYTES: u64 = 4 << 20;

/// A configuration with what was noticed in it.
pub struct Loaded {
    /// The configuration.
    pub settings: Settings,
    /// What is probably not meant.
    pub warnings: Report,
    /// What was done that one should know (a newline that was stripped).
    pub notes: Report,
}

/// The file to read: `-c FILE`, else `$HOOKWARD_CONFIG`, else `./hookward.yaml`.
pub fn locate(flag: Option<&Path>, env: &dyn Environment) -> PathBuf {
    let variable = || {
        env.variable(VARIABLE)
            .filter(|text| !text.is_empty())
            .map(PathBuf::from)
    };
    flag.map(Path::to_path_buf)
        .or_else(variable)
        .unwrap_or_else(|| PathBuf::from(DEFAULT_FILE))
}

/// Reads a configuration and the secrets that it names, with the presets of this binary.
pub fn load(path: &Path, env: &dyn Environment) -> Result<Loaded, ConfigErrors> {
    load_with(path, env, &Embedded)
}

/// Reads it anew, for a reload. A secret of a source that cannot be read now, and that `held` has from the same place, stays
/// what it was ([`settings::SourceSettings::kept`]).
pub fn reload(path: &Path, env: &dyn Environment, held: &Settings) -> Result<Loaded, ConfigErrors> {
    read_with(path, env, &Embedded, Some(held))
}

/// As [`load`], with other presets.
pub fn load_with(path: &Path, env: &dyn Environment, presets: &dyn Presets) -> Result<Loaded, ConfigErrors> {
    read_with(path, env, presets, None)
}

fn read_with(
    path: &Path,
    env: &dyn Environment,
    presets: &dyn Presets,
    held: Option<&Settings>,
) -> Result<Loaded, ConfigErrors> {
    let name = path.display().to_string();
    match read_text(path, env) {
        Ok(text) => parse(name, text, path, env, presets, held),
        Err(fault) => {
            let problems = Problems::default();
            problems.whole(fault);
            Err(problems.into_errors(SourceText::new(name, String::new())))
        }
    }
}

/// The JSON Schema (draft 2020-12) of a configuration, with the presets of this binary as values of `provider`.
pub fn schema() -> serde_json::Value {
    let mut schema = raw::schema();
    let names: Vec<String> = Embedded.names().into_iter().chain(["custom".to_owned()]).collect();
    if let Some(provider) = schema
        .pointer_mut("/$defs/Source/properties/provider")
        .and_then(|text| text.as_object_mut())
    {
        provider.insert("enum".to_owned(), names.into());
    }
    schema
}

fn parse(
    name: String,
    text: String,
    path: &Path,
    env: &dyn Environment,
    presets: &dyn Presets,
    held: Option<&Settings>,
) -> Result<Loaded, ConfigErrors> {
    let problems = Problems::default();
    let mut source = SourceText::new(name, text);
    let Some(mut root) = tree::parse(&source, &problems) else {
        return Err(problems.into_errors(source));
    };
    shape::check(&mut root, &raw::schema(), &problems);
    let mut hidden = Vec::new();
    root.hidden_spans(&mut hidden);
    let reader = Reader {
        problems: &problems,
        env,
        presets,
        held,
        base: path.parent().unwrap_or(Path::new("")),
        files: RefCell::new([path.to_path_buf()].into()),
    };
    let settings = match raw::Root::deserialize(root.to_json()) {
        Ok(raw) => reader.settings(&root, &raw),
        Err(error) => {
            // The shape fits the schema, so the two disagree; only if nothing was reported is that the operator's business.
            if !problems.any_error() {
                problems.whole(Fault::new(format!("the file cannot be read: {error}")));
            }
            None
        }
    };
    source.hide(hidden.into_iter().chain(problems.hidden()));
    match settings {
        Some(settings) => {
            let (_, warnings, notes) = problems.into_reports(source);
            Ok(Loaded {
                settings,
                warnings,
                notes,
            })
        }
        None => Err(problems.into_errors(source)),
    }
}

fn read_text(path: &Path, env: &dyn Environment) -> Result<String, Fault> {
    let bytes = env.read(path, MAX_BYTES).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Fault::new("there is no configuration file here").hint(format!(
            "it is looked for in `-c FILE`, else ${VARIABLE}, else {DEFAULT_FILE}; `hookward dev` needs none"
        )),
        _ => Fault::new(format!("the configuration file cannot be read: {error}")),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let line = valid.matches('\n').count() + 1;
        Fault::new(format!("the file is not UTF-8: line {line} holds other bytes"))
    })
}
