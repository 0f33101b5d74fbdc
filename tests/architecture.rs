//! The house rules, held by a test: who imports whom, how long a file may be, what no source may contain.

#[path = "architecture/source.rs"]
mod source;

use source::{Source, files, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Module -> modules of ours that it may import. A row may name only rows above it: no cycles by construction.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("telemetry", &["event"]),
    ("tls", &["event"]),
    ("server", &["event", "tls"]),
    ("store", &["event", "tls"]),
    ("provider", &["event"]),
    ("replay", &["event", "store"]),
    ("limit", &["event", "store"]),
    ("upstream", &["event", "tls"]),
    (
        "config",
        &["event", "tls", "store", "provider", "replay", "limit", "upstream"],
    ),
    (
        "source",
        &["event", "provider", "replay", "limit", "upstream", "telemetry"],
    ),
    (
        "pipeline",
        &[
            "event",
            "provider",
            "replay",
            "limit",
            "upstream",
            "source",
            "telemetry",
        ],
    ),
    ("admin", &["event", "provider", "replay", "source", "telemetry"]),
    (
        "boot",
        &[
            "event",
            "telemetry",
            "tls",
            "server",
            "store",
            "provider",
            "replay",
            "limit",
            "upstream",
            "config",
            "source",
            "pipeline",
            "admin",
        ],
    ),
    (
        "cli",
        &["boot", "config", "event", "provider", "source", "upstream", "telemetry"],
    ),
    // The binary's root and the build script; `lib.rs` only declares.
    ("main", &["cli"]),
    ("lib", &[]),
    ("build", &[]),
];

/// Files that may switch a lint of `.clippy.toml` off, each because it is the one place that rule is about.
/// A file that is listed and does not need to be is an error too.
const MAY_EXPECT_DISALLOWED_METHODS: &[&str] = &[
    "build.rs",
    "cli/local.rs",
    "config/environment.rs",
    "event/clock.rs",
    "event/timing.rs",
];

/// Lines of a file, tests not counted. Above it: split along a noun.
const LONGEST: usize = 350;

/// Names that say nothing about what is inside.
const NO_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "manager", "mod"];

/// Text that no source may contain outside its tests, and why.
const NO_TEXT: &[(&str, &str)] = &[
    (".unwrap()", "use expect(\"the invariant\")"),
    (".unwrap_err()", "use expect_err(\"the invariant\")"),
    (".expect()", "say the invariant"),
    ("todo!(", "no stubs"),
    ("unimplemented!(", "no stubs"),
    ("dbg!(", "left over from debugging"),
    ("fn get_", "call it by what it gives"),
    ("#[allow(", "use #[expect(…, reason = …)]"),
    ("#![allow(", "use #[expect(…, reason = …)]"),
    ("unsafe {", "unsafe is forbidden"),
];

/// What names a place or a tool of whoever wrote it, and means nothing to whoever reads it. In two halves each, because
/// this file is read too.
const NO_PLACES: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("../sha", "red"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/tm", "p/"),
    ("issues ", "show"),
    (".cargo/regi", "stry"),
];

/// The top level of the repository; dot-files apart.
const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "config",
    "docs",
    "examples",
    "src",
    "target",
    "tests",
];

fn sources() -> Vec<Source> {
    let sources: Vec<Source> = files("src")
        .into_iter()
        .filter(|path| Path::new(path).extension().is_some_and(|end| end == "rs"))
        .map(|path| Source::read(&path))
        .collect();
    assert!(
        sources.len() > 20,
        "the walk found {} files: it looks in the wrong place",
        sources.len()
    );
    sources
}

fn assert_none(bad: &[String]) {
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}

#[test]
fn the_table_has_no_cycle_and_a_row_for_every_module() {
    for (row, (module, may)) in MAY_IMPORT.iter().enumerate() {
        for other in *may {
            let above = MAY_IMPORT[..row].iter().any(|(name, _)| name == other);
            assert!(above, "{module} may import {other}, which has no row above it");
        }
    }
    let found: BTreeSet<String> = sources().iter().map(Source::module).collect();
    let listed: BTreeSet<String> = MAY_IMPORT.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn imports_follow_the_table() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let (mut bad, mut edges) = (Vec::new(), BTreeSet::new());
    for source in sources() {
        let module = source.module();
        for imported in source.imports() {
            edges.insert((module.clone(), imported.clone()));
            if imported != module && !table[&*module].contains(&&*imported) {
                bad.push(format!("src/{}: {module} must not import {imported}", source.path));
            }
        }
    }
    assert!(edges.len() >= 8, "vacuous: {edges:?}");
    assert_none(&bad);
}

