//! The YAML loader: a file is a configuration that every later room takes, or a list of problems, each with its place; no
//! secret of it is shown.
use hookward::{
    config::{Finding, Fixed, Loaded, load},
    provider::{KeyText, Provider},
};
use std::path::{Path, PathBuf};

const SECRET: &str = "canary-MDEyMzQ1Njc4OWFi";

pub fn check(data: &[u8]) {
    let mut env = Fixed::default();
    env.files.insert(PathBuf::from("hookward.yaml"), data.to_vec());
    for name in ["secret", "/run/secret", "/run/secrets/a"] {
        env.files
            .insert(PathBuf::from(name), format!("{SECRET}\n").into_bytes());
    }
    env.variables.insert("SECRET".to_owned(), SECRET.into());
    // What stands in the file itself may be shown, where it is no secret's value.
    let written = data.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
    match load(Path::new("hookward.yaml"), &env) {
        Ok(loaded) => usable(&loaded, data, written),
        Err(errors) => {
            assert!(!errors.problems().is_empty());
            assert!(matches!(errors.exit_code(), 77 | 78));
            errors
                .problems()
                .iter()
                .chain(errors.warnings().problems())
                .for_each(|finding| placed(finding, data));
            for text in [errors.render(false), errors.render(true), errors.to_string()] {
                assert!(!text.is_empty());
                assert!(written || !text.contains(SECRET), "{text}");
            }
        }
    }
}

/// What one room has accepted the next must not refuse.
fn usable(loaded: &Loaded, data: &[u8], written: bool) {
    loaded
        .warnings
        .problems()
        .iter()
        .chain(loaded.notes.problems())
        .for_each(|finding| placed(finding, data));
    for report in [&loaded.warnings, &loaded.notes] {
        assert!(written || !report.render(false).contains(SECRET));
    }
    for source in &loaded.settings.sources {
        let provider = Provider::compile(&source.preset, &source.options);
        let provider = provider.unwrap_or_else(|problems| panic!("`{}` does not compile: {problems:?}", source.name));
        if source.unavailable.is_some() {
            continue;
        }
        let texts: Vec<KeyText> = source.secrets.iter().map(|secret| secret.text.clone()).collect();
        if let Err(problems) = provider.keys(&texts) {
            panic!("the secrets of `{}` do not: {problems:?}", source.name);
        }
    }
}

/// In the file, at a line and column that it has; only what is said of the whole file has none.
fn placed(finding: &Finding, data: &[u8]) {
    assert!(!finding.message.is_empty());
    let (Some(line), Some(column)) = (finding.line, finding.column) else {
        let whole = ["is empty", "is not UTF-8", "there are more than", "cannot be read"];
        assert!(
            whole.iter().any(|words| finding.message.contains(words)),
            "{} has no place",
            finding.message
        );
        return;
    };
    let text = std::str::from_utf8(data).expect("it could be read");
    // A lone CR ends a line of YAML too.
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    assert!(line >= 1 && line <= lines.len(), "line {line} of {}", lines.len());
    assert!(column >= 1 && column <= text.chars().count() + 1, "column {column}");
}
