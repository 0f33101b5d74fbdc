//! Configurations beside what is said of them: `tests/config/invalid/*.yaml` and `tests/config/valid/*.yaml`, each with
//! its `.expected`; `HOOKWARD_BLESS=1` writes these anew, to be read before they are committed.

#![allow(missing_docs, clippy::disallowed_methods)]

#[path = "config/machine.rs"]
mod machine;
#[path = "config/presets.rs"]
mod presets;
#[path = "config/rules.rs"]
mod rules;

use hookward::config::{self, Severity};
use machine::machine;
use presets::presets;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every `.yaml` of a folder with its name.
fn cases(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a case");
            (path, text)
        })
        .collect();
    cases.sort();
    cases
}

/// Compares with the file beside the case; with the number of differences.
fn compare(path: &Path, found: &str) -> usize {
    let beside = path.with_extension("expected");
    if std::env::var_os("HOOKWARD_BLESS").is_some() {
        fs::write(&beside, found).expect("an expected file");
        return 0;
    }
    let expected = fs::read_to_string(&beside).unwrap_or_else(|error| panic!("{}: {error}", beside.display()));
    if expected == found {
        return 0;
    }
    eprintln!("{}\n--- expected\n{expected}--- found\n{found}", path.display());
    1
}

#[test]
fn every_invalid_file_is_refused_with_its_message() {
    let (mut ran, mut wrong) = (0, 0);
    for (path, text) in cases("tests/config/invalid") {
        let errors = config::load_with(Path::new("hookward.yaml"), &machine(&text), &*presets())
            .err()
            .unwrap_or_else(|| panic!("{} was accepted", path.display()));
        assert!(
            !errors.problems().is_empty(),
            "{}: refused without a reason",
            path.display()
        );
        let found = format!("exit {}\n\n{}", errors.exit_code(), errors.render(false));
        for secret in machine::CANARIES {
            assert!(!found.contains(secret), "{} shows a secret:\n{found}", path.display());
            let json = serde_json::to_string(errors.problems()).expect("findings are JSON");
            assert!(!json.contains(secret), "{} shows a secret in JSON", path.display());
        }
        wrong += compare(&path, &found);
        ran += 1;
    }
    assert!(ran >= 45, "only {ran} invalid files ran");
    assert_eq!(wrong, 0, "{wrong} of {ran} messages differ");
}

#[test]
fn every_valid_file_is_read_with_its_warnings() {
    let (mut ran, mut wrong) = (0, 0);
    for (path, text) in cases("tests/config/valid") {
        let loaded = config::load_with(Path::new("hookward.yaml"), &machine(&text), &*presets())
            .unwrap_or_else(|errors| panic!("{}: {errors}", path.display()));
        let reports = [loaded.warnings.render(false), loaded.notes.render(false)];
        let found = reports
            .iter()
            .filter(|report| !report.is_empty())
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n");
        for secret in machine::CANARIES {
            assert!(!found.contains(secret), "{} shows a secret:\n{found}", path.display());
        }
        wrong += compare(&path, &found);
        ran += 1;
    }
    assert!(ran > 0, "no valid file ran");
    assert_eq!(wrong, 0, "{wrong} of {ran} reports differ");
}

#[test]
fn every_example_is_read() {
    let mut ran = 0;
    for (path, text) in cases("config/examples") {
        if let Err(errors) = config::load_with(&path, &machine::with_file(&path, &text), &*presets()) {
            panic!("{errors}");
        }
        ran += 1;
    }
    assert_eq!(ran, 6);
}

#[test]
fn one_file_with_five_unrelated_errors_reports_all_five() {
    let text = "\
version: 1
upstream: http://127.0.0.1:3000
limits:
  header_timeout: 5 minutes
sources:
  stripe:
    provider: stripee
    path: webhooks/stripe
    secrets: [{env: STRIPE_SECRET}]
    to: [biling]
    colour: red
destinations:
  billing: {url: \"http://127.0.0.1:3001/\"}
";
    let errors = config::load_with(Path::new("hookward.yaml"), &machine(text), &*presets())
        .err()
        .expect("five errors");
    let found: Vec<_> = errors
        .problems()
        .iter()
        .map(|problem| {
            (
                problem.line.unwrap_or(0),
                problem.column.unwrap_or(0),
                problem.message.as_str(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (4, 19, "`5 minutes` is not a duration"),
            (7, 15, "unknown provider `stripee`"),
            (
                8,
                11,
                "`webhooks/stripe` is not a path that can match: it does not begin with `/`"
            ),
            (10, 10, "unknown destination `biling`"),
            (11, 5, "unknown key `colour` in `sources.stripe`"),
        ]
    );
    assert!(
        errors
            .problems()
            .iter()
            .all(|problem| problem.severity == Severity::Error && problem.hint.is_some())
    );
    assert_eq!(errors.exit_code(), 78);
}