#[test]
fn files_are_short_and_their_names_mean_something() {
    let mut bad = Vec::new();
    for source in sources() {
        let lines = source.lines_without_tests();
        if lines > LONGEST {
            bad.push(format!(
                "src/{}: {lines} lines without tests, {LONGEST} at most",
                source.path
            ));
        }
    }
    for path in files("src").iter().chain(&files("tests")).chain(&files("examples")) {
        for part in path.split(['/', '.']) {
            if NO_NAMES.contains(&part) {
                bad.push(format!("{path}: `{part}` is no name"));
            }
        }
    }
    assert_none(&bad);
}

#[test]
fn every_file_says_first_what_it_is() {
    let mut bad = Vec::new();
    for source in sources() {
        let first = source.text.lines().next().unwrap_or("");
        let sentence = first.strip_prefix("//! ").unwrap_or("");
        if sentence.split_whitespace().count() < 3 {
            bad.push(format!(
                "src/{}: opens with {first:?} instead of a `//!` sentence",
                source.path
            ));
        }
    }
    assert_none(&bad);
}

#[test]
fn no_source_contains_what_the_house_forbids() {
    let mut bad = Vec::new();
    for source in sources() {
        for (text, instead) in NO_TEXT {
            if let Some(at) = source.code.find(text) {
                let line = source.code[..at].lines().count();
                bad.push(format!("src/{}:{line}: `{}`: {instead}", source.path, text.trim()));
            }
        }
    }
    assert_none(&bad);
}

#[test]
fn exceptions_from_the_disallowed_methods_are_listed() {
    let found: BTreeSet<String> = sources()
        .iter()
        .filter(|source| source.code.contains("clippy::disallowed_methods"))
        .map(|source| source.path.clone())
        .collect();
    let listed: BTreeSet<String> = MAY_EXPECT_DISALLOWED_METHODS
        .iter()
        .map(|path| (*path).to_owned())
        .collect();
    assert_eq!(found, listed, "found is not what is listed");
    assert!(!found.is_empty(), "vacuous: the clock is read somewhere");
}

#[test]
fn nothing_names_the_place_where_it_was_written() {
    let (mut bad, mut read) = (Vec::new(), 0);
    for path in files(".") {
        // What is no text (a certificate in DER, a picture) has no words.
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else {
            continue;
        };
        read += 1;
        for (a, b) in NO_PLACES {
            if let Some(at) = text.find(&[*a, *b].concat()) {
                let line = text[..at].lines().count();
                bad.push(format!("{path}:{line}: names a place or tool of a workplace: `{a}{b}`"));
            }
        }
    }
    assert!(read > 30, "vacuous: {read} files read");
    assert_none(&bad);
}

#[test]
fn the_top_level_stays_what_it_is() {
    let entries = std::fs::read_dir(root()).expect("the repository");
    let names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a plain name")
        })
        .collect();
    assert!(names.iter().any(|name| name == "Cargo.toml"), "vacuous");
    let unknown: Vec<String> = names
        .into_iter()
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&&**name))
        .collect();
    assert_none(&unknown);
}

#[test]
fn the_scanner_sees_what_it_is_asked_to_see() {
    let source = Source::parse(
        "limit/penalty.rs",
        r##"//! A sentence of words.
use crate::{event::{Clock, key}, pipeline, store::{self, Link}};
use std::time; // crate::cli in a comment
pub(crate) fn f() -> crate::upstream::Reply { let _ = "crate::boot"; let _ = r#"crate::"admin"#; let _ = '"'; crate::config::x() }
fn g<'a>(x: &'a str) { super::source(x); super::super::server::y() }
#[cfg(test)]
mod tests { use crate::telemetry; fn h() { Some(1).unwrap(); } }
#[cfg(test)]
mod more;
fn last() { }
"##,
    );
    let imports: Vec<String> = source.imports().into_iter().collect();
    assert_eq!(imports, ["config", "event", "pipeline", "server", "store", "upstream"]);
    assert_eq!(source.module(), "limit");
    assert_eq!(source.lines_without_tests(), 6);
    assert!(!source.code.contains("unwrap") && source.code.contains("fn last()"));

    let at_the_top = Source::parse("limit.rs", "//! A b c.\nuse super::replay::Ask;\n");
    assert!(at_the_top.imports().contains("replay"));
    let everything = Source::parse("limit.rs", "//! A b c.\nuse crate::*;\nuse crate as all;\n");
    assert_eq!(
        everything.imports(),
        BTreeSet::from(["*".to_owned(), "crate itself".to_owned()])
    );
    let binary = Source::parse("main.rs", "//! A b c.\nfn main() { hookward::pipeline::run() }\n");
    assert!(binary.imports().contains("pipeline"));
    let only_tests = Source::parse("limit/tests.rs", "//! A b c.\nuse crate::telemetry;\n");
    assert_eq!((only_tests.imports().len(), only_tests.lines_without_tests()), (0, 0));
}
